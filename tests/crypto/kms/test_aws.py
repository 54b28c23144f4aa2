"""AWS KMS: against moto's server with the real boto3, and against stubs for what moto does not enforce."""

from __future__ import annotations

from typing import Any

import pytest

from portalsec.crypto.kms import AwsKmsAead
from portalsec.crypto.ports import Aead
from portalsec.errors import ConfigurationError, DecryptionError, KeyServiceUnavailable
from portalsec.testing.contracts import KeyEncryptionContract
from tests.keyservices import Kms

boto3 = pytest.importorskip("boto3")
from botocore.config import Config  # noqa: E402
from botocore.exceptions import ClientError, ConnectTimeoutError, NoCredentialsError  # noqa: E402

ARN = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


class TestAwsKms(KeyEncryptionContract):
    @pytest.fixture
    def kek(self, kms: Kms) -> Aead:
        return AwsKmsAead(kms.client(), kms.key())

    @pytest.fixture
    def other_kek(self, kms: Kms) -> Aead:
        return AwsKmsAead(kms.client(), kms.key())

    @pytest.fixture
    def unavailable_kek(self, kms: Kms) -> Aead:
        quick = Config(connect_timeout=1, read_timeout=1, retries={"total_max_attempts": 1})
        client = boto3.client(
            "kms",
            region_name=kms.region,
            endpoint_url="http://127.0.0.1:9",
            aws_access_key_id="AKIATESTING",
            aws_secret_access_key="hunter2",
            config=quick,
        )
        return AwsKmsAead(client, ARN)

    def secrets(self) -> list[str]:
        return ["hunter2"]


def test_what_tink_wraps_is_opened_and_the_reverse(kms: Kms) -> None:
    awskms = pytest.importorskip("tink.integration.awskms")
    arn = kms.key()
    ours = AwsKmsAead(kms.client(), arn)
    theirs = awskms.new_client(boto3_client=kms.client()).get_aead(f"aws-kms://{arn}")
    for associated_data in (b"", b"\x00place\xff"):
        assert ours.decrypt(theirs.encrypt(b"keyset", associated_data), associated_data) == b"keyset"
        assert theirs.decrypt(ours.encrypt(b"keyset", associated_data), associated_data) == b"keyset"


class Refusing:
    """A client whose every call fails as AWS says that it does."""

    def __init__(self, error: Exception | dict[str, Any]) -> None:
        self._error = error
        self.calls: list[dict[str, Any]] = []

    def encrypt(self, **arguments: Any) -> dict[str, Any]:
        self.calls.append(arguments)
        if isinstance(self._error, dict):
            return self._error
        raise self._error

    decrypt = encrypt


def client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": f"{ARN} says no"}}, "Decrypt")


@pytest.mark.parametrize(
    "error",
    [
        client_error("DisabledException"),
        client_error("AccessDeniedException"),
        client_error("NotFoundException"),
        client_error("KMSInvalidStateException"),
        client_error("ThrottlingException"),
        client_error("KeyUnavailableException"),
        ConnectTimeoutError(endpoint_url="https://kms.eu-central-1.amazonaws.com"),
        NoCredentialsError(),
        {"KeyId": ARN},
    ],
    ids=str,
)
def test_a_disabled_key_a_refusal_and_a_timeout_are_unavailable(error: Any) -> None:
    aead = AwsKmsAead(Refusing(error), ARN)
    for call in (aead.encrypt, aead.decrypt):
        with pytest.raises(KeyServiceUnavailable) as caught:
            call(b"hunter2" * 9, b"place")
        assert ARN in str(caught.value)
        assert "hunter2" not in str(caught.value)
        if isinstance(error, ClientError):
            assert error.response["Error"]["Code"] in str(caught.value)
        if isinstance(error, Exception):
            assert caught.value.__cause__ is error


@pytest.mark.parametrize("code", ["InvalidCiphertextException", "IncorrectKeyException"])
def test_a_wrong_ciphertext_is_a_decryption_error_and_only_in_decrypt(code: str) -> None:
    aead = AwsKmsAead(Refusing(client_error(code)), ARN)
    with pytest.raises(DecryptionError) as caught:
        aead.decrypt(b"x" * 64, b"")
    assert caught.value.__context__ is None
    with pytest.raises(KeyServiceUnavailable):
        aead.encrypt(b"x" * 64, b"")


def test_a_denial_is_the_ciphertexts_fault_only_where_the_key_works() -> None:
    """KMS denies access to a ciphertext that names another key, and to everything where a policy says so."""

    class Denying(Refusing):
        def encrypt(self, **arguments: Any) -> dict[str, Any]:
            return {"CiphertextBlob": b"ours"}

        def decrypt(self, **arguments: Any) -> dict[str, Any]:
            if arguments["CiphertextBlob"] == b"ours":
                return {"Plaintext": b"probe"}
            raise self._error  # type: ignore[misc]

    with pytest.raises(DecryptionError):
        AwsKmsAead(Denying(client_error("AccessDeniedException")), ARN).decrypt(b"another's", b"place")


def test_tinks_encryption_context_and_the_key_are_in_every_call() -> None:
    client = Refusing({"Plaintext": b"p", "CiphertextBlob": b"c"})
    aead = AwsKmsAead(client, ARN)
    assert aead.encrypt(b"p", b"\x01\xff") == b"c"
    assert aead.decrypt(b"c", b"\x01\xff") == b"p"
    assert aead.decrypt(b"c", b"") == b"p"
    assert [call.get("EncryptionContext") for call in client.calls] == [{"associatedData": "01ff"}] * 2 + [
        None
    ]
    assert {call["KeyId"] for call in client.calls} == {ARN}


def test_more_than_kms_takes_is_said_before_anything_is_sent() -> None:
    client = Refusing({})
    for size in (0, 4097):
        with pytest.raises(ConfigurationError, match="4096"):
            AwsKmsAead(client, ARN).encrypt(bytes(size), b"")
    for size in (0, 6145):
        with pytest.raises(DecryptionError):
            AwsKmsAead(client, ARN).decrypt(bytes(size), b"")
    assert client.calls == []


@pytest.mark.parametrize("arn", ["", "alias/kek", "1234abcd", ARN + " ", ARN.replace("kms", "s3"), None])
def test_a_key_is_named_by_its_whole_arn(arn: Any) -> None:
    with pytest.raises(ConfigurationError, match="ARN"):
        AwsKmsAead(Refusing({}), arn)
    assert AwsKmsAead.region(ARN) == "eu-central-1"
