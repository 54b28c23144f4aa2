"""Short-lived single-use state in SQL: a conditional UPDATE counts, a DELETE that returns its row consumes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Row, delete, or_, update

from portalsec.auth.ports import Flow
from portalsec.clock import from_unix_microseconds, unix_microseconds
from portalsec.sqlalchemy.tables import flow as table
from portalsec.sqlalchemy.transaction import insert_into, require_opened, writing

__all__ = ["SqlFlows"]


class SqlFlows:
    """`portalsec.auth.ports.FlowStore`, durable when a verb returns: a consumed flow stays consumed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = require_opened(engine)

    def put(self, flow: Flow) -> bool:
        row = {
            "digest": flow.digest,
            "purpose": flow.purpose,
            "account_id": flow.account_id,
            "data": flow.data,
            "expires_at": unix_microseconds(flow.expires_at),
            "attempts": flow.attempts,
        }
        with writing(self._engine) as connection:
            insert = insert_into(connection, table).values(row).on_conflict_do_nothing()
            return connection.execute(insert.returning(table.c.attempts)).first() is not None

    def attempt(self, digest: bytes, purpose: str, *, limit: int, now: datetime) -> Flow | None:
        moment = unix_microseconds(now)
        mine = (table.c.digest == digest) & (table.c.purpose == purpose)
        count = (
            update(table)
            .where(mine, table.c.expires_at > moment, table.c.attempts < limit)
            .values(attempts=table.c.attempts + 1)
            .returning(table)
        )
        with writing(self._engine) as connection:
            row = connection.execute(count).first()
            if row is not None:
                return _flow(row)
            spent = or_(table.c.expires_at <= moment, table.c.attempts >= limit)
            connection.execute(delete(table).where(mine, spent))
            return None

    def consume(self, digest: bytes, purpose: str, *, now: datetime) -> Flow | None:
        statement = delete(table).where(table.c.digest == digest, table.c.purpose == purpose).returning(table)
        with writing(self._engine) as connection:
            row = connection.execute(statement).first()
        # An expired one is removed all the same, which is what the port asks of a call that finds it.
        return None if row is None or row.expires_at <= unix_microseconds(now) else _flow(row)

    def drop_account(self, account_id: str) -> int:
        with writing(self._engine) as connection:
            return connection.execute(delete(table).where(table.c.account_id == account_id)).rowcount

    def purge(self, *, now: datetime) -> int:
        with writing(self._engine) as connection:
            return connection.execute(
                delete(table).where(table.c.expires_at <= unix_microseconds(now))
            ).rowcount


def _flow(row: Row[Any]) -> Flow:
    return Flow(
        digest=bytes(row.digest),
        purpose=row.purpose,
        account_id=row.account_id,
        data=bytes(row.data),
        expires_at=from_unix_microseconds(row.expires_at),
        attempts=row.attempts,
    )
