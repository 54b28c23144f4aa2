"""What the SQL audit store does beyond its contract."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from portalsec.audit.ports import Entry, StoredCheckpoint
from portalsec.errors import StoreError, Tampered
from portalsec.sqlalchemy import SqlAudit, create_schema, open_engine
from tests.sqlalchemy.support import wait_for_a_lock


def _entry(number: int, *subjects: str) -> Entry:
    body = b"event %d" % number
    return Entry(
        id=f"event-{number}", body=body, leaf=hashlib.sha256(b"\0" + body).digest(), subjects=subjects
    )


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path}/audit.db")
    create_schema(engine, "audit")
    yield engine
    engine.dispose()


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[Engine]:
    engine = open_engine(postgres_url)
    create_schema(engine, "audit")
    with engine.begin() as connection:
        connection.execute(
            text("TRUNCATE portalsec_audit_stage, portalsec_audit_event, portalsec_audit_subject")
        )
        connection.execute(text("CREATE TABLE IF NOT EXISTS note (text text)"))
        connection.execute(text("TRUNCATE note"))
    yield engine
    engine.dispose()


def test_a_batch_is_stored_whole_or_not_at_all(engine: Engine):
    store = SqlAudit(engine)
    broken = Entry(id="event-2", body=None, leaf=b"", subjects=())  # type: ignore[arg-type]
    with pytest.raises(StoreError):
        store.append([_entry(1), broken, _entry(3)])
    assert list(store.staged()) == []
    assert store.integrate() == 0


def test_a_crash_between_batches_loses_and_repeats_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch):
    store = SqlAudit(engine)
    store.append([_entry(number, "s") for number in range(1200)])
    place, calls = SqlAudit._place, []

    def dying(self: SqlAudit, connection, rows):
        calls.append(len(rows))
        place(self, connection, rows)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(SqlAudit, "_place", dying)
    with pytest.raises(KeyboardInterrupt):
        store.integrate()
    assert store.size() == 500
    assert len(store.staged()) == 700
    monkeypatch.undo()
    assert store.integrate() == 1200
    assert [stored.body for stored in store.read(0, 1200)] == [_entry(number).body for number in range(1200)]


def test_a_row_of_the_wrong_type_can_be_read_and_so_named(engine: Engine):
    """SQLite takes text where bytes belong; a verifier that crashes there names nothing."""
    store = SqlAudit(engine)
    store.append([_entry(number, "s") for number in range(3)])
    store.integrate()
    store.save_checkpoint(StoredCheckpoint(size=3, note="note"))
    with engine.begin() as connection:
        connection.execute(text("UPDATE portalsec_audit_event SET body = 'edited' WHERE seq = 1"))
        connection.execute(text("UPDATE portalsec_audit_event SET leaf = 7 WHERE seq = 2"))
        connection.execute(text("UPDATE portalsec_audit_subject SET subject = x'ff' WHERE seq = 1"))
        connection.execute(text("UPDATE portalsec_audit_checkpoint SET note = x'6e'"))
    assert [stored.body for stored in store.read(0, 3)] == [b"event 0", b"edited", b"event 2"]
    assert store.newest(limit=1)[0].leaf == b"7"
    assert store.checkpoints() == (StoredCheckpoint(size=3, note="n"),)
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(text("UPDATE portalsec_audit_event SET seq = 'x' WHERE seq = 0"))


def test_staged_subjects_that_were_written_over_are_tampered(engine: Engine):
    store = SqlAudit(engine)
    store.append([_entry(1, "s")])
    for broken in ("", "not json", "7", '"s"', "[1]"):
        with engine.begin() as connection:
            connection.execute(
                text("UPDATE portalsec_audit_stage SET subjects = :broken"), {"broken": broken}
            )
        with pytest.raises(Tampered, match="event-1"):
            store.staged()
        with pytest.raises(Tampered, match="event-1"):
            store.integrate()
    assert store.size() == 0


def test_appending_does_not_wait_for_an_integrator_on_postgresql(postgres: Engine):
    """Another worker holds the integrator's lock and has not committed: appends are acknowledged all the same."""
    store = SqlAudit(postgres)
    with postgres.connect() as integrator:
        store._alone(integrator)
        store.append([_entry(1)])
        assert [entry.id for entry in store.staged()] == ["event-1"]
        integrator.rollback()
    assert store.integrate() == 1


def test_integrators_wait_for_each_other_on_postgresql(postgres: Engine):
    """Two that computed the next index at once would both give it."""
    store, sizes = SqlAudit(postgres), []
    store.append([_entry(1)])
    with postgres.connect() as other:
        store._alone(other)
        waiting = threading.Thread(target=lambda: sizes.append(store.integrate()))
        waiting.start()
        wait_for_a_lock(postgres)
        assert sizes == []
        other.rollback()
    waiting.join(30)
    assert sizes == [1]


def test_a_slow_writer_with_a_smaller_number_is_placed_later_and_not_lost(postgres: Engine):
    store = SqlAudit(postgres)
    with postgres.connect() as slow:
        store.append_on(slow, [_entry(1)])  # takes the smaller number, commits last
        store.append([_entry(2)])
        assert store.integrate() == 1
        slow.commit()
    assert store.integrate() == 2
    assert [stored.body for stored in store.read(0, 2)] == [_entry(2).body, _entry(1).body]


def test_an_append_on_the_applications_connection_shares_its_fate(postgres: Engine):
    store = SqlAudit(postgres)
    for number, end in ((1, "rollback"), (2, "commit")):
        with postgres.connect() as connection:
            connection.execute(text("INSERT INTO note VALUES ('changed')"))
            store.append_on(connection, [_entry(number, "s")])
            getattr(connection, end)()
    with postgres.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM note")) == 1
    assert [entry.id for entry in store.staged()] == ["event-2"]


def test_a_retry_while_its_first_is_being_placed_stays_one_event(postgres: Engine):
    """The retry waits for the row that is being moved, finds its place free and is staged again: it is not placed."""
    store = SqlAudit(postgres)
    store.append([_entry(1, "s")])
    with postgres.connect() as moving:
        store._alone(moving)
        moving.execute(text("DELETE FROM portalsec_audit_stage"))
        moving.execute(
            text(
                "INSERT INTO portalsec_audit_event (seq, id, body, leaf) VALUES (0, 'event-1', :body, :leaf)"
            ),
            {"body": _entry(1).body, "leaf": _entry(1).leaf},
        )
        retry = threading.Thread(target=store.append, args=([_entry(1, "s")],))
        retry.start()
        wait_for_a_lock(postgres)
        moving.commit()
        retry.join(30)
    assert len(store.staged()) == 1
    assert store.integrate() == 1
    assert list(store.staged()) == []
    assert [stored.body for stored in store.read(0, 9)] == [_entry(1).body]
