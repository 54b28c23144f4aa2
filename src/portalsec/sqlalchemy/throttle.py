"""Throttle counters in SQL: the upsert's own condition decides who gets the last unit."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta

from sqlalchemy import Engine, case, delete, or_, select, update

from portalsec.auth.ports import Take
from portalsec.clock import from_unix_microseconds, unix_microseconds
from portalsec.sqlalchemy.tables import throttle as table
from portalsec.sqlalchemy.transaction import insert_into, reading, require_opened, writing

__all__ = ["SqlThrottle"]

_SWEEP_EVERY = 512
_SWEEP_AT_MOST = 2048


class SqlThrottle:
    """`portalsec.auth.ports.ThrottleStore`, durable when a verb returns: a crash forgets no attempt.

    Every 512th take of a process first removes counters of ended windows, since a visitor chooses some keys.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = require_opened(engine)
        self._takes = itertools.count(1)

    def take(self, key: str, *, limit: int, window: timedelta, now: datetime) -> Take:
        moment, end = unix_microseconds(now), unix_microseconds(now + window)
        if next(self._takes) % _SWEEP_EVERY == 0:
            self._sweep(moment)
        if limit < 1:
            return self._refused(key, moment, end)
        ended = table.c.window_end <= moment
        with writing(self._engine) as connection:
            upsert = insert_into(connection, table).values(
                key=key, window_start=moment, window_end=end, used=1
            )
            upsert = upsert.on_conflict_do_update(
                index_elements=[table.c.key],
                set_={
                    "used": case((ended, 1), else_=table.c.used + 1),
                    "window_start": case((ended, moment), else_=table.c.window_start),
                    "window_end": case((ended, end), else_=table.c.window_end),
                },
                # Where this is false nothing is written and no row comes back: the budget is used up.
                where=or_(ended, table.c.used < limit),
            )
            row = connection.execute(
                upsert.returning(table.c.window_start, table.c.window_end, table.c.used)
            ).first()
        if row is None:
            return self._refused(key, moment, end)
        return Take(
            ok=True,
            window=row.window_start,
            used=row.used,
            resets_at=from_unix_microseconds(row.window_end),
        )

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
                select(table.c.window_start, table.c.window_end, table.c.used).where(
                    table.c.key == key, table.c.window_end > moment
                )
            ).first()
        start, end, used = (moment, end, 0) if row is None else (row.window_start, row.window_end, row.used)
        return Take(ok=False, window=start, used=used, resets_at=from_unix_microseconds(end))

    def _sweep(self, moment: int) -> None:
        # SKIP LOCKED (PostgreSQL; SQLite has one writer): two sweeps at once would wait for each other crosswise.
        ended = (
            select(table.c.key)
            .where(table.c.window_end <= moment)
            .limit(_SWEEP_AT_MOST)
            .with_for_update(skip_locked=True)
        )
        with writing(self._engine) as connection:
            connection.execute(delete(table).where(table.c.key.in_(ended), table.c.window_end <= moment))
