"""The part of protocol buffers that key values need: varints and length-delimited fields, read strictly.

A key value has one right encoding up to the order of its fields. Whatever protobuf tolerates besides (unknown
fields, a field twice, overlong varints) is refused: two readers that disagree about such bytes would disagree
about the key. Format: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

__all__ = ["ProtoError", "bytes_field", "read", "read_message", "uint_field"]

_VARINT = 0
_BYTES = 2
_UINT32_MAX = 2**32 - 1

Kind = Literal["uint", "bytes"]


class ProtoError(ValueError):
    """The bytes are not the message; the text never has any of them."""


def uint_field(number: int, value: int) -> bytes:
    """A varint field; empty for zero, which proto3 leaves out."""
    return _varint(number << 3 | _VARINT) + _varint(value) if value else b""


def bytes_field(number: int, value: bytes) -> bytes:
    """A length-delimited field; an embedded message is written even where it is empty."""
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value


def read(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers and values in order. Raises `ProtoError` at the first byte that does not fit."""
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise ProtoError("a field has number 0")
        if wire not in (_VARINT, _BYTES):
            raise ProtoError(f"field {number} has a wire type that no key uses")
        value, at = _read_varint(data, at)
        if wire == _VARINT:
            yield number, value
            continue
        if value > len(data) - at:
            raise ProtoError(f"field {number} is cut short")
        yield number, data[at : at + value]
        at += value


def read_message(data: bytes, fields: Mapping[int, Kind]) -> dict[int, int | bytes]:
    """A message of exactly these singular fields, any of which may be absent."""
    found: dict[int, int | bytes] = {}
    for number, value in read(data):
        kind = fields.get(number)
        if kind is None:
            raise ProtoError(f"field {number} is unknown")
        if (kind == "uint") is not isinstance(value, int):
            raise ProtoError(f"field {number} has the wrong wire type")
        if number in found:
            raise ProtoError(f"field {number} comes twice")
        found[number] = value
    return found


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at == len(data):
            raise ProtoError("a number is cut short")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if value > _UINT32_MAX:
            raise ProtoError("a number is too large")
        if byte < 0x80:
            if byte == 0 and shift:
                raise ProtoError("a number is not written in its shortest form")
            return value, at
        shift += 7
        if shift > 28:
            raise ProtoError("a number is too long")
