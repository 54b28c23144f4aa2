"""The policy that both example portals share, as a whole: every role against every permission and situation."""

from __future__ import annotations

import itertools
import tomllib
from dataclasses import replace

import pytest

from portalsec.errors import Reason
from portalsec.events import Vocabulary
from portalsec.rbac import PDP, Policy, Request, Resource, Subject, decide, load_policy
from tests.support import ROOT

ROLES = ("patient", "proxy", "clinician", "front_desk", "privacy_officer", "patient_support")
RELATIONS = ("self", "guardian", "care_team")

# role -> permission -> the relation it needs ("" for none). What is not here is refused.
MATRIX: dict[str, dict[str, str]] = {
    "patient": {"record:read": "self", "record:report": "self"},
    "proxy": {"record:read": "guardian", "record:report": "guardian", "record:list": ""},
    "clinician": {"record:read": "care_team", "record:list": ""},
    "front_desk": {
        "patient:search": "",
        "patient:invite": "",
        "support:find": "",
        "support:ask": "",
        "support:approve": "",
    },
    "privacy_officer": {
        "audit:read": "",
        "audit:verify": "",
        "erasure:find": "",
        "erasure:confirm": "",
        "erasure:erase": "",
        "incident:read": "",
        "incident:close": "",
    },
    "patient_support": {"support:act": ""},
}


@pytest.fixture(scope="module")
def policy() -> Policy:
    path = ROOT / "examples" / "policy.toml"
    return load_policy(tomllib.loads(path.read_text("utf-8")), source="examples/policy.toml")


def ask(
    policy: Policy, roles: set[str], permission: str, relations: tuple[str, ...], **attributes: object
) -> Request:
    return Request(
        subject=Subject(id="someone", roles=frozenset(roles)),
        action=permission,
        resource=Resource(type=permission.partition(":")[0], id="x", attributes=attributes),
        relations=frozenset(relations),
    )


def test_the_policy_knows_what_the_matrix_knows(policy: Policy) -> None:
    assert policy.roles == set(ROLES)
    assert policy.relations == set(RELATIONS)
    assert policy.permissions == {permission for row in MATRIX.values() for permission in row}


def test_every_action_has_an_event_of_the_vocabulary(policy: Policy) -> None:
    vocabulary = Vocabulary()
    # Accounts.invite records the invitation itself, SubjectKeys.shred the erasure, Incidents, SupportDesk and
    # Impersonation what they do: a second event would count twice.
    by_themselves = {
        "patient:invite",
        "erasure:erase",
        "incident:close",
        "support:ask",
        "support:approve",
        "support:act",
    }
    for permission in policy.permissions - by_themselves:
        kind, _, action = permission.partition(":")
        assert policy.table[kind][action].event in vocabulary
    assert policy.event_names == {
        "record.read",
        "record.listed",
        "record.searched",
        "subject.report_viewed",
        "audit.queried",
        "audit.verified",
    }


@pytest.mark.parametrize("role", [*ROLES, "nobody"])
def test_the_whole_matrix_under_every_set_of_relations(policy: Policy, role: str) -> None:
    for permission in sorted(policy.permissions):
        needed = MATRIX.get(role, {}).get(permission)
        for size in range(len(RELATIONS) + 1):
            for relations in itertools.combinations(RELATIONS, size):
                decision = decide(
                    policy, ask(policy, {role}, permission, relations, patient_id="p", sealed=False)
                )
                expected = needed is not None and (needed == "" or needed in relations)
                assert decision.allowed is expected, (role, permission, relations, decision.explanation)


def test_no_roles_at_all_may_do_nothing(policy: Policy) -> None:
    for permission in policy.permissions:
        assert not decide(policy, ask(policy, set(), permission, RELATIONS, sealed=False)).allowed


@pytest.mark.parametrize("role", ROLES)
def test_a_sealed_record_is_for_the_patient_alone(policy: Policy, role: str) -> None:
    others = ask(policy, {role}, "record:read", ("guardian", "care_team"), patient_id="p", sealed=True)
    assert decide(policy, others).reason is Reason.EXPLICIT_DENY
    assert decide(policy, others).rule == "sealed-record"
    own = ask(policy, {role}, "record:read", ("self",), patient_id="p", sealed=True)
    assert decide(policy, own).allowed is (role == "patient")


@pytest.mark.parametrize(
    ("sealed", "impersonated", "allowed"), [(True, True, False), (True, False, True), (False, True, True)]
)
def test_a_sealed_record_is_not_for_support_in_the_patients_name(
    policy: Policy, sealed: bool, impersonated: bool, allowed: bool
) -> None:
    asked = ask(policy, {"patient"}, "record:read", ("self",), patient_id="p", sealed=sealed)
    asked = replace(asked, context=replace(asked.context, attributes={"impersonated": impersonated}))
    assert decide(policy, asked).allowed is allowed


def test_a_page_that_does_not_say_whether_the_record_is_sealed_is_refused(policy: Policy) -> None:
    forgot = ask(policy, {"clinician"}, "record:read", ("care_team",), patient_id="p")
    assert decide(policy, forgot).reason is Reason.CONDITION_ERROR
    own = ask(policy, {"patient"}, "record:read", ("self",), patient_id="p")
    assert decide(policy, own).allowed


def test_two_roles_add_up_and_no_more(policy: Policy) -> None:
    for pair in itertools.combinations(ROLES, 2):
        for permission in policy.permissions:
            wanted = [MATRIX[role][permission] for role in pair if permission in MATRIX[role]]
            decision = decide(policy, ask(policy, set(pair), permission, ("care_team",), sealed=False))
            assert decision.allowed is any(need in ("", "care_team") for need in wanted)


def test_a_patient_who_is_also_a_clinician_does_not_read_a_stranger(policy: Policy) -> None:
    request = ask(policy, {"patient", "clinician"}, "record:read", (), patient_id="p", sealed=False)
    assert decide(policy, request).reason is Reason.NO_GRANT


def test_whose_data_it_is_goes_with_the_decision(policy: Policy) -> None:
    read = decide(
        policy, ask(policy, {"clinician"}, "record:read", ("care_team",), patient_id="p7", sealed=False)
    )
    assert (read.event, read.subjects) == ("record.read", ("p7",))
    search = decide(policy, ask(policy, {"front_desk"}, "patient:search", (), patient_id=["p2", "p1"]))
    assert (search.event, search.subjects) == ("record.searched", ("p1", "p2"))
    invite = decide(policy, ask(policy, {"front_desk"}, "patient:invite", (), patient_id="p"))
    assert (invite.event, invite.subjects) == (None, ("p",))


class _Recording:
    def __init__(self, *hold: str) -> None:
        self.hold, self.asked = hold, []

    def holds(self, relation: str, subject: Subject, resource: Resource) -> bool:
        self.asked.append(relation)
        return relation in self.hold


@pytest.mark.parametrize(
    ("role", "permission", "asked"),
    [
        ("clinician", "record:read", ["care_team", "self"]),  # self for the deny on sealed records
        ("patient", "record:report", ["self"]),
        ("privacy_officer", "audit:verify", []),
        ("front_desk", "patient:search", []),
        ("front_desk", "audit:read", []),
    ],
)
def test_only_what_the_role_needs_is_looked_up(
    policy: Policy, role: str, permission: str, asked: list[str]
) -> None:
    source = _Recording("care_team")
    kind = permission.partition(":")[0]
    PDP(policy, relations=source).decide(
        Subject(id="a", roles=frozenset({role})),
        permission,
        Resource(type=kind, id="x", attributes={"patient_id": "p", "sealed": False}),
    )
    assert source.asked == asked
