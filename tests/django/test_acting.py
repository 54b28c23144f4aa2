"""Support acts in an owner's name in Django: there and back with what each session keeps, and what stays out of reach (AUZ-04)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import URLPattern

from portalsec.auth.out_of_band import OutOfBandPolicy
from portalsec.auth.proof import Factor
from portalsec.auth.sessions import ActiveSession
from portalsec.django import models
from portalsec.django.urls import urlpatterns
from portalsec.events import SYSTEM, Actor, Event, Source
from portalsec.web import LINK_COOKIE, PENDING_COOKIE, SESSION_COOKIE, STAFF_COOKIE
from tests.django import project
from tests.django.browser import PASSWORD, Someone, cookie, password_step, pending, signed_in, someone, who
from tests.django.project import World
from tests.django.test_account_views import landed
from tests.django.test_account_views import someone as with_address
from tests.docs.pages import block

HERE = Source()
Desk = tuple[Client, Someone, Someone]


def allowed(staff: ActiveSession, account_id: str) -> bool:
    """Kim may act for whoever the test says."""
    assert project.current is not None
    names = {person: login for login, person in project.current.people.items()}  # type: ignore[attr-defined]
    return names.get(staff.account_id) == "kim" and names.get(account_id) == "robin"


@pytest.fixture
def desk(database: None) -> Iterator[Desk]:
    """Kim of the support desk, signed in, and Robin, who needs help."""
    project.current = world = World(
        may_impersonate=allowed, out_of_band=OutOfBandPolicy(factors=frozenset({Factor.EMAIL_CODE}))
    )
    kim, robin = someone(world, "kim"), someone(world, "robin")
    world.people = {"kim": kim.id, "robin": robin.id}  # type: ignore[attr-defined]
    client = Client(headers={"host": "portal.example"})
    signed_in(client, kim)
    yield client, kim, robin
    project.current = None


def act(client: Client, **change: str) -> Any:
    return client.post("/act-as", {"login": "robin", "reason": "ticket-4711", "minutes": "10", **change})


def text(response: Any) -> str:
    return str(response.content.decode())


def test_there_and_back_with_what_each_session_keeps(desk: Desk) -> None:
    client, kim, robin = desk
    client.get("/keep?value=kims")
    assert "Act in an owner’s name" in text(client.get("/act-as"))
    own = cookie(client)
    done = act(client, next="/whoami")
    assert (done.status_code, done["Location"]) == (303, "/whoami")
    assert cookie(client) not in ("", own) and cookie(client, STAFF_COOKIE).startswith(own + ".")
    for name in (SESSION_COOKIE, STAFF_COOKIE):
        morsel = done.cookies[name]
        assert (morsel["path"], morsel["samesite"], morsel["domain"]) == ("/", "Lax", "")
        assert morsel["secure"] and morsel["httponly"] and not morsel["max-age"]
    assert client.get("/whoami").json() == {"user": "robin", "kept": {}}
    client.get("/keep?value=robins")
    assert models.SessionData.objects.count() == 2
    back = client.post("/act-as/end")
    assert (back.status_code, back["Location"]) == (303, "/act-as?ended=yes")
    assert cookie(client) == own and cookie(client, STAFF_COOKIE) == ""
    assert client.get("/whoami").json() == {"user": "kim", "kept": {"kept": "kims"}}
    assert "You are back in your own account" in text(client.get(back["Location"]))
    assert models.SessionData.objects.count() == 1
    assert not kim.world.portal.sessions.of_account(robin.id)


def test_every_page_says_whose_record_it_is_and_has_the_way_out(desk: Desk) -> None:
    client, _, robin = desk
    assert "acting" not in text(client.get("/password/forgot"))
    get_user_model().objects.filter(username="robin").update(first_name="Robin", last_name="<b>Redbreast")
    act(client)
    for path in ("/password/forgot", "/account/secure", "/account/factors"):
        page = text(client.get(path))
        assert '<section class="acting" aria-label="Acting in another' in page, path
        assert "Robin &lt;b&gt;Redbreast</strong>, until <time" in page, path
    page = text(client.get("/password/forgot"))
    (form,) = re.findall(r'<form method="post" action="/act-as/end">(.*?)</form>', page)
    assert "csrfmiddlewaretoken" in form and ">End<span" in form
    assert 'role="status"' in page
    assert robin.world.events.named(Event.AUTH_IMPERSONATION_STARTED)
    client.post("/act-as/end")
    assert "acting" not in text(client.get("/password/forgot"))


def test_after_its_end_a_clear_page_leads_back(desk: Desk) -> None:
    client, kim, robin = desk
    client.get("/keep?value=kims")
    act(client)
    (row,) = kim.world.portal.sessions.listed(robin.id)
    kim.world.portal.sessions.end_one(
        robin.id, row.reference, source=HERE, actor=Actor(type="user", id=robin.id)
    )
    over = client.get("/account/secure")
    assert (over.status_code, over["Location"]) == (303, "/act-as/over")
    for path in ("/signed-out", "/whoami"):  # where a visitor would do, too
        assert client.get(path)["Location"] == "/act-as/over"
    page = text(client.get("/act-as/over"))
    assert "You no longer act" in page and "Back to my own account" in page and "acting" not in page
    assert client.post("/act-as/end", {"next": "/whoami"})["Location"] == "/whoami"
    assert client.get("/whoami").json() == {"user": "kim", "kept": {"kept": "kims"}}


def test_after_their_own_idle_end_one_factor_goes_on(desk: Desk) -> None:
    client, kim, _ = desk
    client.get("/keep?value=kims")
    act(client, minutes="30")
    for _ in range(2):
        kim.world.clock.advance(timedelta(minutes=14))
        assert who(client) == "robin"
    kim.world.clock.advance(timedelta(minutes=2))
    assert client.get("/account/secure")["Location"] == "/act-as/over"
    back = client.post("/act-as/end", {"next": "/whoami"})
    assert back["Location"] == "/sign-in/resume?next=/whoami"
    assert client.post("/sign-in/resume", {"current": PASSWORD, "next": "/whoami"}).status_code == 303
    assert client.get("/whoami").json() == {"user": "kim", "kept": {"kept": "kims"}}


def test_signing_out_ends_both(desk: Desk) -> None:
    client, kim, robin = desk
    act(client)
    assert client.post("/sign-out").status_code == 200
    assert cookie(client) == cookie(client, STAFF_COOKIE) == ""
    for person in (kim, robin):
        assert not kim.world.portal.sessions.of_account(person.id)


def test_signing_in_over_it_ends_both(desk: Desk) -> None:
    client, kim, robin = desk
    act(client)
    someone(kim.world, "sam")
    assert client.post("/sign-in", {"login": "sam", "password": PASSWORD}).status_code == 303
    for person in (kim, robin):
        assert not kim.world.portal.sessions.of_account(person.id)


def test_auz_04_a_look_alike_of_the_second_cookie_saves_no_session_from_a_sign_in(desk: Desk) -> None:
    client, kim, robin = desk
    act(client)
    someone(kim.world, "sam")
    held = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    done = Client(headers={"host": "portal.example"}).post(
        "/sign-in",
        {"login": "sam", "password": PASSWORD},
        headers={"cookie": f"{held}; {STAFF_COOKIE.lower()}=x"},
    )
    assert done.status_code == 303 and done.cookies[STAFF_COOKIE].value == ""
    for person in (kim, robin):
        assert not kim.world.portal.sessions.of_account(person.id)


@pytest.mark.parametrize("path", ["/admin/logout/", "/signs-out-and-goes-on", "/django-logs-in?name=kim"])
def test_auz_04_djangos_own_logout_and_login_end_both(desk: Desk, path: str) -> None:
    client, kim, robin = desk
    get_user_model().objects.filter(username="robin").update(is_staff=True)  # the admin's page is for those
    act(client)
    client.post(path)
    for person in (kim, robin):
        assert not kim.world.portal.sessions.of_account(person.id)
    assert cookie(client, STAFF_COOKIE) == ""


def by_reset(client: Client, sam: Someone) -> Any:
    client.cookies[LINK_COOKIE] = cookie(landed(sam.world, "sam@mail.example"), LINK_COOKIE)
    return client.post("/password/new", {"password": "harbour violin 42 candle moss"})


def by_code(client: Client, sam: Someone) -> Any:
    other = Client(headers={"host": "portal.example"})
    password_step(other, sam)
    client.cookies[PENDING_COOKIE] = pending(other)
    return client.post("/sign-in/code", {"code": sam.code()})


@pytest.mark.parametrize("session", [True, False], ids=["both cookies", "the staff's alone"])
@pytest.mark.parametrize("way", [by_reset, by_code], ids=["reset", "code"])
def test_auz_04_whoever_comes_in_over_it_finds_neither_session_nor_cookie_of_the_staff(
    desk: Desk, way: Callable[[Client, Someone], Any], session: bool
) -> None:
    client, kim, _ = desk
    act(client)
    acting = cookie(client)
    if not session:
        del client.cookies[SESSION_COOKIE]
    assert way(client, with_address(kim.world, "sam")).status_code == 303
    assert cookie(client, STAFF_COOKIE) == "" and not kim.world.portal.sessions.of_account(kim.id)
    client.cookies[SESSION_COOKIE] = acting
    assert who(client) == ""


@pytest.mark.parametrize("what", ["another's session", "own, without a hash", "nothing"])
@pytest.mark.parametrize("over", [False, True], ids=["lives", "over"])
def test_auz_04_a_forged_way_back_signs_out_and_opens_nobodys_session(
    desk: Desk, what: str, over: bool
) -> None:
    client, kim, robin = desk
    act(client)
    sam = Client(headers={"host": "portal.example"})
    signed_in(sam, someone(kim.world, "sam"))
    own, _, tag = cookie(client, STAFF_COOKIE).partition(".")
    forged = {"another's session": f"{cookie(sam)}.{tag}", "own, without a hash": own, "nothing": "x"}
    client.cookies[STAFF_COOKIE] = forged[what]
    if over:
        kim.world.portal.sessions.end_all(robin.id, source=HERE, actor=SYSTEM)
        assert client.get("/account/secure").status_code == 401
    out = client.post("/act-as/end")
    assert (out.status_code, out["Location"]) == (303, "/act-as/over")
    assert who(client) == "" and cookie(client, STAFF_COOKIE) == ""
    assert "Sign in" in text(client.get("/act-as/over"))


def test_the_forms_need_their_token(desk: Desk) -> None:
    client, *_ = desk
    strict = Client(
        enforce_csrf_checks=True, headers={"host": "portal.example", "sec-fetch-site": "same-origin"}
    )
    strict.cookies = client.cookies
    assert act(strict).status_code == 403
    assert strict.post("/act-as/end").status_code == 403
    looked = strict.get("/act-as/end")
    assert (looked.status_code, looked["Location"]) == (303, "/act-as/over")
    assert who(client) == "kim"


def test_the_how_to_s_base_template_says_so_on_every_page(desk: Desk, tmp_path: Path, settings: Any) -> None:
    client, *_ = desk
    written = (
        block("act-in-an-owners-name", "{% load portalsec_words %}")
        + "{% block content %}{% endblock %}</body>"
    )
    (tmp_path / "portalsec").mkdir()
    (tmp_path / "portalsec" / "base.html").write_text(written, encoding="utf-8")
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    assert "You act for" not in text(client.get("/act-as"))
    act(client)
    assert "You act for <strong>robin</strong>" in text(client.get("/act-as/over"))


def test_a_refusal_says_no_more_than_the_rule_does(desk: Desk) -> None:
    client, kim, _ = desk
    someone(kim.world, "sam")
    pages = set()
    for login in ("sam", "nobody"):
        answer = act(client, login=login)
        assert answer.status_code == 403
        pages.add(re.sub(r'value="[^"]*"', "", text(answer)))
    assert len(pages) == 1 and "You may not act for this account" in pages.pop()
    wrong = act(client, reason="Robin rang us")
    assert wrong.status_code == 400 and "Enter the number of the case" in text(wrong)
    assert 'aria-invalid="true"' in text(wrong)


def test_without_a_rule_there_is_no_such_page(client: Client, world: World) -> None:
    signed_in(client, someone(world))
    for path in ("/act-as", "/act-as/over"):
        assert client.get(path).status_code == 404
    for path in ("/act-as", "/act-as/end"):
        assert client.post(path).status_code == 404


# -- AUZ-04 over every address ------------------------------------------------------------------------------------------

# As any visitor may, who is not signed in: by a mailed link, a sign-in that is under way, or what is typed.
VISITORS = frozenset(
    {
        "code",
        "confirm-set-up",
        "email-link",
        "forced-password",
        "forgot",
        "mail-link",
        "new-password",
        "not-me",
        "other-ways",
        "passkey",
        "passkey-begin",
        "passkey-set-up",
        "passkey-set-up-begin",
        "recovery-code",
        "register",
        "register-account",
        "register-link",
        "related-origins",
        "reset-link",
        "resume",
        "resume-begin",
        "resume-passkey",
        "sent-code",
        "set-up",
        "sign-in-link",
        "strength",
        "undo",
        "unlock",
        "unlock-link",
    }
)
# For whoever acts, scripts, and the form that begins anew as somebody else.
OWN = frozenset({"act-end", "act-over", "session-left", "session-stay", "sign-in", "sign-out", "signed-out"})
EVERY = [
    (str(each.name), f"/{each.pattern}")
    for each in urlpatterns
    if isinstance(each, URLPattern)
    and each.name not in OWN
    and not str(each.pattern).startswith("portalsec/")
]


def guarded(person: Someone) -> object:
    portal = person.world.portal
    stores = portal.stores
    return (
        stores.accounts.get(person.id),
        portal.totp.devices(person.id),
        stores.contacts.of_account(person.id),
        stores.passkeys.of_account(person.id),
        portal.recovery_codes.left(person.id),
        portal.sessions.epoch(person.id),
        get_user_model().objects.values().get(username=person.login),
    )


def test_auz_04_who_acts_in_an_owners_name_reaches_nothing_that_guards_the_account(desk: Desk) -> None:
    """One test for all of them: a database is dearer than a request."""
    client, _, robin = desk
    act(client, minutes="30")
    before, held = guarded(robin), (cookie(client), cookie(client, STAFF_COOKIE))
    fields = {
        "name": "robin",
        "password": "a new harbour violin 42",
        "current": PASSWORD,
        "new": "a new harbour violin 42",
        "code": robin.code(steps=1),
        "email": "kim@mail.example",
        "do": "remove",
        "id": robin.world.portal.totp.devices(robin.id)[0].id,
        "label": "mine",
        "session": "others",
        "close": "yes",
        "login": "robin",
        "reason": "ticket-1",
        "minutes": "5",
        "token": "x" * 43,
        "response": "{}",
        "next": "/",
    }
    reached = set()
    for name, path in EVERY:
        got, posted = client.get(path), client.post(path, fields)
        if posted.status_code == 400:  # one that a script asks
            posted = client.post(path, json.dumps(fields), content_type="application/json")
        reached |= {(name, answer.status_code) for answer in (got, posted) if name not in VISITORS}
        assert guarded(robin) == before, name
        assert (cookie(client), cookie(client, STAFF_COOKIE)) == held, name
    assert {status for _, status in reached} == {403, 405}  # the second where there is no such method
    assert {name for name, status in reached if status == 403} == {name for name, _ in EVERY} - VISITORS
    assert who(client) == "robin"


@pytest.mark.parametrize("how", ["switched off", "another password", "deleted"])
def test_auz_04_staff_who_is_no_more_what_they_were_acts_no_longer(desk: Desk, how: str) -> None:
    """Behind portalsec's back, as the admin does it: the owner's user is still all that it was."""
    client, _, _ = desk
    act(client)
    assert who(client) == "robin"
    staff = get_user_model().objects.filter(username="kim")
    if how == "switched off":
        staff.update(is_active=False)
    elif how == "another password":
        user = staff.get()
        user.set_password("another pickle saturn mitten")
        user.save()
    else:
        staff.get().delete()
    assert b"robin" not in client.get("/whoami").content
