"""`psc1`: injective, and what it refuses."""

from __future__ import annotations

import enum
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portalsec.crypto.context import associated_data, place
from portalsec.errors import ConfigurationError

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
near = st.text("\x00\x01ab-iust", min_size=1, max_size=5)  # what could be taken for a part of the encoding
ids = st.recursive(
    st.integers() | st.uuids() | texts | near,
    lambda inner: st.lists(inner, min_size=1, max_size=3).map(tuple),
)
places = st.fixed_dictionaries(
    {
        "table": texts | near,
        "column": texts | near,
        "type_byte": st.sampled_from([b"s", b"b", b"i"]),
        "row": st.none() | ids,
        "tenant": st.none() | texts | near,
    }
)


def parse(data: bytes):
    """Reads an encoding back: what has a left inverse is injective."""

    def sized(at):
        size = int.from_bytes(data[at : at + 4], "big")
        return data[at + 4 : at + 4 + size], at + 4 + size

    assert data[:4] == b"psc1"
    table, at = sized(4)
    column, at = sized(at)
    kind, at = data[at : at + 1], at + 1
    tenant = None
    if data[at] == 1:
        tenant, at = sized(at + 1)
    else:
        assert data[at] == 0
        at += 1
    row = parse_row(data[at : at + 1], data[at + 1 :])
    return {
        "table": table.decode(),
        "column": column.decode(),
        "type_byte": kind,
        "row": row,
        "tenant": None if tenant is None else tenant.decode(),
    }


def parse_row(kind, payload):
    if kind == b"-":
        assert payload == b""
        return None
    if kind == b"i":
        return int(payload)
    if kind == b"u":
        return UUID(bytes=payload)
    if kind == b"s":
        return payload.decode()
    assert kind == b"t"
    parts = []
    while payload:
        size = int.from_bytes(payload[1:5], "big")
        parts.append(parse_row(payload[:1], payload[5 : 5 + size]))
        payload = payload[5 + size :]
    return tuple(parts)


@settings(max_examples=300)
@given(places)
def test_a_place_can_be_read_back_from_its_encoding(place):
    assert parse(associated_data(**place)) == place


@settings(max_examples=300)
@given(places, places)
def test_two_places_never_share_an_encoding(one, other):
    assert (associated_data(**one) == associated_data(**other)) is (one == other)


def test_the_same_digits_of_another_type_are_another_row():
    number = UUID(int=7)
    rows = [7, "7", number, str(number), (7,), ("7",), ((7,),), (7, 7), None]
    encodings = {associated_data(table="t", column="c", type_byte=b"s", row=row) for row in rows}
    assert len(encodings) == len(rows)


class Colour(enum.StrEnum):
    RED = "red"


class Number(enum.IntEnum):
    ONE = 1


@pytest.mark.parametrize(("special", "plain"), [(Colour.RED, "red"), (Number.ONE, 1)])
def test_subclasses_are_what_they_hold(special, plain):
    one, other = (associated_data(table="t", column="c", type_byte=b"s", row=row) for row in (special, plain))
    assert one == other


@pytest.mark.parametrize("row", [True, False, 1.0, b"7", [7], {7}, object(), (True,), (7, 1.5), ((b"x",),)])
def test_a_row_id_of_another_type_is_refused(row):
    with pytest.raises(TypeError, match="a row id is an int, str, UUID or a tuple of them"):
        associated_data(table="t", column="c", type_byte=b"s", row=row)


@pytest.mark.parametrize("row", ["", (), ("",), (7, None), (None,), "\ud800", ("x", "\udfff")])
def test_a_row_id_that_says_nothing_is_refused(row):
    with pytest.raises(ValueError) as refused:
        associated_data(table="t", column="c", type_byte=b"s", row=row)
    assert type(refused.value) is ValueError and refused.value.__context__ is None


@pytest.mark.parametrize(
    ("tenant", "error"), [("", ValueError), ("\ud800", ValueError), (5, TypeError), (b"x", TypeError)]
)
def test_a_tenant_that_is_none_is_refused(tenant, error):
    with pytest.raises(error, match="tenant"):
        associated_data(table="t", column="c", type_byte=b"s", row=1, tenant=tenant)


@pytest.mark.parametrize("label", ["", None, 5, b"t", "\ud800"])
@pytest.mark.parametrize("which", ["table", "column"])
def test_a_label_that_is_none_is_refused(which, label):
    labels = {"table": "t", "column": "c", which: label}
    with pytest.raises(ConfigurationError, match=which):
        associated_data(**labels, type_byte=b"s", row=1)


def test_a_row_id_is_not_nested_for_ever():
    row = ("a",)
    for _ in range(100_000):
        row = (row,)
    with pytest.raises(ValueError, match="nested too deeply"):
        place(b"", row, None)
    assert place(b"", ((("a", 1), 2), 3), None)
