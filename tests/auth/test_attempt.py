"""What is known of one sign-in: labels by an application, what an app says of its device, and a session that has both."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from portalsec.auth.attempt import SignInAttempt
from portalsec.auth.demands import Demand, DemandRule
from portalsec.auth.device_rules import DeviceRule
from portalsec.auth.evidence import mint
from portalsec.auth.proof import Factor
from portalsec.auth.signin import SignInPolicy
from portalsec.auth.step_up import StepUpRequired
from portalsec.errors import ConfigurationError, Denied, Reason, StoreError
from portalsec.events import SYSTEM, Event, Source
from tests.auth.door import MAIL, Door, begun, refused
from tests.auth.mail import browser_token, token_of, with_address
from tests.auth.world import OTHER_PASSWORD, PASSWORD, SOURCE

ABROAD = Source(address="203.0.113.9", user_agent=SOURCE.user_agent)
F = Factor


def app(source: Source = SOURCE, **claim: Any) -> Source:
    return replace(source, posture=json.dumps({"platform": "android", **claim}))


class Labels:
    """An application's `RiskOf`, which keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[SignInAttempt] = []

    def __call__(self, attempt: SignInAttempt) -> frozenset[str]:
        self.asked.append(attempt)
        away = "abroad" in (attempt.source.request_id or "") or attempt.source.address == ABROAD.address
        return frozenset({"abroad"} if away else ()) | frozenset({f"device_{attempt.device}"})


def a_door(label: str = "abroad", demand: Demand | None = None, **policy: Any) -> tuple[Door, Labels]:
    labels = Labels()
    asked = demand or Demand(phishing_resistant=True)
    rules = (DemandRule(demand=asked, labels=frozenset({label})),)
    chosen = SignInPolicy(**{"second_factor": "optional", "rules": rules, **policy})
    return Door(chosen, risk_of=labels), labels


def test_from_abroad_a_passkey_is_asked_for_and_nowhere_else() -> None:
    door, labels = a_door()
    robin = door.person()
    door.with_passkey(robin)
    assert door.start().next == ("totp", "passkey")
    step = door.sign_in.start("robin", PASSWORD, source=ABROAD)
    assert step.next == ("passkey",)
    assert (
        refused(lambda: door.sign_in.submit_totp(begun(step), door.code(robin), source=ABROAD))
        is Reason.FACTOR_NOT_ENROLLED
    )
    options, pending = door.sign_in.begin_passkey(begun(step), source=ABROAD)
    done = door.sign_in.submit_passkey(pending.reveal(), door.answer(robin, options), source=ABROAD)
    assert done.session
    assert {each.account_id for each in labels.asked} == {robin.id}


def test_nobody_answers_from_abroad_with_a_factor_that_they_set_up_this_moment() -> None:
    door, _ = a_door()
    door.person(enrolled=False)
    assert door.start().session
    assert refused(lambda: door.sign_in.start("robin", PASSWORD, source=ABROAD)) is Reason.EVIDENCE_MISSING
    kim = door.person("kim")  # nor beside one that they showed
    step = door.sign_in.start("kim", PASSWORD, source=ABROAD)
    assert (
        refused(lambda: door.sign_in.submit_totp(begun(step), door.code(kim), source=ABROAD))
        is Reason.EVIDENCE_MISSING
    )
    # Who has to set one up anyway does, and one that does there.
    door, _ = a_door(second_factor="required")
    door.person(enrolled=False)
    assert door.sign_in.start("robin", PASSWORD, source=ABROAD).next == ("passkey_enrolment",)


def test_there_is_no_time_to_set_up_what_being_abroad_asks_for() -> None:
    door, _ = a_door(second_factor="required", enrol_by=Door().clock() + timedelta(days=9))
    door.person(enrolled=False)
    assert door.start().session
    assert refused(lambda: door.sign_in.start("robin", PASSWORD, source=ABROAD)) is Reason.EVIDENCE_MISSING


def test_the_place_is_asked_anew_at_every_step_and_at_the_door() -> None:
    door, labels = a_door()
    robin = door.person()
    door.with_passkey(robin)
    pending = begun(door.start())  # begun at home, ended abroad
    assert (
        refused(lambda: door.sign_in.submit_totp(pending, door.code(robin), source=ABROAD))
        is Reason.FACTOR_NOT_ENROLLED
    )
    here = {"at": SOURCE}

    def moving(attempt: SignInAttempt) -> frozenset[str]:
        labels.asked.append(attempt)
        return frozenset({"abroad"} if len(labels.asked) > 2 else ())

    door.risk_of = moving
    door.wire()
    pending = begun(door.start())
    labels.asked.clear()
    # Offered and next say home, and the door itself says abroad.
    assert (
        refused(lambda: door.sign_in.submit_totp(pending, door.code(robin), source=here["at"]))
        is Reason.EVIDENCE_MISSING
    )


def test_no_way_to_the_door_says_less_than_another() -> None:
    door, _ = a_door()
    robin = door.person()
    epoch, now = door.sessions.epoch(robin.id), door.clock()
    shown = [mint(factor, robin.id, now, epoch=epoch) for factor in (F.PASSWORD, F.TOTP)]
    with pytest.raises(Denied) as refusal:
        door.sign_in.login(robin.id, shown, source=ABROAD)
    assert refusal.value.reason is Reason.EVIDENCE_MISSING
    assert door.sign_in.login(robin.id, shown, source=SOURCE)


def test_a_passkey_verifies_its_user_where_being_abroad_asks_for_that() -> None:
    door, _ = a_door(demand=Demand(level=2, allowed=frozenset({F.PASSKEY})))
    robin = door.person(enrolled=False)
    door.with_passkey(robin)
    for verified in (False, True):
        pending = begun(door.sign_in.start("robin", PASSWORD, source=ABROAD))
        options, _ = door.sign_in.begin_passkey(pending, source=ABROAD)
        answer = door.answer(robin, options, user_verified=verified)
        if verified:
            assert door.sign_in.submit_passkey(pending, answer, source=ABROAD).session
        else:
            assert (
                refused(lambda: door.sign_in.submit_passkey(pending, answer, source=ABROAD))  # noqa: B023
                is Reason.PASSKEY_REFUSED
            )


def test_a_set_up_that_began_at_home_goes_on_as_abroad() -> None:
    door, _ = a_door(second_factor="required")
    door.person(enrolled=False)
    pending = begun(door.start())
    assert (
        refused(lambda: door.sign_in.begin_totp_enrolment(pending, source=ABROAD))
        is Reason.FACTOR_ALREADY_ENROLLED
    )
    assert door.sign_in.begin_passkey_enrolment(begun(door.start()), source=ABROAD)


def test_a_known_and_a_trusted_browser_are_told_apart_from_a_new_one() -> None:
    door, labels = a_door("device_unknown", Demand(second=True))
    robin = door.person()
    step = door.start(trust=True)
    done = door.sign_in.submit_totp(begun(step), door.code(robin), source=SOURCE)
    assert done.device is not None
    assert {each.device for each in labels.asked} == {"unknown"}
    labels.asked.clear()
    assert door.start(device=done.device.reveal()).session
    assert {each.device for each in labels.asked} == {"trusted"}
    labels.asked.clear()
    door.with_passkey(robin)  # another set-up: the trust is over, and it is known still
    assert door.start(device=done.device.reveal()).next == ("totp", "passkey")
    assert {each.device for each in labels.asked} == {"known"}


@pytest.mark.parametrize(
    "answer", [None, "abroad", {"abroad"}, frozenset({1}), StoreError("down"), ValueError("away")], ids=str
)
def test_where_the_application_does_not_say_nobody_is_let_in(answer: object) -> None:
    def broken(attempt: SignInAttempt) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    door, _ = a_door()
    robin = door.person(enrolled=False)
    resting = door.start().session
    assert resting is not None
    held = door.active(resting)
    door.clock.advance(timedelta(minutes=16))
    door.risk_of = broken
    door.wire()
    door.calls.clear()
    ways = (
        lambda: door.start(),
        lambda: door.sign_in.resume(resting.token.reveal(), PASSWORD, source=SOURCE),
        lambda: door.step_up.submit_password(held, PASSWORD, source=SOURCE),
    )
    for way in ways:
        with pytest.raises(type(answer) if isinstance(answer, Exception) else TypeError):
            way()
    assert robin
    assert not {"sessions.create", "sessions.replace"} & set(door.calls)


def test_a_label_that_nobody_gives_is_a_mistake() -> None:
    rule = DemandRule(demand=Demand(level=2), labels=frozenset({"abroad"}))
    with pytest.raises(ConfigurationError, match="risk_of"):
        Door(SignInPolicy(rules=(rule,)))


# -- a session that was opened where less is asked ------------------------------------------------------------------


def test_it_is_not_resumed_where_more_is() -> None:
    door, labels = a_door()
    robin = door.person()
    opened = door.session(robin)
    door.clock.advance(timedelta(minutes=16))
    token = opened.token.reveal()
    near = replace(SOURCE, request_id="abroad")
    assert refused(lambda: door.sign_in.resume(token, PASSWORD, source=near)) is Reason.EVIDENCE_MISSING
    assert labels.asked[-1].device == "signed_in"
    assert door.sign_in.resume(token, PASSWORD, source=SOURCE)


def test_a_step_up_from_there_takes_what_the_door_would() -> None:
    door, _ = a_door()
    robin = door.person()
    held = door.active(door.session(robin))
    for _ in range(2):
        door.calls.clear()
        with pytest.raises(StepUpRequired) as asked:
            door.step_up.submit_totp(held, door.code(robin), source=ABROAD)
        assert not [
            call for call in door.calls if call.startswith(("totp.advance", "throttle.", "sessions."))
        ]
        expected: tuple[str, ...] = ("passkey",) if robin.id in door.keys else ()
        assert asked.value.next == door.step_up.ways(held, source=ABROAD) == expected
        assert not expected or door.step_up.ways(held, source=SOURCE) == ("password", "totp", "passkey")
        with pytest.raises(StepUpRequired):
            door.step_up.submit_password(held, PASSWORD, source=ABROAD)
        if robin.id not in door.keys:
            door.with_passkey(robin)
    options = door.step_up.begin_passkey(held, source=ABROAD)
    new = door.step_up.submit_passkey(held, door.answer(robin, options), source=ABROAD)
    door.clock.advance(timedelta(seconds=30))
    assert door.sessions.check(new.token.reveal(), source=ABROAD)  # it is at home there now
    assert door.step_up.submit_totp(
        door.sessions.check(new.token.reveal(), source=ABROAD), door.code(robin), source=ABROAD
    )


def test_a_step_up_that_proved_less_than_its_kind_can_moves_nothing() -> None:
    door, _ = a_door(demand=Demand(level=3))
    robin = door.person()
    door.with_passkey(robin)  # of no proven make
    opened = door.session(robin)
    held = door.active(opened)
    options = door.step_up.begin_passkey(held, source=ABROAD)
    with pytest.raises(StepUpRequired):
        door.step_up.submit_passkey(held, door.answer(robin, options), source=ABROAD)
    assert door.active(opened).proofs == held.proofs


# -- what an app says of its device ---------------------------------------------------------------------------------


def test_what_an_app_said_at_one_step_is_kept_for_the_next_and_in_the_session() -> None:
    rule = DemandRule(demand=Demand(phishing_resistant=True), device=DeviceRule(rooted=True))
    door = Door(SignInPolicy(second_factor="optional", rules=(rule,)))
    robin = door.person()
    sound = app(rooted=False, app_version="3.2")
    pending = begun(door.sign_in.start("robin", PASSWORD, source=sound))
    done = door.sign_in.submit_totp(pending, door.code(robin), source=SOURCE)
    assert done.session is not None
    held = door.active(done.session)
    assert held.record.posture is not None
    assert held.attributes()["device_rooted"] is False
    door.with_passkey(robin)
    assert door.start().next == ("totp", "passkey")  # a browser says nothing, and no rule names that
    for worse in (app(rooted=True), app()):
        assert door.sign_in.start("robin", PASSWORD, source=worse).next == ("passkey",)
    pending = begun(door.sign_in.start("robin", PASSWORD, source=app(rooted=True)))
    assert (
        refused(lambda: door.sign_in.submit_totp(pending, door.code(robin), source=SOURCE))
        is Reason.FACTOR_NOT_ENROLLED
    )


def test_a_passkey_that_comes_first_brings_it_too() -> None:
    door = Door()
    robin = door.person()
    door.with_passkey(robin)
    options, pending = door.sign_in.begin_passkey(source=app(rooted=True))
    done = door.sign_in.submit_passkey(pending.reveal(), door.answer(robin, options), source=SOURCE)
    assert done.session is not None
    assert door.active(done.session).attributes()["device_rooted"] is True


def test_a_step_up_and_a_resumption_say_it_anew() -> None:
    door = Door()
    robin = door.person()
    held = door.active(door.session(robin))
    assert held.record.posture is None
    door.clock.advance(timedelta(seconds=30))
    new = door.step_up.submit_totp(held, door.code(robin), source=app(app_version="3"))
    assert door.active(new).attributes()["device_app_version"] == 3_000_000_000
    door.clock.advance(timedelta(minutes=16))
    newer = door.sign_in.resume(new.token.reveal(), PASSWORD, source=app(app_version="4"))
    assert door.active(newer).attributes()["device_app_version"] == 4_000_000_000
    last = door.step_up.submit_password(door.active(newer), PASSWORD, source=SOURCE)
    assert door.active(last).attributes()["device_app_version"] == 4_000_000_000


def test_nonsense_is_refused_before_anything_is_counted_or_used_up() -> None:
    door = Door()
    robin = door.person()
    door.with_passkey(robin)
    held = door.active(door.session(robin))
    door.clock.advance(timedelta(seconds=30))
    pending = begun(door.start())
    options, first = door.sign_in.begin_passkey(source=SOURCE)
    answer = door.answer(robin, options)
    resting = door.session(robin)
    door.clock.advance(timedelta(seconds=30))
    code, wrong = door.code(robin), replace(SOURCE, posture='{"platform": "ios", "level": 3}')
    ways = (
        lambda: door.sign_in.start("robin", PASSWORD, source=wrong),
        lambda: door.sign_in.start("nobody", PASSWORD, source=wrong),
        lambda: door.sign_in.submit_totp(pending, code, source=wrong),
        lambda: door.sign_in.begin_passkey(source=wrong),
        lambda: door.sign_in.begin_passkey(pending, source=wrong),
        lambda: door.sign_in.submit_passkey(first.reveal(), answer, source=wrong),
        lambda: door.step_up.submit_totp(held, code, source=wrong),
        lambda: door.step_up.submit_password(held, PASSWORD, source=wrong),
    )
    for way in ways:
        door.calls.clear()
        assert refused(way) is Reason.MALFORMED
        assert not [
            c for c in door.calls if c.split(".")[0] in ("throttle", "flows", "totp", "sessions", "passkeys")
        ]
        assert door.events.last.name == Event.SYSTEM_REQUEST_REFUSED
    assert door.sign_in.submit_passkey(first.reveal(), answer, source=SOURCE).session
    assert door.sign_in.submit_totp(pending, code, source=SOURCE).session
    door.clock.advance(timedelta(minutes=16))
    token = resting.token.reveal()
    assert refused(lambda: door.sign_in.resume(token, PASSWORD, source=wrong)) is Reason.MALFORMED
    assert refused(lambda: door.sign_in.resume_passkey(token, "{}", source=wrong)) is Reason.MALFORMED
    with pytest.raises(Denied):
        door.sign_in.login(robin.id, [], source=wrong)


def test_nonsense_uses_up_no_link() -> None:
    wrong = replace(SOURCE, posture="{}")
    door = Door(SignInPolicy(second_factor="optional", factors=MAIL, mail_link=True))
    with_address(door, door.person(enrolled=False))
    pending = door.sign_in_links.ask("robin", source=SOURCE).reveal()
    mailed = token_of(door)
    assert refused(lambda: door.sign_in_links.follow(pending, mailed, source=wrong)) is Reason.MALFORMED
    assert door.sign_in_links.follow(pending, mailed, source=SOURCE).session
    chosen = browser_token(door)
    assert refused(lambda: door.reset.choose(chosen, OTHER_PASSWORD, source=wrong)) is Reason.MALFORMED
    assert door.reset.choose(chosen, OTHER_PASSWORD, source=SOURCE)
    invited = door.accounts.invite("p9", actor=SYSTEM, source=SOURCE).reveal()
    door.registration.request("kim@mail.example", source=SOURCE)
    asked = door.registration.exchange(token_of(door), source=SOURCE).reveal()
    as_typed: dict[str, Any] = {"login": "newcomer", "password": PASSWORD}
    for source, expected in ((wrong, Reason.MALFORMED), (SOURCE, None)):
        for work in (
            lambda: door.accounts.sign_up(invitation=invited, **as_typed, source=source),  # noqa: B023
            lambda: door.registration.complete(asked, **{**as_typed, "login": "other"}, source=source),  # noqa: B023
        ):
            if expected is None:
                assert work()
            else:
                assert refused(work) is expected
