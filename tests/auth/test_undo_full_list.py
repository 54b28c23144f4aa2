"""Links that take changes back, where a stranger filled the list, a store fails or a process dies: what was not done uses
no link up and is recorded as not done; what the owner had comes back."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from portalsec.auth.notices import NoticeKind
from portalsec.auth.step_up import StepUpRequired
from portalsec.errors import AuditUnavailable, Denied, Reason, StoreError
from portalsec.events import Event, Outcome
from portalsec.testing.authenticator import SoftAuthenticator
from tests.auth.factoring import Factoring, passkey
from tests.auth.mailing import PASSWORD, SOURCE, THIEF
from tests.auth.test_undo import refused, undo_of
from tests.auth.world import together

NEW = "harbour violin 42 candle moss"


class Died(BaseException):
    """A process that is no more."""


def fails(*_: Any, **__: Any) -> Any:
    raise StoreError("down")


def outcomes(m: Factoring, name: Event = Event.AUTH_MFA_RESTORED) -> list[tuple[Outcome, Reason | None]]:
    return [(event.outcome, event.reason) for event in m.events.named(name)]


def robbed(m: Factoring) -> tuple[Any, str, str]:
    """A thief removed the owner's authenticator, and added as many as there is room for: the account, its owner's
    authenticator and the token of the link in the mail."""
    return robbed_in(m, fill=True)[:3]


def robbed_in(m: Factoring, *, fill: bool) -> tuple[Any, str, str, Any]:
    """The same, with the session that is left."""
    robin = m.person()
    own = m.add_totp(m.open())
    other = m.add_totp(own.session)
    m.clock.advance(timedelta(seconds=1))
    session = m.factors.remove(m.active(other.session), own.authenticator_id, source=THIEF).session
    token = undo_of(m.mail_of("second step was removed"))
    if fill:
        for _ in range(4):
            session = m.add_totp(session).session
        with pytest.raises(Denied) as caught:
            m.add_totp(session)
        assert caught.value.reason is Reason.FACTOR_LIMIT
    return robin, own.authenticator_id, token, session


def notice_of(m: Factoring, robin: Any, kind: NoticeKind) -> Any:
    return next(each for each in m.portal.notices.of_account(robin.id) if each.kind == kind)


# -- a full list --------------------------------------------------------------------------------------------------


def test_atk_47_a_list_that_a_thief_filled_keeps_the_owner_s_authenticator_out_by_no_means() -> None:
    with Factoring() as m:
        robin, own, token = robbed(m)
        m.portal.undo.confirm(token, source=SOURCE)
        assert own in m.ids(robin) and len(m.ids(robin)) == 6, "a plain undo takes nothing else away"
        assert outcomes(m) == [(Outcome.SUCCESS, None)]
        refused(m.portal.undo.confirm, token)


def test_atk_47_nor_one_that_was_filled_with_passkeys() -> None:
    with Factoring() as m:
        robin = m.person()
        device = SoftAuthenticator()
        own = m.add_passkey(m.add_totp(m.open()).session, device)
        m.factors.remove(m.active(own.session), own.authenticator_id, source=THIEF)
        token = undo_of(m.mail_of("second step was removed"))
        for number in range(20):
            row = passkey(robin, m.clock(), f"pk{number}")
            assert m.portal.stores.passkeys.add(row, at_most=20)
        m.portal.undo.confirm(token, source=SOURCE)
        assert own.authenticator_id in m.ids(robin)


def test_there_is_an_end_to_what_undoing_puts_back_and_the_link_works_when_there_is_room() -> None:
    """Nobody who adds comes that far: it holds those who press links again and again."""
    with Factoring() as m:
        robin, own, token = robbed(m)
        restore = m.portal.undo._authenticators.restore
        m.portal.undo._authenticators._max_totp = 2
        refused(m.portal.undo.confirm, token)
        assert not restore(robin.id, own, now=m.clock()), "no more than ever for whoever is in a session"
        assert outcomes(m) == [(Outcome.FAILURE, Reason.FACTOR_LIMIT)]
        m.authenticators.remove(robin.id, m.ids(robin)[0])
        m.authenticators.remove(robin.id, m.ids(robin)[0])
        m.portal.undo.look(token, source=SOURCE)
        m.portal.undo.confirm(token, source=SOURCE)
        assert own in m.ids(robin)
        refused(m.portal.undo.confirm, token)


def test_putting_back_in_a_session_is_held_to_the_limit_still_and_says_so_in_the_log() -> None:
    with Factoring() as m:
        robin, own, _, left = robbed_in(m, fill=False)
        session = m.active(left)
        for _ in range(4):
            m.enrolled_with(robin)
        before = m.kinds(robin)
        with pytest.raises(Denied) as caught:
            m.factors.restore(session, own, source=SOURCE)
        assert caught.value.reason is Reason.FACTOR_NOT_ENROLLED
        assert outcomes(m) == [(Outcome.DENIED, Reason.FACTOR_NOT_ENROLLED)]
        assert m.kinds(robin) == before and own not in m.ids(robin)


def test_what_is_put_back_in_a_session_and_cannot_be_recorded_is_as_it_was(monkeypatch: Any) -> None:
    with Factoring() as m:
        robin, own, _, left = robbed_in(m, fill=False)
        session = m.active(left)
        before = m.kinds(robin), m.authenticators.removed(robin.id, now=m.clock())
        m.clock.advance(timedelta(seconds=1))
        with monkeypatch.context() as patch:
            patch.setattr(m.factors, "_emit", fails)
            with pytest.raises(StoreError):
                m.factors.restore(session, own, source=SOURCE)
        assert (m.kinds(robin), m.authenticators.removed(robin.id, now=m.clock())) == before
        m.factors.restore(session, own, source=SOURCE)
        assert own in m.ids(robin) and outcomes(m) == [(Outcome.SUCCESS, None)]


# -- what is not done ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["added", "removed"])
def test_what_was_not_there_to_take_back_is_recorded_as_not_done_and_uses_up_nothing(kind: str) -> None:
    with Factoring() as m:
        robin = m.person()
        added = m.add_totp(m.open())
        token = undo_of(m.mail_of("second step was added"))
        event = Event.AUTH_MFA_REMOVED
        m.factors.remove(m.active(added.session), added.authenticator_id, source=SOURCE)
        if kind == "removed":
            event, token = Event.AUTH_MFA_RESTORED, undo_of(m.mail_of("second step was removed"))
            m.factors.restore(m.active(m.open()), added.authenticator_id, source=SOURCE)
        m.events.clear()
        refused(m.portal.undo.confirm, token)
        assert outcomes(m, event) == [(Outcome.FAILURE, Reason.FACTOR_NOT_ENROLLED)]
        # The other way round once more: what the link is about is there again.
        if kind == "removed":
            m.factors.remove(m.active(m.open()), added.authenticator_id, source=THIEF)
        else:
            m.factors.restore(m.active(m.open()), added.authenticator_id, source=SOURCE)
        m.portal.undo.confirm(token, source=SOURCE)
        assert (added.authenticator_id in m.ids(robin)) is (kind == "removed")


@pytest.mark.parametrize("kind", ["added", "removed"])
def test_what_a_store_failed_to_do_is_recorded_as_an_error_and_can_be_done_again(
    kind: str, monkeypatch: Any
) -> None:
    with Factoring() as m:
        robin = m.person()
        added = m.add_totp(m.open())
        token, event, verb = undo_of(m.mail_of("second step was added")), Event.AUTH_MFA_REMOVED, "remove"
        if kind == "removed":
            m.factors.remove(m.active(added.session), added.authenticator_id, source=THIEF)
            token = undo_of(m.mail_of("second step was removed"))
            event, verb = Event.AUTH_MFA_RESTORED, "restore"
        m.events.clear()
        with monkeypatch.context() as patch:
            patch.setattr(m.portal.stores.totp, verb, fails)
            with pytest.raises(StoreError):
                m.portal.undo.confirm(token, source=SOURCE)
        assert outcomes(m, event) == [(Outcome.ERROR, None)]
        m.portal.undo.confirm(token, source=SOURCE)
        assert outcomes(m, event) == [(Outcome.ERROR, None), (Outcome.SUCCESS, None)]
        assert bool(m.ids(robin)) is (kind == "removed")


@pytest.mark.parametrize("kind", ["added", "removed"])
def test_what_cannot_be_recorded_is_as_it_was_and_can_be_done_again(kind: str, monkeypatch: Any) -> None:
    with Factoring() as m:
        robin = m.person()
        added = m.add_totp(m.open())
        token = undo_of(m.mail_of("second step was added"))
        if kind == "removed":
            m.factors.remove(m.active(added.session), added.authenticator_id, source=THIEF)
            token = undo_of(m.mail_of("second step was removed"))
        m.clock.advance(timedelta(hours=1))
        before = m.ids(robin), m.authenticators.removed(robin.id, now=m.clock())
        emit = m.portal.undo._emit

        def full(event: Any) -> None:
            if event.name in {Event.AUTH_MFA_REMOVED, Event.AUTH_MFA_RESTORED}:
                raise AuditUnavailable("down")
            emit(event)

        with monkeypatch.context() as patch:
            patch.setattr(m.portal.undo, "_emit", full)
            with pytest.raises(AuditUnavailable):
                m.portal.undo.confirm(token, source=SOURCE)
        assert (m.ids(robin), m.authenticators.removed(robin.id, now=m.clock())) == before
        m.portal.undo.confirm(token, source=SOURCE)
        assert bool(m.ids(robin)) is (kind == "removed")


def test_a_link_whose_process_died_works_two_minutes_later_and_not_twice(monkeypatch: Any) -> None:
    def dies(*_: Any, **__: Any) -> Any:
        raise Died

    with Factoring() as m:
        robin, own, token = robbed(m)
        with monkeypatch.context() as patch:
            patch.setattr(m.portal.stores.totp, "restore", dies)
            patch.setattr(m.portal.stores.invitations, "consume", dies)
            with pytest.raises(Died):
                m.portal.undo.confirm(token, source=SOURCE)
        refused(m.portal.undo.confirm, token)
        m.portal.undo.look(token, source=SOURCE)
        m.clock.advance(timedelta(minutes=2))
        m.portal.undo.confirm(token, source=SOURCE)
        assert own in m.ids(robin)
        refused(m.portal.undo.look, token)


def test_of_many_who_press_it_on_a_full_list_one_puts_it_back() -> None:
    with Factoring() as m:
        robin, own, token = robbed(m)
        results = together(8, lambda _: m.portal.undo.confirm(token, source=SOURCE))
        assert sum(not isinstance(each, Denied) for each in results) == 1
        assert m.ids(robin).count(own) == 1
        assert outcomes(m).count((Outcome.SUCCESS, None)) == 1


def test_who_presses_while_another_press_goes_wrong_finds_the_link_good_afterwards(monkeypatch: Any) -> None:
    with Factoring() as m:
        robin, own, token = robbed(m)

        def meanwhile(*_: Any, **__: Any) -> Any:
            refused(m.portal.undo.confirm, token)
            raise StoreError("down")

        with monkeypatch.context() as patch:
            patch.setattr(m.portal.stores.totp, "restore", meanwhile)
            with pytest.raises(StoreError):
                m.portal.undo.confirm(token, source=SOURCE)
        m.portal.undo.confirm(token, source=SOURCE)
        assert own in m.ids(robin)


# -- "this wasn't me" ---------------------------------------------------------------------------------------------


def test_atk_47_a_disavowed_removal_takes_along_what_filled_the_list_after_it() -> None:
    with Factoring() as m:
        robin, own, _ = robbed(m)
        other = m.ids(robin)[0]
        m.disavow(notice_of(m, robin, NoticeKind.FACTOR_REMOVED))
        assert set(m.ids(robin)) == {own, other}, "what was there before it happened stays"
        assert outcomes(m) == [(Outcome.SUCCESS, None)]
        by = [
            event.details["by"] for event in m.events.named(Event.AUTH_MFA_REMOVED) if "by" in event.details
        ]
        assert by == ["disavowal"] * 4
        assert m.kinds(robin).count(NoticeKind.FACTOR_REMOVED) == 2, "the owner is told once for all of them"
        last = m.mail_of("second step was removed")
        assert "/undo?" not in last.text


def test_atk_47_a_disavowed_sign_in_takes_along_what_was_added_in_it_of_either_sort() -> None:
    with Factoring() as m:
        robin = m.person()
        own = m.add_totp(m.open())
        m.clock.advance(timedelta(minutes=1))
        told = m.portal.notices.tell(robin.id, NoticeKind.NEW_DEVICE, source=THIEF)
        m.clock.advance(timedelta(minutes=1))
        m.add_passkey(m.add_totp(own.session).session)
        assert len(m.ids(robin)) == 3
        m.disavow(told)
        assert m.ids(robin) == [own.authenticator_id]
        gone = m.authenticators.removed(robin.id, now=m.clock())
        assert len(gone) == 2, "the owner's own, if one of them was, can be put back for a day"


def test_what_was_begun_before_and_confirmed_after_is_as_new() -> None:
    with Factoring() as m:
        robin = m.person()
        own = m.add_totp(m.open())
        m.portal.notices.tell(
            robin.id, NoticeKind.FACTOR_ADDED, source=THIEF, details={"factor": "totp", "device": "old"}
        )
        m.clock.advance(timedelta(minutes=1))
        begun = m.enrolled_with(robin)
        m.clock.advance(timedelta(minutes=1))
        told = m.portal.notices.tell(robin.id, NoticeKind.NEW_DEVICE, source=THIEF)
        m.clock.advance(timedelta(seconds=1))
        m.portal.notices.tell(
            robin.id, NoticeKind.FACTOR_ADDED, source=THIEF, details={"factor": "totp", "device": begun}
        )
        m.portal.undo.disavowed(told)
        assert m.ids(robin) == [own.authenticator_id]


def test_a_disavowed_removal_that_was_undone_by_its_link_before_keeps_the_owner_s() -> None:
    with Factoring() as m:
        robin, own, token = robbed(m)
        m.portal.undo.confirm(token, source=SOURCE)
        m.disavow(notice_of(m, robin, NoticeKind.FACTOR_REMOVED))
        assert own in m.ids(robin) and len(m.ids(robin)) == 2
        assert outcomes(m) == [(Outcome.SUCCESS, None)], "nothing was put back twice, and nothing failed"


def test_nor_does_it_take_along_one_that_by_the_clock_is_as_new_as_its_own_removal() -> None:
    with Factoring() as m:
        robin = m.person()
        own = m.add_totp(m.open())
        m.factors.remove(m.active(own.session), own.authenticator_id, source=THIEF)
        m.portal.undo.confirm(undo_of(m.mail_of("second step was removed")), source=SOURCE)
        m.events.clear()
        m.disavow(notice_of(m, robin, NoticeKind.FACTOR_REMOVED))
        assert m.ids(robin) == [own.authenticator_id]
        assert not m.events.named(Event.AUTH_MFA_REMOVED)


def test_a_disavowed_removal_comes_back_however_many_there_are() -> None:
    with Factoring() as m:
        robin, own, _ = robbed(m)
        m.portal.undo._authenticators._max_totp = 2
        m.portal.undo.disavowed(notice_of(m, robin, NoticeKind.FACTOR_REMOVED), since=False)
        assert own in m.ids(robin) and len(m.ids(robin)) == 6


def test_a_removal_that_is_too_old_to_take_back_is_recorded_as_not_done() -> None:
    with Factoring() as m:
        robin, own, _ = robbed(m)
        held = m.ids(robin)
        m.clock.advance(timedelta(days=2))
        m.disavow(notice_of(m, robin, NoticeKind.FACTOR_REMOVED))
        assert m.ids(robin) == held and own not in held, "what is older than a day goes by its own notice"
        assert outcomes(m) == [(Outcome.FAILURE, Reason.FACTOR_NOT_ENROLLED)]


def test_who_finds_an_old_mail_in_the_mailbox_gets_rid_of_no_more_than_the_last_days() -> None:
    with Factoring() as m:
        robin = m.person()
        told = m.portal.notices.tell(robin.id, NoticeKind.NEW_DEVICE, source=SOURCE)
        m.clock.advance(timedelta(days=3))
        own = m.add_totp(m.open())
        m.clock.advance(timedelta(hours=24))
        younger = m.add_totp(m.open())
        m.disavow(told)
        assert own.authenticator_id in m.ids(robin)
        assert younger.authenticator_id not in m.ids(robin)


@pytest.mark.parametrize("verb", ["remove", "restore", "removed", "devices"])
def test_a_disavowal_that_a_store_cut_short_is_whole_at_the_next_press(verb: str, monkeypatch: Any) -> None:
    with Factoring() as m:
        robin, own, _ = robbed(m)
        notice = notice_of(m, robin, NoticeKind.FACTOR_REMOVED)
        with monkeypatch.context() as patch:
            patch.setattr(m.portal.stores.totp, verb, fails)
            with pytest.raises(StoreError):
                m.disavow(notice)
        assert (Outcome.SUCCESS, None) not in outcomes(m)
        m.disavow(notice)
        assert own in m.ids(robin) and len(m.ids(robin)) == 2


def test_a_disavowal_whose_log_is_down_changes_no_authenticator(monkeypatch: Any) -> None:
    with Factoring() as m:
        robin, _, _ = robbed(m)
        notice, before = notice_of(m, robin, NoticeKind.FACTOR_REMOVED), m.ids(robin)
        for since in (True, False):  # of one that goes, of one that comes back
            with monkeypatch.context() as patch:
                patch.setattr(m.portal.undo._disowned, "_emit", fails)
                with pytest.raises(StoreError):
                    m.portal.undo.disavowed(notice, since=since)
            assert m.ids(robin) == before
            assert [each.id for each in m.authenticators.removed(robin.id, now=m.clock())]


def test_in_a_session_it_takes_a_factor_that_was_shown_lately_whatever_the_notice() -> None:
    """With a stolen session and the password alone, an old notice must not rid anybody of what keeps them out, nor let them
    choose another password."""
    with Factoring() as m:
        robin = m.person()
        told = m.portal.notices.tell(robin.id, NoticeKind.NEW_DEVICE, source=SOURCE)
        m.clock.advance(timedelta(minutes=1))
        own = m.add_totp(m.open())
        old, session = m.active(m.open()), m.active(m.open())
        m.clock.advance(timedelta(minutes=5))
        before = m.portal.stores.accounts.get(robin.id)
        with pytest.raises(StepUpRequired):
            m.portal.disavowal.confirm_signed_in(old, told.id, current=PASSWORD, source=SOURCE)
        assert own.authenticator_id in m.ids(robin) and m.portal.stores.accounts.get(robin.id) == before
        shown = m.active(m.portal.step_up.submit_totp(session, m.code(robin), source=SOURCE))
        m.portal.disavowal.confirm_signed_in(shown, told.id, current=PASSWORD, source=SOURCE)
        assert own.authenticator_id not in m.ids(robin)


@pytest.mark.parametrize("kind", [NoticeKind.FACTOR_ADDED, NoticeKind.FACTOR_REMOVED])
def test_in_a_session_a_notice_of_an_authenticator_takes_a_step_up(kind: NoticeKind) -> None:
    """Else a stolen session and the password would get rid of the second factor, or bring a stolen one back."""
    with Factoring(gated=False) as m:
        robin = m.person()
        shown = m.portal.step_up.submit_password(m.active(m.open()), PASSWORD, source=SOURCE)
        own = m.add_totp(shown)
        if kind == NoticeKind.FACTOR_REMOVED:
            gone = m.add_totp(own.session, "Lost")
            m.factors.remove(m.active(gone.session), gone.authenticator_id, source=SOURCE)
        m.clock.advance(timedelta(minutes=30))
        notice, before = notice_of(m, robin, kind), m.ids(robin)
        session = m.active(m.open())
        m.clock.advance(timedelta(minutes=10))
        disavow = partial(m.portal.disavowal.confirm_signed_in, current=PASSWORD, source=SOURCE)
        with pytest.raises(Denied) as caught:
            disavow(session, notice.id)
        assert caught.value.reason is Reason.STEP_UP_REQUIRED
        assert m.ids(robin) == before and m.portal.stores.accounts.get(robin.id).password_hash
        m.clock.advance(timedelta(seconds=30))
        stepped = m.portal.step_up.submit_totp(session, m.code(robin), source=SOURCE)
        assert disavow(m.active(stepped), notice.id).browser is not None
        assert m.ids(robin) != before


def test_a_second_link_about_what_went_along_with_the_first_leaves_what_the_owner_set_up_since() -> None:
    with Factoring() as m:
        robin = m.person()
        first = m.portal.notices.tell(robin.id, NoticeKind.NEW_DEVICE, source=THIEF)
        m.clock.advance(timedelta(minutes=1))
        m.add_totp(m.open())
        about = notice_of(m, robin, NoticeKind.FACTOR_ADDED)
        m.clock.advance(timedelta(hours=1))
        browser = m.disavow(first).browser
        assert browser is not None and m.ids(robin) == []
        m.portal.reset.choose(browser.reveal(), NEW, source=SOURCE)
        m.seeds.clear()
        m.clock.advance(timedelta(minutes=5))
        own = m.add_totp(m.open(password=NEW))
        m.disavow(about)
        assert m.ids(robin) == [own.authenticator_id]
