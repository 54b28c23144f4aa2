"""The writer is killed at any point: what it acknowledged is there, and the log verifies."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

from portalsec.audit.anchor import FileAnchor
from portalsec.audit.checkpoint import Ed25519Signer, Verifier
from portalsec.audit.record import decode
from portalsec.audit.verify import verify
from portalsec.sqlalchemy import SqlAudit, open_engine
from tests.measured import SOAK, Measure
from tests.support import ROOT

KILLS = 1000 if os.environ.get(SOAK) == "1" else 8


def test_what_was_acknowledged_survives_a_kill_at_any_point(tmp_path: Path, measure: Measure) -> None:
    signer = Ed25519Signer.generate("kill.example/audit")
    (tmp_path / "key").write_text(signer.to_text().reveal(), "ascii")
    chance = random.Random(20261122)
    acknowledged: list[str] = []
    nursery = subprocess.Popen(
        [sys.executable, "-m", "tests.audit.nursery", str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    assert nursery.stdin
    assert nursery.stdout
    with nursery:
        for _ in range(KILLS):
            nursery.stdin.write("go\n")
            nursery.stdin.flush()
            pid, left = None, chance.randrange(10)
            while (line := nursery.stdout.readline().strip()) != "gone":
                assert line, "the nursery ended: see its traceback above"
                if line.startswith("pid "):
                    pid = int(line.removeprefix("pid "))
                else:
                    acknowledged.append(line)
                    left -= 1
                if pid is not None and left <= 0:
                    os.kill(pid, signal.SIGKILL)
                    pid = None
        nursery.stdin.close()
    assert len(acknowledged) > KILLS

    engine = open_engine(f"sqlite:///{tmp_path / 'audit.db'}")
    store = SqlAudit(engine)
    size = store.integrate()
    kept = {decode(entry.body).id for entry in store.read(0, size)}
    lost = set(acknowledged) - kept
    assert not lost
    report = verify(
        store,
        verifier=Verifier.from_text(signer.verifier_text),
        anchor=FileAnchor(tmp_path / "anchor").read(),
    )
    assert not report.problems
    engine.dispose()
    measure("kills of a process that was writing to the audit log (SQLite)", KILLS, "kills")
    measure("events that were acknowledged before those kills", len(acknowledged), "events")
    measure("acknowledged events that were lost", len(lost), "events")
