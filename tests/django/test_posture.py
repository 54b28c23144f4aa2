"""What an app says of its device, and where an address is, over this adapter."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from portalsec.auth.attempt import SignInAttempt
from portalsec.auth.demands import Demand, DemandRule
from portalsec.auth.device_rules import DeviceRule
from portalsec.auth.posture import POSTURE_HEADER
from portalsec.auth.signin import SignInPolicy
from tests.django import project
from tests.django.browser import PASSWORD, Someone, cookie, password_step, pending, signed_in, someone

ACCESS = {
    **project.POLICY,
    "context": {"attributes": {"device_rooted": "bool"}},
    "grant": [
        {
            "id": "care-team",
            "role": "clinician",
            "to": ["record:read", "record:amend"],
            "when": "care_team and not context.device_rooted",
        },
        *project.POLICY["grant"][2:],
    ],
}
KEY = Demand(phishing_resistant=True)
RULES = (
    DemandRule(demand=KEY, device=DeviceRule(app_below="3")),
    DemandRule(demand=KEY, labels=frozenset({"abroad"})),
)
NONSENSE = [
    "ios",
    "[" * 400,
    '{"platform": "\xf8"}',
    '{"platform": "ios", "level": 3}',
    '{"platform": "' + "x" * 4000,
]


def risk_of(attempt: SignInAttempt) -> frozenset[str]:
    return frozenset({"abroad"} if attempt.source.address == "203.0.113.9" else ())


@pytest.fixture
def world(database: None) -> Iterator[project.World]:
    project.current = project.World(
        access=ACCESS,
        sign_in=SignInPolicy(rules=RULES),
        risk_of=risk_of,
        place_of=lambda source: "Oslo, Norway" if source.address == "127.0.0.1" else None,
    )
    yield project.current
    project.current = None


@pytest.fixture
def person(world: project.World) -> Someone:
    made = someone(world, "olivia", "clinician")
    world.relations.facts.add(("care_team", made.id, "p1"))
    return made


def browser(*, address: str = "127.0.0.1", **claim: Any) -> Client:
    """One that says this with every request."""
    headers = {"host": "portal.example"}
    if claim:
        headers[POSTURE_HEADER] = json.dumps({"platform": "ios", "app_version": "3.2", **claim})
    return Client(headers=headers, REMOTE_ADDR=address)


def test_what_the_app_said_opens_a_record_or_does_not(world: project.World, person: Someone) -> None:
    for rooted, status in ((False, 200), (True, 403), (None, 403)):
        client = browser(rooted=rooted)
        signed_in(client, person)
        assert client.get("/records/p1").status_code == status
        world.later(seconds=30)


def test_the_policy_asks_more_of_an_old_app_and_from_abroad(world: project.World, person: Someone) -> None:
    for client, status in (
        (browser(rooted=False), 303),
        (browser(app_version="2.9"), 401),
        (browser(address="203.0.113.9"), 401),
    ):
        assert password_step(client, person).status_code == 303
        # Of somebody without a passkey nothing leads on behind the code.
        assert client.post("/sign-in/code", {"code": person.code()}).status_code == status
        assert bool(cookie(client)) is (status == 303)
        world.later(seconds=30)


def test_nonsense_is_a_400_wherever_a_sign_in_reads_it(world: project.World, person: Someone) -> None:
    for text in NONSENSE:
        client, said = browser(), {POSTURE_HEADER: text}
        answer = client.post("/sign-in", {"login": person.login, "password": PASSWORD}, headers=said)
        assert (answer.status_code, pending(client)) == (400, "")
        assert password_step(client, person).status_code == 303
        code = {"code": person.code()}
        assert client.post("/sign-in/code", code, headers=said).status_code == 400
        assert client.post("/sign-in/code", code).status_code == 303  # it cost nothing
        world.later(seconds=30)
        for fields in ({"code": person.code()}, {"current": PASSWORD}):
            assert client.post("/account/step-up", fields, headers=said).status_code == 400
        assert client.get("/whoami", headers=said).json()["user"] == person.login  # and nobody else reads it


def test_the_owners_list_names_the_place_of_each_session(world: project.World, person: Someone) -> None:
    client = browser()
    signed_in(client, person)
    assert "Oslo, Norway" in client.get("/account/sessions").content.decode()
