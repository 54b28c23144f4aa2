"""The strict reader and the writer of key protos."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tink.proto import aes_gcm_pb2, common_pb2, hmac_prf_pb2

from portalsec.crypto._keys import MATERIALS, AesGcmKey, HmacPrfKey
from portalsec.crypto._proto import ProtoError, bytes_field, read, read_message, uint_field
from portalsec.secret import Secret

numbers = st.integers(1, 2**28 - 1)
values = st.one_of(st.integers(1, 2**32 - 1), st.binary(max_size=300))


@given(st.lists(st.tuples(numbers, values)))
def test_what_is_written_is_read(fields):
    data = b"".join(
        uint_field(number, value) if isinstance(value, int) else bytes_field(number, value)
        for number, value in fields
    )
    assert list(read(data)) == fields


def test_zero_is_left_out_and_read_where_it_was_written():
    assert uint_field(1, 0) == b""
    assert read_message(b"\x08\x00", {1: "uint"}) == {1: 0}


@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_one_error(data):
    try:
        fields = list(read(data))
    except ProtoError:
        return
    assert sum(len(value) if isinstance(value, bytes) else 1 for _, value in fields) <= len(data)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\x80", "a number is cut short"),
        (b"\x08", "a number is cut short"),
        (b"\x08\x80\x00", "shortest form"),
        (b"\x88\x00\x01", "shortest form"),
        (b"\x08\xff\xff\xff\xff\x1f", "too large"),
        (b"\x08\x80\x80\x80\x80\x80\x01", "too long"),
        (b"\x00\x01", "number 0"),
        (b"\x0d\x00\x00\x00\x00", "wire type"),
        (b"\x1a\x05abcd", "field 3 is cut short"),
        (b"\x20\x01", "field 4 is unknown"),
        (b"\x18\x01", "field 3 has the wrong wire type"),
        (b"\x0a\x00", "field 1 has the wrong wire type"),
        (b"\x1a\x00\x1a\x00", "field 3 comes twice"),
    ],
)
def test_what_is_not_strictly_the_message_is_refused(data, says):
    with pytest.raises(ProtoError, match=says):
        read_message(data, {1: "uint", 3: "bytes"})


@given(st.binary(min_size=32, max_size=32))
def test_key_values_are_byte_for_byte_tink_s(value):
    gcm = aes_gcm_pb2.AesGcmKey(key_value=value)
    assert AesGcmKey(Secret(value)).to_proto() == gcm.SerializeToString()
    hmac = hmac_prf_pb2.HmacPrfKey(params=hmac_prf_pb2.HmacPrfParams(hash=common_pb2.SHA256), key_value=value)
    assert HmacPrfKey(Secret(value)).to_proto() == hmac.SerializeToString()
    for kind in MATERIALS.values():
        assert kind.from_proto(kind(Secret(value)).to_proto()).value == Secret(value)
