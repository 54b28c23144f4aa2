"""A model of access control that is too simple to be wrong, and random policies and requests to compare it on.

`naive_decide` shares no code with portalsec: it knows no compiled table, no negation normal form and no closure. A
condition is a nested tuple here, which `text` writes as a policy would.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from portalsec.rbac import Context, Policy, Request, Resource, Subject, load_policy

ROLES = ("r0", "r1", "r2", "r3")
TYPES = ("doc", "note")
ACTIONS = ("read", "write")
RELATIONS = ("owner", "team")
ATTRIBUTES = ("a", "b")


# the model -------------------------------------------------------------------------------------------------------


def naive_has(policy: dict[str, Any], role: str, wanted: str) -> bool:
    """Whether a subject with ``role`` also counts as having ``wanted``, by walking."""
    return role == wanted or any(
        naive_has(policy, junior, wanted) for junior in policy["role"].get(role, {}).get("inherits", [])
    )


def naive_truth(condition: Any, request: Request) -> bool | None:
    """True, False or None (unknown), by the textbook tables."""
    match condition:
        case None:
            return True
        case ("not", inner):
            truth = naive_truth(inner, request)
            return None if truth is None else not truth
        case (("and" | "or") as op, *parts):
            truths = [naive_truth(part, request) for part in parts]
            decisive = op == "or"
            if decisive in truths:
                return decisive
            return None if None in truths else not decisive
        case ("relation", name):
            return None if name in request.unresolved else name in request.relations
        case ("absent", name):
            return request.resource.attributes.get(name) is None
        case ("in", name, values):
            value = request.resource.attributes.get(name)
            return None if value is None else value in values
        case (op, name, other):
            value = request.resource.attributes.get(name)
            if value is None:
                return None
            return {"==": value == other, "!=": value != other, "<": value < other, ">=": value >= other}[op]
    raise AssertionError(condition)


def naive_decide(policy: dict[str, Any], request: Request) -> bool:
    def concerns(rule: dict[str, Any]) -> bool:
        permission = f"{request.resource.type}:{request.action}"
        if permission not in rule["to"] and f"{request.resource.type}:*" not in rule["to"]:
            return False
        if "role" not in rule:
            return True
        return any(
            naive_has(policy, role, wanted) for role in request.subject.roles for wanted in rule["role"]
        )

    if request.resource.type not in TYPES or request.action not in ACTIONS:
        return False
    if any(concerns(rule) and naive_truth(rule["tree"], request) is not False for rule in policy["deny"]):
        return False
    return any(concerns(rule) and naive_truth(rule["tree"], request) is True for rule in policy["grant"])


# the same as a policy's text -------------------------------------------------------------------------------------


def text(condition: Any) -> str:
    match condition:
        case ("not", inner):
            return f"not ({text(inner)})"
        case (("and" | "or") as op, *parts):
            return "(" + f" {op} ".join(text(part) for part in parts) + ")"
        case ("relation", name):
            return str(name)
        case ("absent", name):
            return f"resource.{name} is None"
        case ("in", name, values):
            return f"resource.{name} in {list(values)!r}"
        case (op, name, other):
            return f"resource.{name} {op} {other!r}"
    raise AssertionError(condition)


def sql(condition: Any) -> str:
    """The same condition as SQL writes it: another independent judge of the logic of missing values."""
    match condition:
        case ("not", inner):
            return f"NOT ({sql(inner)})"
        case (("and" | "or") as op, *parts):
            return "(" + f" {op.upper()} ".join(sql(part) for part in parts) + ")"
        case ("absent", name):
            return f"{name} IS NULL"
        case ("in", name, values):
            return f"{name} IN ({', '.join(map(str, values))})"
        case (op, name, other):
            return f"{name} {'=' if op == '==' else op} {other}"
    raise AssertionError(condition)


def as_mapping(policy: dict[str, Any]) -> dict[str, Any]:
    def rule(source: dict[str, Any]) -> dict[str, Any]:
        out = {key: value for key, value in source.items() if key != "tree"}
        if source["tree"] is not None:
            out["when"] = text(source["tree"])
        return out

    return {
        "schema": 1,
        "resource": {
            name: {"actions": list(ACTIONS), "attributes": dict.fromkeys(ATTRIBUTES, "int")} for name in TYPES
        },
        "relation": {name: {"of": list(TYPES)} for name in RELATIONS},
        "role": policy["role"],
        "grant": [rule(grant) for grant in policy["grant"]],
        "deny": [rule(deny) for deny in policy["deny"]],
    }


def load(policy: dict[str, Any]) -> Policy:
    return load_policy(as_mapping(policy), source="generated")


# random ones -----------------------------------------------------------------------------------------------------

_values = st.integers(0, 3)
_comparisons = st.one_of(
    st.tuples(st.sampled_from(["==", "!=", "<", ">="]), st.sampled_from(ATTRIBUTES), _values),
    st.tuples(st.just("absent"), st.sampled_from(ATTRIBUTES)),
    st.tuples(
        st.just("in"), st.sampled_from(ATTRIBUTES), st.lists(_values, min_size=1, max_size=3).map(tuple)
    ),
)


def _nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.tuples(st.just("not"), inner),
            st.tuples(st.sampled_from(["and", "or"]), inner, inner),
        ),
        max_leaves=5,
    )


comparisons_only = _nested(_comparisons)
conditions = _nested(st.one_of(_comparisons, st.tuples(st.just("relation"), st.sampled_from(RELATIONS))))
permissions = st.lists(
    st.sampled_from([f"{kind}:{action}" for kind in TYPES for action in (*ACTIONS, "*")]),
    min_size=1,
    max_size=3,
    unique=True,
)
_some_roles = st.lists(st.sampled_from(ROLES), min_size=1, max_size=2, unique=True)


@st.composite
def policies(draw: st.DrawFn) -> dict[str, Any]:
    # Edges only from a later role to an earlier one: never a cycle.
    roles = {
        role: {"inherits": draw(st.lists(st.sampled_from(ROLES[:i]), max_size=2, unique=True)) if i else []}
        for i, role in enumerate(ROLES)
    }
    grants = [
        {
            "id": f"g{i}",
            "role": draw(_some_roles),
            "to": draw(permissions),
            "tree": draw(st.none() | conditions),
        }
        for i in range(draw(st.integers(0, 5)))
    ]
    denies = []
    for i in range(draw(st.integers(0, 2))):
        deny = {"id": f"d{i}", "to": draw(permissions), "tree": draw(st.none() | conditions)}
        if draw(st.booleans()):
            deny["role"] = draw(_some_roles)
        denies.append(deny)
    return {"role": roles, "grant": grants, "deny": denies}


@st.composite
def requests(draw: st.DrawFn) -> Request:
    unresolved = draw(st.frozensets(st.sampled_from(RELATIONS), max_size=1))
    return Request(
        subject=Subject(id="s", roles=draw(st.frozensets(st.sampled_from((*ROLES, "ghost")), max_size=3))),
        action=draw(st.sampled_from((*ACTIONS, *ACTIONS, "erase"))),
        resource=Resource(
            type=draw(st.sampled_from((*TYPES, *TYPES, "ghost"))),
            id="x",
            attributes=draw(st.dictionaries(st.sampled_from(ATTRIBUTES), st.none() | _values)),
        ),
        context=Context(),
        relations=draw(st.frozensets(st.sampled_from(RELATIONS))) - unresolved,
        unresolved=unresolved,
    )
