"""One operation a request: session, decision, audit - and nothing is let through that was not recorded."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from portalsec.audit.record import decode
from portalsec.auth.posture import DevicePosture
from portalsec.auth.signin import Step
from portalsec.errors import AuditUnavailable, ConfigurationError, Denied, Reason
from portalsec.events import Event, Purpose, SecurityEvent, Source
from portalsec.guard import Access
from portalsec.portal import Portal
from portalsec.rbac.model import Resource
from portalsec.testing import FrozenClock
from portalsec.testing.portal import RelationTable, memory_portal
from portalsec.typing import Emit
from tests.support import stable, totp_now

POLICY: dict[str, Any] = {
    "schema": 1,
    "resource": {
        "record": {
            "actions": ["read", "list", "print", "burn"],
            "attributes": {"patient_id": "str"},
            "subject": "patient_id",
            "events": {
                "read": "record.read",
                "list": "record.listed",
                "print": "record.printed",
                "burn": "none",
            },
        }
    },
    "relation": {"care_team": {"of": "record"}},
    "role": {"clinician": {}},
    "grant": [
        {"id": "own", "role": "clinician", "to": ["record:read"], "when": "care_team"},
        {"id": "all", "role": "clinician", "to": ["record:list"]},
        {"id": "noted", "role": "clinician", "to": ["record:print"], "obligations": ["stamp"]},
    ],
}
SOURCE = Source(address="203.0.113.9")
PASSWORD = "violet-anchor-mosaic-27"


class World:
    def __init__(self, policy: Any = POLICY, **more: Any) -> None:
        self.clock = FrozenClock()
        self.relations = RelationTable()
        self.stamped: list[Access] = []
        self.portal: Portal = memory_portal(
            policy,
            clock=self.clock,
            relations=self.relations,
            **{"obligations": {"stamp": self.stamped.append}, **more},
        )

    def sign_in(self, login: str = "doctor") -> tuple[str, str]:
        """Create an account, sign in with two factors; the session's token and the account's id."""
        account = self.portal.accounts.create(login=login, password=PASSWORD)
        step = self.portal.sign_in.start(login, PASSWORD, source=SOURCE)
        assert step.pending is not None
        enrolment = self.portal.sign_in.begin_totp_enrolment(step.pending.reveal(), source=SOURCE)
        code = totp_now(enrolment.secret.reveal(), self.clock())
        done: Step = self.portal.sign_in.confirm_totp_enrolment(step.pending.reveal(), code, source=SOURCE)
        assert done.session is not None
        return done.session.token.reveal(), account.id

    def records(self) -> list[Any]:
        store = self.portal.stores.audit
        return [decode(entry.body) for entry in store.read(0, store.integrate())]


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.portal.audit_writer.close()


def chart(patient: str) -> Resource:
    return Resource(type="record", id=f"chart-{patient}", attributes={"patient_id": patient})


def test_an_access_is_recorded_with_who_whose_what_and_why(world: World) -> None:
    token, account = world.sign_in()
    world.portal.stores.assignments.assign(account, "clinician")
    world.relations.facts.add(("care_team", account, "chart-p1"))
    access = world.portal.guard(token, "record:read", chart("p1"), source=SOURCE, purpose=Purpose.TREAT)
    assert access.subject.roles == {"clinician"}
    last = world.records()[-1]
    assert last.name == "record.read"
    assert last.actor.id == account
    assert last.actor.role == "clinician"
    assert last.purpose == "TREAT"
    assert last.rule == "own"
    assert last.session == access.session.reference
    assert len(last.subjects) == 1
    assert "p1" not in last.subjects[0]


def test_a_refusal_is_recorded_with_its_reason(world: World) -> None:
    token, account = world.sign_in()
    world.portal.stores.assignments.assign(account, "clinician")
    with pytest.raises(Denied) as caught:
        world.portal.guard(token, "record:read", chart("p2"), source=SOURCE, purpose=Purpose.TREAT)
    assert caught.value.reason is Reason.NO_GRANT
    last = world.records()[-1]
    assert last.name == Event.ACCESS_DENIED
    assert last.reason == "no_grant"
    assert last.details["permission"] == "record:read"
    assert last.subjects, "the person whose record it was must find the attempt in their report"


@pytest.mark.parametrize(
    "permission", ["record:reed", "recrod:read", "read", "", ":", "record:", "audit:read"]
)
def test_auz_05_a_misspelt_permission_denies_and_says_so(world: World, permission: str) -> None:
    token, account = world.sign_in()
    world.portal.stores.assignments.assign(account, "clinician")
    world.relations.facts.add(("care_team", account, "chart-p1"))
    for resource in (None, chart("p1")) if permission != "read" else (None,):
        with pytest.raises(Denied) as caught:
            world.portal.guard(token, permission, resource, source=SOURCE, purpose=Purpose.TREAT)
        assert caught.value.reason is Reason.UNKNOWN_PERMISSION
        assert world.records()[-1].reason == "unknown_permission"


def test_a_declared_action_that_no_rule_names_is_refused(world: World) -> None:
    token, account = world.sign_in()
    world.portal.stores.assignments.assign(account, "clinician")
    with pytest.raises(Denied):
        world.portal.guard(token, "record:burn", chart("p1"), source=SOURCE)


def test_a_list_names_everybody_on_it_and_an_empty_one_nobody(world: World) -> None:
    token, account = world.sign_in()
    world.portal.stores.assignments.assign(account, "clinician")
    for people in (["p1", "p2"], []):
        listed = Resource(type="record", attributes={"patient_id": people})
        world.portal.guard(token, "record:list", listed, source=SOURCE, purpose=Purpose.TREAT)
        last = world.records()[-1]
        assert last.resource is not None
        assert (last.resource.count, len(last.subjects)) == (len(people), len(people))


def test_a_role_or_relation_that_ended_is_gone_at_the_next_request(world: World) -> None:
    token, account = world.sign_in()
    world.portal.stores.assignments.assign(account, "clinician")
    fact = ("care_team", account, "chart-p1")
    world.relations.facts.add(fact)
    world.portal.guard(token, "record:read", chart("p1"), source=SOURCE, purpose=Purpose.TREAT)
    world.relations.facts.discard(fact)
    with pytest.raises(Denied):
        world.portal.guard(token, "record:read", chart("p1"), source=SOURCE, purpose=Purpose.TREAT)
    world.relations.facts.add(fact)
    world.portal.stores.assignments.revoke(account, "clinician")
    with pytest.raises(Denied):
        world.portal.guard(token, "record:read", chart("p1"), source=SOURCE, purpose=Purpose.TREAT)


def test_an_obligation_is_met_before_the_access_is_recorded(world: World) -> None:
    token, account = world.sign_in()
    world.portal.stores.assignments.assign(account, "clinician")
    access = world.portal.guard(token, "record:print", chart("p1"), source=SOURCE, purpose=Purpose.TREAT)
    assert world.stamped == [access]


def test_byp_11_a_policy_with_an_obligation_that_nothing_meets_does_not_open() -> None:
    with pytest.raises(ConfigurationError, match="stamp"):
        memory_portal(POLICY)


def test_no_session_no_decision(world: World) -> None:
    for token, reason in ((None, Reason.SESSION_MISSING), ("x", Reason.SESSION_UNKNOWN)):
        with pytest.raises(Denied) as caught:
            world.portal.guard(token, "record:read", chart("p1"), source=SOURCE)
        assert caught.value.reason is reason


def test_the_session_ends_by_the_servers_clock(world: World) -> None:
    token, account = world.sign_in()
    world.portal.stores.assignments.assign(account, "clinician")
    world.clock.advance(timedelta(minutes=15))
    with pytest.raises(Denied) as caught:
        world.portal.guard(token, "record:list", source=SOURCE, purpose=Purpose.TREAT)
    assert caught.value.reason is Reason.SESSION_IDLE
    assert world.records()[-1].name == Event.AUTH_SESSION_ENDED


def test_atk_41_what_cannot_be_recorded_does_not_happen() -> None:
    failing = {"now": False}

    def fail(emit: Emit) -> Emit:
        def wrapped(event: SecurityEvent) -> None:
            if failing["now"]:
                raise AuditUnavailable("the disk is full")
            emit(event)

        return wrapped

    world = World(wrap_emit=fail)
    token, account = world.sign_in()
    world.portal.stores.assignments.assign(account, "clinician")
    world.relations.facts.add(("care_team", account, "chart-p1"))
    failing["now"] = True
    with pytest.raises(AuditUnavailable):
        world.portal.guard(token, "record:read", chart("p1"), source=SOURCE, purpose=Purpose.TREAT)
    world.portal.audit_writer.close()


@pytest.mark.parametrize(
    "people",
    [
        [uuid.UUID(int=1)],
        ["p1", uuid.UUID(int=1)],
        uuid.UUID(int=1),
        (person for person in ["p1"]),
        {"p1": 1}.keys(),
        [""],
        [None],
        None,
        ["p1", True],
    ],
    ids=stable,
)
def test_an_access_whose_people_cannot_be_told_is_refused_and_not_recorded_as_nobody(
    world: World, people: object
) -> None:
    token, account = world.sign_in()
    world.portal.stores.assignments.assign(account, "clinician")
    for attributes in ({"patient_id": people}, {}):
        listed = Resource(type="record", attributes=attributes)
        with pytest.raises(Denied) as caught:
            world.portal.guard(token, "record:list", listed, source=SOURCE, purpose=Purpose.TREAT)
        assert caught.value.reason is Reason.CONDITION_ERROR
        assert world.records()[-1].name == Event.ACCESS_DENIED


def test_an_action_on_peoples_data_without_an_event_is_a_mistake_in_the_policy() -> None:
    resource = POLICY["resource"]["record"]
    events = {name: event for name, event in resource["events"].items() if name != "print"}
    with pytest.raises(ConfigurationError, match="'print' is missing"):
        memory_portal({**POLICY, "resource": {"record": {**resource, "events": events}}})


def test_an_obligation_that_fails_refuses_and_is_recorded() -> None:
    def fail(access: Access) -> None:
        raise RuntimeError("the printer is on fire")

    world = World(obligations={"stamp": fail})
    token, account = world.sign_in()
    world.portal.stores.assignments.assign(account, "clinician")
    with pytest.raises(Denied) as caught:
        world.portal.guard(token, "record:print", chart("p1"), source=SOURCE, purpose=Purpose.TREAT)
    assert caught.value.reason is Reason.OBLIGATION_UNMET
    assert world.records()[-1].reason == "obligation_unmet"
    world.portal.audit_writer.close()


def test_conditions_may_ask_about_the_session_and_no_caller_answers_for_it() -> None:
    policy = {
        **POLICY,
        "context": {"attributes": {"session_level": "int", "device_rooted": "bool"}},
        "grant": [
            {
                "id": "own",
                "role": "clinician",
                "to": ["record:read"],
                "when": "context.session_level >= 2 and not context.device_rooted",
            },
            *POLICY["grant"][1:],
        ],
    }
    world = World(policy=policy)
    try:
        token, account = world.sign_in()
        world.portal.stores.assignments.assign(account, "clinician")
        session = world.portal.guard.session(token, source=SOURCE)
        for rooted, allowed in ((False, True), (True, False), (None, False)):
            posture = DevicePosture(at=world.clock(), platform="ios", rooted=rooted)
            held = replace(session, record=replace(session.record, posture=posture))
            told = (
                {"device_rooted": False, "session_level": 3} if rooted else None
            )  # the caller says otherwise
            with nullcontext() if allowed else pytest.raises(Denied):
                world.portal.guard.authorise(
                    held, "record:read", chart("p1"), source=SOURCE, purpose=Purpose.TREAT, attributes=told
                )
        with pytest.raises(Denied):
            weak = replace(held, record=replace(held.record, level=1, posture=None))
            world.portal.guard.authorise(
                weak,
                "record:read",
                chart("p1"),
                source=SOURCE,
                attributes={"session_level": 3, "device_rooted": False},
            )
    finally:
        world.portal.audit_writer.close()


def test_auz_04_what_support_does_in_an_owners_name_is_recorded_as_theirs() -> None:
    world = World(may_impersonate=lambda staff, account_id: True)
    try:
        token, owner = world.sign_in()
        world.clock.advance(timedelta(minutes=1))
        staff_token, staff = world.sign_in("helpdesk")
        world.portal.stores.assignments.assign(owner, "clinician")
        world.relations.facts.add(("care_team", owner, "chart-p1"))
        mine = world.portal.guard.session(staff_token, source=SOURCE)
        acting = world.portal.impersonation.start(mine, owner, reason="ticket-4711", source=SOURCE)
        world.portal.guard(
            acting.token.reveal(), "record:read", chart("p1"), source=SOURCE, purpose=Purpose.TREAT
        )
        last = world.records()[-1]
        assert (last.name, last.actor.id) == ("record.read", staff)
        assert last.actor.on_behalf_of not in (None, staff)  # the owner, as the log names people
        world.portal.guard.session(token, source=SOURCE)
    finally:
        world.portal.audit_writer.close()


@pytest.mark.parametrize("passive", [True, False])
def test_ses_05_a_call_that_is_marked_passive_keeps_no_session_alive(world: World, passive: bool) -> None:
    token, account = world.sign_in()
    world.portal.stores.assignments.assign(account, "clinician")

    def asked() -> Access:
        listed = Resource(type="record", attributes={"patient_id": "p1"})
        return world.portal.guard(
            token, "record:list", listed, source=SOURCE, purpose=Purpose.TREAT, passive=passive
        )

    for _ in range(2):
        world.clock.advance(world.portal.policies.sessions.idle * 0.4)
        asked()
    world.clock.advance(world.portal.policies.sessions.idle * 0.4)
    if passive:
        with pytest.raises(Denied) as caught:
            asked()
        assert caught.value.reason is Reason.SESSION_IDLE
    else:
        asked()
