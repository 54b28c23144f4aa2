"""`SignIn` in a small world, as far as an hour lets it: see `tests.auth.exploration`."""

from __future__ import annotations

import pytest

from tests.auth.exploration import POLICIES, explore, wander
from tests.measured import Measure

TRANSITIONS = 150_000
WALKS = 150


@pytest.mark.parametrize("bare", [True, False])
@pytest.mark.parametrize("policy", POLICIES)
def test_no_path_leads_past_the_policy(policy: str, bare: bool, measure: Measure) -> None:
    found = explore(policy, bare=bare, depth=12, limit=TRANSITIONS)
    opened = sum(wander(policy, bare=bare, seed=seed, steps=1_000) for seed in range(WALKS))
    where = f"policy {policy!r}, {'no second factors' if bare else 'second factors'} at the start"
    measure(f"events on all paths through the door, {where}", found.transitions + WALKS * 1_000, "events")
    measure(f"states of the door that they led to, {where}", found.states, f"states to depth {found.depth}")
    measure(f"sessions that they opened, {where}, none past the policy", opened + found.sessions, "sessions")
