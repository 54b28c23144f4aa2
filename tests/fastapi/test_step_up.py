"""A factor is asked for again: the page offers what would do, and the request goes on where it was. The real page answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import parse_qs, urlsplit
from zlib import crc32

import pytest
from fastapi import Depends
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from portalsec.auth.sessions import ActiveSession
from portalsec.auth.signin import SignInPolicy
from portalsec.errors import ConfigurationError
from portalsec.events import Source
from portalsec.fastapi.form_tokens import FORM_HEADER
from portalsec.testing.authenticator import SoftAuthenticator
from tests.fastapi.account_site import PASSWORD, AccountSite, account_site
from tests.fastapi.asgi import Answer, Browser
from tests.fastapi.support import BASE
from tests.fastapi.test_resume import scripted, shown

WITHIN = timedelta(minutes=5)
STEP_UP = "/account/step-up"
DEMANDS: dict[str, dict[str, Any]] = {
    "usual": {},
    "passkey": {"kinds": ("passkey",)},
    "strong": {"phishing_resistant": True},
    "level": {"level": 2},
    "codes": {"kinds": ("recovery_code",)},
    "code": {"kinds": ("totp",)},
}
SCRIPT = {"accept": "application/json"}


@pytest.fixture(scope="module")
def made() -> Iterator[AccountSite]:
    with account_site(sign_in=SignInPolicy(second_factor="optional")) as made:
        for name, asked in DEMANDS.items():
            factor = made.site.ps.require_factor(
                *asked.get("kinds", ()), within=WITHIN, **{k: v for k, v in asked.items() if k != "kinds"}
            )

            async def release(request: Request, session: ActiveSession) -> Response:
                return PlainTextResponse(f"{request.method} {request.url.query} {session.account_id}")

            release.__annotations__ = {
                "request": Request,
                "session": Annotated[ActiveSession, Depends(factor)],
            }
            made.site.app.api_route(f"/release/{name}", methods=["GET", "POST"])(release)
        yield made


class Person:
    """An account with some factors, signed in, and what they can do at the page."""

    def __init__(self, site: AccountSite, login: str, *has: str) -> None:
        self.site, self.login, self.key = site, login, SoftAuthenticator()
        portal = site.portal
        if "totp" in has:
            self.id = site.person(login)
        else:
            self.id = portal.accounts.create(login=login, password=PASSWORD).id
        if "passkey" in has:
            account = portal.stores.accounts.get(self.id)
            options = portal.passkeys.begin_registration(b"x" * 32, account)
            response = self.key.create(options.json, origin=BASE)
            portal.passkeys.complete_registration(b"x" * 32, self.id, response, label="k", source=Source())
        self.browser: Browser = site.client()
        step = self.browser.post("/sign-in", {"login": login, "password": PASSWORD})
        if "totp" in has:
            step = self.browser.post("/sign-in/code", {"code": self.code()})
        elif "passkey" in has:
            asked = scripted(self.browser, "/sign-in/passkey/begin", second="yes")
            response = self.key.get(shown(asked)["options"], origin=BASE)
            step = scripted(self.browser, "/sign-in/passkey", second="yes", response=response)
        assert step.status_code in (200, 303), step.text
        assert self.browser.get("/whoami").text == self.id

    def code(self) -> str:
        self.site.site.next_step()
        return self.site.site.code(self.login)

    def led(self, answer: Answer) -> dict[str, Any]:
        """The page that a refusal leads to."""
        assert answer.status_code == 303, answer.text
        assert answer.headers["location"].startswith(f"{STEP_UP}?")
        page = shown(self.browser.get(answer.headers["location"]))
        assert page["page"] == "step_up"
        return page

    def shows(self, page: dict[str, Any], way: str) -> str:
        """Show one of what the page offers; where that leads."""
        assert way in page["ways"]
        if way == "passkey":
            options = shown(scripted(self.browser, f"{STEP_UP}/begin"))["options"]
            response = self.key.get(options, origin=BASE)
            done = scripted(self.browser, f"{STEP_UP}/passkey", response=response, next=page["next"])
            return str(shown(done)["go"])
        field, value = ("current", PASSWORD) if way == "password" else ("code", self.code())
        done = self.browser.post(STEP_UP, {field: value, "next": page["next"], "or": page["only"]})
        assert done.status_code == 303, done.text
        return str(done.headers["location"])


def name_of(request: pytest.FixtureRequest) -> str:
    """One for each test: they share a portal."""
    return "p" + str(crc32(request.node.name.encode()))


def walked(person: Person, demand: str, *ways: str) -> None:
    """From the refusal through what the page offers, one after the other, to the request itself."""
    at = f"/release/{demand}?what=records&id=7"
    for way in ways:
        page = person.led(person.browser.get(at))
        assert page["set_up"] == []
        assert person.shows(page, way) == at
    done = person.browser.get(at)
    assert (done.status_code, done.text) == (200, f"GET what=records&id=7 {person.id}")


@pytest.mark.parametrize(
    ("has", "demand", "offered", "ways"),
    [
        (("totp", "passkey"), "usual", ["totp", "passkey"], ("passkey",)),
        (("totp", "passkey"), "usual", ["totp", "passkey"], ("totp",)),
        (("passkey",), "usual", ["passkey"], ("passkey",)),
        (("totp",), "usual", ["totp"], ("totp",)),
        ((), "usual", ["password"], ("password",)),
        (("totp", "passkey"), "strong", ["passkey"], ("passkey",)),
        (("totp", "passkey"), "level", ["password", "totp", "passkey"], ("passkey",)),
        (("totp", "passkey"), "level", ["password", "totp", "passkey"], ("password", "totp")),
        (("totp",), "level", ["password", "totp"], ("totp", "password")),
    ],
    ids=lambda value: "+".join(value) or "none" if isinstance(value, tuple | list) else value,
)
def test_byp_16_each_demand_is_met_by_what_its_page_offers(
    made: AccountSite, request: pytest.FixtureRequest, has: Any, demand: str, offered: Any, ways: Any
) -> None:
    person = Person(made, name_of(request), *has)
    page = person.led(person.browser.get(f"/release/{demand}"))
    assert (page["ways"], page["set_up"]) == (offered, [])
    walked(person, demand, *ways)


@pytest.mark.parametrize(
    ("has", "demand", "set_up"),
    [
        (("totp",), "strong", ["passkey"]),
        (("totp",), "passkey", ["passkey"]),
        (("totp",), "codes", ["recovery_code"]),
        ((), "level", ["totp", "passkey"]),
        ((), "strong", ["passkey"]),
        ((), "codes", []),
    ],
)
def test_where_nothing_would_do_the_page_says_what_to_set_up(
    made: AccountSite, request: pytest.FixtureRequest, has: Any, demand: str, set_up: list[str]
) -> None:
    person = Person(made, name_of(request), *has)
    page = person.led(person.browser.get(f"/release/{demand}"))
    assert (page["ways"], page["set_up"]) == ([], set_up)


def test_the_page_that_adds_an_authenticator_takes_the_passkey_and_no_password(made: AccountSite) -> None:
    person = Person(made, "bea", "passkey")
    at = "/account/factors/totp"
    page = person.led(person.browser.get(at))
    assert page["ways"] == ["passkey"]
    assert shown(person.browser.get(f"{STEP_UP}?next={at}"))["ways"] == [
        "passkey"
    ]  # nobody said what would do
    assert person.shows(page, "passkey") == at
    assert shown(person.browser.get(at))["page"] == "factor_new"


def test_what_a_visitor_writes_into_the_address_gains_nothing(made: AccountSite) -> None:
    person = Person(made, "edo", "totp", "passkey")
    at = "/release/strong"
    for wanted, ways in (
        ("password", ["password"]),
        ("password,fingerprint,sms_code", ["password"]),
        ("passkey,passkey,totp", ["totp", "passkey"]),
        ("<b>", []),
        ("totp" * 200, []),
    ):
        page = shown(person.browser.get(f"{STEP_UP}?next={at}&or={wanted}&set-up=totp,<i>,passkey"))
        assert page["ways"] == ways
        assert page["set_up"] == ([] if ways else ["totp", "passkey"])
    page = shown(person.browser.get(f"{STEP_UP}?next={at}&or=password"))
    assert person.shows(page, "password") == at
    assert person.led(person.browser.get(at))["ways"] == ["passkey"]
    wrong = person.browser.post(STEP_UP, {"code": "12", "next": at, "or": "totp"})
    assert (wrong.status_code, shown(wrong)["ways"], shown(wrong)["only"]) == (400, ["totp"], "totp")


def test_a_get_comes_back_with_its_query_and_a_post_to_the_page_of_its_form(made: AccountSite) -> None:
    person = Person(made, "gia", "totp")
    to, at = person.browser, "/release/usual"

    def back(answer: Answer) -> str:
        page = person.led(answer)
        assert page["ways"] == ["totp"]
        return str(page["next"])

    assert back(to.get(f"{at}?a=%C3%A9&b=1%262")) == f"{at}?a=%C3%A9&b=1%262"
    assert back(to.request("HEAD", f"{at}?a=1")) == f"{at}?a=1"
    assert back(to.get(f"{at}?q={'x' * 2100}")) == at
    assert back(to.get(f"{at}?q=1", headers={"referer": f"{BASE}/elsewhere"})) == f"{at}?q=1"
    form = {"reason": "asked for by the court"}
    assert back(to.post(f"{at}?a=1", form)) == at
    for came, where in (
        (f"{BASE}/records/p1?tab=2", "/records/p1?tab=2"),
        (f"{BASE}{STEP_UP}?next=/x", "/"),
        ("https://evil.example/records", at),
        (f"{BASE}.evil.example/records", at),
        (f"{BASE}//evil.example", "/"),
        (f"{BASE}/{'x' * 3000}", "/"),
    ):
        assert back(to.post(at, form, headers={"referer": came})) == where, came


def test_a_script_is_told_what_would_do_and_where_and_repeats_itself(made: AccountSite) -> None:
    person = Person(made, "ida", "totp", "passkey")
    to, at = person.browser, "/release/usual?what=records"
    page = f"{BASE}/records/p1?tab=2"
    for headers in (
        {**SCRIPT, "referer": page},
        {"accept": "*/*", "sec-fetch-mode": "cors", "referer": page},
        {"accept": "*/*", "content-type": "application/json; charset=utf-8", "referer": page},
        {"accept": "application/problem+json", "sec-fetch-mode": "same-origin", "referer": page},
    ):
        for method in ("GET", "POST"):
            told = to.request(method, at, headers=headers, same_site=True)
            assert told.status_code == 403 and told.set_cookies() == {}
            assert told.headers["content-type"] == "application/problem+json"
            problem = shown(told)
            assert (problem["status"], problem["reason"]) == (403, "step_up_required")
            assert problem["next"] == ["totp", "passkey"]
            assert parse_qs(urlsplit(problem["go"]).query)["next"] == ["/records/p1?tab=2"]
    for headers in (
        {"accept": "text/html,application/json", "sec-fetch-mode": "cors"},
        {**SCRIPT, "sec-fetch-mode": "navigate"},
        {"accept": "*/*"},
    ):
        assert to.get(at, headers=headers).status_code == 303, headers
    alone = shown(to.get(at, headers=SCRIPT))["go"]
    assert alone == f"{STEP_UP}?next=/&or=totp,passkey"
    assert person.shows(shown(to.get(alone)), "passkey") == "/"
    assert to.request("POST", at, headers=SCRIPT, same_site=True).status_code == 200


def test_a_strange_session_is_settled_first_whatever_the_address_says(made: AccountSite) -> None:
    person = Person(made, "kai", "totp")
    home = {"user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
    elsewhere, to = {"user-agent": "curl/8"}, person.browser
    to.post("/sign-in", {"login": "kai", "password": PASSWORD}, headers=home)
    to.post("/sign-in/code", {"code": person.code()}, headers=home)
    assert to.get("/whoami", headers=home).status_code == 200
    asked = to.get("/whoami?a=1", headers=elsewhere)
    assert asked.headers["location"] == f"{STEP_UP}?next=/whoami%3Fa%3D1"
    told = shown(to.get(f"{STEP_UP}?or=password&set-up=passkey", headers=elsewhere))
    assert (told["ways"], told["set_up"]) == (["totp"], [])
    wrong = to.post(STEP_UP, {"current": PASSWORD, "next": "/whoami"}, headers=elsewhere)
    assert (wrong.status_code, shown(wrong)["ways"], shown(wrong)["errors"]) == (403, ["totp"], ["refused"])
    script = shown(to.get("/whoami", headers={**SCRIPT, **elsewhere}))
    assert script["reason"] == "step_up_required" and "next" not in script


def test_a_script_is_told_that_its_request_looked_cross_site_and_what_to_send(made: AccountSite) -> None:
    person = Person(made, "lou", "totp")
    sent = {"content-type": "application/json", **SCRIPT}
    refused = person.browser.request("POST", "/release/usual", content=b"{}", headers=sent)
    problem = shown(refused)
    assert (refused.status_code, problem["reason"]) == (403, "cross_site")
    assert "another site" in problem["detail"] and f"Origin: {BASE}" in problem["detail"]
    assert "go" not in problem
    mended = person.browser.request("POST", "/release/usual", content=b"{}", headers={**sent, "origin": BASE})
    assert shown(mended)["reason"] == "step_up_required"
    form = {"content-type": "application/x-www-form-urlencoded", **SCRIPT}
    untied = person.browser.request("POST", STEP_UP, content=b"code=1", headers=form, same_site=True)
    assert (untied.status_code, FORM_HEADER in shown(untied)["detail"]) == (403, True)
    page = person.browser.request("POST", "/release/usual", content=b"{}", headers={"accept": "text/html"})
    assert page.status_code == 403 and page.text.startswith("refused 403")


@pytest.mark.parametrize(
    ("at", "form", "done"),
    [
        ("/account/secure", {}, "/account/secure?done=signed-out"),
        ("/account/devices", {"device": "all"}, "/account/devices?removed=yes"),
    ],
    ids=["secure", "devices"],
)
def test_whoever_secures_the_account_shows_a_factor_and_comes_back_to_the_form(
    made: AccountSite, request: pytest.FixtureRequest, at: str, form: dict[str, str], done: str
) -> None:
    person = Person(made, name_of(request), "totp")
    made.site.clock.advance(WITHIN)
    known = made.portal.devices.of_account(person.id)
    page = person.led(person.browser.post(at, form, headers={"referer": BASE + at}))
    assert (page["next"], page["ways"]) == (at, ["totp"])
    assert known and made.portal.devices.of_account(person.id) == known
    script = shown(person.browser.post(at, form, headers={**SCRIPT, "referer": BASE + at}))
    assert (script["reason"], script["next"]) == ("step_up_required", ["totp"])
    assert person.shows(page, "totp") == at
    assert shown(person.browser.get(at))["page"] == at.rpartition("/")[2]
    assert person.browser.post(at, form).headers["location"] == done
    assert made.portal.devices.of_account(person.id) == ()
    assert person.browser.get("/whoami").text == person.id


@pytest.mark.parametrize(
    "wrong",
    [
        {"within": 300},
        {"within": timedelta(0)},
        {"within": WITHIN, "level": 4},
        {"within": WITHIN, "kinds": ("fingerprint",)},
        {"within": WITHIN, "kinds": ("email_code",)},
        {"within": WITHIN, "kinds": (WITHIN,)},
    ],
    ids=["int", "nothing", "level", "unknown", "not-shown-here", "no-kind"],
)
def test_what_nobody_could_meet_is_said_where_it_is_written(made: AccountSite, wrong: dict[str, Any]) -> None:
    kinds = wrong.get("kinds", ())
    with pytest.raises(ConfigurationError, match=r"^require_factor: "):
        made.site.ps.require_factor(*kinds, **{k: v for k, v in wrong.items() if k != "kinds"})


def test_a_sign_in_counts_where_the_view_says_so_and_a_visitor_has_to_sign_in(made: AccountSite) -> None:
    fresh = made.site.ps.require_factor("totp", within=WITHIN, explicit=False)

    async def lately(request: Request, session: ActiveSession) -> Response:
        return PlainTextResponse(json.dumps(session.account_id))

    lately.__annotations__ = {"request": Request, "session": Annotated[ActiveSession, Depends(fresh)]}
    made.site.app.get("/lately")(lately)
    person = Person(made, "mia", "totp")
    assert person.browser.get("/lately").status_code == 200
    made.site.clock.advance(WITHIN)
    assert person.browser.get("/lately").headers["location"] == f"{STEP_UP}?next=/lately&or=totp"
    assert made.client().get("/lately").status_code == 401
