"""The meter says what the server will say: of a password made of a person's own words, on every form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from portalsec.account_pages.exchange import Asked
from portalsec.account_pages.visitors import VisitorPages
from portalsec.auth.links import LinkPurpose, RecoveryPolicy
from portalsec.auth.password_policy import PasswordRefused
from portalsec.auth.ports import Account
from portalsec.auth.signin import SignInPolicy
from portalsec.events import SYSTEM
from tests.auth.mailing import PASSWORD, SOURCE, Mailing

WORDS = {"patient-1": ("Zorbina Quell", "1984-02-03")}
# Made of the name, of the local part of the e-mail address, of the sign-in name; and of nobody's words.
OWN = ("zorbinaquell1984", "quincytumbleweed99", "hedgerowxqkhedgerow")
OTHER = "saturn pickle mitten harbour"


def words_of(account: Account) -> tuple[str, ...]:
    return WORDS.get(account.reference or "", ())


@pytest.fixture
def mailing() -> Any:
    with Mailing(
        about=words_of,
        sign_in=SignInPolicy(second_factor="optional"),
        recovery=RecoveryPolicy(open_registration=True),
    ) as made:
        yield made


def owner(m: Mailing) -> Account:
    return m.portal.accounts.create(
        login="hedgerow", password=PASSWORD, reference="patient-1", email="quincytumbleweed@mail.example"
    )


def measured(m: Mailing, password: str, page: str, **held: Any) -> bool:
    """Whether the meter has nothing against it."""
    form = {"password": password, "page": page, **held.pop("form", {})}
    reply = VisitorPages(m.portal).strength(Asked(form=form, source=SOURCE, **held))
    assert reply.json is not None and reply.json["score"] is not None
    return not reply.json["problems"]


def taken(work: Callable[[], object]) -> bool:
    try:
        work()
    except PasswordRefused:
        return False
    return True


def test_the_change_of_a_password(mailing: Mailing) -> None:
    owner(mailing)
    token = mailing.session("hedgerow")
    session = mailing.portal.sessions.check(token, source=SOURCE)
    for password in (*OWN, OTHER):
        said = measured(mailing, password, "/account/password", session=token)
        assert said == (password == OTHER)
        change = mailing.portal.password_change.change
        assert said == taken(
            lambda p=password, change=change: change(session, current=PASSWORD, new=p, source=SOURCE)
        )


def test_a_reset_costs_none_of_the_links_tries(mailing: Mailing) -> None:
    link = mailing.portal.links.for_browser(LinkPurpose.RESET, owner(mailing)).reveal()
    for _ in range(150):  # more often than a password may be chosen
        mailing.portal.links.looked_at(link, LinkPurpose.RESET)
    for password in (*OWN, OTHER):
        said = measured(mailing, password, "/password/new", link=link)
        assert said == (password == OTHER)
        assert said == taken(lambda p=password: mailing.portal.reset.choose(link, p, source=SOURCE))
    # It was used: nothing of the person is told by it any more.
    assert mailing.portal.links.looked_at(link, LinkPurpose.RESET) is None


def test_a_forced_change(mailing: Mailing) -> None:
    account = owner(mailing)
    mailing.portal.password_change.require(account.id, "told", actor=SYSTEM, source=SOURCE)
    step = mailing.portal.sign_in.start("hedgerow", PASSWORD, source=SOURCE)
    assert step.pending is not None and step.next == ("new_password",)
    pending = step.pending.reveal()
    for password in (*OWN, OTHER):
        said = measured(mailing, password, "/sign-in/new-password", pending=pending)
        assert said == (password == OTHER)
        submit = mailing.portal.password_change.submit_forced
        assert said == taken(lambda p=password, submit=submit: submit(pending, p, source=SOURCE))


def test_a_registration_knows_the_address_and_the_name_that_is_being_typed(mailing: Mailing) -> None:
    mailed = mailing.portal.links.issue_registration("quincytumbleweed@mail.example")
    link = mailing.portal.registration.exchange(mailed.reveal(), source=SOURCE).reveal()
    for password in (*OWN[1:], OTHER):
        form = {"login": "hedgerow"}
        said = measured(mailing, password, "/register/new", link=link, form=form)
        assert said == (password == OTHER)
        complete = mailing.portal.registration.complete
        assert said == taken(
            lambda p=password, complete=complete: complete(link, login="hedgerow", password=p, source=SOURCE)
        )


def test_an_invitation_knows_whom_it_is_for(mailing: Mailing) -> None:
    code = mailing.portal.accounts.invite("patient-1", actor=SYSTEM, source=SOURCE).reveal()
    for password in (OWN[0], OTHER):
        assert (password == OTHER) == taken(
            lambda p=password: mailing.portal.accounts.sign_up(
                invitation=code, login="hedgerow", password=p, source=SOURCE
            )
        )


def test_the_form_says_which_of_several_cookies_counts(mailing: Mailing) -> None:
    owner(mailing)
    child = mailing.portal.accounts.create(login="brambleberry", password=PASSWORD)
    held = {
        "session": mailing.session("hedgerow"),
        "link": mailing.portal.links.for_browser(LinkPurpose.RESET, child).reveal(),
    }
    childs = "brambleberry2024"
    assert not measured(mailing, childs, "/password/new", **held)
    assert measured(mailing, OWN[2], "/password/new", **held)
    assert measured(mailing, childs, "/account/password", **held)
    assert not measured(mailing, OWN[2], "/portal/account/password/", **held)


def test_what_a_form_says_counts_where_no_cookie_does(mailing: Mailing) -> None:
    dead = {"session": "x" * 43, "link": "y" * 43, "pending": "z" * 43}
    assert measured(mailing, OWN[1], "/activate", **dead)
    assert not measured(mailing, OWN[1], "/activate", form={"email": "quincytumbleweed@mail.example"}, **dead)
    assert not measured(mailing, OWN[2], "/activate", form={"login": "hedgerow"})


def test_a_pending_sign_in_that_waits_for_something_else_tells_nothing(mailing: Mailing) -> None:
    with Mailing(sign_in=SignInPolicy()) as m:
        m.portal.accounts.create(login="hedgerow", password=PASSWORD)
        step = m.portal.sign_in.start("hedgerow", PASSWORD, source=SOURCE)
        assert step.pending is not None
        assert m.portal.sign_in.chooser(step.pending.reveal()) is None
