"""A link by mail as the way in, over HTTP: where it is switched on, in the browser that asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from portalsec.auth.ports import Contact
from portalsec.auth.proof import Factor
from portalsec.auth.signin import SignInPolicy
from portalsec.web import PENDING_COOKIE, SESSION_COOKIE
from tests.fastapi.account_site import AccountSite, account_site
from tests.fastapi.support import PASSWORD

ON = SignInPolicy(second_factor="optional", factors=frozenset(Factor) - {Factor.SMS_CODE}, mail_link=True)
ADDRESS = "robin@mail.example"


@pytest.fixture
def site() -> Iterator[AccountSite]:
    with account_site(sign_in=ON) as made:
        account = made.portal.accounts.create(login="robin", password=PASSWORD)
        now = made.site.clock()
        contact = Contact(id="c1", account_id=account.id, address=ADDRESS, verified_at=now, created_at=now)
        assert made.portal.stores.contacts.add(contact)
        yield made


def shown(response: Any) -> dict[str, Any]:
    return dict(json.loads(response.text))


def test_without_the_policy_there_are_no_such_pages() -> None:
    with account_site() as made:
        for path in ("/sign-in/mail", "/sign-in/link"):
            assert made.client().get(path).status_code == 404


def test_asked_for_by_mail_and_signed_in_in_that_browser_alone(site: AccountSite) -> None:
    browser, elsewhere = site.client(), site.client()
    assert shown(browser.get("/sign-in/mail")) == {"page": "mail_link", "errors": [], "typed": ""}
    assert shown(browser.post("/sign-in/mail", {"name": " "}))["errors"] == ["missing_name"]
    known = browser.post("/sign-in/mail", {"name": "robin"})
    assert known.text == elsewhere.post("/sign-in/mail", {"name": "nobody"}).text
    assert "Max-Age" not in known.set_cookies()[PENDING_COOKIE]
    link = site.link(ADDRESS)
    path, _, token = link.partition("?token=")
    assert path == "/sign-in/link"
    for client in (browser, elsewhere):  # a program that checks mail opens links: nothing happens
        page = client.get(link)
        assert (shown(page)["page"], shown(page)["token"]) == ("sign_in_link", token)
        assert page.headers["referrer-policy"] == "no-referrer"
    for client in (elsewhere, site.client()):
        dead = client.post(path, {"token": token})
        assert (dead.status_code, shown(dead)["what"]) == (400, "sign_in")
        assert SESSION_COOKIE not in client.cookies
    done = browser.post(path, {"token": token})
    assert (done.status_code, done.headers["location"]) == (303, "/")
    assert SESSION_COOKIE in browser.cookies
    assert PENDING_COOKIE not in browser.cookies
    assert browser.get("/account/sessions").status_code == 200
    assert browser.post(path, {"token": token}).status_code == 400
