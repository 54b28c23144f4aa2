"""Padding: one mark, no doubt where the value ends, and lengths that say little."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.crypto import EncryptedField, Keyset
from portalsec.crypto.codec import Codec, codec_for
from portalsec.crypto.context import associated_data
from portalsec.crypto.padding import padded, padme
from portalsec.errors import ConfigurationError, DecryptionError

KEYS = Keyset.generate("XAES_256_GCM")
pads = st.integers(2, 300) | st.just("padme")


def field(**more):
    return EncryptedField(KEYS, table="t", column="c", **more)


@given(st.binary(max_size=300), pads, pads)
def test_every_value_comes_back_however_far_it_was_padded(data, pad, later):
    plaintext = padded(codec_for(bytes), pad).encode(data)
    assert (
        plaintext[: len(data)] == data
        and plaintext[len(data)] == 0x80
        and not any(plaintext[len(data) + 1 :])
    )
    assert padded(codec_for(bytes), later).decode(plaintext) == data
    cell = field(type=bytes, pad=pad).encrypt(data, row=1)
    assert field(type=bytes, pad=later).decrypt(cell, row=1) == data
    assert len(cell) == 45 + len(plaintext)


@given(st.integers(0, 1000), st.integers(2, 300))
def test_a_multiple_is_the_next_one_with_room_for_the_mark(size, pad):
    length = len(padded(codec_for(bytes), pad).encode(bytes(size)))
    assert length % pad == 0 and size + 1 <= length < size + 1 + pad


def test_what_is_hidden():
    status = field(pad=16)
    assert {len(status.encrypt(value, row=1)) for value in ("", "positive", "negative", "unknown")} == {
        45 + 16
    }


@given(st.integers(0, 2**40))
def test_padme_is_the_paper_s(size):
    """Algorithm 1 of the paper, in its own words."""
    import math

    padded_size = padme(size)
    if size < 2**40 and size > 1:
        e = math.floor(math.log2(size))
        s = math.floor(math.log2(e)) + 1 if e else 1
        mask = 2 ** max(e - s, 0) - 1
        assert padded_size == (size + mask) & ~mask
    assert size <= padded_size <= size * 1.12
    assert padme(padded_size) == padded_size


def test_padme_leaves_few_lengths():
    assert [padme(size) for size in (0, 1, 2, 9, 17, 100, 1000, 10**6)] == [
        0,
        1,
        2,
        10,
        18,
        104,
        1024,
        1015808,
    ]
    assert len({padme(size) for size in range(1, 2**16)}) < 300


def test_padded_and_unpadded_cells_are_never_confused():
    for one, other in ((field(), field(pad=8)), (field(pad=8), field()), (field(pad="padme"), field())):
        cell = one.encrypt("value", row=1)
        with pytest.raises(DecryptionError) as refused:
            other.decrypt(cell, row=1)
        assert refused.value.reason == "not_authentic"


@pytest.mark.parametrize(
    "plaintext", [b"", b"\x00" * 16, b"value", b"value\x00\x00", b"\x80value", b"\xff\x80\x00"]
)
def test_a_genuine_plaintext_without_its_mark_is_refused(plaintext):
    context = associated_data(table="t", column="c", type_byte=b"ps", row=1)
    cell = KEYS.aead().encrypt(plaintext, context)
    with pytest.raises(DecryptionError) as refused:
        field(pad=8).decrypt(cell, row=1)
    assert refused.value.reason == "not_canonical" and refused.value.__context__ is None


@pytest.mark.parametrize("pad", [0, 1, -1, True, 65537, 8.0, "16", "Padme", b"padme"])
def test_another_padding_is_refused(pad):
    with pytest.raises(ConfigurationError, match='from 2 to 65536, or "padme"'):
        field(pad=pad)


def test_no_type_may_look_padded():
    mine = Codec(name="mine", tag=b"ps", encode=str.encode, decode=bytes.decode)
    with pytest.raises(ConfigurationError, match="a type byte of its own"):
        field(type=mine)
