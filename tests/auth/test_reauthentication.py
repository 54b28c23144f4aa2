"""What guards an account, or ends it, takes a second factor shown lately and the password now (ASVS 5.0, V7.5.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from portalsec.auth.factors import WITHIN
from portalsec.auth.ports import Account
from portalsec.auth.sessions import ActiveSession
from portalsec.auth.step_up import StepUpRequired
from portalsec.errors import Denied, Reason
from portalsec.events import Event
from tests.auth.factoring import Factoring
from tests.auth.mailing import PASSWORD, SOURCE

NEW = "harbour violin 42 candle moss"
ADDRESS = "robin@work.example"
Doing = Callable[[Factoring, ActiveSession, str], Any]


def change(m: Factoring, session: ActiveSession, current: str) -> Any:
    return m.portal.password_change.change(session, current=current, new=NEW, source=SOURCE)


def add(m: Factoring, session: ActiveSession, current: str) -> Any:
    return m.portal.contacts.add(session, ADDRESS, current=current, source=SOURCE)


def remove(m: Factoring, session: ActiveSession, current: str) -> Any:
    first, second = m.portal.contacts.of_account(session.account_id)
    assert first.address != ADDRESS
    return m.portal.contacts.remove(session, second.id, current=current, source=SOURCE)


def close(m: Factoring, session: ActiveSession, current: str) -> Any:
    return m.portal.closing.close(session, current=current, source=SOURCE)


DOINGS = pytest.mark.parametrize("doing", [change, add, remove, close])


@pytest.fixture
def m() -> Iterator[Factoring]:
    with Factoring() as made:
        yield made


def owner(m: Factoring, *, second_factor: bool) -> Account:
    account = m.person()
    if second_factor:
        m.enrolled_with(account)
    m.contact(account, "robin@second.example")
    return account


def stored(m: Factoring, account: Account) -> object:
    return m.portal.stores.accounts.get(account.id), m.portal.contacts.of_account(account.id)


@DOINGS
def test_an_old_session_and_the_password_are_not_enough(m: Factoring, doing: Doing) -> None:
    account = owner(m, second_factor=True)
    session = m.active(m.open())
    before = stored(m, account)
    m.clock.advance(WITHIN)
    tried = len(m.events.named(Event.AUTH_STEP_UP))
    for current in (PASSWORD, "not the password of robin"):
        with pytest.raises(StepUpRequired) as short:
            doing(m, session, current)
        assert short.value.next == ("totp",)  # the same answer to both: nobody tests passwords by this
    assert stored(m, account) == before
    assert len(m.events.named(Event.AUTH_STEP_UP)) == tried
    m.clock.advance(timedelta(seconds=60))
    new = m.portal.step_up.submit_totp(session, m.code(account), source=SOURCE)
    doing(m, m.active(new), PASSWORD)
    assert stored(m, account) != before


@DOINGS
def test_a_code_is_not_enough_without_the_password(m: Factoring, doing: Doing) -> None:
    account = owner(m, second_factor=True)
    session = m.active(m.open())  # a moment ago, by a password and a code
    before = stored(m, account)
    with pytest.raises(Denied) as denied:
        doing(m, session, "not the password of robin")
    assert denied.value.reason is Reason.WRONG_PASSWORD
    assert stored(m, account) == before


@DOINGS
def test_a_sign_in_of_a_moment_ago_shows_the_second_factor(m: Factoring, doing: Doing) -> None:
    owner(m, second_factor=True)
    session = m.active(m.open())
    m.clock.advance(WITHIN - timedelta(seconds=1))
    doing(m, session, PASSWORD)


@DOINGS
def test_where_there_is_no_second_factor_the_password_is_all_there_is(m: Factoring, doing: Doing) -> None:
    owner(m, second_factor=False)
    session = m.active(m.open())
    m.clock.advance(WITHIN * 2)
    doing(m, session, PASSWORD)


def test_a_password_typed_lately_stands_for_no_second_factor(m: Factoring) -> None:
    owner(m, second_factor=True)
    session = m.active(m.open())
    m.clock.advance(WITHIN)
    again = m.active(m.portal.step_up.submit_password(session, PASSWORD, source=SOURCE))
    with pytest.raises(StepUpRequired):
        change(m, again, PASSWORD)
