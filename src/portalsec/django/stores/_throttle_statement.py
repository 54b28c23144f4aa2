"""A take as one statement, where the database knows INSERT .. ON CONFLICT .. RETURNING: SQLite and PostgreSQL."""

from __future__ import annotations

from functools import cache
from typing import Any

from portalsec.django.models import Throttle

__all__ = ["take_in_one", "takes_in_one"]

_SEEN = ("started_at", "ends_at", "used", "level")


def takes_in_one(connection: Any) -> bool:
    return (
        connection.vendor in {"sqlite", "postgresql"} and connection.features.can_return_rows_from_bulk_insert
    )


def take_in_one(
    connection: Any, key: str, *, limit: int, moment: int, fresh: int, longest: int | None, memory: int
) -> dict[str, int] | None:
    """The counter as it is after one more unit was taken, or nothing where none is left; times in microseconds."""
    values = {"key": key, "quota": limit, "moment": moment, "fresh": fresh, "kept": fresh + memory}
    if longest is not None:
        values |= {
            "memory": memory,
            "remembered": moment - memory,
            "span": fresh - moment,
            "at_most": max(longest, fresh - moment),
        }
    with connection.cursor() as cursor:
        cursor.execute(_statement(longest is not None), values)
        row = cursor.fetchone()
    return None if row is None else dict(zip(_SEEN, row, strict=True))


@cache
def _statement(lengthens: bool) -> str:
    """Begin the counter, or the window after one that ended, or take one more unit.

    Every name in it is a column of the model; what a visitor chose is among the values.
    """
    ended = "t.ends_at <= %(moment)s"
    end, level, kept = "%(fresh)s", "0", "%(kept)s"
    if lengthens:
        again = "t.used >= %(quota)s AND t.ends_at >= %(remembered)s"
        twice = "2 * (t.ends_at - t.started_at)"
        end = (
            f"CASE WHEN {again} AND {twice} >= %(at_most)s THEN %(moment)s + %(at_most)s"
            f" WHEN {again} AND {twice} > %(span)s THEN %(moment)s + {twice} ELSE %(fresh)s END"
        )
        level = f"CASE WHEN {again} THEN t.level + 1 ELSE 0 END"
        kept = f"{end} + %(memory)s"
    changes = {
        "used": ("1", "t.used + 1"),
        "started_at": ("%(moment)s", "t.started_at"),
        "ends_at": (end, "t.ends_at"),
        "level": (level, "t.level"),
        "kept_until": (kept, "t.kept_until"),
    }
    written = ", ".join(
        f"{name} = CASE WHEN {ended} THEN {a} ELSE {b} END" for name, (a, b) in changes.items()
    )
    table = Throttle._meta.db_table
    return (
        f'INSERT INTO "{table}" AS t ("key", started_at, ends_at, used, level, kept_until)'  # noqa: S608
        " VALUES (%(key)s, %(moment)s, %(fresh)s, 1, 0, %(kept)s)"
        f' ON CONFLICT ("key") DO UPDATE SET {written}'
        # Where this is false nothing is written and no row comes back: the budget is used up.
        f" WHERE {ended} OR t.used < %(quota)s RETURNING {', '.join(_SEEN)}"
    )
