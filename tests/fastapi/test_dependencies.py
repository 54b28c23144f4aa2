"""The portal as dependencies: one hop, recorded before anything is shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import Depends
from starlette.requests import Request

from portalsec.errors import Reason
from portalsec.events import Outcome, Purpose
from portalsec.fastapi import Portalsec
from portalsec.rbac.model import Resource
from portalsec.testing.portal import memory_portal
from portalsec.web import PENDING_COOKIE, SESSION_COOKIE
from tests.fastapi.support import POLICY, Site


def request_with(*headers: tuple[str, str], peer: str | None = "198.51.100.7") -> Request:
    return Request(
        {
            "type": "http",
            "method": "GET",
            "path": "/",
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
            "client": (peer, 1234) if peer else None,
        }
    )


def counted_hops(site: Site, monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], Any]]:
    """The hops that are made from now on."""
    hops: list[Callable[[], Any]] = []
    original = site.ps.lanes.offload

    async def counting(operation: Callable[[], Any]) -> Any:
        hops.append(operation)
        return await original(operation)

    monkeypatch.setattr(site.ps.lanes, "offload", counting)
    return hops


def test_source_believes_no_header_without_a_declared_proxy(site: Site) -> None:
    source = site.ps.source(request_with(("x-forwarded-for", "203.0.113.9")))
    assert source.address == "198.51.100.7"


def test_loc_03_source_takes_the_address_that_the_nearest_proxy_saw() -> None:
    from dataclasses import replace

    portal = replace(memory_portal(POLICY), proxy_hops=1)
    request = request_with(
        ("x-forwarded-for", "203.0.113.9"), ("x-forwarded-for", "garbage, 192.0.2.44"), peer="10.0.0.1"
    )
    assert Portalsec(portal).source(request).address == "192.0.2.44"


def test_source_of_a_request_without_a_peer(site: Site) -> None:
    assert site.ps.source(request_with(peer=None)).address is None


def test_atk_39_a_user_agent_cannot_break_a_line(site: Site) -> None:
    source = site.ps.source(request_with(("user-agent", "x\x1b[31m\x7f" + "y" * 1000)))
    assert source.user_agent is not None
    assert source.user_agent.isprintable()
    assert len(source.user_agent) == 256


def test_a_request_has_one_id_however_often_it_is_asked(site: Site) -> None:
    request = request_with()
    assert site.ps.source(request).request_id == site.ps.source(request).request_id is not None


def test_an_allowed_access_is_recorded_with_who_whose_and_why(site: Site) -> None:
    doctor = site.account("doctor", "clinician")
    site.relations.facts.add(("care_team", doctor, "p1"))
    client = site.client()
    site.sign_in(client, "doctor")
    site.events.clear()
    answer = client.get("/records/p1")
    assert (answer.status_code, answer.text) == (200, f"record p1 of {doctor}")
    (event,) = site.events
    assert (event.name, event.outcome, event.actor.id) == ("record.read", Outcome.SUCCESS, doctor)
    assert (event.subjects, event.purpose, event.rule) == (("p1",), Purpose.TREAT, "own-patients")


def test_a_refused_access_is_recorded_and_says_nothing(site: Site) -> None:
    doctor = site.account("doctor", "clinician")
    site.relations.facts.add(("care_team", doctor, "p1"))
    client = site.client()
    site.sign_in(client, "doctor")
    site.events.clear()
    answer = client.get("/records/p2")
    assert answer.status_code == 403
    assert answer.text.startswith("refused 403")
    (event,) = site.events
    assert (event.name, event.outcome, event.reason) == ("access.denied", Outcome.DENIED, Reason.NO_GRANT)
    assert event.subjects == ("p2",)


def test_who_left_the_care_team_is_out_at_the_next_request(site: Site) -> None:
    doctor = site.account("doctor", "clinician")
    site.relations.facts.add(("care_team", doctor, "p1"))
    client = site.client()
    site.sign_in(client, "doctor")
    assert client.get("/records/p1").status_code == 200
    site.relations.facts.clear()
    assert client.get("/records/p1").status_code == 403


def test_without_a_session_there_is_no_access_and_no_hint(site: Site) -> None:
    answer = site.client().get("/records/p1")
    assert answer.status_code == 401


def test_session_decision_and_record_are_one_hop(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    doctor = site.account("doctor", "clinician")
    site.relations.facts.add(("care_team", doctor, "p1"))
    client = site.client()
    site.sign_in(client, "doctor")
    hops = counted_hops(site, monkeypatch)
    assert client.get("/records/p1").status_code == 200
    assert len(hops) == 1


SHADOWED = [
    "{}={good}; {}=tossed",
    "{}={good}; \xa0{}=tossed",
    "\xe2\x80\x80{}={good}",
    "\x85{}={good}",
    "__host-{rest}={good}",
]


@pytest.mark.parametrize("shape", SHADOWED)
def test_atk_37_a_session_cookie_that_was_tossed_in_is_refused_and_recorded_in_one_hop(
    site: Site, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    doctor = site.account("doctor", "clinician")
    site.relations.facts.add(("care_team", doctor, "p1"))
    client = site.client()
    site.sign_in(client, "doctor")
    good = client.cookies[SESSION_COOKIE]
    tossed = shape.replace("{}", SESSION_COOKIE).format(
        good=good, rest=SESSION_COOKIE.removeprefix("__Host-")
    )
    hops = counted_hops(site, monkeypatch)
    for method, path in (
        ("GET", "/whoami"),
        ("GET", "/records/p1"),
        ("GET", "/maybe"),
        ("GET", "/session/left"),
        ("POST", "/session/stay"),
        ("POST", "/sign-out"),
        ("POST", "/sign-in"),
    ):
        site.events.clear()
        hops.clear()
        answer = site.client().request(method, path, headers={"Cookie": tossed}, same_site=True)
        assert answer.status_code == 401, path
        assert answer.set_cookies() == {}, path
        (event,) = site.events
        assert (event.name, event.outcome, event.reason, event.actor.id) == (
            "auth.session_refused",
            Outcome.DENIED,
            Reason.SESSION_DUPLICATE_COOKIE,
            None,
        )
        assert event.source.address == "198.51.100.7"
        assert len(hops) == 1, path
    assert client.get("/whoami").status_code == 200  # whoever's session it is goes on


def test_atk_37_a_pending_cookie_that_was_tossed_in_is_refused_and_recorded(site: Site) -> None:
    cookies = f"{PENDING_COOKIE}=a; \xa0{PENDING_COOKIE}=b"
    for method, path in (
        ("GET", "/sign-in/code"),
        ("POST", "/sign-in/code"),
        ("GET", "/sign-in/set-up"),
        ("POST", "/sign-in/set-up"),
        ("POST", "/sign-in/set-up/confirm"),
        ("POST", "/sign-in"),
        ("POST", "/sign-out"),
    ):
        site.events.clear()
        answer = site.client().request(method, path, headers={"Cookie": cookies}, same_site=True)
        assert answer.status_code == 401, path
        (event,) = site.events
        assert (event.name, event.reason) == ("auth.session_refused", Reason.SESSION_DUPLICATE_COOKIE)


@pytest.mark.parametrize("route", ["session", "require"])
@pytest.mark.parametrize("passive", [True, False], ids=["passive", "active"])
def test_ses_05_a_route_that_a_page_asks_in_the_background_keeps_no_session_alive(
    site: Site, route: str, passive: bool
) -> None:
    doctor = site.account("doctor", "clinician")
    site.relations.facts.add(("care_team", doctor, "p1"))
    ps = site.ps
    asked: Any = ps.passive_session if passive else ps.session
    if route == "require":
        target = Resource(type="record", id="p1", attributes={"patient_id": "p1"})
        asked = ps.require("record:read", resource=target, purpose=Purpose.TREAT, passive=passive)
    site.app.add_api_route("/poll", lambda: {"new": 0}, dependencies=[Depends(asked)])
    client = site.client()
    site.sign_in(client, "doctor")
    assert client.get("/poll").status_code == 200
    idle = ps.portal.policies.sessions.idle
    for _ in range(3):
        site.clock.advance(idle * 0.4)
        status = client.get("/poll").status_code
    assert status == (401 if passive else 200)
