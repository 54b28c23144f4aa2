"""A scalar out of a pickle: what is on the list is read as pickle reads it, and nothing ever runs."""

from __future__ import annotations

import datetime as dt
import os
import pickle
import pickletools
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portalsec.crypto.legacy.pickled import PickleRefused, scalar
from tests.support import stable

ZONES = st.integers(-86399, 86399).map(lambda seconds: dt.timezone(dt.timedelta(seconds=seconds)))
SCALARS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.binary(),
    st.booleans(),
    st.integers(-(2**300), 2**300),
    st.floats(allow_nan=False),
    st.dates(),
    st.datetimes(),
    st.datetimes(timezones=ZONES | st.just(dt.UTC), allow_imaginary=False),
    st.decimals(allow_nan=False),
    st.uuids(),
)


@given(SCALARS, st.sampled_from([3, 4, 5]))
def test_what_is_on_the_list_is_read_as_pickle_reads_it(value: object, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    found = scalar(data)
    assert found == value
    assert type(found) is type(value)
    if isinstance(value, dt.datetime):
        assert (found.utcoffset(), found.fold) == (value.utcoffset(), pickle.loads(data).fold)  # type: ignore[attr-defined]
    if isinstance(value, Decimal):
        assert found.as_tuple() == value.as_tuple()  # type: ignore[attr-defined]
    assert scalar(pickletools.optimize(data)) == value


@pytest.mark.parametrize("size", [255, 256, 65_536, 300_000])
def test_long_texts_and_bytes(size: int) -> None:
    assert scalar(pickle.dumps("ü" * size)) == "ü" * size
    assert scalar(pickle.dumps(b"u" * size)) == b"u" * size


ran: list[object] = []


def run(*arguments: object) -> object:
    ran.append(arguments)
    return "value"


class Reduces:
    def __init__(self, *reduction: Any) -> None:
        self._reduction = reduction

    def __reduce__(self) -> Any:
        return self._reduction


class OwnText(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        (),
        ("a",),
        ["a"],
        {"a": 1},
        {1},
        1j,
        dt.timedelta(1),
        dt.UTC,
        dt.time(1, 2),
        bytearray(b"x"),
        OwnText("x"),
        int,
        UUID,
        Decimal,
        run,
        os.system,
        Reduces(run, ("x",)),
        Reduces(os.system, ("true",)),
        Reduces(eval, ("1",)),
        Reduces(getattr, ("x", "upper")),
        Reduces(dt.date, (2020, 1, 1)),
        Reduces(dt.date.fromisoformat, ("2020-01-01",)),
        Reduces(dt.datetime, (b"\x07\xe4\x01\x01\x00\x00\x00\x00\x00\x00", "zone")),
        Reduces(dt.datetime, (b"\x07\xe4\x01\x01",)),
        Reduces(dt.date, (b"\x07\xe4\x0d\x01",)),
        Reduces(dt.date, ()),
        Reduces(Decimal, ("one",)),
        Reduces(Decimal, (1.5,)),
        Reduces(Decimal, ("9" * 5000,)),
        Reduces(Decimal, ((0, (1,), 0),)),
        Reduces(UUID, ("12345678123456781234567812345678",)),
        Reduces(UUID, (None, None, None, None, 5)),
        Reduces(int, ("5",)),
        Reduces(str, ("5",)),
    ],
    ids=stable,
)
def test_anything_else_is_refused_and_nothing_runs(value: object) -> None:
    for protocol in range(6):
        try:
            data = pickle.dumps(value, protocol)
        except Exception:
            continue
        with pytest.raises(PickleRefused):
            scalar(data)
    assert ran == []


HOSTILE = [
    b"cos\nsystem\n(S'true'\ntR.",
    b"c__builtin__\neval\n(S'1'\ntR.",
    b"(S'true'\nios\nsystem\n.",
    b"(cos\nsystem\nS'true'\no.",
    b"\x80\x02cos\nsystem\nq\x00X\x04\x00\x00\x00trueq\x01\x85q\x02Rq\x03.",
    b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
    b"\x80\x04\x8c\x08datetime\x8c\x04date.today\x93)R.",
    b"\x80\x04\x8c\x08datetime\x8c\x04date\x93.",
    b"\x80\x02\x82\x01.",  # the extension registry
    b"Pid\n.",  # persistent ids
    b"\x80\x04\x8c\x01xQ.",
    b"\x80\x05\x97.",  # out-of-band buffers
    b"\x80\x04]\x94h\x00a.",  # a list that holds itself
    b"\x80\x04\x8c\x04uuid\x8c\x04UUID\x93)\x81.",
    b"\x80\x04\x8c\x04uuid\x8c\x04UUID\x93)\x81}b.",
    b"\x80\x04\x8c\x04uuid\x8c\x04UUID\x93)\x81}\x8c\x03intK\x05s\x8c\x03intK\x06sb.",
    b"\x80\x04\x8c\x04uuid\x8c\x04UUID\x93)\x81}\x8c\x09__class__K\x05sb.",
    b"\x80\x04\x8c\x04uuid\x8c\x04UUID\x93)\x81}\x8c\x03int\x8a\x11" + b"\x7f" * 17 + b"sb.",
    b"\x80\x04\x8c\x07decimal\x8c\x07Decimal\x93)\x81.",
    b"\x80\x04K\x01K\x02.",
    b"\x80\x04.",
    b"\x80\x04K\x01",
    b"\x80\x04K\x01.K\x02.",
    b"\x80\x04h\x05.",
    b"\x80\x04\x85.",
    b"\x80\x04R.",
    b"\x80\x04\x8b\xff\xff\xff\x7f.",
    b"\x80\x04\x8d" + b"\xff" * 8 + b".",
    b"\x80\x04" + b"K\x01\x94" * 1000 + b".",
    b"I" + b"9" * 100_000 + b"\n.",
    b"",
    b"hello",
    b"\x80\x04\x8c\x01x" + b" " * (1 << 20) + b".",
]


@pytest.mark.parametrize("data", HOSTILE, ids=lambda data: repr(data[:24]))
def test_hostile_pickles_are_refused(data: bytes) -> None:
    with pytest.raises(PickleRefused):
        scalar(data)


@settings(max_examples=500)
@given(st.data())
def test_a_fuzzed_pickle_is_read_as_pickle_would_or_refused(data: Any) -> None:
    mutated = bytearray(pickle.dumps(data.draw(SCALARS), data.draw(st.sampled_from([3, 4]))))
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(mutated) - 1))
        mutated[at] = data.draw(st.integers(0, 255))
    try:
        found = scalar(bytes(mutated))
    except PickleRefused:
        return
    assert isinstance(found, (str, bytes, bool, int, float, dt.date, Decimal, UUID))
