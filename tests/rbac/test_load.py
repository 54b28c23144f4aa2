"""Loading: every mistake at once, each with its source, its place and the nearest name; nothing is skipped."""

from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.errors import ConfigurationError
from portalsec.rbac import Policy, PolicyError, load_policy
from portalsec.rbac.conditions import ATTRIBUTE_TYPES
from tests.support import ROOT

GOOD: dict[str, Any] = {
    "schema": 1,
    "subject": {"attributes": {"clinic": "str"}},
    "context": {"attributes": ["ip"]},
    "resource": {
        "record": {
            "actions": ["read", "amend"],
            "attributes": {"patient_id": "str", "clinic": "str", "sealed": "bool"},
            "subject": "patient_id",
            "events": {"read": "record.read", "amend": "none"},
            "description": "a chart",
        },
        "visit": {"actions": ["book"], "attributes": ["clinic"]},
    },
    "relation": {"care_team": {"of": "record", "description": "treats the patient"}},
    "role": {"staff": {}, "clinician": {"inherits": ["staff"], "description": "a doctor"}},
    "grant": [
        {"id": "g1", "role": "clinician", "to": "record:*", "when": "care_team", "obligations": "audit:phi"},
        {
            "id": "g2",
            "role": ["staff", "clinician"],
            "to": ["visit:book"],
            "when": "resource.clinic == subject.clinic",
        },
    ],
    "deny": [{"id": "d1", "to": "record:amend", "when": "resource.sealed", "description": "sealed"}],
}


def problems(mapping: Any) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        load_policy(mapping, source="p.toml")
    assert isinstance(caught.value, ConfigurationError)
    return [str(problem) for problem in caught.value.problems]


def changed(*path: Any, to: Any) -> dict[str, Any]:
    mapping = copy.deepcopy(GOOD)
    place: Any = mapping
    for key in path[:-1]:
        place = place[key]
    if to is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return mapping


def test_the_good_one_loads() -> None:
    policy = load_policy(GOOD, source="p.toml")
    assert isinstance(policy, Policy)
    assert policy.permissions == {"record:read", "record:amend", "visit:book"}
    assert policy.event_names == {"record.read"}
    assert policy.source == "p.toml"


@pytest.mark.parametrize(
    ("path", "value", "where", "says"),
    [
        (["schema"], ..., "schema", "is missing"),
        (["schema"], 2, "schema", "not a version"),
        (["schema"], True, "schema", "not a version"),
        (["grants"], [], "policy", "'grants' is not a key here; did you mean 'grant'?"),
        (["separation"], [], "policy", "'separation' is not a key here"),
        (["resource"], {}, "resource", "there is none"),
        (["resource"], [], "resource", "write [resource.NAME]"),
        (["resource", "record", "action"], ["x"], "resource.record", "did you mean 'actions'?"),
        (["resource", "record", "actions"], [], "resource.record.actions", "has no action"),
        (["resource", "record", "actions"], 5, "resource.record.actions", "is a number"),
        (["resource", "record", "actions", 0], "Read", "resource.record.actions", "is not a name"),
        (
            ["resource", "record", "attributes", "born"],
            "dat",
            "resource.record.attributes.born",
            "did you mean 'date'?",
        ),
        (["resource", "record", "attributes", "id"], "str", "resource.record.attributes", "is always there"),
        (["resource", "record", "attributes", "class"], "str", "resource.record.attributes", "is not a name"),
        (
            ["resource", "record", "subject"],
            "patientid",
            "resource.record.subject",
            "did you mean 'patient_id'?",
        ),
        (
            ["resource", "record", "events", "raed"],
            "record.read",
            "resource.record.events",
            "did you mean 'read'?",
        ),
        (
            ["resource", "record", "events", "read"],
            "Read",
            "resource.record.events.read",
            "not the name of an event",
        ),
        (["resource", "Rec"], {"actions": ["x"]}, "resource.Rec", "a name is"),
        (["resource", "visit"], "book", "resource.visit", "should be a table"),
        (["relation", "care_team", "of"], "recrod", "relation.care_team.of", "did you mean 'record'?"),
        (["relation", "care_team", "of"], ..., "relation.care_team.of", "says no resource"),
        (["relation", "subject"], {"of": "record"}, "relation.subject", "means something else"),
        (["relation", "in"], {"of": "record"}, "relation.in", "means something else"),
        (["role", "clinician", "inherits"], ["stuff"], "role.clinician.inherits", "did you mean 'staff'?"),
        (["role", "staff", "inherits"], ["clinician"], "role.staff.inherits", "circle"),
        (["role", "staff", "inherits"], ["staff"], "role.staff.inherits", "circle"),
        (["role", "staff", "inherit"], [], "role.staff", "did you mean 'inherits'?"),
        (["grant", 0, "id"], ..., "grant number 1", "has no id"),
        (["grant", 0, "id"], "G 1", "grant 'G 1'", "an id is"),
        (["grant", 0, "id"], "g2", "grant 'g2'", "used twice"),
        (["deny", 0, "id"], "g2", "deny 'g2'", "used twice"),
        (["grant", 0, "role"], ..., "grant 'g1'", "names no role"),
        (["grant", 0, "role"], [], "grant 'g1'", "names no role"),
        (["grant", 0, "role"], "clinican", "grant 'g1'", "did you mean 'clinician'?"),
        (["grant", 0, "to"], ..., "grant 'g1'", "names no permission"),
        (["grant", 0, "to"], "record:raed", "grant 'g1'", "did you mean 'read'?"),
        (["grant", 0, "to"], "recrd:read", "grant 'g1'", "did you mean 'record'?"),
        (["grant", 0, "to"], "record", "grant 'g1'", "write TYPE:ACTION"),
        (["grant", 0, "to"], "*", "grant 'g1'", "write TYPE:ACTION"),
        (["grant", 0, "to"], "*:*", "grant 'g1'", "write TYPE:ACTION"),
        (["grant", 0, "to"], "record:re*", "grant 'g1'", "write TYPE:ACTION"),
        (["grant", 0, "whne"], "care_team", "grant 'g1'", "did you mean 'when'?"),
        (["grant", 0, "break_glass"], {}, "grant 'g1'", "is not a key here"),
        (["grant", 0, "when"], "care_taem", "grant 'g1' when", "did you mean 'care_team'?"),
        (["grant", 0, "when"], "resource.seeled", "grant 'g1' when", "did you mean 'sealed'?"),
        (["grant", 0, "when"], "subject.clinci == 'x'", "grant 'g1' when", "did you mean 'clinic'?"),
        (["grant", 0, "when"], "resorce.sealed", "grant 'g1' when", "did you mean 'resource'?"),
        (["grant", 0, "when"], "care_team and", "grant 'g1' when", "not an expression"),
        (["grant", 0, "when"], True, "grant 'g1' when", "should be text"),
        (["grant", 0, "when"], "", "grant 'g1' when", "not an expression"),
        (["grant", 1, "when"], "care_team", "grant 'g2' when", "not a relation of this resource"),
        (["grant", 0, "obligations"], ["Audit it!"], "grant 'g1'", "not an obligation"),
        (["grant"], {"id": "x"}, "grant", "write [[grant]]"),
        (["deny", 0, "role"], [], "deny 'd1' role", "is empty"),
        (["deny", 0, "role"], "ghost", "deny 'd1'", "not a role"),
        (["deny", 0, "obligations"], ["x"], "deny 'd1'", "is not a key here"),
        (["deny", 0, "when"], "resource.sealled", "deny 'd1' when", "did you mean 'sealed'?"),
        (["deny", 0, "description"], 5, "deny 'd1' description", "should be text"),
        (["subject"], {"clinic": "str"}, "subject", "is not a key here"),
        (["context"], 5, "context", "should be a table"),
    ],
)
def test_each_mistake_is_named_with_its_place(path: list[Any], value: Any, where: str, says: str) -> None:
    found = problems(changed(*path, to=value))
    assert any(line.startswith(f"{where}: ") and says in line for line in found), found


def test_every_mistake_comes_in_one_error_with_the_source() -> None:
    mapping = changed("grant", 0, "role", to="clinican")
    mapping["grant"][0]["to"] = "record:raed"
    mapping["deny"][0]["when"] = "resource.seeled"
    mapping["rols"] = {}
    with pytest.raises(ConfigurationError) as caught:
        load_policy(mapping, source="clinic/policy.toml")
    text = str(caught.value)
    assert text.startswith("the access policy has 4 errors and was not loaded:")
    lines = text.splitlines()[1:]
    assert len(lines) == 4
    assert all(line.startswith("  clinic/policy.toml: ") for line in lines)
    assert pickle.loads(pickle.dumps(caught.value)).problems == caught.value.problems


def test_a_cycle_of_any_length_is_refused_and_ends() -> None:
    roles = {f"r{i}": {"inherits": f"r{(i + 1) % 5}"} for i in range(5)}
    found = problems({**GOOD, "role": {**GOOD["role"], **roles}})
    assert len([line for line in found if "circle" in line]) == 5


def test_a_condition_is_checked_for_each_type_it_is_about() -> None:
    found = problems(changed("grant", 1, "to", to=["visit:book", "record:read"]) | {"relation": {}})
    assert any("care_team" in line for line in found)
    mapping = changed("grant", 1, "when", to="resource.sealed")
    mapping["grant"][1]["to"] = ["record:read", "visit:book"]
    assert problems(mapping) == [
        "grant 'g2' when: resource.sealed is not declared (known: clinic, id, type) (for 'visit')"
    ]


_junk: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats() | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "schema",
                    "resource",
                    "role",
                    "grant",
                    "deny",
                    "id",
                    "to",
                    "when",
                    "actions",
                    "relation",
                    "of",
                ]
            )
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
        | st.dictionaries(st.integers(), inner, max_size=2)
    ),
    max_leaves=12,
)


@given(_junk)
def test_no_content_raises_anything_but_a_configuration_error(content: Any) -> None:
    with pytest.raises(ConfigurationError):
        load_policy(content)


@given(st.sampled_from(sorted(GOOD)), _junk)
def test_no_broken_part_raises_anything_but_a_configuration_error(key: str, content: Any) -> None:
    try:
        load_policy({**GOOD, key: content})
    except ConfigurationError as error:
        assert re.match("the access policy has ", str(error))


def test_the_reference_page_is_complete_and_its_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "reference" / "policy.md").read_text("utf-8")
    (tmp_path / "policy.toml").write_text(re.findall(r"```toml\n(.*?)```", page, flags=re.DOTALL)[0], "utf-8")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert code.count("assert ") == 5
    exec(compile(code, "docs/reference/policy.md", "exec"), {"__name__": "example"})
    words = {
        *ATTRIBUTE_TYPES,
        "schema",
        "id",
        "role",
        "to",
        "when",
        "obligations",
        "inherits",
        "of",
        "description",
    }
    assert [word for word in sorted(words) if f"`{word}`" not in page] == []
