"""The audit log in SQL: append to a stage without a lock that orders writers, order and index later."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    LargeBinary,
    Row,
    Select,
    Text,
    cast,
    delete,
    exists,
    func,
    insert,
    select,
    text,
)

from portalsec.audit.ports import Entry, StoredCheckpoint, StoredEntry
from portalsec.errors import StoreError, Tampered
from portalsec.sqlalchemy.tables import audit_checkpoint as checkpoint_table
from portalsec.sqlalchemy.tables import audit_event as event
from portalsec.sqlalchemy.tables import audit_stage as stage
from portalsec.sqlalchemy.tables import audit_subject as subject_table
from portalsec.sqlalchemy.tables import foreign_to_audit
from portalsec.sqlalchemy.transaction import driver, insert_into, reading, require_opened, writing

__all__ = ["SqlAudit"]

_BATCH = 500  # below SQLite's oldest limit of 999 parameters
_INTEGRATOR = 0x70736563_00000002

# A retry after a lost acknowledgement must not become a second event, whether the first is still staged (the
# unique id) or was placed already (`SqlAudit._place_batch` leaves it out).
_APPEND = text(
    f"INSERT INTO {stage.name} (id, body, leaf, subjects) "  # noqa: S608 - constant names only
    "VALUES (:id, :body, :leaf, :subjects) ON CONFLICT DO NOTHING"
)
_APPEND_SQLITE = (
    f"INSERT INTO {stage.name} (id, body, leaf, subjects) "  # noqa: S608 - constant names only
    "VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
)

# SQLite keeps whatever type somebody wrote into a column. Verification must be able to read, and name, such a row.
_ENTRY = select(
    event.c.seq,
    event.c.id,
    cast(event.c.body, LargeBinary).label("body"),
    cast(event.c.leaf, LargeBinary).label("leaf"),
)


class SqlAudit:
    """`portalsec.audit.ports.AuditStore`.

    Durable when `append` returns: SQLite commits with ``synchronous=FULL``, PostgreSQL with ``synchronous_commit``.
    On SQLite give it a file of its own. It never creates or changes tables, so that verification can open the log
    read-only.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = require_opened(engine)

    def append(self, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        if self._engine.dialect.name == "sqlite":
            self._append_sqlite(entries)
            return
        with writing(self._engine) as connection:
            self.append_on(connection, entries)

    def _append_sqlite(self, entries: Sequence[Entry]) -> None:
        # The statement that every request waits for: SQLAlchemy's way to it takes several times as long as SQLite's.
        rows = [(entry.id, entry.body, entry.leaf, json.dumps(entry.subjects)) for entry in entries]
        with driver(self._engine) as connection:
            if len(rows) == 1:
                kept = connection.execute(_APPEND_SQLITE, rows[0]).rowcount  # a transaction of its own
            else:
                connection.execute("BEGIN IMMEDIATE")
                kept = connection.executemany(_APPEND_SQLITE, rows).rowcount
                if kept == len(rows):
                    connection.execute("COMMIT")
                    return
            if kept == len(rows):
                return
        # Rare: an id was known, or something swallowed an entry. Nothing of several was committed.
        with writing(self._engine) as slow:
            self.append_on(slow, entries)

    def append_on(self, connection: Connection, entries: Sequence[Entry]) -> None:
        """Stage entries on the application's own connection: the change and its audit both commit or neither does.

        Beyond the port, for an audited *change* where application and log share one PostgreSQL database. Driver
        errors are the caller's, like those of its other statements.
        """
        if not entries:
            return
        rows = [
            {"id": entry.id, "body": entry.body, "leaf": entry.leaf, "subjects": json.dumps(entry.subjects)}
            for entry in entries
        ]
        if connection.execute(_APPEND, rows).rowcount != len(rows):
            self._confirm(connection, {entry.id for entry in entries})

    def _confirm(self, connection: Connection, ids: set[str]) -> None:
        """Not every row was inserted: in order for an id that was known, and for nothing else.

        A trigger or an index that somebody added may drop a row and let the statement succeed. An event that is not
        there must not be acknowledged.
        """
        wanted = sorted(ids)
        for start in range(0, len(wanted), _BATCH):
            some = wanted[start : start + _BATCH]
            for table in (stage, event):
                ids.difference_update(connection.scalars(select(table.c.id).where(table.c.id.in_(some))))
        if ids:
            place = self._engine.url.render_as_string(hide_password=True)
            raise StoreError(f"the database {place} did not keep {len(ids)} of {len(wanted)} audit entries")

    def integrate(self) -> int:
        # Appends never wait for this look; the common call finds nothing and takes no write lock.
        while self._anything_staged() and self._place_batch() == _BATCH:
            pass  # a batch that was not full saw everything that was committed when it began
        return self.size()

    def size(self) -> int:
        with reading(self._engine) as connection:
            return self._size(connection)

    def read(self, start: int, stop: int) -> Sequence[StoredEntry]:
        return self._entries(_ENTRY.where(event.c.seq >= start, event.c.seq < stop).order_by(event.c.seq))

    def staged(self) -> Sequence[Entry]:
        with reading(self._engine) as connection:
            rows = connection.execute(select(stage).order_by(stage.c.n)).all()
        return tuple(_staged_entry(row) for row in rows)

    def newest(self, *, limit: int, before: int | None = None) -> Sequence[StoredEntry]:
        statement = _ENTRY.order_by(event.c.seq.desc()).limit(limit)
        return self._entries(statement if before is None else statement.where(event.c.seq < before))

    def of_subject(self, subject: str, *, limit: int, before: int | None = None) -> Sequence[StoredEntry]:
        statement = (
            _ENTRY.join(subject_table, subject_table.c.seq == event.c.seq)
            .where(subject_table.c.subject == subject)
            .order_by(subject_table.c.seq.desc())
            .limit(limit)
        )
        return self._entries(statement if before is None else statement.where(subject_table.c.seq < before))

    def subject_index(self, start: int, stop: int) -> Iterable[tuple[int, str]]:
        statement = (
            select(subject_table.c.seq, cast(subject_table.c.subject, Text).label("subject"))
            .where(subject_table.c.seq >= start, subject_table.c.seq < stop)
            .order_by(subject_table.c.seq, subject_table.c.subject)
        )
        with reading(self._engine) as connection:
            return [(row.seq, row.subject) for row in connection.execute(statement)]

    def save_checkpoint(self, checkpoint: StoredCheckpoint) -> bool:
        with writing(self._engine) as connection:
            self._alone(connection)
            if connection.scalar(select(exists().where(checkpoint_table.c.size >= checkpoint.size))):
                return False
            kept = (
                insert_into(connection, checkpoint_table)
                .values(size=checkpoint.size, note=checkpoint.note)
                .on_conflict_do_nothing()
                .returning(checkpoint_table.c.size)
            )
            return connection.execute(kept).first() is not None

    def checkpoints(self) -> Sequence[StoredCheckpoint]:
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(checkpoint_table.c.size, cast(checkpoint_table.c.note, Text).label("note")).order_by(
                    checkpoint_table.c.size
                )
            ).all()
        return tuple(StoredCheckpoint(size=row.size, note=row.note) for row in rows)

    def intrusions(self) -> Sequence[str]:
        with reading(self._engine) as connection:
            return foreign_to_audit(connection)

    # -- placing --------------------------------------------------------------------------------------------

    def _anything_staged(self) -> bool:
        with reading(self._engine) as connection:
            return bool(connection.scalar(select(exists().select_from(stage))))

    def _place_batch(self) -> int:
        """Move up to `_BATCH` staged rows, oldest first, and return how many were taken from the stage."""
        with writing(self._engine) as connection:
            self._alone(connection)
            oldest = select(stage.c.n).order_by(stage.c.n).limit(_BATCH)
            # Rows are taken by exactly the numbers that this statement saw: on PostgreSQL a smaller number may be
            # committed a moment later by a slower writer, and must then wait for the next batch, not vanish.
            taken = connection.execute(delete(stage).where(stage.c.n.in_(oldest)).returning(stage)).all()
            rows = sorted(taken, key=lambda row: int(row.n))
            known = set(
                connection.scalars(select(event.c.id).where(event.c.id.in_([row.id for row in rows])))
            )
            fresh = [row for row in rows if row.id not in known]
            if fresh:
                self._place(connection, fresh)
            return len(rows)

    def _place(self, connection: Connection, rows: Sequence[Row[Any]]) -> None:
        size = self._size(connection)
        events, subjects = [], []
        for seq, row in enumerate(rows, size):
            events.append({"seq": seq, "id": row.id, "body": row.body, "leaf": row.leaf})
            subjects += [{"subject": subject, "seq": seq} for subject in set(_subjects(row))]
        connection.execute(insert(event), events)
        if subjects:
            connection.execute(insert(subject_table), subjects)

    def _alone(self, connection: Connection) -> None:
        """One integrator at a time; held to the end of the transaction. On SQLite the writer is alone anyway."""
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _INTEGRATOR})

    def _size(self, connection: Connection) -> int:
        return max(0, int(connection.scalar(select(func.coalesce(func.max(event.c.seq) + 1, 0))) or 0))

    def _entries(self, statement: Select[Any]) -> Sequence[StoredEntry]:
        try:
            with reading(self._engine) as connection:
                rows = connection.execute(statement).all()
            return tuple(
                StoredEntry(index=row.seq, body=bytes(row.body), leaf=bytes(row.leaf), id=row.id)
                for row in rows
            )
        except (TypeError, ValueError):
            # SQLite keeps text in a column of bytes where an UPDATE put some there.
            raise Tampered("An audit entry holds something of another kind than what was written.") from None


def _staged_entry(row: Row[Any]) -> Entry:
    return Entry(id=row.id, body=bytes(row.body), leaf=bytes(row.leaf), subjects=_subjects(row))


def _subjects(row: Row[Any]) -> tuple[str, ...]:
    try:
        subjects = json.loads(row.subjects)
    except (ValueError, TypeError):
        subjects = None
    if not isinstance(subjects, list) or not all(isinstance(subject, str) for subject in subjects):
        raise Tampered(f"The subjects of the waiting audit entry {row.id!a} are not what was written.")
    return tuple(subjects)
