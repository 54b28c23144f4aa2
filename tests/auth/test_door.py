"""The door with every factor: what leads where, and what the policy asks of whom."""

from __future__ import annotations

from datetime import timedelta

import pytest

from portalsec.auth.demands import Demand, DemandRule, Facts
from portalsec.auth.proof import Factor
from portalsec.auth.signin import SignInPolicy
from portalsec.errors import ConfigurationError, Denied, Reason, StoreError
from portalsec.events import Actor, Event
from tests.auth.door import MAIL, Door, begun, refused
from tests.auth.mail import told, with_address
from tests.auth.world import OTHER_PASSWORD, PASSWORD, SOURCE, session

ADMIN = Actor(type="user", id="admin")
F = Factor


@pytest.fixture
def door() -> Door:
    return Door()


# -- passkeys -----------------------------------------------------------------------------------------------------


def test_a_passkey_alone_opens_a_session_with_a_name_and_without(door: Door) -> None:
    robin = door.person(enrolled=False)
    door.with_passkey(robin)
    for login in (None, "robin"):
        step = door.first(robin, login=login)
        active = door.active(session(step))
        assert (active.account_id, active.factors, active.record.level) == (robin.id, ("passkey",), 2)
        assert active.record.phishing_resistant
    assert Event.AUTH_PASSWORD_VERIFIED not in door.events.names


def test_a_first_passkey_must_verify_its_user(door: Door) -> None:
    robin = door.person(enrolled=False)
    door.with_passkey(robin, user_verification=False)
    assert refused(lambda: door.first(robin)) is Reason.PASSKEY_REFUSED
    assert door.events.last.name == Event.AUTH_LOGIN_FAILED
    # As the second factor its touch is enough: the password is the other one.
    step = door.second(robin, begun(door.start()))
    assert door.factors(step) == ("password", "passkey")


def test_a_first_passkey_has_one_answer_and_its_token_dies_with_it(door: Door) -> None:
    robin = door.person(enrolled=False)
    door.with_passkey(robin)
    options, pending = door.sign_in.begin_passkey(source=SOURCE)
    answer = door.answer(robin, options)
    assert refused(lambda: door.sign_in.submit_passkey(pending.reveal(), "{}", source=SOURCE)) in (
        Reason.MALFORMED,
        Reason.PASSKEY_REFUSED,
    )
    assert (
        refused(lambda: door.sign_in.submit_passkey(pending.reveal(), answer, source=SOURCE))
        is Reason.FLOW_UNKNOWN
    )


def test_a_disabled_account_gets_no_session_by_passkey(door: Door) -> None:
    robin = door.person(enrolled=False)
    door.with_passkey(robin)
    door.accounts.disable(robin.id, actor=ADMIN, source=SOURCE)
    assert refused(lambda: door.first(robin)) is Reason.ACCOUNT_DISABLED
    assert refused(lambda: door.first(robin, login="robin")) is Reason.ACCOUNT_DISABLED


def test_a_name_without_passkeys_looks_and_costs_like_one_with(door: Door) -> None:
    robin = door.person(enrolled=False)
    door.with_passkey(robin)
    door.person("kim", enrolled=False)
    door.sign_in.begin_passkey(source=SOURCE, login="warm-up")
    calls = {}
    for login in ("robin", "kim", "nobody"):
        door.calls.clear()
        options, _ = door.sign_in.begin_passkey(source=SOURCE, login=login)
        calls[login] = (tuple(door.calls), options.json.count('"type"') > 0)
    assert calls["robin"] == calls["kim"] == calls["nobody"]


def test_a_passkey_that_was_removed_since_opens_nothing(door: Door) -> None:
    robin = door.person(enrolled=False)
    door.with_passkey(robin)
    (passkey,) = door.passkey_store.of_account(robin.id)
    real = door.passkeys.complete_sign_in  # type: ignore[union-attr]

    def just_after(*args: object, **kwargs: object) -> object:
        evidence = real(*args, **kwargs)  # type: ignore[arg-type]
        door.passkey_store.remove(robin.id, passkey.id, at=door.clock())
        return evidence

    door.passkeys.complete_sign_in = just_after  # type: ignore[method-assign, union-attr, assignment]
    assert refused(lambda: door.first(robin)) is Reason.EVIDENCE_STALE


def test_whoever_begins_with_a_passkey_while_a_password_was_right_is_not_told_of_that(door: Door) -> None:
    robin = door.person()
    door.with_passkey(robin)
    left = begun(door.start())
    options, pending = door.sign_in.begin_passkey(source=SOURCE, replaces=left)
    done = door.sign_in.submit_passkey(pending.reveal(), door.answer(robin, options), source=SOURCE)
    assert done.session is not None
    notice = next(each for each in door.watch.told if each[0] == "completed")
    assert len(notice) == 5  # the notice of the other sign-in is folded into this one
    assert refused(lambda: door.second(robin, left)) is Reason.FLOW_UNKNOWN


def test_a_passkey_from_autofill_folds_the_notice_of_the_sign_in_that_it_takes_the_place_of(
    door: Door,
) -> None:
    robin = door.person()
    door.person("kim")
    door.with_passkey(robin)
    own, anothers = begun(door.start()), begun(door.start("kim"))
    answers = []
    for left in (own, anothers):
        options, pending = door.sign_in.begin_passkey(source=SOURCE)  # another tab's sign-in goes on
        answers.append((pending.reveal(), door.answer(robin, options), left))
    for pending, answer, left in answers:
        door.watch.told.clear()
        assert door.sign_in.submit_passkey(pending, answer, source=SOURCE, replaces=left).session
        (told,) = (each for each in door.watch.told if each[0] == "completed")
        assert (len(told) == 5) is (left is own), "of another person's password that person is told still"
        assert refused(lambda left=left: door.second(robin, left)) is Reason.FLOW_UNKNOWN
    # A passkey that is refused takes nothing's place.
    left, (options, pending) = begun(door.start()), door.sign_in.begin_passkey(source=SOURCE)
    wrong = lambda: door.sign_in.submit_passkey(pending.reveal(), "{}", source=SOURCE, replaces=left)  # noqa: E731
    assert refused(wrong)
    assert door.second(robin, left).session


# -- what is offered ------------------------------------------------------------------------------------------------


def test_everything_that_leads_on_is_offered_and_any_of_it_does(door: Door) -> None:
    robin = door.person()
    door.with_passkey(robin)
    codes = door.with_codes(robin)
    assert door.start().next == ("totp", "passkey", "recovery_code")
    assert door.factors(door.second(robin, begun(door.start()))) == ("password", "passkey")
    done = door.sign_in.submit_recovery_code(begun(door.start()), codes[0].lower(), source=SOURCE)
    assert door.factors(done) == ("password", "recovery_code")
    assert "recovery_code_used" in told(door, robin)
    again = begun(door.start())
    assert (
        refused(lambda: door.sign_in.submit_recovery_code(again, codes[0], source=SOURCE))
        is Reason.WRONG_CODE
    )


def test_a_recovery_code_whose_sign_in_failed_of_plumbing_is_not_spent(door: Door) -> None:
    robin = door.person()
    codes = door.with_codes(robin)
    pending = begun(door.start())
    door.session_store.failing["create"] = StoreError("down")
    with pytest.raises(StoreError):
        door.sign_in.submit_recovery_code(pending, codes[0], source=SOURCE)
    door.session_store.failing.clear()
    assert door.recovery_codes.left(robin.id) == 10
    assert door.sign_in.submit_recovery_code(begun(door.start()), codes[0], source=SOURCE).session


def test_nothing_is_set_up_beside_a_second_factor_that_is_there(door: Door) -> None:
    robin = door.person(enrolled=False)
    step = door.start()
    assert step.next == ("totp_enrolment", "passkey_enrolment")
    pending = begun(step)
    door.with_passkey(robin)  # the owner was faster
    assert (
        refused(lambda: door.sign_in.begin_totp_enrolment(pending, source=SOURCE))
        is Reason.FACTOR_ALREADY_ENROLLED
    )


def test_a_passkey_is_set_up_at_the_door_and_everything_else_ends(door: Door) -> None:
    robin = door.person(enrolled=False)
    other, pending = begun(door.start()), begun(door.start())
    done = door.enrol_passkey(robin, pending)
    assert door.factors(done) == ("password", "passkey")
    assert "factor_added" in told(door, robin)
    assert refused(lambda: door.enrol_totp(other)) is Reason.FLOW_UNKNOWN
    assert door.start().next == ("passkey",)


def test_a_passkey_that_could_not_be_recorded_is_void(door: Door) -> None:
    robin = door.person(enrolled=False)
    pending = begun(door.start())
    door.session_store.failing["end_all"] = StoreError("down")
    with pytest.raises(StoreError):
        door.enrol_passkey(robin, pending)
    door.session_store.failing.clear()
    assert not door.passkey_store.of_account(robin.id)
    assert door.start().next == ("totp_enrolment", "passkey_enrolment")


def test_an_authenticator_that_is_dead_is_no_way_in_and_no_way_round(door: Door) -> None:
    robin = door.person()
    (device,) = door.totp_store.devices(robin.id)
    while door.totp_store.try_(robin.id, device.id, cap=door.totp.policy.cap):
        pass
    assert refused(door.start) is Reason.EVIDENCE_MISSING
    codes = door.with_codes(robin)
    step = door.start()
    assert step.next == ("recovery_code",)
    assert door.sign_in.submit_recovery_code(begun(step), codes[3], source=SOURCE).session


def test_the_try_that_kills_an_authenticator_is_recorded_and_told_once(door: Door) -> None:
    robin = door.person()
    (device,) = door.totp_store.devices(robin.id)
    for _ in range(door.totp.policy.cap - 1):
        door.totp_store.try_(robin.id, device.id, cap=door.totp.policy.cap)
    pending, wrong = begun(door.start()), door.wrong_code(robin)
    assert refused(lambda: door.sign_in.submit_totp(pending, wrong, source=SOURCE)) is Reason.WRONG_CODE
    assert (
        refused(lambda: door.sign_in.submit_totp(pending, door.code(robin), source=SOURCE))
        is not Reason.WRONG_CODE
    )
    assert door.events.names.count(Event.AUTH_FACTOR_DISABLED) == 1
    assert told(door, robin).count("factor_disabled") == 1


# -- what the policy asks -------------------------------------------------------------------------------------------


def test_a_phishing_resistant_policy_takes_what_is_there_and_then_sets_a_passkey_up() -> None:
    door = Door(SignInPolicy(phishing_resistant="required"))
    robin = door.person()
    step = door.start()
    assert step.next == ("totp",)
    step = door.sign_in.submit_totp(begun(step), door.code(robin), source=SOURCE)
    assert step.next == ("passkey_enrolment",)
    done = door.enrol_passkey(robin, begun(step))
    assert door.factors(done) == ("password", "totp", "passkey")
    assert door.start().next == ("passkey",)


def test_each_step_has_a_token_of_its_own_and_one_time_for_all() -> None:
    door = Door(SignInPolicy(phishing_resistant="required"))
    robin = door.person()
    first = begun(door.start())
    door.clock.advance(timedelta(minutes=9))
    step = door.sign_in.submit_totp(first, door.code(robin), source=SOURCE)
    assert begun(step) != first
    assert refused(lambda: door.enrol_passkey(robin, first)) is Reason.FLOW_UNKNOWN
    door.clock.advance(timedelta(minutes=1))
    assert refused(lambda: door.enrol_passkey(robin, begun(step))) is Reason.FLOW_UNKNOWN


def rules(*, since_in: timedelta | None = None) -> tuple[DemandRule, ...]:
    return (
        DemandRule(demand=Demand(phishing_resistant=True), roles=frozenset({"admin"})),
        DemandRule(demand=Demand(level=2), risk=1),
        DemandRule(demand=Demand(factors=(frozenset({F.PASSKEY}),)), tenants=frozenset({"north"})),
    )


def test_rules_ask_more_of_some_and_the_strictest_wins() -> None:
    facts = {"now": Facts()}
    door = Door(
        SignInPolicy(second_factor="optional", rules=rules()), facts_of=lambda account_id: facts["now"]
    )
    door.person(enrolled=False)
    assert door.start().session
    for known in (Facts(roles=frozenset({"admin"})), Facts(tenants=frozenset({"north"}))):
        facts["now"] = known
        assert door.start().next == ("passkey_enrolment",)
    facts["now"] = Facts(risk=2)
    assert door.start().next == ("totp_enrolment", "passkey_enrolment")
    facts["now"] = Facts(risk=2, roles=frozenset({"admin"}))
    pending = begun(door.start())
    facts["now"] = Facts(risk=2, roles=frozenset({"nurse"}))
    assert door.enrol_totp(pending).session  # asked anew: an admin no more


def test_who_becomes_an_admin_half_way_is_asked_as_an_admin() -> None:
    facts = {"now": Facts()}
    door = Door(
        SignInPolicy(second_factor="optional", rules=rules()), facts_of=lambda account_id: facts["now"]
    )
    robin = door.person()
    pending = begun(door.start())
    facts["now"] = Facts(roles=frozenset({"admin"}))
    step = door.sign_in.submit_totp(pending, door.code(robin), source=SOURCE)
    assert step.next == ("passkey_enrolment",)


def test_grace_until_a_date_and_not_a_moment_longer() -> None:
    start = Door().clock()
    door = Door(SignInPolicy(enrol_by=start + timedelta(hours=1)))
    door.person(enrolled=False)
    door.person("kim")
    assert door.start("kim").next == ("totp",)  # grace is for those who have nothing to show
    door.clock.advance(start + timedelta(hours=1) - door.clock() - timedelta(seconds=1))
    again = session(door.start())
    assert door.active(again).factors == ("password",)
    door.clock.advance(timedelta(seconds=1))
    assert refused(lambda: door.active(again)) is Reason.EVIDENCE_MISSING
    assert door.start().next == ("totp_enrolment", "passkey_enrolment")


def test_what_grace_let_in_ends_on_the_day_also_where_a_mailed_code_counts() -> None:
    # A mailed code is never level 2: who showed one, and who showed a password alone, are at the same level.
    day = Door().clock() + timedelta(minutes=5)
    door = Door(SignInPolicy(factors=MAIL, enrol_by=day))
    robin, kim = door.person(enrolled=False), door.person("kim", enrolled=False)
    alone = session(door.start())
    with_address(door, kim)
    pending = begun(door.start("kim"))
    door.sign_in.send_code(pending, F.EMAIL_CODE, source=SOURCE)
    (asked,) = door.notice_store.claim(now=door.clock(), lease=timedelta(minutes=5), limit=9)
    code = door.notices.details(asked)["one_time"]
    two = session(door.sign_in.submit_sent_code(pending, code, source=SOURCE))
    with_address(door, robin, address="robin@home.example")  # a factor that exists was not shown for that
    door.clock.advance(day - door.clock() - timedelta(seconds=1))
    assert door.active(alone).factors == ("password",)
    door.clock.advance(timedelta(seconds=1))
    assert refused(lambda: door.active(alone)) is Reason.EVIDENCE_MISSING
    assert door.active(two).factors == ("password", "email_code")
    assert door.active(two).record.level == 1


def test_mailed_codes_are_off_unless_they_are_listed() -> None:
    for factors, expected in ((None, ("totp_enrolment", "passkey_enrolment")), (MAIL, ("email_code",))):
        policy = SignInPolicy() if factors is None else SignInPolicy(factors=factors)
        door = Door(policy)
        robin = door.person(enrolled=False)
        with_address(door, robin)
        assert door.start().next == expected


def test_after_a_reset_by_mail_a_mailed_code_proves_nothing_more() -> None:
    from tests.auth.mail import browser_token

    door = Door(SignInPolicy(factors=MAIL))
    robin = door.person(enrolled=False)
    with_address(door, robin)
    step = door.reset.choose(browser_token(door), OTHER_PASSWORD, source=SOURCE)
    assert step.next == ("totp_enrolment", "passkey_enrolment")
    pending = begun(step)
    assert (
        refused(lambda: door.sign_in.send_code(pending, F.EMAIL_CODE, source=SOURCE)) is Reason.FLOW_UNKNOWN
    )


def test_a_kind_that_leads_nowhere_is_not_tested(door: Door) -> None:
    robin = door.person(enrolled=False)
    door.with_passkey(robin)
    pending = begun(door.start())
    assert (
        refused(lambda: door.sign_in.submit_totp(pending, "123456", source=SOURCE))
        is Reason.FACTOR_NOT_ENROLLED
    )
    assert (
        refused(lambda: door.sign_in.send_code(pending, F.EMAIL_CODE, source=SOURCE))
        is Reason.FACTOR_NOT_ENROLLED
    )
    # Asking for a code that is never sent costs nothing but the asking.
    assert door.second(robin, pending).session


def test_a_trusted_browser_is_spared_what_its_owner_chose_and_nothing_that_the_policy_asks() -> None:
    for second_factor, expected in (("optional", True), ("required", False)):
        door = Door(SignInPolicy(second_factor=second_factor))  # type: ignore[arg-type]
        robin = door.person()
        step = door.start(trust=True)
        done = door.sign_in.submit_totp(begun(step), door.code(robin), source=SOURCE)
        assert done.device is not None
        spared = door.start(device=done.device.reveal())
        assert (spared.session is not None) is expected
        assert door.start().next == ("totp",)
        door.with_passkey(robin)  # another set-up: the trust is over
        assert door.start(device=done.device.reveal()).session is None


# -- after an idle end ----------------------------------------------------------------------------------------------


def test_one_factor_resumes_what_idleness_ended(door: Door) -> None:
    robin = door.person()
    door.with_passkey(robin)
    for how in ("password", "passkey"):
        opened = door.session(robin)
        door.clock.advance(timedelta(minutes=16))
        assert refused(lambda: door.active(opened)) is Reason.SESSION_IDLE  # noqa: B023
        old = opened.token.reveal()
        if how == "password":
            assert (
                refused(lambda: door.sign_in.resume(old, OTHER_PASSWORD, source=SOURCE))  # noqa: B023
                is Reason.WRONG_PASSWORD
            )
            new = door.sign_in.resume(old, PASSWORD, source=SOURCE)
        else:
            options = door.sign_in.begin_resume_passkey(old, source=SOURCE)
            new = door.sign_in.resume_passkey(old, door.answer(robin, options), source=SOURCE)
        assert set(door.active(new).factors) == {"password", "totp", how}
        assert refused(lambda: door.active(opened)) is Reason.SESSION_UNKNOWN  # noqa: B023
        assert refused(lambda: door.sign_in.resume(old, PASSWORD, source=SOURCE)) is Reason.SESSION_UNKNOWN  # noqa: B023
        door.clock.advance(timedelta(seconds=30))


def test_a_session_that_no_longer_has_what_is_asked_is_not_resumed() -> None:
    facts = {"now": Facts()}
    door = Door(SignInPolicy(rules=rules()), facts_of=lambda account_id: facts["now"])
    opened = door.session(door.person())
    door.clock.advance(timedelta(minutes=16))
    facts["now"] = Facts(roles=frozenset({"admin"}))
    assert (
        refused(lambda: door.sign_in.resume(opened.token.reveal(), PASSWORD, source=SOURCE))
        is Reason.EVIDENCE_MISSING
    )


# -- building -------------------------------------------------------------------------------------------------------


def test_rules_by_role_want_somebody_who_tells() -> None:
    with pytest.raises(ConfigurationError, match="facts_of"):
        Door(SignInPolicy(rules=rules()))
    Door(SignInPolicy(rules=(DemandRule(demand=Demand(level=2)),)))


def test_a_policy_that_cannot_be_meant_is_refused() -> None:
    for wrong in (
        {"phishing_resistant": "yes"},
        {"factors": frozenset({F.EMAIL_CODE})},
        {"factors": frozenset({F.PASSWORD, F.TOTP}), "phishing_resistant": "required"},
        {"rules": ("admin",)},
    ):
        with pytest.raises(ConfigurationError):
            SignInPolicy(**wrong)  # type: ignore[arg-type]


def test_who_fails_to_tell_lets_nobody_in() -> None:
    def broken(account_id: str) -> Facts:
        raise StoreError("the directory is down")

    for facts_of, error in ((broken, StoreError), (lambda account_id: None, TypeError)):
        door = Door(SignInPolicy(second_factor="optional", rules=rules()), facts_of=facts_of)  # type: ignore[arg-type]
        door.person(enrolled=False)
        with pytest.raises(error):
            door.start()
        assert "sessions.create" not in door.calls


def test_a_portal_without_a_service_takes_nothing_of_its_kind() -> None:
    from tests.auth.world import World

    world = World()
    world.person()
    pending = world.pending()
    for work in (
        lambda: world.sign_in.begin_passkey(source=SOURCE),
        lambda: world.sign_in.begin_passkey(pending, source=SOURCE),
        lambda: world.sign_in.submit_passkey(pending, "{}", source=SOURCE),
        lambda: world.sign_in.submit_recovery_code(pending, "x", source=SOURCE),
        lambda: world.sign_in.send_code(pending, F.EMAIL_CODE, source=SOURCE),
        lambda: world.sign_in.submit_sent_code(pending, "123456", source=SOURCE),
        lambda: world.sign_in.begin_passkey_enrolment(pending, source=SOURCE),
        lambda: world.sign_in.confirm_passkey_enrolment(pending, "{}", source=SOURCE),
    ):
        with pytest.raises(Denied):
            work()
