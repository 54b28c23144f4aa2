"""The Django part of docs/how-to/api-clients.md, asked over HTTP by a client with a key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.django import project
from tests.django.browser import someone
from tests.django.test_dpop import App, error
from tests.docs.pages import module

ACCESS = {
    "schema": 1,
    "resource": {"record": {"actions": ["read"], "subject": "id", "events": {"read": "record.read"}}},
    "relation": {"care_team": {"of": "record"}},
    "role": {"clinician": {}},
    "grant": [{"id": "own-patients", "role": "clinician", "to": "record:read", "when": "care_team"}],
}  # as the page's policy.toml has it


@pytest.fixture
def app(database: None, settings: Any) -> Iterator[App]:
    settings.ROOT_URLCONF = module("api-clients", "# config/api.py")
    project.current = project.World(access=ACCESS)
    yield App(project.current)
    project.current = None


def test_the_page_s_django_views_know_a_client_by_its_key(app: App) -> None:
    doctor = someone(app.world, "doctor", "clinician")
    app.sign_in(doctor)
    assert app.send("GET", "/api/records/p1").status_code == 403
    app.world.relations.facts.add(("care_team", doctor.id, "p1"))
    assert app.send("GET", "/api/records/p1").json() == {"record": "p1"}
    app.world.later(minutes=1)
    assert error(app.send("POST", "/api/release")) == "insufficient_user_authentication"
    stronger = app.send("POST", "/api/step-up", {"code": doctor.code()})
    assert stronger.status_code == 200, stronger.content
    app.key.token = stronger.json()["access_token"]
    assert app.send("POST", "/api/release").json() == {"released_by": doctor.id}
    assert app.send("POST", "/api/sign-out").status_code == 200
    assert error(app.send("POST", "/api/release")) == "invalid_token"
