"""Stand-ins for the two callables of crypto that the account store asks for; really keyed, really bound."""

from __future__ import annotations

import hashlib
import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from portalsec.errors import DecryptionError


class TestingSealer:
    """AES-256-GCM with the place as associated data; under a key of its own unless one is given."""

    __test__ = False

    def __init__(self, key: bytes | None = None) -> None:
        self._aead = AESGCM(key or AESGCM.generate_key(256))

    def seal(self, plaintext: bytes, *, table: str, column: str, row: str) -> bytes:
        nonce = os.urandom(12)
        return nonce + self._aead.encrypt(nonce, plaintext, repr((table, column, row)).encode())

    def open(self, ciphertext: bytes, *, table: str, column: str, row: str) -> bytes:
        try:
            return self._aead.decrypt(ciphertext[:12], ciphertext[12:], repr((table, column, row)).encode())
        except InvalidTag:
            raise DecryptionError("invalid") from None


class TestingMac:
    """A keyed hash under the first of some keys, and under all of them."""

    __test__ = False

    def __init__(self, *keys: bytes) -> None:
        self._keys = keys

    def __call__(self, purpose: str, data: bytes) -> bytes:
        return self.all(purpose, data)[0]

    def all(self, purpose: str, data: bytes) -> tuple[bytes, ...]:
        message = hashlib.sha256(purpose.encode()).digest() + data
        return tuple(hmac.digest(key, message, "sha256") for key in self._keys)


_MAC = TestingMac(b"a key for tests")


def testing_mac(purpose: str, data: bytes) -> bytes:
    return _MAC(purpose, data)


testing_mac.all = _MAC.all  # type: ignore[attr-defined]
testing_mac.__test__ = False  # type: ignore[attr-defined]  # a function, so that pytest heeds this
