"""Encodings that must be injective or canonical, in one place."""

from __future__ import annotations

import binascii
import secrets
import time
from typing import Final

__all__ = ["b64url", "length_prefixed", "new_token", "unb64url", "uuid7"]


_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
_FROM_URL: Final = bytes.maketrans(b"-_+/=", b"+/!!!")  # "!" is in no alphabet
_PADDING: Final = (b"", b"", b"==", b"=")  # by the length modulo 4; of 1, no text has
_LAST: Final = (None, b"", b"AQgw", b"AEIMQUYcgkosw048")  # characters that end with no loose bits, likewise


def b64url(data: bytes) -> str:
    """RFC 4648 section 5, without padding."""
    return binascii.b2a_base64(data, newline=False).translate(_TO_URL, b"=").decode("ascii")


def unb64url(text: str) -> bytes:
    """The inverse of `b64url`, canonical only: `ValueError` for padding, other alphabets and loose end bits."""
    # A passkey's answer has five of them: this takes half the time of decoding, encoding again and comparing.
    rest = len(text) % 4
    last = _LAST[rest]
    try:
        encoded = text.encode("ascii")
        data = binascii.a2b_base64(encoded.translate(_FROM_URL) + _PADDING[rest], strict_mode=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise ValueError("not base64url") from error
    if last is not None and encoded[-1] not in last:
        raise ValueError("not canonical base64url")
    return data


def length_prefixed(*parts: bytes) -> bytes:
    """Each part after its length as 4 bytes big-endian: different tuples never give the same bytes."""
    return b"".join([len(part).to_bytes(4, "big") + part for part in parts])


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
