from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from portalsec.audit.record import decode
from portalsec.cli.app import portalsec
from portalsec.config import keysets as config_keysets
from portalsec.config.keys import create_keys
from portalsec.config.settings import load_settings
from portalsec.crypto.insecure import keyset_to_json
from portalsec.crypto.keyset import Keyset
from portalsec.errors import ConfigurationError, StoreError
from portalsec.sqlalchemy import SqlAudit, open_engine

ORIGIN = "portal.test/audit"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a portal, which the commands are run in."""
    tmp_path.chmod(0o700)
    create_keys(tmp_path / "keys", origin=ORIGIN)
    (tmp_path / "portalsec.toml").write_text('[portal]\nname = "Test"\nbase_url = "https://portal.test"\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, answer: str = "") -> Result:
    return CliRunner().invoke(portalsec, ["keys", *arguments], input=answer)


def done(*arguments: str, answer: str = "") -> str:
    result = run(*arguments, answer=answer)
    assert result.exit_code == 0, result.output
    return result.output


def fields() -> Keyset:
    return config_keysets.KeysetFiles(load_settings(Path("portalsec.toml"))).read("fields")


def events() -> list[tuple[str, str, str | None]]:
    engine = open_engine("sqlite:///audit.db")
    try:
        log = SqlAudit(engine)
        assert not log.staged()
        records = [decode(entry.body) for entry in log.read(0, log.size())]
    finally:
        engine.dispose()
    return [(each.name, each.outcome.value, each.resource and each.resource.id) for each in records]


def secrets() -> list[str]:
    texts = [path.read_text() for path in Path("keys").iterdir()]
    return [
        key["keyData"]["value"]
        for text in texts
        if text.startswith("{")
        for key in json.loads(text)["key"]
        if "keyData" in key
    ]


def test_a_rotation_has_two_steps() -> None:
    old = fields()
    assert "--promote" in done("rotate", "fields")
    added = fields()
    assert added.primary_id == old.primary_id
    assert [info.status for info in added.info()] == ["ENABLED", "ENABLED"]
    assert [info.type for info in added.info()] == ["XAES_256_GCM"] * 2
    done("rotate", "fields", "--promote")
    promoted = fields()
    assert promoted.primary_id == added.info()[-1].id
    cell = old.aead().encrypt(b"x", b"")
    assert promoted.aead().decrypt(cell, b"") == b"x"
    key = f"fields/{promoted.primary_id}"
    assert events() == [("key.created", "success", key), ("key.rotated", "success", key)]


def test_both_steps_at_once_where_that_is_asked_for() -> None:
    done("rotate", "fields", "--now", "--template", "AES256_GCM")
    info = fields().info()[-1]
    assert (info.primary, info.type) == (True, "AES256_GCM")


def test_a_second_key_waits_for_the_first() -> None:
    done("rotate", "fields")
    before = Path("keys/fields.json").read_bytes()
    result = run("rotate", "fields")
    assert result.exit_code == 2
    assert "waits to be promoted" in result.output
    assert run("rotate", "index", "--promote").exit_code == 2
    assert run("rotate", "fields", "--promote", "--now").exit_code == 2
    assert Path("keys/fields.json").read_bytes() == before


def test_a_key_is_disabled_enabled_and_destroyed() -> None:
    first = fields().primary_id
    done("rotate", "fields", "--now")
    assert run("disable", "fields", str(first), answer="n\n").exit_code == 1
    assert fields().info()[0].status == "ENABLED"
    assert "fields status" in done("disable", "fields", str(first), answer="y\n")
    assert fields().info()[0].status == "DISABLED"
    done("enable", "fields", str(first))
    refused = run("destroy", "fields", str(first), "--yes")
    assert (refused.exit_code, fields().info()[0].status) == (2, "ENABLED")
    done("disable", "fields", str(first), "--yes")
    assert run("destroy", "fields", str(first), answer="1\n").exit_code == 2
    assert fields().info()[0].status == "DISABLED"
    done("destroy", "fields", str(first), answer=f"{first}\n")
    assert fields().info()[0].status == "DESTROYED"
    names = [name for name, _, _ in events()]
    assert names == [
        "key.created",
        "key.rotated",
        "key.disabled",
        "key.enabled",
        "key.disabled",
        "key.destroyed",
    ]


def test_the_key_that_writes_is_never_switched_off() -> None:
    primary = str(fields().primary_id)
    for command in ("disable", "destroy"):
        result = run(command, "fields", primary, "--yes")
        assert result.exit_code == 2
        assert "promote another key first" in result.output
    assert run("disable", "fields", "77", "--yes").exit_code == 2


def test_nothing_that_is_shown_is_a_key() -> None:
    done("rotate", "fields")
    shown = done("list") + done("list", "--json") + done("export-public-info")
    assert secrets()
    assert not [secret for secret in secrets() if secret in shown]
    listed = json.loads(done("list", "--json", "fields", "index"))
    assert set(listed) == {"fields", "index"}
    assert [key["status"] for key in listed["fields"]["keys"]] == ["ENABLED", "ENABLED"]
    public = json.loads(done("export-public-info"))
    assert set(public["keysets"]) == {"fields", "mac", "index"}
    assert public["audit"]["verifier"].startswith(f"{ORIGIN}+")
    assert "waits to be promoted" in done("list")


def test_a_keyset_file_of_any_path() -> None:
    done("new", "mine.json")
    assert stat.S_IMODE(Path("mine.json").stat().st_mode) == 0o600
    before = Path("mine.json").read_bytes()
    assert run("new", "mine.json").exit_code == 2
    assert Path("mine.json").read_bytes() == before
    done("rotate", "mine.json", "--now")
    assert stat.S_IMODE(Path("mine.json").stat().st_mode) == 0o600
    assert len(Keyset.from_json(Path("mine.json").read_text()).info()) == 2
    assert not Path("audit.db").exists()
    assert sorted(path.name for path in Path().iterdir()) == ["keys", "mine.json", "portalsec.toml"]


def test_a_lost_keyset_of_the_portal_is_made_anew() -> None:
    Path("keys/index.json").unlink()
    done("new", "index")
    assert json.loads(done("list", "index", "--json"))["index"]["purpose"] == "prf"


def test_encrypted_keysets_stay_encrypted() -> None:
    kek = Path("keys/kek.json")
    kek.write_text(keyset_to_json(Keyset.generate("AES256_GCM")))
    kek.chmod(0o600)
    with Path("portalsec.toml").open("a") as file:
        file.write('[keys]\nkek = "file:keys/kek.json"\n')
    config_keysets.wrap_keys(load_settings(Path("portalsec.toml")))
    done("rotate", "fields", "--now")
    Path("keys/index.json").unlink()
    done("new", "index")
    for name in ("fields", "index"):
        text = Path(f"keys/{name}.json").read_text()
        assert "encryptedKeyset" in text
        with pytest.raises(ConfigurationError):
            Keyset.from_json(text)
    assert len(fields().info()) == 2


def test_one_change_at_a_time() -> None:
    folder = os.open("keys", os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    before = Path("keys/fields.json").read_bytes()
    result = run("rotate", "fields")
    assert result.exit_code == 2
    assert "another command" in result.output
    os.close(folder)
    assert Path("keys/fields.json").read_bytes() == before
    done("rotate", "fields")


def test_audit_show_has_it_at_once() -> None:
    done("rotate", "fields", "--now")
    shown = CliRunner().invoke(portalsec, ["audit", "show"])
    assert shown.exit_code == 0
    assert "key.created" in shown.output
    assert f"key fields/{fields().primary_id}" in shown.output
    assert "wait for their place" not in shown.output


def test_what_cannot_be_placed_is_left_to_the_portal(monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(_: object) -> int:
        raise StoreError("the database is busy")

    with monkeypatch.context() as patched:
        patched.setattr(SqlAudit, "integrate", busy)
        done("rotate", "fields")
    assert "1 more wait for their place." in CliRunner().invoke(portalsec, ["audit", "show"]).output
    done("rotate", "fields", "--promote")
    assert [name for name, _, _ in events()] == ["key.created", "key.rotated"]


def test_the_log_of_a_django_portal_gets_no_second_one_beside_it() -> None:
    with closing(sqlite3.connect("audit.db")) as connection, connection:
        connection.execute("CREATE TABLE portalsec_auditentry (seq INTEGER PRIMARY KEY)")
    connection.close()
    Path("audit.db").chmod(0o600)
    before = Path("keys/fields.json").read_bytes()
    result = run("rotate", "fields")
    assert result.exit_code == 2
    assert "python manage.py portalsec_keys" in result.output
    assert Path("keys/fields.json").read_bytes() == before
    with closing(sqlite3.connect("audit.db")) as connection, connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    connection.close()
    assert tables == [("portalsec_auditentry",)]


def test_a_folder_that_is_not_there_is_said_how_to_make() -> None:
    result = run("new", "more/mine.json")
    assert result.exit_code == 2
    assert f"mkdir -p -m 700 {Path.cwd() / 'more'}" in result.output
    Path("more").mkdir(mode=0o700)
    done("new", "more/mine.json")


def test_without_the_log_nothing_is_changed() -> None:
    Path("audit.db").write_bytes(b"this is no database, and never was one" * 100)
    Path("audit.db").chmod(0o600)
    before = Path("keys/fields.json").read_bytes()
    result = run("rotate", "fields")
    assert result.exit_code == 2
    assert "damaged" in result.output
    assert Path("keys/fields.json").read_bytes() == before


def test_what_was_announced_and_then_failed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise ConfigurationError("no space left")

    monkeypatch.setattr(config_keysets, "replace_private", full)
    assert run("rotate", "fields").exit_code == 2
    assert [(name, outcome) for name, outcome, _ in events()] == [
        ("key.created", "success"),
        ("key.created", "error"),
    ]
    assert len(fields().info()) == 1


@pytest.mark.parametrize(
    "arguments",
    [("list", "nowhere.json"), ("list", "--config", "nowhere.toml"), ("rotate", "keys/audit.key")],
)
def test_what_stands_in_the_way_is_a_sentence(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "COULD NOT: " in result.output
    assert "Traceback" not in result.output
