"""The key of keyed hashes is rotated under a running portal: whoever was known stays known, and the old key can go."""

from __future__ import annotations

from pathlib import Path

import pytest

from portalsec.audit.reports import who_has_seen
from portalsec.config import KeysetFiles, create_keys, load_settings, open_portal
from portalsec.errors import Denied, Reason, Tampered
from portalsec.events import SYSTEM, Event, SecurityEvent, Source
from portalsec.portal import Portal, close_portal
from portalsec.sqlalchemy import account_cells, open_engine
from portalsec.testing import FrozenClock
from portalsec.testing.hashing import CHEAP_ARGON2
from portalsec.testing.portal import RelationTable
from tests.config.test_opening import PASSWORD, POLICY, SETTINGS
from tests.support import totp_now

SOURCE = Source(address="203.0.113.9")


class World:
    """A portal over SQLite whose mac keyset lies in a file, and the keyset's way through a rotation."""

    def __init__(self, folder: Path) -> None:
        (folder / "portalsec.toml").write_text(SETTINGS)
        (folder / "policy.toml").write_text(POLICY)
        create_keys(folder / "keys", origin="portal.example/audit")
        self.folder = folder
        self.clock = FrozenClock()
        self.files = KeysetFiles(load_settings(folder / "portalsec.toml", env={}), env={})
        self.portal = self.opened()
        self.old = self.files.read("mac").primary_id

    def opened(self) -> Portal:
        return open_portal(
            load_settings(self.folder / "portalsec.toml", env={}),
            relations=lambda stores: RelationTable(),
            hashing=CHEAP_ARGON2,
            clock=self.clock,
        )

    def take(self, change) -> None:
        self.files.replace("mac", change(self.files.read("mac")))
        self.portal.keys.reload()

    def add(self) -> None:
        self.take(lambda keys: keys.add("HMAC_SHA256_PRF"))

    def promote(self) -> None:
        self.take(lambda keys: keys.promote(keys.info()[-1].id))

    def disable(self) -> None:
        self.take(lambda keys: keys.disable(self.old))

    def rewrite(self):
        engine = open_engine(f"sqlite:///{self.folder / 'security.db'}")
        keys = self.portal.keys
        *_, last = account_cells(fields=keys.fields, mac=keys.mac).over(engine).run()
        engine.dispose()
        return last

    def enrol(self, pending: str) -> str:
        enrolment = self.portal.sign_in.begin_totp_enrolment(pending, source=SOURCE)
        code = totp_now(enrolment.secret.reveal(), self.clock())
        done = self.portal.sign_in.confirm_totp_enrolment(pending, code, source=SOURCE)
        assert done.session is not None
        return done.session.token.reveal()

    def seen(self, person: str) -> list[str]:
        return [line.action for line in who_has_seen(self.portal.audit, person)]

    def report(self, person: str) -> None:
        self.portal.emit(
            SecurityEvent(name=Event.ACCOUNT_INVITED, actor=SYSTEM, subjects=(person,), source=SOURCE)
        )


@pytest.fixture
def world(tmp_path: Path):
    made = World(tmp_path)
    yield made
    close_portal(made.portal)


def start(world: World, login: str) -> str:
    pending = world.portal.sign_in.start(login, PASSWORD, source=SOURCE).pending
    assert pending is not None
    return pending.reveal()


def test_everybody_goes_on_over_a_rotation_and_the_old_key_goes(world: World):
    portal = world.portal
    for login in ("ana@example.org", "bea@example.org"):
        portal.accounts.create(login=login, password=PASSWORD)
    token = world.enrol(start(world, "ana@example.org"))
    pending = start(world, "bea@example.org")  # begun under the old key
    invitation = portal.accounts.invite(
        "patient-7", actor=SYSTEM, source=SOURCE, address="cleo@example.org"
    ).reveal()
    world.report("patient-7")

    world.add()
    early = portal.accounts.invite("patient-8", actor=SYSTEM, source=SOURCE).reveal()
    world.promote()

    # Sessions, pending sign-ins and invitations go on.
    assert portal.sessions.check(token, source=SOURCE).account_id
    assert portal.sessions.check(world.enrol(pending), source=SOURCE).account_id
    signed_up = portal.accounts.sign_up(
        invitation=invitation, login="cleo@example.org", password=PASSWORD, source=SOURCE
    )
    assert signed_up
    # Names are found, and stay taken, under both keys.
    for taken in ("ana@example.org", "bea@example.org", "cleo@example.org"):
        with pytest.raises(Denied) as caught:
            portal.accounts.create(login=taken, password=PASSWORD)
        assert caught.value.reason is Reason.LOGIN_TAKEN
    # The log's person is one person.
    world.report("patient-7")
    assert len(world.seen("patient-7")) >= 4

    assert world.rewrite().changed == 2  # ana and bea; cleo is of the new key
    world.disable()
    for login in ("ana@example.org", "bea@example.org"):
        assert start(world, login)
    assert portal.sessions.check(token, source=SOURCE).account_id
    with pytest.raises(Denied):
        portal.accounts.create(login="ana@example.org", password=PASSWORD)
    # What is bound to the old key alone ends with it: an invitation, and the log's older lines about a person.
    with pytest.raises(Tampered):
        portal.accounts.sign_up(invitation=early, login="dora", password=PASSWORD, source=SOURCE)
    remaining = len(world.seen("patient-7"))
    assert 0 < remaining < 4
    world.take(lambda keys: keys.enable(world.old))
    assert len(world.seen("patient-7")) > remaining


def test_a_portal_opens_with_a_rotated_keyset(world: World):
    world.portal.accounts.create(login="ana@example.org", password=PASSWORD)
    world.add()
    world.promote()
    other = world.opened()
    try:
        assert other.sign_in.start("ana@example.org", PASSWORD, source=SOURCE).pending
    finally:
        close_portal(other)


def test_two_workers_in_the_middle_of_a_rotation_know_the_same_people(world: World):
    world.add()
    behind = world.opened()  # has both keys, and does not know yet that the new one writes
    world.promote()
    try:
        for number, (writer, reader) in enumerate([(behind, world.portal), (world.portal, behind)]):
            login = f"person{number}@example.org"
            writer.accounts.create(login=login, password=PASSWORD)
            pending = writer.sign_in.start(login, PASSWORD, source=SOURCE).pending
            assert pending is not None
            assert reader.sign_in.start(login, PASSWORD, source=SOURCE).pending
            assert reader.sign_in.begin_totp_enrolment(pending.reveal(), source=SOURCE)
            with pytest.raises(Denied):
                reader.accounts.create(login=login, password=PASSWORD)
            writer.emit(
                SecurityEvent(name=Event.ACCOUNT_INVITED, actor=SYSTEM, subjects=(login,), source=SOURCE)
            )
            assert len(who_has_seen(reader.audit, login)) == 1
    finally:
        close_portal(behind)


def test_a_rotation_begins_the_budgets_anew_once(world: World):
    world.portal.accounts.create(login="ana@example.org", password=PASSWORD)
    limit = world.portal.policies.throttle.account_address.limit

    def guess() -> Reason:
        with pytest.raises(Denied) as caught:
            world.portal.sign_in.start("ana@example.org", "wrong password", source=SOURCE)
        return caught.value.reason

    assert [guess() for _ in range(limit + 1)][-1] is Reason.ACCOUNT_LOCKED
    world.add()
    assert guess() is Reason.ACCOUNT_LOCKED  # the old key still writes
    world.promote()
    assert [guess() for _ in range(limit + 1)] == [Reason.WRONG_PASSWORD] * limit + [Reason.ACCOUNT_LOCKED]
    world.disable()
    assert guess() is Reason.ACCOUNT_LOCKED
