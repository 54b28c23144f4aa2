"""`SignIn` in a small world: every path of so many events, and long ones at random. See `tests.auth.exploration`.

Half an hour or so on a quiet core.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.auth.exploration import POLICIES, STARTS, explore, wander
from tests.measured import Measure

DEPTH = 5
WALKS, STEPS = 30, 1_000
TOTAL: Counter[str] = Counter()  # of all that ran, policy by policy


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("policy", POLICIES)
def test_no_path_leads_past_the_policy(policy: str, start: str, measure: Measure) -> None:
    found = explore(policy, start, depth=DEPTH)
    opened = sum(wander(policy, start, seed=seed, steps=STEPS) for seed in range(WALKS))
    TOTAL["worlds"] += 1
    TOTAL["events"] += found.transitions
    TOTAL["states"] += found.states
    TOTAL["walked"] += WALKS * STEPS
    TOTAL["sessions"] += found.sessions + opened
    paths = f"the door, every path of {DEPTH} events: "
    measure(paths + "policies with what accounts have at first", TOTAL["worlds"], "worlds")
    measure(paths + "events", TOTAL["events"], "events")
    measure(paths + "different states, of each world for itself", TOTAL["states"], "states")
    measure("the door, long walks at random", TOTAL["walked"], "events")
    measure("sessions that all these opened, none past the policy", TOTAL["sessions"], "sessions")
