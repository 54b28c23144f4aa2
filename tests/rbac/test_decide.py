"""`decide`: what holds for every policy and request, and the shape of the answer."""

from __future__ import annotations

import importlib
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.errors import Reason
from portalsec.rbac import Request, Resource, Subject, decide, load_policy, needed_relations
from tests.rbac import support
from tests.rbac.support import policies, requests


@given(policies(), st.lists(requests(), min_size=1, max_size=5))
def test_decide_equals_the_naive_model(policy: dict[str, Any], asked: list[Request]) -> None:
    compiled = support.load(policy)
    for request in asked:
        assert decide(compiled, request).allowed == support.naive_decide(policy, request)


@given(policies(), requests(), support.permissions, st.none() | support.conditions, st.booleans())
def test_adding_a_deny_never_widens(
    policy: dict[str, Any], request_: Request, to: list[str], tree: Any, everyone: bool
) -> None:
    deny = {"id": "another", "to": to, "tree": tree} | ({} if everyone else {"role": ["r0"]})
    before = decide(support.load(policy), request_)
    after = decide(support.load({**policy, "deny": [*policy["deny"], deny]}), request_)
    assert after.allowed <= before.allowed


@given(policies(), requests(), support.permissions, st.none() | support.conditions)
def test_adding_a_grant_never_narrows(
    policy: dict[str, Any], request_: Request, to: list[str], tree: Any
) -> None:
    grant = {"id": "another", "role": ["r1"], "to": to, "tree": tree}
    before = decide(support.load(policy), request_)
    after = decide(support.load({**policy, "grant": [*policy["grant"], grant]}), request_)
    assert after.allowed >= before.allowed


@given(policies(), requests(), st.randoms(use_true_random=False))
def test_the_order_of_rules_says_nothing(
    policy: dict[str, Any], request_: Request, rng: random.Random
) -> None:
    shuffled: dict[str, Any] = {}
    for key, value in policy.items():
        items = list(value.items()) if isinstance(value, dict) else list(value)
        rng.shuffle(items)
        shuffled[key] = dict(items) if isinstance(value, dict) else items
    one, two = support.load(policy), support.load(shuffled)
    # The whole answer: rule, explanation, obligations and version, not only yes or no.
    assert decide(one, request_) == decide(two, request_)


@given(policies(), requests())
def test_fewer_relations_known_never_widens(policy: dict[str, Any], request_: Request) -> None:
    known = support.load(policy)
    blind = Request(
        subject=request_.subject,
        action=request_.action,
        resource=request_.resource,
        unresolved=frozenset(support.RELATIONS),
    )
    assert decide(known, blind).allowed <= decide(known, request_).allowed


@given(policies(), requests())
def test_only_needed_relations_matter(policy: dict[str, Any], request_: Request) -> None:
    compiled = support.load(policy)
    needed = needed_relations(compiled, request_)
    others = frozenset(support.RELATIONS) - needed
    noisy = Request(
        subject=request_.subject,
        action=request_.action,
        resource=request_.resource,
        relations=request_.relations | others,
        unresolved=request_.unresolved - others,
    )
    assert decide(compiled, noisy) == decide(compiled, request_)


@given(policies(), requests())
def test_every_answer_says_why(policy: dict[str, Any], request_: Request) -> None:
    decision = decide(support.load(policy), request_)
    assert (decision.reason is None) == decision.allowed
    assert decision.explanation
    assert decision.rule is not None or decision.reason in (Reason.NO_GRANT, Reason.UNKNOWN_PERMISSION)
    ids = {rule["id"] for rule in (*policy["grant"], *policy["deny"])}
    assert decision.rule is None or decision.rule in ids


def _policy(**more: Any) -> dict[str, Any]:
    return {
        "schema": 1,
        "resource": {
            "record": {
                "actions": ["read", "amend"],
                "attributes": {"patient_id": "str", "sealed": "bool", "status": "str"},
                "subject": "patient_id",
                "events": {"read": "record.read", "amend": "none"},
            }
        },
        "relation": {"care_team": {"of": "record"}},
        "role": {"staff": {}, "clinician": {"inherits": ["staff"]}},
        **more,
    }


def _request(
    *roles: str, action: str = "read", relations: tuple[str, ...] = (), **attributes: Any
) -> Request:
    return Request(
        subject=Subject(id="dr-a", roles=frozenset(roles)),
        action=action,
        resource=Resource(type="record", id="r1", attributes=attributes),
        relations=frozenset(relations),
    )


def test_an_empty_policy_refuses() -> None:
    decision = decide(load_policy(_policy()), _request("clinician"))
    assert (decision.allowed, decision.reason, decision.rule) == (False, Reason.NO_GRANT, None)


def test_an_allowed_decision_carries_rule_event_people_obligations_and_version() -> None:
    policy = load_policy(
        _policy(
            grant=[
                {"id": "b", "role": "staff", "to": "record:*", "obligations": ["audit:phi", "notify:owner"]},
                {"id": "a", "role": "clinician", "to": "record:read", "obligations": ["audit:phi"]},
            ]
        )
    )
    decision = decide(policy, _request("clinician", patient_id="p1"))
    assert decision.allowed
    assert decision.rule == "a"
    assert decision.obligations == ("audit:phi", "notify:owner")  # of both grants, whichever decided
    assert decision.event == "record.read"
    assert decision.subjects == ("p1",)
    assert decision.policy_version == policy.version
    assert decision.explanation == ("allowed by grant a", "grant a: applies", "grant b: applies")


def test_a_refusal_still_says_whose_data_it_was() -> None:
    decision = decide(load_policy(_policy()), _request("clinician", patient_id="p1"))
    assert decision.subjects == ("p1",)
    assert decision.event == "record.read"


def test_a_list_of_people_is_accounted_for_one_by_one() -> None:
    decision = decide(load_policy(_policy()), _request("clinician", patient_id=["p2", "p1", "p2"]))
    assert decision.subjects == ("p1", "p2")


def test_a_deny_on_a_junior_role_meets_its_seniors() -> None:
    policy = load_policy(
        _policy(
            grant=[{"id": "g", "role": "clinician", "to": "record:read"}],
            deny=[{"id": "d", "role": "staff", "to": "record:read"}],
        )
    )
    decision = decide(policy, _request("clinician"))
    assert (decision.reason, decision.rule) == (Reason.EXPLICIT_DENY, "d")


def test_a_deny_on_a_senior_role_does_not_meet_its_juniors() -> None:
    policy = load_policy(
        _policy(
            grant=[{"id": "g", "role": "staff", "to": "record:read"}],
            deny=[{"id": "d", "role": "clinician", "to": "record:read"}],
        )
    )
    assert decide(policy, _request("staff")).allowed
    assert not decide(policy, _request("clinician")).allowed


@pytest.mark.parametrize(
    ("sealed", "reason"),
    [
        (True, Reason.EXPLICIT_DENY),
        (None, Reason.CONDITION_ERROR),
        ("no", Reason.CONDITION_ERROR),
        (False, None),
    ],
)
def test_a_deny_is_passed_only_where_it_is_known_to_be_false(sealed: object, reason: Reason | None) -> None:
    policy = load_policy(
        _policy(
            grant=[{"id": "g", "role": "staff", "to": "record:read"}],
            deny=[{"id": "d", "to": "record:read", "when": "resource.sealed"}],
        )
    )
    assert decide(policy, _request("staff", sealed=sealed)).reason is reason


def test_a_missing_value_is_not_granted_under_a_negation() -> None:
    policy = load_policy(
        _policy(
            grant=[
                {"id": "g", "role": "staff", "to": "record:read", "when": "not (resource.status == 'shut')"}
            ]
        )
    )
    assert decide(policy, _request("staff", status="open")).allowed
    refused = decide(policy, _request("staff"))
    assert refused.reason is Reason.NO_GRANT
    assert any("missing" in line for line in refused.explanation)


def test_a_grant_that_cannot_be_evaluated_is_an_error_unless_another_allows() -> None:
    grants = [{"id": "g", "role": "staff", "to": "record:read", "when": "resource.status == 'open'"}]
    refused = decide(load_policy(_policy(grant=grants)), _request("staff", status=7))
    assert (refused.reason, refused.rule) == (Reason.CONDITION_ERROR, "g")
    grants.append({"id": "h", "role": "staff", "to": "record:read"})
    assert decide(load_policy(_policy(grant=grants)), _request("staff", status=7)).rule == "h"


def test_the_explanation_never_shows_the_value_of_an_attribute() -> None:
    policy = load_policy(
        _policy(
            grant=[
                {
                    "id": "g",
                    "role": "staff",
                    "to": "record:read",
                    "when": "resource.status == 'open' and care_team",
                }
            ],
            deny=[{"id": "d", "to": "record:read", "when": "resource.patient_id == subject.id"}],
        )
    )
    decision = decide(policy, _request("staff", status="hiv-clinic", patient_id="p-4711"))
    text = "\n".join(decision.explanation) + repr(_request("staff", status="hiv-clinic", patient_id="p-4711"))
    assert "hiv-clinic" not in text
    assert "p-4711" not in text
    assert "care_team: false" in text


@pytest.mark.parametrize(
    "action", [None, 7, ["read"], b"read", "", "read\n", "READ", "*", "record:*", "audit:read"]
)
def test_an_action_that_is_none_is_refused_and_not_raised(action: Any) -> None:
    policy = load_policy(_policy(grant=[{"id": "g", "role": "staff", "to": "record:*"}]))
    decision = decide(policy, _request("staff", action=action))
    assert decision.reason is Reason.UNKNOWN_PERMISSION


def test_an_action_may_carry_its_type() -> None:
    policy = load_policy(_policy(grant=[{"id": "g", "role": "staff", "to": "record:read"}]))
    assert decide(policy, _request("staff", action="record:read")).allowed


def test_an_unknown_action_cannot_forge_a_line_of_the_log() -> None:
    decision = decide(
        load_policy(_policy()), _request("staff", action="read\nallowed by grant g" + "x" * 10_000)
    )
    assert all("\n" not in line and len(line) < 300 for line in decision.explanation)


def test_a_decision_is_not_a_bool() -> None:
    with pytest.raises(TypeError, match="allowed"):
        bool(decide(load_policy(_policy()), _request("staff")))


def test_the_work_of_a_decision_does_not_grow_with_the_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("portalsec.rbac.decide")
    weighed: list[str] = []
    real = module._weigh

    def counting(rule: Any, *rest: Any) -> Any:
        weighed.append(rule.id)
        return real(rule, *rest)

    monkeypatch.setattr(module, "_weigh", counting)
    for size in (1, 300):
        roles = {f"role{i}": {} for i in range(size)} | {"staff": {}}
        grants = [{"id": f"g{i}", "role": f"role{i}", "to": "record:read"} for i in range(size)]
        grants += [{"id": f"h{i}", "role": "staff", "to": "record:amend"} for i in range(size)]
        grants.append({"id": "mine", "role": "staff", "to": "record:read"})
        policy = load_policy(_policy(role=roles, grant=grants))
        weighed.clear()
        assert decide(policy, _request("staff")).allowed
        assert weighed == ["mine"]
