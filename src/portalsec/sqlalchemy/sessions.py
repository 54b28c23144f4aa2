"""Sessions in SQL, and one epoch an account that ends them all at once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, func, select, update

from portalsec.auth.ports import Created, LoadedSession, SessionRecord
from portalsec.auth.posture import posture_of, posture_text
from portalsec.auth.proof import Proof
from portalsec.auth.proof_text import duration_or_none, old_proofs, proofs_of, proofs_text
from portalsec.clock import microseconds_or_none, nearest_moment, unix_microseconds
from portalsec.errors import Tampered
from portalsec.sqlalchemy.tables import session as table
from portalsec.sqlalchemy.tables import session_epoch as epochs
from portalsec.sqlalchemy.transaction import insert_into, reading, require_opened, writing

__all__ = ["SqlSessions"]

_MICROSECOND = timedelta(microseconds=1)
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

    def create(self, record: SessionRecord, *, cap: int | None = None, end_oldest: bool = True) -> Created:
        with writing(self._engine) as connection:
            if self._locked_epoch(connection, record.account_id, alone=cap is not None) != record.epoch:
                return Created(opened=False)
            known = select(table.c.epoch).where(table.c.digest == record.digest)
            if cap is not None and connection.execute(known).first() is not None:
                return Created(opened=False)  # before anything makes room for it
            ended: tuple[SessionRecord, ...] = ()
            if cap is not None:
                used = table.c.last_seen_at, table.c.digest
                owners = table.c.account_id == record.account_id, table.c.impersonator.is_(None)
                own = connection.execute(select(table).where(*owners).order_by(*used)).all()
                if len(own) >= cap and not end_oldest:
                    return Created(opened=False, full=True)
                oldest = own[: max(len(own) - cap + 1, 0)]
                connection.execute(delete(table).where(table.c.digest.in_([row.digest for row in oldest])))
                ended = _readable(oldest)
            if not self._inserted(connection, record):
                return Created(opened=False)
            return Created(opened=True, ended=ended)

    def replace(self, old: bytes, record: SessionRecord) -> bool:
        with writing(self._engine) as connection:
            if self._locked_epoch(connection, record.account_id) != record.epoch:
                return False
            known = select(table.c.epoch).where(table.c.digest == record.digest)
            if connection.execute(known).first() is not None:
                return False
            before = delete(table).where(
                table.c.digest == old,
                table.c.account_id == record.account_id,
                table.c.epoch == record.epoch,
            )
            return connection.execute(before).rowcount == 1 and self._inserted(connection, record)

    def load(self, digest: bytes) -> LoadedSession | None:
        with reading(self._engine) as connection:
            row = connection.execute(_WITH_EPOCH.where(table.c.digest == digest)).first()
        return None if row is None else LoadedSession(record=_record(row), current_epoch=row.current_epoch)

    def touch(self, digest: bytes, *, last_seen_at: datetime) -> bool:
        moment = unix_microseconds(last_seen_at)
        statement = (
            update(table)
            .where(table.c.digest == digest, table.c.last_seen_at < moment, table.c.rested_at.is_(None))
            .values(last_seen_at=moment)
        )
        with writing(self._engine) as connection:
            return connection.execute(statement).rowcount == 1

    def rest(self, digest: bytes, *, at: datetime) -> bool:
        statement = (
            update(table)
            .where(table.c.digest == digest, table.c.rested_at.is_(None))
            .values(rested_at=unix_microseconds(at))
        )
        with writing(self._engine) as connection:
            return connection.execute(statement).rowcount == 1

    def flag(self, digest: bytes, anomaly: str, *, expected: str | None) -> bool:
        if anomaly == expected:
            return False
        # "= NULL" is never true; SQLAlchemy writes IS NULL for it.
        same = table.c.digest == digest, table.c.anomaly == expected
        statement = update(table).where(*same).values(anomaly=anomaly)
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
            return _readable(connection.execute(statement))

    def purge(self, *, created_until: datetime) -> int:
        old = table.c.created_at <= unix_microseconds(created_until)
        with writing(self._engine) as connection:
            return connection.execute(delete(table).where(old)).rowcount

    def _inserted(self, connection: Connection, record: SessionRecord) -> bool:
        insert = insert_into(connection, table).values(_row(record)).on_conflict_do_nothing()
        return connection.execute(insert.returning(table.c.epoch)).first() is not None

    def _locked_epoch(self, connection: Connection, account_id: str, *, alone: bool = False) -> int:
        """The epoch, held until this transaction ends: a concurrent `end_all` comes before it or after it.

        Without the lock (FOR SHARE on PostgreSQL; SQLite's writer is alone) a session could be inserted just
        after `end_all` deleted the account's sessions, by a sign-in that read the old epoch. ``alone``: no other
        session of the account is created meanwhile either, so that a cap counts them all.
        """
        connection.execute(
            insert_into(connection, epochs).values(account_id=account_id, epoch=0).on_conflict_do_nothing()
        )
        return int(
            connection.execute(
                select(epochs.c.epoch)
                .where(epochs.c.account_id == account_id)
                .with_for_update(read=not alone)
            ).scalar_one()
        )


def _row(record: SessionRecord) -> dict[str, object]:
    return {
        "digest": record.digest,
        "account_id": record.account_id,
        "epoch": record.epoch,
        "created_at": unix_microseconds(record.created_at),
        "last_seen_at": unix_microseconds(record.last_seen_at),
        "factors": json.dumps(record.factors),  # with `proven_at`, what a worker of the version before reads
        "proven_at": unix_microseconds(record.proven_at),
        "proofs": proofs_text(record.proofs),
        "level": record.level,
        "phishing_resistant": int(record.phishing_resistant),
        "idle": None if record.idle is None else record.idle // _MICROSECOND,
        "absolute": None if record.absolute is None else record.absolute // _MICROSECOND,
        "shared": int(record.shared),
        "rested_at": microseconds_or_none(record.rested_at),
        "anomaly": record.anomaly,
        "impersonator": record.impersonator,
        "behind": record.behind,
        "posture": posture_text(record.posture),
        "jkt": record.jkt,
        "place": record.place,
        "address": record.address,
        "networks": " ".join(record.networks) or None,
        "user_agent": record.user_agent,
    }


def _record(row: Row[Any]) -> SessionRecord:
    try:
        record = _read(row)
        if type(record.level) is int:
            return record
    except (ValueError, TypeError, AttributeError):
        pass
    raise Tampered("a stored session is not what portalsec wrote")


def _read(row: Row[Any]) -> SessionRecord:
    proofs = _old(row) if row.proofs is None else proofs_of(row.proofs)
    return SessionRecord(
        digest=bytes(row.digest),
        account_id=row.account_id,
        epoch=row.epoch,
        created_at=nearest_moment(row.created_at),
        last_seen_at=nearest_moment(row.last_seen_at),
        proofs=proofs,
        # Of a session without the column, a worker of the version before opened it: a password, or that and a code.
        level=min(len(proofs), 2) if row.level is None else row.level,
        phishing_resistant=bool(row.phishing_resistant),
        idle=duration_or_none(row.idle),
        absolute=duration_or_none(row.absolute),
        shared=bool(row.shared),
        rested_at=None if row.rested_at is None else nearest_moment(row.rested_at),
        anomaly=row.anomaly,
        impersonator=row.impersonator,
        behind=None if row.behind is None else bytes(row.behind),
        posture=posture_of(row.posture),
        jkt=row.jkt,
        place=row.place,
        address=row.address,
        networks=tuple((row.networks or "").split()),
        user_agent=row.user_agent,
    )


def _readable(rows: Iterable[Row[Any]]) -> tuple[SessionRecord, ...]:
    """Without rows that somebody wrote over: they open nothing, and must keep nobody from ending the others."""
    records = []
    for row in rows:
        with suppress(Tampered):
            records.append(_record(row))
    return tuple(records)


def _old(row: Row[Any]) -> tuple[Proof, ...]:
    try:
        factors = json.loads(row.factors)
    except (ValueError, TypeError):
        factors = None
    return old_proofs(factors, row.proven_at)
