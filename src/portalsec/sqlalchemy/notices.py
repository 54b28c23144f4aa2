"""Notices in SQL: one statement claims what is due, so that two workers never mail one notice."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, Row, Update, delete, select, update

from portalsec.auth.ports import Notice
from portalsec.clock import (
    from_unix_microseconds,
    microseconds_or_none,
    moment_or_none,
    unix_microseconds,
)
from portalsec.sqlalchemy.tables import notice as table
from portalsec.sqlalchemy.transaction import insert_into, reading, require_opened, writing

__all__ = ["SqlNotices"]


class SqlNotices:
    """`portalsec.auth.ports.NoticeStore`, durable when a verb returns: a claimed notice is claimed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = require_opened(engine)

    def put(self, notice: Notice) -> bool:
        row = {
            "id": notice.id,
            "account_id": notice.account_id,
            "kind": notice.kind,
            "at": unix_microseconds(notice.at),
            "code": notice.code,
            "data": notice.data,
            "due_at": microseconds_or_none(notice.due_at),
            "mailed_at": microseconds_or_none(notice.mailed_at),
            "attempts": notice.attempts,
            "disavowed_at": microseconds_or_none(notice.disavowed_at),
        }
        with writing(self._engine) as connection:
            insert = insert_into(connection, table).values(row).on_conflict_do_nothing()
            return connection.execute(insert.returning(table.c.id)).first() is not None

    def get(self, notice_id: str) -> Notice | None:
        with reading(self._engine) as connection:
            row = connection.execute(select(table).where(table.c.id == notice_id)).first()
        return None if row is None else _notice(row)

    def of_account(self, account_id: str, *, limit: int, before: datetime | None = None) -> Sequence[Notice]:
        statement = select(table).where(table.c.account_id == account_id)
        if before is not None:
            statement = statement.where(table.c.at < unix_microseconds(before))
        statement = statement.order_by(table.c.at.desc(), table.c.id.desc()).limit(limit)
        with reading(self._engine) as connection:
            rows = connection.execute(statement).all()
        return tuple(_notice(row) for row in rows)

    def claim(self, *, now: datetime, lease: timedelta, limit: int) -> Sequence[Notice]:
        due = (
            select(table.c.id, table.c.due_at)
            .where(table.c.due_at.is_not(None), table.c.due_at <= unix_microseconds(now))
            .order_by(table.c.due_at, table.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)  # what another worker claims at this moment is its own
            .cte("due")
        )
        # RETURNING keeps no order, and all that are claimed are due again at one moment: the reader sorts by when
        # they were. SQLite returns columns of the changed table alone.
        claim = (
            update(table)
            .where(table.c.id == due.c.id)
            .values(attempts=table.c.attempts + 1, due_at=unix_microseconds(now + lease))
        )
        with writing(self._engine) as connection:
            if connection.dialect.name == "postgresql":
                rows = connection.execute(claim.returning(table, due.c.due_at.label("was_due"))).all()
                order = {row.id: (row.was_due, row.id) for row in rows}
            else:
                held = connection.execute(select(due)).all()
                order = {row.id: (row.due_at, row.id) for row in held}
                rows = connection.execute(claim.returning(table)).all() if held else []
        return tuple(_notice(row) for row in sorted(rows, key=lambda row: order[row.id]))

    def mailed(self, notice_id: str, *, at: datetime) -> bool:
        due = (table.c.id == notice_id) & table.c.due_at.is_not(None)
        return self._changed(update(table).where(due).values(mailed_at=unix_microseconds(at), due_at=None))

    def withdraw(self, notice_id: str) -> bool:
        untried = (table.c.id == notice_id) & table.c.due_at.is_not(None) & (table.c.attempts == 0)
        return self._changed(update(table).where(untried).values(due_at=None))

    def postpone(self, notice_id: str, *, attempts: int, due_at: datetime | None) -> bool:
        mine = (table.c.id == notice_id) & table.c.due_at.is_not(None) & (table.c.attempts == attempts)
        return self._changed(update(table).where(mine).values(due_at=microseconds_or_none(due_at)))

    def remove(self, notice_id: str) -> bool:
        with writing(self._engine) as connection:
            return connection.execute(delete(table).where(table.c.id == notice_id)).rowcount == 1

    def disavow(self, account_id: str, notice_id: str, *, at: datetime) -> bool:
        own = (table.c.id == notice_id) & (table.c.account_id == account_id)
        return self._changed(
            update(table)
            .where(own, table.c.disavowed_at.is_(None))
            .values(disavowed_at=unix_microseconds(at))
        )

    def purge(self, *, until: datetime) -> int:
        with writing(self._engine) as connection:
            return connection.execute(delete(table).where(table.c.at <= unix_microseconds(until))).rowcount

    def _changed(self, statement: Update) -> bool:
        with writing(self._engine) as connection:
            return connection.execute(statement).rowcount == 1


def _notice(row: Row[Any]) -> Notice:
    return Notice(
        id=row.id,
        account_id=row.account_id,
        kind=row.kind,
        at=from_unix_microseconds(row.at),
        code=row.code,
        data=bytes(row.data),
        due_at=moment_or_none(row.due_at),
        mailed_at=moment_or_none(row.mailed_at),
        attempts=row.attempts,
        disavowed_at=moment_or_none(row.disavowed_at),
    )
