"""A whole portal over a rotation of ``fields``: one command reaches all that it seals, and the old key can go."""

from __future__ import annotations

import ast
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import portalsec as portalsec_package
from portalsec.auth.ports import Contact, RecoveryCode
from portalsec.cli.app import portalsec
from portalsec.config import KeysetFiles, load_settings
from portalsec.crypto import EncryptedField, Keyset, SubjectKeys
from portalsec.errors import PortalsecError
from portalsec.events import SYSTEM
from portalsec.portal import Portal, close_portal
from portalsec.sqlalchemy.account_cells import HASHES
from portalsec.testing import FrozenClock
from tests.config.registered import Registered
from tests.config.test_opening import PASSWORD, SOURCE, folder, opened  # noqa: F401 - folder is a fixture
from tests.support import totp_now

LOGIN = "ana@example.org"
ADDRESS = "ana.home@example.org"
TABLES = {  # how many cells each has
    "portalsec_account": 1,
    "portalsec_contact": 1,
    "portalsec_totp_device": 1,
    "portalsec_passkey": 1,
    "portalsec_notice": 2,  # of the factor and of the sign-in
    "portalsec_incident": 1,
    "portalsec_subject_key": 1,
    "portalsec_subject_key(notes)": 1,
}
ALL = sum(TABLES.values())


def test_whatever_is_given_the_keys_is_known_here() -> None:
    """Whoever lets another part seal under ``fields`` adds it to `portal_runs`, or writes down how long that lives."""
    root = Path(portalsec_package.__file__).parent
    users = {
        f"{path.relative_to(root).as_posix()}: {function.name}"
        for path in root.rglob("*.py")
        for function in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute) and node.attr == "fields" and "keys" in ast.unparse(node.value)
    }
    assert users == {
        "config/opening.py: open_stores",  # accounts and contacts
        "django/stores/bundle.py: django_stores",  # contacts
        # Authenticators, passkeys, notices, incidents and subject keys; links in mails to who has no account yet, for a day.
        "portal.py: build_portal",
        "django/sessions.py: _sealer",  # tests/django/test_rotation.py
        "django/portal_cells.py: _sealed",  # the rotation itself
    }


class World:
    """A portal with one person who signs in by two factors, one patient with a cell, and notes under a key of theirs."""

    def __init__(self, folder: Path) -> None:  # noqa: F811
        self.folder, self.clock = folder, FrozenClock()
        self.files = KeysetFiles(load_settings(folder / "portalsec.toml", env={}), env={})
        portal = self.open()
        self.account = portal.accounts.create(login=LOGIN, password=PASSWORD).id
        pending = self.pending(portal)
        enrolment = portal.sign_in.begin_totp_enrolment(pending, source=SOURCE)
        self.seed = enrolment.secret.reveal()
        portal.sign_in.confirm_totp_enrolment(pending, totp_now(self.seed, self.clock()), source=SOURCE)
        self.passkey = Registered(portal, self.account)
        self.cell = self.field(portal.subjects).encrypt("078-05-1120", row="r1", subject="patient-1")
        self.note = self.field(self.notes(portal)).encrypt("a note", row="r1", subject="patient-1")
        contact = Contact(
            id="c1", account_id=self.account, address=ADDRESS, verified_at=None, created_at=self.clock()
        )
        assert portal.stores.contacts.add(contact)
        told = portal.notices.of_account(self.account)
        assert portal.incidents.open_for(told[0], actor=SYSTEM, source=SOURCE)
        close_portal(portal)

    def open(self) -> Portal:
        return opened(self.folder, self.clock)

    @staticmethod
    def pending(portal: Portal) -> str:
        step = portal.sign_in.start(LOGIN, PASSWORD, source=SOURCE)
        assert step.pending is not None
        return step.pending.reveal()

    @staticmethod
    def field(keys: SubjectKeys) -> EncryptedField[str]:
        return EncryptedField(keys, table="patients", column="ssn")

    @staticmethod
    def notes(portal: Portal) -> SubjectKeys:
        """An application's own subject keys, in the portal's store and under its keyset."""
        return SubjectKeys(
            portal.stores.subjects,
            keys=portal.keys.fields,
            clock=portal.clock,
            emit=portal.emit,
            purpose="notes",
        )

    def works(self) -> None:
        """A portal that starts now lets the person in by both factors, and opens what it has."""
        portal = self.open()
        try:
            self.clock.advance(timedelta(seconds=30))
            code = totp_now(self.seed, self.clock())
            done = portal.sign_in.submit_totp(self.pending(portal), code, source=SOURCE)
            assert done.session is not None
            self.passkey.works(portal)
            account = portal.stores.accounts.get(self.account)
            assert account is not None and account.login == LOGIN
            assert [each.account_id for each in portal.stores.contacts.by_address(ADDRESS)] == [self.account]
            assert [each.address for each in portal.stores.contacts.of_account(self.account)] == [ADDRESS]
            for told in portal.notices.of_account(self.account):
                portal.notices.details(told)
            (incident,) = portal.incidents.of_account(self.account)
            assert portal.incidents.summary(incident)
            assert (
                self.field(portal.subjects).decrypt(self.cell, row="r1", subject="patient-1") == "078-05-1120"
            )
            assert (
                self.field(self.notes(portal)).decrypt(self.note, row="r1", subject="patient-1") == "a note"
            )
        finally:
            close_portal(portal)

    def rotate(self, name: str = "fields") -> int:
        """Both steps; the id of the old key."""
        old: Keyset = self.files.read(name)
        kind = next(str(info.type) for info in old.info() if info.primary)
        added = old.add(kind)
        self.files.replace(name, added.promote(added.info()[-1].id))
        return old.primary_id

    def stored(self) -> bytes:
        """Every byte of the security database as SQLite hands it out, with its log written back."""
        connection = sqlite3.connect(self.folder / "security.db")
        try:
            return "\n".join(connection.iterdump()).encode()
        finally:
            connection.close()


@pytest.fixture
def world(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:  # noqa: F811
    monkeypatch.chdir(folder)
    yield World(folder)


def run(*arguments: str, answer: str = "") -> Result:
    return CliRunner().invoke(portalsec, [*arguments], input=answer)


def answer(*arguments: str) -> Any:
    result = run(*arguments, "--json")
    found = json.loads(result.output)
    assert found["exit"] == result.exit_code, result.output
    return found


def test_one_command_reaches_all_that_the_portal_seals_and_the_old_key_can_go(world: World) -> None:
    old = world.rotate()
    mark = (b"\x01" + old.to_bytes(4, "big")).hex().upper().encode()
    assert mark in world.stored()
    before = answer("fields", "status")
    assert list(before["tables"]) == list(TABLES)
    assert {
        name: {column: counts["older"] for column, counts in columns.items() if column not in HASHES}
        for name, columns in before["tables"].items()
    } == {
        "portalsec_account": {"login_sealed": {str(old): 1}},
        "portalsec_contact": {"address_sealed": {str(old): 1}},
        "portalsec_totp_device": {"sealed_secret": {str(old): 1}},
        "portalsec_passkey": {"seal": {str(old): 1}},
        "portalsec_notice": {"data": {str(old): 2}},
        "portalsec_incident": {"data": {str(old): 1}},
        "portalsec_subject_key": {"wrapped": {str(old): 1}},
        "portalsec_subject_key(notes)": {"wrapped": {str(old): 1}},
    }
    assert before["left"] == ALL

    assert answer("fields", "reencrypt", "--dry-run")["changed"] == ALL
    assert answer("fields", "status")["left"] == ALL
    done = answer("fields", "reencrypt", "--resume", "state.json")
    assert (done["changed"], done["failed"]) == (ALL, 0)
    assert {name: each["changed"] for name, each in done["tables"].items()} == TABLES
    assert not Path("state.json").exists()
    assert answer("fields", "status")["left"] == 0
    assert answer("fields", "reencrypt")["changed"] == 0

    assert run("keys", "disable", "fields", str(old), "--yes").exit_code == 0
    world.works()
    assert run("keys", "destroy", "fields", str(old), "--yes").exit_code == 0
    world.works()
    assert mark not in world.stored()


def test_in_words_it_says_what_it_did_and_whose_tables_it_did_not_see(world: World) -> None:
    world.rotate()
    shown = run("fields", "status").output
    assert f"{ALL} cells are not under the key that writes." in shown and "portalsec_totp_device" in shown
    shown = run("fields", "reencrypt").output
    for name, count in TABLES.items():
        assert f"{name}: {count} rows, {count} written" in shown
    assert "fields reencrypt TARGET" in shown
    shown = run("fields", "status").output
    assert "Nothing is left." in shown and "fields status TARGET" in shown


@pytest.mark.parametrize("keyset", ["fields", "mac"])
def test_a_key_that_somebody_needs_to_sign_in_is_not_disabled(world: World, keyset: str) -> None:
    old = str(world.rotate(keyset))
    for yes in ((), ("--yes",)):
        refused = run("keys", "disable", keyset, old, *yes)
        assert refused.exit_code == 2
        assert "portalsec_account: 1" in refused.output
        assert ("portalsec_totp_device: 1" in refused.output) is (keyset == "fields")
        assert "portalsec fields reencrypt" in refused.output
    world.works()
    assert run("fields", "reencrypt").exit_code == 0
    asked = run("keys", "disable", keyset, old, answer="n\n")
    assert asked.exit_code == 1, "the application's own tables cannot be known"
    assert "Nothing in the portal's own tables" in asked.output and "status TARGET" in asked.output
    assert ("reports about a person" in asked.output) is (keyset == "mac")
    assert run("keys", "disable", keyset, old, answer="y\n").exit_code == 0
    world.works()


@pytest.mark.parametrize("keyset", ["fields", "mac"])
def test_a_key_may_be_disabled_by_force_and_enabled_again(world: World, keyset: str) -> None:
    old = str(world.rotate(keyset))
    forced = run("keys", "disable", keyset, old, "--yes", "--force")
    assert forced.exit_code == 0 and "will not open" in forced.output
    with pytest.raises((PortalsecError, AssertionError)):
        world.works()
    left = answer("fields", "status")
    assert left["left"] == (
        ALL + len(HASHES) if keyset == "fields" else len(HASHES)
    )  # of a text that does not open the hash cannot be checked
    world.clock.advance(timedelta(hours=1))
    assert run("keys", "enable", keyset, old).exit_code == 0
    world.works()


def test_a_mac_key_of_recovery_codes_that_somebody_holds_is_not_disabled_silently(world: World) -> None:
    """No run can write them anew: whoever kept a sheet would find it void on the day the phone is gone."""
    old = world.rotate("mac")
    assert run("fields", "reencrypt").exit_code == 0
    codes = [
        RecoveryCode(account_id=world.account, digest=digest, key_id=old, created_at=world.clock())
        for digest in (b"1", b"2", b"3")
    ]
    portal = world.open()
    portal.stores.recovery_codes.replace(world.account, codes)
    assert portal.stores.recovery_codes.spend(world.account, [b"1"], at=world.clock())
    close_portal(portal)
    refused = run("keys", "disable", "mac", str(old), "--yes")
    assert refused.exit_code == 2
    assert "recovery codes: 2" in refused.output and "their owners make new ones" in refused.output
    forced = run("keys", "disable", "mac", str(old), "--yes", "--force")
    assert forced.exit_code == 0 and "These will not open: recovery codes: 2" in forced.output


def test_cells_of_a_key_without_a_mark_may_be_under_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.chdir(folder)
    path = folder / "keys" / "fields.json"
    path.write_text(path.read_text().replace('"TINK"', '"RAW"'))
    world = World(folder)
    old = str(KeysetFiles(load_settings(folder / "portalsec.toml", env={}), env={}).read("fields").primary_id)
    assert answer("fields", "status")["exit"] == 1, "nobody can tell"
    world.rotate()
    refused = run("keys", "disable", "fields", old, "--yes")
    assert refused.exit_code == 2 and "portalsec_totp_device: 1" in refused.output
    assert answer("fields", "reencrypt")["changed"] == ALL
    assert answer("fields", "status")["left"] == 0
    assert run("keys", "disable", "fields", old, "--yes").exit_code == 0
    world.works()


def hashes_by_key() -> dict[str, Any]:
    tables = answer("fields", "status")["tables"]
    return {
        column: (counts["current"], counts["older"], counts["unknown"])
        for columns in tables.values()
        for column, counts in columns.items()
        if column in HASHES
    }


def test_hashes_of_sign_in_names_and_addresses_are_counted_by_their_key(world: World) -> None:
    old = world.rotate("mac")
    hashes = hashes_by_key()
    assert hashes == dict.fromkeys(HASHES, (0, {str(old): 1}, 0))
    assert answer("fields", "reencrypt")["changed"] == 2
    hashes = hashes_by_key()
    assert hashes == dict.fromkeys(HASHES, (1, {}, 0))


def test_nothing_is_created_where_the_portal_s_databases_are_elsewhere(world: World) -> None:
    old = str(world.rotate())
    (world.folder / "security.db").rename(world.folder / "elsewhere.db")
    for verb in ("status", "reencrypt"):
        result = run("fields", verb)
        assert result.exit_code == 2
        assert "no database" in result.output and "manage.py portalsec_reencrypt" in result.output
    asked = run("keys", "disable", "fields", old, answer="n\n")
    assert asked.exit_code == 1 and "is not known" in asked.output
    assert not (world.folder / "security.db").exists()
    (world.folder / "security.db").touch(mode=0o600)
    result = run("fields", "status")
    assert result.exit_code == 2 and "has no security tables" in result.output


def test_subject_keys_in_a_database_of_their_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.chdir(folder)
    settings = folder / "portalsec.toml"
    settings.write_text(settings.read_text() + '\n[stores]\nsubjects = "sqlite:///subjects.db"\n')
    world = World(folder)
    old = world.rotate()
    assert answer("fields", "status")["left"] == ALL
    assert answer("fields", "reencrypt")["changed"] == ALL
    assert run("keys", "disable", "fields", str(old), "--yes").exit_code == 0
    world.works()
    (folder / "subjects.db").rename(folder / "away.db")
    assert run("fields", "status").exit_code == 2


@pytest.mark.postgres
def test_on_postgresql(
    folder: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    postgres_database: Callable[[], AbstractContextManager[str]],
) -> None:
    monkeypatch.chdir(folder)
    with postgres_database() as url:
        settings = folder / "portalsec.toml"
        settings.write_text(settings.read_text() + f'\n[stores]\nsecurity = "{url}"\n')
        world = World(folder)
        old = str(world.rotate())
        assert run("keys", "disable", "fields", old, "--yes").exit_code == 2
        assert answer("fields", "reencrypt")["changed"] == ALL
        assert answer("fields", "status")["left"] == 0
        assert run("keys", "disable", "fields", old, "--yes").exit_code == 0
        world.works()


def test_a_target_and_its_database_come_together(world: World) -> None:
    lone = run("fields", "status", "--database", "sqlite:///security.db")
    assert lone.exit_code == 2 and "TARGET" in lone.output
    lone = run("fields", "status", "clinic:tables")
    assert lone.exit_code == 2 and "--database" in lone.output
