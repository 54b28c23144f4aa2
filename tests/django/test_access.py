"""`require`, `check_access` and ``has_perm``: the policy decides, and what is decided is recorded."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser, Group
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View

from portalsec.django.backends import PolicyBackend
from portalsec.django.decorators import passive, require, require_factor
from portalsec.errors import AuditUnavailable
from portalsec.events import Purpose
from portalsec.rbac.model import Context, Resource, Subject
from portalsec.web import SESSION_COOKIE
from tests.django import urls
from tests.django.browser import signed_in, someone
from tests.django.project import World


def test_a_permitted_access_is_recorded_before_the_view_runs(client: Client, world: World) -> None:
    person = someone(world, "doctor", "clinician")
    world.relations.facts.add(("care_team", person.id, "p1"))
    signed_in(client, person)
    world.events.clear()
    assert client.get("/records/p1").content == b"record of p1"
    (event,) = world.events
    assert (event.name, event.outcome, event.subjects) == ("record.read", "success", ("p1",))
    assert (event.actor.id, event.actor.role, event.purpose) == (person.id, "clinician", "TREAT")
    assert event.source.address == "127.0.0.1"


def test_a_refusal_is_a_403_and_is_recorded(client: Client, world: World) -> None:
    person = someone(world, "doctor", "clinician")
    signed_in(client, person)
    world.events.clear()
    refused = client.get("/records/p2")
    assert refused.status_code == 403
    assert b"p2" not in refused.content
    assert b"grant" not in refused.content
    (event,) = world.events
    assert (event.name, event.outcome, event.reason) == ("access.denied", "denied", "no_grant")
    assert event.actor.id == person.id
    # a role that was taken away, or a care team that was left, counts at once
    world.relations.facts.add(("care_team", person.id, "p2"))
    assert client.get("/records/p2").status_code == 200
    world.portal.stores.assignments.revoke(person.id, "clinician")
    assert client.get("/records/p2").status_code == 403


def test_without_a_session_nothing_is_decided(client: Client, world: World) -> None:
    assert client.get("/records/p1").status_code == 401
    assert world.events == []


def test_an_access_that_cannot_be_recorded_does_not_happen(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = someone(world, "doctor", "clinician")
    world.relations.facts.add(("care_team", person.id, "p1"))
    signed_in(client, person)

    def unavailable(event: object) -> None:
        raise AuditUnavailable("no disk")

    monkeypatch.setattr(type(world.events), "__call__", lambda self, event: unavailable(event))
    response = client.get("/records/p1")
    assert response.status_code == 503
    assert b"record of" not in response.content
    assert client.get("/records/p1/amend").status_code == 503
    assert not Group.objects.exists()


def test_an_async_view_is_guarded_too(world: World) -> None:
    person = someone(world, "doctor", "clinician")
    world.relations.facts.add(("care_team", person.id, "p1"))
    browser = Client(headers={"host": "portal.example"})
    key = signed_in(browser, person)

    async def ask(path: str, cookie: str) -> tuple[int, bytes]:
        client = AsyncClient(headers={"host": "portal.example"})
        client.cookies[SESSION_COOKIE] = cookie
        response = await client.get(path)
        return response.status_code, response.content

    assert async_to_sync(ask)("/records/p1/async", key) == (200, b"record of p1")
    assert async_to_sync(ask)("/records/p2/async", key)[0] == 403
    assert async_to_sync(ask)("/records/p1/async", "x" * 43)[0] == 401


ROLES = ["patient", "clinician", "officer"]
RELATIONS = ["own", "care_team", None]
PERMISSIONS = ["record:read", "record:amend", "audit:read"]


@pytest.mark.parametrize("role", [*ROLES, None])
@pytest.mark.parametrize("relation", RELATIONS)
def test_has_perm_equals_the_policy(world: World, role: str | None, relation: str | None) -> None:
    person = someone(world, "someone", *([role] if role else []))
    if relation:
        world.relations.facts.add((relation, person.id, "p1"))
    user = get_user_model().objects.get(username="someone")
    subject = Subject(id=person.id, roles=frozenset({role} if role else ()))
    seen = set()
    for permission in PERMISSIONS:
        kind, action = permission.split(":")
        for target in (Resource(type=kind, id="p1", attributes={"patient_id": "p1"}), None):
            expected = world.portal.pdp.decide(
                subject, action, target or Resource(type=kind), Context(now=world.clock())
            ).allowed
            seen.add(expected)
            assert user.has_perm(permission, target) is expected
            assert user.has_perm(permission.replace(":", "."), target) is expected
    if role == "officer":
        assert seen == {True, False}


class Chart:
    def __init__(self, patient_id: str) -> None:
        self.patient_id = patient_id

    def portalsec_resource(self) -> Resource:
        return Resource(type="record", id=self.patient_id, attributes={"patient_id": self.patient_id})


def test_has_perm_takes_objects_that_name_themselves(client: Client, world: World) -> None:
    person = someone(world, "doctor", "clinician")
    world.relations.facts.add(("care_team", person.id, "p1"))
    user = get_user_model().objects.get(username="doctor")
    assert user.has_perm("record:read", Chart("p1"))
    assert not user.has_perm("record:read", Chart("p2"))
    assert not user.has_perm("audit:read", Chart("p1"))
    assert not user.has_perm("record:read", object())
    signed_in(client, person)
    assert client.get("/records/p1/may").json() == {"may": True}
    assert client.get("/records/p2/may").json() == {"may": False}


def test_auz_05_what_the_policy_does_not_know_is_refused(world: World) -> None:
    someone(world, "doctor", "clinician", "officer")
    user = get_user_model().objects.get(username="doctor")
    for permission in ("record:raed", "recrod:read", "record", "", ":", "record:", "auth.add_user"):
        assert not user.has_perm(permission)
    assert user.has_module_perms("audit")
    assert not user.has_module_perms("auth")


def test_nobody_and_the_disabled_have_no_permission(world: World) -> None:
    assert not AnonymousUser().has_perm("audit:read")
    someone(world, "officer", "officer")
    users = get_user_model().objects
    assert users.get(username="officer").has_perm("audit:read")
    users.update(is_active=False)
    assert not users.get(username="officer").has_perm("audit:read")


def test_a_later_backend_cannot_grant_what_the_policy_refuses(world: World, settings: Any) -> None:
    settings.AUTHENTICATION_BACKENDS = [
        "portalsec.django.backends.PolicyBackend",
        "tests.django.test_access.Generous",
    ]
    someone(world, "doctor")
    user = get_user_model().objects.get(username="doctor")
    assert not user.has_perm("audit:read")
    assert user.has_perm("auth.add_user")


class Generous(PolicyBackend):
    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        return True


def test_the_backend_signs_nobody_in(world: World) -> None:
    from django.contrib.auth import authenticate

    someone(world, "doctor")
    assert authenticate(username="doctor", password="lantern orbit velvet cactus") is None
    assert PolicyBackend().get_user(1) is None


@pytest.mark.parametrize("forged", ["203.0.113.9", "203.0.113.9, 198.51.100.1", "garbage", "::1\x00"])
def test_loc_03_a_forged_forwarding_header_is_not_believed(client: Client, world: World, forged: str) -> None:
    person = someone(world)
    client.post(
        "/sign-in",
        {"login": person.login, "password": "wrong wrong wrong"},
        headers={"x-forwarded-for": forged, "user-agent": "a\x1b[31m" + "b" * 1000},
    )
    event = world.events.last
    assert event.name == "auth.login_failed"
    assert event.source.address == "127.0.0.1"
    # ATK-39: nothing of a header moves the cursor of whoever reads the log
    assert event.source.user_agent == "a[31m" + "b" * 251


def _record(request: HttpRequest, patient_id: str) -> Resource:
    return Resource(type="record", id=patient_id, attributes={"patient_id": patient_id})


_reads = require("record:read", resource=_record, purpose=Purpose.TREAT)


def _polled(request: HttpRequest, patient_id: str) -> HttpResponse:
    return HttpResponse("0 new")


async def _polled_async(request: HttpRequest, patient_id: str) -> HttpResponse:
    return HttpResponse("0 new")


@method_decorator(passive, name="dispatch")
class _PolledClass(View):
    @method_decorator(_reads)
    def get(self, request: HttpRequest, patient_id: str) -> HttpResponse:
        return HttpResponse("0 new")


_factor = require_factor(within=timedelta(hours=2), explicit=False)
POLLED: dict[str, Any] = {
    "active": _reads(_polled),
    "outside": passive(_reads(_polled)),
    "async": passive(_reads(_polled_async)),
    "inside": _factor(passive(_reads(_polled))),
    "class": _PolledClass.as_view(),
}


@pytest.mark.parametrize("how", POLLED)
def test_ses_05_a_view_that_a_page_asks_in_the_background_keeps_no_session_alive(
    world: World, settings: Any, how: str
) -> None:
    doctor = someone(world, "olivia", "clinician")
    world.relations.facts.add(("care_team", doctor.id, "p1"))

    class Urls:
        urlpatterns = [path("poll/<str:patient_id>", POLLED[how]), *urls.urlpatterns]

    settings.ROOT_URLCONF = Urls
    client = Client(headers={"host": "portal.example"})
    signed_in(client, doctor)
    assert client.get("/poll/p1").status_code == 200
    for _ in range(3):
        world.clock.advance(world.portal.policies.sessions.idle * 0.4)
        status = client.get("/poll/p1").status_code
    assert status == (200 if how == "active" else 401)
