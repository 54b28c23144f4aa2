"""AES-256-GCM under a keyset, in Tink's frame: ``0x01 || key id || nonce[12] || ciphertext || tag[16]``.

The key of a ciphertext is found by its first five bytes in a dict: no trial of one key after another, so neither the
number of keys nor the age of a cell costs time, and nobody can craft a ciphertext that opens under two keys of the
set. RAW keys, whose outputs have no prefix, are tried last and only where the keyset has them.

Nonces are 12 fresh bytes of the operating system for each message and are never an argument: one repetition under one
key gives away the key that authenticates. NIST SP 800-38D 8.3 bounds random nonces at 2^32 messages a key.
"""

from __future__ import annotations

from collections.abc import Callable
from os import urandom
from typing import TYPE_CHECKING, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from portalsec.crypto._hidden import Hidden
from portalsec.crypto._keys import AesGcmKey
from portalsec.errors import DecryptionError

if TYPE_CHECKING:
    from portalsec.crypto.keyset import Keyset

__all__ = ["KeysetAead"]

_Cipher = Callable[[bytes, bytes, bytes], bytes]

_NONCE = 12
_TAG = 16


class KeysetAead(Hidden):
    """Tink's Aead over a keyset; made by `Keyset.aead`. Safe to share between threads and across a fork."""

    __slots__ = ("_encrypt", "_openers", "_prefix", "_raw")

    def __init__(self, keyset: Keyset) -> None:
        # The bound methods are taken once here: looking them up for each value costs a tenth of a small encryption.
        self._openers: dict[bytes, _Cipher] = {}
        raw: list[_Cipher] = []
        primary: tuple[bytes, _Cipher] | None = None
        for key in keyset._enabled("aead"):
            assert isinstance(key.material, AesGcmKey)  # noqa: S101  (the only material of this primitive)
            cipher = AESGCM(key.material.value.reveal())
            prefix = b"\x01" + key.id.to_bytes(4, "big") if key.prefix == "TINK" else b""
            if prefix:
                self._openers[prefix] = cipher.decrypt
            else:
                raw.append(cipher.decrypt)
            primary = primary or (prefix, cipher.encrypt)  # the primary comes first
        assert primary is not None  # noqa: S101
        self._prefix, self._encrypt = primary
        self._raw = tuple(raw)

    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Encrypt under the primary key; ``associated_data`` is authenticated and not stored."""
        if associated_data is None:
            _no_bytes(None)  # the cipher would take it for empty, and the value would be bound to nothing
        nonce = urandom(_NONCE)
        return self._prefix + nonce + self._encrypt(nonce, plaintext, associated_data)

    def decrypt(self, ciphertext: bytes, associated_data: bytes) -> bytes:
        """The plaintext. Raises `DecryptionError`, one error for every cause."""
        if associated_data is None:
            _no_bytes(None)
        try:
            # No length is checked here: what is cut short has no whole tag, and so is never authentic.
            return self._openers[ciphertext[:5]](ciphertext[5:17], ciphertext[17:], associated_data)
        except (KeyError, InvalidTag, ValueError, TypeError, OverflowError):
            pass  # outside the handler, so that the error below has no context
        return self._open_raw(ciphertext, associated_data)

    def _open_raw(self, ciphertext: object, associated_data: bytes) -> bytes:
        """All that is rare: buffers that are not bytes, RAW keys, and the refusal."""
        if not isinstance(associated_data, bytes):
            _no_bytes(associated_data)
        if isinstance(ciphertext, (bytearray, memoryview)):
            return self.decrypt(bytes(ciphertext), associated_data)  # some drivers hand out buffers
        if not isinstance(ciphertext, bytes):
            raise DecryptionError("not_bytes")  # a column that holds text or a number was not written here
        for opener in self._raw:
            try:
                return opener(ciphertext[:_NONCE], ciphertext[_NONCE:], associated_data)
            except (InvalidTag, ValueError, OverflowError):
                continue
        if len(ciphertext) < _NONCE + _TAG + (0 if self._raw else len(self._prefix)):
            raise DecryptionError("too_short")
        raise DecryptionError(
            "not_authentic" if self._raw or ciphertext[:5] in self._openers else "unknown_key"
        )


def _no_bytes(associated_data: object) -> NoReturn:
    raise TypeError(f"associated data are bytes, not {type(associated_data).__name__}")
