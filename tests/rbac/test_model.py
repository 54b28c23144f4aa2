"""The values: an object that exists is valid, and shows no attribute."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from portalsec.errors import Reason
from portalsec.rbac import Context, Decision, Request, Resource, Subject


@pytest.mark.parametrize(
    "build",
    [
        lambda: Subject(id=""),
        lambda: Subject(id=None),
        lambda: Subject(id=7),
        lambda: Subject(id="a", roles="clinician"),  # would be the roles c, l, i, n, ...
        lambda: Subject(id="a", roles=None),
        lambda: Subject(id="a", roles=[7]),
        lambda: Subject(id="a", roles={"clinician": True}),
        lambda: Subject(id="a", attributes=None),
        lambda: Resource(type=""),
        lambda: Resource(type=None),
        lambda: Resource(type=["record"]),
        lambda: Resource(type="record", id=7),
        lambda: Resource(type="record", id=""),
        lambda: Resource(type="record", attributes=[("a", 1)]),
        lambda: Context(purpose=""),
        lambda: Context(now=datetime(2026, 1, 1)),
        lambda: Request(
            subject=Subject(id="a"), action="read", resource=Resource(type="r"), relations="self"
        ),
    ],
)
def test_a_wrong_type_is_refused_at_once(build: Any) -> None:
    with pytest.raises(TypeError):
        build()


def test_roles_become_a_frozenset() -> None:
    mutable = {"clinician"}
    subject = Subject(id="a", roles=mutable)  # type: ignore[arg-type]
    mutable.add("privacy_officer")
    assert subject.roles == {"clinician"}


def test_attributes_are_not_shown() -> None:
    text = repr(Subject(id="a", attributes={"name": "Ann Example"}))
    text += repr(Resource(type="record", id="1", attributes={"diagnosis": "secret"}))
    text += repr(Context(now=datetime(2026, 1, 1, tzinfo=UTC), attributes={"ip": "192.0.2.1"}))
    assert not [word for word in ("Ann", "secret", "192.0.2.1") if word in text]


@pytest.mark.parametrize(("allowed", "reason"), [(True, Reason.NO_GRANT), (False, None)])
def test_a_decision_is_allowed_or_has_a_reason(allowed: bool, reason: Reason | None) -> None:
    with pytest.raises(ValueError, match="either"):
        Decision(allowed=allowed, reason=reason, rule=None, explanation=("x",), policy_version="0")
