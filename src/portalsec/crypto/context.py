"""The associated data of a cell, ``psc1``: which table, column, type, tenant and row a ciphertext belongs to.

Pure and injective: two different places never give the same bytes, whatever the labels hold. Labels are strings
that are declared, never names of classes or columns, so that a rename breaks nothing. The encoding is written down,
with vectors, in ``docs/reference/crypto-formats.md``; it never changes under this version.

::

    psc1     = "psc1" || text(table) || text(column) || type || tenant || row
    text(s)  = sized(s in UTF-8)
    sized(b) = length of b, 4 bytes big-endian || b
    type     = type byte of the codec
             | "p" || type byte        the value is padded
    tenant   = 0x00                    no tenant
             | 0x01 || text(tenant)
    row      = kind || payload         to the end
               "-"  empty                        the column as a whole (context="column")
               "i"  decimal digits, ASCII        int
               "u"  16 bytes, RFC 9562 order     UUID
               "s"  UTF-8                        str
               "t"  kind || sized(payload) ...   tuple (a composite key): each of its parts
"""

from __future__ import annotations

from typing import TypeAlias
from uuid import UUID

from portalsec._encoding import length_prefixed
from portalsec.errors import ConfigurationError

__all__ = ["RowId", "associated_data", "cell_prefix", "place", "tenant_prefix"]

RowId: TypeAlias = "int | str | UUID | tuple[RowId, ...]"
"""A row's id. The type is part of it: the int 7, the text "7" and a UUID are three different rows."""

NO_TENANT = b"\x00"
_TENANT = b"\x01"


def associated_data(
    *, table: str, column: str, type_byte: bytes, row: RowId | None, tenant: str | None = None
) -> bytes:
    """The whole encoding, for one cell; ``row=None`` is the column as a whole.

    Raises:
        TypeError: a row id of another type (a bool among them: it would be the row 0 or 1).
        ValueError: an empty or unencodable row id or tenant.
        ConfigurationError: an empty or unencodable label.
    """
    return place(cell_prefix(table, column, type_byte), row, tenant)


def cell_prefix(table: str, column: str, type_byte: bytes) -> bytes:
    """The part that is the same for every cell of a column."""
    return b"psc1" + length_prefixed(_label("table", table), _label("column", column)) + type_byte


def place(prefix: bytes, row: RowId | None, tenant: str | None) -> bytes:
    """The associated data of one cell, given its column's `cell_prefix`."""
    kind, payload = _row(row)
    return tenant_prefix(prefix, tenant) + kind + payload


def tenant_prefix(prefix: bytes, tenant: str | None) -> bytes:
    """The part that is the same for every row of a tenant, or of a column without tenants."""
    return prefix + (NO_TENANT if tenant is None else _TENANT + length_prefixed(_text("tenant", tenant)))


_DEEPEST = 16  # a composite key has one level


def _row(row: RowId | None, depth: int = 0) -> tuple[bytes, bytes]:
    if row is None:
        return b"-", b""
    if isinstance(row, str):
        return b"s", _text("row id", row)
    if isinstance(row, UUID):
        return b"u", row.bytes
    if isinstance(row, int) and not isinstance(row, bool):
        return b"i", b"%d" % row
    if isinstance(row, tuple):
        if not row or None in row:
            raise ValueError("a composite row id has at least one part, and None is no part")
        if depth == _DEEPEST:
            raise ValueError("a composite row id is nested too deeply")
        parts = [_row(part, depth + 1) for part in row]
        return b"t", b"".join(kind + length_prefixed(payload) for kind, payload in parts)
    raise TypeError(f"a row id is an int, str, UUID or a tuple of them, not {type(row).__name__}")


def _label(what: str, value: object) -> bytes:
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"the {what} label of an encrypted field is a text that is not empty")
    try:
        return str.encode(value)
    except UnicodeEncodeError:
        raise ConfigurationError(
            f"the {what} label of an encrypted field has half a surrogate pair"
        ) from None


def _text(what: str, value: object) -> bytes:
    if not isinstance(value, str):
        raise TypeError(f"a {what} is text, not {type(value).__name__}")
    if not value:
        # An empty id is one that was not set yet: every row would share it, and cells could be swapped.
        raise ValueError(f"a {what} is not empty")
    try:
        return str.encode(value)
    except UnicodeEncodeError:
        pass  # outside the handler: the error of the codec holds the text
    raise ValueError(f"a {what} has half a surrogate pair and cannot be encoded")
