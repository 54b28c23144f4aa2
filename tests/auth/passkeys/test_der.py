"""The reader of DER, against pyasn1's and at random."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyasn1.codec.der.encoder import encode
from pyasn1.type import tag, univ

from portalsec.auth.passkeys import der
from portalsec.auth.passkeys.der import (
    CONTEXT,
    INTEGER,
    OCTETS,
    SEQUENCE,
    Element,
    MalformedDer,
    elements,
    one,
)


@given(st.binary(max_size=70_000))
@example(b"")
@example(bytes(127))
@example(bytes(128))
@example(bytes(65_536))
def test_what_another_writes_is_read(octets: bytes):
    assert one(encode(univ.OctetString(octets))) == Element(OCTETS, octets)


@given(st.integers(-(2**62), 2**63 - 1))
def test_numbers(number: int):
    assert one(encode(univ.Integer(number))).number() == number


@pytest.mark.parametrize("number", [0, 30, 31, 127, 128, 600, 702, 16_383])
def test_tags_of_any_number(number: int):
    tagged = univ.OctetString(b"x").subtype(
        explicitTag=tag.Tag(tag.tagClassContext, tag.tagFormatConstructed, number)
    )
    found = one(encode(tagged))
    assert (found.tag, one(found.content)) == (CONTEXT | number, Element(OCTETS, b"x"))


def test_a_sequence():
    sequence = univ.SequenceOf(componentType=univ.Integer())
    sequence.extend([1, 2, 3])
    assert [each.number() for each in elements(one(encode(sequence)).expect(SEQUENCE))] == [1, 2, 3]
    assert elements(b"") == []


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x04", b"\x04\x01", b"\x04\x02a", b"\x04\x80", b"\x04\x81\x01a", b"\x04\x82\x00\x80" + bytes(128),
        b"\x04\x84\x00\x00\x00\x01a", b"\x04\x81", b"\x04\x83\xff\xff\xff", b"\x1f", b"\x1f\x81", b"\x1f\xff\xff\xff\x7f\x00",
        b"\x04\x01ab", b"\x05\x00\x05\x00", b"\x04\xff" + bytes(300),
    ],
)  # fmt: skip
def test_what_is_not_one_element_of_the_shortest_form_is_refused(data: bytes):
    with pytest.raises(MalformedDer):
        one(data)


def test_more_elements_than_any_certificate_has_are_refused():
    assert len(elements(b"\x05\x00" * 200)) == 200
    with pytest.raises(MalformedDer):
        elements(b"\x05\x00" * 201)


def test_another_tag_and_long_numbers_are_refused():
    for element in (Element(OCTETS, b"\x01"), Element(INTEGER, b""), Element(INTEGER, bytes(9))):
        with pytest.raises(MalformedDer):
            element.number()


@given(st.binary(max_size=60))
def test_nothing_else_is_raised(data: bytes):
    try:
        found = der.elements(data)
    except MalformedDer:
        return
    assert sum(len(each.content) + 2 for each in found) <= len(data)
