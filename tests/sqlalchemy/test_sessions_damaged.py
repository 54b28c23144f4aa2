"""Sessions that somebody wrote over in the table."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, update

from portalsec.auth.ports import SessionRecord
from portalsec.auth.proof import Factor, Proof
from portalsec.errors import Tampered
from portalsec.sqlalchemy import SqlSessions, create_schema, open_engine
from portalsec.sqlalchemy.tables import session as table

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'security.db'}")
    create_schema(engine, "security")
    yield engine
    engine.dispose()


def _record(number: int) -> SessionRecord:
    return SessionRecord(
        digest=hashlib.sha256(b"%d" % number).digest(),
        account_id="account-1",
        epoch=0,
        created_at=NOW,
        last_seen_at=NOW,
        proofs=(Proof(factor=Factor.PASSWORD, at=NOW),),
    )


@pytest.mark.parametrize(
    "written",
    [{"proofs": "x"}, {"proofs": '[["telepathy",0,null,0,null]]'}, {"level": "two"}, {"posture": "{}"}],
    ids=["proofs", "factor", "level", "posture"],
)
def test_a_row_that_was_written_over_opens_nothing_and_keeps_nobody_from_ending_the_others(
    engine: Engine, written: dict[str, str]
) -> None:
    store = SqlSessions(engine)
    for number in (1, 2):
        assert store.create(_record(number)).opened
    with engine.begin() as connection:
        connection.execute(update(table).where(table.c.digest == _record(1).digest).values(**written))
    with pytest.raises(Tampered):
        store.load(_record(1).digest)
    assert [each.digest for each in store.of_account("account-1")] == [_record(2).digest]
    made = store.create(_record(3), cap=1)
    assert made.opened and [each.digest for each in made.ended] == [_record(2).digest]
    assert store.end_all("account-1") == 1
    assert store.load(_record(1).digest) is None
