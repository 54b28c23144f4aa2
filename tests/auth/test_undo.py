"""The link that takes back just one change: what it does, for how long, how often, and what it leaves."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from portalsec.auth.disavowal import disavow_token
from portalsec.auth.notice_policy import NoticePolicy
from portalsec.auth.notices import ADDING, NoticeKind
from portalsec.auth.ports import Message
from portalsec.auth.trust import TrustPolicy
from portalsec.errors import Denied, Reason, StoreError
from portalsec.events import Actor, Event
from tests.auth.factoring import Factoring
from tests.auth.mailing import SOURCE, THIEF, links_of
from tests.auth.world import together

UNDO = re.compile(r"https://portal\.example/undo\?token=([A-Za-z0-9_-]{43})\b")


def undo_of(mail: Message) -> str:
    found = UNDO.findall(mail.text)
    assert len(found) == 1 and UNDO.findall(mail.html) == found * 2
    return str(found[0])


def refused(work: Any, *args: Any) -> None:
    with pytest.raises(Denied) as caught:
        work(*args, source=SOURCE)
    assert caught.value.reason is Reason.TOKEN_INVALID


def test_one_that_was_added_is_removed_again_and_every_session_ends() -> None:
    with Factoring() as m:
        robin = m.person()
        added = m.add_totp(m.open())
        token = undo_of(m.mail_of("second step was added"))
        found = m.portal.undo.look(token, source=SOURCE)
        assert not found.adds and found.notice.kind == NoticeKind.FACTOR_ADDED
        assert set(found.details) <= {"browser", "place"}
        assert m.ids(robin) and m.alive(added.session), "a look changes nothing"
        m.portal.undo.confirm(token, source=SOURCE)
        assert m.ids(robin) == [] and not m.alive(added.session)
        assert m.portal.recovery_codes.left(robin.id) == 0
        assert m.events.named(Event.AUTH_MFA_REMOVED)[-1].details["by"] == "undo"
        assert m.kinds(robin)[-1] == NoticeKind.FACTOR_REMOVED


def test_one_that_was_removed_is_put_back() -> None:
    with Factoring() as m:
        robin = m.person()
        added = m.add_totp(m.open())
        done = m.factors.remove(m.active(added.session), added.authenticator_id, source=THIEF)
        token = undo_of(m.mail_of("second step was removed"))
        assert m.portal.undo.look(token, source=SOURCE).adds
        m.portal.undo.confirm(token, source=SOURCE)
        assert m.ids(robin) == [added.authenticator_id] and done.session is None
        assert m.events.named(Event.AUTH_MFA_RESTORED)[-1].actor.id == robin.id
        assert m.kinds(robin)[-1] == NoticeKind.FACTOR_RESTORED
        assert m.portal.sign_in.start("robin", "lantern orbit velvet cactus", source=SOURCE).next


@pytest.mark.parametrize("way", ["undone", "put back", "removed by undo"])
def test_a_browser_that_was_trusted_before_is_not_trusted_anew_by_it(way: str) -> None:
    with Factoring(trust=TrustPolicy(enabled=True)) as m:
        robin = m.person()
        added = m.add_passkey(m.add_totp(m.open()).session)
        account = m.portal.stores.accounts.get(robin.id)
        device = m.portal.devices.remember(robin.id, None, source=SOURCE).device
        if way == "removed by undo":
            assert m.portal.trust.trust(account, device, source=SOURCE)
            m.add_passkey(added.session)
            m.portal.undo.confirm(undo_of(m.mail_of("second step was added")), source=SOURCE)
        else:
            assert m.portal.trust.trust(account, device, source=SOURCE)
            done = m.factors.remove(m.active(added.session), added.authenticator_id, source=SOURCE)
            if way == "undone":
                m.portal.undo.confirm(undo_of(m.mail_of("second step was removed")), source=SOURCE)
            else:
                m.factors.restore(m.active(done.session), added.authenticator_id, source=SOURCE)
        assert len(m.ids(robin)) == 2
        assert not m.portal.trust.of_account(account)


def test_passkeys_too() -> None:
    with Factoring() as m:
        robin = m.person()
        added = m.add_passkey(m.open())
        m.portal.undo.confirm(undo_of(m.mail_of("second step was added")), source=SOURCE)
        assert m.ids(robin) == []
        session = m.factors.restore(m.active(m.open()), added.authenticator_id, source=SOURCE)
        m.clock.advance(timedelta(minutes=1))
        m.factors.remove(m.active(session), added.authenticator_id, source=THIEF)
        m.clock.advance(timedelta(minutes=1))
        m.portal.undo.confirm(undo_of(m.mail_of("second step was removed")), source=SOURCE)
        assert m.ids(robin) == [added.authenticator_id]


def test_it_works_for_a_day() -> None:
    with Factoring() as m:
        robin = m.person()
        added = m.add_totp(m.open())
        token = undo_of(m.mail_of("second step was added"))
        m.clock.advance(timedelta(hours=24) - timedelta(seconds=1))
        m.portal.undo.look(token, source=SOURCE)
        m.clock.advance(timedelta(seconds=1))
        refused(m.portal.undo.look, token)
        refused(m.portal.undo.confirm, token)
        assert m.ids(robin) == [added.authenticator_id]


def test_it_works_once_also_after_the_owner_put_it_back() -> None:
    with Factoring() as m:
        robin = m.person()
        added = m.add_totp(m.open())
        token = undo_of(m.mail_of("second step was added"))
        m.portal.undo.confirm(token, source=SOURCE)
        m.factors.restore(m.active(m.open()), added.authenticator_id, source=SOURCE)
        refused(m.portal.undo.look, token)
        refused(m.portal.undo.confirm, token)
        assert m.ids(robin) == [added.authenticator_id]


def test_nothing_that_happens_to_the_account_makes_it_stop() -> None:
    """A thief who removed a factor must not be able to keep the owner from putting it back."""
    with Factoring() as m:
        robin = m.person()
        added = m.add_totp(m.open())
        m.factors.remove(m.active(added.session), added.authenticator_id, source=THIEF)
        token = undo_of(m.mail_of("second step was removed"))
        m.add_passkey(m.add_totp(m.open()).session)
        m.portal.stores.flows.drop_account(robin.id)
        m.portal.stores.invitations.drop_account(robin.id)
        account = m.portal.stores.accounts.get(robin.id)
        m.portal.stores.accounts.set_password(robin.id, "$other", expected=account.password_hash)
        m.portal.undo.confirm(token, source=SOURCE)
        assert added.authenticator_id in m.ids(robin)


def test_what_an_undo_brings_about_has_no_undo() -> None:
    with Factoring() as m:
        m.person()
        m.add_totp(m.open())
        m.portal.undo.confirm(undo_of(m.mail_of("second step was added")), source=SOURCE)
        told = m.mail_of("second step was removed")
        assert not UNDO.findall(told.text) and "/not-me?" in told.text


def test_the_mail_has_both_links_and_nothing_else_to_press() -> None:
    with Factoring() as m:
        m.person()
        m.add_totp(m.open())
        links = links_of(m.mail_of("second step was added"))
        assert {link.partition("?")[0] for link in links} == {
            "https://portal.example/undo",
            "https://portal.example/not-me",
        }


def test_a_portal_without_links_has_none_of_these_either() -> None:
    with Factoring(notices=NoticePolicy(links=False)) as m:
        m.person()
        m.add_totp(m.open())
        assert links_of(m.mail_of("second step was added")) == set()


@pytest.mark.parametrize("kind", [kind for kind in NoticeKind if not kind.value.startswith("request.")])
def test_only_what_can_be_taken_back_has_a_link(kind: NoticeKind) -> None:
    with Factoring() as m:
        robin = m.person()
        notice = m.portal.notices.tell(
            robin.id, kind, source=SOURCE, details={"factor": "totp", "device": "d"}
        )
        token = m.portal.undo.token(notice, m.portal.notices.details(notice))
        assert (token is not None) is (kind in {*ADDING, NoticeKind.FACTOR_REMOVED})


@pytest.mark.parametrize("token", [None, "", "A" * 43, "x", 7, "\0" * 43])
def test_what_is_no_link_is_refused(token: object) -> None:
    with Factoring() as m:
        m.person()
        refused(m.portal.undo.look, token)
        refused(m.portal.undo.confirm, token)


def test_the_other_link_of_a_notice_does_not_undo_and_this_one_does_not_disavow() -> None:
    with Factoring() as m:
        robin = m.person()
        m.add_totp(m.open())
        token = undo_of(m.mail_of("second step was added"))
        notice = next(
            each for each in m.portal.notices.of_account(robin.id) if each.kind == NoticeKind.FACTOR_ADDED
        )
        refused(m.portal.undo.confirm, disavow_token(m.portal.disavowal._mac, notice.id).reveal())
        refused(m.portal.disavowal.confirm, token)


def test_of_many_confirmations_one_wins() -> None:
    with Factoring() as m:
        robin = m.person()
        m.add_totp(m.open())
        token = undo_of(m.mail_of("second step was added"))
        results = together(8, lambda _: m.portal.undo.confirm(token, source=SOURCE))
        assert sum(not isinstance(each, Denied) for each in results) == 1
        assert m.kinds(robin).count(NoticeKind.FACTOR_REMOVED) == 1


def test_mfa_16_two_links_at_once_that_leave_none_take_the_codes_along(monkeypatch: Any) -> None:
    with Factoring() as m:
        robin = m.person()
        added = m.add_totp(m.open())
        first = undo_of(m.mail_of("second step was added"))
        m.add_passkey(added.session)
        second = undo_of(m.mail_of("second step was added"))
        assert first != second and m.portal.recovery_codes.left(robin.id) == 10
        others = [first]

        def remove(account_id: str, device: str, *, at: Any) -> bool:
            if others:  # between the look at what there is and the removal
                m.portal.undo.confirm(others.pop(), source=SOURCE)
            return bool(removing(account_id, device, at=at))

        removing = m.portal.undo._authenticators.remove
        monkeypatch.setattr(m.portal.undo._authenticators, "remove", remove)
        m.portal.undo.confirm(second, source=SOURCE)
        assert m.ids(robin) == []
        assert m.portal.recovery_codes.left(robin.id) == 0


def test_where_a_store_fails_the_link_still_works(monkeypatch: Any) -> None:
    with Factoring() as m:
        robin = m.person()
        m.add_totp(m.open())
        token = undo_of(m.mail_of("second step was added"))

        def fails(*_: Any, **__: Any) -> Any:
            raise StoreError("down")

        with monkeypatch.context() as patch:
            patch.setattr(m.portal.stores.totp, "remove", fails)
            with pytest.raises(StoreError):
                m.portal.undo.confirm(token, source=SOURCE)
        m.portal.undo.confirm(token, source=SOURCE)
        assert m.ids(robin) == []


def test_what_cannot_be_distrusted_is_not_taken_back_yet(monkeypatch: Any) -> None:
    with Factoring(trust=TrustPolicy(enabled=True)) as m:
        robin = m.person()
        m.add_passkey(m.add_totp(m.open()).session)
        token = undo_of(m.mail_of("second step was added"))

        def fails(*_: Any, **__: Any) -> Any:
            raise StoreError("down")

        with monkeypatch.context() as patch:
            patch.setattr(m.portal.trust, "revoke_all", fails)
            with pytest.raises(StoreError):
                m.portal.undo.confirm(token, source=SOURCE)
        assert len(m.ids(robin)) == 2, "were it gone, nothing would say that browsers are trusted still"
        m.portal.undo.confirm(token, source=SOURCE)
        assert len(m.ids(robin)) == 1


def test_a_closed_account_s_link_is_dead() -> None:
    with Factoring() as m:
        robin = m.person()
        m.add_totp(m.open())
        token = undo_of(m.mail_of("second step was added"))
        m.portal.stores.accounts.set_disabled(robin.id, True)
        refused(m.portal.undo.confirm, token)


# -- "this wasn't me" ---------------------------------------------------------------------------------------------


def disavow(m: Factoring, kind: NoticeKind, robin: Any) -> None:
    notice = next(each for each in m.portal.notices.of_account(robin.id) if each.kind == kind)
    m.disavow(notice)


def test_a_disavowed_removal_brings_the_factor_back() -> None:
    with Factoring() as m:
        robin = m.person()
        added = m.add_totp(m.open())
        m.factors.remove(m.active(added.session), added.authenticator_id, source=THIEF)
        disavow(m, NoticeKind.FACTOR_REMOVED, robin)
        assert m.ids(robin) == [added.authenticator_id]


def test_a_disavowed_passkey_goes_and_so_do_the_codes_that_came_with_it() -> None:
    with Factoring() as m:
        robin = m.person()
        m.add_passkey(m.open())
        assert m.portal.recovery_codes.left(robin.id) == 10
        disavow(m, NoticeKind.FACTOR_ADDED, robin)
        assert m.ids(robin) == [] and m.portal.recovery_codes.left(robin.id) == 0


def test_codes_from_before_a_disavowed_sign_in_stay_and_those_from_after_go() -> None:
    with Factoring() as m:
        robin = m.person()
        added = m.add_totp(m.open())
        m.clock.advance(timedelta(minutes=1))
        before = m.portal.notices.tell(robin.id, NoticeKind.NEW_DEVICE, source=THIEF)
        m.portal.undo.disavowed(before)
        assert m.portal.recovery_codes.left(robin.id) == 10
        m.clock.advance(timedelta(minutes=1))
        m.factors.new_recovery_codes(m.active(added.session), source=THIEF)
        m.portal.undo.disavowed(before)
        assert m.portal.recovery_codes.left(robin.id) == 0


def test_support_s_reset_takes_everything_along() -> None:
    with Factoring(support_by_two=False) as m:
        robin = m.person()
        m.add_passkey(m.add_totp(m.open()).session)
        staff = m.portal.accounts.create(login="desk", password="harbour pickle saturn mitten")
        m.portal.support.request_factor_reset(
            robin.id, actor=Actor(type="user", id=staff.id), reason="lost", source=SOURCE
        )
        assert m.ids(robin) == [] and m.portal.recovery_codes.left(robin.id) == 0
        assert m.authenticators.removed(robin.id, now=m.clock()) == ()
