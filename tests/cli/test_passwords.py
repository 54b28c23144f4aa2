from __future__ import annotations

import hashlib
import json
import os
import signal
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from click.testing import CliRunner, Result

from portalsec.audit.record import decode
from portalsec.auth import calibrate
from portalsec.auth.passwords import Passwords
from portalsec.auth.ports import Account, AccountStore
from portalsec.cli.app import portalsec
from portalsec.clock import system_clock
from portalsec.config.hashes import open_hashes
from portalsec.config.keys import create_keys
from portalsec.config.settings import load_settings
from portalsec.sqlalchemy import SqlAccounts, SqlAudit, SqlPasswordHistory, create_schema, open_engine

PASSWORD = "lantern orbit velvet cactus"
HEAD = '[portal]\nname = "Test"\nbase_url = "https://portal.test"\n'
# The least that settings take, so that each hash is a few milliseconds.
FAST = 'hashing = "m=7168,t=5,p=1"\nconcurrency = 2\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a portal whose store has no accounts yet."""
    tmp_path.chmod(0o700)
    create_keys(tmp_path / "keys", origin="portal.test/audit")
    monkeypatch.chdir(tmp_path)
    settings("")
    engine = open_engine("sqlite:///security.db")
    create_schema(engine, "security")
    engine.dispose()
    return tmp_path


def settings(passwords: str, keys: str = "") -> None:
    Path("portalsec.toml").write_text(f"{HEAD}[passwords]\n{FAST}{passwords}\n[keys]\n{keys}\n")


@contextmanager
def opened() -> Iterator[tuple[AccountStore, Passwords]]:
    with open_hashes(load_settings(Path("portalsec.toml"))) as both:
        yield both


def add(**hashes: str | None) -> None:
    with opened() as (store, _):
        for name, stored in hashes.items():
            account = Account(id=name, login=f"{name}@example.org", password_hash=stored)
            assert store.create(account, now=system_clock())


def stored(name: str) -> str | None:
    with opened() as (store, _):
        account = store.get(name)
        assert account is not None
        return account.password_hash


def verified(name: str, password: str = PASSWORD) -> bool:
    with opened() as (store, passwords):
        account = store.get(name)
        assert account is not None
        return passwords.verify(account.password_hash, password, account_id=name).rehash_due


def run(*arguments: str) -> Result:
    return CliRunner().invoke(portalsec, ["passwords", *arguments])


def answer(*arguments: str, code: int = 0) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == code, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    assert found.get("exit", 0) == code
    return found


def md5(password: str = PASSWORD, salt: str = "salt") -> str:
    return f"md5${salt}$" + hashlib.md5((salt + password).encode()).hexdigest()


def pbkdf2(password: str = PASSWORD) -> str:
    return "pbkdf2:sha256:1000$salt$" + hashlib.pbkdf2_hmac("sha256", password.encode(), b"salt", 1000).hex()


# -- calibrate ----------------------------------------------------------------------------------------------------


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, int]]:
    """Takes a millisecond for a pass over a MiB."""
    asked: list[tuple[Any, int]] = []

    def seconds(parameters: Any, at_once: int) -> float:
        asked.append((parameters, at_once))
        return float(parameters.memory_kib / 1024 * parameters.time_cost / 1000)

    monkeypatch.setattr(calibrate, "seconds_of", seconds)
    return asked


def test_calibrate_shows_the_table_and_a_line_that_the_settings_take(machine: list[tuple[Any, int]]) -> None:
    result = run("calibrate", "--milliseconds", "100", "--memory", "256", "--concurrency", "2")
    assert result.exit_code == 0, result.output
    assert [line.split()[:3] for line in result.output.splitlines()[1:6]] == [
        ["128", "MiB", "1"], ["64", "MiB", "1"], ["32", "MiB", "3"], ["16", "MiB", "6"], ["8", "MiB", "12"],
    ]  # fmt: skip
    assert "too slow" in result.output.splitlines()[1]
    assert "chosen" in result.output.splitlines()[2]
    printed = tomllib.loads(result.output[result.output.index("[passwords]") :])["passwords"]
    assert printed == {"hashing": "m=65536,t=1,p=1", "concurrency": 2}
    assert (
        load_settings({**tomllib.loads(HEAD), "passwords": printed})["passwords", "hashing"]
        == printed["hashing"]
    )
    assert {at_once for _, at_once in machine} == {2}


def test_calibrate_never_offers_less_than_the_floor(machine: list[tuple[Any, int]]) -> None:
    result = run("calibrate", "--milliseconds", "1", "--concurrency", "1")
    assert result.exit_code == 0
    assert "nothing weaker is offered" in result.output
    assert answer("calibrate", "--milliseconds", "1", "--concurrency", "1")["within"] is False
    result = run("calibrate", "--memory", "8", "--concurrency", "4")
    assert result.exit_code == 2
    assert "below the OWASP floor" in result.output


def test_calibrate_measures_this_machine() -> None:
    found = answer(
        "calibrate", "--milliseconds", "10000", "--memory", "8", "--concurrency", "1", "--lanes", "1"
    )
    assert found["within"] is True
    assert found["trials"][0]["seconds"] > 0


# -- report -------------------------------------------------------------------------------------------------------


def test_report_counts_what_is_old_and_by_what() -> None:
    settings('older = ["md5", "argon2id:m=8,t=1,p=1", "bcrypt:r=12"]')
    bare = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    with opened() as (_, passwords):
        own = {name: passwords.hash(PASSWORD, account_id=name) for name in ("a", "b")}
        wrapped = passwords.wrap(md5(), account_id="c")
    add(**own, c=wrapped, d=bare, e=pbkdf2(), f=None, g="!")
    found = answer("report", code=1)
    assert (found["old"], found["without"]) == (4, 1)
    assert found["unused"] == ["argon2id:m=8,t=1,p=1", "bcrypt:r=12"]
    rows = {(row["scheme"], row["parameters"], row["wrapped"]): row for row in found["hashes"]}
    assert {key: row["accounts"] for key, row in rows.items()} == {
        ("argon2id", "m=7168,t=5,p=1", False): 2,
        ("md5", "", True): 1,
        ("phc_argon2id", "v=19,m=8,t=1,p=1,l=32", False): 1,
        ("pbkdf2_sha256", "i=1000", False): 1,
        ("unknown", "", False): 1,
    }
    assert rows["pbkdf2_sha256", "i=1000", False]["verifies"] is False
    assert rows["phc_argon2id", "v=19,m=8,t=1,p=1,l=32", False]["verifies"] is False
    text = run("report").output
    assert "verifies for nobody: wrap it" in text
    assert 'Nothing costs "bcrypt:r=12" any more' in text
    for secret in (bare, wrapped, pbkdf2(), own["a"]):
        assert secret[-22:] not in text + json.dumps(found)


def test_report_of_a_portal_where_nothing_is_old() -> None:
    with opened() as (_, passwords):
        add(a=passwords.hash(PASSWORD, account_id="a"))
    result = run("report")
    assert (result.exit_code, "Nothing is old." in result.output) == (0, True)
    assert answer("report")["old"] == 0


def test_report_names_a_cost_that_is_not_listed() -> None:
    settings('older = ["md5"]')
    with opened() as (_, passwords):
        add(a=passwords.wrap(md5(), account_id="a"))
    settings("")
    assert 'add "md5" to [passwords] older' in run("report").output


def test_report_of_more_accounts_than_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portalsec.config.hashes._PAGE", 3)
    add(**{f"a{number}": md5() for number in range(10)})
    assert answer("report", code=1)["hashes"][0]["accounts"] == 10


def test_a_missing_database_is_one_sentence() -> None:
    Path("security.db").unlink()
    for command in ("report", "wrap"):
        result = run(command)
        assert result.exit_code == 2
        assert result.output.startswith("COULD NOT: ")
        assert not Path("security.db").exists()


# -- wrap ---------------------------------------------------------------------------------------------------------


def test_wrap_puts_argon2id_around_what_another_system_hashed_and_leaves_the_rest() -> None:
    settings('older = ["md5", "pbkdf2_sha256:i=1000"]')
    bare = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    add(bare=bare)
    result = run("wrap")
    assert result.exit_code == 2 and '"phc_argon2id:v=19,m=8,t=1,p=1,l=32"' in result.output
    settings('older = ["md5", "pbkdf2_sha256:i=1000", "phc_argon2id:v=19,m=8,t=1,p=1,l=32"]')
    with opened() as (_, passwords):
        own = passwords.hash(PASSWORD, account_id="own")
        done = passwords.wrap(md5(), account_id="done")
    add(one=md5(), two=pbkdf2(), own=own, done=done, none=None)
    assert answer("wrap", "--dry-run")["due"] == 3
    assert (stored("one"), stored("bare")) == (md5(), bare)
    found = answer("wrap")
    assert (found["due"], found["wrapped"], found["changed"], found["unknown"]) == (3, 3, 0, [])
    assert (stored("own"), stored("done"), stored("none")) == (own, done, None)
    for name in ("one", "two", "bare"):
        assert verified(name)
    assert answer("wrap")["due"] == 0
    assert events() == [
        ("auth.password_rehashed", "bare", "phc_argon2id"),
        ("auth.password_rehashed", "one", "md5"),
        ("auth.password_rehashed", "two", "pbkdf2_sha256"),
    ]


def events() -> list[tuple[str, str | None, str | None]]:
    engine = open_engine("sqlite:///audit.db")
    try:
        log = SqlAudit(engine)
        records = [decode(entry.body) for entry in log.read(0, log.size())]
    finally:
        engine.dispose()
    return [
        (each.name, each.resource.id if each.resource else None, each.details.get("wrapped"))
        for each in records
    ]


def test_wrap_names_every_cost_that_is_not_listed_and_writes_nothing() -> None:
    settings('older = ["md5"]')
    add(one=md5(), two=pbkdf2(), three="$2b$04$" + "a" * 53)
    result = run("wrap")
    assert result.exit_code == 2
    assert 'add "bcrypt:r=4", "pbkdf2_sha256:i=1000" to it' in result.output
    assert stored("one") == md5()


def test_wrap_says_which_accounts_have_what_nobody_reads() -> None:
    settings('older = ["md5"]')
    digits = hashlib.md5(PASSWORD.encode()).hexdigest()
    add(one=md5(), odd="rot13$abc", digits=digits)
    assert answer("wrap", code=1)["unknown"] == ["digits", "odd"]
    assert verified("one")
    result = run("wrap", "--scheme", "md5")
    assert result.exit_code == 1
    assert "account odd" in result.output
    assert "rot13" not in result.output
    assert verified("digits")
    assert stored("odd") == "rot13$abc"


def test_wrap_takes_the_form_that_the_other_system_used() -> None:
    settings('older = ["md5"]')
    add(one=md5("caf\u00e9"))
    answer("wrap", "--form", "nfc")
    assert verified("one", "cafe\u0301")


def test_wrap_uses_the_pepper() -> None:
    settings('older = ["md5"]', 'pepper = "file:keys/pepper.json"')
    assert CliRunner().invoke(portalsec, ["keys", "new", "pepper"]).exit_code == 0
    add(one=md5())
    answer("wrap")
    row = answer("report", code=1)["hashes"][0]
    assert len(row["pepper"]) == 8
    assert verified("one")


def between(monkeypatch: pytest.MonkeyPatch, what: Callable[[str], None]) -> None:
    """``what`` happens after an account was read and wrapped, before it is written."""
    real = SqlAccounts.set_password

    def set_password(self: SqlAccounts, account_id: str, *args: Any, **kwargs: Any) -> bool:
        what(account_id)
        return real(self, account_id, *args, **kwargs)

    monkeypatch.setattr(SqlAccounts, "set_password", set_password)


def test_a_password_that_is_set_meanwhile_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    settings('older = ["md5"]')
    add(one=md5(), two=md5())
    with opened() as (_, passwords):
        new = passwords.hash("harbour pickle saturn mitten", account_id="one")
    real = SqlAccounts.set_password

    def change(account_id: str) -> None:
        if account_id == "one":
            with opened() as (store, _):
                assert real(store, "one", new, expected=md5())  # type: ignore[arg-type]

    between(monkeypatch, change)
    found = answer("wrap")
    assert (found["wrapped"], found["changed"]) == (1, 1)
    assert stored("one") == new


def test_ctrl_c_stops_after_a_batch_and_the_same_command_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    settings('older = ["md5"]')
    add(**{f"a{number}": md5(salt=str(number)) for number in range(5)})
    monkeypatch.setattr("portalsec.cli.passwords._BATCH", 2)
    with monkeypatch.context() as patch:
        between(patch, lambda account_id: os.kill(os.getpid(), signal.SIGINT) if account_id == "a0" else None)
        found = answer("wrap", code=130)
    assert (found["due"], found["wrapped"]) == (5, 2)
    result = run("wrap")
    assert result.exit_code == 0
    assert "3 of 3 hashes were wrapped." in result.output
    assert all(verified(f"a{number}") for number in range(5))


# -- the pepper's keys --------------------------------------------------------------------------------------------


def keys(*arguments: str) -> Result:
    return CliRunner().invoke(portalsec, ["keys", *arguments])


def test_a_pepper_key_that_hashes_are_under_is_not_disabled() -> None:
    result = keys("new", "pepper")
    assert result.exit_code == 2
    assert 'pepper = "file:keys/pepper.json"' in result.output
    settings("", 'pepper = "file:keys/pepper.json"')
    result = run("report")
    assert result.exit_code == 2
    assert "portalsec keys new pepper" in result.output
    assert keys("new", "pepper").exit_code == 0
    first = json.loads(keys("list", "--json").output)["pepper"]["keys"][0]["id"]
    with opened() as (_, passwords):
        add(one=passwords.hash(PASSWORD, account_id="one"))
    assert "portalsec passwords report" in keys("rotate", "pepper", "--now").output
    assert verified("one")
    refused = keys("disable", "pepper", str(first), "--yes")
    assert refused.exit_code == 2
    assert "account: 1" in refused.output
    with opened() as (store, passwords):
        new = passwords.hash(PASSWORD, account_id="one")
        account = store.get("one")
        assert account is not None
        assert store.set_password("one", new, expected=account.password_hash)
    engine = open_engine("sqlite:///security.db")
    try:
        # A former password that may not come back: without the key it could.
        history = SqlPasswordHistory(engine)
        old = account.password_hash or ""
        history.add("one", old, at=system_clock(), keep=5, compromised=True)
        refused = keys("disable", "pepper", str(first), "--yes")
        assert refused.exit_code == 2
        assert "password_history: 1" in refused.output and "account:" not in refused.output
        history.forget("one")
    finally:
        engine.dispose()
    assert keys("disable", "pepper", str(first), "--yes").exit_code == 0
    assert not verified("one")
