"""What fails half-way through a sign-in leaves no authenticator, no false record and nobody's budget used up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from portalsec.auth.endings import Why
from portalsec.errors import AuditUnavailable, Reason, StoreError
from portalsec.events import SYSTEM, Event, Outcome, SecurityEvent
from tests.auth.mail import active, browser_token, refused, told, with_address
from tests.auth.world import OTHER_PASSWORD, PASSWORD, SOURCE, World, code_of, token


@pytest.fixture
def world() -> World:
    return World()


def began(world: World) -> tuple[str, Callable[[], str]]:
    """A pending sign-in that has begun to enrol, and the code of its authenticator."""
    pending = token(world.sign_in.start("robin", PASSWORD, source=SOURCE).pending)
    seed = world.sign_in.begin_totp_enrolment(pending, source=SOURCE).secret.reveal()
    return pending, lambda: code_of(seed, world.clock())


def confirmed(world: World, pending: str, code: str) -> object:
    return world.sign_in.confirm_totp_enrolment(pending, code, source=SOURCE)


def just_before_the_code(world: World, then: Callable[[], object]) -> None:
    real, fired = world.throttle.admit, []

    def admit(kind: str, **kwargs: Any) -> Any:
        attempt = real(kind, **kwargs)
        if kind == "enrolment" and not fired:
            fired.append(kind)
            fired.append(then())  # type: ignore[arg-type]
        return attempt

    world.throttle.admit = admit  # type: ignore[method-assign]


@pytest.mark.parametrize("how", ["reset", "ended", "aborted"])
def test_an_enrolment_that_was_ended_meanwhile_leaves_no_authenticator(world: World, how: str) -> None:
    account = world.person(enrolled=False)
    with_address(world, account)
    pending, code = began(world)
    link = browser_token(world)

    def meanwhile() -> object:
        if how == "reset":
            return world.reset.choose(link, OTHER_PASSWORD, source=SOURCE)
        if how == "aborted":
            return world.sign_in.abort(pending)  # type: ignore[func-returns-value]
        return world.endings.apply(account.id, Why.SIGNED_OUT_EVERYWHERE, actor=SYSTEM, source=SOURCE)

    just_before_the_code(world, meanwhile)
    assert refused(lambda: confirmed(world, pending, code())) is Reason.FLOW_UNKNOWN
    assert not world.totp.enrolled(account.id)
    assert "factor_added" not in told(world, account)
    password = OTHER_PASSWORD if how == "reset" else PASSWORD
    assert world.sign_in.start("robin", password, source=SOURCE).next == ("totp_enrolment",)


@pytest.mark.parametrize("broken", ["flow_store.consume", "session_store.end_all", "link_store.drop_account"])
def test_an_enrolment_that_a_store_stops_leaves_no_authenticator(world: World, broken: str) -> None:
    account = world.person(enrolled=False)
    pending, code = began(world)
    where, _, verb = broken.partition(".")
    store = getattr(world, where)
    store.failing[verb] = StoreError("down")
    with pytest.raises(StoreError):
        confirmed(world, pending, code())
    store.failing.clear()
    assert not world.totp.enrolled(account.id)
    assert "factor_added" not in told(world, account)


# -- what could not be tested is nobody's failure ------------------------------------------------------------------


def no_memory(world: World, verb: str) -> None:
    def fail(*_: object, **__: object) -> Any:
        raise StoreError("argon2id could not get its memory")

    setattr(world.passwords, verb, fail)


@pytest.mark.parametrize("name", ["robin", "nobody"])
def test_a_password_that_could_not_be_hashed_is_no_failure(world: World, name: str) -> None:
    world.person()
    real = world.passwords.verify
    no_memory(world, "verify")
    for _ in range(30):
        with pytest.raises(StoreError):
            world.sign_in.start(name, PASSWORD, source=SOURCE)
    world.passwords.verify = real  # type: ignore[method-assign]
    for _ in range(9):
        assert (
            refused(lambda: world.sign_in.start("robin", OTHER_PASSWORD, source=SOURCE))
            is Reason.WRONG_PASSWORD
        )
    assert world.sign_in.start("robin", PASSWORD, source=SOURCE).next == ("totp",)


def test_a_password_that_could_not_be_hashed_anew_is_no_failure(world: World) -> None:
    world.person()
    before = world.passwords.hash
    world.passwords.verify = lambda *_, **__: type("V", (), {"rehash_due": True})()  # type: ignore[method-assign]
    no_memory(world, "hash")
    for _ in range(30):
        with pytest.raises(StoreError):
            world.sign_in.start("robin", PASSWORD, source=SOURCE)
    world.passwords.hash = before  # type: ignore[method-assign]
    assert world.sign_in.start("robin", PASSWORD, source=SOURCE).next == ("totp",)


def test_a_current_password_that_could_not_be_hashed_is_no_failure(world: World) -> None:
    account = world.person()
    session = active(world, world.session(account))
    real = world.passwords.verify
    no_memory(world, "verify")
    for _ in range(10):
        with pytest.raises(StoreError):
            world.current.verify(session, PASSWORD, source=SOURCE)
    world.passwords.verify = real  # type: ignore[method-assign]
    assert world.current.verify(session, PASSWORD, source=SOURCE).id == account.id


def test_a_code_that_its_store_could_not_take_is_no_failure(world: World) -> None:
    account = world.person()
    world.totp_store.failing["advance"] = StoreError("down")
    for _ in range(8):
        pending = world.pending()
        with pytest.raises(StoreError):
            world.sign_in.submit_totp(pending, world.code(account), source=SOURCE)
    world.totp_store.failing.clear()
    assert world.sign_in.submit_totp(world.pending(), world.code(account), source=SOURCE).session


def test_a_first_code_that_its_store_could_not_take_is_no_failure(world: World) -> None:
    world.person(enrolled=False)
    for _ in range(8):
        pending, code = began(world)
        world.totp_store.failing["confirm"] = StoreError("down")
        with pytest.raises(StoreError):
            confirmed(world, pending, code())
        world.totp_store.failing.clear()
    pending, code = began(world)
    confirmed(world, pending, code())


# -- the log ---------------------------------------------------------------------------------------------------


def test_the_log_says_which_recorded_sign_in_came_to_nothing(world: World) -> None:
    account = world.person()
    pending = world.pending()

    def fail(*_: object, **__: object) -> None:
        raise StoreError("notices are down")

    world.watch.completed = fail  # type: ignore[method-assign]
    with pytest.raises(StoreError, match="notices"):
        world.sign_in.submit_totp(pending, world.code(account), source=SOURCE)
    (opened,) = world.events.named(Event.AUTH_LOGIN)
    (undone,) = world.events.named(Event.AUTH_LOGIN_FAILED)
    assert (opened.outcome, undone.outcome) == (Outcome.SUCCESS, Outcome.ERROR)
    assert (undone.session, undone.resource) == (opened.session, opened.resource)


def test_a_sign_in_that_was_not_recorded_has_no_second_record() -> None:
    world = World()
    account = world.person()

    def emit(event: SecurityEvent) -> None:
        if event.name == Event.AUTH_LOGIN:
            raise AuditUnavailable("down")
        world.events(event)

    world.emit = emit
    world.wire()
    pending = world.pending()
    with pytest.raises(AuditUnavailable):
        world.sign_in.submit_totp(pending, world.code(account), source=SOURCE)
    assert world.events.named(Event.AUTH_LOGIN_FAILED) == []
