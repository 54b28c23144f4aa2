"""`EncryptedField`: every cell opens in its place and nowhere else."""

from __future__ import annotations

import itertools
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portalsec.crypto import JSON, EncryptedField, Keyset
from portalsec.crypto.codec import Codec, codec_for
from portalsec.crypto.context import associated_data
from portalsec.errors import ConfigurationError, DecryptionError
from tests.crypto.support import KEY, gcm_key, keyset, tink_aead
from tests.crypto.test_codec import VALUES, same
from tests.crypto.test_context import ids

KEYS = keyset(gcm_key(), gcm_key(7, bytes(32)))
SSN = EncryptedField[str](KEYS, table="patients", column="ssn")


class Plain:
    """An `Aead` of somebody else: the field takes its general way."""

    def __init__(self, keys):
        self._aead = keys.aead()

    def encrypt(self, plaintext, associated_data):
        return self._aead.encrypt(plaintext, associated_data)

    def decrypt(self, ciphertext, associated_data):
        return self._aead.decrypt(ciphertext, associated_data)


def refused(field, ciphertext, **place):
    with pytest.raises(DecryptionError) as error:
        field.decrypt(ciphertext, **place)
    assert str(error.value) == "Decryption failed." and error.value.__context__ is None
    return error.value.reason


# -- what goes in comes out, on both ways ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: codec_for(kind).name)
@settings(max_examples=60)
@given(data=st.data())
def test_every_type_in_every_row_both_ways(kind, data):
    """The flattened way and the general way write and read the same cells."""
    value, row = data.draw(VALUES[kind].filter(lambda value: value is not None)), data.draw(ids)
    flat = EncryptedField(KEYS, table="t", column="c", type=kind)
    general = EncryptedField(Plain(KEYS), table="t", column="c", type=kind)
    context = associated_data(table="t", column="c", type_byte=codec_for(kind).tag, row=row)
    for one, other in itertools.product((flat, general), repeat=2):
        cell = one.encrypt(value, row=row)
        assert same(other.decrypt(cell, row=row), value)
        assert KEYS.aead().decrypt(cell, context) == codec_for(kind).encode(value)
        assert len(cell) == len(codec_for(kind).encode(value)) + 33


@settings(max_examples=60)
@given(value=st.text(st.characters(exclude_categories=["Cs"])), row=ids)
def test_the_real_tink_reads_our_cells_and_we_read_its(value, row):
    context = associated_data(table="patients", column="ssn", type_byte=b"s", row=row)
    assert tink_aead(KEYS).decrypt(SSN.encrypt(value, row=row), context) == value.encode()
    assert SSN.decrypt(tink_aead(KEYS).encrypt(value.encode(), context), row=row) == value


def test_null_stays_null_and_empty_is_a_value():
    assert SSN.encrypt(None, row=1) is None
    assert SSN.decrypt(None, row=1) is None
    cell = SSN.encrypt("", row=1)
    assert len(cell) == 33 and SSN.decrypt(cell, row=1) == ""
    assert refused(SSN, b"", row=1) == "too_short"
    data = EncryptedField[object](KEYS, table="t", column="c", type=JSON)
    assert data.decrypt(data.encrypt([None], row=1), row=1) == [None]


def test_the_default_type_is_text_and_the_labels_are_what_was_declared():
    assert (SSN.table, SSN.column) == ("patients", "ssn")
    assert repr(SSN) == "<EncryptedField 'patients'.'ssn', keys hidden>"
    with pytest.raises(TypeError, match="this field holds str, not bytes"):
        SSN.encrypt(b"x", row=1)


def test_equal_values_have_different_cells():
    assert len({SSN.encrypt("same", row=1) for _ in range(100)}) == 100


# -- every other place is refused -----------------------------------------------------------------------------

FIELDS = {
    (table, column, tenanted): EncryptedField[str](KEYS, table=table, column=column, tenanted=tenanted)
    for table in ("patients", "visits")
    for column in ("ssn", "note")
    for tenanted in (False, True)
}
ROWS = (1, 2, "1", "2", UUID(int=1), (1, "x"), ("x", 1), (1,))
PLACES = [
    (field, {"row": row} | ({"tenant": tenant} if tenanted else {}))
    for (_, _, tenanted), field in FIELDS.items()
    for row in ROWS
    for tenant in (("clinic-a", "clinic-b") if tenanted else (None,))
]


def test_a_cell_opens_in_its_own_place_only():
    """Each of 96 places against each: swapped row, column, table and tenant, every one refused."""
    cells = [field.encrypt("value", **place) for field, place in PLACES]
    opened = 0
    for (at, cell), (there, (field, place)) in itertools.product(enumerate(cells), enumerate(PLACES)):
        if at == there:
            assert field.decrypt(cell, **place) == "value"
            opened += 1
        else:
            assert refused(field, cell, **place) == "not_authentic"
    assert opened == len(PLACES) == 96


def test_a_cell_of_one_type_never_opens_as_another():
    kinds = (str, bytes, bool, int, Decimal, date, datetime, UUID, JSON)
    for one, other in itertools.product(kinds, repeat=2):
        # "1" is a text, some bytes, an int and a JSON number: only the authenticated type tells them apart.
        context = associated_data(table="t", column="c", type_byte=codec_for(one).tag, row=1)
        cell = KEYS.aead().encrypt(b"1", context)
        field = EncryptedField(KEYS, table="t", column="c", type=other)
        if one is not other:
            assert refused(field, cell, row=1) == "not_authentic"
        elif one in (str, bytes, int, JSON):
            assert field.decrypt(cell, row=1) in ("1", b"1", 0x31, 1)


def test_genuine_bytes_that_are_no_canonical_value_are_refused():
    for kind, plaintext in ((str, b"\xff"), (int, b"\x00\x01"), (date, b"20260101"), (JSON, b"[1, 2]")):
        field = EncryptedField(KEYS, table="t", column="c", type=kind)
        context = associated_data(table="t", column="c", type_byte=codec_for(kind).tag, row=1)
        assert refused(field, KEYS.aead().encrypt(plaintext, context), row=1) == "not_canonical"


@pytest.mark.parametrize("field", [SSN, EncryptedField[str](Plain(KEYS), table="patients", column="ssn")])
def test_every_flipped_bit_and_every_cut_is_refused(field):
    cell = field.encrypt("O+", row="p1")
    for at in range(8 * len(cell)):
        flipped = bytearray(cell)
        flipped[at // 8] ^= 1 << at % 8
        refused(field, bytes(flipped), row="p1")
    for size in range(len(cell)):
        refused(field, cell[:size], row="p1")


def test_re_prefixed_and_wrong_keys_are_refused():
    cell = SSN.encrypt("value", row=1)
    assert refused(SSN, b"\x01\x00\x00\x00\x07" + cell[5:], row=1) == "not_authentic"
    assert refused(SSN, b"\x01\x00\x00\x00\x09" + cell[5:], row=1) == "unknown_key"
    wrong = EncryptedField[str](keyset(gcm_key(value=bytes(32))), table="patients", column="ssn")
    assert refused(wrong, cell, row=1) == "not_authentic"
    other = EncryptedField[str](Keyset.generate("AES256_GCM"), table="patients", column="ssn")
    assert refused(other, cell, row=1) == "unknown_key"


@settings(max_examples=300)
@given(
    junk=st.binary(max_size=80) | st.sampled_from(["text", 5, 1.5, [], {}, object()]),
    framed=st.booleans(),
    row=ids,
)
def test_whatever_the_column_holds_is_refused_with_one_error(junk, framed, row):
    if framed and isinstance(junk, bytes):
        junk = b"\x01\x00\x00\x00\x2a" + junk
    refused(SSN, junk, row=row)


@pytest.mark.parametrize("buffer", [bytearray, memoryview])
def test_buffers_of_drivers_are_read(buffer):
    assert SSN.decrypt(buffer(SSN.encrypt("value", row=1)), row=1) == "value"


# -- binding --------------------------------------------------------------------------------------------------


def test_a_forgotten_row_is_never_a_weaker_binding():
    cell = SSN.encrypt("value", row=1)
    for call in (
        lambda: SSN.encrypt("value"),
        lambda: SSN.decrypt(cell),
        lambda: SSN.decrypt(cell, row=None),
    ):
        with pytest.raises(TypeError, match=r"patients\.ssn is bound to its row: pass row="):
            call()


def test_a_column_bound_field_takes_no_row_and_is_another_place():
    loose = EncryptedField[str](KEYS, table="patients", column="ssn", context="column")
    cell = loose.encrypt("value")
    assert loose.decrypt(cell) == "value"
    assert refused(SSN, cell, row=1) == "not_authentic"
    assert refused(loose, SSN.encrypt("value", row=1)) == "not_authentic"
    with pytest.raises(TypeError, match="no row="):
        loose.encrypt("value", row=1)
    with pytest.raises(TypeError, match="no row="):
        loose.decrypt(cell, row=1)


def test_a_tenant_is_given_where_it_was_declared_and_only_there():
    field = FIELDS["patients", "ssn", True]
    cell = field.encrypt("value", row=1, tenant="clinic-a")
    for call in (lambda: field.encrypt("value", row=1), lambda: field.decrypt(cell, row=1)):
        with pytest.raises(TypeError, match="pass tenant="):
            call()
    for call in (
        lambda: SSN.encrypt("value", row=1, tenant="clinic-a"),
        lambda: SSN.decrypt(cell, row=1, tenant="clinic-a"),
    ):
        with pytest.raises(TypeError, match="no tenant="):
            call()


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ("", ValueError),
        ((), ValueError),
        ("\ud800", ValueError),
        (True, TypeError),
        (1.5, TypeError),
        (b"1", TypeError),
    ],
)
def test_a_row_that_is_no_id_is_refused(row, error):
    cell = SSN.encrypt("value", row=1)
    for call in (lambda: SSN.encrypt("value", row=row), lambda: SSN.decrypt(cell, row=row)):
        with pytest.raises(error, match="row id") as refusal:
            call()
        assert type(refusal.value) is error and refusal.value.__context__ is None


def test_a_value_that_has_no_encoding_is_refused_without_being_shown():
    with pytest.raises(ValueError) as refusal:
        SSN.encrypt("078-05-1120 \ud800", row=1)
    assert type(refusal.value) is ValueError and refusal.value.__context__ is None
    assert "078" not in repr(refusal.value)


@pytest.mark.parametrize("keys", [Keyset.generate("HMAC_SHA256_PRF")])
def test_keys_for_hashing_do_not_encrypt(keys):
    with pytest.raises(ConfigurationError, match="encryption was given a keyset of HMAC_SHA256_PRF keys"):
        EncryptedField[str](keys, table="t", column="c")


@pytest.mark.parametrize(
    "wrong", [{"table": ""}, {"column": None}, {"context": "cell"}, {"context": None}, {"type": float}]
)
def test_a_field_that_is_declared_wrong_is_refused(wrong):
    with pytest.raises(ConfigurationError):
        EncryptedField(KEYS, **({"table": "t", "column": "c"} | wrong))


def test_cells_of_a_raw_keyset_open_too():
    raw = keyset(gcm_key(prefix="RAW"), gcm_key(7, KEY[:16], prefix="RAW"))
    field = EncryptedField[str](raw, table="t", column="c")
    cell = field.encrypt("value", row=1)
    assert len(cell) == 5 + 28
    assert field.decrypt(cell, row=1) == "value"
    refused(field, cell, row=2)


@pytest.mark.parametrize("flat", [True, False])
def test_none_stays_none_whatever_the_codec_can_encode(flat):
    mine = Codec(name="mine", tag=b"x", encode=repr_of, decode=bytes.decode)
    for kind in (JSON, mine, str, bytes):
        field = EncryptedField(KEYS, table="t", column="c", type=kind, text=not flat)
        assert field.encrypt(None, row=1) is None
        assert field.encrypt_many([None, None], rows=[1, 2]) == [None, None]
        assert field.reencrypt(None, row=1) is None
        assert field.rebind(None, row=1, to_row=2) is None


def repr_of(value):
    return repr(value).encode()


@pytest.mark.parametrize("many", ["abc", b"abc", {"a", "b", "c"}, frozenset("abc"), bytearray(3)])
def test_many_are_a_list(many):
    field = EncryptedField(KEYS, table="t", column="c", type=JSON)
    for call in (field.encrypt_many, field.decrypt_many):
        with pytest.raises(TypeError, match="are a list, not a"):
            call(many, rows=[1, 2, 3])
        with pytest.raises(TypeError, match="rows are a list, not a"):
            call([b"", b"", b""], rows=many)
