"""Tink's binary form, beside the real tink: same bytes written, same bytes read, the rest refused."""

from __future__ import annotations

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from tink import proto_keyset_format, secret_key_access
from tink.proto import tink_pb2

from portalsec.crypto import Keyset
from portalsec.crypto._keys import MATERIALS
from portalsec.crypto._proto import bytes_field, uint_field
from portalsec.crypto.insecure import keyset_to_bytes, keyset_to_json
from portalsec.errors import ConfigurationError
from portalsec.secret import Secret
from tests.crypto.keysets import any_keyset, of_tink, tink_reads
from tests.crypto.support import URL, b64
from tests.crypto.test_proto import NUMBERS, TAGS, TOKENS

PLAIN = bytes_field(3, bytes(range(0x80, 0xA0)))


def key(
    key_id: int = 42,
    proto: bytes = PLAIN,
    *,
    kind: str = "AesGcmKey",
    status: int = 1,
    prefix: int = 1,
    data_more: bytes = b"",
    more: bytes = b"",
) -> bytes:
    """One entry, as field 2 of a keyset; ``more`` is put at the end of it."""
    data = bytes_field(1, (URL + kind).encode()) + bytes_field(2, proto) + uint_field(3, 1) + data_more
    entry = bytes_field(1, data) + uint_field(2, status) + uint_field(3, key_id) + uint_field(4, prefix)
    return bytes_field(2, entry + more)


ONE = uint_field(1, 42) + key()


def read(data: bytes) -> Keyset | None:
    try:
        return Keyset.from_bytes(data)
    except ConfigurationError as error:
        assert str(error).startswith("this is not a usable keyset: ") and len(str(error)) < 250
        assert error.__context__ is None and error.__cause__ is None
        return None


# -- writing ----------------------------------------------------------------------------------------------------


@given(any_keyset)
def test_what_is_written_is_byte_for_byte_tink_s(keys):
    data = keyset_to_bytes(keys)
    assert proto_keyset_format.serialize(of_tink(data), secret_key_access.TOKEN) == data
    again = Keyset.from_bytes(data)
    assert again.info() == keys.info() and keyset_to_bytes(again) == data
    assert keyset_to_json(Keyset.from_json(keyset_to_json(keys))) == keyset_to_json(again)


def test_a_secret_is_read():
    assert Keyset.from_bytes(Secret(ONE)).primary_id == 42


# -- reading ----------------------------------------------------------------------------------------------------

READ = {
    "canonical": ONE,
    "fields in another order": key() + uint_field(1, 42),
    "primary id twice": uint_field(1, 7) + ONE,
    "primary id of 64 bits": b"\x08" + b"\xaa\x80\x80\x80\x10" + key(),
    "primary id written longer": b"\x08\xaa\x80\x00" + key(),
    "an unknown field": ONE + uint_field(9, 1),
    "an unknown fixed field": ONE + b"\x4d" + bytes(4) + b"\x49" + bytes(8),
    "an unknown group": ONE + b"\x4b\x08\x05\x53\x54\x4c",
    "groups in groups": ONE + b"\x4b" * 100 + b"\x4c" * 100,
    "a field of another wire type": ONE + bytes_field(1, b"x") + uint_field(2, 5),
    "a status twice": uint_field(1, 42) + key(status=2, more=uint_field(2, 1)),
    "an unknown field of a key": uint_field(1, 42) + key(more=bytes_field(9, b"x")),
    "key data in pieces": uint_field(1, 42) + key(proto=b"", more=bytes_field(1, bytes_field(2, PLAIN))),
    "a value twice": uint_field(1, 42) + key(proto=b"no", data_more=bytes_field(2, PLAIN)),
    "another material type": uint_field(1, 42) + key(data_more=uint_field(3, 4)),
    "a material type that does not exist": uint_field(1, 42) + key(data_more=uint_field(3, 99)),
    "a destroyed key without data": ONE + bytes_field(2, uint_field(2, 3) + uint_field(3, 7)),
    "a destroyed key with data of any kind": ONE + key(7, b"junk", kind="Other", status=3, prefix=9),
    "an id of 64 bits": uint_field(1, 42) + key(more=b"\x18\xaa\x80\x80\x80\x10"),
    "a disabled key": ONE + key(7, status=2),
}

REFUSED = {
    "nothing": b"",
    "text": b"{}",
    "no key": uint_field(1, 42),
    "no primary id": key(),
    "primary missing": uint_field(1, 41) + key(),
    "primary disabled": uint_field(1, 42) + key(status=2),
    "primary destroyed": uint_field(1, 42) + key(status=3),
    "primary of an unknown status": uint_field(1, 42) + key(status=9),
    "primary without prefix": uint_field(1, 42) + key(prefix=0),
    "primary of an unknown prefix": uint_field(1, 42) + key(prefix=9),
    "primary twice": ONE + key(),
    "a key without status": ONE + key(7, status=0),
    "an empty key": ONE + bytes_field(2, b""),
    "an enabled key without data": ONE
    + bytes_field(2, uint_field(2, 1) + uint_field(3, 7) + uint_field(4, 1)),
    "a disabled key without data": ONE
    + bytes_field(2, uint_field(2, 2) + uint_field(3, 7) + uint_field(4, 1)),
    "a type that is not UTF-8": ONE + key(7, status=3, data_more=bytes_field(1, b"\xff")),
    "cut short": ONE[:-1],
    "field 0": ONE + b"\x00\x01",
    "a wire type that does not exist": ONE + b"\x4e",
    "a group that does not end": ONE + b"\x4b",
    "a group that did not begin": ONE + b"\x4c",
    "groups nested too deeply": ONE + b"\x4b" * 101 + b"\x4c" * 101,
    "groups nested too deeply in a key": uint_field(1, 42) + key(more=b"\x4b" * 100 + b"\x4c" * 100),
    "groups nested too deeply in its data": uint_field(1, 42) + key(data_more=b"\x4b" * 99 + b"\x4c" * 99),
    "a tag of more than 32 bits": ONE + b"\xc8\x80\x80\x80\x10\x01",
    "AES-192": uint_field(1, 42) + key(proto=bytes_field(3, bytes(24))),
    "XAES with CRUNCHY": uint_field(1, 42)
    + key(proto=b"\x12\x02\x08\x0c" + PLAIN, kind="XAesGcmKey", prefix=4),
    "mixed purposes": ONE + key(7, b"\x12\x02\x08\x03" + PLAIN, kind="HmacPrfKey", prefix=3),
}

ONLY_WE_REFUSE = {
    "an id twice": ONE + key(7) + key(7),
    "an id of a destroyed key twice": ONE + key(7) + bytes_field(2, uint_field(2, 3) + uint_field(3, 7)),
    "the primary's id destroyed too": ONE + key(status=3),
    "id 0": ONE + key(0),
    "id 0 as primary": key(0),
    "a status that does not exist": ONE + key(7, status=9),
    "megabytes": ONE + bytes_field(9, bytes(2**22)),
}
_CHACHA = ONE + key(7, PLAIN, kind="XChaCha20Poly1305Key")
ONLY_WE_REFUSE["a kind that we have not"] = _CHACHA


@pytest.mark.parametrize("case", READ)
def test_what_protobuf_reads_is_read(case):
    theirs = tink_reads(READ[case])
    assert theirs is not None
    ours = Keyset.from_bytes(READ[case])
    same_keys(ours, theirs)


@pytest.mark.parametrize("case", [*REFUSED, *ONLY_WE_REFUSE])
def test_what_is_no_keyset_is_refused_in_one_sentence(case):
    data = REFUSED.get(case, ONLY_WE_REFUSE.get(case))
    assert (tink_reads(data) is not None) is (case in ONLY_WE_REFUSE)
    assert read(data) is None


@pytest.mark.parametrize("other", [None, 5, "{}", [b"x"], Secret("{}")])
def test_what_is_not_bytes_is_refused(other):
    with pytest.raises(ConfigurationError, match="bytes are needed"):
        Keyset.from_bytes(other)


def same_keys(ours: Keyset, theirs: tink_pb2.Keyset) -> None:
    """Ids, states, prefixes and every byte of every key; tink's own protobuf reads both."""
    mine = tink_pb2.Keyset.FromString(keyset_to_bytes(ours))
    assert mine.primary_key_id == theirs.primary_key_id
    assert len(mine.key) == len(theirs.key)
    for one, other in zip(mine.key, theirs.key, strict=True):
        assert (one.key_id, one.status) == (other.key_id, other.status)
        if one.status == tink_pb2.DESTROYED:
            assert not one.HasField("key_data")
            continue
        assert one.output_prefix_type == other.output_prefix_type
        assert one.key_data.type_url == other.key_data.type_url
        kind = MATERIALS[other.key_data.type_url]
        assert kind.from_proto(other.key_data.value).to_proto() == one.key_data.value


def ours_alone(keyset: tink_pb2.Keyset) -> bool:
    """What we refuse and tink reads: ids 0 and twice, states and kinds that we have not."""
    ids = [entry.key_id for entry in keyset.key]
    live = [entry for entry in keyset.key if entry.status != tink_pb2.DESTROYED]
    return (
        0 in ids
        or len(set(ids)) != len(ids)
        or any(entry.status not in (1, 2) for entry in live)
        or any(entry.key_data.type_url not in MATERIALS for entry in live)
    )


# -- fuzzing ----------------------------------------------------------------------------------------------------


PIECES = st.one_of(TOKENS, TAGS, NUMBERS, st.binary(max_size=3), st.sampled_from([key(7), key(0), b"", None]))
CHANGES = st.lists(
    st.tuples(
        st.one_of(st.sampled_from([0, 10**6]), st.integers(0, 400)),
        st.sampled_from([0, 0, 0, 1, 1, 2, 40]),
        PIECES,
    ),
    min_size=1,
    max_size=3,
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A keyset of any keys with up to three pieces of it cut out, doubled, overwritten or put in."""
    data = keyset_to_bytes(draw(any_keyset))
    for start, cut, piece in draw(CHANGES):
        new = data[start : start + cut] * 2 if piece is None else piece
        data = data[:start] + new + data[start + cut :]
    return data


FIELDS = st.one_of(
    st.builds(uint_field, st.sampled_from([2, 3, 4, 9]), st.sampled_from([0, 1, 2, 3, 4, 7, 42, 2**32])),
    st.just(bytes_field(1, b"")),
    st.builds(
        lambda proto: bytes_field(1, bytes_field(2, proto)), st.sampled_from([PLAIN, b"", b"\x08\x01"])
    ),
    st.builds(
        lambda kind: bytes_field(1, bytes_field(1, (URL + kind).encode("latin-1"))),
        st.sampled_from(["AesGcmKey", "AesGcmSivKey", "HmacPrfKey", "XChaCha20Poly1305Key", "\xff", ""]),
    ),
    TOKENS,
)


ENTRIES = st.lists(
    st.builds(
        lambda key_id, status, prefix, more: key(key_id, status=status, prefix=prefix, more=b"".join(more)),
        st.sampled_from([42, 42, 7, 8, 0, 2**32 - 1]),
        st.sampled_from([1, 1, 1, 2, 3, 9]),
        st.sampled_from([1, 1, 1, 2, 3, 4, 0, 9]),
        st.lists(FIELDS, max_size=2),
    ),
    min_size=1,
    max_size=3,
)
built = st.builds(
    lambda first, entries, last: first + b"".join(entries) + last,
    st.sampled_from([b"", uint_field(1, 42), b"\x08\xaa\x80\x00"]),
    ENTRIES,
    st.sampled_from([b"", b"", uint_field(1, 7), uint_field(9, 1), b"\x4b\x4c"]),
)
"""A keyset of well-formed entries whose fields come twice, in any order, or are strange."""


@settings(max_examples=800)
@given(st.one_of(mutated(), built))
@example(uint_field(1, 42) + key(kind="HmacPrfKey", proto=b"\x12\x02\x08\x03" + PLAIN, prefix=3))
def test_a_changed_keyset_is_read_as_tink_reads_it_or_refused(data):
    ours, theirs = read(data), tink_reads(data)
    event(f"tink {'reads' if theirs is not None else 'refuses'}, we {'read' if ours else 'refuse'}")
    if theirs is None or ours_alone(theirs):
        assert ours is None
    else:
        assert ours is not None
        same_keys(ours, theirs)


@settings(max_examples=500)
@given(st.binary(max_size=120))
def test_any_bytes_are_a_keyset_or_one_error(data):
    assert (read(data) is not None) <= (tink_reads(data) is not None)


@settings(max_examples=300)
@given(st.integers(0, len(ONE) - 1), st.integers(0, 255))
def test_any_byte_of_a_keyset_may_change(at, byte):
    data = ONE[:at] + bytes([byte]) + ONE[at + 1 :]
    ours, theirs = read(data), tink_reads(data)
    assert (ours is not None) is (theirs is not None and not ours_alone(theirs))


def test_the_binary_and_the_json_form_are_one_keyset():
    assert keyset_to_json(Keyset.from_bytes(ONE)).count(b64(PLAIN)) == 1
