"""A process that makes children who write to an audit log until they are killed. Run by test_kill.py.

Everything is imported once here, so that a child costs a fork and not a start of Python.
"""

from __future__ import annotations

import os
import sys
import threading
from datetime import timedelta
from pathlib import Path

from portalsec._encoding import uuid7
from portalsec.audit.anchor import FileAnchor
from portalsec.audit.checkpoint import Ed25519Signer
from portalsec.audit.log import AuditLog
from portalsec.audit.writer import AuditWriter
from portalsec.clock import system_clock
from portalsec.events import Actor, Event, Purpose, ResourceRef, SecurityEvent, Vocabulary
from portalsec.sqlalchemy import SqlAudit, create_schema, open_engine

THREADS = 3


class PlainVault:
    def pseudonym(self, subject_id: str) -> str:
        return subject_id

    def pseudonyms(self, subject_id: str) -> tuple[str, ...]:
        return (subject_id,)


def write_for_ever(folder: Path) -> None:
    """Append and sign; print the id of each event only after the log said that it is durable."""
    signer = Ed25519Signer.from_text((folder / "key").read_text("ascii"))
    engine = open_engine(f"sqlite:///{folder / 'audit.db'}")
    create_schema(engine, "audit")
    log = AuditLog(
        store=SqlAudit(engine),
        vocabulary=Vocabulary(),
        vault=PlainVault(),
        clock=system_clock,
        new_id=uuid7,
        origin=signer.name,
        signer=signer,
        anchors=(FileAnchor(folder / "anchor"),),
    )
    log.resume()
    writer = AuditWriter(log, checkpoint_interval=timedelta(milliseconds=5))
    event = SecurityEvent(
        name=Event.RECORD_READ,
        actor=Actor(type="user", id="dr-a"),
        subjects=("p1",),
        resource=ResourceRef(type="record", id="r1"),
        purpose=Purpose.TREAT,
    )

    def work() -> None:
        while True:
            os.write(1, writer.record(event).id.encode() + b"\n")

    for _ in range(THREADS):
        threading.Thread(target=work, daemon=True).start()
    threading.Event().wait()


def main() -> None:
    folder = Path(sys.argv[1])
    for _ in sys.stdin:  # a line asks for a child
        child = os.fork()
        if child == 0:
            write_for_ever(folder)
        os.write(1, f"pid {child}\n".encode())
        os.waitpid(child, 0)
        os.write(1, b"gone\n")


if __name__ == "__main__":
    main()
