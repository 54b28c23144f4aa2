"""A second factor that is added in an open session: who may, what it ends, and what happens where something fails."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from portalsec.auth.endings import Why
from portalsec.auth.notices import NoticeKind
from portalsec.auth.ports import Account
from portalsec.auth.sessions import ActiveSession, NewSession
from portalsec.auth.totp import Enrolment
from portalsec.errors import AuditUnavailable, Denied, Reason, StoreError
from portalsec.events import Actor, Event, Outcome
from tests.auth.world import OTHER_PASSWORD, PASSWORD, SOURCE, World, code_of, together


@pytest.fixture
def world() -> World:
    return World(second_factor="optional")


def signed_in(world: World, login: str = "robin") -> NewSession:
    step = world.sign_in.start(login, PASSWORD, source=SOURCE)
    assert step.session is not None
    return step.session


def active(world: World, session: NewSession) -> ActiveSession:
    return world.sessions.check(session.token.reveal(), source=SOURCE)


def refused(work: Any, *args: Any) -> Reason:
    with pytest.raises(Denied) as caught:
        work(*args, source=SOURCE)
    return caught.value.reason


def begun(world: World, here: NewSession) -> Enrolment:
    return world.adding_factor.begin(active(world, here), PASSWORD, source=SOURCE)


def code(world: World, enrolment: Enrolment) -> str:
    return code_of(enrolment.secret.reveal(), world.clock())


def wrong(world: World, enrolment: Enrolment) -> str:
    right = {
        code_of(enrolment.secret.reveal(), world.clock() + timedelta(seconds=30 * step))
        for step in (-1, 0, 1)
    }
    return next(text for text in ("000000", "111111", "222222", "333333") if text not in right)


def kinds(world: World, account: Account) -> list[str]:
    return [notice.kind for notice in world.notices.of_account(account.id)]


def test_it_counts_from_the_first_code_on_and_only_this_session_goes_on(world: World) -> None:
    robin = world.person(enrolled=False)
    here, there = signed_in(world), signed_in(world)
    enrolment = begun(world, here)
    assert not world.totp.enrolled(robin.id), "a seed that was only shown counts for nothing"
    assert active(world, there)
    new = world.adding_factor.confirm(active(world, here), code(world, enrolment), source=SOURCE)
    assert world.totp.enrolled(robin.id)
    assert active(world, new).account_id == robin.id
    for old in (here, there):
        with pytest.raises(Denied):
            active(world, old)
    assert world.sign_in.start("robin", PASSWORD, source=SOURCE).next == ("totp",)
    assert kinds(world, robin) == [NoticeKind.FACTOR_ADDED]
    (event,) = world.events.named(Event.AUTH_MFA_ENROLLED)
    assert (event.actor.id, event.session) == (robin.id, here.reference)


def test_atk_47_a_stolen_session_without_the_password_adds_nothing(world: World) -> None:
    robin = world.person(enrolled=False)
    session = active(world, signed_in(world))
    assert refused(world.adding_factor.begin, session, OTHER_PASSWORD) is Reason.WRONG_PASSWORD
    assert refused(world.adding_factor.confirm, session, "123456") is Reason.FLOW_UNKNOWN
    assert world.totp_store.devices(robin.id) == ()


def test_atk_47_guesses_at_the_password_have_a_budget_of_their_own(world: World) -> None:
    world.person(enrolled=False)
    session = active(world, signed_in(world))
    for _ in range(5):
        assert refused(world.adding_factor.begin, session, OTHER_PASSWORD) is Reason.WRONG_PASSWORD
    assert refused(world.adding_factor.begin, session, PASSWORD) is Reason.THROTTLED
    assert world.sign_in.start("robin", PASSWORD, source=SOURCE).session is not None, (
        "signing in is another one"
    )


def test_a_second_one_beside_the_first_is_refused(world: World) -> None:
    robin = world.person(enrolled=False)
    here = signed_in(world)
    enrolment = begun(world, here)
    session = active(world, here)
    world.enrol(robin)  # in another browser, meanwhile
    assert (
        refused(world.adding_factor.confirm, session, code(world, enrolment))
        is Reason.FACTOR_ALREADY_ENROLLED
    )
    assert refused(world.adding_factor.begin, session, PASSWORD) is Reason.FACTOR_ALREADY_ENROLLED
    assert world.events.last.actor.id == robin.id


def test_it_belongs_to_the_session_that_began_it(world: World) -> None:
    world.person(enrolled=False)
    world.person("sam", enrolled=False)
    here, there, other = signed_in(world), signed_in(world), signed_in(world, "sam")
    enrolment = begun(world, here)
    for stranger in (there, other):
        assert (
            refused(world.adding_factor.confirm, active(world, stranger), code(world, enrolment))
            is Reason.FLOW_UNKNOWN
        )
    assert world.adding_factor.confirm(active(world, here), code(world, enrolment), source=SOURCE)


def test_beginning_again_voids_the_one_before(world: World) -> None:
    world.person(enrolled=False)
    here = signed_in(world)
    first, second = begun(world, here), begun(world, here)
    session = active(world, here)
    assert refused(world.adding_factor.confirm, session, code(world, first)) is Reason.WRONG_CODE
    assert world.adding_factor.confirm(session, code(world, second), source=SOURCE)


@pytest.mark.parametrize("typed", [None, 7, "", "12345", "no code", "1" * 9])
def test_what_is_no_code_costs_no_try(world: World, typed: object) -> None:
    world.person(enrolled=False)
    here = signed_in(world)
    enrolment = begun(world, here)
    for _ in range(6):
        assert refused(world.adding_factor.confirm, active(world, here), typed) is Reason.MALFORMED
    assert world.adding_factor.confirm(active(world, here), code(world, enrolment), source=SOURCE)


def test_after_five_wrong_codes_it_is_over(world: World) -> None:
    robin = world.person(enrolled=False)
    here = signed_in(world)
    enrolment = begun(world, here)
    found = [
        refused(world.adding_factor.confirm, active(world, here), wrong(world, enrolment)) for _ in range(5)
    ]
    assert found == [Reason.WRONG_CODE] * 4 + [Reason.FLOW_EXHAUSTED]
    assert (
        refused(world.adding_factor.confirm, active(world, here), code(world, enrolment))
        is Reason.FLOW_UNKNOWN
    )
    assert not world.totp.enrolled(robin.id)


def test_it_is_over_after_ten_minutes_and_not_before(world: World) -> None:
    world.person(enrolled=False)
    here = signed_in(world)
    for late, outcome in (
        (timedelta(minutes=10), Reason.FLOW_UNKNOWN),
        (timedelta(minutes=9, seconds=59), None),
    ):
        enrolment = begun(world, here)
        world.clock.advance(late)
        if outcome is not None:
            assert (
                refused(world.adding_factor.confirm, active(world, here), code(world, enrolment)) is outcome
            )
        else:
            assert world.adding_factor.confirm(active(world, here), code(world, enrolment), source=SOURCE)


def test_a_password_that_was_changed_meanwhile_ends_it(world: World) -> None:
    robin = world.person(enrolled=False)
    here = signed_in(world)
    enrolment = begun(world, here)
    session = active(world, here)
    changed = world.passwords.hash(OTHER_PASSWORD, account_id=robin.id)
    assert world.backing.accounts.set_password(robin.id, changed, expected=robin.password_hash)
    assert refused(world.adding_factor.confirm, session, code(world, enrolment)) is Reason.FLOW_UNKNOWN
    assert not world.totp.enrolled(robin.id)


def test_a_session_that_its_owner_ended_meanwhile_leaves_no_factor(world: World) -> None:
    """A thief confirms at the moment in which the owner says "this wasn't me"."""
    robin = world.person(enrolled=False)
    here = signed_in(world)
    enrolment = begun(world, here)
    session = active(world, here)
    actor = Actor(type="user", id=robin.id)
    world.sessions.end_all(robin.id, source=SOURCE, actor=actor, why=Why.DISAVOWED.value)
    assert refused(world.adding_factor.confirm, session, code(world, enrolment)) is Reason.SESSION_REVOKED
    assert world.totp_store.devices(robin.id) == () and kinds(world, robin) == []
    last = world.events.named(Event.AUTH_MFA_ENROLLED)[-1]
    assert (last.outcome, last.reason) == (Outcome.DENIED, Reason.SESSION_REVOKED)


def test_of_several_at_once_one_confirms(world: World) -> None:
    robin = world.person(enrolled=False)
    here = signed_in(world)
    enrolment = begun(world, here)
    session, typed = active(world, here), code(world, enrolment)
    done = together(8, lambda _: world.adding_factor.confirm(session, typed, source=SOURCE))
    assert sum(isinstance(each, NewSession) for each in done) == 1
    assert all(isinstance(each, (NewSession, Denied)) for each in done)
    assert len(world.totp_store.devices(robin.id)) == 1


@pytest.mark.parametrize(
    "broken",
    [
        "accounts.get", "flows.attempt", "flows.consume", "flows.drop_account", "totp.devices", "totp.confirm",
        "throttle.take", "notices.put", "sessions.end_all", "sessions.end", "sessions.create", "links.drop_account",
    ],
)  # fmt: skip
def test_atk_41_what_any_store_stops_leaves_no_factor_and_can_be_done_again(
    world: World, broken: str
) -> None:
    robin = world.person(enrolled=False)
    here = signed_in(world)
    enrolment = begun(world, here)
    session = active(world, here)
    name, verb = broken.split(".")
    store = getattr(world, {"links": "link_store"}.get(name, f"{name.removesuffix('s')}_store"), None)
    store = store or getattr(world, f"{name}_store")
    store.failing[verb] = StoreError("down")
    with pytest.raises(StoreError):
        world.adding_factor.confirm(session, code(world, enrolment), source=SOURCE)
    store.failing.clear()
    assert not world.totp.enrolled(robin.id)
    again = signed_in(world)
    enrolment = begun(world, again)
    assert world.adding_factor.confirm(active(world, again), code(world, enrolment), source=SOURCE)


def test_atk_41_what_could_not_be_recorded_is_no_factor() -> None:
    failing: list[Exception] = []

    def emit(event: Any) -> None:
        if failing and event.name == Event.AUTH_MFA_ENROLLED:
            raise failing[0]

    world = World(second_factor="optional", emit=emit)
    robin = world.person(enrolled=False)
    here = signed_in(world)
    enrolment = begun(world, here)
    failing.append(AuditUnavailable("down"))
    with pytest.raises(AuditUnavailable):
        world.adding_factor.confirm(active(world, here), code(world, enrolment), source=SOURCE)
    assert world.totp_store.devices(robin.id) == ()
    assert active(world, here)


def test_atk_41_a_throttle_that_fails_at_the_very_end_signs_nobody_out(world: World) -> None:
    world.person(enrolled=False)
    here = signed_in(world)
    enrolment = begun(world, here)
    session = active(world, here)
    world.throttle_store.failing["give_back"] = StoreError("down")
    assert active(world, world.adding_factor.confirm(session, code(world, enrolment), source=SOURCE))


def test_the_door_of_sign_in_does_not_open_without_its_key(world: World) -> None:
    robin = world.person(enrolled=False)
    session = active(world, signed_in(world))
    with pytest.raises(TypeError):
        world.sign_in.begin_totp_within(None, session, robin, source=SOURCE)
    with pytest.raises(TypeError):
        world.sign_in.confirm_totp_within(None, session, "123456", source=SOURCE)


def test_atk_40_no_secret_is_in_an_event_or_in_what_is_stored(world: World) -> None:
    world.person(enrolled=False)
    here = signed_in(world)
    enrolment = begun(world, here)
    world.adding_factor.confirm(active(world, here), code(world, enrolment), source=SOURCE)
    shown = repr(list(world.events)) + repr(enrolment) + repr(vars(world.backing.flows))
    for secret in (enrolment.secret.reveal(), PASSWORD, here.token.reveal()):
        assert secret not in shown
    # By itself: within an id or a token its six digits may stand by chance.
    assert not re.search(rf"(?<!\w){code(world, enrolment)}(?!\w)", shown)
