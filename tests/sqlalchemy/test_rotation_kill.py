"""A re-encryption is killed at any point, with a writer running, and taken up again: every row is right."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from uuid import UUID

import pytest
import sqlalchemy as sa

from portalsec.crypto import Keyset
from portalsec.crypto.insecure import keyset_to_json
from portalsec.crypto.rotation import Reencrypt
from portalsec.sqlalchemy import open_engine
from portalsec.sqlalchemy.cells import EncryptedTable
from tests.measured import SOAK, Measure
from tests.sqlalchemy.rotation_nursery import BATCH, field_of, index_of, patients
from tests.support import ROOT

KILLS = 50  # on PostgreSQL
KILLS_ON_SQLITE = 50 if os.environ.get(SOAK) == "1" else 8
# A child does four batches and begins one before it is killed at the latest: the table is never done by then.
_ROWS_A_KILL = 5 * BATCH

OLD = Keyset.generate("AES256_GCM")
_ADDED = OLD.add("XAES_256_GCM")
NEW = _ADDED.promote(_ADDED.info()[-1].id)
PRF = Keyset.generate("HMAC_SHA256_PRF")


class Leave:
    """A pipe whose bytes let the child do one more batch each."""

    def __init__(self) -> None:
        self.child, self._give = os.pipe()

    def give(self) -> None:
        os.write(self._give, b".")

    def take_back(self) -> None:
        """What a killed child left."""
        while select.select([self.child], [], [], 0)[0]:
            os.read(self.child, 1)

    def close(self) -> None:
        os.close(self.child)
        os.close(self._give)


class Writer(threading.Thread):
    """The application: it writes under the new key, and knows what every row has to be.

    It mostly writes where the re-encryption is at work, so that both want the same row at the same moment.
    """

    def __init__(self, engine: sa.Engine, rows: dict[UUID, str | None], state: Path) -> None:
        super().__init__(daemon=True)
        self.engine, self.rows, self.written = engine, rows, 0
        self._state = state
        # PostgreSQL is walked by the key, SQLite as its rows were inserted.
        self._walk = sorted(rows) if engine.dialect.name == "postgresql" else list(rows)
        self._places = {row: place for place, row in enumerate(self._walk)}
        self.done = threading.Event()
        self.failed: BaseException | None = None
        self._chance = random.Random(7)
        self._field, self._index = field_of(NEW), index_of(PRF)

    def run(self) -> None:
        try:
            while not self.done.is_set():
                self._write()
                self.written += 1
        except BaseException as error:  # carried to the test's own thread
            self.failed = error

    def _near(self) -> UUID:
        try:
            (after,) = json.loads(self._state.read_text())["cursors"]["t"]["after"]
            place = self._places[UUID(after["uuid"])] + 1
        except (OSError, KeyError):
            place = 0
        near = [row for row in self._walk[place : place + 2 * BATCH] if row in self.rows]
        return self._chance.choice(near if near and self._chance.random() < 0.9 else list(self.rows))

    def _write(self) -> None:
        what = self._chance.random()
        row = UUID(int=self._chance.getrandbits(128)) if what < 0.1 else self._near()
        value = None if 0.1 <= what < 0.15 else f"written {self.written}"
        cells = {
            "phone": None if value is None else self._field.encrypt(value, row=row),
            "phone_tag": self._index.tag(value),
        }
        with self.engine.begin() as connection:
            if what < 0.1:
                connection.execute(patients.insert().values(id=row, **cells))
            elif what < 0.2 and value is not None:
                connection.execute(patients.delete().where(patients.c.id == row))
            else:
                connection.execute(patients.update().where(patients.c.id == row).values(**cells))
        if 0.1 <= what < 0.2 and value is not None:
            del self.rows[row]
        else:
            self.rows[row] = value


def rotate_under_fire(folder: Path, url: str, engine: sa.Engine, kills: int) -> tuple[int, int]:
    """Kills, resumes, finishes, and checks every row; how many runs were killed, how many rows the writer wrote."""
    (folder / "fields.json").write_text(keyset_to_json(NEW))
    (folder / "index.json").write_text(keyset_to_json(PRF))
    patients.metadata.create_all(engine)
    chance = random.Random(20261122)
    rows: dict[UUID, str | None] = {
        UUID(int=chance.getrandbits(128)): f"original {n}" for n in range(kills * _ROWS_A_KILL)
    }
    old, new, index = field_of(OLD), field_of(NEW), index_of(PRF)
    with engine.begin() as connection:
        connection.execute(
            patients.insert(),
            [
                {"id": row, "phone": old.encrypt(value, row=row), "phone_tag": index.tag(value)}
                for row, value in rows.items()
                if value is not None
            ],
        )
    writer = Writer(engine, rows, folder / "state.json")
    writer.start()
    ended, killed, leave = False, 0, Leave()
    with subprocess.Popen(
        [sys.executable, "-m", "tests.sqlalchemy.rotation_nursery", str(folder), url, str(leave.child)],
        pass_fds=[leave.child],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as nursery:
        assert nursery.stdin
        assert nursery.stdout
        for kill in range(kills + 1):
            assert not ended, "the table was done before the last kill: nothing was killed"
            nursery.stdin.write("go\n")
            pid, left = None, chance.randrange(5) if kill < kills else None
            while not (line := nursery.stdout.readline().strip()).startswith("gone"):
                assert line, "the nursery ended: see its traceback above"
                if line.startswith("pid "):
                    pid = int(line.removeprefix("pid "))
                elif line == "end":
                    ended = True
                else:
                    leave.give()
                    left = None if left is None else left - 1
                if pid is not None and left is not None and left <= 0:
                    # Not at the line, but somewhere behind it: in reading, in writing, in the cursor's file.
                    threading.Event().wait(chance.random() * 0.03)
                    os.kill(pid, signal.SIGKILL)
                    pid = left = None
            status = int(line.removeprefix("gone"))
            assert status == (-signal.SIGKILL if kill < kills else 0), (
                "the child failed: see its traceback above"
            )
            killed += status == -signal.SIGKILL
            leave.take_back()
        nursery.stdin.close()
    leave.close()
    writer.done.set()
    writer.join(60)
    assert writer.failed is None, writer.failed
    assert ended, "the last run did not come to the end"

    with engine.connect() as connection:
        found = connection.execute(sa.select(patients)).all()
    assert {row.id for row in found} == set(rows)
    wrong = [row.id for row in found if new.decrypt(row.phone, row=row.id) != rows[row.id]]
    assert not wrong
    assert not [row.id for row in found if new.needs_reencrypt(row.phone)]
    assert not [row.id for row in found if row.phone_tag != index.tag(rows[row.id])]
    tasks = [Reencrypt(field=new, column="phone", tags={"phone_tag": index})]
    remaining, tags = EncryptedTable(table=patients, tasks=tasks).over(engine).remaining()
    assert remaining.left == 0 and tags.left == 0
    assert remaining.current == sum(value is not None for value in rows.values())
    return killed, writer.written


@pytest.mark.postgres
def test_killed_at_any_point_on_postgresql(
    tmp_path: Path, postgres_database: Callable[[], AbstractContextManager[str]], measure: Measure
) -> None:
    with postgres_database() as url:
        engine = sa.create_engine(url)
        killed, written = rotate_under_fire(tmp_path, url, engine, KILLS)
        engine.dispose()
    assert written > killed == KILLS
    measure("kills of a re-encryption with a writer beside it (PostgreSQL)", killed, "kills")
    measure("rows that were written during those kills", written, "rows")
    measure("rows that were wrong, lost or under an old key afterwards", 0, "rows")


def test_killed_at_any_point_on_sqlite(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    url = f"sqlite:///{tmp_path}/app.db"
    engine = open_engine(url)
    killed, written = rotate_under_fire(tmp_path, url, engine, KILLS_ON_SQLITE)
    assert written > killed == KILLS_ON_SQLITE
    engine.dispose()
