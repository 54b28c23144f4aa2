"""A door over each kind of store: what ``test_door.py``, ``test_door_races.py`` and others take their fixture from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from portalsec.auth.signin import SignInPolicy
from portalsec.portal import Stores
from portalsec.testing.portal import memory_stores
from tests.abuse.stores import over_sql
from tests.abuse.test_auth import redis_backing
from tests.auth.door import Door
from tests.auth.world import Backing

__all__ = ["KINDS", "MakeDoor", "backing", "make", "stores"]

MakeDoor = Callable[..., Door]
KINDS = [
    "memory",
    "sqlite",
    pytest.param("postgres", marks=pytest.mark.postgres),
    pytest.param("redis", marks=pytest.mark.redis),
]


@pytest.fixture(params=KINDS)
def backing(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backing]:
    """Empty stores of each kind. Redis has flows, budgets and sessions; what lasts is in memory beside it."""
    if request.param == "memory":
        yield Backing()
    elif request.param == "redis":
        backings = redis_backing(request.getfixturevalue("redis_url"))
        yield next(backings)
        next(backings, None)
    else:
        url = f"sqlite:///{tmp_path}/security.db"
        if request.param == "postgres":
            url = request.getfixturevalue("postgres_url")
        with over_sql(url) as over:
            yield over.backing


@pytest.fixture(params=KINDS)
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    """The same for a whole portal, whose audit log, assignments and incidents are in memory."""
    if request.param == "memory":
        yield memory_stores()
    elif request.param == "redis":
        backings = redis_backing(request.getfixturevalue("redis_url"))
        held = next(backings)
        yield replace(memory_stores(), flows=held.flows, sessions=held.sessions, throttle=held.throttle)
        next(backings, None)
    else:
        url = f"sqlite:///{tmp_path}/security.db"
        if request.param == "postgres":
            url = request.getfixturevalue("postgres_url")
        with over_sql(url) as over:
            yield over.stores()


@pytest.fixture
def make(backing: Backing) -> MakeDoor:
    """Makes the door of a test; of several doors in one test, all have the same stores, and ids of their own."""
    doors = count()

    def made(policy: SignInPolicy | None = None, **kwargs: Any) -> Door:
        door = Door(policy, backing=backing, **kwargs)
        if number := next(doors):
            door.seeds.update({f"none-{each}": "" for each in range(20 * number)})
            door.wire()
        return door

    return made
