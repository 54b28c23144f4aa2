"""`PDP`: the same answers as `decide`, with relations asked for and never believed blindly."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given

from portalsec.errors import Reason, StoreError
from portalsec.rbac import PDP, Context, Request, Resource, Subject, decide, load_policy
from tests.rbac import support
from tests.rbac.support import policies, requests


class Source:
    """Answers by a function, and remembers what it was asked."""

    def __init__(self, answer: Callable[[str], Any]) -> None:
        self.answer = answer
        self.asked: list[str] = []

    def holds(self, relation: str, subject: Subject, resource: Resource) -> Any:
        self.asked.append(relation)
        return self.answer(relation)


@given(policies(), requests())
def test_can_and_decide_agree_with_the_kernel(policy: dict[str, Any], request_: Request) -> None:
    def answer(name: str) -> bool:
        if name in request_.unresolved:
            raise StoreError("no connection")
        return name in request_.relations

    compiled = support.load(policy)
    source = Source(answer)
    pdp = PDP(compiled, relations=source)
    expected = decide(compiled, request_)
    assert pdp.decide(request_.subject, request_.action, request_.resource) == expected
    assert len(source.asked) == len(set(source.asked))
    assert pdp.can(request_.subject, request_.action, request_.resource) is expected.allowed


def _pdp(answer: Callable[[str], Any], *, when: str = "care_team", **more: Any) -> tuple[PDP, Source]:
    source = Source(answer)
    policy = load_policy(
        {
            "schema": 1,
            "resource": {"record": {"actions": ["read", "list"]}},
            "relation": {"care_team": {"of": "record"}, "guardian": {"of": "record"}},
            "role": {"clinician": {}, "proxy": {}},
            "grant": [
                {"id": "c", "role": "clinician", "to": "record:read", "when": when},
                {"id": "p", "role": "proxy", "to": "record:read", "when": "guardian"},
                {"id": "l", "role": "clinician", "to": "record:list"},
            ],
            **more,
        }
    )
    return PDP(policy, relations=source), source


CLINICIAN = Subject(id="dr-a", roles=frozenset({"clinician"}))
RECORD = Resource(type="record", id="r1")


def test_a_relation_that_another_role_needs_is_not_asked() -> None:
    pdp, source = _pdp(lambda _: True)
    assert pdp.can(CLINICIAN, "read", RECORD)
    assert source.asked == ["care_team"]


def test_nothing_is_asked_where_the_role_decides_alone() -> None:
    pdp, source = _pdp(lambda _: True)
    assert pdp.decide(CLINICIAN, "list", RECORD).allowed
    assert not pdp.can(Subject(id="x", roles=frozenset({"ghost"})), "read", RECORD)
    assert source.asked == []


def test_a_relation_is_asked_anew_for_every_decision() -> None:
    members = {"care_team"}
    pdp, _ = _pdp(lambda name: name in members)
    assert pdp.can(CLINICIAN, "read", RECORD)
    members.clear()
    assert not pdp.can(CLINICIAN, "read", RECORD)


def test_a_source_that_raises_denies_without_showing_the_cause(caplog: pytest.LogCaptureFixture) -> None:
    def broken(name: str) -> bool:
        raise StoreError("SELECT ... WHERE name = 'Ann Example'")

    pdp, _ = _pdp(broken)
    with caplog.at_level(logging.ERROR):
        decision = pdp.decide(CLINICIAN, "read", RECORD)
    assert (decision.allowed, decision.reason, decision.rule) == (False, Reason.CONDITION_ERROR, "c")
    assert "StoreError" in caplog.text
    assert "Ann Example" not in caplog.text + "".join(decision.explanation)
    assert not pdp.can(CLINICIAN, "read", RECORD)


def test_a_source_that_raises_does_not_grant_under_a_negation() -> None:
    def broken(name: str) -> bool:
        raise TimeoutError

    pdp, _ = _pdp(broken, when="not care_team")
    assert pdp.decide(CLINICIAN, "read", RECORD).reason is Reason.CONDITION_ERROR


def test_a_source_that_raises_makes_a_deny_hold() -> None:
    def broken(name: str) -> bool:
        raise TimeoutError

    pdp, _ = _pdp(broken, deny=[{"id": "d", "to": "record:list", "when": "guardian"}])
    assert pdp.decide(CLINICIAN, "list", RECORD).reason is Reason.CONDITION_ERROR


@pytest.mark.parametrize("answer", [None, 1, 0, "yes", "", object(), [True]])
def test_an_answer_that_is_not_a_bool_is_no_answer(answer: object) -> None:
    pdp, _ = _pdp(lambda _: answer)
    assert pdp.decide(CLINICIAN, "read", RECORD).reason is Reason.CONDITION_ERROR


def test_a_coroutine_is_true_but_no_answer() -> None:
    async def holds() -> bool:
        return False

    pdp, _ = _pdp(lambda _: holds())
    assert pdp.decide(CLINICIAN, "read", RECORD).reason is Reason.CONDITION_ERROR


def test_an_interrupt_is_not_swallowed() -> None:
    def stop(name: str) -> bool:
        raise KeyboardInterrupt

    pdp, _ = _pdp(stop)
    with pytest.raises(KeyboardInterrupt):
        pdp.can(CLINICIAN, "read", RECORD)


def test_the_context_reaches_the_conditions() -> None:
    pdp, _ = _pdp(lambda _: True, when="context.purpose == 'TREAT' and care_team")
    assert pdp.can(CLINICIAN, "read", RECORD, Context(purpose="TREAT"))
    assert not pdp.can(CLINICIAN, "read", RECORD, Context(purpose="HRESCH"))
    assert not pdp.can(CLINICIAN, "read", RECORD)
