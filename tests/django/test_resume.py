"""After an idle end in Django: the cookie and the sealed data rest, and one factor goes on with both."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from portalsec.django import models
from portalsec.web import SESSION_COOKIE
from tests.django.browser import PASSWORD, Someone, cookie, password_step, signed_in, someone, who
from tests.django.project import World

RESUME = "/sign-in/resume"


@pytest.fixture
def person(world: World) -> Someone:
    return someone(world)


@pytest.fixture
def rested(client: Client, world: World, person: Someone) -> Client:
    """A browser whose session idleness has just ended, with data of an application in it."""
    signed_in(client, person)
    client.get("/keep?value=half-written")
    world.later(minutes=16)
    answer = client.get("/whoami")
    assert answer.json() == {"user": "", "kept": {}}
    assert not answer.cookies
    return client


def test_a_password_resumes_with_the_data_that_was_kept(rested: Client, person: Someone) -> None:
    page = rested.get(f"{RESUME}?next=/records/p1")
    assert page.status_code == 200
    text = page.content.decode()
    assert 'name="current"' in text
    assert 'value="/records/p1"' in text
    old = cookie(rested)
    done = rested.post(RESUME, {"current": PASSWORD, "next": "/records/p1"})
    assert (done.status_code, done["Location"]) == (303, "/records/p1")
    assert cookie(rested) not in ("", old)
    assert rested.get("/whoami").json() == {"user": "olivia", "kept": {"kept": "half-written"}}
    assert models.SessionData.objects.count() == 1


def test_atk_12_a_late_401_to_the_old_id_takes_no_cookie_away(rested: Client) -> None:
    old = cookie(rested)
    rested.post(RESUME, {"current": PASSWORD})
    late = Client(headers={"host": "portal.example"})
    for path in ("/whoami", "/session/left", "/account/secure", "/nowhere", RESUME):
        late.cookies[SESSION_COOKIE] = old
        answer = late.get(path)
        assert SESSION_COOKIE not in answer.cookies, path
    assert who(rested) == "olivia"


def test_the_page_of_a_401_leads_there_and_that_of_no_session_does_not(rested: Client) -> None:
    assert "/sign-in/resume?next=/records/p1" in rested.get("/records/p1").content.decode()
    stranger = Client(headers={"host": "portal.example"})
    assert "/sign-in/resume" not in stranger.get("/records/p1").content.decode()
    assert stranger.get(f"{RESUME}?next=/records/p1")["Location"] == "/sign-in?next=/records/p1"


def test_a_wrong_password_resumes_nothing_and_leaves_the_cookie(rested: Client) -> None:
    wrong = rested.post(RESUME, {"current": "not my password 99"})
    assert (wrong.status_code, SESSION_COOKIE in wrong.cookies) == (401, False)
    assert "not your present password" in wrong.content.decode()
    assert who(rested) == ""
    assert rested.post(RESUME, {"current": PASSWORD}).status_code == 303


def test_ses_01_a_change_behind_portalsecs_back_is_not_slept_through(
    rested: Client, person: Someone, world: World
) -> None:
    old = cookie(rested)
    user = get_user_model().objects.get(username=person.login)
    user.set_password("another password behind its back")
    user.save()
    answer = rested.post(RESUME, {"current": "another password behind its back"})
    assert answer.status_code in (303, 401)
    assert SESSION_COOKIE not in answer.cookies
    assert who(rested) == ""
    assert cookie(rested) == old


def test_a_session_whose_row_says_another_password_is_over_when_it_is_resumed(
    rested: Client, world: World
) -> None:
    models.SessionData.objects.update(user_hash="of another password")
    answer = rested.post(RESUME, {"current": PASSWORD})
    assert (answer.status_code, SESSION_COOKIE in answer.cookies) == (401, False)
    assert world.events.last.name == "auth.session_revoked"
    assert not models.SessionData.objects.exists()
    assert rested.get(RESUME)["Location"] == "/sign-in"


def test_on_a_shared_computer_the_data_is_gone(client: Client, world: World, person: Someone) -> None:
    password_step(client, person, shared="yes")
    client.post("/sign-in/code", {"code": person.code()})
    client.get("/keep?value=private")
    world.later(minutes=16)
    assert who(client) == ""
    assert not models.SessionData.objects.exists()
    assert client.get(RESUME)["Location"] == "/sign-in"


def test_signing_in_anew_ends_what_rests_and_drops_its_data(rested: Client, person: Someone) -> None:
    old = cookie(rested)
    signed_in(rested, person)
    assert rested.get("/whoami").json() == {"user": "olivia", "kept": {}}
    assert models.SessionData.objects.count() == 1
    late = Client(headers={"host": "portal.example"})
    late.cookies[SESSION_COOKIE] = old
    assert late.get(RESUME)["Location"] == "/sign-in"


def test_signing_out_ends_what_rests(rested: Client) -> None:
    rested.post("/sign-out")
    assert cookie(rested) == ""
    assert not models.SessionData.objects.exists()


# -- a session that is asked for a factor, because it suddenly comes from elsewhere ----------------------------------

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
SAFARI = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.4 Safari/605.1.15"


@pytest.mark.parametrize("looked", [False, True])
def test_another_browser_shows_a_factor_and_goes_on_with_its_data(
    client: Client, world: World, person: Someone, settings: Any, looked: bool
) -> None:
    if looked:
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, "tests.django.project.greets"]
    client.defaults["HTTP_USER_AGENT"] = FIREFOX
    signed_in(client, person)
    client.get("/keep?value=half-written")
    before = cookie(client)
    client.defaults["HTTP_USER_AGENT"] = SAFARI
    for path, method in (("/session/left", client.get), ("/session/stay", client.post)):
        left = method(path)
        assert (left.status_code, left.json()) == (403, {"signed_in": True, "step_up": "/account/step-up"})
    assert client.get("/whoami").json() == {"user": "", "kept": {}}
    asked = client.get("/account/secure")
    assert (asked.status_code, asked["Location"]) == (303, "/account/step-up?next=/account/secure")
    assert cookie(client) == before
    assert client.get("/account/step-up?next=/account/secure").status_code == 200
    world.later(seconds=60)
    done = client.post("/account/step-up", {"code": person.code(), "next": "/account/secure"})
    assert (done.status_code, done["Location"]) == (303, "/account/secure")
    assert client.get("/whoami").json() == {"user": "olivia", "kept": {"kept": "half-written"}}
