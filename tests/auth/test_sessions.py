from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec._encoding import new_token
from portalsec.auth._door import DOOR
from portalsec.auth.evidence import mint
from portalsec.auth.ports import SessionRecord
from portalsec.auth.proof import Factor, Proof
from portalsec.auth.sessions import Active, Ended, Required, SessionPolicy, evaluate
from portalsec.errors import ConfigurationError, Denied, Reason, StoreError, Tampered
from portalsec.events import Actor, Event
from portalsec.testing import FrozenClock
from tests.auth.world import SOURCE, World, together

START = FrozenClock()()
POLICY = SessionPolicy(
    idle=timedelta(minutes=15), absolute=timedelta(hours=12), warn_before=timedelta(minutes=2)
)
SECOND = timedelta(seconds=1)
ADMIN = Actor(type="user", id="admin")
MANY = 50


def record(**change: Any) -> SessionRecord:
    plain = SessionRecord(
        digest=b"d" * 32,
        account_id="robin",
        epoch=0,
        created_at=START,
        last_seen_at=START,
        proofs=(Proof(factor=Factor.PASSWORD, at=START), Proof(factor=Factor.TOTP, at=START)),
        level=2,
    )
    return replace(plain, **change)


def reason(found: object) -> Reason:
    assert isinstance(found, Ended)
    return found.reason


# -- kernel -------------------------------------------------------------------------------------------------------


def test_the_idle_limit_is_exact() -> None:
    assert evaluate(record(), START + POLICY.idle - SECOND, POLICY, 0) == Active(
        idle_left=SECOND, absolute_left=POLICY.absolute - POLICY.idle + SECOND
    )
    for late in (timedelta(0), SECOND, timedelta(days=900)):
        assert reason(evaluate(record(), START + POLICY.idle + late, POLICY, 0)) in {
            Reason.SESSION_IDLE,
            Reason.SESSION_EXPIRED,
        }
    assert reason(evaluate(record(), START + POLICY.idle, POLICY, 0)) is Reason.SESSION_IDLE


def test_the_absolute_limit_is_exact_whatever_the_activity() -> None:
    end = START + POLICY.absolute
    busy = record(last_seen_at=end - SECOND)
    assert evaluate(busy, end - SECOND, POLICY, 0) == Active(idle_left=SECOND, absolute_left=SECOND)
    assert reason(evaluate(busy, end, POLICY, 0)) is Reason.SESSION_EXPIRED


def test_another_epoch_is_the_end() -> None:
    for epoch in (1, -1):
        assert reason(evaluate(record(), START, POLICY, epoch)) is Reason.SESSION_REVOKED


@pytest.mark.parametrize("field", ["created_at", "last_seen_at", "proofs"])
@pytest.mark.parametrize(
    "value",
    [
        None,
        "yesterday",
        0,
        START.replace(tzinfo=None),
        START + timedelta(hours=1),
        START + timedelta(seconds=6),
    ],
)
def test_missing_malformed_and_future_times_are_the_end(field: str, value: Any) -> None:
    if field == "proofs":
        value = (Proof(factor=Factor.PASSWORD, at=value), Proof(factor=Factor.TOTP, at=START))
    assert reason(evaluate(record(**{field: value}), START, POLICY, 0)) is Reason.SESSION_CLOCK


def test_a_naive_clock_is_the_end_even_of_naive_times() -> None:
    bare = START.replace(tzinfo=None)
    held = record(created_at=bare, last_seen_at=bare, proofs=(Proof(factor=Factor.PASSWORD, at=bare),))
    assert reason(evaluate(held, bare, POLICY, 0)) is Reason.SESSION_CLOCK


def test_an_assurance_that_was_never_reached_is_the_end() -> None:
    for reached, asked, lives in ((2, 2, True), (3, 2, True), (1, 2, False), (0, 1, False), (2, 3, False)):
        found = evaluate(record(level=reached), START, POLICY, 0, Required(level=asked))
        assert isinstance(found, Active) if lives else reason(found) is Reason.EVIDENCE_MISSING
    mailed = Proof(factor=Factor.EMAIL_CODE, at=START)
    password = Proof(factor=Factor.PASSWORD, at=START)
    reset = replace(password, through=Factor.EMAIL_CODE)  # a mailbox twice
    for shown, second in (
        ((password,), False),
        ((mailed,), False),
        ((reset, mailed), False),
        ((password, mailed), True),
    ):
        found = evaluate(record(level=1, proofs=shown), START, POLICY, 0, Required(level=1, second=True))
        assert isinstance(found, Active) if second else reason(found) is Reason.EVIDENCE_MISSING
    acting = record(level=1, proofs=(), impersonator="kim")
    assert isinstance(evaluate(acting, START, POLICY, 0, Required(second=True)), Active), (
        "its staff's is measured"
    )
    resistant = Required(level=2, phishing_resistant=True)
    assert reason(evaluate(record(), START, POLICY, 0, resistant)) is Reason.EVIDENCE_MISSING
    assert isinstance(evaluate(record(phishing_resistant=True), START, POLICY, 0, resistant), Active)


def test_two_servers_may_differ_by_the_tolerance() -> None:
    ahead = record(last_seen_at=START + timedelta(seconds=5))
    assert evaluate(ahead, START, POLICY, 0) == Active(idle_left=POLICY.idle, absolute_left=POLICY.absolute)


def test_activity_before_the_beginning_is_the_end() -> None:
    assert reason(evaluate(record(last_seen_at=START - SECOND), START, POLICY, 0)) is Reason.SESSION_CLOCK


@given(st.integers(0, 60 * 60 * 13), st.integers(0, 60 * 60 * 13), st.integers(-3600, 3600))
def test_a_session_never_comes_back_as_time_goes_on(seen: int, now: int, more: int) -> None:
    held = record(last_seen_at=START + timedelta(seconds=seen))
    first = evaluate(held, START + timedelta(seconds=now), POLICY, 0)
    later = evaluate(held, START + timedelta(seconds=now + abs(more)), POLICY, 0)
    if isinstance(first, Ended) and first.reason is not Reason.SESSION_CLOCK:
        assert isinstance(later, Ended)
    if isinstance(first, Active) and isinstance(later, Active):
        assert later.idle_left <= first.idle_left
        assert timedelta(0) < later.idle_left <= later.absolute_left <= POLICY.absolute


@pytest.mark.parametrize(
    "change",
    [
        {"idle": timedelta(0)},
        {"idle": timedelta(hours=13)},
        {"warn_before": timedelta(minutes=15)},
        {"warn_before": timedelta(seconds=-1)},
        {"clock_tolerance": timedelta(hours=1)},
    ],
)
def test_policies_that_make_no_sense_are_refused(change: dict[str, timedelta]) -> None:
    with pytest.raises(ConfigurationError, match="SessionPolicy"):
        replace(POLICY, **change)


def test_presets() -> None:
    clinic, kiosk = SessionPolicy.HIPAA_CLINIC, SessionPolicy.KIOSK
    assert (clinic.idle, clinic.absolute) == (timedelta(minutes=15), timedelta(hours=12))
    assert (kiosk.idle, kiosk.absolute) == (timedelta(minutes=2), timedelta(minutes=30))


# -- service ------------------------------------------------------------------------------------------------------


class Signed(World):
    """A world with one person signed in."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.account = self.person()
        self.opened = self.session(self.account)
        self.token = self.opened.token.reveal()
        self.events.clear()
        self.calls.clear()

    def refused(self, token: object, **kwargs: Any) -> Reason:
        with pytest.raises(Denied) as refusal:
            self.sessions.check(token, source=SOURCE, **kwargs)
        return refusal.value.reason


@pytest.fixture
def world() -> Signed:
    return Signed()


def test_a_check_says_what_is_left_and_who_it_is(world: Signed) -> None:
    active = world.sessions.check(world.token, source=SOURCE)
    assert active.account_id == world.account.id
    assert active.factors == ("password", "totp")
    assert active.reference == world.opened.reference
    assert active.digest == hashlib.sha256(world.token.encode()).digest()
    assert (active.idle_left, active.absolute_left) == (timedelta(minutes=15), timedelta(hours=12))
    assert world.opened.absolute_until == world.clock() + timedelta(hours=12)
    assert world.events == []


def test_a_session_does_not_print_where_it_came_from(world: Signed) -> None:
    active = world.sessions.check(world.token, source=SOURCE)
    assert world.account.id in repr(active)
    for hidden in (SOURCE.address, SOURCE.user_agent, active.digest):
        assert str(hidden) not in repr(active)


def test_the_store_holds_hashes_only(world: Signed) -> None:
    (held,) = world.sessions.of_account(world.account.id)
    assert held.digest == hashlib.sha256(world.token.encode()).digest()
    assert world.token not in repr(held)
    assert (held.address, held.user_agent) == ("192.0.2.10", "test browser")


def test_activity_moves_the_idle_limit_and_not_the_absolute_one(world: Signed) -> None:
    for _ in range(71):  # every 10 minutes for 11 h 50 min
        world.clock.advance(timedelta(minutes=10))
        active = world.sessions.check(world.token, source=SOURCE)
    assert active.idle_left == active.absolute_left == timedelta(minutes=10)
    world.clock.advance(timedelta(minutes=10))
    assert world.refused(world.token) is Reason.SESSION_EXPIRED


def test_passive_requests_are_no_activity(world: Signed) -> None:
    for left in range(14, 0, -1):
        world.clock.advance(timedelta(minutes=1))
        active = world.sessions.check(world.token, source=SOURCE, passive=True)
        assert active.idle_left == timedelta(minutes=left)
    assert "sessions.touch" not in world.calls
    world.clock.advance(timedelta(minutes=1))
    assert world.refused(world.token, passive=True) is Reason.SESSION_IDLE


def test_the_store_is_touched_once_a_second_at_most(world: Signed) -> None:
    for _ in range(50):
        world.clock.advance(timedelta(milliseconds=100))
        world.sessions.check(world.token, source=SOURCE)
    assert world.calls.count("sessions.touch") == 5


def test_an_idle_session_rests_recorded_once_and_never_wakes_by_itself(world: Signed) -> None:
    world.clock.advance(timedelta(minutes=15))
    results = together(MANY, lambda _: world.sessions.check(world.token, source=SOURCE))
    assert {result.reason for result in results} == {Reason.SESSION_IDLE}
    (event,) = world.events.named(Event.AUTH_SESSION_ENDED)
    assert event.reason is Reason.SESSION_IDLE
    assert event.session == world.opened.reference
    world.clock.advance(
        timedelta(minutes=-15)
    )  # the limit has not passed any more, and it rests all the same
    assert world.refused(world.token) is Reason.SESSION_IDLE
    assert len(world.events) == 1


def test_an_expired_session_is_gone_from_the_store_and_recorded_once(world: Signed) -> None:
    world.clock.advance(timedelta(hours=12))
    results = together(MANY, lambda _: world.sessions.check(world.token, source=SOURCE))
    assert {result.reason for result in results} <= {Reason.SESSION_EXPIRED, Reason.SESSION_UNKNOWN}
    (event,) = world.events.named(Event.AUTH_SESSION_ENDED)
    assert event.reason is Reason.SESSION_EXPIRED
    assert world.sessions.of_account(world.account.id) == ()
    world.clock.advance(timedelta(hours=-12))
    assert world.refused(world.token) is Reason.SESSION_UNKNOWN


def test_a_clock_set_back_ends_the_session(world: Signed) -> None:
    world.clock.advance(timedelta(hours=-1))
    assert world.refused(world.token) is Reason.SESSION_CLOCK
    assert world.events.last.reason is Reason.SESSION_CLOCK


@pytest.mark.parametrize("token", [None, ""])
def test_no_cookie_is_a_missing_session_and_no_event(world: Signed, token: object) -> None:
    assert world.refused(token) is Reason.SESSION_MISSING
    assert world.events == []


@pytest.mark.parametrize("token", [1, b"x", ["a", "b"], {"a": 1}, "x", "x" * 10_000, "é" * 43, "\ud800" * 43])
def test_what_is_no_token_never_reaches_the_store(world: Signed, token: object) -> None:
    assert world.refused(token) is Reason.SESSION_UNKNOWN
    assert world.calls == []
    assert world.events.last.name == Event.AUTH_SESSION_REFUSED


def test_an_unknown_token_is_refused_and_recorded(world: Signed) -> None:
    assert world.refused(new_token()) is Reason.SESSION_UNKNOWN
    assert world.events.last.name == Event.AUTH_SESSION_REFUSED


def test_end_ends_one_and_records_once(world: Signed) -> None:
    world.clock.advance(timedelta(minutes=1))
    other = world.session(world.account).token.reveal()
    world.events.clear()
    for _ in range(2):
        world.sessions.end(world.token, source=SOURCE, actor=ADMIN)
    world.sessions.end("nonsense", source=SOURCE, actor=ADMIN)
    assert world.events.names == [Event.AUTH_SESSION_REVOKED]
    assert world.events.last.actor == ADMIN
    assert world.refused(world.token) is Reason.SESSION_UNKNOWN
    world.sessions.check(other, source=SOURCE)


def test_end_all_ends_all_at_once_and_only_this_account(world: Signed) -> None:
    kim = world.person("kim")
    kept = world.session(kim).token.reveal()
    world.events.clear()
    assert world.sessions.end_all(world.account.id, source=SOURCE, actor=ADMIN) == 1
    assert world.refused(world.token) is Reason.SESSION_UNKNOWN
    world.sessions.check(kept, source=SOURCE)
    event = world.events.named(Event.AUTH_SESSION_REVOKED)[0]
    assert event.resource is not None
    assert event.resource.count == 1


def test_a_session_of_an_older_epoch_is_revoked_even_if_its_row_is_left(world: Signed) -> None:
    (held,) = world.sessions.of_account(world.account.id)
    world.sessions.end_all(world.account.id, source=SOURCE, actor=ADMIN)
    world.backing.sessions._sessions[held.digest] = held  # a replica that missed the delete
    assert world.refused(world.token) is Reason.SESSION_REVOKED
    assert world.events.last.name == Event.AUTH_SESSION_REVOKED
    assert world.refused(world.token) is Reason.SESSION_UNKNOWN


def test_ended_between_the_read_and_the_touch(world: Signed) -> None:
    world.clock.advance(timedelta(minutes=1))
    real = world.backing.sessions.touch

    def touch(digest: bytes, *, last_seen_at: datetime) -> bool:
        world.backing.sessions.end(digest)
        return bool(real(digest, last_seen_at=last_seen_at))

    world.backing.sessions.touch = touch
    assert world.refused(world.token) is Reason.SESSION_UNKNOWN


def test_parallel_requests_of_one_session_all_pass(world: Signed) -> None:
    world.clock.advance(timedelta(minutes=1))
    results = together(MANY, lambda _: world.sessions.check(world.token, source=SOURCE))
    assert not [result for result in results if isinstance(result, Exception)]


@pytest.mark.parametrize(("verb", "after"), [("load", 1), ("touch", 1), ("rest", 15), ("end", 720)])
def test_a_store_that_fails_lets_nobody_in(world: Signed, verb: str, after: int) -> None:
    world.clock.advance(timedelta(minutes=after))
    world.session_store.failing[verb] = StoreError("down")
    with pytest.raises(StoreError):
        world.sessions.check(world.token, source=SOURCE)


def test_a_long_user_agent_is_cut(world: Signed) -> None:
    from portalsec.events import Source

    world.clock.advance(timedelta(minutes=1))
    loud = Source(address="192.0.2.10", user_agent="x" * 10_000)
    pending = world.pending()
    world.sign_in.submit_totp(pending, world.code(world.account), source=loud)
    assert len(world.sessions.of_account(world.account.id)[0].user_agent or "") == 256


def test_no_session_opens_with_an_older_epoch(world: Signed) -> None:
    world.sessions.end_all(world.account.id, source=SOURCE, actor=ADMIN)
    with pytest.raises(Denied) as refusal:
        world.sessions.open_through(
            DOOR,
            account_id=world.account.id,
            epoch=0,
            proofs=(Proof(factor=Factor.PASSWORD, at=world.clock()),),
            source=SOURCE,
        )
    assert refusal.value.reason is Reason.SESSION_REVOKED
    assert world.sessions.of_account(world.account.id) == ()


def damaged(world: Signed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a store can tell of the session is that somebody wrote over it."""
    store = world.sessions._store
    load = store.load

    def tampered(digest: bytes) -> Any:
        if load(digest) is None:
            return None
        raise Tampered("a stored session is not what portalsec wrote")

    monkeypatch.setattr(world.sessions, "_store", Overriding(store, load=tampered))


class Overriding:
    def __init__(self, store: Any, **verbs: Any) -> None:
        self._store, self._verbs = store, verbs

    def __getattr__(self, verb: str) -> Any:
        return self._verbs.get(verb) or getattr(self._store, verb)


def test_a_session_that_was_written_over_is_refused_as_an_unknown_one_and_ended(
    world: Signed, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.sha256(world.token.encode()).digest()
    damaged(world, monkeypatch)
    assert world.refused(world.token) is Reason.SESSION_UNKNOWN
    assert [event.reason for event in world.events.named(Event.AUTH_SESSION_REFUSED)] == [
        Reason.SESSION_UNKNOWN
    ]
    assert world.sessions._store.load(digest) is None
    world.sessions.logout(world.token, source=SOURCE)
    with pytest.raises(Denied):
        world.sessions.resumable(world.token, source=SOURCE)


def test_a_session_that_login_opened_is_remembered_nowhere_and_no_shorter_for_that(world: Signed) -> None:
    known = len(world.devices.of_account(world.account.id))
    evidence = [
        mint(kind, world.account.id, world.clock(), epoch=0) for kind in (Factor.PASSWORD, Factor.TOTP)
    ]
    opened = world.sign_in.login(world.account.id, evidence, source=SOURCE)
    active = world.sessions.check(opened.token.reveal(), source=SOURCE)
    assert not active.shared
    assert (active.idle_left, active.absolute_left) == (timedelta(minutes=15), timedelta(hours=12))
    assert len(world.devices.of_account(world.account.id)) == known


def test_an_active_session_is_nobody_s_to_change(world: Signed) -> None:
    active = world.sessions.check(world.token, source=SOURCE)
    for name in ("record", "idle_left", "absolute_left", "_refer", "anything"):
        with pytest.raises((AttributeError, TypeError)):
            setattr(active, name, None)
    assert replace(active, idle_left=SECOND).record is active.record
