"""Attacks on the ways back into an account, by their ids in the abuse cases: on every store."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from portalsec.auth.endings import ENDS, What, Why
from portalsec.auth.invitations import SignUp
from portalsec.auth.sessions import NewSession
from portalsec.auth.signin import Step
from portalsec.errors import Denied, Reason
from portalsec.events import Actor
from tests.abuse.test_auth import MakeWorld, make
from tests.auth.mail import (
    ADDRESS,
    active,
    alive,
    browser_token,
    letters,
    refused,
    reset_token,
    signed_in,
    token_of,
    with_address,
)
from tests.auth.test_endings import known_device
from tests.auth.world import OTHER_PASSWORD, PASSWORD, SOURCE, World, session, together, token

__all__ = ["make"]

STAFF = Actor(type="user", id="staff-1")
NEW = "new@mail.example"
THREADS = 50


@pytest.fixture
def world(make: MakeWorld) -> World:
    return make()


def one_winner(results: list[object], kind: type, *losers: Reason) -> int:
    """The one thread that won; all others were refused for one of the reasons."""
    winners = [number for number, result in enumerate(results) if isinstance(result, kind)]
    rest = [result for result in results if not isinstance(result, kind)]
    assert len(winners) == 1, results
    assert all(isinstance(result, Denied) and result.reason in losers for result in rest), rest
    return winners[0]


def phrases(count: int) -> list[str]:
    return [f"lantern {number} orbit velvet cactus" for number in range(count)]


def opens(world: World, password: str, login: str = "robin") -> bool:
    try:
        world.pending(login, password=password)
    except Denied:
        return False
    return True


def test_rec_01_one_mailed_link_in_fifty_threads(world: World) -> None:
    with_address(world, world.person())
    mailed = reset_token(world)
    results = together(THREADS, lambda _: world.reset.exchange(mailed, source=SOURCE).reveal())
    browser = results[one_winner(results, str, Reason.TOKEN_INVALID)]
    assert world.reset.choose(browser, OTHER_PASSWORD, source=SOURCE).next == ("totp",)


def test_rec_01_one_browsers_token_in_fifty_threads(world: World) -> None:
    account = world.person()
    with_address(world, account)
    browser = browser_token(world)
    words = phrases(THREADS)
    results = together(THREADS, lambda n: world.reset.choose(browser, words[n], source=SOURCE))
    winner = one_winner(results, Step, Reason.TOKEN_INVALID)
    assert opens(world, words[winner])
    assert not opens(world, PASSWORD)


def test_rec_01_two_browsers_with_a_link_each_choose_at_once(world: World) -> None:
    with_address(world, world.person())
    mailed = [reset_token(world), reset_token(world)]
    browsers = [world.reset.exchange(each, source=SOURCE).reveal() for each in mailed]
    words = phrases(2)
    results = together(2, lambda n: world.reset.choose(browsers[n], words[n], source=SOURCE))
    # Each may have ended what the other was to go on with; both never win, and what is stored is of one of them.
    assert all(isinstance(result, Step | Denied) for result in results), results
    chosen = [word for word in words if opens(world, word)]
    assert len(chosen) <= 1
    assert [words[n] for n in range(2) if isinstance(results[n], Step)] in ([], chosen)


def test_atk_35_each_token_of_a_reset_works_once_unedited_and_in_its_time(world: World) -> None:
    with_address(world, world.person())
    use = lambda text: world.reset.choose(text, OTHER_PASSWORD, source=SOURCE)  # noqa: E731
    late = browser_token(world)
    world.clock.advance(timedelta(minutes=15))
    assert refused(lambda: use(late)) is Reason.TOKEN_INVALID
    mailed = reset_token(world)
    browser = world.reset.exchange(mailed, source=SOURCE).reveal()
    assert refused(lambda: world.reset.exchange(mailed, source=SOURCE)) is Reason.TOKEN_INVALID
    for edited in (" " + browser, browser + "A", browser[:-1], browser[1:], browser.swapcase(), mailed, ""):
        assert refused(lambda e=edited: use(e)) is Reason.TOKEN_INVALID
    assert use(browser).next == ("totp",)
    assert refused(lambda: use(browser)) is Reason.TOKEN_INVALID
    assert opens(world, OTHER_PASSWORD)


@pytest.mark.parametrize("what", ["password", "address", "disabled"])
def test_atk_35_what_a_reset_was_begun_for_must_be_as_it_was(world: World, what: str) -> None:
    account = world.person()
    contact = with_address(world, account)
    mailed, browser = reset_token(world), browser_token(world)
    # Past every service, so that nothing was told to drop tokens: the binding alone must hold.
    if what == "password":
        expected = world.account_store.get(account.id).password_hash
        assert world.backing.accounts.set_password(account.id, "$other", expected=expected)
    elif what == "address":
        world.backing.contacts.remove(account.id, contact.id)
        assert world.backing.contacts.add(replace(contact, address="other@mail.example"))
    else:
        world.backing.accounts.set_disabled(account.id, True)
    assert refused(lambda: world.reset.exchange(mailed, source=SOURCE)) is Reason.TOKEN_INVALID
    assert refused(lambda: world.reset.choose(browser, OTHER_PASSWORD, source=SOURCE)) is Reason.TOKEN_INVALID


def test_ses_12_one_confirmation_of_an_address_in_fifty_threads(world: World) -> None:
    account = world.person()
    with_address(world, account)
    contact = world.contacts.add(signed_in(world, account), NEW, current=PASSWORD, source=SOURCE)
    mailed = token_of(world)
    results = together(THREADS, lambda _: world.contacts.confirm(mailed, source=SOURCE))
    one_winner(results, type(None), Reason.TOKEN_INVALID)
    held = world.contacts.of_account(account.id)
    assert {each.address for each in held if each.verified_at} == {ADDRESS, NEW}
    assert contact.id in {each.id for each in held}


def test_ses_12_two_addresses_confirmed_at_once_are_the_ones_that_were_shown(world: World) -> None:
    account = world.person()
    with_address(world, account)
    mine = signed_in(world, account)
    mailed = []
    for address in (NEW, "other@mail.example"):
        world.contacts.add(mine, address, current=PASSWORD, source=SOURCE)
        mailed.append(token_of(world))
    results = together(2, lambda n: world.contacts.confirm(mailed[n], source=SOURCE))
    assert all(result is None or isinstance(result, Denied) for result in results), results
    verified = {each.address for each in world.contacts.of_account(account.id) if each.verified_at}
    wanted = {
        address
        for address, result in zip((NEW, "other@mail.example"), results, strict=True)
        if result is None
    }
    assert verified == {ADDRESS} | wanted


def test_one_registration_in_fifty_threads(world: World) -> None:
    world.registration.request(NEW, source=SOURCE)
    browser = world.registration.exchange(token_of(world), source=SOURCE).reveal()
    results = together(
        THREADS,
        lambda n: world.registration.complete(
            browser, login=f"newcomer{n}", password=PASSWORD, source=SOURCE
        ),
    )
    winner = one_winner(results, SignUp, Reason.TOKEN_INVALID)
    assert [each.account_id for each in world.contact_store.by_address(NEW)] == [results[winner].account_id]


def test_eight_registrations_for_one_name_make_one_account(world: World) -> None:
    browsers = []
    for number in range(8):
        world.registration.request(f"new{number}@mail.example", source=SOURCE)
        browsers.append(world.registration.exchange(token_of(world), source=SOURCE).reveal())
    results = together(
        8,
        lambda n: world.registration.complete(
            browsers[n], login="newcomer", password=PASSWORD, source=SOURCE
        ),
    )
    winner = one_winner(results, SignUp, Reason.LOGIN_TAKEN)
    account = world.account_store.by_login("newcomer")
    assert [each.address for each in world.contacts.of_account(account.id)] == [f"new{winner}@mail.example"]


def test_atk_14_a_change_in_one_of_three_sessions(world: World) -> None:
    account = world.person()
    mine, *others = [signed_in(world, account) for _ in range(3)]
    world.calls.clear()
    kept = active(
        world, world.password_change.change(mine, current=PASSWORD, new=OTHER_PASSWORD, source=SOURCE)
    )
    assert not any(alive(world, each) for each in (mine, *others))
    for dead in (mine, *others):
        assert world.session_store.load(dead.digest) is None
    assert (kept.created_at, kept.record.epoch) == (mine.created_at, mine.record.epoch + 2)
    assert opens(world, OTHER_PASSWORD)
    assert not opens(world, PASSWORD)


def test_ses_01_changes_at_once_leave_one_password_and_no_strangers_session(world: World) -> None:
    account = world.person()
    sessions = [signed_in(world, account) for _ in range(8)]
    words = phrases(8)
    results = together(
        8,
        lambda n: world.password_change.change(sessions[n], current=PASSWORD, new=words[n], source=SOURCE),
    )
    assert all(isinstance(result, NewSession | Denied) for result in results), results
    winners = [n for n in range(8) if isinstance(results[n], NewSession)]
    assert len(winners) <= 1
    assert len(world.sessions.of_account(account.id)) <= 1
    assert not any(alive(world, each) for each in sessions if winners)
    right = [n for n in range(8) if opens(world, words[n])]
    assert not winners or winners == right


def test_one_forced_change_in_fifty_threads(world: World) -> None:
    account = world.person()
    world.password_change.require(account.id, "breached", actor=STAFF, source=SOURCE)
    world.clock.advance(timedelta(seconds=60))
    step = world.sign_in.submit_totp(world.pending(), world.code(account), source=SOURCE)
    assert step.next == ("new_password",)
    pending, words = token(step.pending), phrases(THREADS)
    results = together(
        THREADS, lambda n: world.password_change.submit_forced(pending, words[n], source=SOURCE)
    )
    winner = one_winner(results, Step, Reason.FLOW_UNKNOWN)
    assert session(results[winner])
    assert len(world.sessions.of_account(account.id)) == 1
    assert opens(world, words[winner])


def test_a_reset_and_a_sign_in_with_the_old_password_at_once(world: World) -> None:
    account = world.person()
    with_address(world, account)
    for number in range(5):
        old = PASSWORD if number == 0 else phrases(5)[number - 1]
        browser = browser_token(world)
        world.clock.advance(timedelta(seconds=60))
        code = world.code(account)

        def work(
            which: int, browser: str = browser, old: str = old, code: str = code, n: int = number
        ) -> object:
            if which == 0:
                return world.reset.choose(browser, phrases(5)[n], source=SOURCE)
            return world.sign_in.submit_totp(world.pending(password=old), code, source=SOURCE)

        results = together(2, work)
        assert isinstance(results[0], Step), results
        # Whatever the old password opened before the reset was done is dead when it is done.
        signed = results[1]
        if isinstance(signed, Step):
            assert refused(
                lambda signed=signed: world.sessions.check(session(signed).token.reveal(), source=SOURCE)
            ) in (Reason.SESSION_UNKNOWN, Reason.SESSION_REVOKED)
        assert world.sessions.of_account(account.id) == ()


@pytest.mark.parametrize("why", list(Why))
def test_ses_01_every_reason_ends_the_same_on_every_store(world: World, why: Why) -> None:
    account = world.person()
    with_address(world, account)
    mailed = reset_token(world)
    mine = signed_in(world, account)
    known_device(world, account)
    kept = world.endings.apply(account.id, why, actor=STAFF, source=SOURCE, keep=mine.digest)
    assert kept is not None
    assert not alive(world, mine)
    assert active(world, kept).created_at == mine.created_at
    assert refused(lambda: world.reset.exchange(mailed, source=SOURCE)) is Reason.TOKEN_INVALID
    assert bool(world.device_store.of_account(account.id)) is (What.DEVICES not in ENDS[why])
    assert letters(world) == []
