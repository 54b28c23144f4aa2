"""API clients over Django: the same as over FastAPI, thinly."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import Client
from django.urls import path

from portalsec.auth import FactorDemand
from portalsec.django.conf import get_portal
from portalsec.django.dpop import DpopClients
from portalsec.django.request import source_of
from portalsec.errors import ConfigurationError, Denied, Reason
from portalsec.events import Event, Purpose, Source
from portalsec.rbac.model import Resource
from portalsec.testing.dpop import DpopClient
from portalsec.web import SESSION_COOKIE
from tests.django import urls
from tests.django.browser import PASSWORD, Someone, signed_in, someone
from tests.django.project import World

BASE = "https://portal.example"
ME = f"{BASE}/api/me"
api = DpopClients()


@api.view
def sign_in(request: HttpRequest) -> HttpResponse:
    proof, sent, source = api.proof(request), json.loads(request.body), source_of(request)
    if "pending" in sent:
        step = get_portal().sign_in.submit_totp(sent["pending"], sent["code"], source=source)
    else:
        step = get_portal().sign_in.start(sent["login"], sent["password"], source=source)
    if step.session is None:
        assert step.pending is not None
        return JsonResponse({"next": step.next, "pending": step.pending.reveal()})
    return api.granted(api.bind(request, step.session, proof))


@api.view
def me(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"account": api.session(request).account_id})


@api.view
def poll(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"account": api.session(request, passive=True).account_id})


@api.require(
    "record:read",
    resource=Resource(type="record", id="p1", attributes={"patient_id": "p1"}),
    purpose=Purpose.TREAT,
    passive=True,
)
def poll_record(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"record": "p1"})


FRESH = FactorDemand.of("totp", within=timedelta(minutes=5))


@api.view
def release(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"account": api.session(request, factor=FRESH).account_id})


@api.view
def step_up(request: HttpRequest) -> HttpResponse:
    session = api.session(request, stepping_up=True)
    code = json.loads(request.body)["code"]
    return api.granted(get_portal().step_up.submit_totp(session, code, source=source_of(request)))


@api.view
def sign_out(request: HttpRequest) -> HttpResponse:
    api.sign_out(request)
    return JsonResponse({})


@api.require(
    "record:read",
    resource=lambda request, patient_id: Resource(
        type="record", id=patient_id, attributes={"patient_id": patient_id}
    ),
    purpose=Purpose.TREAT,
)
def record(request: HttpRequest, patient_id: str) -> HttpResponse:
    return JsonResponse({"record": patient_id, "rule": request.access.decision.rule})


class _Urls:
    urlpatterns = [
        path("api/sign-in", sign_in),
        path("api/me", me),
        path("api/poll", poll),
        path("api/poll-record", poll_record),
        path("api/release", release),
        path("api/step-up", step_up),
        path("api/sign-out", sign_out),
        path("api/records/<str:patient_id>", record),
        *urls.urlpatterns,
    ]


class App:
    def __init__(self, world: World) -> None:
        self.world = world
        self.key = DpopClient(clock=world.clock)
        self.wire = Client(enforce_csrf_checks=True, headers={"host": "portal.example"})

    def send(self, method: str, target: str, sent: object = None, *, headers: Any = None) -> Any:
        headers = self.key.headers(method, BASE + target) if headers is None else headers
        answer = self.wire.generic(
            method, target, json.dumps(sent), content_type="application/json", headers=headers, secure=True
        )
        self.key.nonce = answer.headers.get("DPoP-Nonce", self.key.nonce)
        return answer

    def sign_in(self, person: Someone) -> None:
        asked = self.send("POST", "/api/sign-in", {})
        assert error(asked) == "use_dpop_nonce"
        first = self.send("POST", "/api/sign-in", {"login": person.login, "password": PASSWORD})
        assert first.status_code == 200, first.content
        second = self.send(
            "POST", "/api/sign-in", {"pending": first.json()["pending"], "code": person.code()}
        )
        assert second.status_code == 200, second.content
        self.key.token = second.json()["access_token"]


def error(answer: Any) -> str:
    assert (answer.status_code, answer.json()) == (401, {"detail": "The request was refused."})
    algorithms, _, told = answer.headers["WWW-Authenticate"].partition(", error=")
    assert algorithms == 'DPoP algs="ES256 Ed25519 EdDSA RS256"'
    return str(told.strip('"'))


@pytest.fixture
def person(world: World, settings: Any) -> Iterator[Someone]:
    settings.ROOT_URLCONF = _Urls
    yield someone(world, "olivia", "clinician")


@pytest.fixture
def app(world: World, person: Someone) -> App:
    app = App(world)
    app.sign_in(person)
    return app


def test_a_client_signs_in_and_is_known_by_its_key(app: App, person: Someone) -> None:
    assert app.send("GET", "/api/me").json() == {"account": person.id}
    assert app.send("POST", "/api/me?a=b").json() == {"account": person.id}  # Django's token is not asked for
    assert app.send("GET", "/api/records/p1").status_code == 403
    app.world.relations.facts.add(("care_team", person.id, "p \u00e9"))
    answer = app.send("GET", "/api/records/p%20%C3%A9")
    assert (answer.status_code, answer.json()["record"]) == (200, "p \u00e9")
    assert not answer.cookies
    app.world.later(minutes=3)
    assert "DPoP-Nonce" in app.send("GET", "/api/me").headers
    assert app.send("POST", "/api/sign-out").status_code == 200
    assert error(app.send("GET", "/api/me")) == "invalid_token"


@pytest.mark.parametrize("key", ["another", "none"])
def test_a_sign_in_that_was_begun_under_a_key_ends_under_no_other(
    world: World, person: Someone, key: str
) -> None:
    app, thief = App(world), App(world)
    for each in (app, thief):
        assert error(each.send("POST", "/api/sign-in", {})) == "use_dpop_nonce"
    first = app.send("POST", "/api/sign-in", {"login": person.login, "password": PASSWORD})
    sent = {"pending": first.json()["pending"], "code": person.code()}
    if key == "another":
        assert error(thief.send("POST", "/api/sign-in", sent)) == "invalid_token"
    else:  # on a page of the portal's own, in a browser
        with pytest.raises(Denied) as caught:
            world.portal.sign_in.submit_totp(sent["pending"], sent["code"], source=Source())
        assert caught.value.reason is Reason.DPOP_REFUSED
    # Nor does it go on for its client, who begins anew.
    assert error(app.send("POST", "/api/sign-in", sent)) == ""
    world.later(minutes=1)
    App(world).sign_in(person)


def test_a_client_may_write_the_signs_of_a_path_as_they_are_or_escaped(app: App, person: Someone) -> None:
    for sign in "!$&'()*+,;=:@~":
        app.world.relations.facts.add(("care_team", person.id, f"a{sign}b"))
        for target in (f"/api/records/a{sign}b", f"/api/records/a%{ord(sign):02X}b"):
            assert app.send("GET", target).status_code == 200, target


def test_a_thief_of_the_token_gets_nowhere(app: App, person: Someone) -> None:
    token = app.key.token
    for headers in ({"Authorization": f"Bearer {token}"}, {"Cookie": f"{SESSION_COOKIE}={token}"}):
        assert error(app.send("GET", "/api/me", headers=headers)) == ""
    as_cookie = {"Cookie": f"{SESSION_COOKIE}={token}"}
    assert app.send("GET", "/records/p1", headers=as_cookie).status_code == 401
    assert app.world.events.last.reason is Reason.DPOP_REFUSED
    assert (
        error(app.send("GET", "/api/me", headers={"Authorization": f"DPoP {token}"})) == "invalid_dpop_proof"
    )
    for name, proof in app.key.hostile("GET", ME).items():
        refused = app.send("GET", "/api/me", headers={"Authorization": f"DPoP {token}", "DPoP": proof})
        wanted = "use_dpop_nonce" if name == "a nonce of its own" else "invalid_dpop_proof"
        assert error(refused) == wanted, name
    once = app.key.headers("GET", ME)
    assert app.send("GET", "/api/me", headers=once).status_code == 200
    assert error(app.send("GET", "/api/me", headers=once)) == "invalid_dpop_proof"
    # What comes twice is joined by the server.
    proof = app.key.proof("GET", ME)
    twice = {"Authorization": f"DPoP {token}", "DPoP": f"{proof},{proof}"}
    assert error(app.send("GET", "/api/me", headers=twice)) == "invalid_dpop_proof"
    twice = {"Authorization": f"DPoP {token},DPoP {token}", "DPoP": proof}
    assert error(app.send("GET", "/api/me", headers=twice)) == "invalid_token"
    assert (
        app.send("GET", "/api/me", headers={"Authorization": f"DPoP {token}", "DPoP": proof}).status_code
        == 200
    )


def test_a_session_that_is_bound_to_no_key_is_given_to_no_client(app: App, person: Someone) -> None:
    app.world.later(minutes=1)
    first = app.world.portal.sign_in.start(person.login, PASSWORD, source=Source())
    assert first.pending is not None
    session = app.world.portal.sign_in.submit_totp(
        first.pending.reveal(), person.code(), source=Source()
    ).session
    assert session is not None
    with pytest.raises(ConfigurationError, match=r"^ApiClients\.granted: the session is bound to no key"):
        api.granted(session)


def test_a_page_of_another_site_is_no_client(app: App) -> None:
    for more in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Cookie": "a=b"}):
        headers = {**app.key.headers("POST", ME), **more}
        answer = app.send("POST", "/api/me", headers=headers)
        assert (answer.status_code, answer.json()) == (403, {"detail": "The request was refused."})
        assert app.world.events.last.reason is Reason.CROSS_SITE
    assert app.send("POST", "/api/me", headers={}).status_code == 403


def test_a_browsers_session_is_no_token(client: Client, world: World, person: Someone) -> None:
    app = App(world)
    app.key.token = signed_in(client, person)
    assert error(app.send("GET", "/api/me")) == "use_dpop_nonce"
    assert error(app.send("GET", "/api/me")) == "invalid_token"
    assert Event.AUTH_SESSION_BOUND not in world.events.names


def test_what_asks_for_a_factor_again_waits_for_a_step_up(app: App, person: Someone) -> None:
    assert error(app.send("POST", "/api/release")) == "insufficient_user_authentication"
    assert app.send("GET", "/api/me").status_code == 200
    app.world.clock.advance(timedelta(seconds=30))
    app.key.token = app.send("POST", "/api/step-up", {"code": person.code()}).json()["access_token"]
    assert app.send("POST", "/api/release").status_code == 200
    app.world.clock.advance(timedelta(minutes=5))
    assert error(app.send("POST", "/api/release")) in ("insufficient_user_authentication", "use_dpop_nonce")
    assert error(app.send("POST", "/api/release")) == "insufficient_user_authentication"


@pytest.mark.parametrize("address", ["/api/me", "/api/poll", "/api/poll-record"])
def test_ses_05_what_a_client_asks_in_the_background_keeps_no_session_alive(
    app: App, person: Someone, address: str
) -> None:
    app.world.relations.facts.add(("care_team", person.id, "p1"))
    for _ in range(3):
        app.world.clock.advance(app.world.portal.policies.sessions.idle * 0.4)
        answer = app.send("GET", address)
        if answer.status_code == 401 and error(answer) == "use_dpop_nonce":
            answer = app.send("GET", address)
    assert answer.status_code == (200 if address == "/api/me" else 401)
