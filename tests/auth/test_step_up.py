"""Step-up: what counts as fresh, what would do, and what happens to the session."""

from __future__ import annotations

import pickle
import re
from dataclasses import replace
from datetime import timedelta

import pytest

from portalsec.auth.factor_demand import FactorDemand
from portalsec.auth.out_of_band import OutOfBandPolicy
from portalsec.auth.proof import Factor
from portalsec.auth.sessions import ActiveSession, NewSession
from portalsec.auth.signin import SignInPolicy
from portalsec.auth.step_up import StepUpRequired
from portalsec.errors import AuditUnavailable, ConfigurationError, Denied, Reason, StoreError
from portalsec.events import Event, Outcome, SecurityEvent
from tests.auth.door import Door, refused
from tests.auth.mailing import Mailing
from tests.auth.world import OTHER_PASSWORD, PASSWORD, SOURCE

WITHIN = timedelta(minutes=5)
F = Factor


@pytest.fixture
def door() -> Door:
    return Door()


def asked(door: Door, held: ActiveSession, **kwargs: object) -> tuple[str, ...] | None:
    """What would do; None where nothing is asked."""
    try:
        door.step_up.require(held, **{"within": WITHIN, **kwargs})  # type: ignore[arg-type]
    except StepUpRequired as required:
        assert required.reason is Reason.STEP_UP_REQUIRED
        return required.next
    return None


def test_the_sign_in_is_no_step_up_and_a_step_up_lasts_for_its_time(door: Door) -> None:
    robin = door.person()
    opened = door.session(robin)
    held = door.active(opened)
    assert asked(door, held) == ("totp",)
    assert asked(door, held, explicit=False) is None  # fresh enough where the way in counts
    door.clock.advance(timedelta(seconds=60))
    new = door.step_up.submit_totp(held, door.code(robin), source=SOURCE)
    assert refused(lambda: door.active(opened)) is Reason.SESSION_UNKNOWN  # the old id is dead
    stepped = door.active(new)
    assert asked(door, stepped) is None
    event = door.events.named(Event.AUTH_STEP_UP)[-1]
    assert (event.outcome, event.details["factor"]) == (Outcome.SUCCESS, "totp")
    door.clock.advance(WITHIN - timedelta(seconds=1))
    assert asked(door, door.active(new)) is None
    door.clock.advance(timedelta(seconds=1))
    assert asked(door, door.active(new)) == ("totp",)


def test_activity_makes_no_proof_younger(door: Door) -> None:
    opened = door.session(door.person())
    for _ in range(6):
        door.clock.advance(timedelta(minutes=1))
        door.active(opened)
    assert asked(door, door.active(opened), explicit=False) == ("totp",)


def test_a_password_alone_is_no_step_up_for_whoever_has_a_second_factor(door: Door) -> None:
    robin = door.person()
    door.with_passkey(robin)
    held = door.active(door.session(robin))
    new = door.step_up.submit_password(held, PASSWORD, source=SOURCE)
    stepped = door.active(new)
    assert asked(door, stepped) == ("totp", "passkey")
    assert asked(door, stepped, factors={F.PASSWORD}) is None


def test_what_is_asked_is_what_is_named(door: Door) -> None:
    robin = door.person()
    door.with_passkey(robin)
    codes = door.with_codes(robin)
    held = door.active(door.session(robin))
    assert asked(door, held, factors={F.PASSKEY}) == ("passkey",)
    assert asked(door, held, phishing_resistant=True) == ("passkey",)
    assert asked(door, held, level=2) == ("password", "totp", "passkey", "recovery_code")
    held = door.active(door.step_up.submit_recovery_code(held, codes[0], source=SOURCE))
    assert asked(door, held) is None
    # A code beside a recovery code is no second factor: only what leads on is offered.
    assert asked(door, held, level=2) == ("password", "passkey")
    held = door.active(door.step_up.submit_password(held, PASSWORD, source=SOURCE))
    assert asked(door, held, level=2) is None  # two fresh ones of two kinds
    assert asked(door, held, phishing_resistant=True) == ("passkey",)
    options = door.step_up.begin_passkey(held, source=SOURCE)
    held = door.active(door.step_up.submit_passkey(held, door.answer(robin, options), source=SOURCE))
    assert asked(door, held, phishing_resistant=True) is None


def test_byp_16_an_account_with_nothing_to_show_is_never_let_through(door: Door) -> None:
    robin = door.person()
    held = door.active(door.session(robin))
    (device,) = door.totp_store.devices(robin.id)
    door.totp_store.remove(robin.id, device.id)
    account = door.account_store.get(robin.id)
    assert door.account_store.set_password(robin.id, None, expected=account.password_hash)
    assert asked(door, held) == ()
    assert asked(door, held, factors={F.PASSWORD}) == ()
    assert (
        refused(lambda: door.step_up.submit_password(held, PASSWORD, source=SOURCE))
        is Reason.FACTOR_NOT_ENROLLED
    )


def test_a_passkey_of_another_session_or_another_person_is_refused(door: Door) -> None:
    robin, kim = door.person(), door.person("kim")
    door.with_passkey(robin)
    door.with_passkey(kim)
    one, other = door.active(door.session(robin)), door.active(door.session(kim))
    options = door.step_up.begin_passkey(one, source=SOURCE)
    answer = door.answer(robin, options)
    assert refused(lambda: door.step_up.submit_passkey(other, answer, source=SOURCE)) is Reason.FLOW_UNKNOWN
    options = door.step_up.begin_passkey(one, source=SOURCE)
    door.keys[robin.id], mine = door.keys[kim.id], door.keys[robin.id]
    with pytest.raises(Exception):
        door.answer(robin, options)
    door.keys[robin.id] = mine


def test_wrong_ones_use_up_a_budget_of_their_own(door: Door) -> None:
    robin = door.person()
    held = door.active(door.session(robin))
    wrong = door.wrong_code(robin)
    for _ in range(5):
        assert refused(lambda: door.step_up.submit_totp(held, wrong, source=SOURCE)) is Reason.WRONG_CODE
    door.clock.advance(timedelta(seconds=60))
    assert (
        refused(lambda: door.step_up.submit_totp(held, door.code(robin), source=SOURCE)) is Reason.THROTTLED
    )
    # Signing in gives the thief of a session no new tries, and takes none from the owner.
    opened = door.session(robin)
    door.clock.advance(timedelta(seconds=60))
    again = door.active(opened)
    assert (
        refused(lambda: door.step_up.submit_totp(again, door.code(robin), source=SOURCE)) is Reason.THROTTLED
    )


def test_nothing_is_stepped_up_that_is_not_recorded(door: Door) -> None:
    robin = door.person()
    opened = door.session(robin)
    held = door.active(opened)

    def emit(event: SecurityEvent) -> None:
        if event.name == Event.AUTH_STEP_UP:
            raise AuditUnavailable("down")
        door.events(event)

    door.emit = emit
    door.wire()
    with pytest.raises(AuditUnavailable):
        door.step_up.submit_password(held, PASSWORD, source=SOURCE)
    assert asked(door, door.active(opened), factors={F.PASSWORD}) == ("password",)


def test_a_session_that_ended_meanwhile_is_not_stepped_up(door: Door) -> None:
    robin = door.person()
    opened = door.session(robin)
    held = door.active(opened)
    door.sign_in.logout(opened.token.reveal(), source=SOURCE)
    assert (
        refused(lambda: door.step_up.submit_password(held, PASSWORD, source=SOURCE)) is Reason.SESSION_UNKNOWN
    )
    assert door.events.last.outcome is Outcome.ERROR
    door.session_store.failing["load"] = StoreError("down")
    with pytest.raises(StoreError):
        door.active(opened)


def test_nobody_steps_up_in_anothers_name(door: Door) -> None:
    robin = door.person()
    held = door.active(door.session(robin))
    acting = replace(held, record=replace(held.record, impersonator="support"))
    for work in (
        lambda: door.step_up.require(acting, within=WITHIN),
        lambda: door.step_up.submit_password(acting, PASSWORD, source=SOURCE),
        lambda: door.step_up.submit_totp(acting, "123456", source=SOURCE),
        lambda: door.step_up.begin_passkey(acting, source=SOURCE),
    ):
        assert refused(work) is Reason.IMPERSONATED


def test_wrong_things_to_ask_are_the_developers(door: Door) -> None:
    held = door.active(door.session(door.person()))
    for wrong in (
        {"within": timedelta(0)},
        {"within": 300},
        {"factors": {F.EMAIL_CODE}},
        {"factors": ()},
        {"level": 4},
        {"level": "2"},
    ):
        with pytest.raises(ConfigurationError):
            door.step_up.require(held, **{"within": WITHIN, **wrong})  # type: ignore[arg-type]
    for kinds in (("fingerprint",), (F.EMAIL_CODE,), (WITHIN,), (len,)):
        with pytest.raises(ConfigurationError):
            FactorDemand.of(*kinds, within=WITHIN)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"within is a timedelta, as timedelta\(minutes=5\)"):
        FactorDemand.of("totp", within=300)  # type: ignore[arg-type]
    assert FactorDemand.of("totp", within=WITHIN) == FactorDemand.of(F.TOTP, within=WITHIN)


def short(door: Door, held: ActiveSession, **kwargs: object) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What would do, and what to set up."""
    with pytest.raises(StepUpRequired) as required:
        door.step_up.require(held, **{"within": WITHIN, **kwargs})  # type: ignore[arg-type]
    again = pickle.loads(pickle.dumps(required.value))
    assert (again.next, again.set_up) == (required.value.next, required.value.set_up)
    return required.value.next, required.value.set_up


def test_where_nothing_would_do_it_says_what_to_set_up(door: Door) -> None:
    robin = door.person()
    held = door.active(door.session(robin))
    assert short(door, held, phishing_resistant=True) == ((), ("passkey",))
    assert short(door, held, factors={F.RECOVERY_CODE}) == ((), ("recovery_code",))
    assert short(door, held, level=2) == (("password", "totp"), ())
    assert short(door, held, level=3) == ((), ("passkey",))
    door.with_passkey(robin)
    assert short(door, held, level=3) == ((), ("passkey",))  # of no known make: another may be
    # The code is shown, and still nothing but a passkey leads on.
    door.clock.advance(timedelta(seconds=60))
    held = door.active(door.step_up.submit_totp(held, door.code(robin), source=SOURCE))
    assert short(door, held, phishing_resistant=True) == (("passkey",), ())


def test_whoever_could_not_confirm_it_is_told_to_set_nothing_up(door: Door) -> None:
    robin = door.person()
    held = door.active(door.session(robin))
    (device,) = door.totp_store.devices(robin.id)
    for _ in range(100):
        door.totp_store.try_(robin.id, device.id, cap=100)
    assert door.totp.devices(robin.id)[0].dead
    assert short(door, held) == ((), ())
    assert short(door, held, phishing_resistant=True) == ((), ())
    assert short(door, held, factors={F.PASSWORD}) == (("password",), ())


def test_an_account_of_a_password_alone_is_led_to_a_second_factor() -> None:
    door = Door(SignInPolicy(second_factor="optional"))
    door.person(enrolled=False)
    step = door.start()
    assert step.session is not None
    held = door.active(step.session)
    assert short(door, held) == (("password",), ())
    assert short(door, held, level=2) == ((), ("totp", "passkey"))
    assert short(door, held, factors={F.TOTP, F.PASSKEY}) == ((), ("totp", "passkey"))
    assert short(door, held, factors={F.RECOVERY_CODE}) == ((), ())  # there are none without a second factor


def test_a_refusal_is_one_face(door: Door) -> None:
    held = door.active(door.session(door.person()))
    with pytest.raises(Denied) as refusal:
        door.step_up.submit_password(held, OTHER_PASSWORD, source=SOURCE)
    assert str(refusal.value) == str(StepUpRequired(("totp",))) == "The request was refused."


# -- a session that suddenly comes from elsewhere ---------------------------------------------------------------------------


ELSEWHERE = replace(SOURCE, address="203.0.113.9")


def strange(door: Door, opened: NewSession) -> ActiveSession:
    """The session as its step-up sees it after it jumped."""
    token = opened.token.reveal()
    assert refused(lambda: door.sessions.check(token, source=ELSEWHERE)) is Reason.STEP_UP_REQUIRED
    return door.sessions.check(token, source=ELSEWHERE, stepping_up=True)


def alive(door: Door, opened: NewSession) -> bool:
    try:
        door.sessions.check(opened.token.reveal(), source=ELSEWHERE)
    except Denied as denied:
        assert denied.reason is Reason.STEP_UP_REQUIRED
        return False
    return True


def test_a_password_alone_settles_nothing_strange_where_the_account_has_more(door: Door) -> None:
    robin = door.person()
    held = strange(door, door.session(robin))
    assert door.step_up.ways(held) == ("totp",)
    hashed = door.calls.count("accounts.get")
    with pytest.raises(StepUpRequired) as required:
        door.step_up.submit_password(held, PASSWORD, source=ELSEWHERE)
    assert required.value.next == ("totp",)
    assert door.calls.count("accounts.get") == hashed + 1, "what would do was looked up, and no password"
    event = door.events.named(Event.AUTH_STEP_UP)[-1]
    assert (event.outcome, event.reason) == (Outcome.DENIED, Reason.STEP_UP_REQUIRED)
    door.clock.advance(timedelta(seconds=60))
    assert alive(door, door.step_up.submit_totp(held, door.code(robin), source=ELSEWHERE))


def test_a_password_settles_it_where_it_is_all_that_the_account_has() -> None:
    door = Door(SignInPolicy(second_factor="optional"))
    door.person(enrolled=False)
    step = door.start()
    assert step.session is not None
    held = strange(door, step.session)
    assert door.step_up.ways(held) == ("password",)
    assert alive(door, door.step_up.submit_password(held, PASSWORD, source=ELSEWHERE))


def test_a_password_alone_settles_nothing_strange_where_a_mailed_code_was_asked_for_too() -> None:
    kinds = frozenset({Factor.PASSWORD, Factor.TOTP, Factor.EMAIL_CODE})
    with Mailing(
        sign_in=SignInPolicy(second_factor="required", factors=kinds),
        out_of_band=OutOfBandPolicy(factors=frozenset({Factor.EMAIL_CODE})),
    ) as m:
        m.person()
        step = m.portal.sign_in.start("robin", PASSWORD, source=SOURCE)
        m.portal.sign_in.send_code(step.pending.reveal(), Factor.EMAIL_CODE, source=SOURCE)
        code = re.search(r"\b(\d{6})\b", m.deliver()[-1].text)
        step = m.portal.sign_in.submit_sent_code(step.pending.reveal(), code[1], source=SOURCE)
        token = step.session.token.reveal()
        assert refused(lambda: m.portal.sessions.check(token, source=ELSEWHERE)) is Reason.STEP_UP_REQUIRED
        held = m.portal.sessions.check(token, source=ELSEWHERE, stepping_up=True)
        assert m.portal.step_up.ways(held) == (), "nothing that it could show here: a new sign-in"
        with pytest.raises(StepUpRequired):
            m.portal.step_up.submit_password(held, PASSWORD, source=ELSEWHERE)
        assert refused(lambda: m.portal.sessions.check(token, source=ELSEWHERE)) is Reason.STEP_UP_REQUIRED


def test_a_password_that_the_mailbox_set_is_the_mailbox_at_a_step_up_too() -> None:
    with Mailing() as m:
        robin = m.person()
        held = m.portal.sessions.check(m.session(source=SOURCE), source=SOURCE)
        store = m.portal.stores.accounts
        same = store.get(robin.id).password_hash
        assert store.set_password(robin.id, same, expected=same, changed_at=m.clock(), mailed=True)
        new = m.portal.step_up.submit_password(held, PASSWORD, source=SOURCE)
        proofs = m.portal.sessions.check(new.token.reveal(), source=SOURCE).proofs
        assert Factor.EMAIL_CODE in {proof.through for proof in proofs}


def test_a_session_that_a_passkey_opened_asks_for_a_passkey(door: Door) -> None:
    robin = door.person()
    door.with_passkey(robin)
    (code, *_) = door.with_codes(robin)
    step = door.first(robin)
    assert step.session is not None
    held = strange(door, step.session)
    door.clock.advance(timedelta(seconds=60))
    for work in (
        lambda: door.step_up.submit_totp(held, door.code(robin), source=ELSEWHERE),
        lambda: door.step_up.submit_recovery_code(held, code, source=ELSEWHERE),
    ):
        assert refused(work) is Reason.STEP_UP_REQUIRED
    assert door.recovery_codes.left(robin.id) == 10
    options = door.step_up.begin_passkey(held, source=ELSEWHERE)
    assert alive(door, door.step_up.submit_passkey(held, door.answer(robin, options), source=ELSEWHERE))


def test_a_factor_that_died_leaves_no_strange_session_to_the_password(door: Door) -> None:
    robin = door.person()
    held = strange(door, door.session(robin))
    (device,) = door.totp_store.devices(robin.id)
    for _ in range(100):
        door.totp_store.try_(robin.id, device.id, cap=100)
    assert door.step_up.ways(held) == ()
    assert (
        refused(lambda: door.step_up.submit_password(held, PASSWORD, source=ELSEWHERE))
        is Reason.STEP_UP_REQUIRED
    )
