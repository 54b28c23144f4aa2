"""Throttle counters in SQL: the upsert's own condition decides who gets the last unit."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Engine,
    and_,
    bindparam,
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
from sqlalchemy.dialects import postgresql, sqlite

from portalsec.auth.ports import Take
from portalsec.clock import from_unix_microseconds, unix_microseconds
from portalsec.sqlalchemy.tables import throttle as table
from portalsec.sqlalchemy.transaction import reading, require_opened, writing

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
        span = window // _MICROSECOND
        if limit < 1:
            return self._refused(key, moment, moment + span)
        values = {
            "counter": key,
            "quota": limit,
            "moment": moment,
            "fresh": moment + span,
            "kept": moment + span,
        }
        if longest is not None:
            memory = (longest if heals is None else heals) // _MICROSECOND
            values |= {
                "memory": memory,
                "kept": moment + span + memory,
                "remembered": moment - memory,
                "span": span,
                "at_most": max(longest // _MICROSECOND, span),
            }
        statement = _statement(self._engine.dialect.name, longest is not None)
        with writing(self._engine) as connection:
            row = connection.execute(statement, values).first()
        if row is None or row.window_end <= moment:
            # SQLite: the budget is used up. PostgreSQL: so it is, and somebody else began the window while this
            # statement ran, so that it saw the one before.
            return self._refused(key, moment, moment + span)
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


@cache
def _statement(dialect: str, lengthens: bool) -> Any:
    """What takes a unit, made once: to put it together costs more than to run it.

    PostgreSQL also gives the row as it is where nothing was written: a refusal without a second statement.
    """
    upsert = _upsert(dialect, lengthens)
    if dialect != "postgresql":
        return upsert.returning(*_SEEN, true().label("ok"))
    taken = upsert.returning(*_SEEN).cte("taken")
    return union_all(
        select(taken.c.window_start, taken.c.window_end, taken.c.used, taken.c.level, true().label("ok")),
        select(*_SEEN, false().label("ok")).where(
            table.c.key == bindparam("counter"), ~select(taken.c.used).exists()
        ),
    )


def _upsert(dialect: str, lengthens: bool) -> Any:
    """Begin the counter, or the window after one that ended, or take one more unit; nothing where none is left."""
    moment, fresh, quota = _number("moment"), _number("fresh"), _number("quota")
    ended = table.c.window_end <= moment
    end: Any = fresh
    level: Any = literal(0)
    kept: Any = _number("kept")
    if lengthens:
        at_most, twice = _number("at_most"), 2 * (table.c.window_end - table.c.window_start)
        again = and_(table.c.used >= quota, table.c.window_end >= _number("remembered"))
        end = case(
            (and_(again, twice >= at_most), moment + at_most),
            (and_(again, twice > _number("span")), moment + twice),
            else_=fresh,
        )
        level = case((again, table.c.level + 1), else_=0)
        kept = end + _number("memory")
    insert = (
        (postgresql if dialect == "postgresql" else sqlite)
        .insert(table)
        .values(
            key=bindparam("counter"),
            window_start=moment,
            window_end=fresh,
            used=1,
            level=0,
            kept_until=_number("kept"),
        )
    )
    return insert.on_conflict_do_update(
        index_elements=[table.c.key],
        set_={
            "used": case((ended, 1), else_=table.c.used + 1),
            "window_start": case((ended, moment), else_=table.c.window_start),
            "window_end": case((ended, end), else_=table.c.window_end),
            "level": case((ended, level), else_=table.c.level),
            "kept_until": case((ended, kept), else_=table.c.kept_until),
        },
        # Where this is false nothing is written and no row comes back: the budget is used up.
        where=or_(ended, table.c.used < quota),
    )


def _number(name: str) -> Any:
    return bindparam(name, type_=BigInteger)
