"""`SignIn` in a small world, as far as an hour lets it: see `tests.auth.exploration`."""

from __future__ import annotations

import pytest

from tests.auth.exploration import POLICIES, STARTS, explore, wander
from tests.measured import Measure

TRANSITIONS = 150_000
WALKS = 150
AT_FIRST = {"bare": "no second factors", "factors": "second factors", "session": "an open session"}


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("policy", POLICIES)
def test_no_path_leads_past_the_policy(policy: str, start: str, measure: Measure) -> None:
    found = explore(policy, start, depth=12, limit=TRANSITIONS)
    opened = sum(wander(policy, start, seed=seed, steps=1_000) for seed in range(WALKS))
    where = f"policy {policy!r}, {AT_FIRST[start]} at the start"
    measure(f"events on all paths through the door, {where}", found.transitions + WALKS * 1_000, "events")
    measure(f"states of the door that they led to, {where}", found.states, f"states to depth {found.depth}")
    measure(f"sessions that they opened, {where}, none past the policy", opened + found.sessions, "sessions")
