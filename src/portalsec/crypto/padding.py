"""Padding, so that a cell's length does not tell its value: "positive" from "negative", a long note from none.

The padded plaintext is the encoding of the value, a byte 0x80, and as many bytes 0x00 as are missing (ISO/IEC 7816-4):
unambiguous, since the last byte that is not zero is always the mark. It is inside the encryption and authenticated with
it, so nobody can ask about it byte by byte. Whether a field pads is part of its type, and so of the associated data: a
padded cell never opens as one that is not padded, nor the other way round. How far it pads is not: that may be changed
at any time, and every cell stays readable.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias, TypeVar

from portalsec.crypto.codec import Codec, CodecError
from portalsec.errors import ConfigurationError

__all__ = ["PADDED", "Pad", "padded", "padme"]

T = TypeVar("T")

Pad: TypeAlias = "int | Literal['padme'] | None"

PADDED = b"p"
"""Before the type byte of a padded field; no type has it as its own."""

_MARK = b"\x80"
_MOST = 65536


def padded(codec: Codec[T], pad: Pad) -> Codec[T]:
    """The codec of a padded field.

    Args:
        pad: to a multiple of so many bytes (2 to 65536), the mark among them; or "padme".

    Raises:
        ConfigurationError: another ``pad``.
    """
    if pad == "padme":
        size: Callable[[int], int] = padme
    elif isinstance(pad, int) and not isinstance(pad, bool) and 2 <= pad <= _MOST:
        step = pad

        def size(least: int) -> int:
            return -(-least // step) * step

    else:
        raise ConfigurationError(f'pad={pad!r}: choose a number of bytes from 2 to {_MOST}, or "padme"')
    encode, decode = codec.encode, codec.decode

    def encode_padded(value: T) -> bytes:
        data = encode(value) + _MARK
        return data.ljust(size(len(data)), b"\x00")

    def decode_padded(data: bytes) -> T:
        marked = data.rstrip(b"\x00")
        if not marked.endswith(_MARK):
            raise CodecError("not padded")
        return decode(marked[:-1])

    return Codec(name=codec.name, tag=PADDED + codec.tag, encode=encode_padded, decode=decode_padded)


def padme(size: int) -> int:
    """The padded size of Padmé: at most 12 % more, and only O(log log n) bits of the length are seen.

    Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs" (PETS 2019),
    algorithm 1: of the size's binary digits, those after the first few are rounded up. Sizes below 8 or so stay as
    they are: for short values, pad to a multiple.
    """
    if size < 2:
        return size
    exponent = size.bit_length() - 1
    loose = (1 << exponent - exponent.bit_length()) - 1
    return (size + loose) & ~loose
