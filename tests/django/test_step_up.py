"""A factor is asked for again in Django: the real page offers what would do, and the request goes on where it was."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View

from portalsec.auth.signin import SignInPolicy
from portalsec.django.decorators import require_factor
from portalsec.errors import ConfigurationError
from portalsec.events import Source
from portalsec.testing.authenticator import SoftAuthenticator
from tests.django import project, urls
from tests.django.browser import PASSWORD, Someone, cookie, signed_in, someone
from tests.django.project import World
from tests.django.test_account_views import browser, pages_are_whole, title
from tests.support import ROOT

__all__ = ["pages_are_whole"]  # looks at every page that a test of this file sees

WITHIN = timedelta(minutes=5)
STEP_UP = "/account/step-up"
BASE = "https://portal.example"
FIELDS = {"password": 'name="current"', "totp": 'name="code"', "passkey": 'data-passkey="get"'}


def answered(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{request.method} {request.META['QUERY_STRING']} {request.user.get_username()}")


@method_decorator(require_factor(within=WITHIN, phishing_resistant=True), name="dispatch")
class Strong(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return answered(request)


@require_factor("totp", "passkey", within=WITHIN)
async def waits(request: HttpRequest) -> HttpResponse:
    return HttpResponse("waited")


(CODE,) = re.findall(
    r"```py\n(.*?)```", (ROOT / "docs/how-to/ask-for-a-factor-again.md").read_text("utf-8"), re.DOTALL
)
pasted: dict[str, Any] = {"__name__": "records.views"}
exec(CODE, pasted)

urlpatterns = [
    *urls.urlpatterns,
    path("release/usual", require_factor(within=WITHIN)(answered)),
    path("release/level", require_factor(within=WITHIN, level=2)(answered)),
    path("release/codes", require_factor("recovery_code", within=WITHIN)(answered)),
    path("release/lately", require_factor("totp", within=WITHIN, explicit=False)(answered)),
    path("release", pasted["release"]),
    path("payout", pasted["Payout"].as_view()),
    path("release/strong", Strong.as_view()),
    path("release/waits", waits),
]


@pytest.fixture
def optional(database: None) -> Iterator[World]:
    with override_settings(ROOT_URLCONF=__name__):
        project.current = world = World(sign_in=SignInPolicy(second_factor="optional"))
        yield world
    project.current = None


def text(response: Any) -> str:
    return str(response.content.decode())


def offered(response: Any) -> set[str]:
    page = text(response)
    assert title(response) == "Confirm that it is you", page
    return {way for way, field in FIELDS.items() if field in page}


def led(client: Client, answer: Any) -> Any:
    assert answer.status_code == 303 and answer["Location"].startswith(f"{STEP_UP}?")
    return client.get(answer["Location"])


def next_of(page: Any) -> str:
    """What the page's forms send back, each the same."""
    found = set(re.findall(r'name="next" value="([^"]*)"', text(page)))
    assert len(found) == 1
    return found.pop().replace("&amp;", "&")


def scripted(client: Client, at: str, **fields: str) -> Any:
    sent = client.post(at, json.dumps(fields), content_type="application/json")
    assert sent.status_code == 200, text(sent)
    return sent.json()


def add_passkey(world: World, person: Someone) -> SoftAuthenticator:
    key, portal = SoftAuthenticator(), world.portal
    account = portal.stores.accounts.get(person.id)
    assert portal.passkeys is not None and account is not None
    options = portal.passkeys.begin_registration(b"x" * 32, account)
    response = key.create(options.json, origin=BASE)
    portal.passkeys.complete_registration(b"x" * 32, person.id, response, label="k", source=Source())
    return key


def test_byp_16_a_passkey_and_a_code_are_offered_side_by_side_and_each_goes_on(optional: World) -> None:
    person, client = someone(optional), browser()
    key = add_passkey(optional, person)
    signed_in(client, person)
    for demand, ways in (
        ("usual", {"totp", "passkey"}),
        ("level", {"password", "totp", "passkey"}),
        ("strong", {"passkey"}),
    ):
        at = f"/release/{demand}?what=records&id=7"
        page = led(client, client.get(at))
        assert (offered(page), next_of(page)) == (ways, at)
    # The passkey, of which the address alone says that it is what would do.
    old = cookie(client)
    options = scripted(client, f"{STEP_UP}/begin")["options"]
    done = scripted(client, f"{STEP_UP}/passkey", response=key.get(options, origin=BASE), next=at)
    assert done == {"go": at} and cookie(client) != old
    assert text(client.get(at)) == f"GET what=records&id=7 {person.login}"
    assert client.get("/release/level").status_code == client.get("/release/usual").status_code == 200
    # By code, and with the password besides.
    optional.later(minutes=5)
    page = led(client, client.get("/release/level"))
    wrong = client.post(STEP_UP, {"code": "12", "next": "/release/level", "or": "password,totp"})
    assert wrong.status_code == 400 and offered(wrong) == {"password", "totp"}
    for field, value, left in (("code", person.code(), {"password", "passkey"}), ("current", PASSWORD, None)):
        done = client.post(STEP_UP, {field: value, "next": next_of(page), "or": "password,totp,passkey"})
        assert (done.status_code, done["Location"]) == (303, "/release/level")
        if left is not None:
            page = led(client, client.get("/release/level"))
            assert offered(page) == left
    assert client.get("/release/level").status_code == 200


def test_where_nothing_would_do_the_page_links_to_what_to_set_up(optional: World) -> None:
    person, client = someone(optional), browser()
    signed_in(client, person)
    page = led(client, client.get("/release/strong?id=7"))
    assert offered(page) == set() and 'href="/account/factors/passkey"' in text(page)
    assert 'href="/release/strong?id=7"' in text(page) and "sign in again" not in text(page)
    codes = led(client, client.get("/release/codes"))
    assert offered(codes) == set() and 'href="/account/factors/codes"' in text(codes)
    forged = client.get(f"{STEP_UP}?or=password&set-up=<b>,passkey")
    assert offered(forged) == {"password"} and "<b>" not in text(forged)
    nothing = client.get(f"{STEP_UP}?or=sms_code")
    assert offered(nothing) == set() and "sign in again" in text(nothing)


def test_an_account_of_a_password_alone(optional: World) -> None:
    client = browser()
    optional.portal.accounts.create(login="olga", password=PASSWORD)
    client.post("/sign-in", {"login": "olga", "password": PASSWORD})
    level = led(client, client.get("/release/level"))
    assert offered(level) == set()
    assert 'href="/account/factors/passkey"' in text(level) and 'href="/account/factors/totp"' in text(level)
    page = led(client, client.get("/release/usual"))
    assert offered(page) == {"password"}
    client.post(STEP_UP, {"current": PASSWORD, "next": "/"})
    assert client.get("/release/usual").status_code == 200


def test_a_post_comes_back_to_the_page_of_its_form_and_a_script_is_told(optional: World) -> None:
    person, client = someone(optional), browser()
    signed_in(client, person)
    at = "/release/usual"
    for came, where in (
        ({"referer": f"{BASE}/records/p1?tab=2"}, "/records/p1?tab=2"),
        ({"referer": "https://evil.example/"}, at),
        ({}, at),
    ):
        assert next_of(led(client, client.post(f"{at}?a=1", {"b": "2"}, headers=came))) == where
    assert next_of(led(client, client.get(f"{at}?a=%C3%A9&b=1%262"))) == f"{at}?a=%C3%A9&b=1%262"
    page = {"accept": "application/json", "referer": f"{BASE}/records/p1"}
    for told in (client.get(at, headers=page), client.post(at, {"b": "2"}, headers=page)):
        problem = told.json()
        assert (told.status_code, told["Content-Type"]) == (403, "application/problem+json")
        assert (problem["reason"], problem["next"]) == ("step_up_required", ["totp"])
        assert problem["go"] == f"{STEP_UP}?next=/records/p1&or=totp"
    optional.later(seconds=60)
    client.post(STEP_UP, {"code": person.code(), "next": "/records/p1"})
    assert text(client.get("/release/waits")) == "waited"
    assert client.post(at, {"b": "2"}, headers=page).status_code == 200


def test_a_script_is_told_that_its_request_looked_cross_site_and_what_to_send(optional: World) -> None:
    person, client = someone(optional), browser()
    signed_in(client, person)
    strict = browser(enforce_csrf_checks=True)
    strict.cookies = client.cookies
    refused = strict.post(f"{STEP_UP}/begin", "{}", content_type="application/json")
    problem = refused.json()
    assert (refused.status_code, problem["reason"]) == (403, "cross_site")
    assert "another site" in problem["detail"] and f"Origin: {BASE}" in problem["detail"]
    mended = strict.post(f"{STEP_UP}/begin", "{}", content_type="application/json", headers={"origin": BASE})
    assert "cross_site" not in text(mended)


def test_a_sign_in_counts_where_the_view_says_so_and_a_visitor_has_to_sign_in(optional: World) -> None:
    person, client = someone(optional), browser()
    signed_in(client, person)
    assert client.get("/release/lately").status_code == 200
    assert client.get("/release/waits").status_code == 303
    optional.later(minutes=5)
    assert client.get("/release/lately").status_code == 303
    assert browser().get("/release/lately").status_code == 401


def test_the_how_to_page_s_views_ask(optional: World) -> None:
    person, client = someone(optional), browser()
    key = add_passkey(optional, person)
    signed_in(client, person)
    assert offered(led(client, client.post("/payout"))) == {"passkey"}
    options = scripted(client, f"{STEP_UP}/begin")["options"]
    scripted(client, f"{STEP_UP}/passkey", response=key.get(options, origin=BASE))
    assert [text(client.get("/release")), text(client.post("/payout"))] == ["released", "paid"]


@pytest.mark.parametrize(
    ("at", "form", "done"),
    [
        ("/account/secure", {}, "/account/secure?done=signed-out"),
        ("/account/devices", {"device": "all"}, "/account/devices?removed=yes"),
    ],
    ids=["secure", "devices"],
)
def test_whoever_secures_the_account_shows_a_factor_and_comes_back_to_the_form(
    optional: World, at: str, form: dict[str, str], done: str
) -> None:
    person, client = someone(optional), browser()
    signed_in(client, person)
    optional.later(minutes=5)
    known = optional.portal.devices.of_account(person.id)
    page = led(client, client.post(at, form, headers={"referer": BASE + at}))
    assert (offered(page), next_of(page)) == ({"totp"}, at)
    assert known and optional.portal.devices.of_account(person.id) == known
    back = client.post(STEP_UP, {"code": person.code(), "next": at, "or": "totp"})
    assert (back["Location"], client.get(at).status_code) == (at, 200)
    assert client.post(at, form)["Location"] == done
    assert optional.portal.devices.of_account(person.id) == ()
    assert client.get(at).status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [{"within": 300}, {"within": timedelta(0)}, {"within": WITHIN, "level": 4}],
    ids=["int", "nothing", "level"],
)
def test_what_nobody_could_meet_is_said_where_it_is_written(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"^require_factor: "):
        require_factor(**wrong)
    with pytest.raises(ConfigurationError, match=r"^require_factor: kinds are names"):
        require_factor("fingerprint", within=WITHIN)
    with pytest.raises(ConfigurationError, match=r"^require_factor: kinds are names"):
        require_factor(answered, within=WITHIN)  # type: ignore[arg-type]
