"""What "this wasn't me" and the undo links do to authenticators, against whoever has the mail, a key, or the timing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from portalsec.auth.authenticators import RESTORABLE
from portalsec.auth.notices import NoticeKind
from portalsec.auth.proof import Factor
from portalsec.errors import Denied, Reason
from portalsec.events import Actor
from portalsec.testing.authenticator import SoftAuthenticator
from tests.auth.factoring import Factoring
from tests.auth.mailing import PASSWORD, SOURCE, THIEF
from tests.auth.test_undo import UNDO, refused, undo_of
from tests.auth.test_undo_full_list import notice_of
from tests.auth.world import code_of

MINUTE = timedelta(minutes=1)
ANN, BEN = Actor(type="user", id="desk-ann"), Actor(type="user", id="desk-ben")


@pytest.fixture
def m() -> Iterator[Factoring]:
    with Factoring() as made:
        yield made


def left(m: Factoring, account_id: str) -> int:
    return m.portal.recovery_codes.left(account_id)


# -- what was put back --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["this wasn't me", "undo"])
def test_a_stranger_s_key_that_was_put_back_goes_again_by_the_mail_that_tells_it(
    m: Factoring, by: str
) -> None:
    robin = m.person()
    own = m.add_totp(m.open())
    key = m.add_passkey(own.session)
    gone = m.factors.remove(m.active(key.session), key.authenticator_id, source=SOURCE)
    m.clock.advance(MINUTE)
    m.factors.restore(m.active(gone.session), key.authenticator_id, source=THIEF)
    assert key.authenticator_id in m.ids(robin)
    m.clock.advance(MINUTE)
    if by == "undo":
        m.portal.undo.confirm(undo_of(m.mail_of("is back")), source=SOURCE)
    else:
        m.disavow(notice_of(m, robin, NoticeKind.FACTOR_RESTORED))
    assert key.authenticator_id not in m.ids(robin) and own.authenticator_id in m.ids(robin)


def test_one_that_an_undo_brought_back_is_taken_away_by_its_own_mail_too(m: Factoring) -> None:
    robin = m.person()
    own = m.add_totp(m.open())
    key = m.add_passkey(own.session)
    m.factors.remove(m.active(key.session), key.authenticator_id, source=SOURCE)
    m.portal.undo.confirm(undo_of(m.mail_of("was removed")), source=THIEF)
    assert key.authenticator_id in m.ids(robin)
    told = m.mail_of("is back")
    assert not UNDO.findall(told.text)
    m.clock.advance(MINUTE)
    m.disavow(notice_of(m, robin, NoticeKind.FACTOR_RESTORED))
    assert key.authenticator_id not in m.ids(robin)


# -- older links --------------------------------------------------------------------------------------------------


def test_a_disavowal_ends_the_links_that_would_bring_back_what_was_removed_before(m: Factoring) -> None:
    robin = m.person()
    own = m.add_totp(m.open())
    key = m.add_passkey(own.session)
    m.factors.remove(m.active(key.session), key.authenticator_id, source=SOURCE)
    link = undo_of(m.mail_of("was removed"))  # went to the stranger's address as well
    m.clock.advance(MINUTE)
    m.disavow(m.portal.notices.tell(robin.id, NoticeKind.NEW_DEVICE, source=THIEF))
    refused(m.portal.undo.look, link)
    refused(m.portal.undo.confirm, link)
    assert key.authenticator_id not in m.ids(robin)


@pytest.mark.parametrize("added", [False, True])
def test_the_desk_s_reset_ends_them_all(m: Factoring, added: bool) -> None:
    robin = m.person()
    own = m.add_totp(m.open())
    key = m.add_passkey(own.session)
    link = undo_of(m.mail_of("was added"))
    if not added:
        m.factors.remove(m.active(key.session), key.authenticator_id, source=SOURCE)
        link = undo_of(m.mail_of("was removed"))
    m.clock.advance(MINUTE)
    desk = m.portal.support
    desk.approve(
        desk.request_factor_reset(robin.id, actor=ANN, reason="T-1", source=SOURCE), actor=BEN, source=SOURCE
    )
    refused(m.portal.undo.confirm, link)
    assert m.ids(robin) == []


# -- recovery codes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["this wasn't me", "undo"])
def test_the_codes_that_came_with_a_stranger_s_authenticator_go_with_it(m: Factoring, by: str) -> None:
    robin = m.person()
    own = m.enrolled_with(robin)  # as at the door: without codes
    m.clock.advance(MINUTE)
    added = m.add_totp(m.open())
    assert added.codes is not None and left(m, robin.id) == 10
    if by == "undo":
        m.portal.undo.confirm(undo_of(m.mail_of("was added")), source=SOURCE)
    else:
        m.disavow(notice_of(m, robin, NoticeKind.FACTOR_ADDED))
    assert (m.ids(robin), left(m, robin.id)) == ([own], 0)
    assert NoticeKind.RECOVERY_CODES_REMOVED in m.kinds(robin)


def test_the_owner_s_codes_of_before_stay(m: Factoring) -> None:
    robin = m.person()
    own = m.add_totp(m.open())
    m.clock.advance(MINUTE)
    m.add_totp(own.session)
    m.portal.undo.confirm(undo_of(m.mail_of("was added")), source=SOURCE)
    assert (m.ids(robin), left(m, robin.id)) == ([own.authenticator_id], 10)
    assert NoticeKind.RECOVERY_CODES_REMOVED not in m.kinds(robin)


# -- the mailbox alone --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [False, True])
def test_a_mail_takes_an_authenticator_for_a_day_and_then_only_its_owner_does(
    m: Factoring, late: bool
) -> None:
    robin = m.person()
    added = m.add_totp(m.open())
    told = notice_of(m, robin, NoticeKind.FACTOR_ADDED)
    m.clock.advance(told.at + RESTORABLE - m.clock() + (MINUTE if late else -MINUTE))
    done = m.disavow(told)
    assert done.browser is not None  # all else is done, and the second factor is asked for as ever
    assert (m.ids(robin), left(m, robin.id)) == (([added.authenticator_id], 10) if late else ([], 0))


def test_in_a_session_a_factor_shown_lately_takes_an_older_one(m: Factoring) -> None:
    robin = m.person()
    added = m.add_totp(m.open())
    told = notice_of(m, robin, NoticeKind.FACTOR_ADDED)
    m.clock.advance(timedelta(days=3))
    session = m.active(m.open())
    m.portal.disavowal.confirm_signed_in(session, told.id, current=PASSWORD, source=SOURCE)
    assert added.authenticator_id not in m.ids(robin) and left(m, robin.id) == 0


def test_an_old_mail_gives_no_old_name_back_and_no_record_has_it(m: Factoring) -> None:
    robin = m.person()
    added = m.add_totp(m.open(), "Phone")
    m.factors.rename(m.active(added.session), added.authenticator_id, "Work phone", source=SOURCE)
    m.clock.advance(RESTORABLE)
    m.disavow(notice_of(m, robin, NoticeKind.FACTOR_RENAMED))
    assert [each.label for each in m.authenticators.of_account(robin.id)] == ["Work phone"]
    (incident,) = m.portal.incidents.of_account(robin.id)
    assert "Phone" not in m.portal.incidents.summary(incident).values()


# -- what hides ---------------------------------------------------------------------------------------------------


def test_no_number_of_notices_hides_one_that_was_begun_before_and_confirmed_after(m: Factoring) -> None:
    robin = m.person()
    own = m.add_totp(m.open())
    session = m.active(own.session)
    begun = m.factors.begin_totp(session, label="Mine", source=THIEF)
    m.clock.advance(MINUTE)
    told = m.portal.notices.tell(robin.id, NoticeKind.NEW_DEVICE, source=THIEF)
    m.clock.advance(MINUTE)
    added = m.factors.confirm_totp(session, code_of(begun.secret.reveal(), m.clock()), source=THIEF)
    session = m.active(added.session)
    for number in range(501):
        m.clock.advance(timedelta(milliseconds=10))
        m.factors.rename(session, own.authenticator_id, f"Phone {number}", source=THIEF)
    assert added.authenticator_id in m.ids(robin)
    m.disavow(told)
    assert added.authenticator_id not in m.ids(robin)


# -- who comes in between -----------------------------------------------------------------------------------------


def slipping(m: Factoring, store: Any, method: str, login: Any, patch: pytest.MonkeyPatch) -> list[str]:
    """The session of whoever is through the door just before a store's change."""
    change, opened = getattr(store, method), []

    def before(*args: Any, **kwargs: Any) -> Any:
        if not opened:
            opened.append(login())
            assert m.alive(opened[0])
        return change(*args, **kwargs)

    patch.setattr(store, method, before)
    return opened


@pytest.mark.parametrize("last", [False, True])
def test_whoever_signed_in_with_it_while_it_was_removed_is_out(
    m: Factoring, last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    robin = m.person()
    stolen = SoftAuthenticator()
    session = m.open()
    if not last:
        session = m.add_totp(session).session
    key = m.add_passkey(session, stolen)
    with monkeypatch.context() as patch:
        opened = slipping(m, m.portal.stores.passkeys, "remove", lambda: by_passkey(m, stolen), patch)
        done = m.factors.remove(m.active(key.session), key.authenticator_id, source=SOURCE)
    assert opened and not m.alive(opened[0])
    assert (done.session is None) is last and (last or m.alive(done.session))
    assert key.authenticator_id not in m.ids(robin)


@pytest.mark.parametrize("by", ["password", "passkey"])
def test_whoever_signed_in_while_the_owner_said_this_wasnt_me_is_out(
    m: Factoring, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    robin = m.person()
    stolen = SoftAuthenticator()
    told = m.portal.notices.tell(robin.id, NoticeKind.NEW_DEVICE, source=THIEF)
    if by == "passkey":
        m.clock.advance(MINUTE)
        m.add_passkey(m.open(), stolen)
        store, method, login = m.portal.stores.passkeys, "remove", lambda: by_passkey(m, stolen)
    else:
        store, method, login = m.portal.stores.accounts, "set_password", m.open
    with monkeypatch.context() as patch:
        opened = slipping(m, store, method, login, patch)
        m.disavow(told)
    assert opened and not m.alive(opened[0])


def by_passkey(m: Factoring, key: SoftAuthenticator) -> str:
    options, pending = m.portal.sign_in.begin_passkey(source=SOURCE)
    response = key.get(options.json, origin="https://portal.example")
    step = m.portal.sign_in.submit_passkey(pending.reveal(), response, source=SOURCE)
    assert step.session is not None
    return step.session.token.reveal()


# -- recovery codes whose sign-in or session was lost -------------------------------------------------------------


def test_of_codes_that_are_shown_at_once_only_that_of_the_session_that_is_left_is_spent(
    m: Factoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    robin = m.person()
    added = m.add_totp(m.open())
    session = m.active(added.session)
    one, other, *_ = [code.reveal() for code in added.codes.codes]
    rotate = m.portal.sessions.rotate_through

    def overtaken(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(m.portal.sessions, "rotate_through", rotate)
        m.portal.step_up.submit_recovery_code(session, one, source=SOURCE)
        return rotate(*args, **kwargs)

    monkeypatch.setattr(m.portal.sessions, "rotate_through", overtaken)
    with pytest.raises(Denied) as lost:
        m.portal.step_up.submit_recovery_code(session, other, source=SOURCE)
    assert lost.value.reason is Reason.SESSION_UNKNOWN
    assert left(m, robin.id) == 9 and m.kinds(robin).count(NoticeKind.RECOVERY_CODE_USED) == 1


def test_a_code_shown_at_a_sign_in_that_was_aborted_meanwhile_is_not_spent(
    m: Factoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    robin = m.person()
    added = m.add_totp(m.open())
    step = m.portal.sign_in.start("robin", PASSWORD, source=SOURCE)
    pending = step.pending.reveal()
    verify = m.portal.recovery_codes.verify

    def aborted(*args: Any, **kwargs: Any) -> Any:
        proven = verify(*args, **kwargs)
        m.portal.sign_in.abort(pending)
        return proven

    monkeypatch.setattr(m.portal.recovery_codes, "verify", aborted)
    with pytest.raises(Denied) as lost:
        m.portal.sign_in.submit_recovery_code(pending, added.codes.codes[0].reveal(), source=SOURCE)
    assert lost.value.reason is Reason.FLOW_UNKNOWN
    assert left(m, robin.id) == 10
    assert Factor.RECOVERY_CODE.value not in m.kinds(robin)
