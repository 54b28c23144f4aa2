"""The port of re-encryption: a table's cells, read page by page and changed by compare-and-swap.

`portalsec.sqlalchemy.SqlCells` and `portalsec.django.cells.DjangoCells` satisfy it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypeAlias
from uuid import UUID

from portalsec.crypto.context import RowId
from portalsec.errors import ConfigurationError

__all__ = ["Cell", "CellSource", "Change", "Key", "Row", "key_from_json", "key_to_json"]

Key: TypeAlias = tuple[Any, ...]
"""A row's primary key as the database orders it; one part for each column of the key."""

Cell: TypeAlias = Any
"""What a column holds: bytes, text or None; in a column of plaintext, a value of the column's own type."""


class Row(NamedTuple):
    """One row as it was read. (A tuple, since a run makes one for each row; it does not show what it holds.)

    Attributes:
        key: the primary key; where it stands.
        id: what its cells are bound to (`EncryptedField`'s ``row=``); None for fields that are bound to a column.
        values: of the source's ``columns``, in their order.
        tenant, subject: what its cells are bound to besides, where its fields ask for it.
        place: the source's own note, such as where the row lies on the disk.
    """

    key: Key
    id: RowId | None
    values: tuple[Cell, ...]
    tenant: str | None = None
    subject: str | None = None
    place: Any = None

    def __repr__(self) -> str:
        return f"Row(key={self.key!r}, values hidden)"


class Change(NamedTuple):
    """A row as it was read, and what its ``columns`` shall hold now, in the same order."""

    row: Row
    values: tuple[Cell, ...]

    def __repr__(self) -> str:
        return f"Change(key={self.row.key!r}, values hidden)"


class CellSource(Protocol):
    """The cells of one table.

    Consistency: a change is made only where every old value still stands, compared NULL-safe, and decided by the
    database: what somebody else wrote meanwhile is never overwritten. Durability: what `swap` said True of is
    committed. Loss: a process that dies in `swap` leaves a batch whole, in part (row by row) or not at all, and
    never half a row. Nothing of an ORM is called: no model, signal, event or default.

    Raises `StoreError` from every verb when the database does not answer.
    """

    @property
    def columns(self) -> Sequence[str]:
        """Names of what is read and written of each row."""
        ...

    def count(self) -> int:
        """How many rows there are, for a progress bar."""
        ...

    def page(self, after: Key | None, limit: int) -> Sequence[Row]:
        """At most ``limit`` rows behind ``after``, in an order that does not change; none at the end.

        The order is the source's own: of the keys, or of the disk. Rows that come meanwhile may be left out. Where
        the source cannot tell any more where ``after`` was, it begins at the start: what is done is recognised.
        """
        ...

    def read(self, keys: Sequence[Key]) -> Sequence[Row]:
        """Those of the rows that are still there, as they are now; in any order."""
        ...

    def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
        """For each change, in order: whether it was made.

        False: the row is not what it was (or is gone, or was locked for too long), and was left alone. What was
        made is committed when this returns. All is done in short transactions.
        """
        ...

    def tally(self, column: str, beginnings: Sequence[Collection[bytes | str]]) -> Sequence[int]:
        """How many cells begin with one of each collection, and, last, with none of any. NULL is not counted."""
        ...


# -- keys in a cursor ---------------------------------------------------------------------------------------------


def key_to_json(key: Key) -> list[Any]:
    """A key as JSON holds it, so that a run can be taken up by another process.

    Raises:
        ConfigurationError: a part of a type that has no form there.
    """
    return [_part(value) for value in key]


def key_from_json(parts: Sequence[Any]) -> Key:
    """The key of `key_to_json`. Raises `ValueError` for anything else."""
    return tuple(map(_read, parts))


def _part(value: Any) -> Any:
    if type(value) in (int, str):
        return value
    for kind, (name, write) in _WRITE.items():
        if type(value) is kind:
            return {name: write(value)}
    raise ConfigurationError(
        f"a primary key of type {type(value).__name__} cannot be kept in a cursor: "
        "int, str, UUID, bytes, date, datetime and Decimal can"
    )


def _read(part: Any) -> Any:
    if type(part) in (int, str):
        return part
    if isinstance(part, dict) and len(part) == 1:
        ((kind, text),) = part.items()
        if kind in _READ and isinstance(text, str):
            try:
                return _READ[kind](text)
            except (ValueError, ArithmeticError):
                pass
    raise ValueError("this is not a key of a cursor")


_WRITE: Mapping[type, tuple[str, Callable[[Any], str]]] = MappingProxyType(
    {
        UUID: ("uuid", str),
        bytes: ("bytes", bytes.hex),
        datetime: ("datetime", lambda value: (value.astimezone(UTC) if value.tzinfo else value).isoformat()),
        date: ("date", date.isoformat),
        Decimal: ("decimal", str),
    }
)
_READ: Mapping[str, Callable[[str], Any]] = MappingProxyType(
    {
        "uuid": UUID,
        "bytes": bytes.fromhex,
        "datetime": datetime.fromisoformat,
        "date": date.fromisoformat,
        "decimal": Decimal,
    }
)
