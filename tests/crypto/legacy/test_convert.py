"""What older libraries store becomes a value of the field's type, or is refused: never guessed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.crypto.codec import JSON, codec_for
from portalsec.crypto.legacy import ReprText, Zoned, convert
from portalsec.errors import DecryptionError
from tests.support import stable

TYPES = (str, bytes, bool, int, Decimal, date, datetime, UUID)
ZONES = st.integers(-86399, 86399).map(lambda seconds: timezone(timedelta(seconds=seconds)))


def converted(value: object, kind: Any) -> Any:
    return convert(value, codec_for(kind))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_text(value: str) -> None:
    assert converted(value, str) == value
    assert converted(value.encode(), str) == value
    assert converted(value, bytes) == value.encode()
    assert type(converted(ReprText(value), str)) is str


@given(st.binary())
def test_bytes(value: bytes) -> None:
    assert converted(value, bytes) == value
    assert converted(ReprText(repr(value)), bytes) == value


@given(st.integers(-(2**200), 2**200))
def test_int(value: int) -> None:
    for each in (value, str(value), repr(value).encode(), ReprText(repr(value))):
        assert converted(each, int) == value
    assert converted(value, Decimal) == value


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_decimal(value: Decimal) -> None:
    for each in (value, str(value), ReprText(repr(value))):
        assert converted(each, Decimal).as_tuple() == value.as_tuple()


@given(st.dates(), st.uuids())
def test_date_and_uuid(day: date, uuid: UUID) -> None:
    for each in (day, day.isoformat(), str(day).encode()):
        assert converted(each, date) == day
    for each in (uuid, str(uuid), uuid.hex, uuid.bytes, ReprText(repr(uuid))):
        assert converted(each, UUID) == uuid


@given(st.datetimes(timezones=ZONES | st.just(UTC)))
def test_datetime(value: datetime) -> None:
    for each in (value, value.isoformat(), str(value)):
        found = converted(each, datetime)
        assert (found, found.utcoffset()) == (value, value.utcoffset())


def test_bool() -> None:
    for spelled in (True, 1, "True", "true", b"true", "1", "t"):
        assert converted(spelled, bool) is True
    for spelled in (False, 0, "False", "false", b"0", "f"):
        assert converted(spelled, bool) is False


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists, max_leaves=5))
def test_json(value: object) -> None:
    import json

    try:
        codec_for(JSON).encode(value)
    except ValueError:
        return
    assert converted(json.dumps(value), JSON) == value
    if not isinstance(value, str):
        assert converted(value, JSON) == value


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (b"\xff", str),
        (1, str),
        (None, str),
        ("\ud800", str),
        (1, bytes),
        (ReprText("text"), bytes),
        (ReprText("b'' + b''"), bytes),
        (ReprText("b'\\xg'"), bytes),
        (ReprText("b'\\g'"), bytes),
        (ReprText("b'\n'"), bytes),
        (ReprText("b'\0'"), bytes),
        (ReprText("b'ä'"), bytes),
        ("yes", bool),
        (2, bool),
        ("", bool),
        ("1.0", int),
        (" 1", int),
        ("1_000", int),
        ("٣", int),
        (True, int),
        (1.0, int),
        ("9" * 5000, int),
        ("nan", Decimal),
        ("1_0", Decimal),
        (Decimal("Infinity"), Decimal),
        (1.5, Decimal),
        ("Decimal('1')", Decimal),  # a text that was not made by repr
        ("2020-1-2", date),
        ("2020-13-01", date),
        ("20200102", date),
        ("2020-01-02 00:00:00", date),
        (datetime(2020, 1, 2, tzinfo=UTC), date),
        ("2020-01-02T00:00:00", datetime),  # names no instant
        (datetime(2020, 1, 2), datetime),
        ("2020-01-02", datetime),
        ("2020-W01-1T00:00+00:00", datetime),
        ("{1234}", UUID),
        (b"\x00" * 15, UUID),
        ("NaN", JSON),
        ("[" * 100_000, JSON),
        ("hello", JSON),
        ({1: 2}, JSON),
        (float("nan"), JSON),
        (object(), JSON),
    ],
    ids=stable,
)
def test_what_only_looks_like_it_is_refused(value: object, kind: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        converted(value, kind)


@given(st.text() | st.binary() | st.text().map(ReprText), st.sampled_from((*TYPES, JSON)))
def test_whatever_is_converted_can_be_written_and_nothing_else_is_raised(value: object, kind: Any) -> None:
    try:
        found = converted(value, kind)
    except (TypeError, ValueError):
        return
    codec = codec_for(kind)
    assert codec.decode(codec.encode(found)) == found


class _Reader:
    name = "old"

    def __init__(self, found: object) -> None:
        self._found = found

    def read(self, data: bytes | str) -> object | None:
        return self._found


def test_datetimes_without_a_zone_get_the_one_that_is_said() -> None:
    zone = timezone(timedelta(hours=2))
    naive, aware = datetime(2020, 1, 2, 3, 4), datetime(2020, 1, 2, 3, 4, tzinfo=UTC)
    for stored in (naive, "2020-01-02T03:04:00", b"2020-01-02 03:04"):
        assert Zoned(_Reader(stored), zone).read(b"") == naive.replace(tzinfo=zone)
    assert Zoned(_Reader(aware), zone).read(b"") == aware
    assert Zoned(_Reader(None), zone).read(b"") is None
    assert Zoned(_Reader(naive), zone).name == "old"
    for stored in ("yesterday", 5, b"\xff"):
        with pytest.raises(DecryptionError):
            Zoned(_Reader(stored), zone).read(b"")
