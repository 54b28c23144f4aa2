"""`KmsEnvelopeAead`: each message under a key of its own, which a key service wraps, in Tink's format::

    length of the wrapped key, 4 bytes big-endian || wrapped key || nonce[12] || ciphertext || tag[16]

One call of the key service for each message and each opening: for files and documents, not for columns. A field takes
a keyset that was unwrapped once, or subject keys. As in Tink, the data key is wrapped with empty associated data and
the message is bound to the caller's: a wrapped key that is moved to another message opens nothing there.
"""

from __future__ import annotations

from os import urandom

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV

from portalsec.crypto._hidden import Hidden
from portalsec.crypto._keys import AesGcmKey, AesGcmSivKey, template_named
from portalsec.crypto._octets import as_ciphertext, check_bytes
from portalsec.crypto.ports import Aead
from portalsec.errors import ConfigurationError, DecryptionError

__all__ = ["KmsEnvelopeAead"]

_DEKS = ("AES256_GCM", "AES128_GCM", "AES256_GCM_SIV")
_LENGTH = 4
_LONGEST = 4096  # of a wrapped key: Tink's limit
_NONCE = 12


class KmsEnvelopeAead(Hidden):
    """Satisfies `Aead`. Safe to share between threads and across a fork where ``remote`` is."""

    __slots__ = ("_make", "_remote")

    def __init__(self, remote: Aead, dek_template: str = "AES256_GCM") -> None:
        """Nothing is called yet.

        Args:
            remote: the key-encryption key: one of `portalsec.crypto.kms`, or any `Aead`.
            dek_template: what each message is encrypted with: "AES256_GCM", "AES128_GCM" or "AES256_GCM_SIV". A
                message is opened by the same kind of key, of either size. Of the kinds that Tink allows here these
                are the ones that we have; XAES it refuses, and a key that encrypts once has no need of it.

        Raises:
            ConfigurationError: another template, or a remote that is none.
        """
        found = template_named(dek_template) if dek_template in _DEKS else None
        if found is None:
            raise ConfigurationError(
                f"{dek_template!r} is no kind of key for an envelope: choose one of {', '.join(_DEKS)}"
            )
        if not (callable(getattr(remote, "encrypt", None)) and callable(getattr(remote, "decrypt", None))):
            raise ConfigurationError(
                f"a key-encryption key has encrypt and decrypt, which a {type(remote).__name__} has not: pass a key "
                "service, or keyset.aead() of a keyset"
            )
        self._remote = remote
        self._make = found[0]

    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Encrypt under a new key, which the key service wraps.

        Raises:
            TypeError: what is not bytes.
            ConfigurationError: the key service wraps into more than 4096 bytes, for which the format has no room.
            KeyServiceUnavailable: from the key service.
        """
        check_bytes(plaintext, "a plaintext is")
        check_bytes(associated_data, "associated data are")
        dek = self._make()
        wrapped = self._remote.encrypt(dek.to_proto(), b"")
        if len(wrapped) > _LONGEST:
            raise ConfigurationError(
                f"the key service wraps a key into {len(wrapped)} bytes, and an envelope has room for {_LONGEST}: use "
                "another key-encryption key"
            )
        nonce = urandom(_NONCE)
        sealed = _cipher(dek).encrypt(nonce, plaintext, associated_data)
        return len(wrapped).to_bytes(_LENGTH, "big") + wrapped + nonce + sealed

    def decrypt(self, ciphertext: bytes, associated_data: bytes) -> bytes:
        """The plaintext.

        Raises:
            TypeError: associated data that are not bytes.
            DecryptionError: one error for every cause.
            KeyServiceUnavailable: from the key service.
        """
        check_bytes(associated_data, "associated data are")
        ciphertext = as_ciphertext(ciphertext)
        end = _LENGTH + int.from_bytes(ciphertext[:_LENGTH], "big")
        if len(ciphertext) < _LENGTH or end - _LENGTH > _LONGEST or end > len(ciphertext):
            raise DecryptionError("too_short")
        dek = self._unwrapped(ciphertext[_LENGTH:end])
        nonce = ciphertext[end : end + _NONCE]
        try:
            return _cipher(dek).decrypt(nonce, ciphertext[end + _NONCE :], associated_data)
        except (InvalidTag, ValueError, OverflowError):
            pass  # outside the handler, so that the error below has no context
        raise DecryptionError("not_authentic")

    def _unwrapped(self, wrapped: bytes) -> AesGcmKey | AesGcmSivKey:
        kind = type(self._make())
        try:
            return kind.from_proto(self._remote.decrypt(wrapped, b""))  # type: ignore[return-value]
        except ValueError:
            pass  # what the key service opened is no key of this kind
        raise DecryptionError("not_authentic")


def _cipher(dek: object) -> AESGCM | AESGCMSIV:
    if isinstance(dek, AesGcmSivKey):
        return AESGCMSIV(dek.value.reveal())
    assert isinstance(dek, AesGcmKey)  # noqa: S101  (the constructor allows these two kinds)
    return AESGCM(dek.value.reveal())
