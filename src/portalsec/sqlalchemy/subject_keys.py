"""Subject keys in SQL: one INSERT decides who makes a key, one UPSERT erases it for good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, func, select, update

from portalsec.clock import from_unix_microseconds, unix_microseconds
from portalsec.crypto.ports import Erased, Rewrap, SubjectKey
from portalsec.errors import StoreError
from portalsec.sqlalchemy.tables import subject_key as table
from portalsec.sqlalchemy.transaction import driver, insert_into, reading, require_opened, writing

__all__ = ["SqlSubjectKeys"]

_AT_ONCE = 500  # below SQLite's oldest limit of 999 parameters


class SqlSubjectKeys:
    """`portalsec.crypto.ports.SubjectKeyStore`, durable when a verb returns.

    On SQLite an erased or replaced key is overwritten in the file and in its write-ahead log; after rows changed their
    size, an unused part of a page may keep a copy until a VACUUM. PostgreSQL keeps the old row until a vacuum, and its
    log as long as it is archived.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = require_opened(engine)

    def get(self, purpose: str, subject: str) -> SubjectKey | None:
        with reading(self._engine) as connection:
            return _read(connection, purpose, subject)

    def get_many(self, purpose: str, subjects: Sequence[str]) -> Mapping[str, SubjectKey]:
        found: dict[str, SubjectKey] = {}
        asked = list(dict.fromkeys(subjects))
        for start in range(0, len(asked), _AT_ONCE):
            some = table.c.subject.in_(asked[start : start + _AT_ONCE])
            with reading(
                self._engine
            ) as connection:  # each its own, so that no answer is of an older snapshot
                rows = connection.execute(select(table).where(table.c.purpose == purpose, some)).all()
            found.update((key.subject, key) for key in map(_key, rows))
        return found

    def get_or_create(self, key: SubjectKey) -> SubjectKey:
        row = {
            "purpose": key.purpose,
            "subject": key.subject,
            "key_id": key.key_id,
            "commitment": key.commitment,
            "wrapped": key.wrapped,
            "created_at": unix_microseconds(key.created_at),
        }
        with writing(self._engine) as connection:
            _overwrite(connection)  # a page that is split leaves copies of keys too
            # A tombstone is a row like any other here, so that it cannot be replaced by a key.
            insert = insert_into(connection, table).values(row).on_conflict_do_nothing()
            connection.execute(insert)
            stored = _read(connection, key.purpose, key.subject)
        return _there(stored)

    def erase(self, purpose: str, subject: str, *, now: datetime) -> Erased:
        moment = unix_microseconds(now)
        with writing(self._engine) as connection:
            _overwrite(connection)
            tombstone = (
                insert_into(connection, table)
                .values(purpose=purpose, subject=subject, created_at=moment, erased_at=moment)
                .on_conflict_do_update(
                    index_elements=[table.c.purpose, table.c.subject],
                    set_={"wrapped": None, "erased_at": moment},
                    where=table.c.erased_at.is_(None),
                )
                .returning(table.c.subject)
            )
            won = connection.execute(tombstone).first() is not None
            stored = _read(connection, purpose, subject)
        if won:
            self._empty_log()
        return Erased(key=_there(stored), won=won)

    def rewrap(self, purpose: str, changes: Sequence[Rewrap]) -> Sequence[bool]:
        done = [False] * len(changes)
        with writing(self._engine) as connection:
            _overwrite(connection)
            # In one order whoever calls, so that two who rewrap the same keys at once do not wait for each other.
            for at in sorted(range(len(changes)), key=lambda at: changes[at].subject):
                change = changes[at]
                statement = (
                    update(table)
                    .where(
                        table.c.purpose == purpose,
                        table.c.subject == change.subject,
                        table.c.wrapped == change.expected,
                    )
                    .values(wrapped=change.wrapped)
                )
                done[at] = connection.execute(statement).rowcount == 1
        return tuple(done)

    def page(self, purpose: str, *, after: str | None, limit: int) -> Sequence[SubjectKey]:
        living = select(table).where(table.c.purpose == purpose, table.c.erased_at.is_(None))
        if after is not None:
            living = living.where(table.c.subject > after)
        with reading(self._engine) as connection:
            rows = connection.execute(living.order_by(table.c.subject).limit(limit)).all()
        return tuple(map(_key, rows))

    def count(self, purpose: str) -> int:
        living = select(func.count()).where(table.c.purpose == purpose, table.c.erased_at.is_(None))
        with reading(self._engine) as connection:
            return connection.scalar(living) or 0

    def purposes(self) -> Sequence[str]:
        living = select(table.c.purpose).where(table.c.erased_at.is_(None)).distinct()
        with reading(self._engine) as connection:
            return connection.execute(living.order_by(table.c.purpose)).scalars().all()

    def _empty_log(self) -> None:
        """On SQLite: the write-ahead log still has the page with the key as it was before.

        Where a reader is in the way, or it fails, it is done by the next checkpoint. The key is erased already.
        """
        if self._engine.dialect.name == "sqlite":
            with suppress(StoreError), driver(self._engine) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _overwrite(connection: Connection) -> None:
    """On SQLite: what this connection deletes is overwritten with zeros, not only let go of."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete = ON").fetchall()


def _read(connection: Connection, purpose: str, subject: str) -> SubjectKey | None:
    row = connection.execute(
        select(table).where(table.c.purpose == purpose, table.c.subject == subject)
    ).first()
    return None if row is None else _key(row)


def _there(key: SubjectKey | None) -> SubjectKey:
    if key is None:
        raise StoreError(
            "a subject's key was not there after it was written: something removes rows of its table"
        )
    return key


def _key(row: Any) -> SubjectKey:
    return SubjectKey(
        purpose=row.purpose,
        subject=row.subject,
        key_id=row.key_id,
        commitment=None if row.commitment is None else bytes(row.commitment),
        wrapped=None if row.wrapped is None else bytes(row.wrapped),
        created_at=from_unix_microseconds(row.created_at),
        erased_at=None if row.erased_at is None else from_unix_microseconds(row.erased_at),
    )
