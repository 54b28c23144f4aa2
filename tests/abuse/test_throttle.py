"""Guessing under attack, by its ids in the abuse cases: known devices, the hard cap, spraying, stuffing, equal work."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from statistics import quantiles
from time import perf_counter
from typing import Any

import pytest

from portalsec._encoding import new_token
from portalsec.auth.budgets import DetectionPolicy, Lane, ThrottlePolicy
from portalsec.auth.endings import Why
from portalsec.auth.ports import Account
from portalsec.auth.signin import Step
from portalsec.auth.totp import TotpPolicy
from portalsec.errors import Denied, Reason, StoreError
from portalsec.events import ANONYMOUS, Event, Source
from portalsec.web import status_of
from tests.abuse.test_auth import (
    ADMIN,
    Hashes,
    MakeWorld,
    hashes,
    make,
    refused,
    start,
    submit,
    world,
)
from tests.auth.world import OTHER_PASSWORD, PASSWORD, SOURCE, World, session, tight, together, token
from tests.measured import SOAK, Measure

__all__ = ["hashes", "make", "world"]  # fixtures

FULL = os.environ.get(SOAK) == "1"
STRANGER = Source(address="198.51.100.1", user_agent="a script")


def guess(
    world: World, login: str = "robin", password: str = OTHER_PASSWORD, source: Source = STRANGER
) -> Reason:
    return refused(lambda: start(world, login, password, source=source))


def complete(world: World, account: Account, device: object = None) -> Step:
    pending = token(start(world, account.login, device=device).pending)
    done = world.sign_in.submit_totp(pending, world.code(account), source=SOURCE, device=device)
    world.clock.advance(timedelta(seconds=30))
    return done


# -- a stranger and the owner -------------------------------------------------------------------------------------


def test_loc_12_atk_08_a_thousand_wrong_passwords_do_not_keep_the_owners_device_out(
    make: MakeWorld, request: pytest.FixtureRequest
) -> None:
    world = make()
    account = world.person()
    device = token(complete(world, account).device)
    # The name is locked after 25: on a database the rest is the same refusal again and again.
    for number in range(1000 if "memory" in request.node.name or FULL else 150):
        guess(world, source=Source(address=f"2001:db8:{number:x}::1"))
    assert guess(world, password=PASSWORD) is Reason.ACCOUNT_LOCKED
    done = complete(world, account, device)
    session(done)
    assert token(done.device) != device


def test_atk_08_a_new_device_gets_in_within_the_documented_hour(make: MakeWorld) -> None:
    world = make()
    account = world.person()
    for number in range(3):  # three locks in a row: the longest there is
        for attempt in range(25):
            guess(world, source=Source(address=f"2001:db8:{number:x}:{attempt:x}::1"))
        if number < 2:
            world.clock.advance(timedelta(minutes=15 * 2**number))
    assert refused(lambda: start(world)) is Reason.ACCOUNT_LOCKED
    world.clock.advance(timedelta(hours=1))
    session(complete(world, account))


def test_atk_08_an_unlock_by_mail_helps_at_once(make: MakeWorld) -> None:
    world = make(lanes=replace(ThrottlePolicy(), account_address=Lane(
        name="account_address", limit=99, window=timedelta(minutes=15))))  # fmt: skip
    account = world.person()
    for day in range(10):
        for _ in range(20):
            guess(world)
        world.clock.advance(timedelta(days=2 + day))
    assert refused(lambda: start(world)) is Reason.ACCOUNT_LOCKED
    world.throttle.clear_account(login="robin", account_id=account.id)
    session(complete(world, account))


def test_atk_04_a_hundred_failures_in_a_row_and_no_more_are_tested(make: MakeWorld, hashes: Hashes) -> None:
    world = make()
    account = world.person()
    device = token(complete(world, account).device)
    hashes.clear()
    for day in range(30):
        for number in range(10):
            source = Source(address=f"198.51.{number}.1")
            guess(world, source=source)
            refused(lambda s=source: start(world, password=OTHER_PASSWORD, device=device, source=s))
        world.clock.advance(timedelta(days=1))
        if day % 5 == 0:
            world.wire()  # the process starts anew
    assert hashes.tested == 80  # 70 by strangers, and 10 with the device, which is forgotten then
    assert not world.devices.of_account(account.id)
    assert refused(lambda: start(world)) is Reason.ACCOUNT_LOCKED
    assert refused(lambda: start(world, device=device)) is Reason.ACCOUNT_LOCKED
    world.throttle.clear_account(login="robin", account_id=account.id)
    session(complete(world, account))


def test_atk_05_nothing_but_ones_own_sign_in_gives_tries_back(make: MakeWorld, hashes: Hashes) -> None:
    world = make(lanes=tight(account=5))
    world.person()
    other = world.person("mallory")
    hashes.clear()
    tested = 0
    for number in range(12):
        source = Source(address=f"198.51.100.{number}", user_agent=f"browser {number}")
        hashes.clear()
        guess(world, source=source)
        tested += hashes.tested
        submit(world, world.pending("mallory"), world.code(other))  # success on another account
        refused(lambda: submit(world, world.pending("mallory"), world.wrong_code(other)))  # another factor
        world.clock.advance(timedelta(seconds=30))
    assert tested == 5


# -- a device's cookie in the wrong hands -------------------------------------------------------------------------


def test_atk_48_a_stolen_devices_cookie_is_a_budget_and_no_factor(make: MakeWorld) -> None:
    world = make(lanes=tight(device=3))
    account, other = world.person(), world.person("mallory")
    stolen = token(complete(world, account).device)
    for pending in (stolen, None):
        assert refused(lambda p=pending: submit(world, p, world.code(account))) is Reason.FLOW_UNKNOWN
    assert refused(lambda: world.sessions.check(stolen, source=SOURCE)) is Reason.SESSION_UNKNOWN
    assert start(world, device=stolen).next == ("totp",)  # the second factor is asked for all the same
    # Bound to its account: for another it is nothing.
    world.throttle.clear_account(login="mallory", account_id=other.id)
    for _ in range(4):
        assert refused(
            lambda: start(world, "mallory", OTHER_PASSWORD, device=stolen)
        ) is Reason.WRONG_PASSWORD  # fmt: skip
    world.watch.told.clear()
    session(submit(world, token(start(world, "mallory", device=stolen).pending), world.code(other)))
    assert world.watch.told[-1][:3] == ("completed", other.id, True)


def test_atk_48_a_copy_that_is_used_after_the_owner_ends_the_device(make: MakeWorld) -> None:
    world = make(lanes=tight(account=1))
    account = world.person()
    copied = token(complete(world, account).device)
    device = token(complete(world, account, copied).device)  # the owner signs in: the secret rotates
    device = token(complete(world, account, device).device)  # and is used
    assert refused(lambda: start(world, password=OTHER_PASSWORD, device=copied)) is Reason.WRONG_PASSWORD
    assert world.events.named(Event.AUTH_DEVICE_REUSED)
    assert [notice.kind for notice in world.notices.of_account(account.id)] == ["device_reused"]
    assert not world.devices.of_account(account.id)
    assert (
        refused(lambda: start(world, device=device)) is Reason.ACCOUNT_LOCKED
    )  # a stranger like any other now


def test_atk_48_one_copied_cookie_does_not_use_up_what_all_devices_share(make: MakeWorld) -> None:
    world = make()
    account = world.person()
    copied, phone = (token(complete(world, account).device) for _ in range(2))
    for _ in range(30):
        refused(lambda: start(world, password=OTHER_PASSWORD, device=copied))
        world.clock.advance(timedelta(hours=2))
    assert len(world.devices.of_account(account.id)) == 1
    assert [event.actor.type for event in world.events.named(Event.AUTH_DEVICE_REMOVED)] == ["system"]
    assert [notice.kind for notice in world.notices.of_account(account.id)] == ["device_removed"]
    session(complete(world, account, phone))


def test_atk_48_neighbours_do_not_keep_a_known_device_out(make: MakeWorld) -> None:
    world = make(lanes=tight(address=3))
    account, other = world.person(), world.person("kim")
    device = token(complete(world, account).device)
    for number in range(5):
        refused(lambda n=number: start(world, f"nobody-{n}", OTHER_PASSWORD))
    session(complete(world, account, device))
    seen = set()
    for login, cookie in (
        ("robin", new_token()),
        ("nobody", new_token()),
        ("kim", device),
        ("nobody", device),
    ):
        world.calls.clear()
        assert refused(lambda name=login, c=cookie: start(world, name, device=c)) is Reason.THROTTLED
        seen.add(tuple(world.calls))
    assert len(seen) == 1
    assert refused(lambda: start(world, other.login)) is Reason.THROTTLED


def test_loc_12_a_lost_answer_and_a_failing_store_leave_the_owners_device_known(make: MakeWorld) -> None:
    world = make()
    account = world.person()
    device = token(complete(world, account).device)
    complete(world, account, device)  # the answer is lost
    completed = world.watch.completed

    def down(*args: object, **kwargs: object) -> None:
        raise StoreError("down")

    world.watch.completed = down  # type: ignore[method-assign]
    with pytest.raises(StoreError):
        complete(world, account, device)
    world.watch.completed = completed  # type: ignore[method-assign]
    world.clock.advance(timedelta(seconds=30))
    session(complete(world, account, device))
    assert not world.events.named(Event.AUTH_DEVICE_REUSED)
    assert [told[2] for told in world.watch.told if told[0] == "completed"] == [True, False, False]


def test_atk_48_a_copy_on_a_shared_computer_is_told_to_the_owner(make: MakeWorld) -> None:
    world = make()
    account = world.person()
    copied = token(complete(world, account).device)
    submit(world, token(start(world, device=copied, shared=True).pending), world.code(account))
    assert world.watch.told[-1][:3] == ("completed", account.id, True)


def test_ses_a_device_of_a_sign_in_that_was_ended_meanwhile_is_not_known(make: MakeWorld) -> None:
    world = make()
    account = world.person()
    pending, remember = world.pending(), world.devices.remember

    def ended_first(*args: Any, **kwargs: Any) -> Any:
        world.endings.apply(account.id, Why.DISAVOWED, actor=ANONYMOUS, source=SOURCE)
        return remember(*args, **kwargs)

    world.devices.remember = ended_first  # type: ignore[method-assign]
    assert submit(world, pending, world.code(account)).device is None
    assert not world.devices.of_account(account.id)


def test_atk_09_a_hundred_wrong_codes_in_a_row_and_a_right_one_opens_nothing(make: MakeWorld) -> None:
    """Three codes of a million are right at a time: 100 tries are one chance in 3,333, whatever time they take."""
    world = make(lanes=tight())
    world.totp.policy = TotpPolicy(cap=4)
    account = world.person()
    faces = set()
    for _ in range(2):
        pending = world.pending()
        for _ in range(2):
            with pytest.raises(Denied) as refusal:
                submit(world, pending, world.wrong_code(account))
            faces.add((str(refusal.value), refusal.value.reason, refusal.value.retry_after))
        world.clock.advance(timedelta(days=2))
        world.throttle.clear_account(login="robin", account_id=account.id)  # as a mailed unlock does
    assert len(faces) == 1
    # It is dead for good, and its owner has nothing else: no way on, and none round it either.
    assert refused(lambda: world.pending()) is Reason.EVIDENCE_MISSING
    assert [event.name for event in world.events.named(Event.AUTH_FACTOR_DISABLED)] == [
        "auth.factor_disabled"
    ]
    for held in world.totp_store.devices(account.id):
        world.totp_store.remove(account.id, held.id)  # as the support desk does
    pending = world.pending()
    enrolment = world.sign_in.begin_totp_enrolment(pending, source=SOURCE)
    world.seeds[account.id] = enrolment.secret.reveal()
    session(world.sign_in.confirm_totp_enrolment(pending, world.code(account), source=SOURCE))
    world.clock.advance(timedelta(seconds=30))
    session(complete(world, account))  # another authenticator begins anew


def test_atk_16_the_failure_that_locks_is_the_same_work_for_a_name_of_nobody(make: MakeWorld) -> None:
    world = make(
        lanes=replace(ThrottlePolicy(), address=Lane(name="a", limit=9999, window=timedelta(hours=1)))
    )
    world.person()
    for number in range(95):
        seen = set()
        for name in ("robin", "nobody"):
            world.calls.clear()
            before = len(world.watch.told)
            guess(world, name, source=Source(address=f"10.0.{number % 40}.1"))
            seen.add((tuple(world.calls), len(world.watch.told) - before))
        assert len(seen) == 1, number
        if number % 19 == 18:
            world.clock.advance(timedelta(minutes=15, seconds=1))
    assert sum(told[0] == "locked" for told in world.watch.told) >= 2


def test_two_nurses_who_share_a_browser_are_known_in_it_and_told_of_it_once(make: MakeWorld) -> None:
    world = make(lanes=tight(account=1))
    nurses = [world.person(), world.person("kim")]
    cookie = None
    for _ in range(3):
        for nurse in nurses:
            cookie = token(complete(world, nurse, cookie).device)
    new = [(told[1], told[2]) for told in world.watch.told if told[0] == "completed"]
    assert new == [(nurse.id, turn == 0) for turn in range(3) for nurse in nurses]
    for nurse in nurses:  # each has a budget that strangers do not use up
        guess(world, nurse.login)
        cookie = token(complete(world, nurse, cookie).device)


def test_a_browser_that_became_anothers_meanwhile_keeps_what_both_hold(make: MakeWorld) -> None:
    """One begins, the other signs in, the first one completes: the cookie is read when it is written."""
    world = make()
    mother, child = world.person(), world.person("kim")
    cookie = token(complete(world, child, token(complete(world, mother).device)).device)
    pending = token(start(world, "robin", device=cookie).pending)
    cookie = token(complete(world, child, cookie).device)
    done = world.sign_in.submit_totp(pending, world.code(mother), source=SOURCE, device=cookie)
    world.clock.advance(timedelta(seconds=30))
    complete(world, child, token(done.device))
    assert [told[2] for told in world.watch.told if told[0] == "completed"][2:] == [False] * 3
    assert not world.events.named(Event.AUTH_DEVICE_REUSED)


def test_a_shared_computer_is_not_remembered_and_the_owner_is_told_all_the_same(make: MakeWorld) -> None:
    world = make()
    account = world.person()
    done = submit(world, token(start(world, shared=True).pending), world.code(account))
    session(done)
    assert done.device is None
    assert not world.devices.of_account(account.id)
    assert world.watch.told[-1] == ("completed", account.id, True, "notice-1")


def test_the_notice_of_an_unfinished_sign_in_is_withdrawn_by_this_one_alone(make: MakeWorld) -> None:
    world = make()
    account = world.person()
    first, second = world.pending(), world.pending()
    assert first != second
    submit(world, second, world.code(account))
    assert world.watch.told == [
        ("pending", account.id),
        ("pending", account.id),
        ("completed", account.id, True, "notice-2"),
    ]


def test_a_sign_in_takes_the_place_of_one_that_the_same_browser_left(make: MakeWorld) -> None:
    world = make()
    account, other = world.person(), world.person("kim")
    pending = world.pending()
    for _ in range(2):  # back, and once more
        pending = token(start(world, replaces=pending).pending)
    submit(world, pending, world.code(account))
    assert world.watch.told[-1] == ("completed", account.id, True, "notice-3", "notice-1", "notice-2")
    # Not by another account's sign-in: its owner may be a thief of this one's password.
    left = world.pending()
    submit(world, token(start(world, "kim", replaces=left).pending), world.code(other))
    assert world.watch.told[-1] == ("completed", other.id, True, "notice-6")


# -- many names ---------------------------------------------------------------------------------------------------


SPRAYED = "Spring is coming 2026"


def test_atk_02_spraying_trips_and_locks_nobody_out(
    make: MakeWorld, hashes: Hashes, request: pytest.FixtureRequest, measure: Measure
) -> None:
    """One password at many names, from one address and then from one for every ten of them."""
    world, memory = make(), "memory" in request.node.name
    account = world.person()
    count = (5000 if FULL else 200) if memory else 100
    if memory:  # elsewhere names of nobody do: what trips is counted before a name is looked up
        for number in range(count):
            world.person(f"name{number}", enrolled=False)
    hashes.clear()
    wrong = Reason.WRONG_PASSWORD if memory else Reason.UNKNOWN_ACCOUNT
    one = Counter(guess(world, f"name{number}", SPRAYED) for number in range(count))
    assert one[wrong] == 25 and set(one) <= {wrong, Reason.PASSWORD_SPRAYED, Reason.THROTTLED}
    many = Counter(
        guess(world, f"name{number}", SPRAYED, Source(address=f"2001:db8:{number // 10:x}::1"))
        for number in range(count)
    )
    # At the names where it was tried before, once more tells nothing new; each address may try those it has left.
    assert many == {wrong: 25, Reason.PASSWORD_SPRAYED: count - 25}
    assert hashes.tested == (50 if memory else 0)
    told = [event.details["pattern"] for event in world.events.named(Event.AUTH_ATTACK_SUSPECTED)]
    assert told.count("one_password_at_many_accounts") == 1
    hashes.clear()
    elsewhere = Source(address="203.0.113.9")
    assert guess(world, "robin", SPRAYED, elsewhere) is Reason.PASSWORD_SPRAYED
    assert hashes.tested == 0
    session(complete(world, account))
    for number in range(0, count, count // 10) if memory else ():  # nor is any of those locked
        token(start(world, f"name{number}").pending)
    assert not [each for each in world.watch.told if each[0] == "locked"]
    if memory:
        measure("one password at many accounts (memory): how many", count, "accounts")
        measure("one password at many accounts (memory): at how many it was tested", one[wrong], "accounts")


def test_atk_01_stuffing_is_told_while_it_goes_on_and_opens_nothing(measure: Measure) -> None:
    """Lists of names with passwords, of which one in a hundred is right; ten of them from each address."""
    pairs, every = 20_000 if FULL else 500, 250
    failures = Lane(name="failures", limit=1000 if FULL else 300, window=timedelta(minutes=10))
    world = World(lanes=replace(tight(), detection=DetectionPolicy(failures=failures)))
    account = world.person()
    for number in range(0, pairs, 100):
        world.person(f"name{number}", password=f"lantern {number} orbit velvet cactus")
    began, idle, busy = world.clock(), [], []
    for _ in range(pairs // every):
        idle.append(timed(world, account))
    world.events.clear()
    for number in range(pairs):
        source = Source(address=f"2001:db8:{number // 10:x}::1")
        login, password = f"name{number}", f"lantern {number} orbit velvet cactus"
        if number % 100 == 0:
            assert start(world, login, password, source=source).session is None
        else:
            assert guess(world, login, password, source) is Reason.UNKNOWN_ACCOUNT
        if number % every == every - 1:
            busy.append(timed(world, account))
    told = [event.details["pattern"] for event in world.events.named(Event.AUTH_ATTACK_SUSPECTED)]
    windows = (world.clock() - began) // failures.window + 1
    assert set(told) == {"many_failures"} and len(told) <= windows
    assert len(world.events.named(Event.AUTH_LOGIN_FAILED)) == pairs - pairs // 100
    assert len(world.sessions.of_account(account.id)) == len(idle) + len(busy)
    holders = [world.account_store.by_login(f"name{number}") for number in range(0, pairs, 100)]
    opened = sum(len(world.sessions.of_account(each.id)) for each in holders)
    assert (len(holders), opened) == (pairs // 100, 0)
    what = "a list of names with passwords, one in a hundred right (memory)"
    measure(f"{what}: how many", pairs, "pairs")
    measure(f"{what}: sessions that they opened", opened, "sessions")
    ratio = quantiles(busy, n=20)[-1] / quantiles(idle, n=20)[-1]
    measure(f"{what}: 95th percentile of the owner's sign-ins meanwhile over before", ratio, "")


def timed(world: World, account: Account) -> float:
    """Seconds that the owner's sign-in takes."""
    began = perf_counter()
    session(complete(world, account))
    return perf_counter() - began


def test_atk_01_many_names_from_one_prefix_are_told_once_a_window(make: MakeWorld) -> None:
    world = make()
    for number in range(30):
        guess(world, f"name{number}", f"password of {number}")
    for _ in range(5):
        guess(world, "name0", "password of 0")
    (event,) = world.events.named(Event.AUTH_ATTACK_SUSPECTED)
    assert event.details == {"pattern": "many_accounts_from_one_prefix", "count": 20, "seconds": 3600}
    assert event.source == STRANGER
    world.clock.advance(timedelta(hours=1))
    for number in range(30):
        guess(world, f"name{number}", f"password of {number}")
    assert len(world.events.named(Event.AUTH_ATTACK_SUSPECTED)) == 2


# -- the same answer for the same work ----------------------------------------------------------------------------


def prepared(world: World, name: str) -> None:
    """Accounts named for what they are; `locked` is locked, and from another address than the test's."""
    for login in ("known", "disabled", "locked"):
        account = world.person(login)
        if login == "disabled":
            world.accounts.disable(account.id, actor=ADMIN, source=SOURCE)
    world.account_store.create(Account(id="p", login="passwordless", password_hash=None), now=world.clock())
    world.account_store.create(Account(id="d", login="damaged", password_hash="nonsense"), now=world.clock())
    for number in range(3):
        guess(world, "locked", source=Source(address=f"203.0.{number}.1"))


KINDS = ("unknown", "known", "disabled", "locked", "passwordless", "damaged")


@pytest.mark.parametrize("password", [OTHER_PASSWORD, PASSWORD])
def test_atk_16_17_every_refusal_is_the_same_work_and_the_same_face(
    make: MakeWorld, hashes: Hashes, password: str
) -> None:
    world = make(lanes=tight(account=3))
    prepared(world, "locked")
    work, faces, reasons = {}, set(), set()
    for login in KINDS:
        if login == "known" and password == PASSWORD:
            continue
        hashes.clear()
        world.calls.clear()
        recorded = len(world.events)
        with pytest.raises(Denied) as refusal:
            start(world, login, password)
        work[login] = (tuple(world.calls), len(hashes), len(world.events) - recorded)
        denied = refusal.value
        faces.add((type(denied), str(denied), denied.retry_after, status_of(denied)))
        reasons.add(denied.reason)
    assert len(set(work.values())) == 1, work
    assert len(faces) == 1
    assert faces.pop()[3] == 401
    assert Reason.ACCOUNT_LOCKED in reasons
    assert len(reasons) >= 3


def test_atk_41_loc_11_a_throttle_that_is_down_opens_nothing_and_counts_nothing() -> None:
    for where in ("take", "give_back", "clear"):
        world = World(lanes=tight(account=2))
        account = world.person()
        world.throttle_store.failing[where] = StoreError("down")
        for _ in range(5 if where == "take" else 1):
            with pytest.raises(StoreError):
                complete(world, account)
        assert not world.sessions.of_account(account.id)
        assert {event.details["control"] for event in world.events.named(Event.SYSTEM_CONTROL_FAILED)} == {
            "throttle"
        }
        del world.throttle_store.failing[where]
        if where == "take":
            session(complete(world, account))  # none of that was the visitor's failure


def test_loc_11_a_portal_may_choose_to_go_on_without_its_throttle() -> None:
    world = World(lanes=replace(tight(), store_down="allow"))
    account = world.person()
    for verb in ("take", "give_back", "clear"):
        world.throttle_store.failing[verb] = StoreError("down")
    session(complete(world, account))
    assert guess(world) is Reason.WRONG_PASSWORD
    assert world.events.named(Event.SYSTEM_CONTROL_FAILED)


@pytest.mark.parametrize("where", ["by_login", "get"])
def test_loc_11_a_read_that_fails_after_the_budget_counts_nothing(make: MakeWorld, where: str) -> None:
    world = make(lanes=tight(address=1))
    world.account_store.failing[where] = StoreError("down")
    for _ in range(3):
        with pytest.raises(StoreError):
            start(world)
    del world.account_store.failing[where]
    assert guess(world, "nobody", source=SOURCE) is Reason.UNKNOWN_ACCOUNT


def test_atk_03_sixty_four_threads_test_five_passwords_on_every_store(
    make: MakeWorld, hashes: Hashes
) -> None:
    world = make(lanes=tight(account=5))
    world.person()
    hashes.clear()
    results = together(64, lambda _: start(world, password=OTHER_PASSWORD))
    assert hashes.tested == 5
    assert sum(result.reason is Reason.WRONG_PASSWORD for result in results) == 5
