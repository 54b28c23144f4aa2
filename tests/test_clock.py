"""Time: aware UTC or refused, and exact on the way to a store and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.clock import (
    from_unix_microseconds,
    nearest_moment,
    require_utc,
    system_clock,
    unix_microseconds,
    unix_seconds,
)
from portalsec.errors import ConfigurationError

_moments = st.datetimes(timezones=st.just(UTC))


def test_the_system_clock_is_utc() -> None:
    assert require_utc(system_clock()).tzinfo is UTC


def test_a_naive_clock_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"a naive datetime; return datetime\.now"):
        require_utc(datetime(2026, 1, 1))


@pytest.mark.parametrize("hours", [-5, 1])
def test_a_clock_of_another_zone_is_refused(hours: int) -> None:
    with pytest.raises(ConfigurationError, match="a non-UTC datetime"):
        require_utc(datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=hours))))


def test_utc_by_another_name_is_utc() -> None:
    moment = datetime(2026, 1, 1, tzinfo=timezone(timedelta(0), "Z"))
    assert require_utc(moment) is moment


@given(_moments)
def test_microseconds_come_back_exactly(moment: datetime) -> None:
    assert from_unix_microseconds(unix_microseconds(moment)) == moment
    assert from_unix_microseconds(unix_microseconds(moment)).tzinfo is UTC


@given(_moments, _moments)
def test_microseconds_sort_as_the_moments_do(a: datetime, b: datetime) -> None:
    assert (unix_microseconds(a) < unix_microseconds(b)) is (a < b)


@given(_moments)
def test_seconds_round_down_also_before_1970(moment: datetime) -> None:
    whole = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=unix_seconds(moment))
    assert timedelta(0) <= moment - whole < timedelta(seconds=1)


def test_known_moments() -> None:
    # The times of RFC 6238, appendix B.
    assert unix_seconds(datetime(2005, 3, 18, 1, 58, 29, 999_999, tzinfo=UTC)) == 1_111_111_109
    assert unix_seconds(datetime(2603, 10, 11, 11, 33, 20, tzinfo=UTC)) == 20_000_000_000
    assert unix_microseconds(datetime(1970, 1, 1, 0, 0, 1, 7, tzinfo=UTC)) == 1_000_007


def test_what_is_no_moment_is_the_end_of_the_calendar() -> None:
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    assert nearest_moment(0) == datetime(1970, 1, 1, tzinfo=UTC)
    assert nearest_moment(2**62) == last
    assert [nearest_moment(value) for value in (-(2**62), None, "now", 1.5)] == [first] * 4
