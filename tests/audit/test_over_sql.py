"""The log over real databases: the whole way, and several processes' worth of logs at once."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from portalsec.audit import AuditWriter, who_has_seen
from portalsec.audit.anchor import FileAnchor
from portalsec.audit.verify import verify
from portalsec.cli.app import portalsec
from portalsec.errors import AuditUnavailable, Tampered
from portalsec.sqlalchemy import SqlAudit, create_schema, open_engine
from portalsec.testing import SequentialIds
from tests.audit.support import SIGNER, VERIFIER, fill, make_log, read_event


def at_once(*work: Callable[[], None]) -> None:
    failures: list[BaseException] = []
    start = threading.Barrier(len(work))

    def run(one: Callable[[], None]) -> None:
        try:
            start.wait(30)
            one()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not failures, failures


def several_logs(url: str, folder: Path) -> None:
    """Four logs, each with an engine of its own as four processes have, record and sign at once."""
    anchor = FileAnchor(folder / "outside" / "checkpoint")
    engines = [open_engine(url) for _ in range(4)]
    create_schema(engines[0], "audit")
    logs = [
        make_log(SqlAudit(engine), anchors=[anchor], new_id=SequentialIds(start=1000 * number))
        for number, engine in enumerate(engines, 1)
    ]
    at_once(*(lambda log=log: fill(log, 15, checkpoint_every=5) for log in logs))
    logs[0].checkpoint()
    store = logs[0].store
    report = verify(store, verifier=VERIFIER, anchor=anchor.read())
    assert report.problems == ()
    assert (report.size, report.staged, report.covered, report.anchored) == (60, 0, 60, 60)
    assert report.checkpoints == len(store.checkpoints()) >= 3
    for log in logs:  # each can carry on from what the others signed
        log.record(read_event())
        assert log.checkpoint() is not None
    assert verify(store, verifier=VERIFIER, anchor=anchor.read()).ok
    for engine in engines:
        engine.dispose()


def test_several_logs_over_one_sqlite_file(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    several_logs(f"sqlite:///{tmp_path}/audit.db", tmp_path)


@pytest.mark.postgres
def test_several_logs_over_one_postgresql(postgres_url: str, tmp_path: Path) -> None:
    several_logs(postgres_url, tmp_path)


@pytest.mark.postgres
def test_the_command_over_postgresql(postgres_url: str, tmp_path: Path) -> None:
    engine = open_engine(postgres_url)
    create_schema(engine, "audit")
    with engine.begin() as connection:
        for table in ("subject", "event", "stage", "checkpoint"):
            connection.execute(text(f"DELETE FROM portalsec_audit_{table}"))
    anchor = FileAnchor(tmp_path / "checkpoint")
    log = make_log(SqlAudit(engine), anchors=[anchor])
    fill(log, 6, checkpoint_every=3)

    def command() -> tuple[int, str]:
        options = [
            "--database",
            postgres_url,
            "--verifier",
            SIGNER.verifier_text,
            "--anchor",
            str(anchor.path),
        ]
        result = CliRunner().invoke(portalsec, ["audit", "verify", *options])
        return result.exit_code, result.output

    assert command()[0] == 0
    with engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE portalsec_audit_event SET body = set_byte(body, 40, get_byte(body, 40) # 1) WHERE seq = 4"
            )
        )
    code, output = command()
    assert code == 1
    assert "Entry 4 was changed" in output
    engine.dispose()


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        (
            "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$; "
            "CREATE TRIGGER t BEFORE INSERT ON portalsec_audit_stage FOR EACH ROW EXECUTE FUNCTION swallow()",
            "trigger",
        ),
        ("CREATE RULE r AS ON INSERT TO portalsec_audit_stage DO INSTEAD NOTHING", "rule"),
        ("ALTER TABLE portalsec_audit_event ENABLE ROW LEVEL SECURITY", "row policy"),
    ],
)
def test_auz_07_postgres_what_could_swallow_events_is_found(
    postgres_database: Callable[[], AbstractContextManager[str]], statement: str, kind: str
) -> None:
    with postgres_database() as url, contextlib.closing(Opened(url)) as opened:
        engine, log = opened.engine, opened.log
        fill(log, 2)
        log.checkpoint()
        assert log.store.intrusions() == ()
        with engine.begin() as connection:
            connection.execute(text(statement))
        (found,) = log.store.intrusions()
        assert f"has a {kind} that is not portalsec's" in found
        assert not verify(log.store, verifier=VERIFIER, anchor=None).ok
        with pytest.raises(Tampered, match=kind):
            create_schema(engine, "audit")
        if kind != "row policy":  # which hides rows from a role that is not the tables' owner
            with pytest.raises(AuditUnavailable):
                log.record(read_event())


class Opened:
    def __init__(self, url: str) -> None:
        self.engine = open_engine(url)
        create_schema(self.engine, "audit")
        self.log = make_log(SqlAudit(self.engine))

    def close(self) -> None:
        self.engine.dispose()


def test_the_writer_lane_over_sqlite(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    engine = open_engine(f"sqlite:///{tmp_path}/audit.db")
    create_schema(engine, "audit")
    log = make_log(SqlAudit(engine))
    writer = AuditWriter(log, checkpoint_interval=timedelta(seconds=1))

    def work() -> None:
        for _ in range(20):
            writer.emit(read_event("ann"))

    at_once(*[work] * 8)
    writer.close()
    with pytest.raises(AuditUnavailable):
        writer.emit(read_event("ann"))
    report = verify(log.store, verifier=VERIFIER, anchor=None)
    assert report.ok
    assert (report.size, report.covered) == (160, 160)
    assert len(who_has_seen(log, "ann", limit=1000)) == 160
    engine.dispose()
