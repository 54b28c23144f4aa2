"""portalsec accounts unlock, disable, enable, require-change; mail deliver; purge: over databases and keys of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from portalsec.cli import operating
from portalsec.cli.app import portalsec
from portalsec.clock import system_clock
from portalsec.config.keys import create_keys
from portalsec.config.operating import open_for_operator
from portalsec.config.settings import load_settings
from portalsec.errors import Denied
from portalsec.events import Source
from portalsec.portal import Portal
from portalsec.sqlalchemy import create_schema, open_engine

PASSWORD = "lantern orbit velvet cactus"
HERE = Source(address="192.0.2.10")
SETTINGS = (
    '[portal]\nname = "Test"\nbase_url = "https://portal.test"\n[passwords]\nhashing = "m=19456,t=2,p=1"\n'
    'concurrency = 2\n[sign_in]\nsecond_factor = "optional"\n'
    '[throttle]\naccount_address = "3/15m"\naccount = "3/15m"\n'
)
MAIL = '[mail]\nserver = "file:outbox"\nsender = "notices@portal.test"\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a portal with one account, robin."""
    tmp_path.chmod(0o700)
    create_keys(tmp_path / "keys", origin="portal.test/audit")
    monkeypatch.chdir(tmp_path)
    Path("portalsec.toml").write_text(SETTINGS + MAIL)
    Path("policy.toml").write_text('schema = 1\n[resource.record]\nactions = ["read"]\n[role.patient]\n')
    for file, part in (("security.db", "security"), ("security.db", "subjects"), ("audit.db", "audit")):
        engine = open_engine(f"sqlite:///{file}")
        create_schema(engine, part)  # type: ignore[arg-type]
        engine.dispose()
    with opened() as portal:
        portal.accounts.create(login="robin", password=PASSWORD, email="robin@mail.example")
    return tmp_path


@contextmanager
def opened() -> Iterator[Portal]:
    with open_for_operator(load_settings(Path("portalsec.toml"))) as portal:
        yield portal


def run(*arguments: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(portalsec, arguments, input=typed)


def recorded() -> str:
    """The log's records, as text."""
    with opened() as portal:
        portal.audit.integrate()
        entries = portal.stores.audit.newest(limit=100)
    return "\n".join(str(entry) for entry in entries)


def lets_in(password: str = PASSWORD) -> bool:
    with opened() as portal:
        try:
            portal.sign_in.start("robin", password, source=HERE)
        except Denied:
            return False
        return True


def test_a_locked_account_is_unlocked_and_its_owner_told() -> None:
    with opened() as portal:
        for _ in range(3):
            with pytest.raises(Denied):
                portal.sign_in.start("robin", "wrong pickle saturn mitten", source=Source())
        with pytest.raises(Denied):
            portal.sign_in.start("robin", PASSWORD, source=Source(address="198.51.100.9"))
    done = run("accounts", "unlock", "Robin", "--note", "T-17")
    assert done.exit_code == 0 and "Unlocked" in done.output, done.output
    assert lets_in()
    (line,) = [line for line in recorded().splitlines() if "auth.unlocked" in line]
    assert '"note":"T-17"' in line and '"system"' in line and "robin" not in line.lower()
    with opened() as portal:
        account = portal.stores.accounts.by_login("robin")
        assert account is not None
        kinds = [notice.kind for notice in portal.notices.of_account(account.id)]
    assert "account_unlocked" in kinds


def test_an_account_is_disabled_and_enabled_on_the_note_of_the_operator() -> None:
    assert run("accounts", "disable", "robin", "--note", "T-18").exit_code == 0
    assert not lets_in()
    assert run("accounts", "enable", "robin", "--note", "T-19").exit_code == 0
    assert lets_in()


def test_the_next_sign_in_chooses_another_password() -> None:
    assert run("accounts", "require-change", "robin", "--note", "T-20").exit_code == 0
    with opened() as portal:
        assert portal.sign_in.start("robin", PASSWORD, source=HERE).next == ("new_password",)


def test_the_name_is_asked_for_and_no_password_ever() -> None:
    done = run("accounts", "disable", "--note", "T-21", typed="robin\n")
    assert done.exit_code == 0 and "Sign-in name" in done.output and "assword" not in done.output
    assert not lets_in()


@pytest.mark.parametrize("command", ["unlock", "disable", "enable", "require-change"])
def test_what_cannot_be_done_is_a_sentence(command: str) -> None:
    for arguments in (("nobody", "--note", "T-22"), ("robin", "--note", "a long story about Robin")):
        done = run("accounts", command, *arguments)
        assert done.exit_code == 2 and "COULD NOT" in done.output and "Traceback" not in done.output
    assert run("accounts", command, "robin").exit_code == 2  # no note
    assert lets_in()


def test_mail_that_is_due_goes_out_once(folder: Path) -> None:
    assert run("accounts", "disable", "robin", "--note", "T-23").exit_code == 0
    done = run("mail", "deliver", "--once")
    assert done.exit_code == 0 and "1 mails sent" in done.output, done.output
    assert len(list((folder / "outbox").glob("*.eml"))) == 1
    assert "0 mails sent" in run("mail", "deliver", "--once").output


def test_mail_goes_out_round_after_round_until_it_is_stopped(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("accounts", "disable", "robin", "--note", "T-24").exit_code == 0
    rounds: list[int] = []
    real = operating._round

    def counted(courier: object, stop: object) -> None:
        real(courier, stop)  # type: ignore[arg-type]
        rounds.append(1)
        if len(rounds) == 3:
            stop.set()  # type: ignore[attr-defined]

    monkeypatch.setattr(operating, "_round", counted)
    monkeypatch.setattr(operating, "_EVERY", 0.0)
    done = run("mail", "deliver")
    assert done.exit_code == 0 and done.output.count("mails sent") == 1 and len(rounds) == 3
    assert len(list((folder / "outbox").glob("*.eml"))) == 1


def test_without_a_server_no_mail_is_promised() -> None:
    Path("portalsec.toml").write_text(SETTINGS)
    done = run("mail", "deliver", "--once")
    assert done.exit_code == 2 and "[mail] server is missing" in done.output


def test_what_is_over_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    with opened() as portal:
        assert portal.sign_in.start("robin", PASSWORD, source=HERE).session
    assert "Removed 0 sessions" in run("purge").output
    from portalsec.config import operating as module

    monkeypatch.setattr(module.open_for_operator.__wrapped__, "__kwdefaults__", {  # type: ignore[attr-defined]
        "note": None, "clock": lambda: system_clock() + timedelta(days=2), "env": None,
    })  # fmt: skip
    done = run("purge")
    assert done.exit_code == 0 and "Removed 1 sessions" in done.output, done.output


def test_databases_that_are_none_are_left_alone(folder: Path) -> None:
    (folder / "security.db").unlink()
    for arguments in (("purge",), ("accounts", "enable", "robin", "--note", "x")):
        done = run(*arguments)
        assert done.exit_code == 2 and "there is no database" in done.output
    assert not (folder / "security.db").exists()
