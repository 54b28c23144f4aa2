"""Ending all sessions and a sign-in that is under way at the same moment, on PostgreSQL."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, insert, text

from portalsec.auth.ports import SessionRecord
from portalsec.auth.proof import Factor, Proof
from portalsec.errors import Tampered
from portalsec.sqlalchemy import SqlSessions, create_schema, open_engine
from portalsec.sqlalchemy.tables import session as table
from tests.sqlalchemy.support import wait_for_a_lock

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

pytestmark = pytest.mark.postgres


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    engine = open_engine(postgres_url)
    create_schema(engine, "security")
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE portalsec_session, portalsec_session_epoch"))
    yield engine
    engine.dispose()


def _record(epoch: int) -> SessionRecord:
    return SessionRecord(
        digest=hashlib.sha256(b"session").digest(),
        account_id="account-1",
        epoch=epoch,
        created_at=NOW,
        last_seen_at=NOW,
        proofs=(Proof(factor=Factor.PASSWORD, at=NOW), Proof(factor=Factor.TOTP, at=NOW)),
        level=2,
    )


@pytest.mark.parametrize("known", [False, True], ids=["first session", "epoch raised before"])
def test_end_all_waits_for_a_sign_in_that_read_the_old_epoch_and_then_ends_it(engine: Engine, known: bool):
    store, epochs = SqlSessions(engine), []
    epoch = store.end_all("account-1") if known else 0
    with (
        engine.connect() as signing_in
    ):  # halfway through `create`: it has read the epoch, and not yet inserted
        assert store._locked_epoch(signing_in, "account-1") == epoch
        ending = threading.Thread(target=lambda: epochs.append(store.end_all("account-1")))
        ending.start()
        wait_for_a_lock(engine)
        signing_in.execute(
            insert(table).values(
                digest=b"late",
                account_id="account-1",
                epoch=epoch,
                created_at=0,
                last_seen_at=0,
                factors="[]",
                proven_at=0,
            )
        )
        signing_in.commit()
    ending.join(30)
    assert epochs == [epoch + 1]
    assert store.load(b"late") is None


def test_a_sign_in_waits_for_an_end_all_and_is_then_refused(engine: Engine):
    store, created = SqlSessions(engine), []
    assert store.end_all("account-1") == 1
    with engine.connect() as ending:
        ending.execute(text("UPDATE portalsec_session_epoch SET epoch = 2"))
        signing_in = threading.Thread(target=lambda: created.append(store.create(_record(1))))
        signing_in.start()
        wait_for_a_lock(engine)
        ending.commit()
    signing_in.join(30)
    assert [each.opened for each in created] == [False]
    assert store.load(_record(1).digest) is None


@pytest.mark.parametrize("column", ["proofs", "factors"])
def test_a_list_of_factors_that_was_written_over_is_tampered(engine: Engine, column: str):
    store = SqlSessions(engine)
    store.create(_record(0))
    if column == "factors":  # read where a worker of the version before opened the session
        with engine.begin() as connection:
            connection.execute(text("UPDATE portalsec_session SET proofs = NULL"))
    for broken in ("", "not json", "7", '"totp"', "[1]", "{}", '["x"]', '[["password", 1, null]]'):
        with engine.begin() as connection:
            connection.execute(text(f"UPDATE portalsec_session SET {column} = :broken"), {"broken": broken})
        with pytest.raises(Tampered):
            store.load(_record(0).digest)
