"""Values as bytes: one type byte and one canonical encoding a type.

The type byte is authenticated and not stored: it is part of the cell's associated data, so a cell does not open where
another type is declared, the plaintext is the bare encoding, and no byte is spent on it. No pickle (an authenticated pickle is still code of whoever had the key) and no compression (the length
of a compressed text speaks about the text). The encodings are written down in ``docs/reference/crypto-formats.md``.
"""

from __future__ import annotations

import builtins
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Generic, TypeVar
from uuid import UUID

from portalsec.clock import unix_microseconds
from portalsec.errors import ConfigurationError

__all__ = ["JSON", "Codec", "CodecError", "codec_for"]

T = TypeVar("T")

_SECOND = timedelta(seconds=1)
_LOCAL_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  (arithmetic on local time; the offset is put back at the end)


class CodecError(ValueError):
    """Bytes that are not the canonical encoding of anything of the type; the text never has any of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec(Generic[T]):
    """How a type is written.

    Attributes:
        name: of the type, for messages.
        tag: the type byte: one, and in a codec of your own none of those below nor "p", which padding has.
        encode: `TypeError` for another type, `ValueError` for a value that has no encoding; neither shows the value.
        decode: the inverse; `CodecError` for anything that ``encode`` does not make.
    """

    name: str
    tag: bytes
    encode: Callable[[T], bytes]
    decode: Callable[[bytes], T]


def codec_for(declared: builtins.type[T] | Codec[T]) -> Codec[T]:
    """The codec of a declared type.

    Raises:
        ConfigurationError: a type that has none; a codec of your own whose type byte is not one byte, or is that of
            another codec: a cell of one would open as the other's, or in another place.
    """
    if isinstance(declared, Codec):
        tag: object = declared.tag
        own = isinstance(tag, bytes) and len(tag) == 1 and tag not in _TAKEN
        if not own and declared is not JSON and declared not in _BY_TYPE.values():
            raise ConfigurationError(
                f"the codec {declared.name} needs a type byte of its own: one byte, and none of "
                f"{', '.join(sorted(map(bytes.decode, _TAKEN)))}"
            )
        return declared
    try:
        return _BY_TYPE[declared]
    except (KeyError, TypeError):
        known = ", ".join(kind.__name__ for kind in _BY_TYPE)
        raise ConfigurationError(
            f"an encrypted field cannot hold {getattr(declared, '__name__', 'this')}: "
            f"declare one of {known}, or portalsec.crypto.JSON"
        ) from None


# -- text and bytes ---------------------------------------------------------------------------------------------


def _encode_str(value: object) -> bytes:
    if not isinstance(value, str):
        raise _wrong_type("str", value)
    try:
        return str.encode(value)
    except UnicodeEncodeError:
        pass  # outside the handler: the error of the codec holds the text
    raise ValueError("this text has half a surrogate pair and cannot be encoded")


def _decode_str(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        pass
    raise CodecError("not a str")


def _encode_bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise _wrong_type("bytes", value)
    return value


def _decode_bytes(data: bytes) -> bytes:
    return data


# -- numbers ----------------------------------------------------------------------------------------------------


def _encode_bool(value: object) -> bytes:
    if not isinstance(value, bool):
        raise _wrong_type("bool", value)
    return b"\x01" if value else b"\x00"


def _decode_bool(data: bytes) -> bool:
    if data not in (b"\x00", b"\x01"):
        raise CodecError("not a bool")
    return data == b"\x01"


def _encode_int(value: object) -> bytes:
    # True would come back as 1: a bool is not an int here.
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong_type("int", value)
    size = (value if value >= 0 else ~value).bit_length() // 8 + 1
    return int(value).to_bytes(size, "big", signed=True)


def _decode_int(data: bytes) -> int:
    return _canonical(data, int.from_bytes(data, "big", signed=True), _encode_int)


_DECIMAL = re.compile(rb"(-?)(0|[1-9][0-9]*)e(0|-?[1-9][0-9]{0,18})")


def _encode_decimal(value: object) -> bytes:
    if not isinstance(value, Decimal):
        raise _wrong_type("Decimal", value)
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise ValueError("a Decimal that is not finite cannot be encoded")
    # Written out by hand: str() of a Decimal depends on the caller's decimal context.
    return b"%s%se%d" % (b"-" if sign else b"", bytes(digit + 0x30 for digit in digits), exponent)


def _decode_decimal(data: bytes) -> Decimal:
    match = _DECIMAL.fullmatch(data)
    if match is None:
        raise CodecError("not a Decimal")
    digits = tuple(digit - 0x30 for digit in match[2])
    return _canonical(data, Decimal((len(match[1]), digits, int(match[3]))), _encode_decimal)


# -- time -------------------------------------------------------------------------------------------------------


def _encode_date(value: object) -> bytes:
    # A datetime is a date to Python; as a date its time would be lost.
    if not isinstance(value, date) or isinstance(value, datetime):
        raise _wrong_type("date", value)
    return date.isoformat(value).encode("ascii")


def _decode_date(data: bytes) -> date:
    try:
        value = date.fromisoformat(data.decode("ascii"))
    except ValueError:
        value = None
    if value is None:
        raise CodecError("not a date")
    return _canonical(data, value, _encode_date)


def _encode_datetime(value: object) -> bytes:
    if not isinstance(value, datetime):
        raise _wrong_type("datetime", value)
    offset = value.utcoffset()
    if offset is None:
        raise ValueError("a datetime without a time zone cannot be encoded: it names no instant")
    if offset % _SECOND:
        raise ValueError("a datetime with a fraction of a second in its UTC offset cannot be encoded")
    instant = unix_microseconds(value).to_bytes(8, "big", signed=True)
    return instant + (offset // _SECOND).to_bytes(4, "big", signed=True)


def _decode_datetime(data: bytes) -> datetime:
    if len(data) == 12:
        try:
            instant = timedelta(microseconds=int.from_bytes(data[:8], "big", signed=True))
            offset = timedelta(seconds=int.from_bytes(data[8:], "big", signed=True))
            # By way of local time: the instant of a moment near year 1 or 9999 may lie outside datetime's range.
            return (_LOCAL_EPOCH + (instant + offset)).replace(tzinfo=timezone(offset) if offset else UTC)
        except (ValueError, OverflowError):
            pass
    raise CodecError("not a datetime")


# -- the rest ---------------------------------------------------------------------------------------------------


def _encode_uuid(value: object) -> bytes:
    if not isinstance(value, UUID):
        raise _wrong_type("UUID", value)
    return value.bytes


def _decode_uuid(data: bytes) -> UUID:
    if len(data) != 16:
        raise CodecError("not a UUID")
    return UUID(bytes=data)


def _encode_json(value: object) -> bytes:
    problem = "this value has a number that JSON cannot hold"  # json's own words would show the number
    try:
        _check_json(value)
        return _dump_json(value)
    except RecursionError:
        problem = "this value is nested too deeply to be encoded"
    except UnicodeEncodeError:
        problem = "this value has half a surrogate pair and cannot be encoded"
    except _JsonProblem as error:
        problem = str(error)
    except ValueError:
        pass
    raise ValueError(problem)


def _decode_json(data: bytes) -> Any:
    try:
        value = json.loads(data.decode())
        if _dump_json(value) == data:
            return value
    except (ValueError, RecursionError):
        pass
    raise CodecError("not JSON")


def _dump_json(value: object) -> bytes:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
    return text.encode()


class _JsonProblem(ValueError):
    pass


def _check_json(value: object) -> None:
    """Only what comes back as it went in: json would turn tuples into lists and keys into text unasked."""
    if value is None or type(value) in (str, bool, int, float):
        return
    if type(value) is list:
        for item in value:
            _check_json(item)
    elif type(value) is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise _JsonProblem("the keys of a JSON object are str")
            _check_json(item)
    else:
        raise _JsonProblem(f"JSON has no {type(value).__name__}: convert it first")


def _canonical(data: bytes, value: T, encode: Callable[[T], bytes]) -> T:
    """``value`` if ``data`` is its one encoding."""
    if encode(value) != data:
        raise CodecError("not canonical")
    return value


def _wrong_type(wanted: str, value: object) -> TypeError:
    return TypeError(f"this field holds {wanted}, not {type(value).__name__}")


_BY_TYPE: Mapping[Any, Codec[Any]] = MappingProxyType(
    {
        str: Codec(name="str", tag=b"s", encode=_encode_str, decode=_decode_str),
        bytes: Codec(name="bytes", tag=b"b", encode=_encode_bytes, decode=_decode_bytes),
        bool: Codec(name="bool", tag=b"?", encode=_encode_bool, decode=_decode_bool),
        int: Codec(name="int", tag=b"i", encode=_encode_int, decode=_decode_int),
        Decimal: Codec(name="Decimal", tag=b"d", encode=_encode_decimal, decode=_decode_decimal),
        date: Codec(name="date", tag=b"D", encode=_encode_date, decode=_decode_date),
        datetime: Codec(name="datetime", tag=b"T", encode=_encode_datetime, decode=_decode_datetime),
        UUID: Codec(name="UUID", tag=b"u", encode=_encode_uuid, decode=_decode_uuid),
    }
)

JSON: Codec[Any] = Codec(name="JSON", tag=b"j", encode=_encode_json, decode=_decode_json)
"""Anything that JSON holds: None inside, str, bool, int, finite float, list, dict with str keys."""

_TAKEN = frozenset(codec.tag for codec in (*_BY_TYPE.values(), JSON)) | {b"p"}
