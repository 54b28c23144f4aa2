"""portalsec accounts dormant, against a database of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from portalsec.auth.dormancy import Dormancy
from portalsec.auth.ports import Account
from portalsec.cli.app import portalsec
from portalsec.clock import system_clock
from portalsec.config.dormancy import open_dormancy
from portalsec.config.keys import create_keys
from portalsec.config.settings import load_settings
from portalsec.sqlalchemy import SqlAccounts, create_schema, open_engine

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a portal whose stores are empty."""
    tmp_path.chmod(0o700)
    create_keys(tmp_path / "keys", origin="portal.test/audit")
    monkeypatch.chdir(tmp_path)
    Path("portalsec.toml").write_text('[portal]\nname = "Test"\nbase_url = "https://portal.test"\n')
    for file, part in (("security.db", "security"), ("audit.db", "audit")):
        engine = open_engine(f"sqlite:///{file}")
        create_schema(engine, part)  # type: ignore[arg-type]
        engine.dispose()
    return tmp_path


@contextmanager
def opened() -> Iterator[tuple[SqlAccounts, Dormancy]]:
    with open_dormancy(load_settings(Path("portalsec.toml")), emit=lambda event: None) as both:
        yield both


def add(**last: timedelta) -> None:
    with opened() as (store, _):
        for name, ago in last.items():
            account = Account(id=f"id-{name}", login=name, password_hash=None)
            assert store.create(account, now=system_clock() - ago)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(portalsec, ["accounts", "dormant", *arguments])


def test_owners_are_told_and_a_second_run_the_same_day_does_nothing() -> None:
    add(active=DAY, lost=400 * DAY, spare=400 * DAY)
    dry = json.loads(run("--dry-run", "--json", "--except", "SPARE").output)
    assert dry["notify"] == ["id-lost"] and dry["counts"] == {"active": 1, "notify": 1} and dry["dry_run"]
    first = run("--except", "spare")
    assert first.exit_code == 0, first.output
    assert "1 are told now" in first.output
    again = json.loads(run("--json", "--except", "spare").output)
    assert again["counts"] == {"active": 1, "waiting": 1} and again["notify"] == []
    with opened() as (store, _):
        lost = store.get("id-lost")
        assert lost is not None and not lost.disabled


def test_who_was_told_in_time_is_disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    add(lost=400 * DAY)
    assert run().exit_code == 0
    Path("portalsec.toml").write_text(
        '[portal]\nname = "Test"\nbase_url = "https://portal.test"\n[accounts]\ndormant_notice = "1d"\n'
    )
    from portalsec.config import dormancy as module

    monkeypatch.setattr(module.open_dormancy.__wrapped__, "__kwdefaults__", {  # type: ignore[attr-defined]
        "clock": lambda: system_clock() + 2 * DAY, "env": None,
    })  # fmt: skip
    done = json.loads(run("--json").output)
    assert done["disable"] == ["id-lost"]
    with opened() as (store, _):
        lost = store.get("id-lost")
        assert lost is not None and lost.disabled


def test_an_empty_portal_and_a_missing_one_are_sentences(tmp_path: Path) -> None:
    assert "There are no accounts." in run().output
    missing = run("--config", str(tmp_path / "none.toml"))
    assert missing.exit_code == 2 and "COULD NOT" in missing.output
    assert "Traceback" not in missing.output


def test_what_is_no_name_is_a_sentence() -> None:
    assert run("--except", "x\n").exit_code == 2
