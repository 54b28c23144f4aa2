"""A link by mail as the first factor: off by default, one browser's, once, and worth what a mailed code is worth."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from portalsec.auth._link_first import LINK_LIFETIME
from portalsec.auth.assurance import count
from portalsec.auth.demands import Demand, DemandRule
from portalsec.auth.ports import Account
from portalsec.auth.proof import Factor
from portalsec.auth.signin import SignInPolicy, Step
from portalsec.errors import ConfigurationError, Denied, Reason, StoreError
from portalsec.events import Event
from tests.auth.door import MAIL, Door, begun, refused
from tests.auth.mail import ADDRESS, browser_token, letters, token_of, with_address
from tests.auth.world import PASSWORD, SOURCE, session

NEW = "harbour violin 42 candle moss"
ON = SignInPolicy(second_factor="optional", factors=MAIL, mail_link=True)


def a_door(policy: SignInPolicy = ON) -> Door:
    return Door(policy)


def person(door: Door, *, enrolled: bool = False) -> Account:
    robin = door.person(enrolled=enrolled)
    with_address(door, robin)
    return robin


def asked(door: Door, name: str = "robin", **options: object) -> str:
    return door.sign_in_links.ask(name, source=SOURCE, **options).reveal()  # type: ignore[arg-type]


def follow(door: Door, pending: object, token: object) -> Step:
    return door.sign_in_links.follow(pending, token, source=SOURCE)


def by_link(door: Door, name: str = "robin") -> Step:
    pending = asked(door, name)
    return follow(door, pending, token_of(door))


# -- off ------------------------------------------------------------------------------------------------------------


def test_there_is_no_such_way_in_unless_it_is_switched_on() -> None:
    assert not SignInPolicy().mail_link
    door = a_door(SignInPolicy(second_factor="optional", factors=MAIL))
    person(door)
    assert refused(lambda: asked(door)) is Reason.NO_GRANT
    assert not letters(door)
    with pytest.raises(ConfigurationError, match="EMAIL_CODE"):
        SignInPolicy(mail_link=True)
    with pytest.raises(ConfigurationError, match="True or False"):
        SignInPolicy(factors=MAIL, mail_link="off")  # type: ignore[arg-type]


def test_a_link_that_was_mailed_before_it_was_switched_off_opens_nothing() -> None:
    door = a_door()
    person(door)
    pending, late = asked(door), asked(door)
    first, _ = letters(door)
    assert first.token is not None
    assert late
    closed = Door(SignInPolicy(second_factor="optional", factors=MAIL), backing=door.backing)
    assert refused(lambda: follow(closed, pending, first.token.reveal())) is Reason.TOKEN_INVALID


# -- what it opens ----------------------------------------------------------------------------------------------------


def test_it_opens_what_one_factor_opens() -> None:
    door = a_door()
    robin = person(door)
    opened = session(by_link(door))
    record = door.active(opened).record
    assert (record.account_id, record.level, record.phishing_resistant) == (robin.id, 1, False)
    assert [(proof.factor, proof.authenticator) for proof in record.proofs] == [
        (Factor.EMAIL_CODE, f"contact-{robin.id}-{ADDRESS}")
    ]
    (signed_in,) = door.events.named(Event.AUTH_LOGIN)
    assert signed_in.details["factors"] == "email_code"


@pytest.mark.parametrize("second", ["required", "optional"])
def test_whoever_has_a_second_factor_goes_on_to_what_makes_two(second: str) -> None:
    """A code of an authenticator beside it is one kind twice, and a password does not come behind a link."""
    door = a_door(replace(ON, second_factor=second))
    robin = person(door, enrolled=True)
    assert refused(lambda: by_link(door)) is Reason.EVIDENCE_MISSING
    door.with_passkey(robin)
    step = by_link(door)
    assert "passkey" in step.next
    assert "totp" not in step.next
    assert "email_code" not in step.next
    pending = begun(step)
    code = door.code(robin)
    assert (
        refused(lambda: door.sign_in.submit_totp(pending, code, source=SOURCE)) is Reason.FACTOR_NOT_ENROLLED
    )
    assert (
        refused(lambda: door.sign_in.send_code(pending, Factor.EMAIL_CODE, source=SOURCE))
        is Reason.FACTOR_NOT_ENROLLED
    )
    opened = session(door.second(robin, begun(by_link(door))))
    record = door.active(opened).record
    assert (record.level, record.phishing_resistant) == (2, True)


@pytest.mark.parametrize("second", ["required", "optional"])
def test_a_passkey_behind_a_link_verifies_its_user(second: str) -> None:
    """One that is only touched is no second kind, and a password, which would be, is never asked for behind a link: that
    sign-in would end at a page that there is not."""
    door = a_door(replace(ON, second_factor=second))
    robin = person(door)
    door.with_passkey(robin)
    pending = begun(by_link(door))
    options, _ = door.sign_in.begin_passkey(pending, source=SOURCE)
    assert json.loads(options.json)["userVerification"] == "required"
    touched = door.answer(robin, options, force=True, user_verified=False)
    assert (
        refused(lambda: door.sign_in.submit_passkey(pending, touched, source=SOURCE))
        is Reason.PASSKEY_REFUSED
    )
    # It was one wrong try: the same sign-in goes on, or is left for a new one.
    assert session(door.second(robin, pending))
    # Behind a password a touch is enough, as it was.
    options, _ = door.sign_in.begin_passkey(begun(door.start()), source=SOURCE)
    assert json.loads(options.json)["userVerification"] == "preferred"
    assert session(door.second(robin, begun(door.start()), user_verified=False))


def test_nothing_is_set_up_behind_a_link_that_does_not_count_where_there_is_a_password() -> None:
    no_mail = frozenset({Factor.PASSWORD, Factor.TOTP, Factor.PASSKEY})
    for demand in (
        Demand(phishing_resistant=True, second=True, allowed=no_mail),
        Demand(level=2, second=True, allowed=no_mail),
    ):
        door = a_door(replace(ON, rules=(DemandRule(demand=demand),)))
        person(door)
        assert refused(lambda d=door: by_link(d)) is Reason.EVIDENCE_MISSING  # type: ignore[misc]


def test_it_is_never_two_with_that_password_after_an_idle_end_either() -> None:
    door = a_door()
    robin = person(door)
    door.reset.choose(browser_token(door), NEW, source=SOURCE)
    door.clock.advance(timedelta(minutes=1))
    opened = session(by_link(door))
    door.clock.advance(door.session_policy.idle + timedelta(minutes=1))
    assert refused(lambda: door.active(opened)) is Reason.SESSION_IDLE
    again = door.active(door.sign_in.resume(opened.token.reveal(), NEW, source=SOURCE))
    assert count(again.proofs) == 1
    assert door.account_store.get(robin.id).password_mailed


def test_a_trusted_browser_spares_nothing_behind_a_link() -> None:
    """Whoever sits at it may have the mailbox open in the next tab."""
    door = a_door()
    robin = person(door, enrolled=True)
    door.with_passkey(robin)
    remembered = door.devices.remember(robin.id, None, source=SOURCE)
    assert door.trust.trust(door.account_store.get(robin.id), remembered.device, source=SOURCE)
    cookie = remembered.cookie.reveal()
    step = follow(door, asked(door, device=cookie), token_of(door))
    assert step.session is None and "passkey" in step.next
    door.clock.advance(timedelta(minutes=1))
    assert door.start(device=cookie).session is not None, "beside the password it does"


def test_a_password_alone_is_not_joined_by_the_link_where_two_are_required() -> None:
    door = a_door(replace(ON, second_factor="required"))
    person(door)
    assert refused(lambda: by_link(door)) is Reason.EVIDENCE_MISSING


def test_it_is_never_two_with_a_password_that_the_same_mailbox_reset() -> None:
    door = a_door(replace(ON, second_factor="required"))
    person(door)
    door.reset.request("robin", source=SOURCE)
    browser = door.reset.exchange(token_of(door), source=SOURCE).reveal()
    step = door.reset.choose(browser, "harbour violin 42 candle moss", source=SOURCE)
    assert step.session is None
    assert "email_code" not in step.next
    assert refused(lambda: by_link(door)) is Reason.EVIDENCE_MISSING


def test_the_demands_of_a_rule_hold_behind_a_link() -> None:
    for demand in (
        Demand(level=2),
        Demand(phishing_resistant=True),
        Demand(factors=(frozenset({Factor.TOTP}),)),
    ):
        door = a_door(replace(ON, rules=(DemandRule(demand=demand),)))
        person(door)
        try:
            step = by_link(door)
        except Denied as denied:
            assert denied.reason is Reason.EVIDENCE_MISSING
        else:
            assert step.session is None


def test_a_new_password_is_not_chosen_by_whoever_reads_the_mail() -> None:
    door = a_door()
    robin = person(door)
    door.account_store.require_change(robin.id, "support")
    assert refused(lambda: by_link(door)) is Reason.CHANGE_REQUIRED


# -- one browser's, once ---------------------------------------------------------------------------------------------


def test_it_works_in_the_browser_that_asked_and_stays_good_until_then() -> None:
    door = a_door()
    person(door)
    pending, stranger = asked(door), asked(door, "nobody")
    token = token_of(door)
    for other in (None, "", stranger, "x" * 43, token):
        assert refused(lambda other=other: follow(door, other, token)) is Reason.TOKEN_INVALID
    event = door.events[-1]
    assert (event.name, event.details["by"]) == (Event.AUTH_LOGIN_FAILED, "link")
    assert session(follow(door, pending, token))
    assert refused(lambda: follow(door, pending, token)) is Reason.TOKEN_INVALID


def test_a_browser_s_token_is_good_for_one_sign_in() -> None:
    """Of two accounts with one address, whose links one browser asked for, the first that is followed is the only one."""
    door = a_door()
    robin, kim = person(door), door.person("kim", enrolled=False)
    with_address(door, kim)
    pending = asked(door, ADDRESS)
    one, other = (letter.token.reveal() for letter in letters(door) if letter.token is not None)
    opened = door.active(session(follow(door, pending, one)))
    assert opened.account_id in (robin.id, kim.id)
    assert refused(lambda: follow(door, pending, other)) is Reason.FLOW_UNKNOWN


def test_it_lives_ten_minutes_from_the_asking_however_late_the_mail() -> None:
    door = a_door()
    person(door)
    pending = asked(door)
    door.clock.advance(LINK_LIFETIME - timedelta(seconds=1))
    token = token_of(door)
    late = asked(door)
    door.clock.advance(timedelta(seconds=1))
    assert refused(lambda: follow(door, pending, token)) is Reason.TOKEN_INVALID
    door.clock.advance(LINK_LIFETIME)
    assert late
    assert not letters(door)


def changed_password(door: Door, robin: Account) -> None:
    door.account_store.set_password(robin.id, "other", expected=robin.password_hash)


def disabled(door: Door, robin: Account) -> None:
    door.account_store.set_disabled(robin.id, True)


def ended(door: Door, robin: Account) -> None:
    door.contact_store.remove(robin.id, f"contact-{robin.id}-{ADDRESS}")


@pytest.mark.parametrize("meanwhile", [changed_password, disabled, ended])
def test_what_changed_meanwhile_ends_it(meanwhile: Callable[[Door, Account], None]) -> None:
    door = a_door()
    robin = person(door)
    pending = asked(door)
    token = token_of(door)
    meanwhile(door, robin)
    assert refused(lambda: follow(door, pending, token)) is Reason.TOKEN_INVALID


def test_another_sign_in_in_the_browser_voids_it() -> None:
    door = a_door()
    person(door)
    for void in (
        lambda pending: door.sign_in.start("robin", PASSWORD, source=SOURCE, replaces=pending),
        lambda pending: door.sign_in.abort(pending),
        lambda pending: asked(door, "nobody", replaces=pending),
    ):
        pending = asked(door)
        token = token_of(door)
        void(pending)
        assert refused(lambda p=pending, t=token: follow(door, p, t)) is Reason.FLOW_UNKNOWN


def test_a_link_of_another_purpose_signs_nobody_in() -> None:
    door = a_door()
    person(door)
    pending = asked(door)
    letters(door)
    door.reset.request("robin", source=SOURCE)
    token = token_of(door)
    assert refused(lambda: follow(door, pending, token)) is Reason.TOKEN_INVALID
    assert door.reset.exchange(token, source=SOURCE)


# -- asking ------------------------------------------------------------------------------------------------------------


def test_it_goes_to_the_oldest_confirmed_address_alone() -> None:
    door = a_door()
    robin = person(door)
    door.clock.advance(timedelta(days=1))
    with_address(door, robin, "thief@mail.example")
    with_address(door, robin, "typed@mail.example", verified=False)
    for name in ("robin", ADDRESS, "thief@mail.example"):
        asked(door, name)
        assert [letter.contact.address for letter in letters(door)] == [ADDRESS]
    asked(door, "typed@mail.example")
    assert not letters(door)


def test_known_and_unknown_names_cost_the_same_and_nothing_is_told() -> None:
    door = a_door()
    person(door)
    costs = []
    for name in ("robin", "nobody", "nobody@mail.example"):
        door.calls.clear()
        asked(door, name)
        costs.append(list(door.calls))
    assert costs[0] == costs[1] == costs[2]
    assert door.events[-1].name == Event.AUTH_LINK_REQUESTED


def test_asking_is_bounded_and_leaves_nothing_behind_where_it_is_refused() -> None:
    door = a_door()
    person(door)
    for _ in range(8):
        asked(door)
    assert len(letters(door)) == 5, "mails asked for under one name"
    assert refused(lambda: asked(door, "\0")) is Reason.MALFORMED
    reasons = [refused_or_none(lambda number=number: asked(door, f"name{number}")) for number in range(30)]
    assert reasons[-1] is Reason.THROTTLED


def refused_or_none(work: Callable[[], object]) -> Reason | None:
    try:
        work()
    except Denied as denied:
        return denied.reason
    return None


def test_a_store_that_fails_lets_nobody_in(monkeypatch: pytest.MonkeyPatch) -> None:
    door = a_door()
    person(door)
    pending = asked(door)
    token = token_of(door)

    def fail(*_: object, **__: object) -> None:
        raise StoreError("down")

    monkeypatch.setattr(door.sessions, "open_through", fail)
    with pytest.raises(StoreError):
        follow(door, pending, token)
    monkeypatch.undo()
    assert refused(lambda: follow(door, pending, token)) is Reason.TOKEN_INVALID
