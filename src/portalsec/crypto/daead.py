"""AES-SIV under a keyset, in Tink's frame: ``prefix || siv[16] || ciphertext`` (RFC 5297).

Deterministic: whoever sees two ciphertexts knows whether their values are equal, and so how often each value comes.
That is what it is for (a join, a unique column), and why a field is not encrypted so: `BlindIndex` says less.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from portalsec.crypto._hidden import Hidden
from portalsec.crypto._keys import AesSivKey
from portalsec.crypto._octets import as_ciphertext, check_bytes
from portalsec.errors import DecryptionError

if TYPE_CHECKING:
    from portalsec.crypto.keyset import Keyset

__all__ = ["KeysetDaead"]

_TAG = 16


class KeysetDaead(Hidden):
    """Tink's DeterministicAead over a keyset; made by `Keyset.deterministic_aead`.

    Safe to share between threads and across a fork: it keeps no state. The key is found by the first five bytes; RAW
    keys are tried last and only where the keyset has them.
    """

    __slots__ = ("_ciphers", "_encrypt", "_prefix", "_raw")

    def __init__(self, keyset: Keyset) -> None:
        """Raises `ConfigurationError` where the keyset is not of AES-SIV keys."""
        self._ciphers: dict[bytes, AESSIV] = {}
        raw: list[AESSIV] = []
        primary: tuple[bytes, AESSIV] | None = None
        for key in keyset._enabled("daead"):
            assert isinstance(key.material, AesSivKey)  # noqa: S101  (the only material of this primitive)
            cipher = AESSIV(key.material.value.reveal())
            if key.output_prefix:
                self._ciphers[key.output_prefix] = cipher  # one only: ids are unique
            else:
                raw.append(cipher)
            primary = primary or (key.output_prefix, cipher)  # the primary comes first
        assert primary is not None  # noqa: S101
        self._prefix, self._encrypt = primary[0], primary[1].encrypt
        self._raw = tuple(raw)

    def encrypt_deterministically(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Encrypt under the primary key; ``associated_data`` is authenticated and not stored.

        Raises:
            TypeError: what is not bytes.
        """
        check_bytes(plaintext, "a plaintext is")
        check_bytes(associated_data, "associated data are")
        return self._prefix + self._encrypt(plaintext, [associated_data])

    def decrypt_deterministically(self, ciphertext: bytes, associated_data: bytes) -> bytes:
        """The plaintext. Raises `DecryptionError`, one error for every cause."""
        check_bytes(associated_data, "associated data are")
        ciphertext = as_ciphertext(ciphertext)
        named = self._ciphers.get(ciphertext[:5])
        attempts = [(named, ciphertext[5:])] if named else []
        for cipher, sealed in attempts + [(cipher, ciphertext) for cipher in self._raw]:
            try:
                return cipher.decrypt(sealed, [associated_data])
            except (InvalidTag, ValueError, OverflowError):
                continue
        if len(ciphertext) < _TAG + (0 if self._raw else len(self._prefix)):
            raise DecryptionError("too_short")
        raise DecryptionError("not_authentic" if named or self._raw else "unknown_key")
