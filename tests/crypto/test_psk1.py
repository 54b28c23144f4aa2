"""A subject's key at rest: what it is bound to, and that the real tink reads it."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tink import aead, proto_keyset_format, secret_key_access

from portalsec.crypto import EncryptedField, Keyset
from portalsec.crypto._keyset_binary import parse_encrypted, write, write_encrypted
from portalsec.crypto._psk1 import (
    check_purpose,
    check_subject,
    names_key,
    new_key,
    rewrap,
    unwrap,
)
from portalsec.crypto.context import associated_data
from portalsec.crypto.ports import SubjectKey
from portalsec.errors import ConfigurationError, DecryptionError
from portalsec.testing.contracts.base import NOW
from tests.crypto.support import tink_aead

WRAPPING = Keyset.generate("AES256_GCM")
KEK = WRAPPING.aead()

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=20)


def made(subject="patient-1", purpose="subject", wrapping=KEK) -> SubjectKey:
    return new_key(purpose, subject, wrapping, now=NOW)


def place(purpose: str, subject: str, commitment: bytes) -> bytes:
    """Written a second time, from the page and not from the code."""
    parts = b""
    for text in (purpose, subject):
        parts += len(text.encode()).to_bytes(4, "big") + text.encode()
    return b"psk1" + parts + commitment


def raw(keyset: Keyset) -> bytes:
    (key,) = keyset._keys
    return key.material.value.reveal()


def refusal(stored: SubjectKey, purpose="subject", subject="patient-1", wrapping=KEK) -> str:
    with pytest.raises(DecryptionError) as caught:
        unwrap(stored, purpose, subject, wrapping)
    assert caught.value.__context__ is None
    return caught.value.reason


STORED = made()
CLOSED = {"not_a_subject_key", "not_authentic", "unknown_key", "too_short"}


# -- the format -------------------------------------------------------------------------------------------------


def test_a_key_comes_back_as_it_was_made():
    stored = made()
    keyset = unwrap(stored, "subject", "patient-1", KEK)
    (info,) = keyset.info()
    assert (info.id, info.type, info.prefix, info.primary) == (stored.key_id, "AES256_GCM", "TINK", True)
    assert (stored.purpose, stored.subject, stored.created_at, stored.erased_at) == (
        "subject",
        "patient-1",
        NOW,
        None,
    )


def test_two_keys_are_two_keys():
    one, other = made(), made()
    assert raw(unwrap(one, "subject", "patient-1", KEK)) != raw(unwrap(other, "subject", "patient-1", KEK))
    assert one.commitment != other.commitment


@given(purpose=texts, subject=texts)
def test_the_commitment_is_the_one_that_is_written_down(purpose: str, subject: str):
    stored = made(subject, purpose)
    data = place(purpose, subject, b"")
    data = b"portalsec commit" + data[:4] + stored.key_id.to_bytes(4, "big") + data[4:]
    key = raw(unwrap(stored, purpose, subject, KEK))
    assert stored.commitment == hmac.new(key, data, hashlib.sha256).digest()


def test_the_real_tink_opens_a_wrapped_key_and_then_a_cell():
    stored = made()
    field = EncryptedField[str](
        unwrap(stored, "subject", "patient-1", KEK).aead(), table="notes", column="text"
    )
    cell = field.encrypt("Ada", row=7)
    # From here on with what a service in another language has: the row, the wrapping keyset, and its own Tink.
    aead.register()
    handle = proto_keyset_format.parse_encrypted(
        stored.wrapped, tink_aead(WRAPPING), place("subject", "patient-1", stored.commitment)
    )
    context = associated_data(table="notes", column="text", type_byte=b"s", row=7)
    assert handle.primitive(aead.Aead).decrypt(cell, context) == b"Ada"


def test_we_open_a_key_that_the_real_tink_wrapped():
    stored = made()
    keyset = unwrap(stored, "subject", "patient-1", KEK)
    theirs = proto_keyset_format.serialize_encrypted(
        proto_keyset_format.parse(write(keyset._keys, keyset.primary_id), secret_key_access.TOKEN),
        tink_aead(WRAPPING),
        place("subject", "patient-1", stored.commitment),
    )
    assert raw(unwrap(replace(stored, wrapped=theirs), "subject", "patient-1", KEK)) == raw(keyset)


def test_a_key_encryption_key_of_any_kind_wraps():
    class Remote:
        """A key service: its outputs begin with nothing that we know."""

        def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes:
            return b"vault:v1:" + KEK.encrypt(plaintext, associated_data)

        def decrypt(self, ciphertext: bytes, associated_data: bytes) -> bytes:
            return KEK.decrypt(ciphertext[9:], associated_data)

    stored = made(wrapping=Remote())
    assert unwrap(stored, "subject", "patient-1", Remote()).primary_id == stored.key_id


# -- bindings ---------------------------------------------------------------------------------------------------


def test_another_subject_s_key_does_not_open():
    assert refusal(replace(made("patient-2"), subject="patient-1")) == "not_authentic"


def test_another_purpose_s_key_does_not_open():
    assert refusal(replace(made(purpose="notes"), purpose="subject")) == "not_authentic"


def test_another_key_s_commitment_does_not_open():
    assert refusal(replace(made(), commitment=made().commitment)) == "not_authentic"


def test_a_wrapping_key_that_is_unknown():
    assert refusal(made(wrapping=Keyset.generate("AES256_GCM").aead())) == "unknown_key"


@given(st.data())
def test_cut_short_or_edited_it_does_not_open(data):
    at = data.draw(st.integers(0, len(STORED.wrapped) - 1))
    flipped = bytearray(STORED.wrapped)
    flipped[at] ^= data.draw(st.integers(1, 255))
    for wrapped in (STORED.wrapped[:at], bytes(flipped)):
        assert refusal(replace(STORED, wrapped=wrapped)) in CLOSED


@given(st.binary(max_size=200))
def test_bytes_that_are_no_key_do_not_open(junk: bytes):
    assert refusal(replace(STORED, wrapped=junk)) in CLOSED


@pytest.mark.parametrize(
    "change", [{"wrapped": None}, {"commitment": None}, {"commitment": b"short"}, {"key_id": 7}]
)
def test_a_row_that_is_no_living_key(change):
    assert refusal(replace(made(), **change)) == "not_a_subject_key"


# Whoever holds the wrapping key can wrap what they like under a right place: then these checks are what stands.


def smuggled(keyset: Keyset, commitment: bytes) -> SubjectKey:
    wrapped = write_encrypted(
        KEK.encrypt(write(keyset._keys, keyset.primary_id), place("subject", "patient-1", commitment))
    )
    return SubjectKey(
        purpose="subject",
        subject="patient-1",
        key_id=keyset.primary_id,
        commitment=commitment,
        wrapped=wrapped,
        created_at=NOW,
    )


def test_a_key_that_is_not_the_committed_one_does_not_open():
    assert refusal(smuggled(Keyset.generate("AES256_GCM"), made().commitment)) == "wrong_commitment"


@pytest.mark.parametrize(
    "keyset",
    [
        Keyset.generate("AES256_GCM").add("AES256_GCM"),
        Keyset.generate("AES128_GCM"),
        Keyset.generate("XAES_256_GCM"),
        Keyset.generate("HMAC_SHA256_PRF"),
    ],
    ids=["two keys", "a short key", "another cipher", "another purpose"],
)
def test_a_keyset_of_another_shape_does_not_open(keyset: Keyset):
    assert refusal(smuggled(keyset, bytes(32))) == "not_a_subject_key"


def test_something_that_is_no_keyset_does_not_open():
    wrapped = write_encrypted(KEK.encrypt(b"\xff\xff", place("subject", "patient-1", bytes(32))))
    stored = replace(made(), wrapped=wrapped, commitment=bytes(32))
    assert refusal(stored) == "not_a_subject_key"


# -- another wrapping key -----------------------------------------------------------------------------------------


def test_a_key_moves_to_another_wrapping_key_and_stays_itself():
    stored = made()
    both = WRAPPING.add("AES256_GCM")
    both = both.promote(both.info()[-1].id)
    moved = replace(stored, wrapped=rewrap(stored, "subject", "patient-1", both.aead()))
    assert names_key(stored.wrapped, KEK.prefix)
    assert not names_key(moved.wrapped, KEK.prefix)
    assert names_key(moved.wrapped, both.aead().prefix)
    alone = both.disable(WRAPPING.primary_id).aead()
    assert raw(unwrap(moved, "subject", "patient-1", alone)) == raw(
        unwrap(stored, "subject", "patient-1", KEK)
    )
    assert refusal(stored, wrapping=alone) == "unknown_key"
    assert not names_key(b"\xff\xff", b"")
    assert parse_encrypted(moved.wrapped).startswith(both.aead().prefix)


# -- ids ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subject", ["", "x" * 256, "nul\x00", "\ud800"])
def test_a_text_that_cannot_be_an_id(subject: str):
    with pytest.raises(ValueError, match="subject's id") as caught:
        check_subject(subject)
    assert subject == "" or subject not in str(caught.value)


@pytest.mark.parametrize("subject", [None, 7, b"patient-1"])
def test_an_id_is_text(subject):
    with pytest.raises(TypeError, match=r"pass str\(id\)"):
        check_subject(subject)


@pytest.mark.parametrize("purpose", ["", "x" * 65, "line\nbreak", None, 7])
def test_a_purpose_is_a_short_printable_text(purpose):
    with pytest.raises(ConfigurationError, match="purpose of subject keys"):
        check_purpose(purpose)
