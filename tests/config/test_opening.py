"""From a settings file to a portal that works, and what a broken folder gets."""

from __future__ import annotations

import stat
from datetime import timedelta
from pathlib import Path

import pytest

from portalsec.audit.record import decode
from portalsec.auth.budgets import ThrottlePolicy
from portalsec.config import KeysetFiles, create_keys, load_settings, open_portal
from portalsec.config.opening import open_policies
from portalsec.errors import Denied, PortalsecError
from portalsec.events import Purpose, Source
from portalsec.portal import Portal, Stores, close_portal
from portalsec.rbac.model import Resource, Subject
from portalsec.testing import FrozenClock
from portalsec.testing.hashing import CHEAP_ARGON2
from tests.support import totp_now

POLICY = """
schema = 1
[resource.record]
actions = ["read"]
attributes = { patient_id = "str" }
subject = "patient_id"
[resource.record.events]
read = "record.read"
[relation.self]
of = "record"
[role.patient]
[[grant]]
id = "own"
role = "patient"
to = "record:read"
when = "self"
"""
SETTINGS = """
[portal]
name = "Riverside"
base_url = "https://portal.example"
"""
SOURCE = Source(address="203.0.113.9")
PASSWORD = "violet-anchor-mosaic-27"


class OwnRecord:
    """`self`: the account's reference is the patient's id."""

    def __init__(self, stores: Stores) -> None:
        self._accounts = stores.accounts

    def holds(self, relation: str, subject: Subject, resource: Resource) -> bool:
        account = self._accounts.get(subject.id)
        return account is not None and account.reference == resource.attributes.get("patient_id")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "portalsec.toml").write_text(SETTINGS)
    (tmp_path / "policy.toml").write_text(POLICY)
    create_keys(tmp_path / "keys", origin="portal.example/audit")
    return tmp_path


def opened(folder: Path, clock: FrozenClock | None = None) -> Portal:
    settings = load_settings(folder / "portalsec.toml", env={})
    return open_portal(settings, relations=OwnRecord, hashing=CHEAP_ARGON2, clock=clock or FrozenClock())


def problem(folder: Path) -> str:
    with pytest.raises(PortalsecError) as caught:
        opened(folder)
    return str(caught.value)


def test_the_main_job_on_files(folder: Path) -> None:
    clock = FrozenClock()
    portal = opened(folder, clock)
    account = portal.accounts.create(login="Ana@Example.org", password=PASSWORD, reference="patient-1")
    portal.stores.assignments.assign(account.id, "patient")
    step = portal.sign_in.start("ana@example.org", PASSWORD, source=SOURCE)
    assert step.pending
    enrolment = portal.sign_in.begin_totp_enrolment(step.pending.reveal(), source=SOURCE)
    code = totp_now(enrolment.secret.reveal(), clock())
    session = portal.sign_in.confirm_totp_enrolment(step.pending.reveal(), code, source=SOURCE).session
    assert session
    token = session.token.reveal()
    chart = Resource(type="record", id="r1", attributes={"patient_id": "patient-1"})
    portal.guard(token, "record:read", chart, source=SOURCE, purpose=Purpose.PATRQT)
    other = Resource(type="record", id="r2", attributes={"patient_id": "patient-2"})
    with pytest.raises(Denied):
        portal.guard(token, "record:read", other, source=SOURCE, purpose=Purpose.PATRQT)
    close_portal(portal)

    again = opened(folder, clock)  # everything was on disk
    assert again.guard.session(token, source=SOURCE).account_id == account.id
    store = again.stores.audit
    names = [decode(entry.body).name for entry in store.read(0, store.integrate())]
    assert "record.read" in names
    assert "access.denied" in names
    close_portal(again)

    secrets = [PASSWORD, "ana@example.org", enrolment.secret.reveal(), token, code + '"']
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [secret for secret in secrets if secret.encode() in content], path.name
            if path.suffix in {".db", ".json", ".key"}:
                assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name
    assert (folder / "anchor" / "checkpoint").read_text().startswith("portal.example/audit\n")


def test_a_missing_or_open_key_is_one_sentence_and_nothing_is_made(folder: Path) -> None:
    key = folder / "keys" / "mac.json"
    key.chmod(0o644)
    assert f"chmod 600 {key}" in problem(folder)
    key.unlink()
    assert f"{key} is missing" in problem(folder)
    assert not list(folder.glob("*.db*"))


@pytest.mark.parametrize("name", ["fields.json", "mac.json", "index.json", "audit.key"])
def test_a_damaged_key_names_its_setting_and_shows_nothing_of_it(folder: Path, name: str) -> None:
    key = folder / "keys" / name
    text = key.read_text()
    key.write_text(text[: len(text) // 2])
    said = problem(folder)
    assert f"[keys] {name.split('.', maxsplit=1)[0]}" in said
    assert text[60:90] not in said


def test_swapped_keys_are_refused(folder: Path) -> None:
    fields, mac = folder / "keys" / "fields.json", folder / "keys" / "mac.json"
    saved = fields.read_text()
    fields.write_text(mac.read_text())
    assert problem(folder)
    mac.write_text(saved)
    assert problem(folder)


def test_a_damaged_database_is_one_sentence(folder: Path) -> None:
    (folder / "security.db").write_bytes(b"this is not a database" * 400)
    (folder / "security.db").chmod(0o600)
    said = problem(folder)
    assert "security.db" in said
    assert "\n" not in said


def test_a_place_that_cannot_be_written_is_one_sentence(folder: Path) -> None:
    settings = folder / "portalsec.toml"
    settings.write_text(SETTINGS + '[stores]\nsecurity = "sqlite:///policy.toml/security.db"\n')
    said = problem(folder)  # below a file: nobody can write there, not even root
    assert str(folder / "policy.toml") in said
    assert "\n" not in said


def test_a_wrong_policy_names_file_and_rule(folder: Path) -> None:
    policy = folder / "policy.toml"
    policy.write_text(POLICY.replace('role = "patient"', 'role = "patiant"'))
    said = problem(folder)
    assert str(policy) in said
    assert "patiant" in said
    assert "patient" in said
    policy.write_text("not toml")
    assert "is not TOML" in problem(folder)
    policy.unlink()
    assert "is missing" in problem(folder)


def test_an_unreachable_database_is_a_store_error_without_its_password(folder: Path) -> None:
    (folder / "portalsec.toml").write_text(
        SETTINGS
        + '[stores]\nsecurity = "postgresql+psycopg://u:hunter2@127.0.0.1:1/none?connect_timeout=1"\n'
    )
    said = problem(folder)
    assert "hunter2" not in said


def test_the_subjects_keys_lie_with_the_security_state_or_in_a_file_of_their_own(folder: Path) -> None:
    for setting, file in (
        ("", "security.db"),
        ('[stores]\nsubjects = "sqlite:///subjects.db"\n', "subjects.db"),
    ):
        (folder / "portalsec.toml").write_text(SETTINGS + setting)
        portal = opened(folder)
        portal.subjects.writing(f"patient in {file}")
        close_portal(portal)
        content = b"".join(path.read_bytes() for path in folder.rglob(f"{file}*"))
        assert f"patient in {file}".encode() in content


def test_redis_takes_the_short_lived_state(folder: Path, redis_url: str) -> None:
    from portalsec.stores.redis import RedisFlows, RedisThrottle

    (folder / "portalsec.toml").write_text(SETTINGS + f'[stores]\nshort_lived = "{redis_url}"\n')
    portal = opened(folder)
    assert isinstance(portal.stores.throttle, RedisThrottle)
    assert isinstance(portal.stores.flows, RedisFlows)
    with pytest.raises(Denied):
        portal.sign_in.start("nobody@example.org", PASSWORD, source=SOURCE)
    close_portal(portal)


def test_keys_that_were_rotated_are_taken_by_every_part_of_a_running_portal(folder: Path) -> None:
    portal = opened(folder)
    old = portal.accounts.create(login="ana@example.org", password=PASSWORD)
    files = KeysetFiles(load_settings(folder / "portalsec.toml", env={}), env={})
    first = files.read("fields")
    both = first.add("XAES_256_GCM")
    files.replace("fields", both)
    portal.keys.reload()  # everywhere, before the new key writes
    files.replace("fields", both.promote(both.info()[-1].id))
    portal.keys.reload()
    new = portal.accounts.create(login="bea@example.org", password=PASSWORD)
    assert portal.sign_in.start("ana@example.org", PASSWORD, source=SOURCE).pending
    for account in (old, new):
        found = portal.stores.accounts.get(account.id)
        assert found is not None
        assert found.login == account.login
    close_portal(portal)
    content = b"".join(path.read_bytes() for path in folder.glob("security.db*"))
    for keyset in (first, files.read("fields")):
        assert b"\x01" + keyset.primary_id.to_bytes(4, "big") in content


def test_the_throttles_settings_become_its_policy(folder: Path) -> None:
    assert open_policies(load_settings(folder / "portalsec.toml", env={})).throttle == ThrottlePolicy()
    (folder / "portalsec.toml").write_text(
        SETTINGS
        + '[throttle]\naccount = "3/1m"\naccount_address = "2/1m"\nlongest = "2h"\ncap = 9\nstore_down = "allow"\ncandidate = "4/1h"\n'
    )
    policy = open_policies(load_settings(folder / "portalsec.toml", env={})).throttle
    assert (policy.account.limit, policy.account.longest) == (3, timedelta(hours=2))
    assert (policy.cap, policy.cap_devices, policy.store_down) == (9, 1, "allow")
    assert (policy.candidate.limit, policy.detection.password) == (4, 4)
