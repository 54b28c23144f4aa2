"""Rows of audit: what a durable event costs over the disk's own price.

The baseline writes the same bytes to the end of a file and calls fdatasync, one event at a time: less than that
no durable log can do. Files lie in a folder beside the benchmark's own, since a temporary folder may be memory.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

from bench.harness import Row
from portalsec._encoding import uuid7
from portalsec.audit import AuditLog, AuditWriter, KeyedVault
from portalsec.clock import system_clock
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.prf import KeyedHash
from portalsec.events import Actor, Event, Purpose, ResourceRef, SecurityEvent, Source, Vocabulary
from portalsec.sqlalchemy import SqlAudit, create_schema, open_engine

EVENT = SecurityEvent(
    name=Event.RECORD_READ,
    actor=Actor(type="user", id="account-7", role="clinician"),
    subjects=("patient-1",),
    resource=ResourceRef(type="record", id="record-1"),
    purpose=Purpose.TREAT,
    source=Source(
        address="192.0.2.17", user_agent="Browser/1.0", request_id="0af7651916cd43dd8448eb211c80319c"
    ),
    rule="clinician-reads-own-patients",
    policy_version="1",
    session="5e55105e55105e55",
)
WAITERS = 64
MANY = 100


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent, prefix=".audit-") as folder:
        engine = open_engine(f"sqlite:///{folder}/audit.db")
        create_schema(engine, "audit")
        log = AuditLog(
            store=SqlAudit(engine),
            vocabulary=Vocabulary(),
            vault=KeyedVault(KeyedHash(Keyset.generate("HMAC_SHA256_PRF"))),
            clock=system_clock,
            new_id=uuid7,
            origin="bench.test/audit",
        )
        writer = AuditWriter(log, checkpoint_interval=timedelta(days=1))
        one_by_one = bare(Path(folder) / "bare.jsonl", log.prepare(EVENT).entries[0].body + b"\n")
        yield Row("audit.append.durable", lambda: log.record(EVENT), one_by_one, 100, best_of=1)
        yield Row(
            "audit.append.64",
            waiters(writer),
            one_by_one,
            5,
            higher_is_better=True,
            subject_does=WAITERS,
            best_of=1,
            note="64 events wait at once and share the writer lane's batches",
        )
        yield Row(
            "audit.append.many100",
            lambda: log.record_many([EVENT] * MANY),
            one_by_one,
            5,
            higher_is_better=True,
            subject_does=MANY,
            best_of=1,
        )
        writer.close()
        engine.dispose()


def bare(path: Path, line: bytes) -> Callable[[], None]:
    """Write and fdatasync, nothing more."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def append() -> None:
        os.write(file, line)
        os.fdatasync(file)

    return append


def waiters(writer: AuditWriter) -> Callable[[], None]:
    """Submit for 64 and come back when all 64 were told."""

    def run() -> None:
        left, done = [WAITERS], threading.Event()

        def told(outcome: object) -> None:
            left[0] -= not isinstance(outcome, BaseException)
            if not left[0]:
                done.set()

        for _ in range(WAITERS):
            writer.submit(EVENT, told)
        if not done.wait(30):
            raise RuntimeError("the writer lane did not make 64 events durable in 30 seconds")

    return run
