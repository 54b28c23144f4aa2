"""A CBOR encoder for what authenticators send, and for what they must not send."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["encode"]


def encode(item: object) -> bytes:
    """RFC 8949: integers, bytes, text, booleans, null, lists and mappings, in the shortest form.

    Mappings keep the order they have, so that a test decides on it; for CTAP2's canonical order see the callers.

    Raises:
        TypeError: another type.
    """
    match item:
        case False:
            return b"\xf4"
        case True:
            return b"\xf5"
        case None:
            return b"\xf6"
        case int():
            return _head(0, item) if item >= 0 else _head(1, -1 - item)
        case bytes():
            return _head(2, len(item)) + item
        case str():
            raw = item.encode()
            return _head(3, len(raw)) + raw
        case list() | tuple():
            return _head(4, len(item)) + b"".join(encode(each) for each in item)
        case Mapping():
            return _head(5, len(item)) + b"".join(encode(key) + encode(item[key]) for key in item)
        case _:
            raise TypeError(f"no CBOR for {type(item).__name__}")


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    for extra, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << 8 * size:
            return bytes([major << 5 | extra]) + number.to_bytes(size, "big")
    raise TypeError("an integer beyond 64 bits")
