"""The part of protocol buffers that keysets need: varints and length-delimited fields.

Read by protobuf's own rules, as the readers inside Tink do: unknown fields are skipped, of a singular field the last
one counts, a message that comes in several pieces is merged, a field of another wire type is an unknown field, numbers
may be written longer than they need to be and are cut to their width. Written in the one form that protobuf itself
writes. Format: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["Message", "ProtoError", "bytes_field", "uint_field"]

_VARINT, _FIXED64, _BYTES, _GROUP, _END_GROUP, _FIXED32 = range(6)
_FIXED = {_FIXED64: 8, _FIXED32: 4}

_UINT32 = 2**32 - 1
_INT32_MAX = 2**31 - 1
_DEEPEST = 100  # groups within groups: the limit of protobuf's readers


class ProtoError(ValueError):
    """The bytes are not a message; the text never has any of them."""


def uint_field(number: int, value: int) -> bytes:
    """A varint field; empty for zero, which proto3 leaves out."""
    return _varint(number << 3 | _VARINT) + _varint(value) if value else b""


def bytes_field(number: int, value: bytes) -> bytes:
    """A length-delimited field; an embedded message is written even where it is empty."""
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value


class Message:
    """The fields of one message.

    Args:
        pieces: its encodings in their order, each whole in itself: usually one. Several are merged.
        depth: in how many messages this one lies, which counts against the limit of nesting.
        wide: whether a field's tag may have more than 32 bits, which are dropped. Tink's reader of key values does
            that, and the one of keysets refuses it.

    Raises:
        ProtoError: bytes that are no message.
    """

    __slots__ = ("_depth", "_fields", "_wide")

    def __init__(self, *pieces: bytes, depth: int = 0, wide: bool = False) -> None:
        self._depth, self._wide = depth, wide
        self._fields: dict[int, list[int | bytes]] = {}
        for piece in pieces:
            for number, value in _read(piece, _DEEPEST - depth, wide):
                self._fields.setdefault(number, []).append(value)

    def uint(self, number: int) -> int:
        """The last value of a uint32 or enum field (0 to 2^32 - 1); 0 where there is none."""
        for value in reversed(self._fields.get(number, ())):
            if isinstance(value, int):
                return value & _UINT32
        return 0

    def octets(self, number: int) -> bytes:
        """The last value of a bytes field; empty where there is none."""
        values = self.all(number)
        return values[-1] if values else b""

    def text(self, number: int) -> str:
        """The last value of a string field. Every one of them must be UTF-8."""
        values = [_utf8(value) for value in self.all(number)]
        return values[-1] if values else ""

    def all(self, number: int) -> list[bytes]:
        """Every value of a length-delimited field: the elements of a repeated one, or the pieces of a message."""
        return [value for value in self._fields.get(number, ()) if isinstance(value, bytes)]

    def message(self, number: int) -> Message:
        """The message in a field, merged of its pieces; an empty one where there is none."""
        return self.nested(*self.all(number))

    def nested(self, *pieces: bytes) -> Message:
        """A message that lies in this one."""
        return Message(*pieces, depth=self._depth + 1, wide=self._wide)


def _read(data: bytes, deepest: int, wide: bool) -> Iterator[tuple[int, int | bytes]]:
    """The varint and length-delimited fields of the outermost level, in order."""
    at = 0
    groups: list[int] = []  # the numbers of the groups that are open: an old form, always unknown here
    while at < len(data):
        tag, at = _read_varint(data, at, longest=5)
        if tag > _UINT32 and not wide:
            raise ProtoError("a field has a number that is too large")
        number, wire = (tag & _UINT32) >> 3, tag & 7
        if number == 0:
            raise ProtoError("a field has number 0")
        value: int | bytes | None = None
        if wire == _VARINT:
            value, at = _read_varint(data, at, longest=10)
        elif wire == _GROUP:
            groups.append(number)
            if len(groups) > deepest:
                raise ProtoError("it is nested too deeply")
        elif wire == _END_GROUP:
            if not groups or groups.pop() != number:
                raise ProtoError("a group ends that did not begin")
        elif wire == _BYTES or wire in _FIXED:
            size, at = _read_varint(data, at, longest=5) if wire == _BYTES else (_FIXED[wire], at)
            if size > len(data) - at or size > _INT32_MAX:
                raise ProtoError(f"field {number} is cut short")
            value = data[at : at + size] if wire == _BYTES else None
            at += size
        else:
            raise ProtoError(f"field {number} has a wire type that does not exist")
        if value is not None and not groups:
            yield number, value
    if groups:
        raise ProtoError("a group does not end")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, at: int, *, longest: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 7 * longest, 7):
        if at == len(data):
            raise ProtoError("a number is cut short")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ProtoError("a number is too long")


def _utf8(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        pass
    # Raised out here: the decoder's error holds the bytes.
    raise ProtoError("a text is not UTF-8")
