"""The reader and the writer of protocol buffers, beside protobuf's own."""

from __future__ import annotations

import pytest
from google.protobuf import message as protobuf
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tink.proto import (
    aes_gcm_pb2,
    aes_gcm_siv_pb2,
    aes_siv_pb2,
    common_pb2,
    hkdf_prf_pb2,
    hmac_prf_pb2,
    tink_pb2,
    x_aes_gcm_pb2,
)

from portalsec.crypto._keys import (
    AesGcmKey,
    AesGcmSivKey,
    AesSivKey,
    HkdfPrfKey,
    HmacPrfKey,
    XAesGcmKey,
)
from portalsec.crypto._proto import Message, ProtoError, bytes_field, uint_field
from portalsec.secret import Secret

numbers = st.integers(1, 2**29 - 1)
values = st.one_of(st.integers(1, 2**32 - 1), st.binary(max_size=300))


def varint(value: int, size: int = 1) -> bytes:
    """Written in at least this many bytes."""
    out = bytearray()
    while value > 0x7F or len(out) < size - 1:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


@given(st.lists(st.tuples(numbers, values), unique_by=lambda field: field[0]))
def test_what_is_written_is_read(fields):
    data = b"".join(
        uint_field(number, value) if isinstance(value, int) else bytes_field(number, value)
        for number, value in fields
    )
    message = Message(data)
    for number, value in fields:
        assert (message.uint(number) if isinstance(value, int) else message.octets(number)) == value


def test_zero_is_left_out_and_read_where_it_was_written():
    assert uint_field(1, 0) == b""
    assert Message(b"\x08\x00").uint(1) == 0
    assert Message(b"").uint(1) == 0 and Message(b"").octets(1) == b"" and Message(b"").text(1) == ""


def test_protobuf_s_own_rules():
    assert Message(b"\x08\x01\x08\x02").uint(1) == 2  # the last one wins
    assert Message(b"\x0a\x01a\x0a\x01b").octets(1) == b"b"
    assert Message(b"\x0a\x01a\x08\x02").octets(1) == b"a"  # another wire type: an unknown field
    assert Message(b"\x08\x02\x0a\x01a").uint(1) == 2
    merged = Message(b"\x0a\x02\x08\x07\x0a\x02\x10\x08").message(1)
    assert (merged.uint(1), merged.uint(2)) == (7, 8)
    assert Message(b"\x08" + varint(2**32 + 5)).uint(1) == 5  # cut to the width of the field
    assert Message(b"\x08\x85\x80\x00").uint(1) == 5


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\x80", "a number is cut short"),
        (b"\x08", "a number is cut short"),
        (b"\x08" + b"\x80" * 10 + b"\x00", "a number is too long"),
        (varint(8, 6) + b"\x00", "a number is too long"),
        (b"\x1a" + varint(1, 6) + b"x", "a number is too long"),
        (b"\x00\x01", "number 0"),
        (varint(2**32 + 8) + b"\x00", "a number that is too large"),
        (b"\x0d\x00\x00\x00", "field 1 is cut short"),
        (b"\x09" + bytes(7), "field 1 is cut short"),
        (b"\x0e", "wire type"),
        (b"\x0f", "wire type"),
        (b"\x1a\x05abcd", "field 3 is cut short"),
        (b"\x0b", "does not end"),
        (b"\x0c", "did not begin"),
        (b"\x0b\x14", "did not begin"),
        (b"\x0b" * 101 + b"\x0c" * 101, "too deeply"),
    ],
)
def test_what_is_no_message_is_refused(data, says):
    with pytest.raises(ProtoError, match=says):
        Message(data)
    with pytest.raises(protobuf.DecodeError):
        tink_pb2.Keyset.FromString(data)


def test_a_text_is_utf_8():
    assert Message(b"\x0a\x02\xc3\xbc").text(1) == "ü"
    with pytest.raises(ProtoError, match="UTF-8") as refused:
        Message(b"\x0a\x01\xff\x0a\x00").text(1)
    assert refused.value.__context__ is None


TAGS = st.builds(
    lambda number, wire, size: varint(number << 3 | wire, size),
    st.sampled_from([1, 1, 2, 2, 3, 4, 15, 16, 2**29 - 1]),
    st.sampled_from([0, 0, 0, 2, 2, 2, 1, 3, 4, 5, 6]),
    st.sampled_from([1, 1, 1, 1, 2, 5, 6]),
)
NUMBERS = st.builds(
    varint,
    st.sampled_from([0, 1, 2, 3, 5, 127, 128, 2**31, 2**32 - 1, 2**32, 2**64 - 1]),
    st.sampled_from([1, 1, 1, 3, 5, 6, 10, 11]),
)
TOKENS = st.lists(TAGS | NUMBERS | st.binary(max_size=8), max_size=8).map(b"".join)


@settings(max_examples=600)
@given(TOKENS | st.binary(max_size=60))
@example(b"\x0b" * 100 + b"\x0c" * 100)
@example(b"\x12\x00" + b"\x13\x14")
def test_any_bytes_are_read_as_protobuf_reads_them_or_are_one_error(data):
    """As the message HkdfPrfParams, which has an enum and bytes."""
    try:
        theirs = hkdf_prf_pb2.HkdfPrfParams.FromString(data)
    except protobuf.DecodeError:
        with pytest.raises(ProtoError):
            Message(data)
        return
    ours = Message(data)
    assert (ours.uint(1), ours.octets(2)) == (theirs.hash & 0xFFFFFFFF, theirs.salt)


@given(st.binary(min_size=32, max_size=32), st.integers(8, 12), st.binary(max_size=40))
def test_key_values_are_byte_for_byte_tink_s(value, salt_size, salt):
    secret = Secret(value)
    sha256, sha512 = common_pb2.SHA256, common_pb2.SHA512
    pairs = [
        (AesGcmKey(secret), aes_gcm_pb2.AesGcmKey(key_value=value)),
        (AesGcmSivKey(secret), aes_gcm_siv_pb2.AesGcmSivKey(key_value=value)),
        (
            XAesGcmKey(secret, salt_size),
            x_aes_gcm_pb2.XAesGcmKey(
                params=x_aes_gcm_pb2.XAesGcmParams(salt_size=salt_size), key_value=value
            ),
        ),
        (AesSivKey(Secret(value * 2)), aes_siv_pb2.AesSivKey(key_value=value * 2)),
        (
            HmacPrfKey(secret, "SHA512"),
            hmac_prf_pb2.HmacPrfKey(params=hmac_prf_pb2.HmacPrfParams(hash=sha512), key_value=value),
        ),
        (
            HkdfPrfKey(secret, "SHA256", salt),
            hkdf_prf_pb2.HkdfPrfKey(
                params=hkdf_prf_pb2.HkdfPrfParams(hash=sha256, salt=salt), key_value=value
            ),
        ),
    ]
    for ours, theirs in pairs:
        assert ours.to_proto() == theirs.SerializeToString()
        again = type(ours).from_proto(ours.to_proto())
        for name in ("value", "salt_size", "hash", "salt"):
            assert getattr(again, name, None) == getattr(ours, name, None)
