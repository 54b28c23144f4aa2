"""Sessions and half-finished sign-ins under attack, by their ids in the abuse cases: on every store."""

from __future__ import annotations

import hashlib
from dataclasses import FrozenInstanceError, replace
from datetime import timedelta

import pytest

from portalsec._encoding import new_token
from portalsec.auth._pending import open_data
from portalsec.auth.endings import Why
from portalsec.auth.password_policy import PasswordRefused
from portalsec.auth.ports import Account
from portalsec.auth.sessions import ActiveSession
from portalsec.errors import Reason, StoreError, Tampered
from portalsec.events import Actor, Event
from tests.abuse.test_auth import MakeWorld, make, refused, sessions_of, start, submit
from tests.auth.mail import active, alive, browser_token, signed_in, with_address
from tests.auth.world import OTHER_PASSWORD, PASSWORD, SOURCE, World, session, together, token

__all__ = ["make"]

SHORT = "kx7!qVw2"


@pytest.fixture
def world(make: MakeWorld) -> World:
    return make()


def two(world: World) -> tuple[Account, ActiveSession, Account, ActiveSession]:
    robin, mallory = world.person(), world.person("mallory")
    return robin, signed_in(world, robin), mallory, signed_in(world, mallory)


def test_byp_02_a_failure_in_the_middle_of_the_second_factor_opens_nothing(world: World) -> None:
    account = world.person()
    for store, verb in (("totp", "advance"), ("flow", "consume"), ("session", "create"), ("account", "get")):
        pending = token(start(world).pending)
        failing = getattr(world, f"{store}_store").failing
        failing[verb] = StoreError("down")
        with pytest.raises(StoreError):
            submit(world, pending, world.code(account))
        failing.clear()
        assert sessions_of(world, account) == 0, (store, verb)
        assert refused(lambda p=pending: world.sessions.check(p, source=SOURCE)) is Reason.SESSION_UNKNOWN
        world.clock.advance(timedelta(minutes=20))


def test_byp_04_a_reset_leads_to_the_second_factor_and_not_to_a_session(world: World) -> None:
    account = world.person()
    with_address(world, account)
    step = world.reset.choose(browser_token(world), OTHER_PASSWORD, source=SOURCE)
    assert (step.next, step.session, sessions_of(world, account)) == (("totp",), None, 0)


def test_ses_04_nobody_keeps_or_rotates_another_persons_session(world: World) -> None:
    robin, robins, mallory, mallorys = two(world)
    who = Actor(type="user", id=mallory.id)
    kept = world.endings.apply(mallory.id, Why.PASSWORD_CHANGED, actor=who, source=SOURCE, keep=robins.digest)
    assert kept is None
    assert alive(world, robins)
    assert not alive(world, mallorys)
    assert sessions_of(world, robin) == 1
    assert sessions_of(world, mallory) == 0


def test_ses_05_what_a_client_says_of_its_activity_moves_no_limit(world: World) -> None:
    account = world.person()
    opened = world.session(account)
    policy = world.sessions.policy
    world.clock.advance(policy.idle - timedelta(seconds=1))
    for _ in range(3):  # a page that asks how long is left
        world.sessions.check(opened.token.reveal(), source=SOURCE, passive=True)
    world.clock.advance(timedelta(seconds=1))
    for passive in (False, True):
        reason = refused(
            lambda p=passive: world.sessions.check(opened.token.reveal(), source=SOURCE, passive=p)
        )
        assert reason in (Reason.SESSION_IDLE, Reason.SESSION_UNKNOWN)
    assert world.events.named(Event.AUTH_SESSION_ENDED)


def test_ses_10_a_tag_covers_everything_that_says_what_short_lived_state_is_for(world: World) -> None:
    account = world.person()
    digest = _digest(token(start(world).pending))
    flow = world.backing.flows.attempt(digest, "sign-in.factor", limit=5, now=world.clock())
    assert flow is not None
    open_data(world.mac, flow)
    forged = [
        replace(flow, digest=b"x" * 32),
        replace(flow, purpose="sign-in.new-password"),
        replace(flow, account_id=None),
        replace(flow, account_id=account.id + "0"),
        replace(flow, data=flow.data[:16] + flow.data[17:]),
        replace(flow, data=b""),
        *(replace(flow, data=_flipped(flow.data, at)) for at in range(len(flow.data))),
    ]
    for each in forged:
        with pytest.raises(Tampered):
            open_data(world.mac, each)


def test_ses_10_a_session_id_with_one_character_changed_is_nobodys(world: World) -> None:
    real = world.session(world.person()).token.reveal()
    for at in range(len(real) - 1):  # the last character has bits that no byte holds
        other = real[:at] + ("A" if real[at] != "A" else "B") + real[at + 1 :]
        assert refused(lambda t=other: world.sessions.check(t, source=SOURCE)) is Reason.SESSION_UNKNOWN


def test_ses_11_eight_peoples_requests_at_once_each_see_their_own_session(world: World) -> None:
    people = [world.person(f"person-{number}") for number in range(8)]
    tokens = [world.session(person).token.reveal() for person in people]

    def work(number: int) -> set[str]:
        return {world.sessions.check(tokens[number], source=SOURCE).account_id for _ in range(20)}

    assert together(8, work) == [{person.id} for person in people]
    mine = world.sessions.check(tokens[0], source=SOURCE)
    with pytest.raises(FrozenInstanceError):
        mine.record.account_id = people[1].id  # type: ignore[misc]


@pytest.mark.parametrize("nothing", [b"", b"\0" * 32])
def test_ses_13_a_verb_that_names_no_session_touches_none(world: World, nothing: bytes) -> None:
    robin, robins, mallory, mallorys = two(world)
    seen = [each.record.last_seen_at for each in (robins, mallorys)]
    later = world.clock() + timedelta(hours=1)
    store = world.backing.sessions
    assert store.touch(nothing, last_seen_at=later) is False
    assert store.end(nothing) is False
    store.end_all("")  # raises the epoch of nobody
    loaded = [store.load(each.digest) for each in (robins, mallorys)]
    assert [each.record.last_seen_at for each in loaded] == seen
    assert (sessions_of(world, robin), sessions_of(world, mallory)) == (1, 1)
    for wrong in (None, "", " ", new_token()):
        world.sessions.logout(wrong, source=SOURCE)
    assert alive(world, robins)
    assert alive(world, mallorys)


def test_rec_09_a_sign_in_ends_in_the_browser_that_began_it(world: World) -> None:
    """Whoever makes somebody else's browser send their own code gets that browser nowhere: it holds no pending token."""
    mallory = world.person("mallory")
    pending = token(start(world, "mallory").pending)
    for held in (None, "", new_token()):
        assert refused(lambda h=held: submit(world, h, world.code(mallory))) is Reason.FLOW_UNKNOWN
    victim = token(start(world, "mallory", replaces=pending).pending)  # the same browser begins again
    assert refused(lambda: submit(world, pending, world.code(mallory))) is Reason.FLOW_UNKNOWN
    session(submit(world, victim, world.code(mallory)))


# -- a password that was one of two factors -----------------------------------------------------------------------


def test_atk_44_a_short_password_that_stands_alone_is_changed_before_it_opens_a_session(world: World) -> None:
    account = world.person(password=SHORT)  # 8 characters: enough beside a second factor
    session(submit(world, token(start(world, password=SHORT).pending), world.code(account)))
    world.clock.advance(timedelta(seconds=60))
    world.second_factor = "optional"
    world.wire()
    assert start(world, password=SHORT).next == ("totp",)  # the factor is there still
    (device,) = world.backing.totp.devices(account.id)
    assert world.backing.totp.remove(account.id, device.id)
    step = start(world, password=SHORT)
    assert (step.next, step.session) == (("new_password",), None)
    assert world.events.last.details == {"why": "too_short"}
    pending = token(step.pending)
    with pytest.raises(PasswordRefused):
        world.password_change.submit_forced(pending, "vZ8?kkLm#2", source=SOURCE)
    done = world.password_change.submit_forced(pending, OTHER_PASSWORD, source=SOURCE)
    assert active(world, session(done)).account_id == account.id
    session(start(world, password=OTHER_PASSWORD))


def test_atk_44_no_way_leads_around_it_and_a_wrong_password_requires_nothing(make: MakeWorld) -> None:
    world = make()
    account = world.person(password=SHORT, enrolled=False)
    world.second_factor = "optional"
    world.wire()
    assert refused(lambda: start(world, password="kx7!qVw3")) is Reason.WRONG_PASSWORD
    assert world.account_store.get(account.id).must_change is None
    assert start(world, password=SHORT).next == ("new_password",)
    assert start(world, password=SHORT).next == ("new_password",)  # asking again does not help
    assert sessions_of(world, account) == 0


def test_atk_44_a_long_one_stands_alone_and_nothing_is_written(make: MakeWorld) -> None:
    world = make(second_factor="optional")
    account = world.person(enrolled=False)
    session(start(world, password=PASSWORD))
    assert "accounts.require_change" not in world.calls
    assert world.account_store.get(account.id).must_change is None


def _digest(pending: str) -> bytes:

    return hashlib.sha256(pending.encode("ascii")).digest()


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
