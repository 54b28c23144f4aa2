"""Time: an argument in kernels, a callable in services, always aware UTC."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from portalsec.errors import ConfigurationError

__all__ = [
    "Clock",
    "from_unix_microseconds",
    "microseconds_or_none",
    "moment_or_none",
    "nearest_moment",
    "require_utc",
    "system_clock",
    "unix_microseconds",
    "unix_seconds",
]

Clock = Callable[[], datetime]
"""Returns the present moment as an aware UTC datetime."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def system_clock() -> datetime:
    """The operating system's clock, aware UTC."""
    return datetime.now(UTC)


def require_utc(moment: datetime) -> datetime:
    """Return ``moment`` unchanged if it is aware UTC; else raise `ConfigurationError` (a clock that lies is a bug)."""
    if moment.tzinfo is None or moment.utcoffset() != timedelta(0):
        raise ConfigurationError(
            f"a clock returned {'a naive' if moment.tzinfo is None else 'a non-UTC'} datetime; "
            "return datetime.now(timezone.utc)"
        )
    return moment


def unix_seconds(moment: datetime) -> int:
    """Whole seconds since 1970-01-01T00:00Z, rounded down (as RFC 6238 counts them)."""
    return (moment - _EPOCH) // timedelta(seconds=1)


def unix_microseconds(moment: datetime) -> int:
    """Microseconds since 1970-01-01T00:00Z, exact: what the stores keep, since it sorts and never rounds."""
    return (moment - _EPOCH) // _MICROSECOND


def from_unix_microseconds(value: int) -> datetime:
    """The inverse of `unix_microseconds`."""
    return _EPOCH + value * _MICROSECOND


def nearest_moment(value: object) -> datetime:
    """`from_unix_microseconds` for a row that somebody else may have written: what is no time is the end of the calendar.

    A number past the calendar is its last moment, which lies in the future; one before it, and whatever is no number,
    its first, which is long past. Never raises, so that a damaged row ends what it is about like any other that ended.
    """
    if not isinstance(value, int):
        return _FIRST
    try:
        return from_unix_microseconds(value)
    except OverflowError:
        return _LAST if value > 0 else _FIRST


def microseconds_or_none(moment: datetime | None) -> int | None:
    """`unix_microseconds` of a moment that may never have come."""
    return None if moment is None else unix_microseconds(moment)


def moment_or_none(value: int | None) -> datetime | None:
    """The inverse of `microseconds_or_none`."""
    return None if value is None else from_unix_microseconds(value)
