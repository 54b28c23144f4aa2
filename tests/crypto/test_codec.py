"""The codecs: what goes in comes out, one encoding a value, and nothing else."""

from __future__ import annotations

import decimal
import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portalsec.crypto.codec import JSON, Codec, CodecError, codec_for
from portalsec.errors import ConfigurationError

text = st.text(st.characters(exclude_categories=["Cs"]))
whole_offsets = st.integers(-86_399, 86_399).map(lambda seconds: timezone(timedelta(seconds=seconds)))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=10,
)
VALUES = {
    str: text,
    bytes: st.binary(),
    bool: st.booleans(),
    int: st.integers() | st.integers(min_value=-(2**70_000), max_value=2**70_000),
    Decimal: st.decimals(allow_nan=False, allow_infinity=False),
    date: st.dates(),
    datetime: st.datetimes(timezones=whole_offsets | st.just(UTC)),
    UUID: st.uuids(),
    JSON: json_values,
}
KINDS = pytest.mark.parametrize("kind", VALUES, ids=lambda kind: codec_for(kind).name)


def same(one, other):
    """Equal to the last bit: 1.50 is not 1.5, True not 1, +02:00 not UTC."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Decimal):
        return one.as_tuple() == other.as_tuple()
    if isinstance(one, datetime):
        return one == other and one.utcoffset() == other.utcoffset()
    if isinstance(one, float):
        return one.hex() == other.hex()
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    return one == other


@KINDS
@given(data=st.data())
def test_what_goes_in_comes_out(kind, data):
    codec = codec_for(kind)
    value = data.draw(VALUES[kind])
    assert same(codec.decode(codec.encode(value)), value)


@KINDS
@settings(max_examples=200)
@given(data=st.data())
def test_any_bytes_decode_to_what_encodes_to_them_or_to_one_error(kind, data):
    codec = codec_for(kind)
    encoding = data.draw(st.binary(max_size=20) | VALUES[kind].map(codec.encode))
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(encoding)))
        encoding = (
            encoding[:at] + data.draw(st.binary(max_size=1)) + encoding[at + data.draw(st.integers(0, 1)) :]
        )
    try:
        value = codec.decode(encoding)
    except CodecError as error:
        assert error.__context__ is None
        return
    assert codec.encode(value) == encoding


def test_type_bytes_are_unique():
    tags = [codec_for(kind).tag for kind in VALUES]
    assert len(set(tags)) == len(tags) == 9
    assert all(len(tag) == 1 for tag in tags)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 32_767, 32_768])
@pytest.mark.parametrize("sign", [1, -1])
def test_an_int_takes_as_few_bytes_as_hold_it(size, sign):
    value = sign * size
    encoding = codec_for(int).encode(value)
    assert int.from_bytes(encoding, "big", signed=True) == value
    if len(encoding) > 1:
        with pytest.raises(OverflowError):
            value.to_bytes(len(encoding) - 1, "big", signed=True)


def test_a_decimal_does_not_depend_on_the_context_of_the_thread():
    codec = codec_for(Decimal)
    value = Decimal("123456789.123456789E+10")
    usual = codec.encode(value)
    with decimal.localcontext(decimal.Context(prec=2, capitals=0, Emax=5, Emin=-5)):
        assert codec.encode(value) == usual
        assert codec.decode(usual).as_tuple() == value.as_tuple()


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/St_Johns", "Asia/Kathmandu"])
def test_a_datetime_keeps_its_instant_and_offset_in_both_halves_of_a_repeated_hour(zone):
    codec = codec_for(datetime)
    for fold in (0, 1):
        value = datetime(2025, 10, 26, 2, 30, tzinfo=ZoneInfo(zone), fold=fold)
        back = codec.decode(codec.encode(value))
        assert back.astimezone(UTC) == value.astimezone(UTC)
        assert back.utcoffset() == value.utcoffset()


@pytest.mark.parametrize(
    "value",
    [
        datetime.min.replace(tzinfo=timezone(timedelta(hours=23, minutes=59))),
        datetime.max.replace(tzinfo=timezone(-timedelta(hours=23, minutes=59))),
        datetime.min.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC),
    ],
)
def test_the_ends_of_time_come_back(value):
    codec = codec_for(datetime)
    back = codec.decode(codec.encode(value))
    assert back.replace(tzinfo=None) == value.replace(tzinfo=None)
    assert back.utcoffset() == value.utcoffset()


def test_json_is_canonical():
    encode = JSON.encode
    assert encode({"b": [1, 1.5, None], "a": "ü"}) == '{"a":"ü","b":[1,1.5,null]}'.encode()
    for loose in (
        b'{"b":1,"a":2}',
        b"[1, 2]",
        b"1.50",
        b'"\\u00fc"',
        b" 1",
        b'{"a":1,"a":1}',
        b"1E5",
        b"NaN",
    ):
        json.loads(loose)  # JSON it is, but not the one encoding
        with pytest.raises(CodecError):
            JSON.decode(loose)


WRONG = [
    (str, [b"x", 1, ["x"]]),
    (bytes, ["x", bytearray(b"x"), memoryview(b"x"), 1]),
    (bool, [1, 0, "True", []]),
    (int, [True, 1.0, "1", Decimal(1)]),
    (Decimal, [1, 1.0, "1"]),
    (date, [datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01", 1]),
    (datetime, [date(2026, 1, 1), "2026-01-01T00:00Z", 1.0]),
    (UUID, ["0192f0c1-7e7a-7cc2-9d4e-6b1f9f1c2ab3", 7, bytes(16)]),
]


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in WRONG for value in values])
def test_a_value_of_another_type_is_a_type_error(kind, value):
    with pytest.raises(
        TypeError, match=f"this field holds {codec_for(kind).name}, not {type(value).__name__}"
    ):
        codec_for(kind).encode(value)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (str, "secret \ud800"),
        (Decimal, Decimal("NaN")),
        (Decimal, Decimal("-Infinity")),
        (datetime, datetime(2026, 1, 1)),
        (datetime, datetime(2026, 1, 1, tzinfo=timezone(timedelta(microseconds=1)))),
        (JSON, float("nan")),
        (JSON, [float("inf")]),
        (JSON, {"secret": ("tuple",)}),
        (JSON, {1: "secret"}),
        (JSON, b"secret"),
        (JSON, "secret \ud800"),
        (JSON, Decimal(1)),
        pytest.param(JSON, 10**5000, id="digits"),
    ],
)
def test_a_value_without_an_encoding_is_a_value_error_that_does_not_show_it(kind, value):
    with pytest.raises(ValueError) as refused:
        codec_for(kind).encode(value)
    assert type(refused.value) is ValueError
    assert refused.value.__context__ is None
    assert "secret" not in str(refused.value) and "000" not in str(refused.value)


def test_json_without_end_is_refused():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValueError, match="too deeply"):
        JSON.encode(deep)
    with pytest.raises(CodecError):
        JSON.decode(b"[" * 100_000)


@pytest.mark.parametrize("kind", [float, dict, list, object, None, "str", 5, timedelta])
def test_a_type_without_a_codec_is_refused_with_the_known_ones(kind):
    with pytest.raises(
        ConfigurationError, match="str, bytes, bool, int, Decimal, date, datetime, UUID, or portalsec"
    ):
        codec_for(kind)


@pytest.mark.parametrize("tag", [b"", b"xx", b"s", b"j", b"p", "x", b"s\x00s"])
def test_a_codec_of_ones_own_has_a_type_byte_of_its_own(tag):
    """With more, or another's, one cell would open in two places (psc1 would not be injective)."""
    mine = Codec(name="mine", tag=tag, encode=str.encode, decode=bytes.decode)
    with pytest.raises(ConfigurationError, match="a type byte of its own"):
        codec_for(mine)


def test_a_codec_of_ones_own_is_taken():
    mine = Codec(name="mine", tag=b"x", encode=str.encode, decode=bytes.decode)
    assert codec_for(mine) is mine
    assert codec_for(JSON) is JSON
    assert codec_for(codec_for(int)) is codec_for(int)
