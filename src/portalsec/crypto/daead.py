"""AES-SIV under a keyset, in Tink's frame: ``prefix || siv[16] || ciphertext`` (RFC 5297).

Deterministic: whoever sees two ciphertexts knows whether their values are equal, and so how often each value comes.
That is what it is for (a join, a unique column), and why a field is not encrypted so: `BlindIndex` says less.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from portalsec.crypto._hidden import Hidden
from portalsec.crypto._keys import AesSivKey
from portalsec.errors import DecryptionError

if TYPE_CHECKING:
    from portalsec.crypto.keyset import Keyset

__all__ = ["KeysetDaead"]

_TAG = 16


class KeysetDaead(Hidden):
    """Tink's DeterministicAead over a keyset; made by `Keyset.deterministic_aead`.

    Safe to share between threads and across a fork: it keeps no state. Of the keys of one prefix and of the RAW
    keys, each is tried, as in Tink: AES-SIV has no place for a key id of its own.
    """

    __slots__ = ("_ciphers", "_encrypt", "_prefix", "_raw")

    def __init__(self, keyset: Keyset) -> None:
        """Raises `ConfigurationError` where the keyset is not of AES-SIV keys."""
        ciphers: dict[bytes, list[AESSIV]] = {}
        keys = keyset._enabled("daead")
        for key in keys:
            assert isinstance(key.material, AesSivKey)  # noqa: S101  (the only material of this primitive)
            ciphers.setdefault(key.output_prefix, []).append(AESSIV(key.material.value.reveal()))
        self._raw = tuple(ciphers.pop(b"", ()))
        self._ciphers = {prefix: tuple(found) for prefix, found in ciphers.items()}
        self._prefix = keys[0].output_prefix  # the primary comes first
        self._encrypt: Callable[[bytes, list[bytes]], bytes] = (
            self._ciphers[self._prefix] if self._prefix else self._raw
        )[0].encrypt

    def encrypt_deterministically(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Encrypt under the primary key; ``associated_data`` is authenticated and not stored.

        Raises:
            TypeError: what is not bytes.
        """
        _check_bytes(plaintext, "a plaintext is")
        _check_bytes(associated_data, "associated data are")
        return self._prefix + self._encrypt(plaintext, [associated_data])

    def decrypt_deterministically(self, ciphertext: bytes, associated_data: bytes) -> bytes:
        """The plaintext. Raises `DecryptionError`, one error for every cause."""
        _check_bytes(associated_data, "associated data are")
        if isinstance(ciphertext, (bytearray, memoryview)):
            ciphertext = bytes(ciphertext)  # some drivers hand out buffers
        if not isinstance(ciphertext, bytes):
            raise DecryptionError("not_bytes")
        named = self._ciphers.get(ciphertext[:5], ())
        for cipher in named:
            try:
                return cipher.decrypt(ciphertext[5:], [associated_data])
            except (InvalidTag, ValueError, OverflowError):
                continue
        for cipher in self._raw:
            try:
                return cipher.decrypt(ciphertext, [associated_data])
            except (InvalidTag, ValueError, OverflowError):
                continue
        if len(ciphertext) < _TAG + (0 if self._raw else len(self._prefix)):
            raise DecryptionError("too_short")
        raise DecryptionError("not_authentic" if named or self._raw else "unknown_key")


def _check_bytes(value: object, what: str) -> None:
    if not isinstance(value, bytes):
        raise TypeError(f"{what} bytes, not {type(value).__name__}")
