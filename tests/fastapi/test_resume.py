"""After an idle end: one factor, and on to where the visitor was. The cookie outlives every 401."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from portalsec.auth.session_policy import SessionPolicy
from portalsec.events import Source
from portalsec.testing.authenticator import SoftAuthenticator
from portalsec.web import PENDING_COOKIE, SESSION_COOKIE
from tests.fastapi.account_site import PASSWORD, AccountSite, account_site
from tests.fastapi.asgi import Answer, Browser
from tests.fastapi.support import BASE

RESUME = "/sign-in/resume"


@pytest.fixture
def site() -> Iterator[AccountSite]:
    with account_site() as made:
        yield made


@pytest.fixture
def rested(site: AccountSite) -> Browser:
    """A browser whose session idleness has just ended."""
    site.person("ada")
    browser = site.signed_in("ada")
    idle(site, browser)
    return browser


def idle(site: AccountSite, browser: Browser) -> None:
    site.site.clock.advance(timedelta(minutes=16))
    before = browser.cookies[SESSION_COOKIE]
    answer = browser.get("/whoami?tab=2")
    assert (answer.status_code, answer.set_cookies()) == (401, {})
    assert browser.cookies[SESSION_COOKIE] == before


def shown(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.content)
    return found


def scripted(browser: Browser, path: str, **fields: str) -> Answer:
    headers = {"content-type": "application/json"}
    return browser.request("POST", path, content=json.dumps(fields).encode(), headers=headers, same_site=True)


def test_a_password_resumes_and_leads_back(site: AccountSite, rested: Browser) -> None:
    page = rested.get(f"{RESUME}?next=/records/p1?page%3D2")
    assert shown(page) == {"page": "resume", "errors": [], "next": "/records/p1?page=2", "ways": ["password"]}
    old = rested.cookies[SESSION_COOKIE]
    done = rested.post(RESUME, {"current": PASSWORD, "next": "/records/p1?page=2"})
    assert (done.status_code, done.headers["location"]) == (303, "/records/p1?page=2")
    assert rested.cookies[SESSION_COOKIE] != old
    assert rested.get("/whoami").status_code == 200


def test_atk_12_a_late_401_to_the_old_id_takes_no_cookie_away(site: AccountSite, rested: Browser) -> None:
    old = rested.cookies[SESSION_COOKIE]
    rested.post(RESUME, {"current": PASSWORD})
    for path in ("/whoami", "/session/left", "/account/secure", RESUME):
        late = rested.get(path, headers={"cookie": f"{SESSION_COOKIE}={old}"})
        assert late.status_code == (303 if path == RESUME else 401), path
        assert late.set_cookies() == {}, path
    assert rested.get("/whoami").status_code == 200


def test_what_was_mistyped_is_said_and_counted(site: AccountSite, rested: Browser) -> None:
    empty = rested.post(RESUME, {"next": "/records/p1"})
    assert (empty.status_code, shown(empty)["errors"]) == (400, ["missing_current"])
    for _ in range(5):
        wrong = rested.post(RESUME, {"current": "not my password 99", "next": "/records/p1"})
        assert (wrong.status_code, wrong.set_cookies()) == (401, {})
        assert (shown(wrong)["errors"], shown(wrong)["next"]) == (["wrong_current"], "/records/p1")
    locked = rested.post(RESUME, {"current": PASSWORD})
    assert locked.status_code in (401, 429)
    assert rested.get("/whoami").status_code == 401


@pytest.mark.parametrize(
    "evil", ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:x"]
)
def test_next_is_a_path_of_this_portal(site: AccountSite, rested: Browser, evil: str) -> None:
    assert shown(rested.get(f"{RESUME}?next={evil}"))["next"] == "/"
    assert rested.post(RESUME, {"current": PASSWORD, "next": evil}).headers["location"] == "/"


def test_what_cannot_be_resumed_leads_to_the_sign_in(site: AccountSite, rested: Browser) -> None:
    stranger = site.client()
    nothing = stranger.get(f"{RESUME}?next=/records/p1")
    assert (nothing.status_code, nothing.headers["location"]) == (303, "/sign-in?next=/records/p1")
    site.site.clock.advance(timedelta(hours=12))
    over = rested.post(RESUME, {"current": PASSWORD, "next": "/records/p1"})
    assert (over.headers["location"], over.set_cookies()) == ("/sign-in?next=/records/p1", {})


def test_on_a_shared_computer_nothing_is_resumed(site: AccountSite) -> None:
    site.person("ada")
    browser = site.client()
    browser.post("/sign-in", {"login": "ada", "password": PASSWORD, "shared": "yes"})
    browser.post("/sign-in/code", {"code": site.site.code("ada")})
    idle(site, browser)
    assert browser.get(RESUME).headers["location"] == "/sign-in"
    assert browser.post(RESUME, {"current": PASSWORD}).headers["location"] == "/sign-in"


def test_a_policy_may_say_no() -> None:
    with account_site(sessions=replace(SessionPolicy.HIPAA_CLINIC, resume=False)) as site:
        site.person("ada")
        browser = site.signed_in("ada")
        idle(site, browser)
        assert browser.get(RESUME).headers["location"] == "/sign-in"


def test_one_that_another_tab_resumed_needs_nothing(site: AccountSite, rested: Browser) -> None:
    rested.post(RESUME, {"current": PASSWORD})
    assert rested.get(f"{RESUME}?next=/records/p1").headers["location"] == "/records/p1"
    assert rested.get(f"{RESUME}?next={RESUME}").headers["location"].startswith("/sign-in?")
    assert rested.post(RESUME, {"current": "x", "next": "/records/p1"}).headers["location"] == "/records/p1"


def test_a_passkey_that_verifies_its_user_resumes(site: AccountSite) -> None:
    account_id = site.person("ada")
    portal, key = site.portal, SoftAuthenticator()
    account = portal.stores.accounts.get(account_id)
    options = portal.passkeys.begin_registration(b"x" * 32, account)
    portal.passkeys.complete_registration(
        b"x" * 32, account_id, key.create(options.json, origin=BASE), label="key", source=Source()
    )
    browser = site.client()
    browser.post("/sign-in", {"login": "ada", "password": PASSWORD})
    browser.post("/sign-in/code", {"code": site.site.code("ada")})
    idle(site, browser)
    assert shown(browser.get(RESUME))["ways"] == ["passkey", "password"]

    asked = scripted(browser, f"{RESUME}/begin", next="/records/p1")
    touched = key.get(shown(asked)["options"], origin=BASE, user_verified=False)
    refused = scripted(browser, f"{RESUME}/passkey", response=touched, next="/records/p1")
    assert (refused.status_code, set(shown(refused))) == (401, {"words"})
    assert PENDING_COOKIE not in refused.set_cookies()

    asked = scripted(browser, f"{RESUME}/begin", next="/records/p1")
    done = scripted(
        browser,
        f"{RESUME}/passkey",
        response=key.get(shown(asked)["options"], origin=BASE),
        next="/records/p1",
    )
    assert shown(done) == {"go": "/records/p1"}
    assert browser.get("/whoami").status_code == 200
    again = scripted(browser, f"{RESUME}/begin", next="/records/p1")
    assert shown(again)["go"] == "/records/p1"


def test_another_site_posts_nothing(site: AccountSite, rested: Browser) -> None:
    assert rested.post(RESUME, {"current": PASSWORD}, same_site=False).status_code == 403
    assert rested.get("/whoami").status_code == 401


def test_signing_in_anew_ends_what_rests(site: AccountSite, rested: Browser) -> None:
    old = rested.cookies[SESSION_COOKIE]
    site.site.sign_in(rested, "ada")
    late = rested.get(RESUME, headers={"cookie": f"{SESSION_COOKIE}={old}"})
    assert late.headers["location"] == "/sign-in"


def test_what_is_left_says_where_a_factor_is_asked_for(site: AccountSite) -> None:
    site.person("ada")
    firefox = {"user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
    browser = site.client()
    browser.post("/sign-in", {"login": "ada", "password": PASSWORD}, headers=firefox)
    browser.post("/sign-in/code", {"code": site.site.code("ada")}, headers=firefox)
    assert browser.get("/session/left", headers=firefox).status_code == 200
    for method, path in (("GET", "/session/left"), ("POST", "/session/stay")):
        answer = browser.request(method, path, headers={"user-agent": "curl/8"}, same_site=True)
        assert (answer.status_code, answer.set_cookies()) == (403, {})
        assert shown(answer) == {"signed_in": True, "step_up": "/account/step-up"}
