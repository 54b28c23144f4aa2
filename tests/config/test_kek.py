"""From a reference to a key-encryption key: every provider, and what is refused before anything is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from portalsec.config import open_kek
from portalsec.crypto.insecure import keyset_to_json
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.ports import Aead
from portalsec.errors import ConfigurationError, KeyServiceUnavailable
from tests.keyservices import Kms, Token, Transit

ARN = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
KEY = "portalsec.toml: [keys] kek"


def opened(reference: str, base: Path, **env: str) -> Aead:
    return open_kek(reference, key=KEY, base=base, env=env)


def works(kek: Aead) -> bool:
    return kek.decrypt(kek.encrypt(b"keyset", b"place"), b"place") == b"keyset"


def test_a_local_keyset(tmp_path: Path) -> None:
    text = keyset_to_json(Keyset.generate("XAES_256_GCM"))
    (tmp_path / "kek.json").touch(mode=0o600)
    (tmp_path / "kek.json").write_text(text)
    by_file, by_env = opened("file:kek.json", tmp_path), opened("env:KEK", tmp_path, KEK=text)
    assert by_env.decrypt(by_file.encrypt(b"keyset", b""), b"") == b"keyset"
    with pytest.raises(ConfigurationError, match=r"\[keys\] kek"):
        opened("env:MAC", tmp_path, MAC=keyset_to_json(Keyset.generate("HMAC_SHA256_PRF")))
    with pytest.raises(ConfigurationError, match=r"\[keys\] kek"):
        opened("env:MAC", tmp_path, MAC="no keyset")


def test_aws_kms_is_reached_as_boto3_is_told(
    kms: Kms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", kms.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    assert works(opened(f"aws-kms://{kms.key()}", tmp_path))
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:9")
    with pytest.raises(KeyServiceUnavailable, match="AWS KMS"):
        works(opened(f"aws-kms://{ARN}", tmp_path))


def test_vault_with_its_options(transit: Transit, tmp_path: Path) -> None:
    address = transit.url.replace("http://", "hcvault+http://")
    assert works(opened(f"{address}/transit/keys/kek", tmp_path, VAULT_TOKEN=transit.token))
    (tmp_path / "token").touch(mode=0o600)
    (tmp_path / "token").write_text(transit.token + "\n")
    transit.namespace = "team-a/portal"
    query = "?token-source=file:token&namespace=team-a/portal"
    assert works(opened(f"{address}/transit/keys/kek{query}", tmp_path))
    (tmp_path / "token").write_text("renewed")  # read at each use
    transit.token = "renewed"
    assert works(opened(f"{address}/transit/keys/kek{query}", tmp_path))
    with pytest.raises(ConfigurationError, match="VAULT_TOKEN is not set"):
        works(opened(f"{address}/transit/keys/kek", tmp_path))


def test_a_token_of_pkcs11(softhsm: Token, tmp_path: Path) -> None:
    assert works(opened(softhsm.uri(pin_source="env:PIN"), tmp_path, PIN=softhsm.pin))
    (tmp_path / "pin").touch(mode=0o600)
    (tmp_path / "pin").write_text(softhsm.pin + "\n")
    assert works(opened(softhsm.uri(pin_source="file:pin"), tmp_path))


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("hunter2", "write file:PATH"),
        ("https://hunter2", "write file:PATH"),
        ("gcp-kms://hunter2", "write file:PATH"),
        ("file:", "reference"),
        ("file:none.json", "is missing"),
        ("env:NONE", "NONE is not set"),
        ("aws-kms://alias/hunter2", "ARN"),
        ("aws-kms://", "ARN"),
        ("hcvault://vault.example", "Transit key"),
        ("hcvault://vault.example/transit/hunter2", "Transit key"),
        ("hcvault://vault.example/keys/kek", "Transit key"),
        ("hcvault://vault.example/transit/keys/kek?token=hunter2", "token-source"),
        ("hcvault://vault.example/transit/keys/kek?namespace=a&namespace=b", "Transit key"),
        ("hcvault://vault.example/transit/keys/kek#hunter2", "Transit key"),
        ("hcvault://vault.example/transit/keys/kek?ca-file=none.pem", "none.pem"),
        ("hcvault+http://vault.example/transit/keys/kek", "https://"),
        ("hcvault://user:hunter2@vault.example/transit/keys/kek", "https://"),
        ("pkcs11:token=t;object=o?module-path=/none.so", "is missing"),
        ("pkcs11:token=t;object=o?module-path=/none.so&pin-value=hunter2", "no place"),
    ],
)
def test_what_is_no_reference_is_said_in_one_sentence_that_shows_nothing_of_it(
    reference: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        opened(reference, tmp_path)
    assert "hunter2" not in str(caught.value)
    assert str(caught.value).count(KEY) <= 1
    assert "\n" not in str(caught.value)
