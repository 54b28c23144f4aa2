"""The kinds of key accept what tink accepts: sizes, hashes, salts, prefixes and the spelling of their protos."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tink.proto import tink_pb2

from portalsec.crypto._keys import (
    MATERIALS,
    TEMPLATES,
    AesSivKey,
    HkdfPrfKey,
    HmacPrfKey,
    Key,
    KeyProblem,
    XAesGcmKey,
    read_key,
    template_named,
)
from portalsec.crypto._proto import bytes_field, uint_field
from portalsec.secret import Secret
from tests.crypto.keysets import materials, tink_reads
from tests.crypto.support import URL
from tests.crypto.test_proto import NUMBERS, TAGS, TOKENS

KINDS = sorted(url.rpartition(".")[2] for url in MATERIALS)
PREFIXES = {1: "TINK", 2: "LEGACY", 3: "RAW", 4: "CRUNCHY"}


def value(kind: str, size: int, *, param: int | None = None, salt: bytes = b"") -> bytes:
    """A key proto of this size."""
    key = bytes(size)
    if kind == "AesSivKey":
        return bytes_field(2, key)
    params = {"XAesGcmKey": 12, "HmacPrfKey": 3, "HkdfPrfKey": 3}.get(kind)
    if params is None:
        return bytes_field(3, key)
    inner = uint_field(1, params if param is None else param) + (bytes_field(2, salt) if salt else b"")
    return bytes_field(2, inner) + bytes_field(3, key)


def tink_takes(kind: str, proto: bytes, prefix: int = tink_pb2.RAW) -> bool:
    keyset = tink_pb2.Keyset(primary_key_id=42)
    key = keyset.key.add(key_id=42, status=tink_pb2.ENABLED, output_prefix_type=prefix)
    key.key_data.type_url, key.key_data.value = URL + kind, proto
    return tink_reads(keyset.SerializeToString()) is not None


def we_take(kind: str, proto: bytes, prefix: int = tink_pb2.RAW) -> bool:
    try:
        read_key(key_id=42, status=1, prefix=prefix, data=(URL + kind, proto))
    except ValueError as error:
        assert error.__context__ is None and len(str(error)) < 150
        return False
    return True


def test_the_names_of_the_kinds():
    assert KINDS == ["AesGcmKey", "AesGcmSivKey", "AesSivKey", "HkdfPrfKey", "HmacPrfKey", "XAesGcmKey"]


@pytest.mark.parametrize("kind", KINDS)
def test_sizes(kind):
    taken = [size for size in range(140) if we_take(kind, value(kind, size))]
    assert taken == [size for size in range(140) if tink_takes(kind, value(kind, size))]
    assert taken


@pytest.mark.parametrize(("kind", "size"), [("HmacPrfKey", 32), ("HkdfPrfKey", 32), ("XAesGcmKey", 32)])
def test_hashes_and_salt_sizes(kind, size):
    choices = range(20)
    taken = [number for number in choices if we_take(kind, value(kind, size, param=number))]
    assert taken == [number for number in choices if tink_takes(kind, value(kind, size, param=number))]
    assert len(taken) == {"HmacPrfKey": 5, "HkdfPrfKey": 2, "XAesGcmKey": 5}[kind]


@pytest.mark.parametrize("salt", [b"", b"s", bytes(300)])
def test_any_salt_of_hkdf(salt):
    proto = value("HkdfPrfKey", 32, salt=salt)
    assert we_take("HkdfPrfKey", proto) and tink_takes("HkdfPrfKey", proto)
    assert HkdfPrfKey.from_proto(proto).salt == salt


@pytest.mark.parametrize("kind", KINDS)
def test_prefixes(kind):
    proto = value(kind, 64 if kind == "AesSivKey" else 32)
    taken = [prefix for prefix in range(8) if we_take(kind, proto, prefix)]
    assert taken == [prefix for prefix in range(8) if tink_takes(kind, proto, prefix)]
    assert MATERIALS[URL + kind].prefixes == {PREFIXES[prefix] for prefix in taken}


@pytest.mark.parametrize(
    ("prefix", "begins"),
    [("TINK", b"\x01\0\0\0\x2a"), ("CRUNCHY", b"\0\0\0\0\x2a"), ("LEGACY", b"\0\0\0\0\x2a"), ("RAW", b"")],
)
def test_what_outputs_begin_with(prefix, begins):
    material = AesSivKey(Secret(bytes(64)))
    assert Key(id=42, status="ENABLED", prefix=prefix, material=material).output_prefix == begins
    assert Key(id=42, status="DESTROYED", prefix=None, material=None).output_prefix == b""


PIECES = st.one_of(
    TOKENS,
    TAGS,
    NUMBERS,
    st.sampled_from([16, 32, 64, 5]).map(lambda size: bytes_field(3, bytes(size))),
    st.sampled_from([b"\x08\x00", b"\x08\x01", b"\x4b\x4c", b"\x4b\x08\x01\x4c"]),
    st.lists(
        st.sampled_from([0, 3, 4, 8, 12, 2**32 + 3, 2**32 + 12]).map(lambda n: uint_field(1, n)) | TOKENS,
        max_size=2,
    ).map(lambda inner: bytes_field(2, b"".join(inner))),
)


@settings(max_examples=1500)
@given(st.sampled_from(KINDS), st.integers(0, 80), PIECES)
@example("XAesGcmKey", 0, bytes_field(2, b"\x4b" * 99 + b"\x4c" * 99))
@example("XAesGcmKey", 0, bytes_field(2, b"\x4b" * 100 + b"\x4c" * 100))
@example("AesGcmKey", 80, b"\x8d\x80\x80\x80\x10\x00\x00\x00\x00")  # a tag of more than 32 bits
def test_a_key_proto_with_anything_put_in_is_read_as_tink_reads_it(kind, at, piece):
    proto = value(kind, 64 if kind == "AesSivKey" else 32)
    changed = proto[:at] + piece + proto[at:]
    assert we_take(kind, changed) is tink_takes(kind, changed)


@settings(max_examples=300)
@given(st.sampled_from(KINDS), st.binary(max_size=80))
def test_any_bytes_are_a_key_or_one_error(kind, proto):
    assert we_take(kind, proto) is tink_takes(kind, proto)


@given(st.sampled_from(["aead", "daead", "prf"]).flatmap(materials))
def test_no_material_shows_its_key(material):
    key = Key(id=42, status="ENABLED", prefix="RAW", material=material)
    parameters = {"salt_size", "hash", "value"}
    for holder in (material, key):
        shown = repr(holder) + str(holder) + f"{holder}"
        assert "Secret(hidden)" in shown
        assert "\\x" not in shown  # no bytes at all
        with pytest.raises(TypeError):
            pickle.dumps(holder)
        with pytest.raises(TypeError):
            copy.deepcopy(holder)
    assert {part.partition("=")[0] for part in repr(material).partition("(")[2].split(", ")} <= parameters


@pytest.mark.parametrize("template", TEMPLATES)
def test_templates_make_keys_that_tink_takes(template):
    make, prefix = TEMPLATES[template]
    material = make()
    number = {name: number for number, name in PREFIXES.items()}[prefix]
    assert tink_takes(material.type_url.rpartition(".")[2], material.to_proto(), number)
    assert material.name == template
    assert prefix == ("RAW" if material.primitive == "prf" else "TINK")
    assert make().value != material.value


def test_the_other_name_of_the_default():
    assert template_named("XAES_256_GCM_192_BIT_NONCE") is TEMPLATES["XAES_256_GCM"]
    assert template_named("XAES_256_GCM_160_BIT_NONCE") is None
    assert XAesGcmKey(Secret(bytes(32)), 8).name == "XAES_256_GCM_160_BIT_NONCE"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: XAesGcmKey(Secret(bytes(32)), 13), "8 to 12"),
        (lambda: HmacPrfKey(Secret(bytes(32)), "MD5"), "SHA1, SHA224, SHA256"),
        (lambda: HkdfPrfKey(Secret(bytes(32)), "SHA1"), "SHA256 or SHA512"),
        (lambda: AesSivKey(Secret(bytes(32))), "64 bytes, not 32"),
    ],
)
def test_a_key_that_exists_is_valid(make, says):
    with pytest.raises(KeyProblem, match=says):
        make()
