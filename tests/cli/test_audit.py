from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from portalsec.audit.anchor import FileAnchor
from portalsec.cli import audit as module
from portalsec.cli.app import portalsec
from portalsec.events import Actor, Event, ResourceRef, SecurityEvent
from portalsec.sqlalchemy import SqlAudit, create_schema, open_engine
from portalsec.testing import FrozenClock, SequentialIds
from tests.audit.support import ORIGIN, SIGNER, fill, make_log, sign_in_event


@pytest.fixture
def portal(tmp_path: Path) -> Iterator[Path]:
    """A folder as a portal has it: settings, database, key and anchor, with nine entries, eight of them signed."""
    tmp_path.chmod(0o700)
    (tmp_path / "keys").mkdir()
    key = tmp_path / "keys" / "audit.key"
    key.write_text(SIGNER.to_text().reveal() + "\n")
    key.chmod(0o600)
    (tmp_path / "portalsec.toml").write_text(
        '[portal]\nname = "Test"\nbase_url = "https://portal.test"\n'
        f'[audit]\norigin = "{ORIGIN}"\nanchor = "outside/checkpoint"\n'
    )
    engine = open_engine(f"sqlite:///{tmp_path}/audit.db")
    create_schema(engine, "audit")
    log = make_log(SqlAudit(engine), anchors=[FileAnchor(tmp_path / "outside" / "checkpoint")])
    fill(log, 8, checkpoint_every=4)
    log.record(sign_in_event())
    engine.dispose()
    yield tmp_path


@pytest.fixture(autouse=True)
def frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "system_clock", FrozenClock())


def run(folder: Path, *arguments: str, config: bool = True) -> Result:
    settings = ["--config", str(folder / "portalsec.toml")] if config else []
    return CliRunner().invoke(portalsec, ["audit", *arguments[:1], *settings, *arguments[1:]])


def edit(folder: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(folder / "audit.db")) as connection, connection:
        assert connection.execute(statement, values).rowcount > 0
    connection.close()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_honest_log_is_exit_0(portal: Path) -> None:
    result = run(portal, "verify")
    assert result.exit_code == 0, result.output
    assert "OK: the log holds 8 entries, and 8 of them" in result.output
    assert "1 entries wait" in result.output


def test_verification_changes_no_file_and_makes_none(portal: Path) -> None:
    before = contents(portal)
    assert run(portal, "verify").exit_code == 0
    assert run(portal, "show").exit_code == 0
    assert contents(portal) == before


def test_verification_works_beside_a_running_portal(portal: Path) -> None:
    engine = open_engine(f"sqlite:///{portal}/audit.db")
    log = make_log(SqlAudit(engine), new_id=SequentialIds(start=50))
    fill(log, 3)
    assert (portal / "audit.db-wal").exists()
    assert run(portal, "verify").exit_code == 0
    log.checkpoint()
    assert "12 entries" in run(portal, "verify").output
    engine.dispose()


def test_auz_07_an_edited_record_is_exit_1_and_named(portal: Path) -> None:
    edit(portal, "UPDATE portalsec_audit_event SET body = replace(body, 'TREAT', 'PATRQ') WHERE seq = 5")
    result = run(portal, "verify")
    assert result.exit_code == 1
    assert "TAMPERED" in result.output
    assert "Entry 5 was changed" in result.output


def test_auz_07_a_cut_or_older_log_is_exit_1_by_its_anchor(portal: Path) -> None:
    edit(portal, "DELETE FROM portalsec_audit_event WHERE seq >= 4")
    edit(portal, "DELETE FROM portalsec_audit_subject WHERE seq >= 4")
    edit(portal, "DELETE FROM portalsec_audit_checkpoint WHERE size > 4")
    result = run(portal, "verify")
    assert result.exit_code == 1
    assert "Entries 4 to 7 are missing" in result.output
    assert run(portal, "verify", "--no-anchor").exit_code == 0  # which is why there is an anchor


def test_the_public_key_is_enough(portal: Path, tmp_path: Path) -> None:
    (portal / "keys" / "audit.key").unlink()
    assert run(portal, "verify").exit_code == 2
    (portal / "log.pub").write_text(SIGNER.verifier_text + "\n")
    settings = (portal / "portalsec.toml").read_text()
    for given in (SIGNER.verifier_text, "log.pub"):
        (portal / "portalsec.toml").write_text(settings + f'verifier = "{given}"\n')
        assert run(portal, "verify").exit_code == 0
    database = f"sqlite:///{portal}/audit.db"
    anchor = str(portal / "outside" / "checkpoint")
    by_hand = ("verify", "--database", database, "--verifier", SIGNER.verifier_text, "--anchor", anchor)
    assert run(portal, *by_hand, config=False).exit_code == 0


def test_json(portal: Path) -> None:
    report = json.loads(run(portal, "verify", "--json").output)
    assert report["exit"] == 0
    assert (report["size"], report["covered"], report["anchored"]) == (8, 8, 8)
    edit(portal, "UPDATE portalsec_audit_event SET leaf = zeroblob(32) WHERE seq = 2")
    result = run(portal, "verify", "--json")
    report = json.loads(result.output)
    assert result.exit_code == report["exit"] == 1
    assert report["problems"][0]["kind"] == "entry"
    assert report["problems"][0]["start"] == 2
    (portal / "audit.db").unlink()
    result = run(portal, "verify", "--json")
    assert result.exit_code == json.loads(result.output)["exit"] == 2


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda p: (p / "audit.db").unlink(), "no database"),
        (lambda p: (p / "audit.db").write_bytes(b"not a database " * 100), "damaged"),
        (lambda p: (p / "keys" / "audit.key").unlink(), "audit.key is missing"),
        (lambda p: (p / "keys" / "audit.key").write_text("PRIVATE+KEY+x"), "not a signer key"),
        (lambda p: (p / "outside" / "checkpoint").unlink(), "--no-anchor"),
        (lambda p: (p / "portalsec.toml").unlink(), "portalsec.toml is missing"),
        (lambda p: (p / "portalsec.toml").write_text("[audit]\nanker = 1"), "anchor"),
    ],
)
def test_what_cannot_be_told_is_exit_2_and_one_sentence(portal: Path, break_it: Any, says: str) -> None:
    break_it(portal)
    result = run(portal, "verify")
    assert result.exit_code == 2
    assert result.output.startswith("CANNOT TELL: ")
    assert says in result.output
    assert "Traceback" not in result.output
    assert not (portal / "audit.db-wal").exists()


def test_a_missing_database_is_not_created(portal: Path) -> None:
    (portal / "audit.db").unlink()
    run(portal, "verify")
    run(portal, "show")
    assert not (portal / "audit.db").exists()


def test_a_database_without_tables_is_exit_2(portal: Path) -> None:
    (portal / "audit.db").unlink()
    sqlite3.connect(portal / "audit.db").close()
    (portal / "audit.db").touch(mode=0o600)
    os.chmod(portal / "audit.db", 0o600)
    result = run(portal, "verify")
    assert result.exit_code == 2
    assert "lacks portalsec's tables" in result.output


def test_auz_07_an_emptied_log_without_an_anchor_is_exit_2(portal: Path) -> None:
    for table in ("subject", "event", "stage", "checkpoint"):
        edit(portal, f"DELETE FROM portalsec_audit_{table}")
    assert run(portal, "verify").exit_code == 1
    result = run(portal, "verify", "--no-anchor")
    assert result.exit_code == 2
    assert "CANNOT TELL: the log is empty" in result.output


def test_auz_07_a_log_that_nobody_signs_any_more_is_exit_2(
    portal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One entry waits unsigned: for a minute that is in order, for longer it is not."""
    monkeypatch.setattr(module, "system_clock", FrozenClock(FrozenClock()() + timedelta(minutes=10)))
    assert run(portal, "verify").exit_code == 0
    monkeypatch.setattr(module, "system_clock", FrozenClock(FrozenClock()() + timedelta(minutes=11)))
    result = run(portal, "verify")
    assert result.exit_code == 2
    assert result.output.startswith("CANNOT TELL")
    assert "signing has stopped" in result.output
    report = json.loads(run(portal, "verify", "--json").output)
    assert (report["exit"], report["ok"], report["conclusive"]) == (2, True, False)
    assert report["overdue"]
    # A portal that signs more rarely may lag for longer.
    settings = (portal / "portalsec.toml").read_text()
    (portal / "portalsec.toml").write_text(settings + 'checkpoint_interval = "5m"\n')
    assert run(portal, "verify").exit_code == 0


def test_a_log_without_a_checkpoint_is_exit_2(portal: Path) -> None:
    edit(portal, "DELETE FROM portalsec_audit_checkpoint")
    result = run(portal, "verify", "--no-anchor")
    assert result.exit_code == 2
    assert "CANNOT TELL: the log holds 8 entries" in result.output


@pytest.mark.parametrize("verifier", ["nothing", "a+b+c", SIGNER.to_text().reveal()], ids=count())
def test_a_wrong_verifier_is_exit_2_and_not_shown(portal: Path, verifier: str) -> None:
    result = run(portal, "verify", "--verifier", verifier)
    assert result.exit_code == 2
    assert verifier not in result.output


def test_anchor_and_no_anchor_exclude_each_other(portal: Path) -> None:
    assert run(portal, "verify", "--anchor", "x", "--no-anchor").exit_code == 2


def test_many_findings_are_cut_short(portal: Path) -> None:
    edit(portal, "UPDATE portalsec_audit_event SET leaf = zeroblob(32)")
    for number in range(8, 30):
        edit(
            portal,
            "INSERT INTO portalsec_audit_event (seq, id, body, leaf) VALUES (?, ?, x'7b7d', zeroblob(32))",
            number,
            str(number),
        )
    output = run(portal, "verify").output
    assert "more (--json lists a thousand)" in output
    assert output.count("was changed") == 20


def test_show(portal: Path) -> None:
    result = run(portal, "show", "-n", "3")
    assert result.exit_code == 0
    rows = [line.split() for line in result.output.splitlines() if line[:1].isdigit() or line[1:2].isdigit()]
    assert [row[0] for row in rows[:3]] == ["5", "6", "7"]
    assert "record.read" in result.output
    assert "1 more wait" in result.output


def test_show_names_what_was_changed(portal: Path) -> None:
    edit(
        portal,
        "UPDATE portalsec_audit_event SET body = CAST(replace(body, 'TREAT', 'PATRQ') AS BLOB) WHERE seq = 5",
    )
    result = run(portal, "show")
    assert result.exit_code == 1
    assert "entry 5 was changed" in result.output
    edit(portal, "UPDATE portalsec_audit_stage SET subjects = '['")
    result = run(portal, "show")
    assert result.exit_code == 1
    assert "TAMPERED" in result.output
    assert run(portal, "verify").exit_code == 1


def test_atk_39_nothing_in_the_log_speaks_to_the_terminal(portal: Path) -> None:
    engine = open_engine(f"sqlite:///{portal}/audit.db")
    log = make_log(SqlAudit(engine), new_id=SequentialIds(start=50))
    evil = "\x1b]0;owned\x07\x1b[2J[red]x[/red]\r\nroot\u202eevil"
    log.record(
        SecurityEvent(
            name=Event.AUTH_LOGIN_FAILED,
            actor=Actor(id=evil, role=evil),
            resource=ResourceRef(type=evil, id=evil),
        )
    )
    log.checkpoint()
    engine.dispose()
    result = run(portal, "show", "-n", "1")
    assert result.exit_code == 0
    assert "\x1b" not in result.output
    assert "\u202e" not in result.output
    assert "[red]x[/red]" in result.output.replace("\n", "").replace(" ", "")


# -- the anchor ---------------------------------------------------------------------------------------------------


def test_the_anchor_is_shown(portal: Path) -> None:
    result = run(portal, "anchor")
    assert result.exit_code == 0
    assert "holds the checkpoint of size 8" in result.output
    (portal / "outside" / "checkpoint").unlink()
    result = run(portal, "anchor")
    assert result.exit_code == 2
    assert "--adopt" in result.output
    assert not (portal / "outside" / "checkpoint").exists()


def test_a_removed_anchor_is_adopted_by_hand_alone(portal: Path) -> None:
    path = portal / "outside" / "checkpoint"
    path.unlink()
    result = run(portal, "anchor", "--adopt")
    assert result.exit_code == 0, result.output
    assert "size 8" in result.output
    assert SIGNER.name in path.read_text()
    assert run(portal, "verify").exit_code == 0


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("DELETE FROM portalsec_audit_event WHERE seq = 7", 1),
        ("DELETE FROM portalsec_audit_checkpoint", 2),
        ("UPDATE portalsec_audit_checkpoint SET note = replace(note, 'a', 'b')", 1),
    ],
)
def test_auz_07_a_log_that_does_not_verify_is_not_adopted(portal: Path, statement: str, code: int) -> None:
    edit(portal, statement)
    (portal / "outside" / "checkpoint").unlink()
    assert run(portal, "anchor", "--adopt").exit_code == code
    assert not (portal / "outside" / "checkpoint").exists()


def test_auz_07_an_anchor_that_is_there_is_never_replaced(portal: Path) -> None:
    path = portal / "outside" / "checkpoint"
    before = path.read_bytes()
    assert run(portal, "anchor", "--adopt").exit_code == 2
    assert path.read_bytes() == before
    path.write_text("something else")
    assert run(portal, "anchor", "--adopt").exit_code == 1
    assert run(portal, "anchor").exit_code == 1
    assert path.read_text() == "something else"
