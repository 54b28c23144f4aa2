"""A clock that stands still until a test moves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from portalsec.clock import require_utc

__all__ = ["FrozenClock"]

_START = datetime(2026, 3, 2, 9, 0, 0, tzinfo=UTC)


class FrozenClock:
    """A `portalsec.clock.Clock`: call it for the moment, `advance` it to let time pass.

    Args:
        start: aware UTC; a Monday morning in 2026 by default.
    """

    def __init__(self, start: datetime = _START) -> None:
        self._now = require_utc(start)

    def __call__(self) -> datetime:
        return self._now

    def advance(self, by: timedelta) -> datetime:
        """Move by a duration and return the new moment. A negative one is a clock that was set back."""
        self._now += by
        return self._now

    def set(self, moment: datetime) -> datetime:
        """Jump to an aware UTC moment and return it."""
        self._now = require_utc(moment)
        return self._now

    def __repr__(self) -> str:
        return f"FrozenClock({self._now.isoformat()})"
