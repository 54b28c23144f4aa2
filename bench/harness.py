"""How one row of the benchmark is measured, and nothing else.

A row sets a subject beside a baseline. Both are timed in one process, in turn, for several rounds; each round
gives one ratio, and the row's ratio is their median. So a machine that slows down half-way slows both, and no
number is ever compared with one that was stored on another day. Which of the two goes first changes from round to
round, since the second finds warmer caches.

Within a round each is timed ``best_of`` times, in turn, and the shortest counts: what another process took from the
machine only ever lengthens a time, and takes more from the longer of the two. Rows whose time is a disk's or a
server's have ``best_of=1``, since there the ordinary time is the point.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

__all__ = ["Result", "Row", "measure", "percentile", "summarise"]

Timer = Callable[[], float]

_SCALE = {"ns": 1e9, "us": 1e6, "ms": 1e3, "s": 1.0}


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table.

    Attributes:
        id: as in the list of rows; a row keeps its id for good.
        subject: does the work once, without arguments; what it returns is not looked at.
        baseline: the work it is measured against.
        number: calls of each that are timed at once; for work on the processor, a millisecond or so of them.
        higher_is_better: the row is throughput over throughput, in calls a second, instead of time over time.
        unit: of one call's time: ns, us, ms or s. Not used where ``higher_is_better``.
        subject_does: units of work in one call of the subject: events of a batch, or, where a call costs as much
            as the work, the turns of a loop inside it.
        baseline_does: the same of the baseline.
        best_of: how often each is timed in a round, of which the shortest counts.
        note: one sentence for the table, such as what bounds the row.
        timer: seconds, as a float that only grows. `time.process_time` where a bound of the row's own was asked for, so
            that a busy machine does not lengthen it.
    """

    id: str
    subject: Callable[[], object]
    baseline: Callable[[], object]
    number: int
    higher_is_better: bool = False
    unit: str = "us"
    subject_does: int = 1
    baseline_does: int = 1
    best_of: int = 5
    note: str = ""
    timer: Timer = time.perf_counter

    def __post_init__(self) -> None:
        if self.unit not in _SCALE:
            raise ValueError(f"row {self.id}: unit {self.unit!r} is none of {', '.join(_SCALE)}")
        if min(self.number, self.subject_does, self.baseline_does, self.best_of) < 1:
            raise ValueError(f"row {self.id}: number, subject_does, baseline_does and best_of count from 1")


@dataclass(frozen=True, slots=True)
class Result:
    """What a row came to; `as_json` is its form in ``bench/results.json``.

    Attributes:
        value: the subject's median over the rounds, in ``unit``.
        against_value: the baseline's.
        ratio: median of the rounds' ratios, subject over baseline.
        spread: 10th and 90th percentile of the rounds' ratios.
        rounds: how many there were.
    """

    id: str
    value: float
    unit: str
    against_value: float
    ratio: float
    spread: tuple[float, float]
    rounds: int

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "value": _significant(self.value),
            "unit": self.unit,
            "against_value": _significant(self.against_value),
            "ratio": _significant(self.ratio),
            "spread": [_significant(edge) for edge in self.spread],
            "rounds": self.rounds,
        }


def measure(
    row: Row,
    *,
    rounds: int,
    timer: Timer | None = None,
    tick: Callable[[], None] = lambda: None,
) -> Result:
    """Time ``rounds`` rounds of pairs, after one pair that is thrown away.

    Args:
        timer: in place of the row's own.
        tick: called after each round, for a progress bar.
    """
    timer = timer or row.timer
    subject: list[float] = []
    baseline: list[float] = []
    _pair(row, timer, subject_first=False)  # thrown away: it loads modules and fills caches
    for count in range(rounds):
        pairs = [_pair(row, timer, subject_first=(count + turn) % 2 == 0) for turn in range(row.best_of)]
        subject.append(min(ours for ours, _ in pairs))
        baseline.append(min(theirs for _, theirs in pairs))
        tick()
    return summarise(row, subject, baseline)


def summarise(row: Row, subject: Sequence[float], baseline: Sequence[float]) -> Result:
    """Seconds of each round's ``row.number`` calls, paired by position, to a result."""
    ours = [seconds / (row.number * row.subject_does) for seconds in subject]
    theirs = [seconds / (row.number * row.baseline_does) for seconds in baseline]
    if row.higher_is_better:
        ours, theirs, unit = [1 / each for each in ours], [1 / each for each in theirs], "1/s"
    else:
        ours = [each * _SCALE[row.unit] for each in ours]
        theirs, unit = [each * _SCALE[row.unit] for each in theirs], row.unit
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return Result(
        id=row.id,
        value=median(ours),
        unit=unit,
        against_value=median(theirs),
        ratio=median(ratios),
        spread=(percentile(ratios, 10), percentile(ratios, 90)),
        rounds=len(ratios),
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """Linear interpolation between the two nearest values; ``percent`` from 0 to 100."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _pair(row: Row, timer: Timer, *, subject_first: bool) -> tuple[float, float]:
    if subject_first:
        ours = _seconds(row.subject, row.number, timer)
        return ours, _seconds(row.baseline, row.number, timer)
    theirs = _seconds(row.baseline, row.number, timer)
    return _seconds(row.subject, row.number, timer), theirs


def _seconds(work: Callable[[], object], number: int, timer: Timer) -> float:
    was_enabled = gc.isenabled()
    gc.disable()  # a collection would land on whichever of the two happens to cross the threshold
    try:
        calls = range(number)
        began = timer()
        for _ in calls:
            work()
        return timer() - began
    finally:
        if was_enabled:
            gc.enable()


def _significant(value: float) -> float:
    """Four significant digits: more would be noise in a committed file."""
    return float(f"{value:.4g}")
