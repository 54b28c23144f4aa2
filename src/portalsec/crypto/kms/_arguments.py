"""What every remote `Aead` checks before it sends anything."""

from __future__ import annotations

from portalsec.errors import DecryptionError

__all__ = ["ciphertext_bytes", "require_bytes"]


def require_bytes(**arguments: object) -> None:
    """`TypeError` for what is not bytes: a client library's own complaint would print the value."""
    for name, value in arguments.items():
        if not isinstance(value, bytes):
            raise TypeError(f"{name} is bytes, not {type(value).__name__}")


def ciphertext_bytes(ciphertext: object) -> bytes:
    """The ciphertext; a driver's buffer is copied, and what is no bytes was not written here."""
    if isinstance(ciphertext, (bytes, bytearray, memoryview)):
        return bytes(ciphertext)
    raise DecryptionError("not_bytes")
