"""Attacks on access decisions, by their ids in the abuse cases."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from portalsec.errors import ConfigurationError, Reason, StoreError
from portalsec.rbac import PDP, Decision, Resource, Subject, load_policy

POLICY: dict[str, Any] = {
    "schema": 1,
    "resource": {"record": {"actions": ["read", "amend"], "attributes": {"sealed": "bool"}}},
    "relation": {"care_team": {"of": "record"}},
    "role": {"clinician": {}, "auditor": {}},
    "grant": [{"id": "read", "role": "clinician", "to": "record:read", "when": "care_team"}],
    "deny": [{"id": "sealed", "to": "record:read", "when": "resource.sealed"}],
}


class Yes:
    def holds(self, relation: str, subject: Subject, resource: Resource) -> bool:
        return True


def ask(action: str, *roles: str, kind: str = "record", relations: Any = None) -> Decision:
    pdp = PDP(load_policy(POLICY), relations=relations or Yes())
    subject = Subject(id="dr-a", roles=frozenset(roles))
    resource = Resource(type=kind, id="r1", attributes={"sealed": False})
    decision = pdp.decide(subject, action, resource)
    assert pdp.can(subject, action, resource) is decision.allowed
    return decision


def test_the_attacked_policy_allows_what_it_should() -> None:
    # Otherwise every refusal below would be worth nothing.
    assert ask("read", "clinician").allowed


def test_auz_05_a_missing_rule_denies_and_says_so() -> None:
    for decision in (ask("amend", "clinician"), ask("read", "auditor"), ask("read")):
        assert not decision.allowed
        assert decision.reason is Reason.NO_GRANT
        assert "no grant applies" in decision.explanation[0]


def test_auz_05_an_unknown_action_denies_and_says_so() -> None:
    decision = ask("erase", "clinician")
    assert decision.reason is Reason.UNKNOWN_PERMISSION
    assert "no permission 'record:erase'" in decision.explanation[0]
    assert ask("read", "clinician", kind="recordd").reason is Reason.UNKNOWN_PERMISSION


@pytest.mark.parametrize("misspelt", ["raed", "record:raed", "Read", "read ", " read", "read\u200b", "ｒead"])
def test_auz_05_a_misspelt_permission_denies_and_names_the_nearest(misspelt: str) -> None:
    decision = ask(misspelt, "clinician")
    assert decision.reason is Reason.UNKNOWN_PERMISSION
    assert "did you mean 'record:read'?" in decision.explanation[0]


def test_auz_05_a_misspelt_role_denies_and_names_the_nearest() -> None:
    decision = ask("read", "clinican")
    assert decision.reason is Reason.NO_GRANT
    assert any(
        "'clinican' is not in the policy; did you mean 'clinician'?" in line for line in decision.explanation
    )


def test_auz_05_a_permission_of_another_resource_is_not_lent() -> None:
    # The page asks for a harmless permission and hands over a record.
    mapping = copy.deepcopy(POLICY)
    mapping["resource"]["leaflet"] = {"actions": ["read", "print"]}
    mapping["grant"].append({"id": "leaflets", "role": "auditor", "to": "leaflet:*"})
    pdp = PDP(load_policy(mapping), relations=Yes())
    auditor = Subject(id="a", roles=frozenset({"auditor"}))
    record = Resource(type="record", id="r1", attributes={"sealed": False})
    assert pdp.can(auditor, "leaflet:print", Resource(type="leaflet"))
    for action in ("leaflet:read", "leaflet:print"):
        decision = pdp.decide(auditor, action, record)
        assert decision.reason is Reason.UNKNOWN_PERMISSION
        assert "does not fit" in decision.explanation[0] or "no permission" in decision.explanation[0]
        assert not pdp.can(auditor, action, record)


def _broken(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(POLICY), **changes}


@pytest.mark.parametrize(
    "mapping",
    [
        {},
        None,
        "allow all",
        _broken(schema=99),
        _broken(role={}),
        _broken(grant="*"),
        _broken(grant=[{"id": "g", "role": "*", "to": "record:read"}]),
        _broken(grant=[{"id": "g", "role": "clinician", "to": "*"}]),
        _broken(grant=[{"id": "g", "role": "clinician", "to": "record:read", "whne": "care_team"}]),
        _broken(grant=[{"id": "g", "role": "clinician", "to": "record:read", "if": "care_team"}]),
        _broken(grant=[{"id": "g", "role": "clinician", "to": "record:read", "when": []}]),
        _broken(deny=[{"id": "d", "to": "record:read", "when": "resource.seald"}]),
        _broken(deny=[{"id": "d", "to": "recrod:read"}]),
        _broken(deny=[{"id": "d", "to": "record:raed"}]),
        _broken(deny=[{"id": "d", "role": "clinican", "to": "record:read"}]),
        _broken(deny=[{"id": "d", "role": [], "to": "record:read"}]),
        _broken(denies=[{"id": "d", "to": "record:read"}]),
        _broken(relation={"care_team": {"of": []}}),
    ],
)
def test_byp_11_a_configuration_error_gives_no_policy_at_all(mapping: Any) -> None:
    with pytest.raises(ConfigurationError):
        load_policy(mapping)


def test_byp_11_an_empty_condition_is_not_read_as_no_condition() -> None:
    for value in (None, "", " ", "None", "True", False, 0, {}, []):
        with pytest.raises(ConfigurationError):
            load_policy(_broken(grant=[{"id": "g", "role": "clinician", "to": "record:read", "when": value}]))


@pytest.mark.parametrize(
    "answer",
    [
        lambda: 1 / 0,
        lambda: None,
        lambda: "true",
        lambda: NotImplemented,
        lambda: (_ for _ in ()).throw(StoreError("gone")),
    ],
)
def test_byp_11_a_relation_source_set_up_wrongly_denies(answer: Any) -> None:
    class Wrong:
        def holds(self, relation: str, subject: Subject, resource: Resource) -> Any:
            return answer()

    assert ask("read", "clinician", relations=Wrong()).reason is Reason.CONDITION_ERROR


def test_byp_11_a_relation_source_that_is_none_denies() -> None:
    pdp = PDP(load_policy(POLICY), relations=None)  # type: ignore[arg-type]
    subject = Subject(id="dr-a", roles=frozenset({"clinician"}))
    record = Resource(type="record", id="r1", attributes={"sealed": False})
    assert pdp.decide(subject, "read", record).reason is Reason.CONDITION_ERROR
    assert not pdp.can(subject, "read", record)


def test_byp_11_a_page_that_leaves_out_the_attributes_is_refused() -> None:
    pdp = PDP(load_policy(POLICY), relations=Yes())
    subject = Subject(id="dr-a", roles=frozenset({"clinician"}))
    decision = pdp.decide(subject, "read", Resource(type="record", id="r1"))
    assert (decision.reason, decision.rule) == (Reason.CONDITION_ERROR, "sealed")
