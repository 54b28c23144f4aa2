"""Sessions in SQL, and one epoch an account that ends them all at once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, func, select, update

from portalsec.auth.ports import LoadedSession, SessionRecord
from portalsec.clock import nearest_moment, unix_microseconds
from portalsec.errors import Tampered
from portalsec.sqlalchemy.tables import session as table
from portalsec.sqlalchemy.tables import session_epoch as epochs
from portalsec.sqlalchemy.transaction import insert_into, reading, require_opened, writing

__all__ = ["SqlSessions"]

_CURRENT = func.coalesce(epochs.c.epoch, 0)
_WITH_EPOCH = select(table, _CURRENT.label("current_epoch")).select_from(
    table.outerjoin(epochs, epochs.c.account_id == table.c.account_id)
)


class SqlSessions:
    """`portalsec.auth.ports.SessionStore`, durable when a verb returns: an ended session stays ended."""

    def __init__(self, engine: Engine) -> None:
        self._engine = require_opened(engine)

    def epoch(self, account_id: str) -> int:
        with reading(self._engine) as connection:
            found = connection.scalar(select(epochs.c.epoch).where(epochs.c.account_id == account_id))
        return found or 0

    def create(self, record: SessionRecord) -> bool:
        row = {
            "digest": record.digest,
            "account_id": record.account_id,
            "epoch": record.epoch,
            "created_at": unix_microseconds(record.created_at),
            "last_seen_at": unix_microseconds(record.last_seen_at),
            "factors": json.dumps(record.factors),
            "proven_at": unix_microseconds(record.proven_at),
            "address": record.address,
            "user_agent": record.user_agent,
        }
        with writing(self._engine) as connection:
            if self._locked_epoch(connection, record.account_id) != record.epoch:
                return False
            insert = insert_into(connection, table).values(row).on_conflict_do_nothing()
            return connection.execute(insert.returning(table.c.epoch)).first() is not None

    def load(self, digest: bytes) -> LoadedSession | None:
        with reading(self._engine) as connection:
            row = connection.execute(_WITH_EPOCH.where(table.c.digest == digest)).first()
        return None if row is None else LoadedSession(record=_record(row), current_epoch=row.current_epoch)

    def touch(self, digest: bytes, *, last_seen_at: datetime) -> bool:
        moment = unix_microseconds(last_seen_at)
        statement = (
            update(table)
            .where(table.c.digest == digest, table.c.last_seen_at < moment)
            .values(last_seen_at=moment)
        )
        with writing(self._engine) as connection:
            return connection.execute(statement).rowcount == 1

    def end(self, digest: bytes) -> bool:
        with writing(self._engine) as connection:
            return connection.execute(delete(table).where(table.c.digest == digest)).rowcount == 1

    def end_all(self, account_id: str) -> int:
        with writing(self._engine) as connection:
            raised = (
                insert_into(connection, epochs)
                .values(account_id=account_id, epoch=1)
                .on_conflict_do_update(
                    index_elements=[epochs.c.account_id], set_={"epoch": epochs.c.epoch + 1}
                )
                .returning(epochs.c.epoch)
            )
            epoch = int(connection.execute(raised).scalar_one())
            connection.execute(delete(table).where(table.c.account_id == account_id))
            return epoch

    def of_account(self, account_id: str) -> Sequence[SessionRecord]:
        statement = _WITH_EPOCH.where(table.c.account_id == account_id, table.c.epoch == _CURRENT).order_by(
            table.c.created_at.desc(), table.c.digest.desc()
        )
        with reading(self._engine) as connection:
            return tuple(_record(row) for row in connection.execute(statement))

    def purge(self, *, created_until: datetime) -> int:
        old = table.c.created_at <= unix_microseconds(created_until)
        with writing(self._engine) as connection:
            return connection.execute(delete(table).where(old)).rowcount

    def _locked_epoch(self, connection: Connection, account_id: str) -> int:
        """The epoch, held until this transaction ends: a concurrent `end_all` comes before it or after it.

        Without the lock (FOR SHARE on PostgreSQL; SQLite's writer is alone) a session could be inserted just
        after `end_all` deleted the account's sessions, by a sign-in that read the old epoch.
        """
        connection.execute(
            insert_into(connection, epochs).values(account_id=account_id, epoch=0).on_conflict_do_nothing()
        )
        return int(
            connection.execute(
                select(epochs.c.epoch).where(epochs.c.account_id == account_id).with_for_update(read=True)
            ).scalar_one()
        )


def _record(row: Row[Any]) -> SessionRecord:
    try:
        factors = json.loads(row.factors)
    except (ValueError, TypeError):
        factors = None
    if not isinstance(factors, list) or not all(isinstance(kind, str) for kind in factors):
        raise Tampered("a stored session's list of factors is not what portalsec wrote")
    return SessionRecord(
        digest=bytes(row.digest),
        account_id=row.account_id,
        epoch=row.epoch,
        created_at=nearest_moment(row.created_at),
        last_seen_at=nearest_moment(row.last_seen_at),
        factors=tuple(factors),
        proven_at=nearest_moment(row.proven_at),
        address=row.address,
        user_agent=row.user_agent,
    )
