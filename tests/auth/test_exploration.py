"""`SignIn` in a small world: no path to a session that lacks what is asked, none on another's evidence, none without an
end. A bounded part of what `make soak` goes through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from portalsec.auth import _enrolment, _pending_flows, _standing
from portalsec.auth.demands import Enrolled, Next
from portalsec.auth.ports import Account
from tests.auth.exploration import POLICIES, Hole, explore, wander


@pytest.mark.parametrize("bare", [True, False])
@pytest.mark.parametrize("policy", POLICIES)
def test_no_path_leads_past_the_policy(policy: str, bare: bool) -> None:
    found = explore(policy, bare=bare, depth=3, limit=1_200)
    assert found.transitions >= 1_200
    assert found.states > 200
    assert sum(wander(policy, bare=bare, seed=seed, steps=250) for seed in range(3)) > 0


# -- the exploration itself: each of these holes is found ------------------------------------------------------------


def second_forgotten(real: Callable[..., Next]) -> Callable[..., Next]:
    """The highest level is computed without one kind of credential (CVE-2024-45042)."""

    def missing(proofs: Any, enrolled: Enrolled, demand: Any, **kwargs: Any) -> Next:
        blind = Enrolled(usable=enrolled.usable, second=False, enrolable=enrolled.enrolable)
        return real(proofs, blind, demand, **kwargs)

    return missing


def anything_is_enough(real: Callable[..., Next]) -> Callable[..., Next]:
    return lambda proofs, *args, **kwargs: Next(done=bool(proofs))


def no_change(real: Callable[..., str | None]) -> Callable[..., str | None]:
    return lambda self, account: None


def never_left(real: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    return lambda self, pending: []


def never_asked(real: Callable[..., None]) -> Callable[..., None]:
    """A factor may be set up whenever somebody asks (beside the owner's)."""
    return lambda self, account, state, factor, source: None


def always_kim(real: Callable[..., Account]) -> Callable[..., Account]:
    """A pending sign-in is taken for another person's."""
    return lambda self, flow, state, source: self._kit.accounts.get("kim")


@pytest.mark.parametrize(
    ("place", "name", "broken", "policy"),
    [
        (_standing, "missing", second_forgotten, "optional"),
        (_standing, "missing", anything_is_enough, "required"),
        (_standing.Standing, "must_change", no_change, "optional"),
        (_pending_flows.PendingSignIns, "abort", never_left, "required"),
        (_enrolment.Enrolling, "_due", never_asked, "required"),
        (_pending_flows.PendingSignIns, "holder", always_kim, "optional"),
    ],
)
def test_a_hole_is_found(
    monkeypatch: pytest.MonkeyPatch, place: Any, name: str, broken: Callable[..., Any], policy: str
) -> None:
    monkeypatch.setattr(place, name, broken(getattr(place, name)))
    with pytest.raises(Hole, match="after:"):
        for bare in (True, False):
            explore(policy, bare=bare, depth=3, limit=4_000)
            for seed in range(40):
                wander(policy, bare=bare, seed=seed, steps=300)
