"""Which row, tenant and subject the cells of a mapped class belong to, and that the application assigns them.

A cell is bound to its row before the row is written, so that the row's id has to be known by then. It is the primary
key, where the application assigns it; a key that the database assigns is refused when the mapper is configured.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import CHAR, Column, Sequence, Table, UniqueConstraint, Uuid, event
from sqlalchemy.orm import InstanceState, Mapper

from portalsec.crypto.context import RowId
from portalsec.errors import ConfigurationError

__all__ = ["Place", "Places"]

_STAYS = ("", "NO ACTION", "RESTRICT")
"""What a foreign key does on an update of what it refers to, without changing the row that has it."""


class Place(NamedTuple):
    """What a cell is bound to besides its labels. Of `Place`s of one field, equal ones are the same cell."""

    row: RowId | None
    tenant: str | None = None
    subject: str | None = None

    def named(self) -> dict[str, Any]:
        """The arguments of a field's verbs."""
        return {name: value for name, value in zip(self._fields, self, strict=True) if value is not None}


class Places:
    """Finds the place of the cells of one encrypted attribute, on the objects of one mapper.

    Raises, when it is built:
        ConfigurationError: an attribute that is none, a row id that the database assigns or changes, one of a type
            that is no row id, ``row=`` with a column that is not unique and not null.
    """

    def __init__(
        self,
        mapper: Mapper[Any],
        where: str,
        *,
        row: str | Iterable[str] | None,
        tenant: str | None,
        subject: str | None,
        bound: bool,
    ) -> None:
        self._where = where
        self._primary = bound and row is None
        self._rows: tuple[_Part, ...] = ()
        if self._primary:
            self._rows = tuple(
                _Part(mapper, where, _key_of(mapper, where, column), column) for column in mapper.primary_key
            )
        elif row is not None:
            names = (row,) if isinstance(row, str) else tuple(row)
            self._rows = tuple(_Part(mapper, where, name) for name in names)
            _check_unique(where, self._rows)
        for part in self._rows:
            part.check_row_id()
        self._tenant = None if tenant is None else _Part(mapper, where, tenant)
        self._subject = None if subject is None else _Part(mapper, where, subject)
        self._parts = (*self._rows, *(part for part in (self._tenant, self._subject) if part is not None))
        self.keys = tuple(part.key for part in self._parts)
        """The attributes that decide the place."""
        self.simple = self._primary and len(self._parts) == 1
        """Whether the place is the one part of the primary key, and nothing else."""
        for part in self._parts:
            part.check_stays()
            if not part.column.primary_key:
                # Or the value that is replaced would be unknown, and with it the place of the stored cells.
                event.listen(getattr(mapper.class_, part.key), "set", _remember, active_history=True)

    @property
    def needs_row(self) -> bool:
        """Whether cells are bound to a row at all."""
        return bool(self._rows)

    @property
    def row_columns(self) -> tuple[Column[Any], ...]:
        """What stands in for the primary key; none where that is the row id."""
        return () if self._primary else tuple(part.column for part in self._rows)

    @property
    def tenant_column(self) -> Column[Any] | None:
        return None if self._tenant is None else self._tenant.column

    @property
    def subject_column(self) -> Column[Any] | None:
        return None if self._subject is None else self._subject.column

    def stored(self, instance: Any, state: InstanceState[Any]) -> Place:
        """The place of the cells as they were read: that of the row in the database, whatever was assigned since."""
        if state.key is None:
            return self.current(instance)
        if self.simple:
            return Place(state.key[1][0])
        if self._primary:
            ids: tuple[Any, ...] = state.key[1]
        else:
            ids = tuple(part.stored(instance, state) for part in self._rows)
        tenant = None if self._tenant is None else self._tenant.stored(instance, state)
        subject = None if self._subject is None else self._subject.stored(instance, state)
        return Place(_row(ids), _text(tenant), _text(subject))

    def current(self, instance: Any) -> Place:
        """The place by the attributes as they are now. Raises `ConfigurationError` where one is missing."""
        return self._place({key: getattr(instance, key) for key in self.keys})

    def settled(self, instance: Any) -> Place:
        """The place of an object that is about to be inserted; the key's default is assigned where it is missing."""
        for part in self._rows:
            if getattr(instance, part.key) is None:
                value = part.default()
                if value is not None:
                    setattr(instance, part.key, value)
        return self.current(instance)

    def of_mapping(self, mapping: MutableMapping[str, Any], *, defaults: bool) -> Place:
        """The same for a mapping of attributes, of an INSERT of many rows.

        An UPDATE draws no defaults: they would be written, and all other cells of the row lost.
        """
        for part in self._rows if defaults else ():
            if mapping.get(part.key) is None:
                value = part.default()
                if value is not None:
                    mapping[part.key] = value
        return self._place(mapping)

    def movable(self) -> Iterator[tuple[str, Column[Any]]]:
        """What the place consists of besides the primary key, by which a row is found when it is written."""
        return ((part.key, part.column) for part in self._parts if not part.column.primary_key)

    def columns(self) -> Iterator[tuple[str, Column[Any]]]:
        """The attributes that decide the place, and their columns."""
        return ((part.key, part.column) for part in self._parts)

    @property
    def row_id(self) -> frozenset[Column[Any]]:
        """The columns of the row id, the primary key among them."""
        return frozenset(part.column for part in self._rows)

    def moved(self, instance: Any, state: InstanceState[Any]) -> bool:
        """Whether the object, which has a row, was given another place."""
        if not any(key in state.committed_state for key in self.keys):
            return False
        return self.stored(instance, state) != self.current(instance)

    def _place(self, values: Mapping[str, Any]) -> Place:
        ids = tuple(part.checked(values.get(part.key)) for part in self._rows)
        tenant = None if self._tenant is None else self._tenant.present(values.get(self._tenant.key))
        subject = None if self._subject is None else self._subject.present(values.get(self._subject.key))
        return Place(_row(ids), _text(tenant), _text(subject))


class _Part:
    """One attribute that decides the place."""

    def __init__(self, mapper: Mapper[Any], where: str, key: str, column: Any = None) -> None:
        self.where, self.key = where, key
        if column is None and key in mapper.column_attrs:
            # Of joined inheritance a key is an attribute over a column of each table; the last is the first's.
            column = mapper.column_attrs[key].columns[-1]
        if not isinstance(column, Column) or not isinstance(column.table, Table):
            raise ConfigurationError(
                f"{where}: {mapper.class_.__name__} has no attribute {key!r} over a column of a table"
            )
        self.column: Column[Any] = column
        try:
            self.type: type[Any] | None = column.type.python_type
        except NotImplementedError:
            self.type = None
        if self.type not in (int, str, UUID):
            raise ConfigurationError(
                f"{where}: cells can be bound to a UUID, a text or an int, and {key!r} is none: "
                'name another column that the application assigns, as in row="uid"'
            )

    def check_row_id(self) -> None:
        column, where = self.column, self.where
        remedy = (
            "give the table a primary key that the application assigns "
            '(id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)), or name such a column: row="uid"'
        )
        default: Any = column.default
        if (
            column.table.autoincrement_column is column
            or column.server_default is not None  # Identity and Computed among them
            or isinstance(default, Sequence)
            or (default is not None and default.is_clause_element)
        ):
            raise ConfigurationError(
                f"{where}: the database assigns {column.table.name}.{column.name}, "
                f"so that no cell can be bound to its row before the row is written: {remedy}"
            )

    def check_stays(self) -> None:
        column = self.column
        if any((key.onupdate or "").upper() not in _STAYS for key in column.foreign_keys):
            raise ConfigurationError(
                f"{self.where}: the database changes {column.table.name}.{column.name} by ON UPDATE CASCADE or the "
                "like, and cells bound to it would open no more: leave that away, or bind the cells to a column that "
                'stays (id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4), or row="uid")'
            )

    def default(self) -> Any:
        """A new value of the column's Python-side default; None where it has none."""
        default: Any = self.column.default
        if default is None:
            return None
        if not default.is_callable:
            return default.arg
        try:
            return default.arg(None)
        except (AttributeError, TypeError):
            pass
        raise ConfigurationError(
            f"{self.where}: the default of {self.key!r} asks for the context of its INSERT, and the row's id is "
            "needed before that: assign it, or give it a default without arguments"
        )

    def checked(self, value: Any) -> Any:
        """A row id that comes back from the database as it went in, or the cell would open no more."""
        kind, column = self.type, self.column
        value = self.present(value)
        if not isinstance(value, kind or object) or isinstance(value, bool):
            raise TypeError(
                f"{self.where}: {self.key!r} is part of what its cell is bound to and has to be "
                f"of type {getattr(kind, '__name__', kind)} when it is written, not {type(value).__name__}"
            )
        if isinstance(column.type, Uuid) and isinstance(value, str) and not _canonical(value):
            raise ValueError(f"{self.where}: {self.key!r} has to be written as str(UUID) writes it")
        if isinstance(column.type, CHAR) and isinstance(value, str) and len(value) != column.type.length:
            raise ValueError(
                f"{self.where}: {self.key!r} has to fill its CHAR column, which pads it with spaces"
            )
        return value

    def present(self, value: Any) -> Any:
        if value is None:
            raise ConfigurationError(
                f"{self.where}: its cell is bound to {self.key!r}, which is not assigned: "
                "assign it, or give its column a default, before the row is written"
            )
        return value

    def stored(self, instance: Any, state: InstanceState[Any]) -> Any:
        current = getattr(instance, self.key)  # loads it where it is not
        return self.present(state.committed_state.get(self.key, current))


def _key_of(mapper: Mapper[Any], where: str, column: Any) -> str:
    if isinstance(column, Column) and mapper.has_property(mapper.get_property_by_column(column).key):
        return mapper.get_property_by_column(column).key
    raise ConfigurationError(f"{where}: its class is not mapped to a table")


def _check_unique(where: str, parts: tuple[_Part, ...]) -> None:
    columns = {part.column for part in parts}
    names = ", ".join(part.key for part in parts)
    if any(part.column.nullable for part in parts):
        raise ConfigurationError(
            f"{where}: row= needs columns that are never NULL, and one of {names} may be"
        )
    table = parts[0].column.table
    assert isinstance(table, Table)  # noqa: S101  (each part has seen to it)
    unique = [set(index.columns) for index in table.indexes if index.unique]
    unique += [set(each.columns) for each in table.constraints if isinstance(each, UniqueConstraint)]
    unique += [{column} for column in table.columns if column.unique] + [set(table.primary_key.columns)]
    if not any(one <= columns for one in unique):
        raise ConfigurationError(
            f"{where}: row= needs unique columns, or cells of two rows could be swapped: "
            f"declare {names} with unique=True"
        )


def _remember(target: object, value: object, oldvalue: object, initiator: object) -> None:
    """With active_history, SQLAlchemy loads the old value before it is replaced; nothing else is wanted."""


def _row(ids: tuple[Any, ...]) -> RowId | None:
    if len(ids) == 1:
        return ids[0]  # type: ignore[no-any-return]
    return ids or None


def _text(value: object) -> str | None:
    """A tenant or subject as text: a UUID or number as str() writes it."""
    return value if value is None or isinstance(value, str) else str(value)


def _canonical(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
