from __future__ import annotations

from datetime import timedelta

import pytest

from portalsec.auth.calibrate import calibrate, seconds_of
from portalsec.auth.hash_costs import OWASP_FLOOR, Argon2Parameters
from portalsec.errors import ConfigurationError, StoreError
from portalsec.testing.hashing import CHEAP_ARGON2

MIB = 1024


class Machine:
    """Takes so many seconds for a pass over a MiB."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.asked: list[tuple[Argon2Parameters, int]] = []

    def __call__(self, parameters: Argon2Parameters, at_once: int) -> float:
        self.asked.append((parameters, at_once))
        return self.seconds * parameters.memory_kib / MIB * parameters.time_cost


def test_the_most_memory_that_is_done_in_time_is_chosen_and_then_the_most_passes() -> None:
    found = calibrate(
        target=timedelta(milliseconds=100), memory_kib=512 * MIB, concurrency=2, measure=Machine(0.001)
    )
    assert found.within
    # 256 MiB each would take 256 ms, 128 MiB 128 ms; 64 MiB is done in 64, and a second pass is not.
    assert (found.chosen.parameters.memory_kib, found.chosen.parameters.time_cost) == (64 * MIB, 1)
    assert [(each.parameters.memory_kib // MIB, each.parameters.time_cost, each.fits) for each in found.trials] == [
        (256, 1, False), (128, 1, False), (64, 1, True), (32, 3, True), (16, 6, True), (8, 12, True),
    ]  # fmt: skip


@pytest.mark.parametrize("speed", [1e-6, 1e-4, 1e-3, 0.1, 10])
@pytest.mark.parametrize("memory", [7, 8, 19, 46, 100, 4096])
def test_nothing_below_the_owasp_floor_is_ever_tried(speed: float, memory: int) -> None:
    machine = Machine(speed)
    found = calibrate(
        target=timedelta(milliseconds=50), memory_kib=memory * MIB, concurrency=1, measure=machine
    )
    for parameters, _ in machine.asked:
        mine = parameters.memory_kib, parameters.time_cost
        assert any(mine[0] >= memory and mine[1] >= passes for memory, passes in OWASP_FLOOR)
        assert mine[0] <= memory * MIB
    assert found.chosen in found.trials
    assert found.within is any(trial.fits for trial in found.trials)


def test_a_machine_too_slow_gets_the_fastest_at_the_floor_and_is_told() -> None:
    found = calibrate(
        target=timedelta(milliseconds=1), memory_kib=64 * MIB, concurrency=1, measure=Machine(1)
    )
    assert not found.within
    assert found.chosen.seconds == min(trial.seconds for trial in found.trials)


def test_the_memory_is_that_of_all_that_run_at_once() -> None:
    machine = Machine(0.0001)
    calibrate(target=timedelta(seconds=1), memory_kib=256 * MIB, concurrency=4, lanes=2, measure=machine)
    assert max(parameters.memory_kib for parameters, _ in machine.asked) == 64 * MIB
    assert {(parameters.parallelism, at_once) for parameters, at_once in machine.asked} == {(2, 4)}


@pytest.mark.parametrize(
    "wrong",
    [{"memory_kib": 6 * MIB}, {"memory_kib": 64 * MIB, "concurrency": 10}, {"target": timedelta(0)},
     {"concurrency": 0}, {"lanes": 0}, {"lanes": 65}],
)  # fmt: skip
def test_budgets_that_cannot_be_kept_are_refused(wrong: dict[str, object]) -> None:
    arguments = {"target": timedelta(seconds=1), "memory_kib": 64 * MIB, "concurrency": 1, **wrong}
    with pytest.raises(ConfigurationError):
        calibrate(**arguments, measure=Machine(0.001))  # type: ignore[arg-type]


def test_the_real_measure_runs_so_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    from argon2 import low_level

    both = threading.Barrier(2, timeout=30)

    def compute(*args: object, **kwargs: object) -> bytes:
        both.wait()  # passes only where the other one runs as well
        return b""

    monkeypatch.setattr(low_level, "hash_secret_raw", compute)
    assert seconds_of(CHEAP_ARGON2, 2) >= 0


def test_what_fails_in_one_thread_keeps_the_others_from_waiting_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import itertools

    from argon2 import low_level

    calls = itertools.count()

    def compute(*args: object, **kwargs: object) -> bytes:
        if next(calls) == 0:
            raise ValueError("nobody expected this")
        return b""

    monkeypatch.setattr(low_level, "hash_secret_raw", compute)
    with pytest.raises(ValueError, match="nobody expected this"):
        seconds_of(CHEAP_ARGON2, 3)


def test_no_memory_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from argon2 import exceptions, low_level

    def none(*args: object, **kwargs: object) -> bytes:
        raise exceptions.HashingError("Memory allocation error")

    monkeypatch.setattr(low_level, "hash_secret_raw", none)
    with pytest.raises(StoreError, match="give less"):
        seconds_of(CHEAP_ARGON2, 1)
