"""A lost factor is reset by the desk, by two people where that is asked, and its owner hears of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from portalsec.auth.password_policy import PasswordRefused
from portalsec.auth.ports import Account
from portalsec.auth.signin import SignInPolicy
from portalsec.errors import Denied, Reason, StoreError, Tampered
from portalsec.events import Actor, Event, Outcome
from tests.auth.mailing import PASSWORD, SOURCE, THIEF, Mailing, token_of
from tests.auth.world import together

ANN, BEN = Actor(type="user", id="desk-ann"), Actor(type="user", id="desk-ben")


def enrolled(m: Mailing, login: str = "robin") -> Account:
    account = m.person(login)
    enrolment = m.portal.totp.begin(account.id, account_name=login)
    device = m.portal.stores.totp.devices(account.id)[0]
    assert m.portal.stores.totp.confirm(account.id, device.id, 1)
    assert enrolment.device_id == device.id
    return account


def ask(m: Mailing, account: Account, actor: Actor = ANN, reason: str = "ticket-7") -> str:
    return m.portal.support.request_factor_reset(account.id, actor=actor, reason=reason, source=SOURCE)


def factors(m: Mailing, account: Account) -> int:
    return len(m.portal.stores.totp.devices(account.id))


def test_two_people_reset_a_factor_and_the_owner_is_told() -> None:
    with Mailing(sign_in=SignInPolicy(second_factor="optional")) as m:
        robin = enrolled(m)
        request = ask(m, robin)
        assert factors(m, robin) == 1 and m.deliver() == []
        (waiting,) = m.portal.support.waiting()
        assert (waiting.id, waiting.account_id, waiting.asked_by) == (request, robin.id, "desk-ann")
        m.portal.support.approve(request, actor=BEN, source=SOURCE)
        assert factors(m, robin) == 0 and m.portal.support.waiting() == ()
        notice, link = sorted(
            m.deliver(), key=lambda mail: "token=" in mail.text and "/password/" in mail.text
        )
        assert "support desk" in notice.subject and "/password/link?token=" in link.text
        (removed,) = m.events.named(Event.AUTH_MFA_REMOVED)
        assert removed.actor == BEN and removed.details["asked_by"] == "desk-ann"
        assert m.events.named(Event.ACCOUNT_SUPPORT_REQUESTED)[0].actor == ANN


def test_atk_47_who_knows_the_password_enrols_nothing_after_a_reset_and_the_mailbox_comes_first() -> None:
    with Mailing(sign_in=SignInPolicy(second_factor="required")) as m:
        robin = enrolled(m)
        half_way = m.portal.sign_in.start("robin", PASSWORD, source=THIEF).pending
        m.portal.support.approve(ask(m, robin), actor=BEN, source=SOURCE)
        (removed,) = m.events.named(Event.AUTH_MFA_REMOVED)
        assert removed.changed == ("factor", "password")
        with pytest.raises(Denied) as caught:
            m.portal.sign_in.start("robin", PASSWORD, source=THIEF)
        assert caught.value.reason is Reason.FACTOR_NOT_ENROLLED
        assert half_way is not None
        with pytest.raises(Denied):
            m.portal.sign_in.begin_totp_enrolment(half_way.reveal(), source=THIEF)
        link = next(mail for mail in m.deliver() if "/password/link?token=" in mail.text)
        assert link.to == "robin@mail.example"
        browser = m.portal.reset.exchange(token_of(link), source=SOURCE).reveal()
        with pytest.raises(PasswordRefused):
            m.portal.reset.choose(browser, PASSWORD, source=SOURCE)  # somebody may know it
        step = m.portal.reset.choose(browser, "harbour pickle saturn mitten", source=SOURCE)
        assert step.next == ("totp_enrolment", "passkey_enrolment")


@pytest.mark.parametrize("when", ["asked", "agreed"])
def test_without_a_verified_address_nothing_is_taken(when: str) -> None:
    """The password must not go where no link to another one can come: such a person gets a new account."""
    with Mailing() as m:
        robin = enrolled(m)
        (contact,) = m.portal.stores.contacts.of_account(robin.id)
        request = ask(m, robin) if when == "agreed" else ""
        m.portal.stores.contacts.remove(robin.id, contact.id)
        m.contact(robin, "typed@mail.example", verified=False)
        with pytest.raises(Denied) as caught:
            if request:
                m.portal.support.approve(request, actor=BEN, source=SOURCE)
            else:
                ask(m, robin)
        assert caught.value.reason is Reason.ADDRESS_REFUSED
        account = m.portal.stores.accounts.get(robin.id)
        assert factors(m, robin) == 1 and account is not None and account.password_hash is not None
        assert m.events.last.reason is Reason.ADDRESS_REFUSED


@pytest.mark.parametrize(
    "step", ["totp.remove", "sessions.end_all", "incidents.close", "accounts.set_password"]
)
def test_atk_41_whatever_stops_a_reset_no_password_alone_leads_in(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Mailing() as m:
        robin = enrolled(m)
        request = ask(m, robin)
        store, verb = step.split(".")

        def fails(*_: Any, **__: Any) -> Any:
            raise StoreError("down")

        with monkeypatch.context() as patch:
            patch.setattr(getattr(m.portal.stores, store), verb, fails)
            with pytest.raises(StoreError):
                m.portal.support.approve(request, actor=BEN, source=SOURCE)
        account = m.portal.stores.accounts.get(robin.id)
        assert account is not None
        assert account.password_hash is None or factors(m, robin) == 1
        m.portal.support.approve(request, actor=BEN, source=SOURCE)
        assert factors(m, robin) == 0 and len(m.deliver()) == 2


def test_a_request_is_no_incident_and_an_incident_no_request() -> None:
    with Mailing() as m:
        robin = enrolled(m)
        request = ask(m, robin)
        assert m.portal.incidents.unclosed() == () and m.portal.incidents.of_account(robin.id) == ()
        with pytest.raises(Denied):
            m.portal.incidents.close(request, actor=BEN, source=SOURCE)
        assert m.portal.incidents.get(request) is None
        from portalsec.auth.notices import NoticeKind

        notice = m.portal.notices.tell(robin.id, NoticeKind.LOCKED, source=SOURCE)
        m.disavow(notice)
        (incident,) = m.portal.incidents.of_account(robin.id)
        with pytest.raises(Denied):
            m.portal.support.approve(incident.id, actor=BEN, source=SOURCE)
        assert factors(m, robin) == 1


@pytest.mark.parametrize("who", ["desk-ann", "owner", None])
def test_nobody_agrees_to_their_own(who: str | None) -> None:
    with Mailing() as m:
        robin = enrolled(m)
        request = ask(m, robin)
        actor = Actor(type="user", id=robin.id if who == "owner" else who)
        with pytest.raises(Denied) as caught:
            m.portal.support.approve(request, actor=actor, source=SOURCE)
        assert caught.value.reason is Reason.SAME_PERSON
        assert factors(m, robin) == 1
        assert m.events.last.outcome is Outcome.DENIED


def test_nobody_asks_for_their_own_nor_for_what_is_not_there() -> None:
    with Mailing() as m:
        robin, sam = enrolled(m), m.person("sam")
        for account_id, actor, reason, refusal in (
            (robin.id, Actor(type="user", id=robin.id), "t", Reason.SAME_PERSON),
            (sam.id, ANN, "t", Reason.FACTOR_NOT_ENROLLED),
            ("nobody", ANN, "t", Reason.UNKNOWN_ACCOUNT),
            (robin.id, Actor(), "t", Reason.MALFORMED),
            (robin.id, ANN, "Robin Miller called\r\nfrom home", Reason.MALFORMED),
            (robin.id, ANN, "", Reason.MALFORMED),
            (robin.id, ANN, "x" * 65, Reason.MALFORMED),
        ):
            with pytest.raises(Denied) as caught:
                m.portal.support.request_factor_reset(account_id, actor=actor, reason=reason, source=SOURCE)
            assert caught.value.reason is refusal
        assert "Miller" not in repr(list(m.events))
        assert m.portal.support.waiting() == ()


def test_of_several_who_agree_one_resets() -> None:
    with Mailing() as m:
        robin = enrolled(m)
        request = ask(m, robin)
        together(
            8,
            lambda n: m.portal.support.approve(request, actor=Actor(type="user", id=f"b{n}"), source=SOURCE),
        )
        assert factors(m, robin) == 0
        assert len(m.deliver()) == 2
        with pytest.raises(Denied) as caught:
            m.portal.support.approve(request, actor=BEN, source=SOURCE)
        assert caught.value.reason is Reason.TOKEN_INVALID


@pytest.mark.parametrize("wrong", [None, 7, "", "no-such", b"x"])
def test_an_unknown_request_is_refused(wrong: Any) -> None:
    with Mailing() as m:
        with pytest.raises(Denied) as caught:
            m.portal.support.approve(wrong, actor=BEN, source=SOURCE)
        assert caught.value.reason is Reason.TOKEN_INVALID


def test_a_request_is_over_after_three_days() -> None:
    with Mailing() as m:
        robin = enrolled(m)
        request = ask(m, robin)
        m.clock.advance(timedelta(days=3) - timedelta(seconds=1))
        assert len(m.portal.support.waiting()) == 1
        m.clock.advance(timedelta(seconds=1))
        with pytest.raises(Denied):
            m.portal.support.approve(request, actor=BEN, source=SOURCE)
        assert m.portal.support.waiting() == () and m.portal.stores.incidents.unclosed(limit=9) == ()
        assert factors(m, robin) == 1


def test_a_request_can_be_taken_back() -> None:
    with Mailing() as m:
        robin = enrolled(m)
        request = ask(m, robin)
        m.portal.support.withdraw(request, actor=ANN, source=SOURCE)
        with pytest.raises(Denied) as refusal:
            m.portal.support.withdraw(request, actor=ANN, source=SOURCE)
        assert refusal.value.reason is Reason.TOKEN_INVALID
        with pytest.raises(Denied):
            m.portal.support.approve(request, actor=BEN, source=SOURCE)
        assert factors(m, robin) == 1


def test_one_person_is_enough_where_the_policy_says_so() -> None:
    with Mailing(support_by_two=False) as m:
        robin = enrolled(m)
        ask(m, robin)
        assert factors(m, robin) == 0
        assert len(m.deliver()) == 2


def test_sessions_end_with_the_factor() -> None:
    with Mailing() as m:
        robin = m.person()
        token = m.session()
        enrolment = m.portal.totp.begin(robin.id, account_name="robin")
        m.portal.stores.totp.confirm(robin.id, enrolment.device_id, 1)
        m.portal.support.approve(ask(m, robin), actor=BEN, source=SOURCE)
        with pytest.raises(Denied):
            m.portal.guard.session(token, source=SOURCE)


def test_what_failed_half_way_can_be_agreed_to_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with Mailing() as m:
        robin = enrolled(m)
        request = ask(m, robin)

        def fails(*_: Any, **__: Any) -> Any:
            raise StoreError("down")

        with monkeypatch.context() as patch:
            patch.setattr(m.portal.stores.sessions, "end_all", fails)
            with pytest.raises(StoreError):
                m.portal.support.approve(request, actor=BEN, source=SOURCE)
        m.portal.support.approve(request, actor=BEN, source=SOURCE)
        assert factors(m, robin) == 0 and len(m.deliver()) == 2


def test_a_request_that_somebody_rewrote_is_damaged() -> None:
    with Mailing() as m:
        robin, sam = enrolled(m), enrolled(m, "sam")
        request = ask(m, robin)
        held = m.portal.stores.incidents._incidents  # type: ignore[attr-defined]
        held[request] = replace(held[request], account_id=sam.id)
        with pytest.raises(Tampered):
            m.portal.support.approve(request, actor=BEN, source=SOURCE)
        assert factors(m, sam) == 1
