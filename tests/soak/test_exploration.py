"""`SignIn` in a small world: every path of so many events, and long ones at random. See `tests.auth.exploration`.

Each event more costs nine times the work, so of the worlds that begin with a session, which have the most events in them,
all but a few go one less far. Every core has a world of its own: about an hour and a quarter of one core.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor

import pytest

from tests.auth.exploration import WORLDS, Explored, explore, wander
from tests.measured import Measure

DEPTH = 5
AS_DEEP = {"required", "roles", "invited"}  # of those that begin with a session
WALKS, STEPS = 30, 1_000
TOTAL: Counter[str] = Counter()  # of all that ran, policy by policy
Gone = tuple[Explored, int]
"""How far it went, and the sessions that the long walks opened."""


def depth_of(policy: str, start: str) -> int:
    return DEPTH - (start == "session" and policy not in AS_DEEP)


def gone(policy: str, start: str) -> Gone:
    found = explore(policy, start, depth=depth_of(policy, start))
    return found, sum(wander(policy, start, seed=seed, steps=STEPS) for seed in range(WALKS))


@pytest.fixture(scope="module")
def ways(request: pytest.FixtureRequest) -> Iterator[dict[tuple[str, str], Future[Gone]]]:
    """Every world whose test was chosen is on its way, the longest first."""
    asked = {item.name for item in request.session.items}
    chosen = [world for world in WORLDS if f"test_no_path_leads_past_the_policy[{'-'.join(world)}]" in asked]
    chosen.sort(key=lambda world: (world[1] != "session", world[0] != "linked"))
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=spawn) as pool:
        yield {world: pool.submit(gone, *world) for world in chosen}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize(("policy", "start"), WORLDS)
def test_no_path_leads_past_the_policy(
    policy: str, start: str, ways: dict[tuple[str, str], Future[Gone]], measure: Measure
) -> None:
    found, opened = ways[policy, start].result()
    TOTAL["worlds"] += 1
    TOTAL["deepest"] += depth_of(policy, start) == DEPTH
    TOTAL["events"] += found.transitions
    TOTAL["states"] += found.states
    TOTAL["walked"] += WALKS * STEPS
    TOTAL["sessions"] += found.sessions + opened
    paths = f"the door, every path of {DEPTH} events ({DEPTH - 1} in most worlds that begin with a session): "
    measure(paths + "policies with what accounts have at first", TOTAL["worlds"], "worlds")
    measure(paths + f"of them those that went {DEPTH} events far", TOTAL["deepest"], "worlds")
    measure(paths + "events", TOTAL["events"], "events")
    measure(paths + "different states, of each world for itself", TOTAL["states"], "states")
    measure("the door, long walks at random", TOTAL["walked"], "events")
    measure("sessions that all these opened, none past the policy", TOTAL["sessions"], "sessions")
