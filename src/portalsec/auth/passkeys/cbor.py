"""A strict reader of CBOR (RFC 8949), for attestation objects, COSE keys and extension outputs.

It reads integers, byte and text strings, arrays, maps, false, true, null and floats. It refuses what no authenticator
sends and what two readers could read in two ways: tags, lengths that are not told ahead, keys that come twice, keys other
than integers and text, text that is no UTF-8, and bytes after the one item. Depth and the number of items are bounded, and
nothing is allocated by a length that the input merely claims.
"""

from __future__ import annotations

import struct
from typing import Final

__all__ = ["Item", "MalformedCbor", "read", "read_first"]

Item = int | bytes | str | bool | float | None | list["Item"] | dict["int | str", "Item"]

_DEPTH: Final = 8  # an attestation statement with certificates takes 4
_ITEMS: Final = 1000  # one with a long chain takes under 50
_FLOATS: Final = {25: ">e", 26: ">f", 27: ">d"}
_SIMPLE: Final[dict[int, bool | None]] = {20: False, 21: True, 22: None}


class MalformedCbor(Exception):
    """Not one well-formed item, as this reader takes them. The text never quotes the input."""


def read(data: bytes) -> Item:
    """The one item that ``data`` is. Raises `MalformedCbor`, also where bytes follow it."""
    item, end = read_first(data, 0)
    if end != len(data):
        raise MalformedCbor("bytes after the item")
    return item


def read_first(data: bytes, at: int) -> tuple[Item, int]:
    """The item that begins at ``at``, and where it ends. Raises `MalformedCbor`."""
    reader = _Reader(data, at)
    return reader.item(_DEPTH), reader.at


class _Reader:
    __slots__ = ("_data", "_left", "at")

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._left = _ITEMS
        self.at = at

    def item(self, depth: int) -> Item:
        self._left -= 1
        if depth < 0 or self._left < 0:
            raise MalformedCbor("too deep or too many items")
        first = self._bytes(1)[0]
        major, info = first >> 5, first & 0x1F
        if major == 7:
            return self._simple(info)
        length = self._argument(info)
        match major:
            case 0:
                return length
            case 1:
                return -1 - length
            case 2:
                return self._bytes(length)
            case 3:
                return self._text(length)
            case 4:
                return [self.item(depth - 1) for _ in range(self._fits(length))]
            case 5:
                return self._map(self._fits(length), depth - 1)
            case _:
                raise MalformedCbor("a tag")

    def _bytes(self, length: int) -> bytes:
        end = self.at + length
        if end > len(self._data):
            raise MalformedCbor("ends too early")
        taken = self._data[self.at : end]
        self.at = end
        return taken

    def _argument(self, info: int) -> int:
        if info < 24:
            return info
        if info > 27:  # 28 to 30 are reserved; 31 is a length that is not told ahead
            raise MalformedCbor("no length")
        return int.from_bytes(self._bytes(1 << (info - 24)), "big")

    def _fits(self, count: int) -> int:
        # Each member takes a byte at least: a count past that is a bomb.
        if count > len(self._data) - self.at:
            raise MalformedCbor("ends too early")
        return count

    def _text(self, length: int) -> str:
        taken = self._bytes(length)
        try:
            return taken.decode("utf-8")
        except UnicodeDecodeError:
            raise MalformedCbor("text that is no UTF-8") from None

    def _map(self, count: int, depth: int) -> Item:
        members: dict[int | str, Item] = {}
        for _ in range(count):
            key = self.item(depth)
            # `True` and 1 are one key to Python, and no authenticator has either a bool or a byte string as one.
            if not isinstance(key, int | str) or isinstance(key, bool):
                raise MalformedCbor("a key that is neither a number nor text")
            if key in members:
                raise MalformedCbor("a key twice")
            members[key] = self.item(depth)
        return members

    def _simple(self, info: int) -> Item:
        if info in _FLOATS:
            value: float = struct.unpack(_FLOATS[info], self._bytes(1 << (info - 24)))[0]
            return value
        if info not in _SIMPLE:
            raise MalformedCbor("a simple value")
        return _SIMPLE[info]
