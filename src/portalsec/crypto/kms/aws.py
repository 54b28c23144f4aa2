"""`AwsKmsAead`: a key of AWS KMS as an `Aead`, wire-compatible with Tink's.

Tink's convention (tink-py ``_aws_kms_client.py``): the associated data go into KMS's EncryptionContext as
``{"associatedData": hex}``, and no context is sent where they are empty. KMS writes that context to CloudTrail in
the clear: associated data are names here, never content.
"""

from __future__ import annotations

import re
from typing import Any

from portalsec.crypto._hidden import Hidden
from portalsec.crypto.kms._arguments import ciphertext_bytes, require_bytes
from portalsec.crypto.kms._failure import unavailable
from portalsec.errors import ConfigurationError, DecryptionError, PortalsecError

__all__ = ["AwsKmsAead"]

_ARN = re.compile(r"arn:aws[a-z-]*:kms:([a-z0-9-]+):[0-9]{12}:(key|alias)/[A-Za-z0-9:/_-]+")
_MOST = 4096  # bytes that KMS's Encrypt takes
_WRONG = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})
# Also KMS's answer to a ciphertext that names another key: whether access is denied is then asked with our own.
_MAYBE_WRONG = "AccessDeniedException"


class AwsKmsAead(Hidden):
    """Asks KMS for every call. boto3's clients may be shared between threads, and so may this.

    Timeouts and retries are the client's. The key is named in both directions, so that a ciphertext of another key
    of the account is refused, which KMS alone would open.
    """

    __slots__ = ("_client", "_key_arn")

    def __init__(self, client: Any, key_arn: str) -> None:
        """
        Args:
            client: ``boto3.client("kms", region_name=...)`` of the key's region.
            key_arn: of the key or of an alias, in full.

        Raises:
            ConfigurationError: not an ARN of KMS.
        """
        AwsKmsAead.region(key_arn)
        self._client = client
        self._key_arn = key_arn

    @staticmethod
    def region(key_arn: object) -> str:
        """The region that a key's ARN names. Raises `ConfigurationError` where it is not one of KMS."""
        match = _ARN.fullmatch(key_arn) if isinstance(key_arn, str) else None
        if match is None:
            raise ConfigurationError(
                "the key of AWS KMS is named by its whole ARN, as arn:aws:kms:eu-central-1:111122223333:key/..."
            )
        return match[1]

    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Wrap 1 to 4096 bytes.

        Raises:
            ConfigurationError: more than KMS takes.
            KeyServiceUnavailable: no answer, or a refusal.
        """
        require_bytes(plaintext=plaintext, associated_data=associated_data)
        if not 1 <= len(plaintext) <= _MOST:
            raise ConfigurationError(
                f"AWS KMS wraps 1 to {_MOST} bytes, and this is {len(plaintext)}: destroy keys that the keyset no longer needs"
            )
        sealed, failure = self._ask("encrypt", "CiphertextBlob", Plaintext=plaintext, context=associated_data)
        del plaintext
        if failure is not None:
            raise failure
        return sealed

    def decrypt(self, ciphertext: bytes, associated_data: bytes) -> bytes:
        """Raises `DecryptionError` for what this key did not wrap, `KeyServiceUnavailable` for all else."""
        require_bytes(associated_data=associated_data)
        blob = ciphertext_bytes(ciphertext)
        if not 1 <= len(blob) <= 6144:  # KMS's own bounds; outside of them the client would print the value
            raise DecryptionError("too_short" if not blob else "not_authentic")
        opened, failure = self._ask("decrypt", "Plaintext", CiphertextBlob=blob, context=associated_data)
        if failure is not None:
            raise failure
        return opened

    def _ask(
        self, verb: str, answer: str, *, context: bytes, **arguments: bytes
    ) -> tuple[bytes, PortalsecError | None]:
        """The answer, or the error to raise: not from here, where the arguments are."""
        if context:
            arguments["EncryptionContext"] = {"associatedData": context.hex()}  # type: ignore[assignment]
        try:
            data = getattr(self._client, verb)(KeyId=self._key_arn, **arguments)[answer]
        except Exception as error:  # noqa: BLE001  (botocore's own tree is not imported here; all of it fails closed)
            cause = error
        else:
            if isinstance(data, bytes):
                return data, None
            return b"", unavailable(f"AWS KMS gave no {answer} for {self._key_arn}")
        code = _code(cause)
        if verb == "decrypt" and (code in _WRONG or (code == _MAYBE_WRONG and self._works(context))):
            return b"", DecryptionError("not_authentic")
        return b"", unavailable(
            f"AWS KMS did not {verb} with {self._key_arn} ({code}): see that the key is enabled, that this process "
            "may use it, and that the service can be reached",
            cause,
        )

    def _works(self, context: bytes) -> bool:
        """Whether this process may use the key in both directions."""
        probe = {} if not context else {"EncryptionContext": {"associatedData": context.hex()}}
        try:
            sealed = self._client.encrypt(KeyId=self._key_arn, Plaintext=b"probe", **probe)["CiphertextBlob"]
            opened = self._client.decrypt(KeyId=self._key_arn, CiphertextBlob=sealed, **probe)["Plaintext"]
        except Exception:  # noqa: BLE001  (as in _ask; no is the answer that fails closed)
            return False
        return bool(opened == b"probe")


def _code(error: Exception) -> str:
    """AWS's own code of the failure, or the kind of the client's error; never its text."""
    response = getattr(error, "response", None)
    said = response.get("Error") if isinstance(response, dict) else None
    code = said.get("Code") if isinstance(said, dict) else None
    return (
        code if isinstance(code, str) and re.fullmatch(r"[A-Za-z0-9.]{1,64}", code) else type(error).__name__
    )
