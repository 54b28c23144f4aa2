"""Counters in memory."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from portalsec.auth.ports import Take
from portalsec.clock import from_unix_microseconds, unix_microseconds

__all__ = ["MemoryThrottle"]

_MICROSECOND = timedelta(microseconds=1)


@dataclass(slots=True)
class _Counter:
    start: int
    end: int
    used: int
    level: int
    kept_until: int  # past its end an escalating counter still says how long the next window is


_SWEEP_EVERY = 4096


class MemoryThrottle:
    """`portalsec.auth.ports.ThrottleStore`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: dict[str, _Counter] = {}
        self._takes = 0

    def take(
        self,
        key: str,
        *,
        limit: int,
        window: timedelta,
        now: datetime,
        longest: timedelta | None = None,
        heals: timedelta | None = None,
    ) -> Take:
        moment = unix_microseconds(now)
        with self._lock:
            self._sweep(moment)
            counter = self._counters.get(key)
            if counter is None or counter.end <= moment:
                counter = _next(counter, moment, limit=limit, window=window, longest=longest, heals=heals)
            ok = counter.used < limit
            if ok:
                counter.used += 1
                self._counters[key] = counter
            return Take(
                ok=ok,
                window=counter.start,
                used=counter.used,
                resets_at=from_unix_microseconds(counter.end),
                level=counter.level,
            )

    def give_back(self, key: str, *, window: int) -> None:
        with self._lock:
            counter = self._counters.get(key)
            if counter is not None and counter.start == window:
                counter.used = max(0, counter.used - 1)

    def clear(self, key: str) -> None:
        with self._lock:
            self._counters.pop(key, None)

    def _sweep(self, moment: int) -> None:
        # A visitor chooses some of the keys: without this, memory would grow with every name that is tried.
        self._takes += 1
        if self._takes % _SWEEP_EVERY == 0:
            self._counters = {key: kept for key, kept in self._counters.items() if kept.kept_until > moment}


def _next(
    before: _Counter | None,
    moment: int,
    *,
    limit: int,
    window: timedelta,
    longest: timedelta | None,
    heals: timedelta | None,
) -> _Counter:
    """The window that starts now, after the one before it."""
    length, level, memory = window // _MICROSECOND, 0, 0
    if longest is not None:
        memory = (longest if heals is None else heals) // _MICROSECOND
        # At a limit of nothing no unit can be taken, so that a budget of which nothing is left is not used up.
        if before is not None and before.used >= max(limit, 1) and moment - before.end <= memory:
            length = max(length, min(2 * (before.end - before.start), longest // _MICROSECOND))
            level = before.level + 1
    return _Counter(moment, moment + length, 0, level, moment + length + memory)
