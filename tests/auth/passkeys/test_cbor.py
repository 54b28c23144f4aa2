"""The strict reader of CBOR, beside cbor2 and RFC 8949's own examples."""

from __future__ import annotations

import tracemalloc

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.auth.passkeys.cbor import MalformedCbor, read, read_first

SCALARS = (
    st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=300) | st.text(max_size=300) | st.booleans() | st.none()
    | st.floats(allow_nan=False)
)  # fmt: skip
ITEMS = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.integers(-(2**64), 2**64 - 1) | st.text(max_size=9), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(ITEMS)
def test_reads_what_cbor2_writes(item):
    try:
        assert read(cbor2.dumps(item)) == item
    except MalformedCbor:
        assert depth(item) > 7


def depth(item) -> int:
    inner = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
    return 1 + max((depth(each) for each in inner), default=0)


@given(st.binary(max_size=60))
def test_any_bytes_are_an_item_or_malformed(data):
    try:
        item = read(data)
    except MalformedCbor:
        return
    assert cbor2.loads(data) == item or item != item  # NaN


@pytest.mark.parametrize(
    ("text", "item"),
    [
        ("00", 0),
        ("17", 23),
        ("1818", 24),
        ("1bffffffffffffffff", 18446744073709551615),
        ("3bffffffffffffffff", -18446744073709551616),
        ("20", -1),
        ("f90000", 0.0),
        ("f93c00", 1.0),
        ("fa47c35000", 100000.0),
        ("fb3ff199999999999a", 1.1),
        ("f4", False),
        ("f5", True),
        ("f6", None),
        ("40", b""),
        ("4401020304", b"\1\2\3\4"),
        ("6449455446", "IETF"),
        ("62c3bc", "ü"),
        ("80", []),
        ("8301820203820405", [1, [2, 3], [4, 5]]),
        ("a0", {}),
        ("a201020304", {1: 2, 3: 4}),
        ("1800", 0),  # longer than need be: one value all the same
    ],
)
def test_examples_of_rfc_8949(text, item):
    assert read(bytes.fromhex(text)) == item
    assert type(read(bytes.fromhex(text))) is type(item)


@pytest.mark.parametrize(
    "text",
    [
        "", "18", "19ff", "1c", "1d", "1e", "1f", "5f41ff", "7f6161ff", "9fff", "bfff", "ff",  # cut, reserved, endless
        "c000", "d9d9f700", "f7", "f0", "f800", "f8ff", "fc",  # tags, undefined, simple values
        "a101", "a1010203", "a2010201", "a201020103", "a2616101616102",  # cut, trailing, twice
        "a1f500", "a1f600", "a1410000", "a18000", "a1a000", "a1f93c0000",  # keys of other types
        "61ff", "62c328", "63eda080", "0000", "f90000ff",  # no UTF-8, a surrogate, trailing
        "5bffffffffffffffff", "7bffffffffffffffff", "9bffffffffffffffff", "bbffffffffffffffff", "9a7fffffff00",  # bombs
    ],
)  # fmt: skip
def test_everything_else_is_malformed(text):
    with pytest.raises(MalformedCbor):
        read(bytes.fromhex(text))


def test_depth_and_number_are_bounded():
    assert read(b"\x81" * 8 + b"\0")
    for bomb in (b"\x81" * 9 + b"\0", b"\x81" * 60_000, b"\x99\x04\x00" + b"\0" * 1024, b"\x82" * 20_000):
        with pytest.raises(MalformedCbor):
            read(bomb)


def test_a_claimed_length_allocates_nothing():
    tracemalloc.start()
    for head in (0x5B, 0x7B, 0x9B, 0xBB):
        with pytest.raises(MalformedCbor):
            read(bytes([head]) + (2**40).to_bytes(8, "big"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000


def test_the_first_of_several():
    assert read_first(b"\0\x41\1\2", 1) == (b"\1", 3)
    with pytest.raises(MalformedCbor):
        read_first(b"\0", 1)
