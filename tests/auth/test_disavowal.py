"""The link that says "this wasn't me": what looking does (nothing), what confirming does (everything), who wins."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portalsec.auth.disavowal import Disavowed, disavow_token
from portalsec.auth.notices import NoticeKind
from portalsec.auth.ports import Account, TotpDevice
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.prf import KeyedHash
from portalsec.errors import AuditUnavailable, ConfigurationError, Denied, Reason, StoreError
from portalsec.events import ANONYMOUS, Event, Outcome
from portalsec.secret import Secret
from tests.auth.mailing import PASSWORD, SOURCE, THIEF, Mailing, token_of
from tests.auth.world import together

NEW_PASSWORD = "harbour pickle saturn mitten"
THIEF_S = "copper violin meadow tunnel"


def told(m: Mailing, account: Account, kind: NoticeKind = NoticeKind.NEW_DEVICE, **details: str) -> str:
    """The token of the mail that the account's owner gets."""
    m.portal.notices.tell(account.id, kind, source=THIEF, details=details)
    return token_of(m.deliver()[0])


def chosen(done: Disavowed) -> Secret[str]:
    """What the browser chooses a new password with."""
    assert done.browser is not None
    return done.browser


def refused(m: Mailing, token: object) -> None:
    with pytest.raises(Denied) as looked:
        m.portal.disavowal.look(token, source=SOURCE)
    with pytest.raises(Denied) as confirmed:
        m.portal.disavowal.confirm(token, source=SOURCE)
    assert looked.value.reason is confirmed.value.reason is Reason.TOKEN_INVALID


def alive(m: Mailing, token: str) -> bool:
    try:
        m.portal.guard.session(token, source=SOURCE)
    except Denied:
        return False
    return True


def everything(m: Mailing) -> str:
    """The stores' whole content, to see that nothing changes."""
    stores = m.portal.stores
    held = [stores.accounts, stores.sessions, stores.flows, stores.invitations, stores.throttle]
    held += [stores.notices, stores.incidents, stores.contacts, stores.devices, stores.totp]  # type: ignore[list-item]
    return repr(
        [
            {key: repr(value) for key, value in vars(store).items() if "lock" not in key.casefold()}
            for store in held
        ]
    )


def test_looking_a_hundred_times_changes_nothing_and_uses_nothing_up() -> None:
    with Mailing() as m:
        robin = m.person()
        token = told(m, robin)
        m.events.clear()
        before = everything(m)
        for _ in range(100):
            seen = m.portal.disavowal.look(token, source=THIEF)
        assert everything(m) == before and m.events == []
        assert seen.notice.kind == NoticeKind.NEW_DEVICE and seen.notice.code in m.mail[0].subject
        assert seen.details == {"browser": "Chrome / Linux", "place": "203.0.113.0/24"}
        assert m.portal.disavowal.confirm(token, source=SOURCE)


def test_confirming_ends_everything_and_leads_to_a_new_password() -> None:
    with Mailing() as m:
        robin = m.person()
        own, thief = m.session(), m.session(source=THIEF)
        token = told(m, robin)
        browser = chosen(m.portal.disavowal.confirm(token, source=SOURCE))
        assert not alive(m, own) and not alive(m, thief)
        with pytest.raises(Denied):
            m.portal.sign_in.start("robin", PASSWORD, source=THIEF)
        step = m.portal.reset.choose(browser.reveal(), NEW_PASSWORD, source=SOURCE)
        assert step.session is not None and alive(m, step.session.token.reveal())
        names = m.events.names
        assert Event.ACCOUNT_DISAVOWED in names and Event.ACCOUNT_INCIDENT_OPENED in names
        refused(m, token)


def test_the_password_that_was_taken_away_comes_back_for_nobody() -> None:
    with Mailing() as m:
        robin = m.person()
        browser = chosen(m.portal.disavowal.confirm(told(m, robin), source=SOURCE))
        from portalsec.auth.password_policy import PasswordRefused

        with pytest.raises(PasswordRefused):
            m.portal.reset.choose(browser.reveal(), PASSWORD, source=SOURCE)


def test_it_survives_a_thief_s_password_change_and_address() -> None:
    with Mailing() as m:
        robin = m.person()
        token = told(m, robin)
        session = m.portal.guard.session(m.session(source=THIEF), source=THIEF)
        m.portal.password_change.change(session, current=PASSWORD, new=THIEF_S, source=THIEF)
        mine = m.portal.stores.contacts.of_account(robin.id)[0]
        m.portal.stores.contacts.remove(robin.id, mine.id)
        m.contact(robin, "thief@evil.example")
        m.portal.stores.flows.drop_account(robin.id)
        m.portal.stores.invitations.drop_account(robin.id)
        thief = m.session(source=THIEF, password=THIEF_S)
        browser = chosen(m.portal.disavowal.confirm(token, source=SOURCE))
        assert not alive(m, thief)
        with pytest.raises(Denied):
            m.portal.sign_in.start("robin", THIEF_S, source=THIEF)
        assert m.portal.reset.choose(browser.reveal(), NEW_PASSWORD, source=SOURCE).session is not None


def test_a_disabled_account_stays_disabled() -> None:
    with Mailing() as m:
        robin = m.person()
        token = told(m, robin)
        m.portal.stores.accounts.set_disabled(robin.id, True)
        browser = chosen(m.portal.disavowal.confirm(token, source=SOURCE))
        after = m.portal.stores.accounts.get(robin.id)
        assert after is not None and after.disabled and after.password_hash is None
        with pytest.raises(Denied):
            m.portal.reset.choose(browser.reveal(), NEW_PASSWORD, source=SOURCE)
        assert len(m.portal.incidents.of_account(robin.id)) == 1


@pytest.mark.parametrize("threads", [8])
def test_rec_01_of_many_confirmations_one_wins(threads: int) -> None:
    with Mailing() as m:
        robin = m.person()
        token = told(m, robin)
        done = together(threads, lambda _: m.portal.disavowal.confirm(token, source=SOURCE))
        assert sum(isinstance(each, Disavowed) for each in done) == 1
        assert all(isinstance(each, (Disavowed, Denied)) for each in done)
        assert len(m.portal.incidents.of_account(robin.id)) == 1


def test_who_loses_late_does_not_take_the_new_password_away() -> None:
    """A second confirmation that began before the first one's end must not undo what the owner did since."""
    with Mailing() as m:
        robin = m.person()
        token = told(m, robin)
        notice = m.portal.disavowal._notice(token)  # the slow one has looked
        assert notice is not None
        browser = chosen(m.portal.disavowal.confirm(token, source=SOURCE))
        m.portal.reset.choose(browser.reveal(), NEW_PASSWORD, source=SOURCE)
        assert m.portal.disavowal._disavow(notice, ANONYMOUS, SOURCE, signed_in=False) is None
        assert m.portal.sign_in.start("robin", NEW_PASSWORD, source=SOURCE).session is not None


@pytest.mark.parametrize("step", ["incidents.open", "notices.disavow", "accounts.set_password", "flows.put"])
def test_what_a_failing_store_cut_short_can_be_confirmed_again(step: str, monkeypatch: Any) -> None:
    with Mailing() as m:
        robin = m.person()
        thief = m.session(source=THIEF)
        token = told(m, robin)
        store, verb = step.split(".")
        target = getattr(m.portal.stores, store)

        def fails(*_: Any, **__: Any) -> Any:
            raise StoreError("down")

        with monkeypatch.context() as patch:
            patch.setattr(target, verb, fails, raising=True)
            with pytest.raises(StoreError):
                m.portal.disavowal.confirm(token, source=SOURCE)
        assert not alive(m, thief), "the stranger is out whatever fails after that"
        assert m.portal.disavowal.confirm(token, source=SOURCE)
        assert len(m.portal.incidents.of_account(robin.id)) == 1


def test_what_could_not_be_recorded_can_be_confirmed_again() -> None:
    with Mailing() as m:
        robin = m.person()
        token = told(m, robin)
        m.emit_failing = AuditUnavailable("down")
        with pytest.raises(AuditUnavailable):
            m.portal.disavowal.confirm(token, source=SOURCE)
        m.emit_failing = None
        assert m.portal.disavowal.confirm(token, source=SOURCE)


def test_a_confirmation_under_way_keeps_others_out_until_its_process_is_surely_dead(monkeypatch: Any) -> None:
    class Died(BaseException):
        pass

    with Mailing() as m:
        robin = m.person()
        token = told(m, robin)
        with monkeypatch.context() as patch:

            def dies(*_: Any, **__: Any) -> Any:
                raise Died

            patch.setattr(m.portal.stores.invitations, "consume", dies)
            patch.setattr(m.portal.stores.incidents, "open", dies)
            with pytest.raises(Died):
                m.portal.disavowal.confirm(token, source=SOURCE)
        with pytest.raises(Denied):
            m.portal.disavowal.confirm(token, source=SOURCE)
        m.clock.advance(timedelta(minutes=2))
        assert m.portal.disavowal.confirm(token, source=SOURCE)


def test_atk_35_no_other_token_opens_anything() -> None:
    with Mailing() as m:
        robin = m.person()
        token = told(m, robin)
        other = disavow_token(
            KeyedHash(Keyset.generate("HMAC_SHA256_PRF")), m.portal.notices.of_account(robin.id)[0].id
        )
        flipped = ("A" if token[0] != "A" else "B") + token[1:]
        for wrong in (
            None, 7, "", "x", token[:-1], token + "A", " " + token, flipped, other.reveal(), token.lower(),
            b"bytes", "=" * 43, "\u00e9" * 43,
        ):  # fmt: skip
            refused(m, wrong)
        assert m.portal.disavowal.look(token, source=SOURCE)


@settings(max_examples=30, deadline=None)
@given(position=st.integers(0, 42), letter=st.sampled_from("ABCDabcd0123-_"))
def test_atk_35_no_changed_letter_makes_another_link(position: int, letter: str) -> None:
    mac = KeyedHash(_KEYS)
    notice_id = "0190a0a0-0000-7000-8000-00000000c0de"
    token = disavow_token(mac, notice_id).reveal()
    changed = token[:position] + letter + token[position + 1 :]
    from portalsec.auth._notice_tokens import notice_of

    assert notice_of(mac, "disavow", token) == notice_id
    assert changed == token or notice_of(mac, "disavow", changed) is None


_KEYS = Keyset.generate("HMAC_SHA256_PRF")


def test_rec_02_a_link_is_too_old_after_a_month_and_not_before() -> None:
    with Mailing() as m:
        robin = m.person()
        token = told(m, robin)
        m.clock.advance(timedelta(days=30) - timedelta(seconds=1))
        assert m.portal.disavowal.look(token, source=SOURCE)
        m.clock.advance(timedelta(seconds=1))
        refused(m, token)


def test_mail_that_was_asked_for_has_no_such_link() -> None:
    with Mailing() as m:
        robin = m.person()
        m.portal.reset.request("robin", source=SOURCE)
        m.deliver()
        (listed,) = m.portal.notices.of_account(robin.id)
        refused(m, disavow_token(m.portal.disavowal._mac, listed.id).reveal())


def addresses(m: Mailing, account: Account) -> list[str]:
    return [contact.address for contact in m.portal.stores.contacts.of_account(account.id)]


def test_an_address_that_a_stranger_added_goes_with_it() -> None:
    with Mailing() as m:
        robin = m.person()
        added = m.contact(robin, "thief@evil.example")
        m.portal.notices.tell(robin.id, NoticeKind.CONTACT_ADDED, source=THIEF, details={"contact": added.id})
        m.deliver()
        m.portal.disavowal.confirm(token_of(m.mail.to("robin@mail.example")[0]), source=SOURCE)
        assert addresses(m, robin) == ["robin@mail.example"]


@pytest.mark.parametrize("kind", [NoticeKind.NEW_DEVICE, NoticeKind.PASSWORD_CHANGED, NoticeKind.LOCKED])
def test_atk_33_no_reset_is_mailed_to_what_a_stranger_added_before_or_after_what_is_disavowed(
    kind: NoticeKind,
) -> None:
    with Mailing() as m:
        robin = m.person()
        m.clock.advance(timedelta(days=200))
        m.contact(robin, "early@evil.example")
        m.clock.advance(timedelta(days=9))
        token = told(m, robin, kind)
        m.clock.advance(timedelta(days=2))
        m.contact(robin, "late@evil.example")
        m.contact(robin, "typed@evil.example", verified=False)
        done = m.portal.disavowal.confirm(token, source=SOURCE)
        assert addresses(m, robin) == ["robin@mail.example"]
        assert [c.address for c in done.kept] == ["robin@mail.example"]
        assert [c.address.partition("@")[0] for c in done.removed] == ["early", "late", "typed"]
        m.deliver()
        m.mail.clear()
        for asked in ("robin", "early@evil.example", "late@evil.example"):
            m.portal.reset.request(asked, source=THIEF)
        assert {mail.to for mail in m.deliver()} == {"robin@mail.example"}
        removed = m.events.named(Event.ACCOUNT_CONTACT_REMOVED)
        assert [event.details for event in removed] == [{"why": "disavowed"}] * 3
        assert "evil.example" not in repr(list(m.events))


@pytest.mark.parametrize(("days", "stays"), [(30, True), (29, False)])
def test_an_address_stays_that_was_verified_thirty_days_before(days: int, stays: bool) -> None:
    with Mailing() as m:
        robin = m.person()
        m.clock.advance(timedelta(days=1))
        m.contact(robin, "robin@work.example")
        m.clock.advance(timedelta(days=days))
        m.portal.disavowal.confirm(told(m, robin), source=SOURCE)
        assert addresses(m, robin) == ["robin@mail.example", *(["robin@work.example"] if stays else [])]


def test_an_account_is_left_without_an_address_rather_than_with_a_stranger_s() -> None:
    """Who took the owner's address off and put theirs in its place gets no mail; the owner has this browser."""
    with Mailing() as m:
        robin = m.person()
        token = told(m, robin)
        m.clock.advance(timedelta(days=1))
        m.contact(robin, "thief@evil.example")
        m.portal.stores.contacts.remove(robin.id, m.portal.stores.contacts.of_account(robin.id)[0].id)
        browser = chosen(m.portal.disavowal.confirm(token, source=SOURCE))
        assert addresses(m, robin) == []
        assert m.portal.reset.choose(browser.reveal(), NEW_PASSWORD, source=SOURCE).session is not None


def test_what_was_removed_is_told_there_once_more_and_that_mail_has_no_link() -> None:
    with Mailing() as m:
        robin = m.person()
        m.clock.advance(timedelta(days=1))
        m.contact(robin, "thief@evil.example")
        m.portal.notices.tell(robin.id, NoticeKind.NEW_DEVICE, source=THIEF)
        m.deliver()
        token = token_of(m.mail.to("robin@mail.example")[0])
        m.mail.clear()
        m.portal.disavowal.confirm(token, source=SOURCE)
        m.deliver()
        (last,) = m.mail.to("thief@evil.example")
        assert "removed" in last.subject and "token=" not in last.text + last.html


def test_who_removes_a_stranger_s_new_address_hands_them_no_link() -> None:
    with Mailing() as m:
        robin = m.person()
        m.clock.advance(timedelta(days=40))
        new = m.contact(robin, "thief@evil.example")
        old = m.portal.stores.contacts.of_account(robin.id)[0]
        session = m.portal.guard.session(m.session(), source=SOURCE)
        m.deliver()
        m.mail.clear()
        m.portal.contacts.remove(session, new.id, current=PASSWORD, source=SOURCE)
        m.deliver()
        assert "token=" not in m.mail.to("thief@evil.example")[0].text
        assert "token=" in m.mail.to(old.address)[0].text, "who can be the owner still has one"


def test_links_of_what_happened_before_a_disavowal_are_over() -> None:
    """A thief whose address got mail for a while has links as well: they must not bring the account back to them."""
    with Mailing() as m:
        robin = m.person()
        m.clock.advance(timedelta(days=1))
        m.contact(robin, "thief@evil.example")
        m.portal.notices.tell(robin.id, NoticeKind.PASSWORD_CHANGED, source=THIEF)
        m.deliver()
        thief_s = token_of(m.mail.to("thief@evil.example")[0])
        m.clock.advance(timedelta(hours=1))
        m.mail.clear()
        browser = chosen(m.portal.disavowal.confirm(told(m, robin), source=SOURCE))
        m.portal.reset.choose(browser.reveal(), NEW_PASSWORD, source=SOURCE)
        refused(m, thief_s)
        assert m.portal.sign_in.start("robin", NEW_PASSWORD, source=SOURCE).session is not None
        m.clock.advance(timedelta(hours=1))
        m.deliver()
        assert m.portal.disavowal.look(told(m, robin), source=SOURCE), (
            "what happens after it can be disavowed"
        )


def test_atk_47_a_factor_can_be_taken_back_after_another_disavowal_but_leads_to_the_mailbox() -> None:
    with Mailing() as m:
        robin = m.person()
        m.portal.stores.totp.add(
            TotpDevice(
                id="d1", account_id=robin.id, label="x", sealed_secret=b"", confirmed=True, last_step=-1,
                created_at=m.clock(),
            )
        )  # fmt: skip
        factor = told(m, robin, NoticeKind.FACTOR_ADDED, factor="totp", device="d1")
        m.clock.advance(timedelta(minutes=5))
        m.mail.clear()
        m.portal.disavowal.confirm(told(m, robin, NoticeKind.PASSWORD_CHANGED), source=SOURCE)
        assert len(m.portal.stores.totp.devices(robin.id)) == 1
        done = m.portal.disavowal.confirm(factor, source=SOURCE)
        assert m.portal.stores.totp.devices(robin.id) == () and done.browser is None
        refused(m, factor)


@pytest.mark.parametrize("step", ["contacts.of_account", "contacts.remove", "notices.put", "totp.remove"])
def test_atk_41_addresses_that_a_store_kept_can_be_removed_at_the_next_try(
    step: str, monkeypatch: Any
) -> None:
    with Mailing() as m:
        robin = m.person()
        token = told(m, robin, NoticeKind.FACTOR_ADDED, factor="totp", device="d1")
        m.clock.advance(timedelta(minutes=5))
        m.contact(robin, "thief@evil.example")
        store, verb = step.split(".")

        def fails(*_: Any, **__: Any) -> Any:
            raise StoreError("down")

        with monkeypatch.context() as patch:
            patch.setattr(getattr(m.portal.stores, store), verb, fails)
            with pytest.raises(StoreError):
                m.portal.disavowal.confirm(token, source=SOURCE)
        chosen(m.portal.disavowal.confirm(token, source=SOURCE))
        assert addresses(m, robin) == ["robin@mail.example"]


def test_atk_47_an_authenticator_that_a_stranger_added_goes_with_it() -> None:
    with Mailing() as m:
        robin = m.person()
        device = TotpDevice(
            id="d1", account_id=robin.id, label="x", sealed_secret=b"", confirmed=True, last_step=-1,
            created_at=m.clock(),
        )  # fmt: skip
        m.portal.stores.totp.add(device)
        token = told(m, robin, NoticeKind.FACTOR_ADDED, factor="totp", device="d1")
        m.portal.disavowal.confirm(token, source=SOURCE)
        assert m.portal.stores.totp.devices(robin.id) == ()


def test_the_signed_in_page_disavows_only_the_account_s_own_notices() -> None:
    with Mailing() as m:
        robin, _ = m.person(), m.person("sam")
        mine, other = (m.portal.guard.session(m.session(who), source=SOURCE) for who in ("robin", "sam"))
        notice = m.portal.notices.tell(robin.id, NoticeKind.NEW_DEVICE, source=THIEF)
        disavow = partial(m.portal.disavowal.confirm_signed_in, current=PASSWORD, source=SOURCE)
        with pytest.raises(Denied) as caught:
            disavow(other, notice.id)
        assert caught.value.reason is Reason.TOKEN_INVALID
        assert disavow(mine, notice.id).browser is not None
        with pytest.raises(Denied):
            m.portal.guard.session(m.session(), source=SOURCE)  # the password is gone with everything else


def test_a_session_that_was_left_open_disavows_nothing_and_gets_no_new_password() -> None:
    """What follows chooses a new password, and without a second factor that would be the whole account."""
    with Mailing() as m:
        robin = m.person()
        session = m.portal.guard.session(m.session(), source=SOURCE)
        notice = m.portal.notices.tell(robin.id, NoticeKind.NEW_DEVICE, source=THIEF)
        before = m.portal.stores.accounts.get(robin.id)
        reasons = []
        for guess in ("", None, *(f"not the password {n}" for n in range(30))):
            with pytest.raises(Denied) as caught:
                m.portal.disavowal.confirm_signed_in(session, notice.id, current=guess, source=THIEF)
            reasons.append(caught.value.reason)
        assert reasons[:3] == [Reason.MALFORMED, Reason.MALFORMED, Reason.WRONG_PASSWORD]
        # Its budget ends, and the right password is of no use to it then.
        assert reasons[-1] in {Reason.THROTTLED, Reason.ACCOUNT_LOCKED}
        with pytest.raises(Denied):
            m.portal.disavowal.confirm_signed_in(session, notice.id, current=PASSWORD, source=THIEF)
        assert m.portal.stores.accounts.get(robin.id) == before
        assert m.portal.incidents.of_account(robin.id) == ()
        assert m.events.named(Event.ACCOUNT_DISAVOWED) == []
        assert {event.reason for event in m.events.named(Event.AUTH_STEP_UP)} >= {Reason.WRONG_PASSWORD}


def test_pwd_11_neither_token_nor_password_is_in_an_event_or_an_error() -> None:
    with Mailing() as m:
        robin = m.person()
        token = told(m, robin)
        browser = chosen(m.portal.disavowal.confirm(token, source=SOURCE))
        with pytest.raises(Denied) as caught:
            m.portal.disavowal.confirm(token, source=SOURCE)
        said = repr(list(m.events)) + repr(caught.value) + str(caught.value) + repr(browser)
        assert token not in said and browser.reveal() not in said and PASSWORD not in said
        stored = everything(m)
        assert token not in stored and browser.reveal() not in stored
        assert hashlib.sha256(token.encode()).hexdigest() not in stored
        refusal = m.events.named(Event.ACCOUNT_DISAVOWED)[-1]
        assert refusal.outcome is Outcome.DENIED and refusal.reason is Reason.TOKEN_INVALID


def test_ids_that_are_no_uuids_are_found_when_the_first_link_is_made() -> None:
    with pytest.raises(ConfigurationError, match="UUID"):
        disavow_token(KeyedHash(_KEYS), "notice-1")


def test_a_store_that_fails_after_all_is_done_takes_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The link is used by then: without its browser's token its reader would have to ask for another mail."""
    with Mailing() as m:
        robin = m.person()

        def fails(*_: object, **__: object) -> None:
            raise StoreError("down")

        monkeypatch.setattr(m.portal.disavowal._turns, "consume", fails)
        token = told(m, robin, NoticeKind.NEW_DEVICE)
        assert m.portal.disavowal.confirm(token, source=SOURCE).browser is not None
