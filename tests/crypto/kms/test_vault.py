"""Vault Transit: against a stub of the documented HTTP API, since no such server can be had here."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from portalsec.crypto.kms import VaultTransitAead
from portalsec.crypto.ports import Aead
from portalsec.errors import ConfigurationError, DecryptionError, KeyServiceUnavailable
from portalsec.secret import Secret
from portalsec.testing.contracts import KeyEncryptionContract
from tests.keyservices import Transit, run_transit

TOKEN = Transit().token


def aead(transit: Transit, name: str = "kek", *, token: str = TOKEN, **options: Any) -> VaultTransitAead:
    return VaultTransitAead(transit.url, name, token=lambda: Secret(token), **options)


class TestVaultTransit(KeyEncryptionContract):
    @pytest.fixture
    def kek(self, transit: Transit) -> Aead:
        return aead(transit)

    @pytest.fixture
    def other_kek(self, transit: Transit) -> Aead:
        return aead(transit, "other")

    @pytest.fixture
    def unavailable_kek(self) -> Aead:
        return VaultTransitAead("http://127.0.0.1:9", "kek", token=lambda: Secret(TOKEN))

    def secrets(self) -> list[str]:
        return [TOKEN]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sealed": True}, "sealed"),
        ({"token": "another"}, "the token may not"),
        ({"namespace": "elsewhere"}, "the token may not"),
        ({"keys": {}}, "no such key"),
    ],
)
def test_a_refusal_says_why_in_our_words(transit: Transit, change: dict[str, Any], said: str) -> None:
    kek = aead(transit)
    wrapped = kek.encrypt(b"keyset", b"")
    for name, value in change.items():
        setattr(transit, name, value)
    for call in (lambda: kek.encrypt(b"keyset", b""), lambda: kek.decrypt(wrapped, b"")):
        with pytest.raises(KeyServiceUnavailable, match=said) as caught:
            call()
        assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        (200, b""),
        (200, b"[]"),
        (200, b"{"),
        (200, b'{"data": null}'),
        (200, b'{"data": {"ciphertext": 1, "plaintext": 1}}'),
        (200, b'{"data": {"ciphertext": "hunter2", "plaintext": "not base64"}}'),
        (200, b"[" * 100_000),
        (200, b" " * ((1 << 20) + 1)),
        (301, b""),
        (400, b'{"errors": "hunter2"}'),
        (400, b'{"errors": ["hunter2", 7]}'),
        (400, b'{"errors": 7}'),
        (404, b"{}"),
        (500, b"hunter2"),
    ],
    ids=lambda answer: f"{answer[0]}-{answer[1][:20]!r}",
)
def test_a_server_that_is_no_vault_is_unavailable_and_not_quoted(
    transit: Transit, answer: tuple[int, bytes]
) -> None:
    kek = aead(transit)
    wrapped = kek.encrypt(b"keyset", b"")
    for call in (lambda: kek.encrypt(b"keyset", b""), lambda: kek.decrypt(wrapped, b"")):
        transit.answers.append(answer)
        with pytest.raises(KeyServiceUnavailable) as caught:
            call()
        assert "hunter2" not in str(caught.value)
    assert (
        kek.decrypt(wrapped, b"") == b"keyset"
    )  # a redirect was not followed, or more answers would be gone


def test_a_server_that_never_answers_is_given_up(transit: Transit) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        kek = VaultTransitAead(url, "kek", token=lambda: Secret(TOKEN), patience=timedelta(milliseconds=50))
        with pytest.raises(KeyServiceUnavailable, match="does not answer"):
            kek.encrypt(b"keyset", b"")


def test_token_and_namespace_are_sent_and_asked_anew_each_time(transit: Transit) -> None:
    tokens = iter([TOKEN, TOKEN + "\n", "old"])
    kek = VaultTransitAead(transit.url, "kek", token=lambda: Secret(next(tokens)), namespace="team-a")
    transit.namespace = "team-a"
    kek.encrypt(b"keyset", b"")
    kek.encrypt(b"keyset", b"")
    with pytest.raises(KeyServiceUnavailable):
        kek.encrypt(b"keyset", b"")
    assert [seen["x-vault-token"] for seen in transit.seen] == [TOKEN, TOKEN, "old"]
    assert {seen["x-vault-namespace"] for seen in transit.seen} == {"team-a"}
    assert {seen["x-vault-request"] for seen in transit.seen} == {"true"}


@pytest.mark.parametrize("token", ["", "two\nlines", "späße", "a b"])
def test_a_token_that_is_none_is_not_printed(transit: Transit, token: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        aead(transit, token=token).encrypt(b"keyset", b"")
    assert not token or token not in str(caught.value)
    assert transit.seen == []


def test_one_ciphertext_has_one_text(transit: Transit) -> None:
    """Go decodes base64 loosely: its unused last bits may be anything. Here they may not."""
    kek = aead(transit)
    wrapped = next(each for size in range(3) if (each := kek.encrypt(b"k" * (size + 1), b"")).endswith(b"="))
    body = wrapped.rstrip(b"=")
    loose = body[:-1] + bytes([body[-1] + 1]) + wrapped[len(body) :]
    status, document = transit.answer(
        "/v1/transit/decrypt/kek", {"x-vault-token": TOKEN}, {"ciphertext": loose.decode()}
    )
    assert status == 200, document  # the server would open it
    with pytest.raises(DecryptionError):
        kek.decrypt(loose, b"")


@pytest.mark.parametrize(
    "address",
    [
        "http://vault.example:8200",
        "http://10.0.0.1:8200",
        "http://127.0.0.1.example:8200",
        "vault.example",
        "ftp://vault.example",
        "https://",
        "https://user:hunter2@vault.example",
        "https://vault.example/path",
        "https://vault.example:port",
        "https://vault.example?query",
        "https://[",
        "https://a b",
    ],
)
def test_only_https_reaches_another_machine(address: str) -> None:
    with pytest.raises(ConfigurationError, match="https://") as caught:
        VaultTransitAead(address, "kek", token=lambda: Secret(TOKEN))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "names", [("", "transit"), ("a/b", "transit"), ("kek", "a//b"), ("..", "transit"), ("kek", "ü")]
)
def test_a_name_that_would_leave_its_path_is_refused(names: tuple[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="Transit key"):
        VaultTransitAead("https://vault.example", names[0], mount=names[1], token=lambda: Secret(TOKEN))
    with pytest.raises(ConfigurationError, match="namespace"):
        VaultTransitAead("https://vault.example", "kek", namespace="a\r\nb", token=lambda: Secret(TOKEN))


# -- TLS --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1 and its key, in one PEM."""
    import ipaddress

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stub")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "stub.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.fixture
def tls_transit(certificate: Path) -> Iterator[Transit]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with run_transit(context) as stub:
        yield stub


def test_a_server_with_a_trusted_certificate_is_used(tls_transit: Transit, certificate: Path) -> None:
    kek = aead(tls_transit, ca_file=certificate)
    assert kek.decrypt(kek.encrypt(b"keyset", b"place"), b"place") == b"keyset"


def test_a_server_that_cannot_prove_who_it_is_never_sees_the_token(tls_transit: Transit) -> None:
    with pytest.raises(KeyServiceUnavailable, match="certificate is not trusted"):
        aead(tls_transit).encrypt(b"keyset", b"")
    assert tls_transit.seen == []


def test_a_name_that_the_certificate_has_not_is_refused(tls_transit: Transit, certificate: Path) -> None:
    tls_transit.url = tls_transit.url.replace("127.0.0.1", "localhost")
    with pytest.raises(KeyServiceUnavailable, match="certificate is not trusted"):
        aead(tls_transit, ca_file=certificate).encrypt(b"keyset", b"")
    assert tls_transit.seen == []


def test_certificates_that_cannot_be_read_are_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    for name in ("none.pem", "empty.pem"):
        with pytest.raises(ConfigurationError, match=name):
            VaultTransitAead(
                "https://vault.example", "kek", token=lambda: Secret(TOKEN), ca_file=tmp_path / name
            )


def test_nothing_of_the_environment_leads_elsewhere(
    transit: Transit, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert json.dumps(aead(transit).encrypt(b"keyset", b"").decode()).startswith('"vault:v1:')
    assert threading.active_count() >= 1
