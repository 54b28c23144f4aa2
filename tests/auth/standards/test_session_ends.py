"""Rows on what ends a session, and on what a session alone must not do."""

from __future__ import annotations

from datetime import timedelta

import pytest

from portalsec.auth.factors import WITHIN
from portalsec.auth.ports import Account
from portalsec.errors import Denied, Reason
from portalsec.events import Actor
from tests.auth.mail import (
    active,
    alive,
    refused,
    signed_in,
    with_address,
)
from tests.auth.world import OTHER_PASSWORD, PASSWORD, SOURCE, World

ANN = Actor(type="user", id="desk-ann")
SECOND = "robin@work.example"


@pytest.fixture
def world() -> World:
    return World()


def of(world: World, account: Account) -> Account:
    found = world.account_store.get(account.id)
    assert isinstance(found, Account)
    return found


def hash_of(world: World, account: Account) -> str:
    stored = of(world, account).password_hash
    assert stored is not None
    return stored


def test_v7_4_1_after_sign_out_or_a_limit_a_session_is_nothing(world: World) -> None:
    account = world.person()
    opened = world.session(account).token.reveal()
    world.sign_in.logout(opened, source=SOURCE)
    assert refused(lambda: world.sessions.check(opened, source=SOURCE)) is Reason.SESSION_UNKNOWN
    world.clock.advance(timedelta(seconds=60))
    late = world.session(account).token.reveal()
    world.clock.advance(world.session_policy.idle)
    assert refused(lambda: world.sessions.check(late, source=SOURCE)) is Reason.SESSION_IDLE
    assert refused(lambda: world.sessions.check(late, source=SOURCE)) is Reason.SESSION_IDLE  # it rests
    world.clock.advance(world.session_policy.absolute)
    assert refused(lambda: world.sessions.check(late, source=SOURCE)) is Reason.SESSION_EXPIRED
    assert refused(lambda: world.sessions.check(late, source=SOURCE)) is Reason.SESSION_UNKNOWN


def test_v7_4_2_disabling_ends_every_session(world: World) -> None:
    account = world.person()
    held = [signed_in(world, account) for _ in range(3)]
    world.accounts.disable(account.id, actor=ANN, source=SOURCE)
    assert not any(alive(world, each) for each in held)
    world.accounts.enable(account.id, actor=ANN, source=SOURCE)
    assert not any(alive(world, each) for each in held)


def test_v7_4_3_a_changed_factor_ends_all_other_sessions(world: World) -> None:
    account = world.person()
    mine, *others = [signed_in(world, account) for _ in range(3)]
    new = world.password_change.change(mine, current=PASSWORD, new=OTHER_PASSWORD, source=SOURCE)
    assert not any(alive(world, each) for each in (mine, *others))
    assert active(world, new).account_id == account.id


def test_v7_4_5_staff_end_the_sessions_of_one_person_or_of_all(world: World) -> None:
    people = [world.person(f"person-{number}") for number in range(3)]
    held = [signed_in(world, person) for person in people]
    world.sessions.end_all(people[0].id, source=SOURCE, actor=ANN)
    assert [alive(world, each) for each in held] == [False, True, True]
    for person in world.account_store.page(after=None, limit=100):
        world.sessions.end_all(person.id, source=SOURCE, actor=ANN)
    assert not any(alive(world, each) for each in held)


def test_v7_5_1_a_session_alone_changes_no_password_and_no_address(world: World) -> None:
    account = world.person()
    with_address(world, account)
    inside = signed_in(world, account)
    before = hash_of(world, account), world.contacts.of_account(account.id)
    wrong = "not the present password"
    for attempt in (
        lambda: world.password_change.change(inside, current=wrong, new=OTHER_PASSWORD, source=SOURCE),
        lambda: world.contacts.add(inside, SECOND, current=wrong, source=SOURCE),
        lambda: world.contacts.remove(inside, before[1][0].id, current=wrong, source=SOURCE),
    ):
        assert refused(attempt) is Reason.WRONG_PASSWORD
    assert (hash_of(world, account), world.contacts.of_account(account.id)) == before
    # Nor with the password, where a second factor was shown on the way in and not lately.
    world.clock.advance(WITHIN)
    for attempt in (
        lambda: world.password_change.change(inside, current=PASSWORD, new=OTHER_PASSWORD, source=SOURCE),
        lambda: world.contacts.add(inside, SECOND, current=PASSWORD, source=SOURCE),
        lambda: world.contacts.remove(inside, before[1][0].id, current=PASSWORD, source=SOURCE),
    ):
        assert refused(attempt) is Reason.STEP_UP_REQUIRED
    assert (hash_of(world, account), world.contacts.of_account(account.id)) == before


def test_au_7_the_current_password_comes_before_what_is_sensitive(world: World) -> None:
    account = world.person()
    inside = signed_in(world, account)
    for current in ("", None, OTHER_PASSWORD):
        with pytest.raises(Denied):
            world.contacts.add(inside, SECOND, current=current, source=SOURCE)
    assert world.contacts.add(inside, SECOND, current=PASSWORD, source=SOURCE).address == SECOND
