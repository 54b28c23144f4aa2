"""An account is closed by whoever knows its password, and by nobody who found a session open."""

from __future__ import annotations

import pytest

from portalsec.errors import AuditUnavailable, Denied, Reason
from portalsec.events import Event
from tests.auth.mailing import PASSWORD, SOURCE, THIEF, Mailing


def test_closing_ends_everything_and_tells_the_owner() -> None:
    with Mailing() as m:
        robin = m.person()
        other = m.session(source=THIEF)
        session = m.portal.guard.session(m.session(), source=SOURCE)
        m.deliver()
        m.portal.closing.close(session, current=PASSWORD, source=SOURCE)
        account = m.portal.stores.accounts.get(robin.id)
        assert account is not None and account.disabled and account.password_hash is None
        with pytest.raises(Denied):
            m.portal.guard.session(other, source=THIEF)
        with pytest.raises(Denied):
            m.portal.sign_in.start("robin", PASSWORD, source=SOURCE)
        assert [mail.subject.partition(" [")[0] for mail in m.deliver()] == ["Your account was closed"]
        (event,) = m.events.named(Event.ACCOUNT_CLOSED)
        assert event.actor.id == robin.id and event.session == session.reference


def test_a_session_that_was_left_open_closes_nothing() -> None:
    with Mailing() as m:
        robin = m.person()
        session = m.portal.guard.session(m.session(), source=SOURCE)
        with pytest.raises(Denied) as caught:
            m.portal.closing.close(session, current="not the password of robin", source=THIEF)
        assert caught.value.reason is Reason.WRONG_PASSWORD
        account = m.portal.stores.accounts.get(robin.id)
        assert account is not None and not account.disabled
        assert m.events.named(Event.ACCOUNT_CLOSED) == []


def test_what_cannot_be_recorded_is_not_closed() -> None:
    with Mailing() as m:
        robin = m.person()
        session = m.portal.guard.session(m.session(), source=SOURCE)
        m.emit_failing = AuditUnavailable("down")
        with pytest.raises(AuditUnavailable):
            m.portal.closing.close(session, current=PASSWORD, source=SOURCE)
        account = m.portal.stores.accounts.get(robin.id)
        assert account is not None and not account.disabled
