"""Races of processes: who runs is kept for the next race, and not after a failure."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext

import pytest

from portalsec.testing.processes import race_processes


def who(store: None, wait: Callable[[], None], number: int, asked: str) -> tuple[int, str, int]:
    wait()
    return number, asked, os.getpid()


def fails(store: None, wait: Callable[[], None], number: int) -> None:
    if number == 2:
        raise ValueError("broken")
    wait()


def test_processes_wait_for_the_next_race_and_go_with_a_failure() -> None:
    first, second = (race_processes(nullcontext, who, each) for each in ("one", "two"))
    assert [each[:2] for each in second] == [(number, "two") for number in range(4)]
    pids = {pid for _, _, pid in first}
    assert pids == {pid for _, _, pid in second}
    assert len({os.getpid(), *pids}) == 5
    with pytest.raises(AssertionError, match=r"2: \"ValueError\('broken'\)\"") as failure:
        race_processes(nullcontext, fails)
    assert str(failure.value).count("another process failed first") == 3
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
