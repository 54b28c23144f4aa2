"""`SqlCells`: the cells of a table for re-encryption, by statements of Core, with nothing of an ORM between."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, ColumnElement, Connection, Engine, Table
from sqlalchemy.types import NullType

from portalsec.crypto.cells import Change, Key, Row
from portalsec.crypto.rotation import Reencryption
from portalsec.crypto.tasks import Encrypt, Reseal, Task
from portalsec.errors import ConfigurationError
from portalsec.sqlalchemy._swap import Guard, PostgresSwap, SqliteSwap, Swap
from portalsec.sqlalchemy.transaction import reading

__all__ = ["EncryptedTable", "SqlCells"]

_new = tuple.__new__
_READ_AT_ONCE = 500  # below SQLite's oldest limit of 999 parameters, for a key of one column


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptedTable:
    """A table and what is done to it: what ``portalsec fields reencrypt module:name`` is given.

    Attributes:
        table: the table as SQLAlchemy knows it (``Patient.__table__``).
        tasks: `Reencrypt`, `Encrypt` and `RebuildIndex`.
        row: the column, or columns, whose value the cells are bound to; the primary key by default.
        tenant, subject: the columns of a cell's tenant and subject, where fields ask for them.
    """

    table: Table
    tasks: Sequence[Task]
    row: str | Sequence[str] | None = None
    tenant: str | None = None
    subject: str | None = None

    def over(self, engine: Engine, *, batch: int = 2000) -> Reencryption:
        """The tasks over the table in this database.

        Raises:
            ConfigurationError: as `SqlCells`; a task would empty a column that is NOT NULL.
        """
        for task in self.tasks:
            self._check_emptied(task)
        plain = {task.source for task in self.tasks if isinstance(task, Encrypt)}
        names = dict.fromkeys(name for task in self.tasks for name in task.columns)
        source = SqlCells(
            engine,
            self.table,
            [name for name in names if name not in plain],
            plain=[name for name in names if name in plain],
            row=self.row,
            tenant=self.tenant,
            subject=self.subject,
        )
        return Reencryption(source, self.tasks, batch=batch)

    def _check_emptied(self, task: Task) -> None:
        """Before the first row is opened: the database would refuse each, and quote it in its log."""
        emptied = None
        if isinstance(task, Encrypt) and task.clear:
            emptied = task.source
        elif isinstance(task, Reseal) and task.to is not None and task.to != task.column:
            emptied = task.column
        column = None if emptied is None else self.table.columns.get(emptied)
        if column is not None and not column.nullable:
            raise ConfigurationError(
                f"{self.table.name}.{column.name} is NOT NULL, and this task would empty it: let it be NULL first, or "
                "keep the plaintext for now, Encrypt(..., clear=False)"
            )


class SqlCells:
    """`portalsec.crypto.cells.CellSource` over SQLite and PostgreSQL.

    Takes the application's own engine as well as one of `open_engine`. Reads by keyset pagination and writes one
    short transaction a batch. Cells are read as the driver gives them, whatever type the column is declared with,
    so that a type that decrypts on its own is passed by.

    SQLite is walked as its rows lie on the disk, PostgreSQL by the primary key.

    PostgreSQL: rows that another transaction holds are passed over at first and then taken one by one, so that a run
    never holds a row while it waits for another: it can be no part of a deadlock. SQLite: one statement a batch in
    one write transaction, for which others wait some milliseconds.
    """

    def __init__(
        self,
        engine: Engine,
        table: Table,
        columns: Sequence[str],
        *,
        plain: Sequence[str] = (),
        row: str | Sequence[str] | None = None,
        tenant: str | None = None,
        subject: str | None = None,
    ) -> None:
        """
        Args:
            columns: names of the columns of cells and tags.
            plain: names of columns of plaintext, which are read and written by the type they are declared with.
            row, tenant, subject: as `EncryptedTable` says.

        Raises:
            ConfigurationError: an unknown column, a table without a primary key, another kind of database.
        """
        if engine.dialect.name not in ("sqlite", "postgresql"):
            raise ConfigurationError(
                f"re-encryption works on SQLite and PostgreSQL, and this is a {engine.dialect.name} database"
            )
        self._engine, self._table = engine, table
        key = list(table.primary_key.columns)
        if not key:
            raise ConfigurationError(
                f"table {table.name} has no primary key, by which its rows could be walked"
            )
        ids = [column.key for column in key] if row is None else [row] if isinstance(row, str) else list(row)
        # What is read of a row: its key, what its cells are bound to besides, and the cells.
        # A tenant or subject that is the key itself is read once more: the short ways below know of neither.
        head = [*dict.fromkeys([*(column.key for column in key), *ids]), *filter(None, (tenant, subject))]
        self._key, self._columns, self._head = key, (*columns, *plain), len(head)
        self._id = tuple(map(head.index, ids))
        self._tenant = None if tenant is None else head.index(tenant)
        self._subject = None if subject is None else head.index(subject)
        raw, typed = [self._named(name) for name in columns], [self._named(name) for name in plain]
        bound = [self._named(name) for name in head]
        self._read = sa.select(*bound, *(sa.type_coerce(column, NullType()) for column in raw), *typed)
        of_row: dict[str, Callable[[Row], Any]] = {
            **{name: _part_of_id(place, len(ids)) for place, name in enumerate(ids)},
            **{name: attrgetter(which) for name, which in ((tenant, "tenant"), (subject, "subject")) if name},
        }
        guards: list[Guard] = [(self._named(name), of_row[name]) for name in head[len(key) :]]
        self._lies: ColumnElement[int] | None = None
        self._convert: list[tuple[int, Callable[[Any], Any]]] = []
        self._last: tuple[Key, int, int] | None = None
        postgresql = engine.dialect.name == "postgresql"
        if not postgresql and self._has_rowid():
            self._lies = sa.literal_column(
                f"{engine.dialect.identifier_preparer.format_table(table)}.rowid", sa.Integer
            )
            self._read = self._read.add_columns(self._lies)
            typed_at = [*enumerate(bound), *enumerate(typed, len(bound) + len(raw))]
            self._convert = [
                (at, read) for at, column in typed_at if (read := _reader(column, engine.dialect))
            ]
        kind = PostgresSwap if postgresql else SqliteSwap
        self._swap: Swap = kind(engine, table, key, guards, raw, typed, lies=self._lies is not None)

    @property
    def columns(self) -> Sequence[str]:
        return self._columns

    def count(self) -> int:
        with reading(self._engine) as connection:
            return int(connection.scalar(sa.select(sa.func.count()).select_from(self._table)) or 0)

    def page(self, after: Key | None, limit: int) -> Sequence[Row]:
        with reading(self._engine) as connection:
            if self._lies is None:
                statement = self._read.order_by(*self._key)
                if after is not None:
                    statement = statement.where(self._behind(after))
                return self._rows(connection, statement.limit(limit))
            statement = self._read.order_by(self._lies)
            place = None if after is None else self._place_of(connection, after)
            if place is not None:
                statement = statement.where(self._lies > place)
            rows = self._rows(connection, statement.limit(limit))
            if rows:
                self._last = (rows[-1].key, rows[-1].place[-1], _schema_version(connection))
            return rows

    def _behind(self, key: Key) -> ColumnElement[bool]:
        behind: ColumnElement[bool]
        if len(key) == 1:
            behind = self._key[0] > key[0]  # not every planner sees through a tuple of one
        else:
            behind = sa.tuple_(*self._key) > sa.tuple_(*key, types=[column.type for column in self._key])
        return behind

    def _place_of(self, connection: Connection, key: Key) -> int | None:
        """Where a row lies in an SQLite table, by its key: VACUUM may have moved it since it was read."""
        assert self._lies is not None  # noqa: S101
        is_it = [column == part for column, part in zip(self._key, key, strict=True)]
        place: int | None = connection.scalar(sa.select(self._lies).select_from(self._table).where(*is_it))
        if place is None and self._last is not None and self._last[0] == key:
            # It was deleted, and nothing moved: VACUUM counts the version of the schema up.
            _, then, version = self._last
            place = then if version == _schema_version(connection) else None
        return place

    def read(self, keys: Sequence[Key]) -> Sequence[Row]:
        rows: list[Row] = []
        step = max(1, _READ_AT_ONCE // len(self._key))
        with reading(self._engine) as connection:
            for start in range(0, len(keys), step):
                some = keys[start : start + step]
                one_of = (
                    self._key[0].in_([key[0] for key in some])
                    if len(self._key) == 1
                    else sa.tuple_(*self._key).in_(some)
                )
                rows += self._rows(connection, self._read.where(one_of))
        return rows

    def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
        return self._swap(changes) if changes else ()

    def tally(self, column: str, beginnings: Sequence[Collection[bytes | str]]) -> Sequence[int]:
        cell = sa.type_coerce(self._named(column), NullType())
        cases = [
            sa.or_(sa.false(), *(sa.func.substr(cell, 1, len(each)) == sa.literal(each) for each in of_one))
            for of_one in beginnings
        ]
        counts = [sa.func.count(sa.case((each, 1))) for each in cases]
        with reading(self._engine) as connection:
            *found, held = connection.execute(
                sa.select(*counts, sa.func.count(cell)).select_from(self._table)
            ).one()
        return [*found, held - sum(found)]

    def _rows(self, connection: Connection, statement: sa.Select[Any]) -> list[Row]:
        result = connection.execute(statement)
        if self._lies is None:
            return [self._row(row, None) for row in result]
        # As the driver has them: for each row, SQLAlchemy's own work would be more than the database's.
        cursor: Any = result.cursor
        found: list[tuple[Any, ...]] = cursor.fetchall()
        result.close()
        if self._head == 1 and not self._convert:
            return [_new(Row, (row[:1], row[0], row[1:-1], None, None, row)) for row in found]
        if self._head == 1 and len(self._convert) == 1 and self._convert[0][0] == 0:
            read = self._convert[0][1]
            keys = [read(row[0]) for row in found]
            return [
                _new(Row, ((key,), key, row[1:-1], None, None, row))
                for key, row in zip(keys, found, strict=True)
            ]
        rows = []
        for row in found:
            values = list(row[:-1])
            for place, read in self._convert:
                values[place] = read(values[place])
            rows.append(self._row(tuple(values), row))
        return rows

    def _row(self, row: Any, place: Any) -> Row:
        ids, tenant, subject = self._id, self._tenant, self._subject
        return Row(
            row[: len(self._key)],
            row[ids[0]] if len(ids) == 1 else tuple(row[each] for each in ids),
            row[self._head :],
            None if tenant is None else row[tenant],
            None if subject is None else row[subject],
            place,
        )

    def _has_rowid(self) -> bool:
        """SQLite: whether rows can be walked as they lie. By a key of random UUIDs, each row is another page."""
        if any(column.name.lower() == "rowid" for column in self._table.columns):
            return False
        name = self._engine.dialect.identifier_preparer.format_table(self._table)
        try:
            with self._engine.connect() as connection:
                connection.exec_driver_sql(f"SELECT rowid FROM {name} LIMIT 0")  # noqa: S608 - quoted
        except sa.exc.OperationalError:
            return False  # WITHOUT ROWID; a table that is missing is found at the first verb
        return True

    def _named(self, name: str) -> Column[Any]:
        try:
            return self._table.columns[name]
        except KeyError:
            pass
        raise ConfigurationError(f"table {self._table.name} has no column {name!r}")


def _schema_version(connection: Connection) -> int:
    return int(connection.exec_driver_sql("PRAGMA schema_version").scalar_one())


def _reader(column: Column[Any], dialect: sa.Dialect) -> Callable[[Any], Any] | None:
    """From what SQLite's driver gives to the column's type."""
    return column.type.dialect_impl(dialect).result_processor(dialect, None)


def _part_of_id(place: int, parts: int) -> Callable[[Row], Any]:
    if parts == 1:
        return attrgetter("id")
    return lambda row: row.id[place]  # type: ignore[index]
