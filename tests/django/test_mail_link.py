"""A link by mail as the way in, through Django's views: where it is switched on, in the browser that asked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import Client

from portalsec.auth.ports import Contact
from portalsec.auth.proof import Factor
from portalsec.auth.signin import SignInPolicy
from portalsec.web import PENDING_COOKIE
from tests.django import project
from tests.django.browser import PASSWORD, cookie, who
from tests.django.project import World
from tests.django.test_sessions import HOST

ON = SignInPolicy(second_factor="optional", factors=frozenset(Factor) - {Factor.SMS_CODE}, mail_link=True)
ADDRESS = "robin@mail.example"


@pytest.fixture
def world(database: None) -> Iterator[World]:
    project.current = world = World(sign_in=ON)
    account = world.portal.accounts.create(login="robin", password=PASSWORD)
    now = world.clock()
    assert world.portal.stores.contacts.add(
        Contact(id="c1", account_id=account.id, address=ADDRESS, verified_at=now, created_at=now)
    )
    yield world
    project.current = None


def test_without_the_policy_there_are_no_such_pages(database: None) -> None:
    project.current = World()
    for path in ("/sign-in/mail", "/sign-in/link"):
        assert Client(headers=HOST).get(path).status_code == 404
    assert b"/sign-in/mail" not in Client(headers=HOST).get("/sign-in").content
    project.current = None


def test_asked_for_by_mail_and_signed_in_in_that_browser_alone(world: World) -> None:
    browser, elsewhere = Client(headers=HOST), Client(headers=HOST)
    assert b'<a href="/sign-in/mail">Sign in by mail</a>' in browser.get("/sign-in").content
    assert b"Sign in by mail" in browser.get("/sign-in/mail").content
    assert browser.post("/sign-in/mail", {"name": ""}).status_code == 400
    for client, name in ((browser, "robin"), (elsewhere, "nobody")):
        assert b"Open it in this browser" in client.post("/sign-in/mail", {"name": name}).content
        assert client.cookies[PENDING_COOKIE].value
    world.portal.courier.deliver()
    (mail,) = world.mail.to(ADDRESS)
    token = mail.text.partition("/sign-in/link?token=")[2].split()[0]
    page = browser.get("/sign-in/link", {"token": token})
    assert token in page.content.decode() and page["Referrer-Policy"] == "no-referrer"
    dead = elsewhere.post("/sign-in/link", {"token": token})
    assert dead.status_code == 400 and b"open it in the same browser" in dead.content
    assert cookie(elsewhere) == ""
    done = browser.post("/sign-in/link", {"token": token})
    assert (done.status_code, done["Location"]) == (303, "/")
    assert who(browser) == "robin"
    assert browser.post("/sign-in/link", {"token": token}).status_code == 400
