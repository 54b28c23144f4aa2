"""docs/how-to/passkeys-in-your-pages.md makes a portal in which somebody signs in: its application is asked over HTTP.

Django's part of the page is in `tests.django.test_passkeys_page`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

import portalsec
from portalsec.account_pages import SCRIPTS
from portalsec.portal import close_portal
from portalsec.testing.authenticator import SoftAuthenticator
from portalsec.testing.hashing import CHEAP_ARGON2
from tests.docs.passkeys_page import BASE, PAGE, PASSWORD, TEXT, Post, fields_of, press
from tests.fastapi.asgi import Answer, Browser, Loop

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def pasted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The page's blocks in one module; hashing is cheap, and all else as it is written there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(portalsec, "open_portal", partial(portalsec.open_portal, hashing=CHEAP_ARGON2))
        patch.chdir(tmp_path_factory.mktemp("pasted"))
        document = Sybil(parsers=[PythonCodeBlockParser()]).parse(PAGE)
        for example in document.examples():
            example.evaluate()
        yield document.namespace
        close_portal(document.namespace["portal"])


@pytest.fixture
def browser(pasted: dict[str, Any]) -> Iterator[Browser]:
    loop = Loop()
    yield Browser(pasted["app"], loop, base=BASE)
    loop.close()


def asks(browser: Browser) -> Post:
    def post(path: str, fields: dict[str, str]) -> dict[str, Any]:
        answer = browser.request(
            "POST", path, content=json.dumps(fields).encode(), headers=JSON, same_site=True
        )
        assert answer.status_code == 200, answer.text
        return dict(json.loads(answer.content))

    return post


def seen(browser: Browser, path: str) -> str:
    answer = browser.get(path)
    assert answer.status_code == 200, (path, answer.headers.get("location"))
    return answer.text


def led(answer: Answer) -> str:
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def test_the_page_s_fastapi_portal_signs_in_with_a_passkey(browser: Browser) -> None:
    key, post = SoftAuthenticator(), asks(browser)
    for script in SCRIPTS:
        assert browser.get(f"/portalsec/{script}").status_code == 200
    assert led(browser.get("/account")) == "/sign-in?next=/account"
    assert "data-autofill" in seen(browser, "/sign-in")
    form = {"login": "robin", "password": PASSWORD, "next": "/account"}
    assert browser.post("/sign-in", form | {"password": "wrong"}).status_code == 401

    # The first time by password: it asks for a passkey.
    made = led(browser.post("/sign-in", form))
    assert press(seen(browser, made), key, post) == "/account"
    assert "My account" in seen(browser, "/account")
    assert json.loads(browser.get("/session/left").content)["signed_in"] is True
    assert browser.post("/sign-out", {}).status_code == 200
    assert led(browser.get("/")) == "/sign-in?next=/"

    # The passkey alone; nobody is named.
    assert press(seen(browser, "/sign-in?next=/account"), key, post) == "/account"
    assert "My account" in seen(browser, "/account")
    # One more, on another device, after the first was shown again.
    assert press(seen(browser, "/account/step-up?next=/account/factors/passkey"), key, post) == (
        "/account/factors/passkey"
    )
    other = SoftAuthenticator()
    press(seen(browser, "/account/factors/passkey"), other, post)
    browser.post("/sign-out", {})

    # As second factor, with the other one.
    second = led(browser.post("/sign-in", form))
    assert press(seen(browser, second), other, post) == "/account"


def test_after_an_idle_end_the_page_s_portal_goes_on_with_a_passkey_or_the_password(
    browser: Browser, pasted: dict[str, Any]
) -> None:
    key, post, portal = SoftAuthenticator(), asks(browser), pasted["portal"]
    account = portal.accounts.create(login="lee", password=PASSWORD)
    led_to = led(browser.post("/sign-in", {"login": "lee", "password": PASSWORD, "next": "/account"}))
    press(seen(browser, led_to), key, post)
    for way in ("passkey", "password"):
        (record,) = portal.stores.sessions.of_account(account.id)
        assert portal.stores.sessions.rest(record.digest, at=portal.clock())
        resume = led(browser.get("/account"))
        assert resume == "/sign-in/resume?next=/account"
        page = seen(browser, resume)
        if way == "passkey":
            assert press(page, key, post) == "/account"
        else:
            form = fields_of(page) | {"current": PASSWORD}
            assert led(browser.post("/sign-in/resume", form)) == "/account"
        assert "My account" in seen(browser, "/account")


def test_what_the_page_s_table_names_is_served(browser: Browser, pasted: dict[str, Any]) -> None:
    table = TEXT.split("| page | what", 1)[1].split("\n\n", 1)[0]
    paths = re.findall(r"^\| `(/[^`]*)`", table, re.MULTILINE)
    assert len(paths) == 10
    for path in paths:
        asked = "POST" if path == "/sign-out" else "GET"
        assert browser.request(asked, path, same_site=True).status_code < 404, path
    for _, begin, finish, _ in pasted["BUTTONS"].values():
        for path in (begin, finish):  # nothing was asked there yet, so there is nothing to say but no
            refused = browser.request("POST", path, content=b"{}", headers=JSON, same_site=True)
            assert refused.status_code in (200, 400, 401, 403), path
