"""Mail goes out while the application serves, and stops with it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import anyio
import pytest

from portalsec.errors import ConfigurationError, StoreError
from portalsec.fastapi import courier
from portalsec.testing import SentMail
from tests.fastapi.account_site import AccountSite, account_site

LONG = timedelta(hours=1)


@pytest.fixture
def world() -> Iterator[AccountSite]:
    with account_site() as made:
        yield made


class Rounds:
    """Stands in for the portal's courier: says when a round was made, and fails when it is told to."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.made = threading.Semaphore(0)

    def deliver(self, *, limit: int) -> None:
        self.made.release()
        if self.failures:
            raise self.failures.pop(0)


def running(world: AccountSite, rounds: Rounds) -> Any:
    return courier(replace(world.portal, courier=rounds), every=LONG)


def test_due_mail_is_sent_by_a_running_courier(world: AccountSite) -> None:
    world.person("robin")
    world.client().post("/password/forgot", {"name": "robin"})
    assert world.mail == []
    with courier(world.portal, every=LONG):
        pass  # the first round begins at once, and leaving waits for it
    assert [mail.to for mail in world.mail] == ["robin@mail.example"]
    assert isinstance(world.mail, SentMail)


def test_a_lifespan_starts_and_ends_it(world: AccountSite) -> None:
    rounds = Rounds()

    async def lifespan() -> None:
        async with running(world, rounds):
            assert await anyio.to_thread.run_sync(lambda: rounds.made.acquire(timeout=30))

    anyio.run(lifespan)
    assert not [thread for thread in threading.enumerate() if thread.name == "portalsec-courier"]


@pytest.mark.parametrize("error", [StoreError("down"), ValueError("a bug")])
def test_a_round_that_fails_is_followed_by_another(
    world: AccountSite, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    rounds = Rounds(error)
    with running(world, rounds) as made:
        assert rounds.made.acquire(timeout=30)
        made.wake()
        assert rounds.made.acquire(timeout=30)
    assert len(caplog.records) == 1


def test_leaving_does_not_wait_for_the_next_round(world: AccountSite) -> None:
    rounds = Rounds()
    with running(world, rounds):
        assert rounds.made.acquire(timeout=30)
    assert not rounds.made.acquire(blocking=False)


@pytest.mark.parametrize("every", [timedelta(0), timedelta(seconds=-1), timedelta(hours=2)])
def test_how_often_has_bounds(world: AccountSite, every: timedelta) -> None:
    with pytest.raises(ConfigurationError, match="one hour"):
        courier(world.portal, every=every)


def test_one_courier_is_entered_once_at_a_time(world: AccountSite) -> None:
    made = running(world, Rounds())
    with made, pytest.raises(ConfigurationError, match="runs already"):
        made.__enter__()
