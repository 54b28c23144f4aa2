"""What crypto's fields ask of a key: an AEAD that finds its key by itself."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Aead"]


class Aead(Protocol):
    """Tink's Aead: authenticated encryption with associated data. Nonces are never an argument."""

    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes: ...

    def decrypt(self, ciphertext: bytes, associated_data: bytes) -> bytes:
        """Raises `portalsec.errors.DecryptionError`, one error for every cause."""
        ...
