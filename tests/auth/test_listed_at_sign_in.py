"""CS-4: a right password that attackers have in their lists leads to another one before it leads to a session."""

from __future__ import annotations

from datetime import timedelta

import pytest

from portalsec.auth.password_policy import PasswordRefused
from portalsec.errors import BreachSourceUnavailable, Denied, Reason, StoreError
from portalsec.events import Event
from tests.auth.world import OTHER_PASSWORD, PASSWORD, SOURCE, World, session, token


class Listed:
    """A list that may be put in after the password was chosen, as a new edition is."""

    def __init__(self, *, local: bool = True, name: str = "list") -> None:
        self.local, self.name = local, name
        self.asked: list[str] = []
        self.passwords: set[str] = set()
        self.down = False

    def contains(self, password: str) -> bool:
        self.asked.append(password)
        if self.down:
            raise BreachSourceUnavailable("cannot be read")
        return password in self.passwords


def world_with(*sources: Listed, **fields: object) -> World:
    world = World(sources=sources, **fields)  # type: ignore[arg-type]
    world.person()
    for source in sources:
        source.asked.clear()
    return world


def test_cs_4_a_listed_password_is_changed_after_all_factors_and_before_the_session() -> None:
    source = Listed()
    world = world_with(source)
    account = world.account_store.by_login("robin")
    source.passwords = {PASSWORD}
    pending = world.pending()
    [event] = world.events.named(Event.AUTH_PASSWORD_CHANGE_REQUIRED)
    assert event.details == {"why": "breached"} and event.resource.id == account.id  # type: ignore[union-attr]
    assert PASSWORD not in repr(world.events)
    step = world.sign_in.submit_totp(pending, world.code(account), source=SOURCE)
    assert step.next == ("new_password",) and step.session is None
    with pytest.raises(PasswordRefused):
        world.password_change.submit_forced(token(step.pending), PASSWORD, source=SOURCE)
    done = world.password_change.submit_forced(token(step.pending), OTHER_PASSWORD, source=SOURCE)
    assert session(done)
    assert world.account_store.get(account.id).must_change is None


def test_cs_4_without_a_second_factor_too() -> None:
    source = Listed()
    world = world_with(source, second_factor="optional")
    world.accounts.create(login="kim", password=PASSWORD)
    source.passwords = {PASSWORD}
    assert world.sign_in.start("kim", PASSWORD, source=SOURCE).next == ("new_password",)
    # It stays so, whatever the list says next: attackers had it.
    source.passwords = set()
    assert world.sign_in.start("kim", PASSWORD, source=SOURCE).next == ("new_password",)
    assert len(world.events.named(Event.AUTH_PASSWORD_CHANGE_REQUIRED)) >= 1


def test_cs_4_the_lists_are_asked_about_every_right_password_and_about_no_other() -> None:
    first, second = Listed(), Listed(name="second")
    world = world_with(first, second)
    first.passwords = {PASSWORD}
    for login, password in (("robin", OTHER_PASSWORD), ("nobody", PASSWORD)):
        with pytest.raises(Denied):
            world.sign_in.start(login, password, source=SOURCE)
    assert (first.asked, second.asked) == ([], [])
    world.pending()
    world.clock.advance(timedelta(minutes=1))
    world.pending()  # it must be changed already
    assert first.asked == second.asked == [PASSWORD, PASSWORD]


def test_cs_4_a_disabled_account_and_a_locked_one_tell_nothing_of_their_passwords() -> None:
    source = Listed()
    world = world_with(source)
    account = world.account_store.by_login("robin")
    source.passwords = {PASSWORD}
    world.account_store.set_disabled(account.id, True)
    with pytest.raises(Denied) as refusal:
        world.sign_in.start("robin", PASSWORD, source=SOURCE)
    assert refusal.value.reason is Reason.ACCOUNT_DISABLED
    assert source.asked == [] and world.account_store.get(account.id).must_change is None


def test_cs_4_servers_are_not_asked() -> None:
    server = Listed(local=False)
    world = world_with(server)
    server.passwords = {PASSWORD}
    assert world.pending() and server.asked == []


def test_cs_4_a_list_that_cannot_be_read_is_recorded_and_keeps_nobody_out() -> None:
    source = Listed()
    world = world_with(source)
    source.down = True
    assert world.pending()
    failed = world.events.named(Event.SYSTEM_CONTROL_FAILED)[-1]
    assert failed.details == {"control": "passwords.list", "went_on": True}


def test_cs_4_where_it_cannot_be_kept_or_recorded_nobody_gets_in() -> None:
    source = Listed()
    world = world_with(source)
    source.passwords = {PASSWORD}
    world.account_store.failing["require_change"] = StoreError("down")
    with pytest.raises(StoreError):
        world.sign_in.start("robin", PASSWORD, source=SOURCE)


def test_cs_4_it_can_be_switched_off() -> None:
    source = Listed()
    world = world_with(source, check_at_sign_in=False)
    source.passwords = {PASSWORD}
    account = world.account_store.by_login("robin")
    assert session(world.sign_in.submit_totp(world.pending(), world.code(account), source=SOURCE))
    assert source.asked == []
