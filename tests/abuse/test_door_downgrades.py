"""Ways to a session, or past a step-up, for whoever makes the door or the account poorer first: cases BYP, MFA and ATK."""

from __future__ import annotations

from datetime import timedelta

import pytest

from portalsec.auth.evidence import mint
from portalsec.auth.notices import NoticeKind
from portalsec.auth.ports import Account
from portalsec.auth.proof import Factor
from portalsec.auth.signin import SignInPolicy, Step
from portalsec.auth.step_up import StepUp, StepUpRequired
from portalsec.errors import Reason, StoreError
from portalsec.events import Event
from tests.abuse.doors import MakeDoor, backing, make
from tests.auth.door import MAIL, Door, begun, refused
from tests.auth.mail import browser_token, told, with_address
from tests.auth.world import OTHER_PASSWORD, PASSWORD, SOURCE, session

__all__ = ["backing", "make"]

FIVE = timedelta(minutes=5)
THIRD_PASSWORD = "copper umbrella violin meadow"
OPTIONAL = SignInPolicy(second_factor="optional")


def guess(door: Door, account: Account, times: int) -> None:
    """So many wrong codes were tested already."""
    (device,) = door.totp_store.devices(account.id)
    for _ in range(times):
        door.totp_store.try_(account.id, device.id, cap=100)


# -- step-up ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["totp", "passkey"])
def test_atk_47_a_factor_that_died_does_not_leave_the_password_alone_enough(
    make: MakeDoor, kind: str
) -> None:
    door = make(OPTIONAL)
    robin = door.person(enrolled=kind == "totp")
    if kind == "passkey":
        door.with_passkey(robin)
        held = door.active(session(door.first(robin)))
        (key,) = door.passkey_store.of_account(robin.id)
        door.passkey_store.suspect(robin.id, key.id, at=door.clock(), disable=True)
    else:
        held = door.active(door.session(robin))
        guess(door, robin, 100)
    stepped = door.active(door.step_up.submit_password(held, PASSWORD, source=SOURCE))
    with pytest.raises(StepUpRequired) as required:
        door.step_up.require(stepped, within=FIVE)
    assert required.value.next == ()
    assert refused(door.start) is Reason.EVIDENCE_MISSING  # as at the door
    # Whoever has the recovery codes is the owner, the last code included.
    for code in door.with_codes(robin)[-2:]:
        stepped = door.active(door.step_up.submit_recovery_code(stepped, code, source=SOURCE))
        door.step_up.require(stepped, within=FIVE)


def test_atk_04_the_owner_hears_of_an_authenticator_that_died_at_a_step_up(make: MakeDoor) -> None:
    door = make()
    robin = door.person()
    held = door.active(door.session(robin))
    door.step_up = StepUp(
        accounts=door.account_store,
        current=door.current,
        totp=door.totp,
        sessions=door.sessions,
        throttle=door.throttle,
        emit=door.events,
        clock=door.clock,
        notices=door.notices,
    )
    guess(door, robin, 98)
    for dead in (False, True):
        wrong = door.wrong_code(robin)
        assert refused(lambda w=wrong: door.step_up.submit_totp(held, w, source=SOURCE)) is Reason.WRONG_CODE
        assert bool(door.events.named(Event.AUTH_FACTOR_DISABLED)) is dead
        assert (NoticeKind.FACTOR_DISABLED in told(door, robin)) is dead
    reason = refused(lambda: door.step_up.submit_totp(held, door.code(robin), source=SOURCE))
    assert reason is Reason.FACTOR_DISABLED
    assert len(door.events.named(Event.AUTH_FACTOR_DISABLED)) == 1


def test_atk_41_a_step_up_that_plumbing_cut_short_spends_no_recovery_code(make: MakeDoor) -> None:
    door = make()
    robin = door.person()
    codes = door.with_codes(robin)
    held = door.active(door.session(robin))
    door.session_store.failing["replace"] = StoreError("down")
    with pytest.raises(StoreError):
        door.step_up.submit_recovery_code(held, codes[0], source=SOURCE)
    assert door.recovery_codes.left(robin.id) == 10
    del door.session_store.failing["replace"]
    held = door.active(door.step_up.submit_recovery_code(held, codes[0], source=SOURCE))
    # A code that was spent before is not brought back by a failure.
    door.session_store.failing["replace"] = door.recovery_code_store.failing["spend"] = StoreError("down")
    with pytest.raises(StoreError):
        door.step_up.submit_recovery_code(held, codes[0], source=SOURCE)
    assert door.recovery_codes.left(robin.id) == 9


# -- the door -----------------------------------------------------------------------------------------------------------


def test_atk_19_a_stricter_policy_does_not_let_a_password_alone_set_a_passkey_up_beside_mailed_codes(
    make: MakeDoor,
) -> None:
    door = make(SignInPolicy(factors=MAIL, phishing_resistant="required"))
    robin = door.person(enrolled=False)
    with_address(door, robin)
    step = door.start()
    assert step.next == ("email_code",)
    pending = begun(step)
    assert (
        refused(lambda: door.sign_in.begin_passkey_enrolment(pending, source=SOURCE)) is Reason.FLOW_UNKNOWN
    )


def test_grace_spares_nobody_what_they_can_show() -> None:
    soon = Door().clock() + timedelta(days=30)
    door = Door(SignInPolicy(factors=MAIL, phishing_resistant="required", enrol_by=soon))
    robin = door.person(enrolled=False)
    assert door.start().session  # nothing to show yet
    with_address(door, robin)
    assert door.start().next == ("email_code",)


def test_a_cancelled_dialog_does_not_use_up_the_codes_that_may_be_sent() -> None:
    door = Door(SignInPolicy(factors=MAIL))
    robin = door.person(enrolled=False)
    door.with_passkey(robin)
    with_address(door, robin)
    pending = begun(door.start())
    for _ in range(5):
        door.sign_in.begin_passkey(pending, source=SOURCE)
    for _ in range(3):
        assert door.sign_in.send_code(pending, Factor.EMAIL_CODE, source=SOURCE)
    send = lambda: door.sign_in.send_code(pending, Factor.EMAIL_CODE, source=SOURCE)  # noqa: E731
    assert refused(send) is Reason.FLOW_EXHAUSTED
    assert refused(send) is Reason.FLOW_UNKNOWN


def test_a_trusted_browsers_forced_change_leads_on_to_the_factor_that_was_spared() -> None:
    door = Door(OPTIONAL)
    robin = door.person()
    opened = door.sign_in.submit_totp(begun(door.start(trust=True)), door.code(robin), source=SOURCE)
    assert opened.device is not None
    door.account_store.require_change(robin.id, "breached")
    step = door.start(device=opened.device.reveal())
    assert step.next == ("new_password",)
    step = door.password_change.submit_forced(begun(step), OTHER_PASSWORD, source=SOURCE)
    assert step.next == ("totp",)
    door.clock.advance(timedelta(seconds=60))
    assert door.sign_in.submit_totp(begun(step), door.code(robin), source=SOURCE).session


# -- a mailbox, twice -----------------------------------------------------------------------------------------------------


def reset_by_mail(door: Door) -> Step:
    """What whoever reads the mailbox can do."""
    return door.reset.choose(browser_token(door), OTHER_PASSWORD, source=SOURCE)


def test_atk_36_mfa_14_the_mailbox_alone_does_not_get_in_over_two_sign_ins(make: MakeDoor) -> None:
    door = make(SignInPolicy(factors=MAIL))
    robin = door.person()
    with_address(door, robin)
    assert door.start().next == ("totp", "email_code")
    step = reset_by_mail(door)
    assert step.next == ("totp",)
    door.sign_in.abort(begun(step))
    again = door.sign_in.start("robin", OTHER_PASSWORD, source=SOURCE)
    assert again.next == ("totp",), "a mailed code is the mailbox that the password came from"
    send = lambda: door.sign_in.send_code(begun(again), Factor.EMAIL_CODE, source=SOURCE)  # noqa: E731
    assert refused(send) is Reason.FACTOR_NOT_ENROLLED
    evidence = [mint(kind, robin.id, door.clock(), epoch=2) for kind in (Factor.PASSWORD, Factor.EMAIL_CODE)]
    assert refused(lambda: door.sign_in.login(robin.id, evidence, source=SOURCE)) is Reason.EVIDENCE_MISSING


def test_atk_36_a_reset_password_is_proven_by_whoever_typed_it_and_no_passkey_alone(make: MakeDoor) -> None:
    door = make(SignInPolicy(factors=MAIL))
    robin = door.person()
    with_address(door, robin)
    door.with_passkey(robin)
    reset_by_mail(door)
    session(door.first(robin))
    start = lambda: door.sign_in.start("robin", OTHER_PASSWORD, source=SOURCE)  # noqa: E731
    assert start().next == ("totp", "passkey"), "a thief of the mailbox may still be who knows the password"
    opened = session(door.second(robin, begun(start())))
    assert start().next == ("totp", "passkey", "email_code")
    door.password_change.change(
        door.active(opened), current=OTHER_PASSWORD, new=THIRD_PASSWORD, source=SOURCE
    )
    assert not door.account_store.get(robin.id).password_mailed  # type: ignore[union-attr]


def test_atk_36_a_password_that_takes_the_place_of_one_by_mail_proves_no_more(make: MakeDoor) -> None:
    door = make(SignInPolicy(second_factor="optional", factors=MAIL))
    robin = door.person(enrolled=False)
    with_address(door, robin)
    opened = session(reset_by_mail(door))
    door.password_change.change(
        door.active(opened), current=OTHER_PASSWORD, new=THIRD_PASSWORD, source=SOURCE
    )
    door.enrol(robin)
    step = door.sign_in.start("robin", THIRD_PASSWORD, source=SOURCE)
    assert step.next == ("totp",)
    session(door.sign_in.submit_totp(begun(step), door.code(robin), source=SOURCE))
    assert door.sign_in.start("robin", THIRD_PASSWORD, source=SOURCE).next == ("totp", "email_code")


# -- what is left behind --------------------------------------------------------------------------------------------------


def test_byp_08_atk_41_signing_out_ends_the_session_whatever_fails_beside_it(make: MakeDoor) -> None:
    door = make()
    robin = door.person()
    opened, pending = door.session(robin), begun(door.start())
    door.flow_store.failing["consume"] = StoreError("down")
    with pytest.raises(StoreError):
        door.sign_in.logout(opened.token.reveal(), source=SOURCE, pending=pending)
    assert refused(lambda: door.active(opened)) is Reason.SESSION_UNKNOWN


def test_byp_07_a_sign_in_that_was_dropped_tells_nobody_whose_it_was(make: MakeDoor) -> None:
    door = make()
    robin = door.person()
    door.account_store.require_change(robin.id, "breached")
    pending = begun(door.sign_in.submit_totp(begun(door.start()), door.code(robin), source=SOURCE))
    assert door.sign_in.chooser(pending)
    door.sign_in.abort(pending)
    assert door.sign_in.chooser(pending) is None
