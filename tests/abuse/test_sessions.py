"""Sessions and half-finished sign-ins under attack, by their ids in the abuse cases: on every store."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import FrozenInstanceError, replace
from datetime import timedelta

import pytest

from portalsec._encoding import new_token
from portalsec.auth._door import DOOR
from portalsec.auth._pending import open_data
from portalsec.auth.endings import Why
from portalsec.auth.password_policy import PasswordRefused
from portalsec.auth.ports import Account
from portalsec.auth.proof import Factor, Proof
from portalsec.auth.sessions import ActiveSession, NewSession, SessionPolicy
from portalsec.errors import Denied, Reason, StoreError, Tampered
from portalsec.events import Actor, Event
from tests.abuse.test_auth import MakeWorld, make, refused, sessions_of, start, submit
from tests.auth.mail import active, alive, browser_token, signed_in, with_address
from tests.auth.world import OTHER_PASSWORD, PASSWORD, SOURCE, World, session, together, token

__all__ = ["make"]

SHORT = "kx7!qVw2"
OWNER = Actor(type="user", id="robin")


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
        # Half a sign-in does not outlive the error; where the store that forgets it is what failed, it has its own time.
        if store != "flow":
            world.clock.advance(timedelta(seconds=30))
            again = refused(lambda p=pending: submit(world, p, world.code(account)))
            assert again is Reason.FLOW_UNKNOWN, (store, verb)
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


# -- rotation, resume and ends that race --------------------------------------------------------------------------

CROWD = 50


def code(world: World) -> tuple[Proof, ...]:
    return (Proof(factor=Factor.TOTP, at=world.clock(), explicit=True),)


def test_ses_09_atk_12_of_fifty_rotations_at_once_one_wins_and_the_old_id_is_dead(world: World) -> None:
    account = world.person()
    old = signed_in(world, account)
    results = together(
        CROWD, lambda _: world.sessions.rotate_through(DOOR, old, proofs=code(world), source=SOURCE)
    )
    (won,) = [result for result in results if isinstance(result, NewSession)]
    assert {r.reason for r in results if isinstance(r, Denied)} == {Reason.SESSION_UNKNOWN}
    assert sessions_of(world, account) == 1
    assert not alive(world, old)
    assert world.sessions.check(won.token.reveal(), source=SOURCE).account_id == account.id
    # The copy that lost is of no use for another rotation either, and takes nothing from the one that won.
    assert refused(lambda: world.sessions.rotate_through(DOOR, old, source=SOURCE)) is Reason.SESSION_UNKNOWN
    world.sessions.check(won.token.reveal(), source=SOURCE)


def test_atk_12_requests_in_flight_with_the_old_id_are_refused_and_sign_nobody_out(world: World) -> None:
    account = world.person()
    opened = world.session(account)
    text, session = opened.token.reveal(), world.sessions.check(opened.token.reveal(), source=SOURCE)

    def work(number: int) -> object:
        if number == CROWD // 2:
            return world.sessions.rotate_through(DOOR, session, proofs=code(world), source=SOURCE)
        return world.sessions.check(text, source=SOURCE)

    results = together(CROWD, work)
    (rotated,) = [result for result in results if isinstance(result, NewSession)]
    for result in results:
        assert isinstance(result, (ActiveSession, NewSession)) or result.reason is Reason.SESSION_UNKNOWN
    world.sessions.logout(text, source=SOURCE)  # a late answer's sign-out names an id that is nobody's
    world.sessions.check(rotated.token.reveal(), source=SOURCE)
    assert refused(lambda: world.sessions.check(text, source=SOURCE)) is Reason.SESSION_UNKNOWN


def test_ses_03_atk_14_no_request_passes_once_all_sessions_were_ended(world: World) -> None:
    account = world.person()
    opened = [world.session(account)]
    for _ in range(3):
        world.clock.advance(timedelta(seconds=60))
        opened.append(world.session(account))
    texts = [each.token.reveal() for each in opened]
    ended = threading.Event()

    def work(number: int) -> object:
        if number == 0:
            world.endings.apply(account.id, Why.SIGNED_OUT_EVERYWHERE, actor=OWNER, source=SOURCE)
            ended.set()
            return None
        late = ended.is_set()
        try:
            world.sessions.check(texts[number % len(texts)], source=SOURCE)
        except Denied as denied:
            return denied.reason
        return "late" if late else None

    allowed = {None, Reason.SESSION_UNKNOWN, Reason.SESSION_REVOKED}
    assert set(together(CROWD, work)) <= allowed
    for text in texts:
        reason = refused(lambda t=text: world.sessions.check(t, source=SOURCE))
        assert reason in (Reason.SESSION_UNKNOWN, Reason.SESSION_REVOKED)
    assert sessions_of(world, account) == 0


def test_ses_01_ses_02_a_session_that_rests_ends_with_the_account_and_is_not_resumed(world: World) -> None:
    account = world.person()
    opened = world.session(account)
    text = opened.token.reveal()
    world.clock.advance(world.sessions.policy.idle)
    assert refused(lambda: world.sessions.check(text, source=SOURCE)) is Reason.SESSION_IDLE
    record = world.sessions.resumable(text, source=SOURCE)
    world.accounts.disable(account.id, actor=OWNER, source=SOURCE)
    assert refused(lambda: world.sessions.resumable(text, source=SOURCE)) is Reason.SESSION_UNKNOWN
    # Nor with what a request held before the account was disabled.
    reason = refused(lambda: world.sessions.resume_through(DOOR, record, proofs=code(world), source=SOURCE))
    assert reason is Reason.SESSION_UNKNOWN
    assert sessions_of(world, account) == 0


def test_ses_04_a_resume_or_rotation_races_the_end_of_all_and_leaves_nothing(world: World) -> None:
    account = world.person()
    old = signed_in(world, account)
    end = threading.Barrier(CROWD)

    def work(number: int) -> object:
        end.wait()
        if number == 0:
            return world.sessions.end_all(account.id, source=SOURCE, actor=OWNER)
        return world.sessions.rotate_through(DOOR, old, proofs=code(world), source=SOURCE)

    results = together(CROWD, work)
    assert sessions_of(world, account) == 0
    for result in results:
        if isinstance(result, NewSession):
            reason = refused(lambda r=result: world.sessions.check(r.token.reveal(), source=SOURCE))
            assert reason in (Reason.SESSION_UNKNOWN, Reason.SESSION_REVOKED)


@pytest.mark.parametrize("at_most", ["end_oldest", "refuse"])
def test_ses_08_fifty_sign_ins_at_once_never_pass_the_cap(make: MakeWorld, at_most: str) -> None:
    policy = replace(SessionPolicy.HIPAA_CLINIC, max_sessions=3, at_most=at_most)
    world = make(session_policy=policy)
    account = world.person()
    epoch, proofs = (
        world.sessions.epoch(account.id),
        (*code(world), Proof(factor=Factor.PASSWORD, at=world.clock())),
    )
    results = together(
        CROWD,
        lambda _: world.sessions.open_through(
            DOOR, account_id=account.id, epoch=epoch, proofs=proofs, source=SOURCE
        ),
    )
    tokens = {result.token.reveal() for result in results if isinstance(result, NewSession)}
    assert len(tokens) == sum(
        isinstance(result, NewSession) for result in results
    )  # no two browsers share one
    assert sessions_of(world, account) == 3
    living = [text for text in tokens if _lives(world, text)]
    assert len(living) == 3


def test_ses_06_atk_15_atk_42_no_clock_wakes_a_session_that_rests(world: World) -> None:
    account = world.person()
    opened = world.session(account)
    text = opened.token.reveal()
    world.clock.advance(world.sessions.policy.idle)
    assert refused(lambda: world.sessions.check(text, source=SOURCE)) is Reason.SESSION_IDLE
    for jump in (timedelta(seconds=-1), -world.sessions.policy.idle, timedelta(days=-1)):
        world.clock.advance(jump)
        assert not _lives(world, text)
        world.clock.advance(-jump)
    for _ in range(3):  # nor does asking keep it any longer than it may be resumed
        world.clock.advance(timedelta(hours=3))
        refused(lambda: world.sessions.check(text, source=SOURCE, passive=True))
    world.clock.advance(timedelta(days=1))
    assert not _lives(world, text)
    assert sessions_of(world, account) == 0


def test_ses_07_a_list_of_sessions_names_none_by_its_id(world: World) -> None:
    account = world.person()
    opened = world.session(account)
    page = repr(world.sessions.listed(account.id))
    for secret in (opened.token.reveal(), opened.digest.hex(), SOURCE.address or "?"):
        assert secret not in page
    assert opened.reference in page
    assert refused(lambda: world.sessions.check(opened.reference, source=SOURCE)) is Reason.SESSION_UNKNOWN


def test_atk_11_a_step_up_adopts_no_planted_id(world: World) -> None:
    account, planted = world.person(), new_token()
    session = signed_in(world, account)
    rotated = world.sessions.rotate_through(DOOR, session, proofs=code(world), source=SOURCE)
    assert rotated.token.reveal() != planted
    for verb in (world.sessions.check, world.sessions.resumable):
        assert refused(lambda v=verb: v(planted, source=SOURCE)) is Reason.SESSION_UNKNOWN
    assert world.events.last.name == Event.AUTH_SESSION_REFUSED


def _lives(world: World, text: str) -> bool:
    try:
        world.sessions.check(text, source=SOURCE)
    except Denied:
        return False
    return True


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
