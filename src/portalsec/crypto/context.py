"""The associated data of a cell, ``psc1``: which table, column, tenant and row a ciphertext belongs to.

Pure and injective: two different places never give the same bytes, whatever the labels hold. Labels are strings
that are declared, never names of classes or columns, so that a rename breaks nothing. The encoding is written down,
with vectors, in ``docs/reference/crypto-formats.md``; it never changes under this version.

::

    psc1 = "psc1" || text(table) || text(column) || tenant || row
    text(s) = length of s in UTF-8, 4 bytes big-endian || s in UTF-8
    tenant  = 0x00                    no tenant
            | 0x01 || text(tenant)
    row     = type byte || length of payload, 4 bytes big-endian || payload
              "-"  empty                       the column as a whole (context="column")
              "i"  decimal digits, ASCII       int
              "u"  16 bytes, RFC 9562 order    UUID
              "s"  UTF-8                       str
              "t"  the rows of its elements    tuple (a composite key)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias
from uuid import UUID

from portalsec._encoding import length_prefixed
from portalsec.errors import ConfigurationError

__all__ = ["RowId", "associated_data", "label", "place_of"]

RowId: TypeAlias = "int | str | UUID | tuple[RowId, ...]"
"""A row's id. The type is part of it: the int 7, the text "7" and a UUID are three different rows."""

_MAGIC = b"psc1"
_NO_TENANT = b"\x00"
_TENANT = b"\x01"
_NO_ROW = b"-" + length_prefixed(b"")

# Type byte and length for each payload below 256 bytes, so that the hot path formats nothing.
_TEXT_HEADS = tuple(b"s" + size.to_bytes(4, "big") for size in range(256))
_INT_HEADS = tuple(b"i" + size.to_bytes(4, "big") for size in range(32))


def associated_data(*, table: str, column: str, row: RowId | None, tenant: str | None = None) -> bytes:
    """The whole encoding, for one cell; ``row=None`` is the column as a whole.

    Raises:
        TypeError: a row id of another type (a bool among them: it would be the row 0 or 1).
        ValueError: an empty or unencodable row id or tenant.
        ConfigurationError: an empty or unencodable label.
    """
    return place_of(table, column)(row, tenant)


def place_of(table: str, column: str) -> Callable[[RowId | None, str | None], bytes]:
    """`associated_data` with table and column fixed: their part is computed once."""
    start = _MAGIC + length_prefixed(label("table", table), label("column", column))
    untenanted = start + _NO_TENANT

    def place(row: RowId | None, tenant: str | None) -> bytes:
        prefix = untenanted if tenant is None else start + _TENANT + length_prefixed(_utf8("tenant", tenant))
        return prefix + _row(row)

    return place


def label(what: str, value: object) -> bytes:
    """A declared label in UTF-8; `ConfigurationError` where it is no text, empty or not encodable."""
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"the {what} label of an encrypted field is a text that is not empty")
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(
            f"the {what} label of an encrypted field has half a surrogate pair"
        ) from None


def _row(row: RowId | None) -> bytes:
    if type(row) is str:
        return _text_row(row)
    if type(row) is int:
        digits = b"%d" % row
        return (_INT_HEADS[len(digits)] if len(digits) < 32 else _head(b"i", digits)) + digits
    if row is None:
        return _NO_ROW
    return _other_row(row)


def _text_row(row: str) -> bytes:
    payload = _utf8("row id", row)
    return (_TEXT_HEADS[len(payload)] if len(payload) < 256 else _head(b"s", payload)) + payload


def _other_row(row: RowId) -> bytes:
    if isinstance(row, UUID):
        return b"u\x00\x00\x00\x10" + row.bytes
    if isinstance(row, str):
        return _text_row(str.__str__(row))
    if isinstance(row, int) and not isinstance(row, bool):
        return _row(int(row))
    if isinstance(row, tuple):
        if not row or None in row:
            raise ValueError("a composite row id has at least one part and no None")
        payload = b"".join(map(_row, row))
        return _head(b"t", payload) + payload
    raise TypeError(f"a row id is an int, str, UUID or a tuple of them, not {type(row).__name__}")


def _head(kind: bytes, payload: bytes) -> bytes:
    return kind + len(payload).to_bytes(4, "big")


def _utf8(what: str, value: object) -> bytes:
    # An empty id is one that was not set yet: every row would share it, and cells could be swapped.
    if not isinstance(value, str):
        raise TypeError(f"a {what} is text, not {type(value).__name__}")
    if not value:
        raise ValueError(f"a {what} is not empty")
    try:
        return str.encode(value)
    except UnicodeEncodeError:
        pass  # outside the handler: the error of the codec holds the text
    raise ValueError(f"a {what} has half a surrogate pair and cannot be encoded")
