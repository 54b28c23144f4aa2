"""The benchmark's arithmetic, with a clock that only moves when the measured work says so."""

from __future__ import annotations

import gc
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.harness import Result, Row, measure, percentile, summarise


class Stopwatch:
    """Seconds that pass only where some work says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, *seconds: float):
        """Work that takes these seconds, call by call, the last one for ever."""
        left = list(seconds)

        def run() -> None:
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return run


def nothing() -> None: ...


def test_a_row_is_time_over_time_in_its_unit():
    watch = Stopwatch()
    row = Row("x", watch.work(3e-6), watch.work(2e-6), 100)
    result = measure(row, rounds=5, timer=watch)
    assert result.unit == "us"
    assert result.value == pytest.approx(3)
    assert result.against_value == pytest.approx(2)
    assert result.ratio == pytest.approx(1.5)
    assert result.spread == pytest.approx((1.5, 1.5))
    assert result.rounds == 5


def test_throughput_is_over_throughput_and_counts_the_units_of_a_call():
    watch = Stopwatch()
    row = Row("x", watch.work(0.010), watch.work(0.002), 3, higher_is_better=True, subject_does=100)
    result = measure(row, rounds=4, timer=watch)
    assert result.unit == "1/s"
    assert result.value == pytest.approx(10_000)  # 100 in 10 ms
    assert result.against_value == pytest.approx(500)  # one in 2 ms
    assert result.ratio == pytest.approx(20)


def test_the_ratio_is_the_median_of_the_rounds_and_not_the_ratio_of_the_medians():
    row = Row("x", nothing, nothing, 1)
    result = summarise(row, [1.0, 2.0, 9.0], [1.0, 4.0, 3.0])  # ratios 1, 0.5, 3; medians 2 over 3
    assert result.ratio == 1.0


def test_a_slow_spell_that_hits_both_of_a_pair_leaves_the_ratio_alone():
    row = Row("x", nothing, nothing, 1)
    calm = summarise(row, [3.0] * 5, [2.0] * 5)
    busy = summarise(row, [3.0, 30.0, 300.0, 3.0, 30.0], [2.0, 20.0, 200.0, 2.0, 20.0])
    assert busy.ratio == pytest.approx(calm.ratio)
    assert busy.spread == pytest.approx(calm.spread)


def test_the_first_pair_is_thrown_away():
    watch = Stopwatch()
    row = Row("x", watch.work(500.0, 3.0), watch.work(900.0, 2.0), 1)
    result = measure(row, rounds=3, timer=watch)
    assert (result.ratio, result.spread, result.rounds) == (1.5, (1.5, 1.5), 3)


def test_subject_and_baseline_take_turns_at_going_first():
    order: list[str] = []
    row = Row("x", lambda: order.append("s"), lambda: order.append("b"), 1, best_of=1)
    watch = iter(range(10_000))
    measure(row, rounds=4, timer=lambda: float(next(watch)))
    pairs = ["".join(order[at : at + 2]) for at in range(0, len(order), 2)]
    assert pairs == ["bs", "sb", "bs", "sb", "bs"]  # the first is the one thrown away


def test_each_is_called_number_times_a_round_with_the_collector_off():
    seen: list[bool] = []
    watch = iter(range(10_000))
    row = Row("x", lambda: seen.append(gc.isenabled()), nothing, 7, best_of=1)
    measure(row, rounds=2, timer=lambda: float(next(watch)))
    assert seen == [False] * (7 * 3)  # one pair thrown away and two rounds of one
    assert gc.isenabled()


def test_the_collector_comes_back_when_the_work_raises():
    def broken() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        measure(Row("x", broken, nothing, 1), rounds=1)
    assert gc.isenabled()


def test_of_a_rounds_times_the_shortest_of_each_counts():
    watch = Stopwatch()
    row = Row(
        "x",
        watch.work(9.0, 3.0, 8.0, 8.0, 8.0, 3.0),  # the first is the one thrown away
        watch.work(9.0, 7.0, 7.0, 2.0, 2.0, 7.0),
        1,
        unit="s",
        best_of=3,
    )
    result = measure(row, rounds=1, timer=watch)
    assert (result.value, result.against_value, result.ratio, result.rounds) == (3.0, 2.0, 1.5, 1)


def test_turns_alternate_within_a_round_too():
    order: list[str] = []
    row = Row("x", lambda: order.append("s"), lambda: order.append("b"), 1, best_of=3)
    watch = iter(range(10_000))
    measure(row, rounds=2, timer=lambda: float(next(watch)))
    pairs = ["".join(order[at : at + 2]) for at in range(0, len(order), 2)]
    assert pairs == ["bs", "sb", "bs", "sb", "bs", "sb", "bs"]


def test_tick_is_called_once_a_round():
    ticks: list[None] = []
    watch = iter(range(10_000))
    measure(
        Row("x", nothing, nothing, 1),
        rounds=6,
        timer=lambda: float(next(watch)),
        tick=lambda: ticks.append(None),
    )
    assert len(ticks) == 6


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([5.0], 90, 5.0),
        ([1.0, 2.0], 50, 1.5),
        ([3.0, 1.0, 2.0], 0, 1.0),
        ([3.0, 1.0, 2.0], 100, 3.0),
        ([float(n) for n in range(11)], 10, 1.0),
        ([float(n) for n in range(11)], 90, 9.0),
        ([0.0, 10.0], 10, 1.0),
    ],
)
def test_percentiles(values, percent, expected):
    assert percentile(values, percent) == pytest.approx(expected)


@given(st.lists(st.floats(0.001, 1000), min_size=1, max_size=50))
def test_percentiles_lie_within_and_are_in_order(values):
    low, mid, high = (percentile(values, at) for at in (10, 50, 90))
    slack = 1e-9 * max(values)
    assert min(values) - slack <= low <= mid + slack <= high + 2 * slack <= max(values) + 3 * slack


def test_the_json_form_has_the_seven_keys_and_plain_numbers():
    result = Result("x", 1.23456, "us", 9.87654321, 0.123456, (0.1, 0.2), 25)
    assert result.as_json() == {
        "id": "x",
        "value": 1.235,
        "unit": "us",
        "against_value": 9.877,
        "ratio": 0.1235,
        "spread": [0.1, 0.2],
        "rounds": 25,
    }
    assert not math.isnan(result.as_json()["ratio"])


@pytest.mark.parametrize(
    "wrong", [{"unit": "furlong"}, {"number": 0}, {"subject_does": 0}, {"baseline_does": 0}]
)
def test_a_row_that_cannot_be_measured_is_refused(wrong):
    with pytest.raises(ValueError, match="row x: "):
        Row(**{"id": "x", "subject": nothing, "baseline": nothing, "number": 1, **wrong})
