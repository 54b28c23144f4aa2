"""Bytes at the border of a cipher: what is taken as a ciphertext, and what is a mistake of the caller."""

from __future__ import annotations

from portalsec.errors import DecryptionError

__all__ = ["as_ciphertext", "check_bytes"]


def as_ciphertext(value: object) -> bytes:
    """The bytes; some drivers hand out buffers. A column that holds text or a number was not written here."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    raise DecryptionError("not_bytes")


def check_bytes(value: object, what: str) -> None:
    """Raises `TypeError` where it is not bytes; ``None`` would be taken for empty by some ciphers."""
    if not isinstance(value, bytes):
        raise TypeError(f"{what} bytes, not {type(value).__name__}")
