"""The contract of `portalsec.auth.ports.ThrottleStore`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from functools import partial

import pytest

from portalsec.auth.ports import Take, ThrottleStore
from portalsec.clock import unix_microseconds
from portalsec.testing.contracts.base import MICROSECOND, NOW, THREADS, StoreContract, winners
from portalsec.testing.processes import Opener, race_processes

__all__ = ["ThrottleStoreContract"]

_WINDOW = timedelta(minutes=15)
_LONGEST = timedelta(minutes=50)


def _take(store: ThrottleStore, key: str = "lane", *, limit: int = 3, now: datetime = NOW) -> Take:
    return store.take(key, limit=limit, window=_WINDOW, now=now)


def _climb(
    store: ThrottleStore,
    key: str = "lane",
    *,
    limit: int = 3,
    now: datetime = NOW,
    heals: timedelta | None = None,
) -> Take:
    return store.take(key, limit=limit, window=_WINDOW, now=now, longest=_LONGEST, heals=heals)


def _race(store: ThrottleStore, wait: Callable[[], None], number: int, rounds: int) -> list[list[Take]]:
    """Every process takes three units a round of the same budget, and gives back what it took in every other one."""
    taken = []
    for turn in range(rounds):
        wait()
        takes = [_climb(store, f"shared-{turn}", limit=7) for _ in range(3)]
        wait()
        if turn % 2:
            for take in takes:
                if take.ok:
                    store.give_back(f"shared-{turn}", window=take.window)
        taken.append(takes)
    return taken


class ThrottleStoreContract(StoreContract):
    """Inherit it and provide ``store``: an empty `ThrottleStore`."""

    @pytest.fixture
    def store(self) -> ThrottleStore:
        raise NotImplementedError("provide a fixture `store` that returns an empty ThrottleStore")

    def test_as_many_units_as_the_limit_are_given_and_no_more(self, store: ThrottleStore) -> None:
        takes = [_take(store, now=NOW + n * MICROSECOND) for n in range(5)]
        assert [take.ok for take in takes] == [True, True, True, False, False]
        assert [take.used for take in takes] == [1, 2, 3, 3, 3]
        assert {take.window for take in takes} == {unix_microseconds(NOW)}
        assert {take.resets_at for take in takes} == {NOW + _WINDOW}

    def test_a_limit_of_nothing_gives_nothing(self, store: ThrottleStore) -> None:
        assert not _take(store, limit=0).ok
        assert _take(store, limit=1).ok
        assert not _take(store, limit=0).ok

    def test_keys_do_not_share(self, store: ThrottleStore) -> None:
        assert _take(store, "a", limit=1).ok
        assert not _take(store, "a", limit=1).ok
        assert _take(store, "b", limit=1).ok
        assert _take(store, "{a}:a", limit=1).ok

    def test_the_window_starts_at_the_first_take_and_later_ones_do_not_move_it(
        self, store: ThrottleStore
    ) -> None:
        _take(store)
        late = _take(store, now=NOW + timedelta(minutes=14))
        assert (late.window, late.resets_at) == (unix_microseconds(NOW), NOW + _WINDOW)

    def test_the_window_ends_at_its_exact_moment_and_starts_anew(self, store: ThrottleStore) -> None:
        for _ in range(3):
            _take(store)
        assert not _take(store, now=NOW + _WINDOW - MICROSECOND).ok
        anew = _take(store, now=NOW + _WINDOW)
        assert anew == Take(
            ok=True, window=unix_microseconds(NOW + _WINDOW), used=1, resets_at=NOW + 2 * _WINDOW
        )

    def test_refusals_do_not_prolong_the_window(self, store: ThrottleStore) -> None:
        _take(store, limit=1)
        for minute in range(1, 15):
            assert not _take(store, limit=1, now=NOW + timedelta(minutes=minute)).ok
        assert _take(store, limit=1, now=NOW + _WINDOW).ok

    def test_a_clock_set_back_is_inside_the_window(self, store: ThrottleStore) -> None:
        for _ in range(3):
            _take(store)
        back = _take(store, now=NOW - timedelta(days=1))
        assert back == Take(ok=False, window=unix_microseconds(NOW), used=3, resets_at=NOW + _WINDOW)

    def test_a_unit_given_back_can_be_taken_again(self, store: ThrottleStore) -> None:
        takes = [_take(store) for _ in range(3)]
        store.give_back("lane", window=takes[0].window)
        again = _take(store)
        assert (again.ok, again.used) == (True, 3)
        assert not _take(store).ok

    def test_a_refused_take_used_nothing(self, store: ThrottleStore) -> None:
        take = _take(store, limit=1)
        for _ in range(5):
            _take(store, limit=1)
        store.give_back("lane", window=take.window)
        assert _take(store, limit=1).used == 1

    def test_giving_back_never_goes_below_zero(self, store: ThrottleStore) -> None:
        take = _take(store)
        for _ in range(5):
            store.give_back("lane", window=take.window)
        assert [_take(store).ok for _ in range(4)] == [True, True, True, False]

    def test_a_unit_of_an_older_window_is_not_given_back_to_a_newer_one(self, store: ThrottleStore) -> None:
        old = _take(store, limit=1)
        later = NOW + _WINDOW
        assert _take(store, limit=1, now=later).ok
        store.give_back("lane", window=old.window)
        assert not _take(store, limit=1, now=later).ok

    def test_a_limit_of_nothing_says_how_much_is_used_and_uses_nothing(self, store: ThrottleStore) -> None:
        assert _take(store, limit=0) == Take(
            ok=False, window=unix_microseconds(NOW), used=0, resets_at=NOW + _WINDOW
        )
        _take(store)
        _take(store)
        later = NOW + timedelta(minutes=1)
        for _ in range(2):
            assert _take(store, limit=0, now=later) == Take(
                ok=False, window=unix_microseconds(NOW), used=2, resets_at=NOW + _WINDOW
            )
        assert _take(store, limit=0, now=NOW + _WINDOW).used == 0

    # -- a budget that escalates ------------------------------------------------------------------------------------

    def test_a_window_after_one_that_was_used_up_is_twice_as_long_up_to_the_longest(
        self, store: ThrottleStore
    ) -> None:
        now, lengths, levels = NOW, [], []
        for _ in range(5):
            take, _, _ = (_climb(store, now=now) for _ in range(3))
            assert not _climb(store, now=now).ok
            assert not _climb(store, now=take.resets_at - MICROSECOND).ok
            lengths.append(take.resets_at - now)
            levels.append(take.level)
            now = take.resets_at
        assert lengths == [_WINDOW, 2 * _WINDOW, _LONGEST, _LONGEST, _LONGEST]
        assert levels == [0, 1, 2, 3, 4]

    def test_a_refusal_says_the_level_of_its_window(self, store: ThrottleStore) -> None:
        for now in (NOW, NOW + _WINDOW):
            for _ in range(3):
                _climb(store, now=now)
        refused = _climb(store, now=NOW + _WINDOW)
        assert refused == Take(
            ok=False,
            window=unix_microseconds(NOW + _WINDOW),
            used=3,
            resets_at=NOW + 3 * _WINDOW,
            level=1,
        )

    def test_a_window_that_was_not_used_up_heals_at_once(self, store: ThrottleStore) -> None:
        for _ in range(3):
            _climb(store)
        assert _climb(store, now=NOW + _WINDOW).level == 1
        healed = _climb(store, now=NOW + 3 * _WINDOW)
        assert (healed.level, healed.resets_at) == (0, NOW + 4 * _WINDOW)

    def test_a_unit_that_came_back_leaves_the_window_not_used_up(self, store: ThrottleStore) -> None:
        takes = [_climb(store) for _ in range(3)]
        store.give_back("lane", window=takes[0].window)
        assert _climb(store, now=NOW + _WINDOW).level == 0

    @pytest.mark.parametrize("heals", [None, timedelta(hours=5)])
    def test_time_heals(self, store: ThrottleStore, heals: timedelta | None) -> None:
        memory = _LONGEST if heals is None else heals
        for key in ("soon", "late"):
            for _ in range(3):
                _climb(store, key, heals=heals)
        ended = NOW + _WINDOW
        assert _climb(store, "soon", now=ended + memory, heals=heals).level == 1
        late = _climb(store, "late", now=ended + memory + MICROSECOND, heals=heals)
        assert (late.level, late.resets_at) == (0, ended + memory + MICROSECOND + _WINDOW)

    def test_clear_forgets_the_level_too(self, store: ThrottleStore) -> None:
        for _ in range(3):
            _climb(store)
        store.clear("lane")
        assert _climb(store, now=NOW + _WINDOW).level == 0

    def test_a_longest_window_that_is_shorter_than_the_first_changes_nothing(
        self, store: ThrottleStore
    ) -> None:
        for turn in range(3):
            now = NOW + turn * _WINDOW
            for _ in range(3):
                take = store.take("lane", limit=3, window=_WINDOW, now=now, longest=_WINDOW / 3)
            assert take.resets_at == now + _WINDOW

    def test_a_budget_of_ten_years(self, store: ThrottleStore) -> None:
        years = timedelta(days=3650)
        for limit in (1, 2):
            assert store.take("lane", limit=limit, window=years, now=NOW + limit * timedelta(days=400)).ok
        late = store.take("lane", limit=2, window=years, now=NOW + timedelta(days=3600))
        assert (late.ok, late.used) == (False, 2)

    # -- races ------------------------------------------------------------------------------------------------------

    def test_fifty_threads_get_exactly_the_limit(self, store: ThrottleStore) -> None:
        for turn in self.rounds(2, soak=20):
            takes = self.race(*(partial(_climb, store, f"lane-{turn}", limit=7) for _ in range(50)))
            assert winners([take.ok for take in takes]) == 7
            assert sorted(take.used for take in takes if take.ok) == list(range(1, 8))
            assert {take.window for take in takes} == {unix_microseconds(NOW)}

    def test_fifty_threads_after_a_window_that_was_used_up_see_one_level(self, store: ThrottleStore) -> None:
        for turn in self.rounds(2, soak=20):
            key = f"lane-{turn}"
            for _ in range(3):
                _climb(store, key)
            later = NOW + _WINDOW
            takes = self.race(*(partial(_climb, store, key, now=later) for _ in range(50)))
            assert winners([take.ok for take in takes]) == 3
            assert {(take.level, take.resets_at) for take in takes} == {(1, later + 2 * _WINDOW)}

    def test_four_processes_get_exactly_the_limit(self, store: ThrottleStore, in_processes: Opener) -> None:
        rounds = self.rounds(6)
        reports = race_processes(in_processes, _race, len(rounds))
        for turn in rounds:
            takes = [take for report in reports for take in report[turn]]
            assert winners([take.ok for take in takes]) == 7
            assert sorted(take.used for take in takes if take.ok) == list(range(1, 8))
            assert {take.window for take in takes} == {unix_microseconds(NOW)}
            left = _climb(store, f"shared-{turn}", limit=7)
            assert (left.ok, left.used) == ((True, 1) if turn % 2 else (False, 7))

    def test_giving_back_to_and_clearing_an_unknown_key_is_nothing(self, store: ThrottleStore) -> None:
        store.give_back("never", window=unix_microseconds(NOW))
        store.clear("never")
        assert _take(store, "never").used == 1

    def test_clear_forgets_one_counter(self, store: ThrottleStore) -> None:
        for key in ("a", "b"):
            _take(store, key, limit=1)
        store.clear("a")
        assert _take(store, "a", limit=1).ok
        assert not _take(store, "b", limit=1).ok

    @pytest.mark.parametrize("limit", [1, 3, THREADS])
    def test_race_of_takes_gives_exactly_the_limit(self, store: ThrottleStore, limit: int) -> None:
        for turn in self.rounds():
            takes = self.race(partial(_take, store, f"lane-{turn}", limit=limit))
            assert winners([take.ok for take in takes]) == limit
            assert sorted(take.used for take in takes if take.ok) == list(range(1, limit + 1))

    def test_race_at_the_start_of_a_new_window_gives_exactly_the_limit(self, store: ThrottleStore) -> None:
        for turn in self.rounds():
            key = f"lane-{turn}"
            for _ in range(3):
                _take(store, key)
            takes = self.race(partial(_take, store, key, now=NOW + _WINDOW))
            assert winners([take.ok for take in takes]) == 3
            assert {take.window for take in takes} == {unix_microseconds(NOW + _WINDOW)}

    def test_race_of_giving_back_returns_every_unit(self, store: ThrottleStore) -> None:
        for turn in self.rounds():
            key = f"lane-{turn}"
            takes = [_take(store, key, limit=THREADS) for _ in range(THREADS)]
            self.race(*(partial(store.give_back, key, window=take.window) for take in takes))
            assert _take(store, key, limit=THREADS).used == 1

    def test_verbs_neither_wait_for_nor_roll_back_with_the_callers_open_write(
        self, store: ThrottleStore, open_write: AbstractContextManager[object]
    ) -> None:
        cleared = _take(store, "cleared", limit=1)
        returned = _take(store, "returned", limit=1)
        with open_write:
            assert _take(store, "taken", limit=1).ok
            store.clear("cleared")
            store.give_back("returned", window=returned.window)
        assert cleared.ok
        assert not _take(store, "taken", limit=1).ok
        assert _take(store, "cleared", limit=1).ok
        assert _take(store, "returned", limit=1).ok

    def test_a_backend_that_cannot_answer_is_a_store_error(self, failing_store: ThrottleStore) -> None:
        self.assert_all_fail(
            [
                lambda: _take(failing_store),
                lambda: failing_store.give_back("lane", window=unix_microseconds(NOW)),
                lambda: failing_store.clear("lane"),
            ]
        )
