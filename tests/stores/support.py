"""Stand-ins for the two callables of crypto that the account store asks for; really keyed, really bound."""

from __future__ import annotations

import hashlib
import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from portalsec.errors import DecryptionError


class TestingSealer:
    """AES-256-GCM with the place as associated data."""

    __test__ = False

    def __init__(self) -> None:
        self._aead = AESGCM(AESGCM.generate_key(256))

    def seal(self, plaintext: bytes, *, table: str, column: str, row: str) -> bytes:
        nonce = os.urandom(12)
        return nonce + self._aead.encrypt(nonce, plaintext, repr((table, column, row)).encode())

    def open(self, ciphertext: bytes, *, table: str, column: str, row: str) -> bytes:
        try:
            return self._aead.decrypt(ciphertext[:12], ciphertext[12:], repr((table, column, row)).encode())
        except InvalidTag:
            raise DecryptionError("invalid") from None


def testing_mac(purpose: str, data: bytes) -> bytes:
    return hmac.digest(b"a key for tests", hashlib.sha256(purpose.encode()).digest() + data, "sha256")


testing_mac.__test__ = False  # type: ignore[attr-defined]
