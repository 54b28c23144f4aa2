"""The last two authenticators of an account are taken away at once, in fifty threads on each store: cases MFA-16, ATK-44.

Two removals in sessions never both win, since each ends the other's session; so what goes in a session races besides with
links of mails, which need none. Four processes at once are in ``test_door_processes.py``.
"""

from __future__ import annotations

from typing import Any

import pytest

from portalsec.auth.signin import SignInPolicy
from portalsec.errors import Denied, Reason
from tests.abuse.doors import MakeDoor, backing, make
from tests.abuse.race_cases import factors_of, undo_of
from tests.abuse.removals import Owner, owner_of_two, promised, shown_short, stepped_up
from tests.auth.door import Door
from tests.auth.world import SOURCE, tight, together

__all__ = ["backing", "make"]

MANY = 50
ROUNDS = 2


@pytest.fixture
def door(make: MakeDoor) -> Door:
    """Of a portal that asks nobody for a second factor who has none: a password alone may open a session."""
    return make(SignInPolicy(second_factor="optional"), lanes=tight(account_address=10_000))


def owners(door: Door) -> list[Owner]:
    return [owner_of_two(door, f"person{turn}") for turn in range(ROUNDS)]


def won(results: list[Any]) -> list[int]:
    """Which of them won; the others were refused, and nothing broke."""
    assert all(not isinstance(each, Exception) or isinstance(each, Denied) for each in results), results
    return [number for number, each in enumerate(results) if not isinstance(each, Exception)]


@pytest.mark.parametrize("required", [False, True])
def test_mfa_16_atk_44_of_fifty_removals_of_the_last_two_one_wins_at_most(door: Door, required: bool) -> None:
    factors = factors_of(door, required=required)
    for owner in owners(door):
        sessions = [door.sessions.check(stepped_up(door, owner), source=SOURCE) for _ in range(2)]

        def remove(number: int, owner: Owner = owner, sessions: list[Any] = sessions) -> Any:
            # Of each session one half of its requests for each authenticator.
            return factors.remove(sessions[number // 2 % 2], owner.held[number % 2], source=SOURCE)

        winners = won(together(MANY, remove))
        assert len(winners) <= 1
        assert promised(door, owner) == 2 - len(winners)
        # No less than before stands in for the one that is left.
        assert door.recovery_codes.left(owner.account.id) == 10


def test_mfa_16_atk_44_the_links_of_both_at_once_leave_no_way_round_the_password(door: Door) -> None:
    undo = undo_of(door)
    for owner in owners(door):

        def take_back(number: int, owner: Owner = owner) -> Any:
            if number < MANY // 2:
                return undo.confirm(owner.links[number % 2], source=SOURCE)
            # Nor is there a moment between in which it opens a session.
            return shown_short(door, owner)

        results = together(MANY, take_back)
        winners = [number for number in won(results) if number < MANY // 2]
        assert sorted(number % 2 for number in winners) == [0, 1], "each link works once"
        # Whoever looked at an authenticator that went before the codes were looked at is refused, and is no hole.
        for each in results[MANY // 2 :]:
            assert each is False or (isinstance(each, Denied) and each.reason is Reason.EVIDENCE_MISSING)
        assert promised(door, owner) == 0


@pytest.mark.parametrize("required", [False, True])
def test_mfa_16_atk_44_a_link_of_one_and_a_removal_of_the_other_at_once(door: Door, required: bool) -> None:
    undo, factors = undo_of(door), factors_of(door, required=required)
    people = [owner_of_two(door, f"person{number}") for number in range(MANY // 2)]
    sessions = [door.sessions.check(stepped_up(door, owner), source=SOURCE) for owner in people]

    def go(number: int) -> Any:
        owner = people[number // 2]
        if number % 2:
            return undo.confirm(owner.links[0], source=SOURCE)
        return factors.remove(sessions[number // 2], owner.held[1], source=SOURCE)

    winners = won(together(MANY, go))
    assert [number for number in winners if number % 2] == list(range(1, MANY, 2)), "a link needs no session"
    for number, owner in enumerate(people):
        left, removed = promised(door, owner), 2 * number in winners
        # Where policy asks for one, a removal that finds the other gone meanwhile puts its own back. The link does not:
        # the next sign-in sets one up.
        assert left == (0 if removed else 1)
