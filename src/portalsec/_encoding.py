"""Encodings that must be injective or canonical, in one place."""

from __future__ import annotations

import base64
import binascii
import secrets
import time

__all__ = ["b64url", "length_prefixed", "new_token", "unb64url", "uuid7"]


def b64url(data: bytes) -> str:
    """RFC 4648 section 5, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def unb64url(text: str) -> bytes:
    """The inverse of `b64url`, canonical only: `ValueError` for padding, other alphabets and loose end bits."""
    try:
        data = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (UnicodeEncodeError, binascii.Error) as error:
        raise ValueError("not base64url") from error
    if b64url(data) != text:
        raise ValueError("not canonical base64url")
    return data


def length_prefixed(*parts: bytes) -> bytes:
    """Each part after its length as 4 bytes big-endian: different tuples never give the same bytes."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def new_token() -> str:
    """256 bits from the operating system as 43 characters of base64url."""
    return b64url(secrets.token_bytes(32))


def uuid7() -> str:
    """A UUIDv7 (RFC 9562 section 5.7): 48 bits of milliseconds, then 74 random bits."""
    millis = time.time_ns() // 1_000_000
    random = int.from_bytes(secrets.token_bytes(10), "big")
    value = (
        (millis & (2**48 - 1)) << 80
        | 0x7 << 76
        | (random >> 68 & 0xFFF) << 64
        | 0b10 << 62
        | random & (2**62 - 1)
    )
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
