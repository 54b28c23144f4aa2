"""Throttle counters in SQL: the upsert's own condition decides who gets the last unit."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Engine,
    and_,
    case,
    delete,
    false,
    literal,
    or_,
    select,
    true,
    union_all,
    update,
)

from portalsec.auth.ports import Take
from portalsec.clock import from_unix_microseconds, unix_microseconds
from portalsec.sqlalchemy.tables import throttle as table
from portalsec.sqlalchemy.transaction import insert_into, reading, require_opened, writing

__all__ = ["SqlThrottle"]

_SWEEP_EVERY = 512
_SWEEP_AT_MOST = 2048
_MICROSECOND = timedelta(microseconds=1)
_SEEN = (table.c.window_start, table.c.window_end, table.c.used, table.c.level)


class SqlThrottle:
    """`portalsec.auth.ports.ThrottleStore`, durable when a verb returns: a crash forgets no attempt.

    A verb is one statement, on PostgreSQL a refusal too. Every 512th take of a process first removes counters that no
    decision needs any more, since a visitor chooses some keys.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = require_opened(engine)
        self._takes = itertools.count(1)

    def take(
        self,
        key: str,
        *,
        limit: int,
        window: timedelta,
        now: datetime,
        longest: timedelta | None = None,
        heals: timedelta | None = None,
    ) -> Take:
        moment = unix_microseconds(now)
        if next(self._takes) % _SWEEP_EVERY == 0:
            self._sweep(moment)
        fresh = moment + window // _MICROSECOND
        if limit < 1:
            return self._refused(key, moment, fresh)
        upsert = _upsert(
            self._engine, key, limit=limit, moment=moment, fresh=fresh, longest=longest, heals=heals
        )
        with writing(self._engine) as connection:
            if connection.dialect.name == "postgresql":
                row = connection.execute(_or_as_it_is(upsert, key)).first()
            else:
                row = connection.execute(upsert.returning(*_SEEN, true().label("ok"))).first()
        if row is None or row.window_end <= moment:
            # SQLite: the budget is used up. PostgreSQL: so it is, and somebody else began the window while this
            # statement ran, so that it saw the one before.
            return self._refused(key, moment, fresh)
        return _take(row, ok=bool(row.ok))

    def give_back(self, key: str, *, window: int) -> None:
        statement = (
            update(table)
            .where(table.c.key == key, table.c.window_start == window, table.c.used > 0)
            .values(used=table.c.used - 1)
        )
        with writing(self._engine) as connection:
            connection.execute(statement)

    def clear(self, key: str) -> None:
        with writing(self._engine) as connection:
            connection.execute(delete(table).where(table.c.key == key))

    def _refused(self, key: str, moment: int, end: int) -> Take:
        """What a refused caller may know. The refusal itself is decided: a unit that came back since is not taken."""
        with reading(self._engine) as connection:
            row = connection.execute(
                select(*_SEEN).where(table.c.key == key, table.c.window_end > moment)
            ).first()
        if row is None:
            return Take(ok=False, window=moment, used=0, resets_at=from_unix_microseconds(end))
        return _take(row, ok=False)

    def _sweep(self, moment: int) -> None:
        # SKIP LOCKED (PostgreSQL; SQLite has one writer): two sweeps at once would wait for each other crosswise.
        over = and_(table.c.window_end <= moment, table.c.kept_until <= moment)
        ended = select(table.c.key).where(over).limit(_SWEEP_AT_MOST).with_for_update(skip_locked=True)
        with writing(self._engine) as connection:
            connection.execute(delete(table).where(table.c.key.in_(ended), over))


def _take(row: Any, *, ok: bool) -> Take:
    return Take(
        ok=ok,
        window=row.window_start,
        used=row.used,
        resets_at=from_unix_microseconds(row.window_end),
        level=row.level,
    )


def _upsert(
    engine: Engine,
    key: str,
    *,
    limit: int,
    moment: int,
    fresh: int,
    longest: timedelta | None,
    heals: timedelta | None,
) -> Any:
    """Begin the counter, or the window after one that ended, or take one more unit; nothing where none is left."""
    ended = table.c.window_end <= moment
    end: Any = literal(fresh)
    level: Any = literal(0)
    memory = 0
    if longest is not None:
        memory = (longest if heals is None else heals) // _MICROSECOND
        at_most = max(longest // _MICROSECOND, fresh - moment)
        twice = 2 * (table.c.window_end - table.c.window_start)
        again = and_(table.c.used >= limit, table.c.window_end >= moment - memory)
        end = case(
            (and_(again, twice >= at_most), moment + at_most),
            (and_(again, twice > fresh - moment), moment + twice),
            else_=fresh,
        )
        level = case((again, table.c.level + 1), else_=0)
    insert = insert_into(engine, table).values(
        key=key, window_start=moment, window_end=fresh, used=1, level=0, kept_until=fresh + memory
    )
    return insert.on_conflict_do_update(
        index_elements=[table.c.key],
        set_={
            "used": case((ended, 1), else_=table.c.used + 1),
            "window_start": case((ended, moment), else_=table.c.window_start),
            "window_end": case((ended, end), else_=table.c.window_end),
            "level": case((ended, level), else_=table.c.level),
            "kept_until": case((ended, end + memory), else_=table.c.kept_until),
        },
        # Where this is false nothing is written and no row comes back: the budget is used up.
        where=or_(ended, table.c.used < limit),
    )


def _or_as_it_is(upsert: Any, key: str) -> Any:
    """The row as it was written, or as it is where nothing was: a refusal without a second statement."""
    taken = upsert.returning(*_SEEN).cte("taken")
    return union_all(
        select(taken.c.window_start, taken.c.window_end, taken.c.used, taken.c.level, true().label("ok")),
        select(*_SEEN, false().label("ok")).where(table.c.key == key, ~select(taken.c.used).exists()),
    )
