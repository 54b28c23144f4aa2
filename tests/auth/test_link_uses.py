"""Turns and marks of a notice's link."""

from __future__ import annotations

from datetime import timedelta

import pytest

from portalsec.auth._link_uses import LinkUses
from portalsec.errors import StoreError
from portalsec.stores.memory import MemoryFlows
from portalsec.testing import FrozenClock
from tests.auth.world import together


class Flows(MemoryFlows):
    """Whose removals fail."""

    def consume(self, *_: object, **__: object) -> None:
        raise StoreError("down")


def made(flows: MemoryFlows | None = None) -> tuple[LinkUses, FrozenClock]:
    clock = FrozenClock()
    return LinkUses(flows=flows or MemoryFlows(), clock=clock), clock


def test_one_at_a_time_and_the_next_one_afterwards() -> None:
    uses, _ = made()
    with uses.turn("n") as free, uses.turn("other") as other:
        assert free and other
        for _ in range(2):  # one that is refused does not end the turn of the first
            with uses.turn("n") as late:
                assert not late
    with uses.turn("n") as free:
        assert free and not uses.used("n")


def test_what_was_marked_after_somebody_looked_is_nobody_s_turn() -> None:
    uses, clock = made()
    assert not uses.used("n")
    uses.mark("n", until=clock() + timedelta(hours=1))
    uses.mark("n", until=clock() + timedelta(hours=1))
    with uses.turn("n") as free:
        assert not free
    assert uses.used("n") and not uses.used("other")


@pytest.mark.parametrize("died", [RuntimeError, StoreError])
def test_a_turn_that_could_not_be_given_back_ends_by_itself(died: type[Exception]) -> None:
    uses, clock = made(Flows())
    with pytest.raises(died), uses.turn("n"):
        raise died("what happened in it, and not what happened to the turn")
    with uses.turn("n") as free:
        assert not free
    clock.advance(timedelta(minutes=2))
    with uses.turn("n") as free:
        assert free


def test_of_many_at_once_one_does_it() -> None:
    uses, clock = made()
    done = []

    def confirm(number: int) -> None:
        with uses.turn("n") as free:
            if free:
                done.append(number)
                uses.mark("n", until=clock() + timedelta(hours=1))

    together(8, confirm)
    assert len(done) == 1
