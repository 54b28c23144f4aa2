"""Deterministic encryption beside the real tink, and Tink's own vectors."""

from __future__ import annotations

import json

import pytest
import tink
from hypothesis import given
from hypothesis import strategies as st
from tink import daead

from portalsec.crypto import Keyset
from portalsec.crypto._keys import AesSivKey, Key
from portalsec.errors import ConfigurationError, DecryptionError
from portalsec.secret import Secret
from tests.crypto.keysets import keysets, of_tink
from tests.support import shared

KEYS = Keyset.generate("AES256_SIV")


def tink_daead(keys: Keyset) -> daead.DeterministicAead:
    return of_tink(keys).primitive(daead.DeterministicAead)


def one(key_id: int, value: bytes, prefix: str) -> Keyset:
    return Keyset(
        [Key(id=key_id, status="ENABLED", prefix=prefix, material=AesSivKey(Secret(value)))], key_id
    )


@given(keysets("daead"), st.binary(max_size=200), st.binary(max_size=60))
def test_byte_for_byte_tink_s_under_any_keys_and_prefix(keys, plaintext, place):
    ours, theirs = keys.deterministic_aead(), tink_daead(keys)
    sealed = ours.encrypt_deterministically(plaintext, place)
    assert sealed == theirs.encrypt_deterministically(plaintext, place)
    assert ours.decrypt_deterministically(sealed, place) == plaintext
    assert theirs.decrypt_deterministically(sealed, place) == plaintext


@given(keysets("daead"), st.data(), st.binary(max_size=40))
def test_any_key_of_the_set_opens_what_it_wrote_and_tink_agrees(keys, data, plaintext):
    writer = data.draw(st.sampled_from([key.id for key in keys.info() if key.status == "ENABLED"]))
    sealed = keys.promote(writer).deterministic_aead().encrypt_deterministically(plaintext, b"place")
    kind = data.draw(st.sampled_from(["whole", "flipped", "cut", "prefix"]))
    if kind == "flipped":
        at = data.draw(st.integers(0, len(sealed) - 1))
        sealed = sealed[:at] + bytes([sealed[at] ^ 0x40]) + sealed[at + 1 :]
    elif kind == "cut":
        sealed = sealed[: data.draw(st.integers(0, len(sealed) - 1))]
    elif kind == "prefix":
        other = data.draw(st.sampled_from([key.id for key in keys.info()]))
        sealed = data.draw(st.sampled_from([b"\x00", b"\x01"])) + other.to_bytes(4, "big") + sealed
    try:
        theirs = tink_daead(keys).decrypt_deterministically(sealed, b"place")
    except tink.TinkError:
        theirs = None
    try:
        ours = keys.deterministic_aead().decrypt_deterministically(sealed, b"place")
    except DecryptionError:
        ours = None
    assert ours == theirs
    if kind == "whole":
        assert ours == plaintext


def test_the_vectors_of_tink():
    vectors = json.loads(shared("vectors", "crypto", "tink", "aes_siv.json").read_text("utf-8"))["vectors"]
    sizes = {vector["key_size_in_bytes"] for vector in vectors}
    assert sizes == {32, 48, 64}  # tink's Python refuses the two smaller, and so do we
    for vector in vectors:
        prefix = {"NoPrefix": "RAW", "Tink": "TINK", "Crunchy": "CRUNCHY"}[vector["variant"]]
        key = bytes.fromhex(vector["key_hex"])
        if len(key) != 64:
            with pytest.raises(ValueError, match="64 bytes"):
                one(1, key, prefix)
            continue
        cipher = one(vector["id_requirement"] or 1, key, prefix).deterministic_aead()
        plaintext, place = bytes.fromhex(vector["plaintext_hex"]), bytes.fromhex(vector["aad_hex"])
        assert cipher.encrypt_deterministically(plaintext, place).hex() == vector["ciphertext_hex"]
        assert cipher.decrypt_deterministically(bytes.fromhex(vector["ciphertext_hex"]), place) == plaintext


def test_every_failed_opening_is_one_error():
    cipher = KEYS.deterministic_aead()
    sealed = cipher.encrypt_deterministically(b"value", b"place")
    cases = {
        b"": "too_short",
        sealed[:20]: "too_short",
        sealed[:-1]: "not_authentic",
        b"\x01\x00\x00\x00\x00" + sealed[5:]: "unknown_key",
        b"\x00" + sealed[1:]: "unknown_key",
        "text": "not_bytes",
        None: "not_bytes",
    }
    for ciphertext, reason in cases.items():
        with pytest.raises(DecryptionError, match=r"^Decryption failed\.$") as refused:
            cipher.decrypt_deterministically(ciphertext, b"place")
        assert refused.value.reason == reason
        assert refused.value.__context__ is None
    with pytest.raises(DecryptionError):
        cipher.decrypt_deterministically(sealed, b"other place")
    with pytest.raises(DecryptionError):
        Keyset.generate("AES256_SIV").deterministic_aead().decrypt_deterministically(sealed, b"place")


@pytest.mark.parametrize("buffer", [bytearray, memoryview])
def test_buffers_of_drivers_open(buffer):
    cipher = KEYS.deterministic_aead()
    sealed = cipher.encrypt_deterministically(b"value", b"place")
    assert cipher.decrypt_deterministically(buffer(sealed), b"place") == b"value"


def test_what_is_not_bytes_is_a_mistake_of_the_caller():
    cipher = KEYS.deterministic_aead()
    for call in (
        lambda: cipher.encrypt_deterministically("text", b""),
        lambda: cipher.encrypt_deterministically(b"", None),
        lambda: cipher.decrypt_deterministically(b"", None),
    ):
        with pytest.raises(TypeError, match="bytes, not"):
            call()


@pytest.mark.parametrize("template", ["XAES_256_GCM", "HMAC_SHA256_PRF"])
def test_keys_of_another_purpose_are_refused(template):
    with pytest.raises(ConfigurationError, match=f"given a keyset of {template} keys.*AES256_SIV"):
        Keyset.generate(template).deterministic_aead()
    with pytest.raises(ConfigurationError, match="given a keyset of AES256_SIV keys"):
        KEYS.aead()
