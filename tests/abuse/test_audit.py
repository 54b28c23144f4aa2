"""Attacks on the audit log, by someone who can write its database."""

from __future__ import annotations

import json
import logging
import pickle
import shutil
import sqlite3
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from portalsec.audit.anchor import FileAnchor
from portalsec.audit.checkpoint import Ed25519Signer
from portalsec.audit.merkle import leaf_hash
from portalsec.audit.ports import Entry, StoredCheckpoint
from portalsec.audit.record import decode
from portalsec.audit.verify import Kind, Report, verify
from portalsec.audit.writer import AuditWriter
from portalsec.errors import AuditUnavailable, PortalsecError, StoreError, Tampered
from portalsec.events import Actor, Event, ResourceRef, SecurityEvent, Source
from portalsec.secret import Secret
from portalsec.sqlalchemy import SqlAudit, check_schema, create_schema, open_engine
from portalsec.testing import SequentialIds
from tests.audit.support import SIGNER, VERIFIER, OpenStore, fill, make_log, read_event, sign_in_event

STAGE, EVENT, SUBJECT, CHECKPOINT = (
    "portalsec_audit_stage",
    "portalsec_audit_event",
    "portalsec_audit_subject",
    "portalsec_audit_checkpoint",
)


class Victim:
    """A log of eight entries in an SQLite file, checkpoints at 2, 4, 6 and 8, and an anchor outside."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o700)
        self.path = folder / "audit.db"
        self.anchor = FileAnchor(folder / "outside" / "checkpoint")
        self.url = f"sqlite:///{self.path}"
        engine = open_engine(self.url)
        create_schema(engine, "audit")
        log = make_log(SqlAudit(engine), anchors=[self.anchor])
        fill(log, 4, checkpoint_every=2)
        engine.dispose()
        self.older = folder / "older.db"
        shutil.copy2(self.path, self.older)
        engine = open_engine(self.url)
        log = make_log(SqlAudit(engine), anchors=[self.anchor], new_id=SequentialIds(start=50))
        fill(log, 4, checkpoint_every=2)
        engine.dispose()

    def attack(self, *statements: str) -> None:
        connection = sqlite3.connect(self.path)
        connection.execute("PRAGMA ignore_check_constraints = ON")  # as whoever owns the file may
        for statement in statements:
            assert connection.execute(statement).rowcount != 0, statement
        connection.commit()
        connection.close()

    def verify(self, *, anchored: bool = True) -> Report:
        engine = open_engine(self.url, read_only=True)
        try:
            return verify(
                SqlAudit(engine), verifier=VERIFIER, anchor=self.anchor.read() if anchored else None
            )
        finally:
            engine.dispose()

    def findings(self, *, anchored: bool = True) -> list[tuple[str, int | None, int | None]]:
        return [
            (problem.kind.value, problem.start, problem.stop)
            for problem in self.verify(anchored=anchored).problems
        ]


@pytest.fixture
def victim(tmp_path: Path) -> Victim:
    return Victim(tmp_path)


def test_auz_07_an_honest_log_verifies(victim: Victim) -> None:
    report = victim.verify()
    assert report.ok
    assert (report.size, report.covered, report.anchored) == (8, 8, 8)


def test_auz_07_drop_the_last_record(victim: Victim) -> None:
    victim.attack(f"DELETE FROM {SUBJECT} WHERE seq = 7 OR seq = 6", f"DELETE FROM {EVENT} WHERE seq = 7")
    assert ("missing", 7, 8) in victim.findings()


def test_auz_07_drop_the_last_records_with_their_checkpoints(victim: Victim) -> None:
    """Nothing inside the store contradicts this; the anchor does."""
    victim.attack(
        f"DELETE FROM {SUBJECT} WHERE seq >= 6",
        f"DELETE FROM {EVENT} WHERE seq >= 6",
        f"DELETE FROM {CHECKPOINT} WHERE size > 6",
    )
    assert victim.findings(anchored=False) == []
    assert ("missing", 6, 8) in victim.findings()


@pytest.mark.parametrize(("first", "second"), [(0, 1), (2, 3), (1, 6), (0, 7)])
def test_auz_07_swap_two(victim: Victim, first: int, second: int) -> None:
    """Whole rows change places, with everything that hangs on them."""
    swap = f"CASE seq WHEN {first} THEN {second} WHEN {second} THEN {first} ELSE seq END"
    victim.attack(
        "PRAGMA foreign_keys = OFF",
        *(
            f"UPDATE {table} SET seq = -1 - seq WHERE seq IN ({first}, {second})"
            for table in (EVENT, SUBJECT)
        ),
        *(
            f"UPDATE {table} SET seq = {swap.replace('seq', '(-1 - seq)')} WHERE seq < 0"
            for table in (EVENT, SUBJECT)
        ),
    )
    findings = victim.findings()
    start = first // 2 * 2
    assert findings == [("changed", start, start + 2)]


@pytest.mark.parametrize("index", range(8))
def test_auz_07_swap_bodies_only(victim: Victim, index: int) -> None:
    other = (index + 1) % 8
    victim.attack(
        f"CREATE TEMP TABLE t AS SELECT seq, body FROM {EVENT}",
        f"UPDATE {EVENT} SET body = (SELECT body FROM t WHERE t.seq = {other}) WHERE seq = {index}",
        f"UPDATE {EVENT} SET body = (SELECT body FROM t WHERE t.seq = {index}) WHERE seq = {other}",
    )
    named = {start for kind, start, _ in victim.findings() if kind == "entry"}
    assert named == {index, other}


@pytest.mark.parametrize("index", range(8))
def test_auz_07_edit_one(victim: Victim, index: int) -> None:
    victim.attack(
        f"UPDATE {EVENT} SET body = CAST(replace(body, 'account-7', 'account-8') AS BLOB) WHERE seq = {index}"
    )
    assert victim.findings() == [("entry", index, index + 1)]


def test_auz_07_edit_one_and_its_hash(victim: Victim) -> None:
    connection = sqlite3.connect(victim.path)
    (body,) = connection.execute(f"SELECT body FROM {EVENT} WHERE seq = 4").fetchone()
    body = body.replace(b"account-7", b"account-8")
    connection.execute(f"UPDATE {EVENT} SET body = ?, leaf = ? WHERE seq = 4", (body, leaf_hash(body)))
    connection.commit()
    connection.close()
    assert victim.findings() == [("changed", 4, 6)]


@pytest.mark.parametrize("index", range(7))
def test_auz_07_remove_one_from_the_middle(victim: Victim, index: int) -> None:
    victim.attack(f"DELETE FROM {EVENT} WHERE seq = {index}")
    assert ("missing", index, index + 1) in victim.findings()


def test_auz_07_remove_one_and_close_the_gap(victim: Victim) -> None:
    victim.attack(
        "PRAGMA foreign_keys = OFF",
        f"DELETE FROM {SUBJECT} WHERE seq = 4",
        f"DELETE FROM {EVENT} WHERE seq = 4",
        *(f"UPDATE {EVENT} SET seq = seq - 1 WHERE seq = {n}" for n in (5, 6, 7)),
        f"UPDATE {SUBJECT} SET seq = seq - 1 WHERE seq > 4",
    )
    assert victim.findings() == [("changed", 4, 6), ("missing", 7, 8)]


def test_auz_07_a_forged_record_before_the_first(victim: Victim) -> None:
    """It fits its own hash, and no signed root covers it."""
    victim.attack(
        f"INSERT INTO {EVENT} (seq, id, body, leaf) SELECT -1, 'forged', body, leaf FROM {EVENT} WHERE seq = 3",
        f"INSERT INTO {SUBJECT} (subject, seq) SELECT subject, -1 FROM {SUBJECT} WHERE seq = 4",
    )
    assert victim.findings() == [("entry", -1, 0), ("index", -1, 0)]


@pytest.mark.parametrize("table", [EVENT, SUBJECT, CHECKPOINT])
def test_the_tables_take_no_number_below_0(victim: Victim, table: str) -> None:
    column = "size" if table == CHECKPOINT else "seq"
    connection = sqlite3.connect(victim.path)
    with pytest.raises(sqlite3.IntegrityError, match="counts_from_0"):
        connection.execute(f"UPDATE {table} SET {column} = -1 WHERE {column} = 4")
    connection.close()


TRIGGERS = {
    "drop": f"CREATE TRIGGER t BEFORE INSERT ON {STAGE} WHEN instr(CAST(new.body AS TEXT), 'spy') > 0 "
    "BEGIN SELECT RAISE(IGNORE); END",
    "delete": f"CREATE TRIGGER t AFTER INSERT ON {STAGE} WHEN instr(CAST(new.body AS TEXT), 'spy') > 0 "
    f"BEGIN DELETE FROM {STAGE} WHERE id = new.id; END",
    "placed": f"CREATE TRIGGER t BEFORE INSERT ON {EVENT} BEGIN SELECT RAISE(IGNORE); END",
    "other case": f"CREATE TRIGGER t AFTER INSERT ON {STAGE.upper()} BEGIN SELECT 1; END",
    "checkpoint": f"CREATE TRIGGER t BEFORE INSERT ON {CHECKPOINT} BEGIN SELECT RAISE(IGNORE); END",
}


@pytest.mark.parametrize("kind", TRIGGERS)
def test_auz_07_a_trigger_that_could_swallow_events(victim: Victim, kind: str) -> None:
    victim.attack(TRIGGERS[kind])
    assert ("store", None, None) in victim.findings()
    engine = open_engine(victim.url)
    for opening in (create_schema, check_schema):
        with pytest.raises(Tampered, match="has a trigger that is not portalsec's"):
            opening(engine, "audit")
    engine.dispose()


def test_auz_07_a_view_in_the_place_of_a_table(victim: Victim) -> None:
    victim.attack(
        f"ALTER TABLE {STAGE} RENAME TO elsewhere",
        f"CREATE VIEW {STAGE} AS SELECT * FROM elsewhere",
        f"CREATE TRIGGER t INSTEAD OF INSERT ON {STAGE} BEGIN SELECT 1; END",
    )
    assert victim.findings().count(("store", None, None)) == 2


@pytest.mark.parametrize(
    "trap",
    [
        TRIGGERS["drop"],
        f"CREATE UNIQUE INDEX i ON {STAGE} ((1)) WHERE id >= ''",  # ON CONFLICT DO NOTHING meets it
    ],
)
@pytest.mark.parametrize("count", [1, 3])
def test_auz_07_no_receipt_for_an_event_that_was_swallowed(victim: Victim, trap: str, count: int) -> None:
    engine = open_engine(victim.url)
    log = make_log(SqlAudit(engine), new_id=SequentialIds(start=500))
    log.record(read_event())
    victim.attack(trap)
    with pytest.raises(AuditUnavailable):
        log.record_many([read_event(session="spy")] * count)
    assert len(log.store.staged()) == 1  # all or none
    engine.dispose()


def test_auz_07_replace_the_file_by_an_older_copy(victim: Victim) -> None:
    shutil.copy2(victim.older, victim.path)
    assert victim.findings(anchored=False) == []
    findings = victim.findings()
    assert ("missing", 4, 8) in findings


def test_auz_07_an_older_copy_that_grew_past_the_anchor(victim: Victim) -> None:
    shutil.copy2(victim.older, victim.path)
    engine = open_engine(victim.url)
    log = make_log(SqlAudit(engine), new_id=SequentialIds(start=900))  # a portal without the anchor signs on
    fill(log, 8, checkpoint_every=2)
    engine.dispose()
    assert victim.findings(anchored=False) == []  # its own checkpoints are rightly signed
    assert victim.findings() == [("checkpoint", None, None), ("changed", 0, 8)]


def test_auz_07_an_inserted_record(victim: Victim) -> None:
    body = b'{"v":1,"id":"x","t":"2026-03-02T09:00:00.000000Z","act":"auth.login","out":"success","who":{"type":"user"}}'
    assert decode(body).name == "auth.login"
    connection = sqlite3.connect(victim.path)
    connection.execute(f"INSERT INTO {EVENT} VALUES (8, 'x', ?, ?)", (body, leaf_hash(body)))
    connection.execute("PRAGMA foreign_keys = OFF")
    for table in (EVENT, SUBJECT):  # entry 8 takes the place of entry 3, and the rest moves on
        for seq in (7, 6, 5, 4, 3):
            connection.execute(f"UPDATE {table} SET seq = {100 + seq + 1} WHERE seq = {seq}")
    connection.execute(f"UPDATE {EVENT} SET seq = 103 WHERE seq = 8")
    for table in (EVENT, SUBJECT):
        connection.execute(f"UPDATE {table} SET seq = seq - 100 WHERE seq > 100")
    connection.commit()
    connection.close()
    assert victim.findings()[0] == ("changed", 2, 4)


def test_auz_07_everything_deleted(victim: Victim) -> None:
    victim.attack(*(f"DELETE FROM {table}" for table in (SUBJECT, EVENT, CHECKPOINT)))
    assert ("missing", 0, 8) in victim.findings()


# -- every byte ---------------------------------------------------------------------------------------------------


def flips(data: bytes) -> Iterator[bytes]:
    """``data`` with each byte changed in turn, each time by another bit."""
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        yield bytes(changed)


def text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def small_log() -> OpenStore:
    store = OpenStore()
    log = make_log(store)
    log.record(read_event("ann"))
    log.record(sign_in_event())
    log.checkpoint()
    log.record(read_event("ben"))
    log.checkpoint()
    log.record(read_event("cid"))
    log.integrate()  # the tail, that no checkpoint covers
    log.record(read_event("dan"))  # and one that waits
    for index, row in store.rows.items():
        store.rows[index] = replace(row, id=decode(row.body).id)
    return store


def findings(store: OpenStore) -> Sequence[Any]:
    return verify(store, verifier=VERIFIER, anchor=None).problems


def test_auz_07_every_byte_of_every_entry() -> None:
    store = small_log()
    assert not findings(store)
    for index, row in list(store.rows.items()):
        for change in (
            *(replace(row, body=body) for body in flips(row.body)),
            *(replace(row, leaf=leaf) for leaf in flips(row.leaf)),
            *(replace(row, id=text(id)) for id in flips((row.id or "").encode())),
        ):
            store.rows[index] = change
            assert [(problem.kind, problem.start) for problem in findings(store)] == [(Kind.ENTRY, index)]
        store.rows[index] = row
    assert not findings(store)


def test_auz_07_every_byte_of_every_checkpoint() -> None:
    store = small_log()
    for number, kept in enumerate(list(store.notes)):
        for note in flips(kept.note.encode()):
            store.notes[number] = StoredCheckpoint(size=kept.size, note=text(note))
            (problem,) = findings(store)
            assert problem.kind is Kind.CHECKPOINT
            assert f"Checkpoint {number} " in problem.text
        for bit in range(62):
            store.notes[number] = StoredCheckpoint(size=kept.size ^ 1 << bit, note=kept.note)
            assert {problem.kind for problem in findings(store)} == {Kind.CHECKPOINT}
        store.notes[number] = kept
    assert not findings(store)


def test_auz_07_every_byte_of_the_subject_index() -> None:
    store = small_log()
    for number, (index, subject) in enumerate(list(store.index)):
        for changed in flips(subject.encode()):
            store.index[number] = (index, text(changed))
            assert [(problem.kind, problem.start) for problem in findings(store)] == [(Kind.INDEX, index)]
        for bit in range(60):
            store.index[number] = (index ^ 1 << bit, subject)
            assert (Kind.INDEX, index) in [(problem.kind, problem.start) for problem in findings(store)]
        store.index[number] = (index, subject)
    assert not findings(store)


def test_auz_07_every_byte_of_a_waiting_entry() -> None:
    store = small_log()
    (entry,) = store.waiting
    changes: list[Entry] = [
        *(replace(entry, body=body) for body in flips(entry.body)),
        *(replace(entry, leaf=leaf) for leaf in flips(entry.leaf)),
        *(replace(entry, id=text(id)) for id in flips(entry.id.encode())),
        *(replace(entry, subjects=(text(subject),)) for subject in flips(entry.subjects[0].encode())),
    ]
    for change in changes:
        store.waiting[0] = change
        assert [problem.kind for problem in findings(store)] == [Kind.STAGED]
    store.waiting[0] = entry
    assert not findings(store)


def test_auz_07_every_place_of_the_order() -> None:
    store = small_log()
    for index, row in list(store.rows.items()):
        for bit in range(60):
            moved = index ^ 1 << bit
            if moved in store.rows:
                continue
            del store.rows[index]
            store.rows[moved] = replace(row, index=moved)
            assert any(
                problem.start is not None and problem.start <= index < (problem.stop or 0)
                for problem in findings(store)
            )
            del store.rows[moved]
            store.rows[index] = row


def test_auz_07_bytes_of_the_sqlite_file_itself(victim: Victim) -> None:
    """Flips in the raw file: each byte of two bodies is named; elsewhere it is found, or was nobody's, or exit 2."""
    raw = victim.path.read_bytes()
    connection = sqlite3.connect(victim.path)
    bodies = dict(connection.execute(f"SELECT seq, body FROM {EVENT} WHERE seq IN (0, 7)").fetchall())
    connection.close()
    for index, body in bodies.items():
        # Where a row was moved, an old copy may lie in free space; the living one is the one that is found.
        places = [n for n in range(len(raw)) if raw.startswith(body, n)]
        assert places
        for offset in range(0, len(body), 9):
            changed = bytearray(raw)
            for place in places:
                changed[place + offset] ^= 0x01
            victim.path.write_bytes(changed)
            assert victim.findings() == [("entry", index, index + 1)]
    told = 0
    for place in range(0, len(raw), 641):
        changed = bytearray(raw)
        changed[place] ^= 0xFF
        victim.path.write_bytes(changed)
        try:
            told += not victim.verify().ok
        except PortalsecError:  # damaged beyond reading: cannot tell, in one sentence
            told += 1
    assert told > 0


# -- ATK-39, ATK-40 -----------------------------------------------------------------------------------------------

HOSTILE = [
    "ann\r\n2026-03-02 root logged in",
    "ann\nfake\n",
    "\x1b[2J\x1b]0;owned\x07",
    "ann\u202egnp.exe",
    "a\u2028b\u2029c\x85d\x0be\x0cf",
    '","out":"success","x":"',
    "\x00",
    "\ud800",
    "\x7f\x9b31m",
    "é" * 1_000_000,
]


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_atk_39_a_hostile_value_stays_one_escaped_line(value: str) -> None:
    store = OpenStore()
    make_log(store).record(
        SecurityEvent(
            name=Event.AUTH_LOGIN_FAILED,
            actor=Actor(type="user", id=value, role=value),
            resource=ResourceRef(type=value, id=value),
            source=Source(address=value, user_agent=value, request_id=value),
            session=value,
            rule=value,
            details={"login": value},
        )
    )
    (entry,) = store.waiting
    assert all(0x20 <= byte <= 0x7E for byte in entry.body)
    assert len(entry.body) < 4096
    record = decode(entry.body)
    assert record.outcome.value == "success"
    assert list(record.details) == ["login"]
    assert len(json.loads(entry.body)) == len({"v", "id", "t", "act", "out", "who", "res", "src", "req"}) + 3
    assert record.actor.id == (value if len(value) < 200 else record.actor.id)


SECRET = "hunter2-correct-horse"


class Failing:
    """A store that fails in each verb in turn, with the secret in the driver's own text."""

    def __init__(self, verb: str) -> None:
        self._inner, self._verb = OpenStore(), verb

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name == self._verb:

            def fail(*_: object, **__: object) -> Any:
                raise StoreError(f"{name} failed")

            return fail
        return getattr(self._inner, name)


@pytest.mark.parametrize("verb", ["append", "integrate", "read", "save_checkpoint", "checkpoints"])
def test_atk_40_no_secret_in_any_failure(verb: str, caplog: pytest.LogCaptureFixture) -> None:
    """Raise inside every step; then look for the key and the person everywhere."""
    caplog.set_level(logging.DEBUG)
    signer = Ed25519Signer.generate("portal.test/audit")
    seed = signer.to_text().reveal().split("+", 4)[4]
    log = make_log(Failing(verb), signer=signer)
    writer = AuditWriter(log, checkpoint_interval=timedelta(0))
    seen = []
    for step in (lambda: writer.record(read_event(SECRET)), log.checkpoint, writer.close):
        try:
            step()
        except PortalsecError as error:
            seen += ["".join(traceback.format_exception(error)), repr(error), repr(error.args)]
    seen += [caplog.text, repr(log), repr(writer), repr(signer), repr(log.vault)]
    assert any(verb in entry for entry in seen)
    for entry in seen:
        assert seed not in entry
        assert SECRET not in entry


def test_atk_40_a_secret_that_strays_into_an_event_is_refused_unseen() -> None:
    log = make_log(OpenStore())
    event = replace(sign_in_event(), details={"code": Secret(SECRET)})  # type: ignore[dict-item]
    with pytest.raises(PortalsecError) as caught:
        log.record(event)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_atk_40_what_holds_the_key_is_not_pickled() -> None:
    log = make_log(OpenStore())
    for thing in (SIGNER, log, AuditWriter(log, checkpoint_interval=timedelta(0))):
        with pytest.raises((TypeError, pickle.PicklingError)):
            pickle.dumps(thing)


def test_atk_40_an_sql_error_does_not_carry_the_record(victim: Victim) -> None:
    victim.attack(f"DROP TABLE {STAGE}")
    engine = open_engine(victim.url)
    try:
        with pytest.raises(AuditUnavailable) as caught:
            make_log(SqlAudit(engine)).record(read_event(SECRET, rule=SECRET))
        assert SECRET not in "".join(traceback.format_exception(caught.value))
    finally:
        engine.dispose()
