"""The vendored standards' rows on guessing, shown one by one: each test is named by the row's id."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import pytest

from portalsec.auth.budgets import NIST_CAP, ThrottlePolicy
from portalsec.auth.ports import Account
from portalsec.auth.signin import SignInPolicy
from portalsec.errors import Denied, Reason
from portalsec.events import Actor, Event, Outcome, Source
from portalsec.web import status_of
from tests.auth.mail import signed_in, token_of, with_address
from tests.auth.mailing import THIEF, Mailing
from tests.auth.world import OTHER_PASSWORD, PASSWORD, SOURCE, World, session, token
from tests.support import ROOT

STAFF = Actor(type="user", id="staff-1")


def strangers() -> Iterator[Source]:
    number = 0
    while True:
        number += 1
        yield Source(address=f"2001:db8:{number // 65536:x}:{number % 65536:x}::1")


def guess(
    world: World, source: Source, login: str = "robin", password: str = OTHER_PASSWORD, **known: object
) -> Reason:
    with pytest.raises(Denied) as refusal:
        world.sign_in.start(login, password, source=source, **known)
    return refusal.value.reason


def opens(world: World, source: Source, password: str = PASSWORD, **known: object) -> bool:
    try:
        world.sign_in.start("robin", password, source=source, **known)
    except Denied:
        return False
    return True


def guessed(world: World, days: int, each_day: int, sources: Iterator[Source]) -> int:
    """How many of these guesses were looked at."""
    seen: Counter[Reason] = Counter()
    for _ in range(days):
        for _ in range(each_day):
            seen[guess(world, next(sources))] += 1
        world.clock.advance(timedelta(days=1))
    assert set(seen) <= {Reason.WRONG_PASSWORD, Reason.ACCOUNT_LOCKED}
    return seen[Reason.WRONG_PASSWORD]


@pytest.fixture
def world() -> World:
    return World()


# -- NIST SP 800-63B-4 ------------------------------------------------------------------------------------------


def test_3_2_2_a_at_most_100_in_a_row_and_then_it_is_off_until_its_owner_puts_it_on_again(
    world: World,
) -> None:
    account, sources = world.person(), strangers()
    with_address(world, account)
    assert guessed(world, 30, 10, sources) <= NIST_CAP == 100
    world.clock.advance(timedelta(days=365))
    world.wire()  # a restart
    assert not opens(world, next(sources))
    world.unlock.request("robin", source=SOURCE)
    world.unlock.confirm(token_of(world), source=SOURCE)
    assert opens(world, next(sources))


def test_3_2_2_b_every_authenticator_of_the_sign_in_is_off_with_it(world: World) -> None:
    account, sources = world.person(), strangers()
    step = world.sign_in.submit_totp(world.pending(), world.code(account), source=SOURCE)
    device = token(step.device)
    world.clock.advance(timedelta(seconds=60))
    guessed(world, 30, 10, sources)
    for _ in range(10):
        for _ in range(10):
            guess(world, next(sources), device=device)
        world.clock.advance(timedelta(days=1))
    # Neither a new browser nor the known one comes as far as the code, which is asked for after the password alone.
    assert not opens(world, next(sources))
    assert not opens(world, next(sources), device=device)


def test_3_2_2_c_waiting_grows_from_a_quarter_of_an_hour_to_one_and_a_known_device_waits_for_nobody(
    world: World,
) -> None:
    account, sources = world.person(), strangers()
    step = world.sign_in.submit_totp(world.pending(), world.code(account), source=SOURCE)
    device = token(step.device)
    for minutes in (15, 30, 60):
        for _ in range(25):
            guess(world, next(sources))
        world.clock.advance(timedelta(minutes=minutes) - timedelta(seconds=1))
        assert not opens(world, next(sources)), minutes
        assert opens(world, next(sources), device=device)
        world.clock.advance(timedelta(seconds=1))
    assert opens(world, next(sources))


def test_3_2_2_d_a_success_forgets_the_failures_before_it(world: World) -> None:
    account, sources = world.person(), strangers()
    tested = 0
    for _ in range(3):
        tested += guessed(world, 6, 10, sources)
        signed_in(world, account)
    assert tested == 180


def test_3_1_1_2_rl_failures_are_limited_for_each_account_wherever_they_come_from(world: World) -> None:
    world.person()
    seen = [guess(world, source) for source, _ in zip(strangers(), range(60), strict=False)]
    assert seen == [Reason.WRONG_PASSWORD] * 20 + [Reason.ACCOUNT_LOCKED] * 40


# -- OWASP ASVS 5.0 ---------------------------------------------------------------------------------------------


def test_v6_1_1_the_page_on_throttling_says_what_the_policy_is() -> None:
    page = (ROOT / "docs" / "explanation" / "throttling.md").read_text("utf-8")
    policy = ThrottlePolicy()
    told = {
        "one address prefix, all names": policy.address,
        "one name, from one address prefix": policy.account_address,
        "one name, from everywhere": policy.account,
        "a known device of the account": policy.device,
        "one password, at different names": policy.candidate,
    }
    words = {timedelta(minutes=15): "15 minutes", timedelta(hours=1): "an hour"}
    for start, lane in told.items():
        line = re.search(rf"^\| {re.escape(start)}[^|]*\| ([^|]*)\|", page, re.MULTILINE)
        assert line, start
        assert line[1].startswith(str(lane.limit)), (start, line[1])
        assert words[lane.window] in line[1], (start, line[1])
    assert f"| {policy.cap}, of which" in page
    assert "How the owner gets in" in page


def test_v6_3_1_brute_force_and_stuffing_meet_what_the_page_says(world: World) -> None:
    for number in range(30):
        world.person(f"person-{number}", enrolled=False)
    # Stuffing: many names from one address are the visitor's own matter, and the log hears of it.
    seen: Counter[Reason] = Counter()
    for number in range(110):
        seen[guess(world, THIEF, f"name-{number}", f"password number {number} of a list")] += 1
    assert seen[Reason.UNKNOWN_ACCOUNT] == 100
    assert seen[Reason.THROTTLED] == 10
    # Spraying: one password over many names, each from elsewhere.
    sprayed = [
        guess(world, source, f"person-{n}")
        for n, source in zip(range(30), strangers(), strict=False)
    ]  # fmt: skip
    assert sprayed == [Reason.WRONG_PASSWORD] * 25 + [Reason.PASSWORD_SPRAYED] * 5
    kinds = {event.details["pattern"] for event in world.events.named(Event.AUTH_ATTACK_SUSPECTED)}
    assert len(kinds) == 2


def unfinished(m: Mailing) -> Account:
    robin = m.person()
    m.portal.totp.begin(robin.id, account_name="robin")
    device = m.portal.stores.totp.devices(robin.id)[0]
    assert m.portal.stores.totp.confirm(robin.id, device.id, 1)
    return robin


def test_v6_3_5_the_owner_hears_of_a_new_place_a_half_finished_sign_in_and_of_guessing() -> None:
    with Mailing() as m:
        m.person()
        m.session(source=THIEF)
        (mail,) = m.deliver()
        assert mail.subject.startswith("New sign-in")
    with Mailing(sign_in=SignInPolicy()) as m:
        unfinished(m)
        assert m.portal.sign_in.start("robin", PASSWORD, source=THIEF).next == ("totp",)
        assert m.deliver() == []
        m.clock.advance(timedelta(minutes=5))
        assert len(m.deliver()) == 1
    with Mailing() as m:
        m.person()
        for source, _ in zip(strangers(), range(25), strict=False):
            with pytest.raises(Denied):
                m.portal.sign_in.start("robin", OTHER_PASSWORD, source=source)
        (mail,) = m.deliver()
        assert mail.subject.startswith("Many wrong passwords")


def test_v6_3_8_known_and_unknown_get_one_answer_and_cost_the_same(world: World) -> None:
    world.person("robin", enrolled=False)
    disabled = world.person("sam", enrolled=False)
    world.accounts.disable(disabled.id, actor=STAFF, source=SOURCE)
    locked = world.person("kim", enrolled=False)
    for source, _ in zip(strangers(), range(21), strict=False):
        guess(world, source, locked.login)
    faces: set[tuple[object, ...]] = set()
    for number, login in enumerate(("robin", "sam", "kim", "nobody")):
        world.calls.clear()
        with pytest.raises(Denied) as refusal:
            world.sign_in.start(login, OTHER_PASSWORD, source=Source(address=f"203.0.113.{number}"))
        denied = refusal.value
        faces.add((str(denied), status_of(denied), denied.retry_after, tuple(world.calls)))
    assert len(faces) == 1
    for ask in (world.reset.request, world.unlock.request, world.registration.request):
        costs = set()
        for name in ("robin@mail.example", "sam@mail.example", "nobody@mail.example"):
            world.calls.clear()
            ask(name, source=SOURCE)
            costs.add(tuple(world.calls))
        assert len(costs) == 1


# -- OWASP cheat sheets -----------------------------------------------------------------------------------------


def test_au_9_wrong_unknown_and_disabled_say_the_same(world: World) -> None:
    account = world.person()
    world.accounts.disable(world.person("sam").id, actor=STAFF, source=SOURCE)
    said = set()
    for login in (account.login, "sam", "nobody"):
        with pytest.raises(Denied) as refusal:
            world.sign_in.start(login, OTHER_PASSWORD, source=SOURCE)
        said.add((str(refusal.value), status_of(refusal.value), refusal.value.retry_after))
    assert len(said) == 1


def test_au_11_failures_count_for_the_account_also_where_each_comes_from_elsewhere(world: World) -> None:
    world.person()
    sources = strangers()
    assert [guess(world, next(sources)) for _ in range(20)] == [Reason.WRONG_PASSWORD] * 20
    assert guess(world, next(sources), password=PASSWORD) is Reason.ACCOUNT_LOCKED
    assert guess(world, next(sources), login="other") is Reason.UNKNOWN_ACCOUNT


def test_au_12_threshold_window_and_doubling_are_settings() -> None:
    lane = ThrottlePolicy().account
    assert (lane.limit, lane.window, lane.longest) == (20, timedelta(minutes=15), timedelta(hours=1))


def test_au_15_every_failure_and_lock_is_recorded(world: World) -> None:
    world.person()
    sources = strangers()
    for _ in range(22):
        guess(world, next(sources))
    guess(world, next(sources), login="nobody")
    failed = world.events.named(Event.AUTH_LOGIN_FAILED)
    assert [event.reason for event in failed] == (
        [Reason.WRONG_PASSWORD] * 20 + [Reason.ACCOUNT_LOCKED] * 2 + [Reason.UNKNOWN_ACCOUNT]
    )


def test_fp_5_requests_are_limited_for_each_account_and_each_visitor(world: World) -> None:
    account = world.person()
    with_address(world, account)
    sources = strangers()
    for _ in range(40):
        world.reset.request("robin", source=next(sources))  # says the same for ever
    limit = ThrottlePolicy().request.limit
    held = world.notice_store.claim(now=world.clock(), lease=timedelta(minutes=5), limit=100)
    assert len(held) == limit
    with pytest.raises(Denied) as refusal:
        for number in range(1000):
            world.reset.request(f"name-{number}", source=SOURCE)
    assert refusal.value.reason is Reason.THROTTLED
    with pytest.raises(Denied):
        world.reset.exchange("A" * 43, source=SOURCE)  # 256 bits: nothing to guess at


def test_fp_6_asking_changes_nothing_and_locks_nobody_out(world: World) -> None:
    account = world.person()
    with_address(world, account)
    before = world.account_store.get(account.id)
    inside = signed_in(world, account)
    for source, _ in zip(strangers(), range(30), strict=False):
        world.reset.request("robin", source=source)
    assert world.account_store.get(account.id).password_hash == before.password_hash
    assert world.sessions.epoch(account.id) == inside.record.epoch
    world.clock.advance(timedelta(seconds=60))
    session(world.sign_in.submit_totp(world.pending(), world.code(account), source=SOURCE))


def test_cs_1_a_stuffed_password_opens_nothing_without_the_second_factor(world: World) -> None:
    account = world.person()
    step = world.sign_in.start("robin", PASSWORD, source=THIEF)
    assert (step.next, step.session) == (("totp",), None)
    assert ("pending", account.id) in world.watch.told  # and its owner hears of it


def test_cs_4_a_leaked_password_is_refused_where_it_is_chosen_and_can_be_required_to_change(
    world: World,
) -> None:
    account = world.person()
    world.password_change.require(account.id, "breached", actor=STAFF, source=SOURCE)
    step = world.sign_in.submit_totp(world.pending(), world.code(account), source=SOURCE)
    assert step.next == ("new_password",)


# -- HIPAA ------------------------------------------------------------------------------------------------------


def test_164_308_a_5_ii_c_tries_are_recorded_and_what_looks_wrong_is_reported(world: World) -> None:
    account = world.person()
    signed_in(world, account)
    for number in range(25):
        guess(world, THIEF, f"name-{number}", f"password {number} of a leaked list")
    assert len(world.events.named(Event.AUTH_LOGIN_FAILED)) == 25
    assert world.events.named(Event.AUTH_LOGIN)[0].outcome is Outcome.SUCCESS
    (suspected,) = world.events.named(Event.AUTH_ATTACK_SUSPECTED)
    assert suspected.details["pattern"] == "many_accounts_from_one_prefix"


def test_nprm_312_a_log_in_attempts_access_is_suspended_after_a_number_that_is_a_setting(
    world: World,
) -> None:
    world.person()
    sources = strangers()
    for _ in range(ThrottlePolicy().account.limit):
        assert guess(world, next(sources)) is Reason.WRONG_PASSWORD
    assert not opens(world, next(sources))
