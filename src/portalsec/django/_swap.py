"""Compare-and-swap of many rows over a connection of Django: an executemany on SQLite, one UPDATE over arrays on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import Error, connections, models, transaction

from portalsec._driver_errors import raise_alone, without_rows
from portalsec.errors import ConfigurationError, StoreError

__all__ = ["Bind", "Swap", "failing_as_store", "swapper"]

_PATIENCE = "5s"  # for a row that another transaction holds
_HELD = ("55P03", "40P01", "40001")  # lock_not_available, deadlock_detected, serialization_failure

Bind = Callable[[Any], Any]
Swap = Callable[[Sequence[tuple[tuple[Any, ...], tuple[Any, ...]]]], Sequence[bool]]
"""Takes (what must stand, what shall stand) of each row, as the driver wants them; says which were swapped."""


@contextmanager
def failing_as_store() -> Iterator[None]:
    """A failure of the database is a `StoreError`; its cause is the driver's error, without the row that it quotes."""
    try:
        yield
        return
    except Error as error:
        cause = without_rows(error.__cause__ or error)
    raise_alone(StoreError("the database failed during re-encryption"), cause)


def swapper(
    alias: str,
    table: str,
    key: Sequence[models.Field[Any, Any]],
    guards: Sequence[models.Field[Any, Any]],
    values: Sequence[models.Field[Any, Any]],
) -> Swap:
    """The way of this database. What must stand is the key, the guards and the old values, in this order."""
    vendor = connections[alias].vendor
    if vendor == "sqlite":
        return _Sqlite(alias, table, key, guards, values)
    if vendor == "postgresql":
        return _Postgres(alias, table, key, guards, values)
    raise ConfigurationError(
        f"re-encryption works on SQLite and PostgreSQL, and {alias!r} is a {vendor} database"
    )


class _Sqlite:
    def __init__(self, alias: str, table: str, *fields: Any) -> None:
        key, guards, values = fields
        quote = connections[alias].ops.quote_name
        stands = [f"{quote(field.column)} = %s" for field in key]
        stands += [f"{quote(field.column)} IS %s" for field in guards]
        stands += [f"{_as_read(field, quote(field.column))} IS %s" for field in values]
        sets = ", ".join(f"{quote(field.column)} = %s" for field in values)
        self._alias = alias
        self._statement = f"UPDATE {quote(table)} SET {sets} WHERE {' AND '.join(stands)}"  # noqa: S608 - quoted

    def __call__(self, rows: Sequence[tuple[tuple[Any, ...], tuple[Any, ...]]]) -> Sequence[bool]:
        parameters = [(*shall, *stands) for stands, shall in rows]
        with failing_as_store():
            with transaction.atomic(using=self._alias, durable=True):
                with connections[self._alias].cursor() as cursor:
                    cursor.executemany(self._statement, parameters)
                    if cursor.rowcount == len(parameters):
                        return [True] * len(parameters)
                transaction.set_rollback(
                    True, using=self._alias
                )  # someone was faster somewhere: find out where
            with (
                transaction.atomic(using=self._alias, durable=True),
                connections[self._alias].cursor() as cursor,
            ):
                made = []
                for one in parameters:
                    cursor.execute(self._statement, one)
                    made.append(cursor.rowcount == 1)
                return made


def _as_read(field: models.Field[Any, Any], column: str) -> str:
    # A column that was text before the field was put over it holds text still, which equals no bytes on SQLite.
    return f"CAST({column} AS BLOB)" if field.get_internal_type() == "BinaryField" else column


class _Postgres:
    def __init__(self, alias: str, table: str, *fields: Any) -> None:
        key, guards, values = fields
        connection = connections[alias]
        quote = connection.ops.quote_name
        named = [(f"k{n}", field) for n, field in enumerate(key)]
        old = [(f"g{n}", field) for n, field in enumerate(guards)] + [
            (f"o{n}", f) for n, f in enumerate(values)
        ]
        new = [(f"n{n}", field) for n, field in enumerate(values)]
        data = [*named, *old, *new]
        arrays = ", ".join(f"%s::{field.db_type(connection)}[]" for _, field in data)
        names = ", ".join(name for name, _ in data)
        mine = " AND ".join(f"t.{quote(field.column)} = d.{name}" for name, field in named)
        stands = " AND ".join(f"t.{quote(field.column)} IS NOT DISTINCT FROM d.{name}" for name, field in old)
        sets = ", ".join(f"{quote(field.column)} = d.{name}" for name, field in new)
        source = f"SELECT * FROM unnest({arrays}) WITH ORDINALITY AS d({names}, place)"  # noqa: S608 - quoted names
        update = f"UPDATE {quote(table)} AS t SET {sets} FROM d"  # noqa: S608 - quoted names
        self._alias = alias
        self._one = f"WITH d AS ({source}) {update} WHERE {mine} AND {stands} RETURNING d.place"
        free = f"SELECT d.place FROM d JOIN {quote(table)} AS t ON {mine} FOR NO KEY UPDATE OF t SKIP LOCKED"  # noqa: S608
        self._free = (
            f"WITH d AS MATERIALIZED ({source}), free AS MATERIALIZED ({free}) "
            f"{update} JOIN free USING (place) WHERE {mine} AND {stands} RETURNING d.place"
        )

    def __call__(self, rows: Sequence[tuple[tuple[Any, ...], tuple[Any, ...]]]) -> Sequence[bool]:
        parameters = [(*stands, *shall) for stands, shall in rows]
        made = self._swapped(self._free, parameters)
        for place, one in enumerate(parameters):
            if not made[place]:
                # Alone in its transaction: whoever waits for a row and holds none is no part of a deadlock.
                made[place] = self._alone(one)
        return made

    def _alone(self, one: tuple[Any, ...]) -> bool:
        try:
            return self._swapped(self._one, [one])[0]
        except StoreError as error:
            if getattr(error.__cause__, "sqlstate", None) not in _HELD:
                raise
        return False

    def _swapped(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> list[bool]:
        made = [False] * len(rows)
        arrays = [list(column) for column in zip(*rows, strict=True)]
        with (
            failing_as_store(),
            transaction.atomic(using=self._alias, durable=True),
            connections[self._alias].cursor() as cursor,
        ):
            # Under another level a row that somebody changed meanwhile would be an error, not one that is left alone.
            cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
            cursor.execute(f"SET LOCAL lock_timeout = '{_PATIENCE}'")
            cursor.execute(statement, arrays)
            for (place,) in cursor.fetchall():
                made[place - 1] = True
        return made
