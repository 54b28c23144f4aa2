"""The account's pages through Django's client: the ways through, and what nobody can make them do.

Each test runs with and without ATOMIC_REQUESTS on the application's database.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyotp
import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.views.debug import ExceptionReporter

from portalsec.account_pages import AccountPages
from portalsec.auth.links import RecoveryPolicy
from portalsec.auth.passkeys import PasskeyPolicy
from portalsec.auth.ports import Contact
from portalsec.auth.signin import SignInPolicy
from portalsec.django import models
from portalsec.django.account_views import ADDRESSES
from portalsec.django.sessions import SessionStore
from portalsec.errors import StoreError
from portalsec.events import SYSTEM, Source
from portalsec.web import DEVICE_COOKIE, LINK_COOKIE, SESSION_COOKIE
from tests.django import project
from tests.django.browser import PASSWORD, Someone, cookie, password_step, pending, signed_in, who
from tests.django.browser import someone as account
from tests.django.project import World

NEW = "harbour violin 42 candle moss"
_SOURCE = Source()


@pytest.fixture(params=[False, True], ids=["plain", "atomic"], autouse=True)
def atomic(request: pytest.FixtureRequest, database: None, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", request.param)
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", request.param)
    on: bool = request.param
    return on


@pytest.fixture(autouse=True)
def pages_are_whole(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every page that any test sees: no script or style in it, every field has its label, every form its target."""
    render = Client.request

    def looked(self: Client, **asked: Any) -> HttpResponse:
        response = render(self, **asked)
        if b"<main" in response.content:
            read = Page(response.content.decode())
            assert read.problems == [], (asked.get("PATH_INFO"), read.problems)
        return response

    monkeypatch.setattr(Client, "request", looked)
    yield


class Page(HTMLParser):
    """What a reader without a mouse, without scripts or under the Content-Security-Policy would stumble over."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.problems: list[str] = []
        self.headings = 0
        self._labels: set[str] = set()
        self._ids: list[str] = []
        self._fields: list[str] = []
        self._script = False
        self.feed(text)
        self.problems += [f"{name} has no label" for name in self._fields if name not in self._labels]
        self.problems += [f"the id {name} is there twice" for name in self._ids if self._ids.count(name) > 1]
        if self.headings != 1:
            self.problems.append(f"{self.headings} headings of the first level")
        if "{%" in text or "{{" in text or "{#" in text:
            self.problems.append("a template's own sign")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.headings += tag == "h1"
        self._script = tag == "script" and "src" not in found
        if tag == "style" or "style" in found or self._script or any(name.startswith("on") for name in found):
            self.problems.append(f"inline script or style: {tag}")
        for name in ("src", "href", "action"):
            # A file that is in the page itself (recovery codes to keep) asks nobody.
            if (value := found.get(name)) and re.match(r"(?!data:text/plain;)[a-z]+:|//", value):
                self.problems.append(f"asks another site: {value}")
        if tag == "label":
            self._labels.add(found.get("for") or "")
        if "id" in found:
            self._ids.append(found["id"] or "")
        if tag == "input" and found.get("type") != "hidden":
            self._fields.append(found.get("id") or "?")
            if found.get("type") == "password" and found.get("value"):
                self.problems.append("a password is printed")
        if tag == "form" and found.get("method") != "post":
            self.problems.append("a form that is sent in the address")


def browser(**more: Any) -> Client:
    return Client(headers={"host": "portal.example", **more.pop("headers", {})}, **more)


def someone(world: World, login: str = "robin", *, address: str | None = None) -> Someone:
    """An account with an authenticator and a verified address."""
    person, now = account(world, login), world.clock()
    contact = Contact(
        id=str(uuid.uuid4()),
        account_id=person.id,
        address=address or f"{login}@mail.example",
        verified_at=now,
        created_at=now,
    )
    assert world.portal.stores.contacts.add(contact)
    return person


def title(response: Any) -> str:
    found = re.search(r"<h1>([^<]+)</h1>", response.content.decode())
    return found[1] if found else ""


def link(world: World, address: str) -> str:
    """Path and query of the link in the newest mail to an address."""
    world.portal.courier.deliver()
    found = re.search(rf"{re.escape(world.portal.base_url)}(/\S+)", world.mail.to(address)[-1].text)
    assert found, world.mail.to(address)[-1].text
    return found[1]


def token(world: World, address: str) -> str:
    return link(world, address).partition("token=")[2]


def landed(world: World, address: str = "robin@mail.example") -> Client:
    """A browser that asked for a link, opened it and pressed the button."""
    client = browser()
    assert client.post("/password/forgot", {"name": address}).status_code == 200
    pressed = client.post("/password/link", {"token": token(world, address)})
    assert pressed["Location"] == "/password/new"
    return client


def in_again(client: Client, person: Someone) -> None:
    person.world.clock.advance(timedelta(seconds=60))
    assert signed_in(client, person)


# -- the addresses ----------------------------------------------------------------------------------------------------


def test_every_route_of_the_pages_has_an_address_and_a_template(world: World) -> None:
    served = {route.path for route in AccountPages(world.portal).routes()}
    # The first where related origins are declared, the others where codes and links are sent, and where support may act.
    on_asking = {"/.well-known/webauthn", "/sign-in/sent-code", "/sign-in/mail", "/sign-in/link"}
    acting = {address for address in ADDRESSES.values() if address.startswith("/act-as")}
    assert served | on_asking | acting == set(ADDRESSES.values())
    folder = Path(models.__file__).parent / "templates" / "portalsec" / "account"
    table = re.search(r"={5,}\n(forgot .*?)\n={5,}", _contract(), re.DOTALL)
    assert table
    named = {name.strip() for row in table[1].splitlines() for name in row[:20].split(",") if name.strip()}
    assert len(named) > 20
    assert {path.stem for path in folder.glob("[!_]*.html")} == named


def _contract() -> str:
    import portalsec.account_pages

    return portalsec.account_pages.__doc__ or ""


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/password/strength"), ("POST", "/account/messages"), ("PUT", "/password/new"), ("DELETE", "/account/close")],
)  # fmt: skip
def test_another_method_is_none(world: World, method: str, path: str) -> None:
    assert browser().generic(method, path).status_code == 405


def test_a_portal_that_is_not_open_has_no_registration_at_all(world: World) -> None:
    project.current = World(recovery=RecoveryPolicy())
    for path in ("/register", "/register/link", "/register/new"):
        assert browser().get(path).status_code == 404
        assert browser().post(path, {"email": "new@mail.example"}).status_code == 404


def test_related_origins_are_told_where_there_are_any(world: World) -> None:
    assert browser().get("/.well-known/webauthn").status_code == 404
    related = ("https://clinic.example", "https://portal.elsewhere.example")
    policy = replace(PasskeyPolicy.for_page("https://portal.example"), related_origins=related)
    project.current = World(passkeys=policy)
    told = browser().get("/.well-known/webauthn")
    assert (told["Content-Type"], told.json()) == ("application/json", {"origins": list(related)})


def test_head_is_answered_wherever_get_is(client: Client, world: World) -> None:
    person = someone(world)
    signed_in(client, person)
    for address in ADDRESSES.values():
        if address in (
            "/account/incident",
            "/password/strength",
            "/account/not-me",
            "/account/factor/confirm",
            "/account/factors/totp/confirm",
            "/account/factors/import/confirm",
            "/sign-in/passkey/begin",
            "/sign-in/passkey/set-up/begin",
            "/sign-in/resume/begin",
            "/sign-in/resume/passkey",
            "/.well-known/webauthn",
            "/sign-in/sent-code",  # there only where the settings allow codes by mail, and links
            "/sign-in/mail",
            "/sign-in/link",
            "/act-as",  # and where support may act in an owner's name
            "/act-as/end",
            "/act-as/over",
            "/account/step-up/begin",
            "/account/step-up/passkey",
            "/account/passkeys/begin",
            "/account/passkeys/add",
        ):
            continue
        get, head = client.get(address), client.head(address)
        assert (head.status_code, head.content) == (get.status_code, b""), address
        assert get.status_code in (200, 302, 303, 400), address


# -- a forgotten password -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", ["robin", "robin@mail.example", " Robin "])
def test_a_forgotten_password_from_the_form_to_the_session(client: Client, world: World, typed: str) -> None:
    person = someone(world)
    assert '<a href="/password/forgot">' in client.get("/sign-in").content.decode()
    assert title(client.get("/password/forgot")) == "Forgot your password?"
    assert title(client.post("/password/forgot", {"name": typed})) == "Look into your mail"
    mailed = link(world, "robin@mail.example")
    shown = client.get(mailed)
    field = re.search(r'name="token" value="([^"]+)"', shown.content.decode())
    assert field
    assert mailed == f"/password/link?token={field[1]}"
    gone = client.post("/password/link", {"token": field[1]})
    assert (gone.status_code, gone["Location"]) == (303, "/password/new")
    kept = gone.cookies[LINK_COOKIE]
    assert (kept["secure"], kept["httponly"], kept["path"], kept["samesite"], kept["max-age"]) == (True, True, "/", "Lax", "900")  # fmt: skip
    form = client.get("/password/new").content.decode()
    assert "At least 8 characters" in form
    assert "data-strength" in form
    assert '<script src="/portalsec/meter.js" defer>' in form
    chosen = client.post("/password/new", {"password": NEW})
    assert (chosen.status_code, chosen["Location"]) == (303, "/sign-in/code")
    assert chosen.cookies[LINK_COOKIE]["max-age"] == "0"
    assert who(client) == ""
    done = client.post("/sign-in/code", {"code": person.code()})
    assert (done.status_code, done["Location"]) == (303, "/")
    assert who(client) == "robin"
    client.post("/sign-out")
    assert password_step(client, person).status_code == 401
    assert password_step(client, person, NEW).status_code == 303


def test_atk_36_a_reset_opens_no_session_without_the_second_factor(world: World) -> None:
    someone(world)
    client = landed(world)
    client.post("/password/new", {"password": NEW})
    assert cookie(client) == ""
    assert who(client) == ""


def test_a_reset_without_a_second_factor_opens_a_session_with_nothing_of_the_visitors(world: World) -> None:
    project.current = free = World(sign_in=SignInPolicy(second_factor="optional"))
    made = free.portal.accounts.create(login="robin", password=PASSWORD)
    now = free.clock()
    free.portal.stores.contacts.add(
        Contact(id="c", account_id=made.id, address="robin@mail.example", verified_at=now, created_at=now)
    )
    client = browser()
    client.get("/keep?value=before")
    client.post("/password/forgot", {"name": "robin"})
    client.post("/password/link", {"token": token(free, "robin@mail.example")})
    done = client.post("/password/new", {"password": NEW})
    assert done["Location"] == "/"
    assert who(client) == "robin"
    assert client.get("/whoami").json()["kept"] == {}


def test_a_refused_password_says_why_and_may_be_tried_again(world: World) -> None:
    someone(world)
    client = landed(world)
    refused = client.post(
        "/password/new", {"password": "short"}, headers={"accept-language": "es-MX,en;q=0.5"}
    )
    text = refused.content.decode()
    assert refused.status_code == 400
    assert "caracteres" not in text  # in the language of the page around it
    with override_settings(PORTALSEC={**settings.PORTALSEC, "LANGUAGES": "es en"}):
        assert "caracteres" in client.post("/password/new", {"password": "short"}).content.decode()
    assert 'href="#password"' in text
    assert 'aria-invalid="true" aria-describedby="password-hint password-error"' in text
    assert client.post("/password/new", {"password": NEW}).status_code == 303


def test_a_link_works_once_and_not_without_one(world: World) -> None:
    someone(world)
    client = browser()
    client.post("/password/forgot", {"name": "robin"})
    mailed = token(world, "robin@mail.example")
    assert client.post("/password/link", {"token": mailed}).status_code == 303
    dead = "This link does not work any more"
    for again in (mailed, mailed[:-1], mailed + "A", "", "x" * 5000):
        answer = browser().post("/password/link", {"token": again})
        assert (answer.status_code, title(answer)) == (400, dead)
    assert title(browser().get("/password/new")) == dead
    assert title(browser().post("/password/new", {"password": NEW})) == dead


# -- ATK-33: the token in the address --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ask", "field", "value"),
    [("/password/forgot", "name", "robin"), ("/unlock", "name", "robin"), ("/register", "email", "new@mail.example")],
)  # fmt: skip
def test_atk_33_a_link_that_a_mail_scanner_opens_is_good_still(
    world: World, ask: str, field: str, value: str
) -> None:
    someone(world)
    assert browser().post(ask, {field: value}).status_code == 200
    mailed = link(world, "robin@mail.example" if field == "name" else value)
    before, flows = world.events.names, list(models.Flow.objects.values_list())
    for method in ("get", "head", "get"):
        answer = getattr(browser(), method)(mailed)
        assert answer.status_code == 200
        assert answer["Referrer-Policy"] == "no-referrer"
        assert answer["Cache-Control"] == "no-store"
        assert not answer.cookies
        assert "default-src 'none'" in answer["Content-Security-Policy"]
    assert world.events.names == before
    assert list(models.Flow.objects.values_list()) == flows
    path, _, found = mailed.partition("?token=")
    used = browser().post(path, {"token": found})
    assert used.status_code in (200, 303)
    everything = used.content.decode() + repr(used.headers) + used.cookies.output()
    assert found not in everything
    assert title(browser().post(path, {"token": found})) == "This link does not work any more"


def test_atk_33_a_browser_that_names_no_origin_may_press_the_button_and_another_site_may_not(
    world: World,
) -> None:
    """A page that sends no Referer makes browsers say ``Origin: null``, which Django's own check refuses."""
    someone(world)
    browser().post("/password/forgot", {"name": "robin"})
    form = {"token": token(world, "robin@mail.example")}
    for elsewhere in (
        {"sec-fetch-site": "cross-site", "origin": "null"}, {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"}, {"origin": "null"}, {},
    ):  # fmt: skip
        strict = browser(enforce_csrf_checks=True)
        assert strict.post("/password/link", form, headers=elsewhere).status_code == 403
    strict = browser(enforce_csrf_checks=True)
    here = {"sec-fetch-site": "same-origin", "origin": "null"}
    assert strict.post("/password/link", form, headers=here).status_code == 303
    # a form that has no token of a mail needs Django's as well
    assert strict.post("/password/new", {"password": NEW}, headers=here).status_code == 403


def test_atk_33_a_token_is_in_no_error_report(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    someone(world)
    browser().post("/password/forgot", {"name": "robin"})
    mailed = link(world, "robin@mail.example")
    found = mailed.partition("token=")[2]
    seen: list[str] = []

    def broken(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        import sys

        try:
            raise ZeroDivisionError("on fire")
        except ZeroDivisionError:
            reporter = ExceptionReporter(request, *sys.exc_info())
            seen.extend([reporter.get_traceback_text(), reporter.get_traceback_html()])
        return HttpResponse("<h1>x</h1>")

    monkeypatch.setattr("portalsec.django.account_views.render", broken)
    browser().get(mailed, RAW_URI=mailed, REQUEST_URI=mailed)
    client = browser()
    client.post("/password/link", {"token": found})
    client.get("/password/new")
    assert len(seen) == 4
    for text in seen:
        assert found not in text
        assert cookie(client, LINK_COOKIE) not in text


# -- ATK-34: hosts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"x-forwarded-host": "evil.example"}, {"forwarded": "host=evil.example"}, {"referer": "https://evil.example/"},
        {"x-original-host": "evil.example", "x-host": "evil.example"}, {"x-forwarded-proto": "ftp", "x-forwarded-port": "6666"},
    ],
)  # fmt: skip
def test_atk_34_a_mail_links_to_the_one_configured_address(world: World, headers: dict[str, str]) -> None:
    someone(world)
    assert browser().post("/password/forgot", {"name": "robin"}, headers=headers).status_code == 200
    world.portal.courier.deliver()
    links = re.findall(r"https?://[^\s\"<>]+", world.mail[-1].text + world.mail[-1].html)
    assert links
    assert all(each.startswith("https://portal.example/password/link?token=") for each in links)


@pytest.mark.parametrize(
    "host", ["evil.example", "portal.example.evil.example", "portal.example@evil.example"]
)
def test_atk_34_a_request_for_another_host_asks_for_nothing(world: World, host: str) -> None:
    someone(world)
    assert Client().generic("POST", "/password/forgot", "name=robin", "application/x-www-form-urlencoded", headers={"host": host}).status_code == 400  # fmt: skip
    world.portal.courier.deliver()
    assert world.mail == []


# -- ATK-16: who is here ----------------------------------------------------------------------------------------------

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_CSRF = re.compile(r'(csrfmiddlewaretoken" value=")[^"]+')


def face(response: Any, *typed: str) -> tuple[object, ...]:
    """Everything of an answer that a stranger sees, less what they typed themselves, its number and Django's token."""
    text = _CSRF.sub(r"\1<csrf>", _ID.sub("<id>", response.content.decode()))
    for word in typed:
        text = text.replace(word, "<typed>")
    cookies = sorted(
        (name, "<csrf>" if name == "csrftoken" else morsel.value, *sorted(map(str, morsel.items())))
        for name, morsel in response.cookies.items()
    )
    cookies = [tuple(part for part in each if "expires" not in part) for each in cookies]
    return response.status_code, sorted(response.headers.items()), cookies, text


def cast(world: World) -> list[str]:
    """One login of each kind that must look like the others, all as long as one another."""
    someone(world, "known1")
    world.portal.accounts.disable(someone(world, "disab1").id, actor=SYSTEM, source=_SOURCE)
    someone(world, "lockd1")
    get_user_model().objects.create_user("nopass")  # no password, and no address either
    for _ in range(40):
        browser().post("/sign-in", {"login": "lockd1", "password": "wrong wrong wrong"})
        world.later(seconds=1)
    world.later(minutes=5)
    return ["known1", "disab1", "lockd1", "nopass", "absent"]


def test_atk_16_a_failed_sign_in_has_one_face(world: World) -> None:
    faces = {
        login: face(browser().post("/sign-in", {"login": login, "password": "a wrong pass phrase"}), login)
        for login in cast(world)
    }
    assert len({repr(each) for each in faces.values()}) == 1, faces
    assert faces["known1"][0] == 401
    right = face(browser().post("/sign-in", {"login": "lockd1", "password": PASSWORD}), "lockd1")
    assert right == faces["absent"]


@pytest.mark.parametrize("path", ["/password/forgot", "/unlock"])
def test_atk_16_asking_for_a_link_has_one_face(world: World, path: str) -> None:
    names = cast(world)
    names += [f"{name}@mail.example" for name in names]
    faces = {name: face(browser().post(path, {"name": name}), name) for name in names}
    assert len({repr(each) for each in faces.values()}) == 1, faces
    assert faces["known1"][0] == 200
    world.portal.courier.deliver()
    mailed = "/password/link?" if path == "/password/forgot" else "/unlock/link?"
    asked_for = {message.to for message in world.mail if mailed in message.text}
    assert "known1@mail.example" in asked_for or path == "/unlock"
    assert not asked_for & {"absent@mail.example", "disab1@mail.example"}


def test_atk_16_pwd_04_registering_has_one_face(world: World) -> None:
    cast(world)
    addresses = ["known1@mail.example", "disab1@mail.example", "newone@mail.example"]
    faces = {each: face(browser().post("/register", {"email": each}), each) for each in addresses}
    assert len({repr(each) for each in faces.values()}) == 1, faces


def test_atk_16_a_dead_link_has_one_face_whatever_it_was(world: World) -> None:
    someone(world)
    browser().post("/password/forgot", {"name": "robin"})
    used = token(world, "robin@mail.example")
    browser().post("/password/link", {"token": used})
    faces = [
        face(browser().post("/password/link", {"token": each})) for each in (used, used[:-4] + "AAAA", "x")
    ]
    assert faces[0] == faces[1] == faces[2]


# -- a new password that the next sign-in asks for ---------------------------------------------------------------------


def test_a_forced_change_is_the_last_step_of_a_sign_in(client: Client, world: World) -> None:
    person = someone(world)
    world.portal.password_change.require(person.id, "breached", actor=SYSTEM, source=_SOURCE)
    password_step(client, person, next="/records/1")
    third = client.post("/sign-in/code", {"code": person.code(), "next": "/records/1"})
    assert third["Location"] == "/sign-in/new-password?next=/records/1"
    assert who(client) == ""
    form = client.get(third["Location"]).content.decode()
    assert 'name="next" value="/records/1"' in form
    assert "data-strength" in form
    assert client.post("/sign-in/new-password", {"password": PASSWORD}).status_code == 400
    assert who(client) == ""
    done = client.post("/sign-in/new-password", {"password": NEW, "next": "/records/1"})
    assert (done.status_code, done["Location"]) == (303, "/records/1")
    assert pending(client) == ""
    assert DEVICE_COOKIE in client.cookies
    assert who(client) == "robin"


def test_a_forced_change_that_took_too_long_says_to_sign_in_with_the_new_password(
    client: Client, world: World
) -> None:
    person = someone(world)
    world.portal.password_change.require(person.id, "breached", actor=SYSTEM, source=_SOURCE)
    password_step(client, person, next="/records/1")
    client.post("/sign-in/code", {"code": person.code(), "next": "/records/1"})
    policy = world.portal.sign_in.policy
    short = replace(policy, evidence_lifetime=timedelta(seconds=30))
    object.__setattr__(world.portal.sign_in._kit, "policy", short)
    world.clock.advance(timedelta(minutes=5))
    told = client.post("/sign-in/new-password", {"password": NEW, "next": "/records/1"})
    assert told.status_code == 200 and pending(client) == "" and who(client) == ""
    page = told.content.decode()
    assert "Your password is changed" in page and 'href="/sign-in?next=/records/1"' in page
    assert "<input" not in page.partition("<main")[2]


def test_a_forced_change_needs_a_sign_in(client: Client, world: World) -> None:
    for answer in (
        client.get("/sign-in/new-password"),
        client.post("/sign-in/new-password", {"password": NEW}),
    ):
        assert (answer.status_code, answer["Location"]) == (303, "/sign-in")


@pytest.mark.parametrize(
    "next",
    [
        "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "https:evil.example",
        "http:///evil.example", "https://portal.example@evil.example/", "/\t/evil.example", "/\n/evil.example",
        "javascript:alert(1)", "/%0d%0aSet-Cookie:x=1", "/a b",
    ],
)  # fmt: skip
def test_rec_07_a_forced_change_leads_to_no_other_site(client: Client, world: World, next: str) -> None:
    person = someone(world)
    world.portal.password_change.require(person.id, "breached", actor=SYSTEM, source=_SOURCE)
    password_step(client, person)
    client.post("/sign-in/code", {"code": person.code()})
    assert "evil.example" not in client.get("/sign-in/new-password", {"next": next}).content.decode()
    answer = client.post("/sign-in/new-password", {"password": NEW, "next": next})
    assert answer.status_code == 303
    assert answer["Location"] in ("/", "/%0d%0aSet-Cookie:x=1")


# -- ATK-30: sizes and shapes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1025, 40_000, 1_000_000])
def test_atk_30_pwd_05_a_long_password_is_a_plain_refusal_on_every_form(world: World, size: int, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    client, long = browser(), "a\u0301\u0323" * (size // 3)
    signed_in(client, someone(world))
    reset = landed(world)
    monkeypatch.setattr(type(world.portal.passwords), "hash", lambda *a, **k: pytest.fail("it was hashed"))
    for answer in (
        client.post("/account/password", {"current": PASSWORD, "password": long}),
        client.post("/account/password", {"current": long, "password": NEW}),
        client.post("/account/close", {"current": long}),
        reset.post("/password/new", {"password": long}),
    ):
        assert answer.status_code == 400
        assert long not in answer.content.decode()
    assert who(client) == "robin"


@pytest.mark.parametrize("path", ["/sign-in", "/password/new", "/password/strength", "/account/password"])
def test_atk_30_ten_megabytes_are_refused_before_they_are_read(world: World, path: str) -> None:
    client = browser(enforce_csrf_checks=True, raise_request_exception=False)
    kind = "application/json" if path == "/password/strength" else "application/x-www-form-urlencoded"
    answer = client.generic("POST", path, b"password=" + b"a" * 10_000_000, kind, headers={"sec-fetch-site": "same-origin"})  # fmt: skip
    assert answer.status_code in (400, 403, 413)
    assert "auth.login_failed" not in world.events.names


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/x-www-form-urlencoded", b"password=one&password=two"),
        ("application/x-www-form-urlencoded", b"password=a%00b"), ("application/x-www-form-urlencoded", b"password=%ff%fe"),
        ("multipart/form-data; boundary=x; charset=utf-7", b'--x\r\nContent-Disposition: form-data; name="password"\r\n\r\na\r\n--x--\r\n'),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="password"; filename="a"\r\n\r\na\r\n--x--\r\n'),
    ],
)  # fmt: skip
def test_a_form_that_two_readers_could_read_differently_is_refused(
    world: World, kind: str, body: bytes
) -> None:
    someone(world)
    client = landed(world)
    assert client.generic("POST", "/password/new", body, kind).status_code == 400
    assert client.post("/password/new", {"password": NEW}).status_code == 303


def test_a_query_with_two_values_is_refused(client: Client, world: World) -> None:
    assert client.get("/password/link?token=a&token=b").status_code == 400


# -- the meter ----------------------------------------------------------------------------------------------------------


def asked_meter(client: Client, body: object, **headers: str) -> Any:
    text = body if isinstance(body, bytes) else json.dumps(body)
    return client.post("/password/strength", text, content_type="application/json", headers=headers)


def test_the_meter_says_what_the_server_would(client: Client, world: World) -> None:
    weak = asked_meter(client, {"password": "robin1234", "login": "robin"})
    assert (weak.status_code, weak["Content-Type"]) == (200, "application/json")
    assert weak.json()["score"] < 2
    good = asked_meter(client, {"password": NEW}).json()
    assert good["score"] == 4
    assert good["problems"] == []
    assert world.events.names == []
    assert not client.cookies


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b'{"password": 7}', b'{"password": "a", "password": "b"}', b"\xff", b"[" * 100_000])  # fmt: skip
def test_the_meter_takes_one_flat_object(client: Client, world: World, body: bytes) -> None:
    assert asked_meter(client, body).status_code == 400
    assert client.post("/password/strength", {"password": NEW}).status_code == 400


def test_the_meter_is_for_this_sites_pages_and_has_a_budget(client: Client, world: World) -> None:
    strict = browser(enforce_csrf_checks=True)
    assert asked_meter(strict, {"password": NEW}).status_code == 403
    assert asked_meter(strict, {"password": NEW}, **{"sec-fetch-site": "cross-site"}).status_code == 403
    answers = [
        asked_meter(strict, {"password": NEW}, **{"sec-fetch-site": "same-origin"}) for _ in range(250)
    ]
    assert answers[0].status_code == 200
    assert answers[-1].status_code == 429
    assert int(answers[-1]["Retry-After"]) > 0


def test_the_meters_script_is_the_packages_own(client: Client, world: World) -> None:
    script = client.get("/portalsec/meter.js")
    assert script["Content-Type"] == "text/javascript"
    assert b"data-strength" in script.content
    assert script["X-Content-Type-Options"] == "nosniff"


# -- signed in ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", sorted(each for each in ADDRESSES.values() if each.startswith("/account/") and each != "/account/email/link"))  # fmt: skip
def test_byp_06_an_owners_page_needs_a_live_session(client: Client, world: World, address: str) -> None:
    person = someone(world)
    password_step(client, person)
    for answer in (client.get(address), client.post(address, {"current": PASSWORD, "password": NEW})):
        assert answer.status_code in (401, 405), address
    signed_in(client, person)
    get_user_model().objects.filter(username="robin").update(is_active=False)
    assert client.get(address).status_code in (401, 405), address


def test_ses_01_a_changed_password_keeps_this_browser_and_its_data_and_ends_all_others(
    client: Client, world: World
) -> None:
    person, other = someone(world), browser()
    signed_in(client, person)
    in_again(other, person)
    client.get("/keep?value=mine")
    before = cookie(client)
    done = client.post("/account/password", {"current": PASSWORD, "password": NEW})
    assert (done.status_code, done["Location"]) == (303, "/account/password?changed=yes")
    kept = done.cookies[SESSION_COOKIE]
    assert (kept["secure"], kept["httponly"], kept["path"], kept["samesite"]) == (True, True, "/", "Lax")
    assert cookie(client) != before
    assert "Your password is changed" in client.get(done["Location"]).content.decode()
    assert client.get("/whoami").json() == {"user": "robin", "kept": {"kept": "mine"}}
    assert not SessionStore().exists(before)
    thief = browser()
    thief.cookies[SESSION_COOKIE] = before
    assert who(thief) == ""
    assert thief.get("/whoami").json()["kept"] == {}
    assert who(other) == ""
    assert who(client) == "robin"
    assert "auth.logout" not in world.events.names


def test_a_middleware_that_looks_afterwards_does_not_end_what_the_request_was_given(
    client: Client, world: World
) -> None:
    watching = [*settings.MIDDLEWARE, "tests.django.project.looks_afterwards"]
    with override_settings(MIDDLEWARE=watching):
        client.get("/keep?value=before")
        signed_in(client, someone(world))
        assert who(client) == "robin"
        client.post("/account/password", {"current": PASSWORD, "password": NEW})
        assert who(client) == "robin"
    assert "auth.session_refused" not in world.events.names


def test_a_wrong_present_password_is_a_mistake_on_the_form(client: Client, world: World) -> None:
    signed_in(client, someone(world))
    wrong = client.post("/account/password", {"current": "not this one at all", "password": NEW})
    assert wrong.status_code == 400
    assert 'id="current-error"' in wrong.content.decode()
    missing = client.post("/account/password", {})
    assert 'href="#current"' in missing.content.decode()
    assert 'href="#password"' in missing.content.decode()
    assert who(client) == "robin"


def test_an_address_is_added_confirmed_and_removed(client: Client, world: World) -> None:
    person = someone(world)
    signed_in(client, person)
    client.get("/keep?value=mine")
    added = client.post("/account/email", {"do": "add", "email": "second@mail.example", "current": PASSWORD})
    assert added["Location"] == "/account/email?done=sent"
    assert "Not confirmed yet" in client.get(added["Location"]).content.decode()
    mailed = link(world, "second@mail.example")
    assert mailed.startswith("/account/email/link?token=")
    assert title(client.get(mailed)) == "Confirm this address"
    before = cookie(client)
    confirmed = client.post("/account/email/link", {"token": mailed.partition("token=")[2]})
    assert (confirmed.status_code, title(confirmed)) == (200, "Your address is confirmed")
    assert cookie(client) != before
    assert client.get("/whoami").json() == {"user": "robin", "kept": {"kept": "mine"}}
    (first, second) = sorted(world.portal.contacts.of_account(person.id), key=lambda each: each.address)
    asked = client.get("/account/email", {"remove": first.id})
    assert f"Remove {first.address}?" in asked.content.decode()
    gone = client.post("/account/email", {"do": "remove", "contact": first.id, "current": PASSWORD})
    assert gone["Location"] == "/account/email?done=removed"
    assert who(client) == "robin"
    kept = client.post("/account/email", {"do": "remove", "contact": second.id, "current": PASSWORD})
    assert kept.status_code == 400
    assert "only confirmed address" in kept.content.decode()


def test_an_address_confirmed_in_a_strangers_browser_opens_nothing_there(
    client: Client, world: World
) -> None:
    signed_in(client, someone(world))
    client.post("/account/email", {"do": "add", "email": "second@mail.example", "current": PASSWORD})
    stranger = browser()
    assert (
        stranger.post("/account/email/link", {"token": token(world, "second@mail.example")}).status_code
        == 200
    )
    assert who(stranger) == ""
    assert who(client) == ""  # its session was not the one that confirmed


def test_mails_stand_on_the_page_of_messages_under_their_code(client: Client, world: World) -> None:
    signed_in(client, someone(world))
    world.portal.courier.deliver()
    code = re.search(r"\[([0-9A-Z]{4}-[0-9A-Z]{4})\]", world.mail[-1].subject)
    assert code
    assert code[1] in client.get("/account/messages").content.decode()
    assert code[1] in client.get("/account/activity").content.decode()
    assert code[1] not in client.get("/account/messages?before=1").content.decode()


def test_devices_are_listed_and_forgotten(client: Client, world: World) -> None:
    person = someone(world)
    signed_in(client, person)
    page = client.get("/account/devices").content.decode()
    assert "This one" in page
    gone = client.post("/account/devices", {"device": "all"})
    assert gone["Location"] == "/account/devices?removed=yes"
    assert "None yet." in client.get(gone["Location"]).content.decode()
    assert world.portal.devices.of_account(person.id) == ()


def test_the_list_of_sessions_says_what_was_shown_and_no_two_buttons_are_called_alike(world: World) -> None:
    olivia = account(world)
    first, second, looking = (browser() for _ in range(3))
    for client in (first, second, looking):
        assert signed_in(client, olivia)
        world.clock.advance(timedelta(seconds=60))
    page = looking.get("/account/sessions").content.decode()
    assert page.count("with a password and a code") == 3
    named = re.findall(r'aria-label="(End [^"]*)"', page)
    assert len(set(named)) == len(named) == 2
    assert all("last used" in name for name in named)


def test_ses_01_signing_out_everywhere_else_keeps_this_browser(client: Client, world: World) -> None:
    person, other = someone(world), browser()
    signed_in(client, person)
    in_again(other, person)
    done = client.post("/account/secure")
    assert done["Location"] == "/account/secure?done=signed-out"
    page = client.get(done["Location"]).content.decode()
    assert "signed in here, and nowhere else" in page
    assert who(other) == ""


def test_ses_01_closing_asks_for_the_password_and_ends_everything(client: Client, world: World) -> None:
    person, other = someone(world), browser()
    signed_in(client, person)
    in_again(other, person)
    assert client.post("/account/close", {"current": "wrong one here"}).status_code == 400
    assert who(client) == "robin"
    closed = client.post("/account/close", {"current": PASSWORD})
    assert title(closed) == "Your account is closed"
    assert closed["Clear-Site-Data"] == '"cache", "cookies", "storage"'
    assert cookie(client) == ""
    assert who(client) == who(other) == ""
    assert password_step(client, person).status_code == 401
    assert not models.SessionData.objects.exclude(user_hash=None).filter(digest="x").exists()


def test_atk_41_a_session_that_cannot_be_kept_is_none(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed_in(client, someone(world))

    def fail(*args: object, **kwargs: object) -> None:
        raise StoreError("down")

    with monkeypatch.context() as broken:
        broken.setattr(SessionStore, "save", fail)
        assert client.post("/account/password", {"current": PASSWORD, "password": NEW}).status_code == 503
    assert who(client) == ""
    assert not models.Session.objects.exists()


def test_a_second_key_is_added_in_a_session(client: Client, world: World) -> None:
    project.current = free = World(sign_in=SignInPolicy(second_factor="optional"))
    free.portal.accounts.create(login="robin", password=PASSWORD)
    client.post("/sign-in", {"login": "robin", "password": PASSWORD})
    client.get("/keep?value=mine")
    assert title(client.get("/account/factor")) == "Set up your second key"
    page = client.post("/account/factor", {"current": PASSWORD}).content.decode()
    seed = re.search(r'class="secret">([A-Z2-7 ]+)<', page)
    assert seed
    assert "<svg" in page
    wrong = client.post("/account/factor/confirm", {"code": "000000"})
    assert (wrong.status_code, "<svg" in wrong.content.decode()) == (400, False)
    code = pyotp.TOTP(seed[1].replace(" ", "")).at(free.clock())
    done = client.post("/account/factor/confirm", {"code": code})
    assert done["Location"] == "/account/secure?done=factor"
    assert "every sign-in asks for a code" in client.get(done["Location"]).content.decode()
    assert client.get("/whoami").json() == {"user": "robin", "kept": {"kept": "mine"}}


# -- "this wasn't me" --------------------------------------------------------------------------------------------------


def test_from_the_mail_of_a_new_device_to_what_was_opened(world: World) -> None:
    person, thief, owner = someone(world), browser(), browser()
    signed_in(thief, person)
    mailed = link(world, "robin@mail.example")
    assert mailed.startswith("/not-me?token=")
    looked = owner.get(mailed)
    assert title(looked) == "Was this not you?"
    assert looked["Referrer-Policy"] == "no-referrer"
    assert who(thief) == "robin"  # looking changed nothing
    found = mailed.partition("token=")[2]
    assert title(owner.post("/not-me", {"token": found})) == "Your account is protected"
    assert who(thief) == ""
    assert password_step(browser(), person).status_code == 401
    assert title(owner.get("/password/new")) == "Choose a new password"
    assert owner.post("/password/new", {"password": NEW})["Location"] == "/sign-in/code"
    world.later(seconds=60)
    assert owner.post("/sign-in/code", {"code": person.code()}).status_code == 303
    assert who(owner) == "robin"
    incident = world.portal.incidents.of_account(person.id)[0]
    assert incident.id in owner.get("/account/secure").content.decode()
    page = owner.get(f"/account/incident?id={incident.id}").content.decode()
    assert "Nothing on this page" in page or 'class="timeline"' in page
    assert title(owner.post("/not-me", {"token": found})) == "This link does not work any more"
    other = someone(world, "other1")
    stranger = browser()
    signed_in(stranger, other)
    assert stranger.get(f"/account/incident?id={incident.id}").status_code == 403


def test_this_wasnt_me_from_the_signed_in_page_ends_this_session_too(client: Client, world: World) -> None:
    person, thief = someone(world), browser()
    signed_in(client, person)
    in_again(thief, person)
    page = client.get("/account/activity").content.decode()
    notice = re.search(r'activity\?notice=([^"]+)"', page)
    assert notice and 'name="current"' not in page
    asked = client.get(f"/account/activity?notice={notice[1]}").content.decode()
    assert f'name="notice" value="{notice[1]}"' in asked and 'name="current"' in asked
    for typed, said in (("", "Enter your present password"), ("wrong one here", "not your present password")):
        again = client.post("/account/not-me", {"notice": notice[1], "current": typed})
        assert again.status_code == 400 and said in again.content.decode()
        assert f'name="notice" value="{notice[1]}"' in again.content.decode()
    assert who(thief) == "robin"
    done = client.post("/account/not-me", {"notice": notice[1], "current": PASSWORD})
    assert title(done) == "Your account is protected"
    assert cookie(client) == ""
    assert who(client) == who(thief) == ""
    assert client.post("/password/new", {"password": NEW}).status_code == 303


# -- registration, unlock -----------------------------------------------------------------------------------------------


def test_registration_from_the_address_to_the_second_factor(client: Client, world: World) -> None:
    assert title(client.post("/register", {"email": "new@mail.example"})) == "Look into your mail"
    mailed = token(world, "new@mail.example")
    assert client.post("/register/link", {"token": mailed})["Location"] == "/register/new"
    someone(world, "taken1")
    taken = client.post("/register/new", {"login": "taken1", "password": NEW})
    assert "this one is taken" in taken.content.decode()
    assert 'value="taken1"' in taken.content.decode()
    missing = client.post("/register/new", {"login": "", "password": ""}).content.decode()
    assert 'href="#login"' in missing
    made = client.post("/register/new", {"login": "newcomer", "password": NEW})
    assert made["Location"] == "/sign-in/set-up?or=passkey_enrolment"
    assert who(client) == ""


def test_loc_09_a_locked_account_is_unlocked_by_mail(client: Client, world: World) -> None:
    cast(world)
    assert client.post("/sign-in", {"login": "lockd1", "password": PASSWORD}).status_code == 401
    client.post("/unlock", {"name": "lockd1"})
    assert (
        title(client.post("/unlock/link", {"token": token(world, "lockd1@mail.example")}))
        == "You can sign in again"
    )
    assert client.post("/sign-in", {"login": "lockd1", "password": PASSWORD}).status_code == 303


def test_too_many_requests_say_how_long_to_wait(client: Client, world: World) -> None:
    answers = [client.post("/password/forgot", {"name": f"name{number}"}) for number in range(60)]
    assert answers[-1].status_code == 429
    assert int(answers[-1]["Retry-After"]) > 0
    assert "Too many tries. Please wait" in answers[-1].content.decode()


def test_signing_out_from_a_page_that_names_no_origin(client: Client, world: World) -> None:
    person = someone(world)
    strict = browser(enforce_csrf_checks=True)
    signed_in(client, person)
    strict.cookies[SESSION_COOKIE] = cookie(client)
    assert (
        strict.post("/sign-out", headers={"origin": "null", "sec-fetch-site": "cross-site"}).status_code
        == 403
    )
    assert who(client) == "robin"
    assert (
        strict.post("/sign-out", headers={"origin": "null", "sec-fetch-site": "same-origin"}).status_code
        == 200
    )
    assert who(client) == ""
