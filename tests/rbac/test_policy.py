"""`Policy`: the hierarchy closed once, a version that names its meaning, and no way to change it."""

from __future__ import annotations

import copy
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.rbac import (
    Grant,
    Parts,
    Policy,
    PolicyError,
    Resource,
    ResourceType,
    Role,
    Subject,
    load_policy,
)
from portalsec.rbac.check import seniors
from portalsec.rbac.pdp import PDP
from tests.rbac.test_load import GOOD, changed

_NAMES = [f"r{i}" for i in range(8)]


@st.composite
def _hierarchies(draw: st.DrawFn) -> dict[str, list[str]]:
    """Any directed graph without a cycle: edges go from later names to earlier ones."""
    return {
        name: draw(st.lists(st.sampled_from(_NAMES[:i]), max_size=4, unique=True)) if i else []
        for i, name in enumerate(_NAMES)
    }


def _reaches(edges: dict[str, list[str]], start: str, end: str) -> bool:
    return start == end or any(_reaches(edges, step, end) for step in edges[start])


@given(_hierarchies())
def test_the_closure_is_that_of_the_naive_model(edges: dict[str, list[str]]) -> None:
    closed = seniors(Role(name=name, inherits=tuple(juniors)) for name, juniors in edges.items())
    for junior in _NAMES:
        assert closed[junior] == {name for name in _NAMES if _reaches(edges, name, junior)}


@given(_hierarchies(), st.sampled_from(_NAMES), st.sampled_from(_NAMES))
def test_a_grant_to_a_role_is_had_by_exactly_its_seniors(
    edges: dict[str, list[str]], granted: str, held: str
) -> None:
    policy = load_policy(
        {
            "schema": 1,
            "resource": {"doc": {"actions": ["read"]}},
            "role": {name: {"inherits": juniors} for name, juniors in edges.items()},
            "grant": [{"id": "g", "role": granted, "to": "doc:read"}],
        }
    )
    pdp = PDP(policy, relations=_Nobody())
    allowed = pdp.can(Subject(id="s", roles=frozenset({held})), "read", Resource(type="doc"))
    assert allowed is _reaches(edges, held, granted)


class _Nobody:
    def holds(self, relation: str, subject: Subject, resource: Resource) -> bool:
        raise AssertionError("no relation is in this policy")


def test_a_deep_hierarchy_does_not_exhaust_the_stack() -> None:
    roles = [Role(name="r0"), *(Role(name=f"r{i}", inherits=(f"r{i - 1}",)) for i in range(1, 3000))]
    parts = Parts(
        resources=(ResourceType(name="doc", actions=("read",)),),
        roles=tuple(roles[:600]),
        grants=(Grant(id="g", roles=("r0",), to=("doc:read",)),),
    )
    assert len(Policy(parts).table["doc"]["read"].open) == 600
    with pytest.raises(PolicyError):
        Policy(Parts(resources=parts.resources, roles=tuple(roles[1:600])))


def test_a_policy_built_in_python_is_checked_like_a_file() -> None:
    parts = Parts(
        resources=(ResourceType(name="doc", actions=("read",)), ResourceType(name="doc", actions=("read",))),
        roles=(Role(name="a"),),
        grants=(Grant(id="g", roles=("b",), to=("doc:reed",), when="stranger"),),
    )
    with pytest.raises(PolicyError) as caught:
        Policy(parts, source="code")
    assert len(caught.value.problems) == 4


def _version(mapping: Any) -> str:
    return load_policy(mapping).version


def test_the_version_is_a_digest_of_the_meaning() -> None:
    version = _version(GOOD)
    assert len(version) == 32
    assert int(version, 16)
    assert _version(copy.deepcopy(GOOD)) == version
    assert _version({key: GOOD[key] for key in reversed(GOOD)}) == version
    assert _version({**GOOD, "grant": GOOD["grant"][::-1]}) == version
    assert _version(changed("grant", 0, "when", to="  care_team ")) == version
    assert _version(changed("grant", 0, "description", to="a comment")) == version
    assert _version(changed("grant", 0, "to", to=["record:*", "record:*"])) == version
    assert load_policy(GOOD, source="elsewhere").version == version


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["grant", 0, "id"], "g9"),
        (["grant", 0, "role"], "staff"),
        (["grant", 0, "to"], "record:read"),
        (["grant", 0, "when"], "not care_team"),
        (["grant", 0, "when"], ...),
        (["grant", 0, "obligations"], ...),
        (["grant", 1, "when"], "resource.clinic != subject.clinic"),
        (["deny", 0, "when"], ...),
        (["deny", 0, "role"], "staff"),
        (["deny"], []),
        (["role", "clinician", "inherits"], []),
        (["role", "other"], {}),
        (["relation", "care_team", "of"], ["record", "visit"]),
        (["resource", "record", "subject"], "clinic"),
        (["resource", "record", "events", "read"], "record.listed"),
        (["resource", "record", "attributes", "age"], "int"),
        (["resource", "visit", "actions"], ["book", "cancel"]),
        (["subject", "attributes", "clinic"], "int"),
        (["context", "attributes"], []),
    ],
)
def test_any_change_of_meaning_changes_the_version(path: list[Any], value: Any) -> None:
    if path == ["subject", "attributes", "clinic"]:
        base = changed("grant", to=GOOD["grant"][:1])
        other = copy.deepcopy(base)
        other["subject"]["attributes"]["clinic"] = value
        assert _version(other) != _version(base)
    else:
        assert _version(changed(*path, to=value)) != _version(GOOD)


def test_a_policy_does_not_change() -> None:
    policy = load_policy(GOOD)
    with pytest.raises(AttributeError):
        policy.version = "0"
    with pytest.raises(AttributeError):
        del policy.table
    with pytest.raises(TypeError):
        policy.table["record"] = {}  # type: ignore[index]
    with pytest.raises(TypeError):
        policy.table["record"]["read"] = None  # type: ignore[index]
    with pytest.raises(TypeError):
        policy.table["record"]["read"].grants["ghost"] = ()  # type: ignore[index]


def test_changing_the_mapping_afterwards_changes_nothing() -> None:
    mapping = copy.deepcopy(GOOD)
    policy = load_policy(mapping)
    version = policy.version
    mapping["grant"].append({"id": "x", "role": "staff", "to": "record:*"})
    mapping["role"]["staff"]["inherits"] = ["clinician"]
    assert "staff" not in policy.table["record"]["read"].open
    assert policy.version == version


def test_threads_share_a_policy_and_agree() -> None:
    pdp = PDP(load_policy(GOOD), relations=_Everyone())
    subject = Subject(id="s", roles=frozenset({"clinician"}))
    answers: list[bool] = []

    def ask() -> None:
        answers.extend(pdp.can(subject, "read", Resource(type="record", id=str(i))) for i in range(50))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 400


class _Everyone:
    def holds(self, relation: str, subject: Subject, resource: Resource) -> bool:
        return True
