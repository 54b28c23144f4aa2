"""Conditions: what may be written, and what a missing, wrong or hostile value comes to."""

from __future__ import annotations

import contextlib
import math
import re
import sqlite3
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.rbac import Context, Request, Resource, Subject
from portalsec.rbac.conditions import NotACondition, Scope, Truth, evaluate, parse_condition, relations_in
from tests.rbac import support

SCOPE = Scope(
    relations=frozenset({"care_team", "self"}),
    attributes={
        "subject": {"clinic": "str", "clinics": "list"},
        "resource": {
            "status": "str",
            "age": "int",
            "score": "float",
            "sealed": "bool",
            "born": "date",
            "seen": "datetime",
            "tags": "list",
            "address": "table",
            "free": None,
        },
        "context": {"ip": "str"},
    },
)
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def truth(
    text: str, *, relations: tuple[str, ...] = (), unresolved: tuple[str, ...] = (), **attributes: Any
) -> Truth:
    request = Request(
        subject=Subject(id="u1", attributes={"clinic": "north", "clinics": ["north", "south"]}),
        action="read",
        resource=Resource(type="record", id="r1", attributes=attributes),
        context=Context(purpose="TREAT", now=NOON),
        relations=frozenset(relations),
        unresolved=frozenset(unresolved),
    )
    return evaluate(parse_condition(text, SCOPE), request, [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("resource.status == 'open'", Truth.TRUE),
        ("'open' == resource.status", Truth.TRUE),
        ("resource.status != 'open'", Truth.FALSE),
        ("not resource.status == 'shut'", Truth.TRUE),
        ("resource.age < 18", Truth.TRUE),
        ("18 > resource.age", Truth.TRUE),
        ("10 < resource.age <= 16", Truth.TRUE),
        ("not (10 < resource.age <= 15)", Truth.TRUE),
        ("resource.score >= -1.5", Truth.TRUE),
        ("resource.age == 16.0", Truth.TRUE),
        ("resource.status in ['open', 'new']", Truth.TRUE),
        ("resource.status in ('open',)", Truth.TRUE),
        ("resource.status not in {'open'}", Truth.FALSE),
        ("subject.clinic in subject.clinics", Truth.TRUE),
        ("resource.status in subject.clinics", Truth.FALSE),
        ("'vip' in resource.tags", Truth.FALSE),
        ("resource.sealed", Truth.FALSE),
        ("not resource.sealed", Truth.TRUE),
        ("resource.sealed == False", Truth.TRUE),
        ("resource.born < resource.born", Truth.FALSE),
        ("resource.seen <= context.now", Truth.TRUE),
        ("resource.free is None", Truth.TRUE),
        ("resource.free is not None", Truth.FALSE),
        ("not resource.status is None", Truth.TRUE),
        ("resource.address.city == 'Ulm'", Truth.TRUE),
        ("resource.address.street is None", Truth.TRUE),
        ("resource.id == 'r1' and resource.type == 'record' and subject.id == 'u1'", Truth.TRUE),
        ("context.purpose == 'TREAT'", Truth.TRUE),
        ("care_team", Truth.TRUE),
        ("not care_team", Truth.FALSE),
        ("care_team and not self", Truth.TRUE),
        ("self or resource.age > 15", Truth.TRUE),
    ],
)
def test_what_can_be_said(text: str, expected: Truth) -> None:
    values = {
        "status": "open",
        "age": 16,
        "score": 0.5,
        "sealed": False,
        "born": date(2009, 5, 1),
        "seen": NOON,
        "tags": ["a", "b"],
        "address": {"city": "Ulm"},
    }
    assert truth(text, relations=("care_team",), **values) is expected


@pytest.mark.parametrize(
    "text",
    [
        "resource.status == 'open'",
        "resource.status != 'open'",
        "not (resource.status == 'open')",
        "not (not (resource.status == 'open'))",
        "resource.age < 18",
        "not (resource.age < 18)",
        "resource.status in ['open']",
        "resource.status not in ['open']",
        "'x' in resource.tags",
        "'x' not in resource.tags",
        "resource.sealed",
        "not resource.sealed",
        "resource.address.city == 'Ulm'",
        "resource.address.city is None",  # the hop before the end is missing, so the end says nothing
        "resource.address.city is not None",
        "not (resource.address.city is None)",
    ],
)
def test_a_missing_value_is_neither_true_nor_false(text: str) -> None:
    assert truth(text) is Truth.MISSING
    assert truth(text, status=None, age=None, tags=None, sealed=None, address=None) is Truth.MISSING


@pytest.mark.parametrize("negate", ["", "not "])
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("resource.status == 'open'", 7),
        ("resource.age == 1", True),  # in Python True == 1
        ("resource.age == 1", 1.0),
        ("resource.age < 18", "16"),
        ("resource.score < 18", math.nan),  # NaN is unequal to everything, so every negated test would pass
        ("resource.score != 18", math.nan),
        ("resource.score < 18", Decimal("sNaN")),
        ("resource.sealed", 0),
        ("resource.sealed", "false"),
        ("resource.born == resource.born", NOON),
        ("resource.seen != context.now", NOON.replace(tzinfo=None)),  # naive != aware is true in Python
        ("'a' in resource.tags", "abc"),  # a substring is not a member
        ("'a' in resource.tags", {"a": 1}),
        ("'a' in resource.tags", [1, None]),  # as NULL in a list: not found cannot be told
        ("resource.address.city == 'Ulm'", "Ulm"),
        ("resource.free == 'x'", object()),
        ("resource.free <= resource.free", "w"),  # the order of text depends on a database's collation
    ],
)
def test_a_value_of_the_wrong_type_is_an_error_also_under_not(text: str, value: object, negate: str) -> None:
    name = re.search(r"resource\.(\w+)", text)[1]
    assert truth(f"{negate}({text})", **{name: value}) is Truth.ERROR


def test_an_unresolved_relation_is_an_error_also_under_not() -> None:
    assert truth("care_team", unresolved=("care_team",)) is Truth.ERROR
    assert truth("not care_team", unresolved=("care_team",)) is Truth.ERROR
    assert truth("care_team or self", relations=("self",), unresolved=("care_team",)) is Truth.TRUE
    assert truth("care_team and self", unresolved=("care_team",)) is Truth.FALSE


def test_attributes_that_raise_are_an_error() -> None:
    class Broken(Mapping[str, object]):
        def __getitem__(self, key: str) -> object:
            raise RuntimeError("the database is gone")

        def __iter__(self) -> Any:
            raise RuntimeError("the database is gone")

        def __len__(self) -> int:
            return 1

    request = Request(
        subject=Subject(id="u1"), action="read", resource=Resource(type="record", attributes=Broken())
    )
    for text in ("resource.status == 'x'", "not (resource.status == 'x')", "resource.status is None"):
        notes: list[str] = []
        assert evaluate(parse_condition(text, SCOPE), request, notes) is Truth.ERROR
        assert "database" not in "".join(notes)


def test_a_value_that_lies_about_equality_is_an_error() -> None:
    class Liar(str):
        def __eq__(self, other: object) -> Any:
            return "yes"

        def __hash__(self) -> int:
            return 0

    assert truth("resource.status == 'open'", status=Liar("x")) is Truth.ERROR


def test_a_built_in_name_cannot_be_replaced_by_an_attribute() -> None:
    assert truth("resource.id == 'r1'", id="other") is Truth.TRUE


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not an expression"),
        ("resource.status = 'x'", "not an expression"),
        ("x = 1; y = 2", "not an expression"),
        ("(" * 300 + ")" * 300, "not an expression"),
        ("resource.status == 'a\x00b'", "not an expression"),
        ("not " * 30 + "self", "nested"),
        ("self or " * 200 + "self", "at most"),
        ("True", "not allowed"),
        ("1", "not allowed"),
        ("1 == 1", "always the same"),
        ("'a' in ['a']", "always the same"),
        ("open('x')", "not allowed"),
        ("resource.status.upper() == 'X'", "not allowed"),
        ("resource.tags[0] == 'x'", "not allowed"),
        ("[x for x in resource.tags]", "not allowed"),
        ("(lambda: True)()", "not allowed"),
        ("resource.age + 1 == 2", "not allowed"),
        ("self if care_team else self", "not allowed"),
        ("f'{resource.status}' == 'x'", "not allowed"),
        ("b'x' == resource.status", "not allowed"),
        ("resource.score < 1e999", "not allowed"),
        ("self == 1", "not allowed"),
        ("(x := resource.sealed)", "not allowed"),
        ("__import__", "not a relation"),
        ("stranger", "not a relation"),
        ("resource", "alone says nothing"),
        ("resource.nosuch == 1", "not declared"),
        ("resource.__class__ == 1", "not declared"),
        ("subject.nosuch == 1", "not declared"),
        ("row.ends is None", "not a place"),
        ("self.id == 1", "not a place"),
        ("resource.status.length == 1", "no parts"),
        ("resource.status == None", "is None"),
        ("resource.status is 'x'", "only for"),
        ("'x' is None", "on its left"),
        ("resource.status < 'x'", "no order"),
        ("resource.status == 1", "never be compared"),
        ("resource.age == True", "never be compared"),
        ("resource.born < '2020-01-01'", "never be compared"),
        ("resource.tags == 'x'", "never be compared"),
        ("resource.tags == resource.tags", "use `in`"),
        ("resource.address == resource.address", "is a table"),
        ("resource.status in []", "at least one"),
        ("resource.status in ['a', 1]", "one type"),
        ("resource.status in [1, 2]", "something else"),
        ("'a' in resource.status", "not a list"),
        ("resource.status in 'open'", "needs a list"),
        ("resource.status", "compare it"),
        ("resource.age and self", "compare it"),
    ],
)
def test_what_cannot_be_said(text: str, says: str) -> None:
    with pytest.raises(NotACondition, match=says):
        parse_condition(text, SCOPE)


@given(st.text(max_size=80))
def test_no_text_escapes_as_another_error(text: str) -> None:
    with contextlib.suppress(NotACondition):
        parse_condition(text, SCOPE)


@given(
    support.comparisons_only,
    st.fixed_dictionaries({"a": st.none() | st.integers(0, 3), "b": st.none() | st.integers(0, 3)}),
)
def test_the_logic_of_missing_values_is_that_of_sql(tree: Any, values: dict[str, int | None]) -> None:
    """A filter in SQL must give the same rows as a decision in Python, so SQLite judges the same condition."""
    scope = Scope(attributes={"resource": {"a": "int", "b": "int"}})
    request = Request(
        subject=Subject(id="u"), action="read", resource=Resource(type="doc", attributes=values)
    )
    got = evaluate(parse_condition(support.text(tree), scope), request, [])
    database = sqlite3.connect(":memory:")
    try:
        query = f"SELECT ({support.sql(tree)}) FROM (SELECT ? AS a, ? AS b)"
        (expected,) = database.execute(query, (values["a"], values["b"])).fetchone()
    finally:
        database.close()
    assert got is {1: Truth.TRUE, 0: Truth.FALSE, None: Truth.MISSING}[expected]


@given(support.conditions)
def test_the_normal_form_has_no_not_above_a_leaf_and_reads_back(tree: Any) -> None:
    scope = Scope(relations=frozenset(support.RELATIONS), attributes={"resource": {"a": "int", "b": "int"}})
    once = parse_condition(support.text(tree), scope)
    assert parse_condition(str(once), scope) == once
    assert "not (" not in str(once)


def test_relations_in_a_condition() -> None:
    condition = parse_condition("not (care_team and resource.age > 3) or self", SCOPE)
    assert relations_in(condition) == {"care_team", "self"}
    assert relations_in(None) == frozenset()
