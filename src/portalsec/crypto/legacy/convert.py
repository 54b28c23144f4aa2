"""`convert`: what an older library stored, as a value of the field's type.

Older libraries store text: ``str()``, ``repr()`` or ``isoformat()`` of the value. Each type is read in those
spellings and no others: what is merely similar is refused rather than guessed.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any, NoReturn, TypeVar
from uuid import UUID

from portalsec.crypto.codec import Codec

__all__ = ["ReprText", "convert", "convert_datetime"]

T = TypeVar("T")

_INT = re.compile(r"-?[0-9]{1,4000}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?[0-9]{1,4000}(\.[0-9]{0,4000})?([eE][+-]?[0-9]{1,9})?", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_DATETIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{3}|\.[0-9]{6})?)?"
    r"(Z|[+-][0-9]{2}:[0-9]{2}(:[0-9]{2})?)?",
    re.ASCII,
)
_UUID = re.compile(r"[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}", re.ASCII)
_ESCAPED = r"(?:\\[\\'\"nrt]|\\x[0-9a-f]{2})"  # what repr() writes
_BYTES_LITERAL = re.compile(rf"b(?:'(?:[ -&(-\[\]-~]|{_ESCAPED})*'|\"(?:[ !#-\[\]-~]|{_ESCAPED})*\")")
_BOOLS = MappingProxyType({"true": True, "t": True, "1": True, "false": False, "f": False, "0": False})


class ReprText(str):
    """Text that a library made of a value by ``repr()`` where the value was no text."""

    __slots__ = ()


def convert(value: object, codec: Codec[T]) -> T:
    """The value as the codec's type.

    Args:
        value: what a reader opened: text or bytes, or a value that has a type already.
        codec: of the field.

    Raises:
        TypeError, ValueError: it does not stand for a value of this type. The text may show it: callers raise their
            own error, and outside of the handler.
    """
    reader = _READERS.get(codec.name)
    if reader is None:
        raise TypeError(f"a {codec.name} is not read from another library's data")
    converted = reader(value)
    codec.encode(converted)  # what comes out can be written again
    return converted  # type: ignore[no-any-return]


def _to_str(value: object) -> str:
    text = _text(value)
    return str(text) if isinstance(text, ReprText) else text


def _to_bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, ReprText):
        if not _BYTES_LITERAL.fullmatch(value):
            _no("bytes")
        literal = ast.literal_eval(value)
        return literal if isinstance(literal, bytes) else _no("bytes")
    return value.encode() if isinstance(value, str) else _no("bytes")


def _to_bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return bool(value) if value in (0, 1) else _no("bool")
    found = _BOOLS.get(_text(value).lower())
    return _no("bool") if found is None else found


def _to_int(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = _text(value)
    return int(text) if _INT.fullmatch(text) else _no("int")


def _to_decimal(value: object) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    text = _unwrapped(_text(value), "Decimal")
    try:
        return Decimal(text) if _DECIMAL.fullmatch(text) else _no("Decimal")
    except InvalidOperation:
        pass
    return _no("Decimal")


def _to_date(value: object) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    text = _text(value)
    return date.fromisoformat(text) if _DATE.fullmatch(text) else _no("date")


def convert_datetime(value: object) -> datetime:
    """A datetime with or without its zone. Raises `TypeError` or `ValueError` as `convert` does."""
    if isinstance(value, datetime):
        return value
    text = _text(value)
    return datetime.fromisoformat(text) if _DATETIME.fullmatch(text) else _no("datetime")


def _to_uuid(value: object) -> UUID:
    if isinstance(value, UUID):
        return value
    if isinstance(value, bytes) and len(value) == 16:
        return UUID(bytes=value)
    text = _unwrapped(_text(value), "UUID")
    return UUID(text) if _UUID.fullmatch(text) else _no("UUID")


def _to_json(value: object) -> Any:
    if not isinstance(value, (str, bytes)):
        return value
    try:
        return json.loads(_text(value), parse_constant=lambda _: _no("JSON"))
    except RecursionError:
        pass
    return _no("JSON")


_READERS: Mapping[str, Callable[[object], Any]] = MappingProxyType(
    {
        "str": _to_str,
        "bytes": _to_bytes,
        "bool": _to_bool,
        "int": _to_int,
        "Decimal": _to_decimal,
        "date": _to_date,
        "datetime": convert_datetime,
        "UUID": _to_uuid,
        "JSON": _to_json,
    }
)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return value.decode("utf-8") if isinstance(value, bytes) else _no("text")


def _unwrapped(text: str, name: str) -> str:
    """The inside of ``Decimal('1.50')`` where the text is a repr."""
    if isinstance(text, ReprText) and text.startswith(f"{name}('") and text.endswith("')"):
        return text[len(name) + 2 : -2]
    return text


def _no(wanted: str) -> NoReturn:
    raise ValueError(f"this does not stand for a {wanted}")
