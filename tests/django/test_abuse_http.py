"""Abuse of the portal's pages over HTTP under Django, as `tests.abuse.test_http` has it for FastAPI."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from portalsec.web import SESSION_COOKIE
from tests.django.browser import PASSWORD, Someone, cookie, password_step, signed_in, someone, who
from tests.django.project import World


def strict(**headers: str) -> Client:
    """A browser of which Django and portalsec ask what they ask of every browser."""
    return Client(enforce_csrf_checks=True, headers={"host": "portal.example", **headers})


@pytest.fixture
def ada(world: World) -> Someone:
    return someone(world, "ada", "clinician")


@pytest.mark.parametrize("path", ["/sign-in", "/sign-in/code"])
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data; boundary=x", "x"])
def test_mfa_09_there_is_no_other_shape_of_request_that_tries_a_code(
    client: Client, world: World, ada: Someone, path: str, kind: str
) -> None:
    password_step(client, ada)
    world.events.clear()
    body = json.dumps({"login": "ada", "password": PASSWORD, "code": ada.code()})
    answer = client.post(path, data=body, content_type=kind, headers={"sec-fetch-site": "same-origin"})
    assert answer.status_code in (400, 401, 403, 415)
    assert who(client) == ""
    assert "auth.login" not in world.events.names


def test_mfa_18_the_seed_is_the_answer_to_a_post_and_is_not_shown_again(client: Client, world: World) -> None:
    world.portal.accounts.create(login="new", password=PASSWORD)
    first = client.post("/sign-in", {"login": "new", "password": PASSWORD})
    assert first["Location"].startswith("/sign-in/set-up")
    shown = client.post("/sign-in/set-up", {}).content.decode()
    seed = re.search(r"((?:[A-Z2-7]{4} ){7}[A-Z2-7]{4})", shown)
    assert seed and "<svg" in shown
    for path in ("/sign-in/set-up", "/sign-in/set-up/confirm"):
        page = client.get(path, follow=True).content.decode()
        assert seed[1] not in page and "<svg" not in page


@pytest.mark.parametrize(
    "value",
    ["", "Bearer", "Bearer ", "Basic !!!", "Basic Og==", "Bearer a b c", "\x80\xff", "Bearer " + "A" * 8000, "DPoP x"],
)  # fmt: skip
def test_byp_12_an_authorization_header_neither_opens_nor_breaks_anything(
    client: Client, ada: Someone, value: str
) -> None:
    signed_in(client, ada)
    assert (
        Client(headers={"host": "portal.example", "authorization": value}).get("/records/p1").status_code
        == 401
    )
    assert client.get("/whoami", headers={"authorization": value}).json()["user"] == "ada"


def test_byp_12_a_session_id_counts_in_its_cookie_alone(client: Client, ada: Someone) -> None:
    stolen = signed_in(client, ada)
    other = Client(headers={"host": "portal.example"})
    assert other.get("/records/p1", headers={"authorization": f"Bearer {stolen}"}).status_code == 401
    assert other.get("/records/p1", {SESSION_COOKIE: stolen}).status_code == 401


@pytest.mark.parametrize(
    "path",
    ["//records/p1", "/records/p1/", "/records//p1", "/%72ecords/p1", "/./records/p1", "/x/../records/p1",
     "/records/p1;x", "/records/p1%00", "/records\\p1", "/RECORDS/p1", "/records/p1%2Famend"],
)  # fmt: skip
def test_byp_13_no_spelling_of_a_path_opens_a_record(client: Client, ada: Someone, path: str) -> None:
    """Access hangs on the resource that a view names, not on its path: there is no rule to slip past."""
    signed_in(client, ada)
    for browser in (Client(headers={"host": "portal.example"}), client):
        assert browser.get(path).status_code in (400, 401, 403, 404)


def test_ses_05_fields_about_activity_are_nothing_to_the_server(
    client: Client, world: World, ada: Someone
) -> None:
    signed_in(client, ada)
    world.clock.advance(world.portal.policies.sessions.idle + timedelta(seconds=1))
    claims = {"idleFor": "0", "last_seen": "9999999999", "passive": "false"}
    answer = client.post("/session/stay", claims)
    assert (answer.status_code, answer.json()) == (401, {"signed_in": False})
    assert client.get("/records/p1").status_code == 401


PAGES = ("/sign-in", "/account/sessions", "/account/devices", "/account/factors", "/account/activity",
         "/account/secure", "/account/email", "/account/password", "/account/step-up", "/signed-out")  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_ses_07_no_page_and_no_answer_of_a_script_holds_the_id(
    client: Client, ada: Someone, page: str
) -> None:
    key = signed_in(client, ada)
    for path in (page, "/session/left"):
        answer = client.get(path, follow=True)
        assert answer.status_code == 200
        text = answer.content.decode() + str(dict(answer.headers))
        assert key not in text
    assert cookie(client) == key


def test_rec_09_a_code_that_another_site_or_browser_sends_signs_nobody_in(world: World, ada: Someone) -> None:
    mallory = Client(headers={"host": "portal.example"})
    password_step(mallory, ada)
    victim: Any = Client(headers={"host": "portal.example"})
    assert victim.post("/sign-in/code", {"code": ada.code()}).status_code in (303, 401)
    assert who(victim) == ""
    crossed = strict(**{"sec-fetch-site": "cross-site"}).post(
        "/sign-in", {"login": "ada", "password": PASSWORD}
    )
    assert crossed.status_code == 403
    assert not crossed.cookies
