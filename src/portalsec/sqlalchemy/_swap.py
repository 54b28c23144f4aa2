"""Compare-and-swap of many rows at once: an executemany on SQLite, one UPDATE over arrays on PostgreSQL.

The statements are written here and go to the driver as they are: of a Core statement with a dictionary of parameters
for each row, SQLAlchemy's own work would cost more than the database's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy import Column, Connection, Engine, Table

from portalsec.crypto.cells import Change, Row
from portalsec.errors import StoreError
from portalsec.sqlalchemy.transaction import writing

__all__ = ["Guard", "PostgresSwap", "SqliteSwap", "Swap"]

_PATIENCE = "5s"  # for a row that another transaction holds
_HELD = ("55P03", "40P01", "40001")  # lock_not_available, deadlock_detected, serialization_failure

_Bind = Callable[[Any], Any]
Guard = tuple[Column[Any], Callable[[Row], Any]]
"""A column that cells are bound to (the tenant's, say), and where its value stands in a row: it must stand, too."""


class Swap(Protocol):
    def __call__(self, changes: Sequence[Change]) -> Sequence[bool]: ...


class _Base:
    """What both have in common: names quoted for the dialect, and values as the driver wants them."""

    def __init__(  # noqa: PLR0917 - of this package, called once
        self,
        engine: Engine,
        table: Table,
        key: Sequence[Column[Any]],
        guards: Sequence[Guard],
        raw: Sequence[Column[Any]],
        typed: Sequence[Column[Any]],
        *,
        lies: bool = False,
    ) -> None:
        """``lies``: whether `Row.place` is what the driver read, with the rowid at its end."""
        self._engine, self._lies = engine, lies
        self._key, self._guards, self._values = key, guards, (*raw, *typed)
        preparer = engine.dialect.identifier_preparer
        self._table = preparer.format_table(table)
        self._name = preparer.format_column
        self._bind_key = [self._binder(column) for column in key]
        self._bind_guard = [self._binder(column) for column, _ in guards]
        self._bind_value = [*(None for _ in raw), *(self._binder(column) for column in typed)]
        self._as_is = not any((*self._bind_key, *self._bind_value)) and not guards

    def _binder(self, column: Column[Any]) -> _Bind | None:
        dialect = self._engine.dialect
        return column.type.dialect_impl(dialect).bind_processor(dialect)

    def _where(self, row: Row) -> tuple[Any, ...]:
        """The key, the guards and the old values, as the driver takes them."""
        return (
            *_bound(self._bind_key, row.key),
            *_bound(self._bind_guard, [of(row) for _, of in self._guards]),
            *_bound(self._bind_value, row.values),
        )

    def _set(self, change: Change) -> tuple[Any, ...]:
        return _bound(self._bind_value, change.values)


class SqliteSwap(_Base):
    """``UPDATE ... WHERE key = ? AND cell IS ?``, for all rows in one transaction.

    Only columns in which something differs are set: SQLite writes the index of every column that is, also where the
    value stays, and tags usually do.
    """

    def __init__(self, *args: Any, lies: bool) -> None:
        super().__init__(*args, lies=lies)
        self._names = [self._name(column) for column in self._values]
        keys = [self._name(column) for column in self._key]
        guards = [self._name(column) for column, _ in self._guards]
        stands = ["rowid = ?"] if self._lies else []
        stands += [f"{name} = ?" for name in keys]
        stands += [f"{name} IS ?" for name in (*guards, *self._names)]
        self._stands = " AND ".join(stands)
        self._asked = ", ".join(["rowid", *keys, *guards, *self._names])
        self._head = len(keys) + len(guards)
        self._typed = any(self._bind_value)

    def __call__(self, changes: Sequence[Change]) -> Sequence[bool]:
        # A column at a time: `zip(*rows)` would make an iterator for each row, and the collector look at all of them.
        new = [[values[number] for _, values in changes] for number in range(len(self._names))]
        differing = [
            number
            for number, column in enumerate(new)
            if column != [row[2][number] for row, _ in changes]  # row.values
        ] or [0]
        if self._lies and not self._typed:
            places = [row[5][-1] for row, _ in changes]  # row.place
            if max(places) - min(places) < 2 * len(places):
                fresh = {number: dict(zip(places, new[number], strict=True)) for number in differing}
                return self._together(changes, places, fresh)
        return self._one_by_one(changes, differing)

    def _together(
        self, changes: Sequence[Change], places: Sequence[int], fresh: Mapping[int, Mapping[int, Any]]
    ) -> Sequence[bool]:
        """One UPDATE of the stretch of the table in which the rows lie.

        SQLite walks the stretch and asks us of each row whether it stands, and for its cells. It takes less than a
        statement for each row, which would be found anew from the root of the table.
        """
        head, made = self._head, set[int]()
        wanted = {row[5][-1]: row[5][:head] + row[2] for row, _ in changes}
        get, take = wanted.get, made.add

        def stands(place: int, *held: Any) -> bool:
            if get(place) == held:
                take(place)
                return True
            return False

        functions: list[tuple[str, int, Callable[..., Any]]] = [("portalsec_stands", -1, stands)]
        functions += [(f"portalsec_cell_{number}", 1, of.__getitem__) for number, of in fresh.items()]
        sets = ", ".join(f"{self._names[number]} = portalsec_cell_{number}(rowid)" for number in fresh)
        statement = (
            f"UPDATE {self._table} SET {sets} "  # noqa: S608 - quoted names
            f"WHERE rowid BETWEEN ? AND ? AND portalsec_stands({self._asked})"
        )
        with writing(self._engine) as connection:
            driver: Any = connection.connection.driver_connection
            try:
                for name, arguments, function in functions:
                    driver.create_function(name, arguments, function)
                connection.exec_driver_sql(statement, (min(places), max(places)))
            finally:
                for name, arguments, _ in functions:
                    driver.create_function(name, arguments, None)
        return [place in made for place in places]

    def _one_by_one(self, changes: Sequence[Change], differing: Sequence[int]) -> Sequence[bool]:
        sets = ", ".join(f"{self._names[number]} = ?" for number in differing)
        statement = f"UPDATE {self._table} SET {sets} WHERE {self._stands}"  # noqa: S608 - quoted names
        parameters = [
            (*map(values.__getitem__, differing), *self._place(row), *self._where(row))
            for row, values in ((change.row, self._set(change)) for change in changes)
        ]
        with writing(self._engine) as connection:
            found = connection.exec_driver_sql(statement, parameters).rowcount
            if found == len(changes):
                return [True] * found
            connection.rollback()  # someone was faster somewhere: find out where
        with writing(self._engine) as connection:
            return [connection.exec_driver_sql(statement, one).rowcount == 1 for one in parameters]

    def _place(self, row: Row) -> tuple[int, ...]:
        return (row.place[-1],) if self._lies else ()


class PostgresSwap(_Base):
    """One ``UPDATE ... FROM unnest(...)`` for the rows that nobody holds, and one for each of the others."""

    def __init__(self, *args: Any, lies: bool) -> None:
        super().__init__(*args, lies=lies)
        # %% in an identifier is the preparer's work: it knows the driver's style.
        keys = [(f"k{n}", column, self._type(column)) for n, column in enumerate(self._key)]
        guards = [(f"g{n}", column, self._type(column)) for n, (column, _) in enumerate(self._guards)]
        old = [(f"o{n}", column, self._type(column)) for n, column in enumerate(self._values)]
        new = [(f"n{n}", column, self._type(column)) for n, column in enumerate(self._values)]
        data = [*keys, *guards, *old, *new]
        arrays = ", ".join(f"%s::{kind}[]" for _, _, kind in data)
        names = ", ".join(name for name, _, _ in data)
        mine = " AND ".join(f"t.{self._name(column)} = d.{name}" for name, column, _ in keys)
        stands = " AND ".join(
            f"t.{self._name(column)} IS NOT DISTINCT FROM d.{name}" for name, column, _ in (*guards, *old)
        )
        sets = ", ".join(f"{self._name(column)} = d.{name}" for name, column, _ in new)
        source = f"SELECT * FROM unnest({arrays}) WITH ORDINALITY AS d({names}, place)"  # noqa: S608 - quoted names
        update = f"UPDATE {self._table} AS t SET {sets} FROM d"  # noqa: S608 - quoted names
        self._one = f"WITH d AS ({source}) {update} WHERE {mine} AND {stands} RETURNING d.place"
        free = f"SELECT d.place FROM d JOIN {self._table} AS t ON {mine} FOR NO KEY UPDATE OF t SKIP LOCKED"  # noqa: S608
        self._free = (
            f"WITH d AS MATERIALIZED ({source}), free AS MATERIALIZED ({free}) "
            f"{update} JOIN free USING (place) WHERE {mine} AND {stands} RETURNING d.place"
        )

    def _type(self, column: Column[Any]) -> str:
        dialect = self._engine.dialect
        kind = column.type.dialect_impl(dialect)
        if isinstance(kind, sa.String) and not isinstance(kind, sa.Enum) and column not in self._key:
            return "TEXT"  # a cast to VARCHAR(n) would cut a longer cell short; assigning one is an error
        return kind.compile(dialect=dialect)

    def __call__(self, changes: Sequence[Change]) -> Sequence[bool]:
        if self._as_is:
            parameters = [(*row.key, *row.values, *values) for row, values in changes]
        else:
            parameters = [(*self._where(change.row), *self._set(change)) for change in changes]
        with self._writing() as connection:
            made = self._swapped(connection, self._free, parameters)
        for place, one in enumerate(parameters):
            if not made[place]:
                # Alone in its transaction: whoever waits for a row and holds none is no part of a deadlock.
                made[place] = self._alone(one)
        return made

    def _alone(self, one: tuple[Any, ...]) -> bool:
        try:
            with self._writing() as connection:
                return self._swapped(connection, self._one, [one])[0]
        except StoreError as error:
            if getattr(error.__cause__, "sqlstate", None) not in _HELD:
                raise
        return False

    def _swapped(self, connection: Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> list[bool]:
        made = [False] * len(rows)
        arrays = tuple(list(column) for column in zip(*rows, strict=True))
        for (place,) in connection.exec_driver_sql(statement, arrays):
            made[place - 1] = True
        return made

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        # Under another level a row that somebody changed meanwhile would be an error and not one that is left alone.
        with writing(self._engine, isolation_level="READ COMMITTED") as connection:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_PATIENCE}'")
            yield connection


def _bound(binders: Sequence[_Bind | None], values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(value if bind is None else bind(value) for bind, value in zip(binders, values, strict=True))
