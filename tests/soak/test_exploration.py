"""`SignIn` in a small world: every path of so many events, and long ones at random. See `tests.auth.exploration`."""

from __future__ import annotations

import pytest

from tests.auth.exploration import POLICIES, STARTS, explore, wander
from tests.measured import Measure

DEPTH = 5
WALKS, STEPS = 30, 1_000
AT_FIRST = {"bare": "no second factors", "factors": "second factors", "session": "an open session"}


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("policy", POLICIES)
def test_no_path_leads_past_the_policy(policy: str, start: str, measure: Measure) -> None:
    found = explore(policy, start, depth=DEPTH)
    opened = sum(wander(policy, start, seed=seed, steps=STEPS) for seed in range(WALKS))
    where = f"policy {policy!r}, {AT_FIRST[start]} at the start"
    measure(f"events on every path of {DEPTH} through the door, {where}", found.transitions, "events")
    measure(f"different states of the door that they led to, {where}", found.states, "states")
    measure(f"events of {WALKS} long walks at random, {where}", WALKS * STEPS, "events")
    measure(
        f"sessions that all these opened, {where}, none past the policy", opened + found.sessions, "sessions"
    )
