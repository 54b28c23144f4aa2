"""`EncryptedField`: text cells, batches, every kind of key, and what moves a cell."""

from __future__ import annotations

import base64
import itertools
from contextlib import suppress
from datetime import date
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portalsec.crypto import JSON, EncryptedField, Keyset
from portalsec.crypto.codec import codec_for
from portalsec.crypto.context import associated_data
from portalsec.errors import ConfigurationError, DecryptionError, SubjectErased
from tests.crypto.support import KEY, gcm_key, keyset, siv_key, tink_aead, xaes_key
from tests.crypto.test_codec import VALUES, same
from tests.crypto.test_context import ids
from tests.crypto.test_fields import Plain, refused

OTHER = bytes(range(32))
KINDS = {
    f"{name} {prefix}": make(prefix)
    for prefix in ("TINK", "RAW", "CRUNCHY", "LEGACY")
    for name, make in {
        "AES-256": lambda prefix: gcm_key(prefix=prefix),
        "AES-128": lambda prefix: gcm_key(value=KEY[:16], prefix=prefix),
        "SIV-256": lambda prefix: siv_key(prefix=prefix),
        "SIV-128": lambda prefix: siv_key(value=KEY[:16], prefix=prefix),
        "XAES": lambda prefix: xaes_key(prefix=prefix),
        "XAES-8": lambda prefix: xaes_key(salt_size=8, prefix=prefix),
    }.items()
    if not (name.startswith("XAES") and prefix in ("CRUNCHY", "LEGACY"))
}
MIXED = keyset(
    xaes_key(1),
    gcm_key(2, OTHER),
    siv_key(3, prefix="CRUNCHY"),
    xaes_key(4, OTHER, salt_size=9, prefix="RAW"),
    primary=1,
)


def field(keys, **more):
    return EncryptedField(keys, **({"table": "t", "column": "c"} | more))


# -- every kind of key ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=15)
@given(value=st.text(st.characters(exclude_categories=["Cs"])), row=ids)
def test_the_real_tink_reads_the_cells_of_every_kind_of_key(name, value, row):
    keys = keyset(KINDS[name])
    context = associated_data(table="t", column="c", type_byte=b"s", row=row)
    cell = field(keys).encrypt(value, row=row)
    assert tink_aead(keys).decrypt(cell, context) == value.encode()
    assert field(keys).decrypt(tink_aead(keys).encrypt(value.encode(), context), row=row) == value
    assert field(Plain(keys)).decrypt(cell, row=row) == value
    assert field(keys).decrypt(field(Plain(keys)).encrypt(value, row=row), row=row) == value


@pytest.mark.parametrize("primary", [1, 2, 3, 4])
def test_a_keyset_of_several_kinds_reads_all_of_them(primary):
    keys = MIXED.promote(primary)
    cells = [field(MIXED.promote(each)).encrypt("value", row=1) for each in (1, 2, 3, 4)]
    for cell in (*cells, *cells):
        assert field(keys).decrypt(cell, row=1) == "value"
        assert field(keys, type=bytes).needs_reencrypt(cell) is (
            (cell is not cells[primary - 1] and primary != 4) or (primary == 4 and cell is not cells[3])
        )
    assert (
        tink_aead(keys).decrypt(
            field(keys).encrypt("", row=1), associated_data(table="t", column="c", type_byte=b"s", row=1)
        )
        == b""
    )


@pytest.mark.parametrize("name", KINDS)
def test_every_bit_and_every_length_of_a_short_cell_is_refused(name):
    """Exhaustively: each bit flipped, each way cut, at both ends."""
    short = field(keyset(KINDS[name]), type=bytes)
    cell = short.encrypt(b"", row="p1")
    for at in range(8 * len(cell)):
        flipped = bytearray(cell)
        flipped[at // 8] ^= 1 << at % 8
        refused(short, bytes(flipped), row="p1")
    for size in range(len(cell)):
        refused(short, cell[:size], row="p1")
        refused(short, cell[len(cell) - size :], row="p1")
    for junk in (b"\x00", b"\x01", b"\x00" * 16):
        refused(short, cell + junk, row="p1")
        refused(short, junk + cell, row="p1")
    assert short.decrypt(cell, row="p1") == b""


@pytest.mark.parametrize("name", [*KINDS, "mixed"])
def test_swapped_places_wrong_keys_and_other_prefixes_are_refused(name):
    keys = MIXED if name == "mixed" else keyset(KINDS[name])
    places = [
        (field(keys, table=table, column=column, tenanted=tenant is not None), {"row": row} | (tenant or {}))
        for table, column in itertools.product("ab", repeat=2)
        for tenant in (None, {"tenant": "x"}, {"tenant": "y"})
        for row in (1, 2)
    ]
    cells = [sealed.encrypt("value", **place) for sealed, place in places]
    for (at, cell), (there, (opener, place)) in itertools.product(enumerate(cells), enumerate(places)):
        if at == there:
            assert opener.decrypt(cell, **place) == "value"
        else:
            assert refused(opener, cell, **place) == "not_authentic"
    here, place = places[0]
    for start in (b"\x00", b"\x01", b"\x02"):
        for key_id in (0, 1, 2, 3, 4, 42, 43):
            moved = start + key_id.to_bytes(4, "big") + cells[0][5:]
            if moved != cells[0]:
                refused(here, moved, **place)
    for wrong in (
        Keyset.generate("XAES_256_GCM"),
        Keyset.generate("AES256_GCM_SIV"),
        keyset(xaes_key(value=OTHER)),
    ):
        refused(field(wrong, table="a", column="a"), cells[0], **place)


EVERY = [
    field(keys, text=text)
    for keys in (MIXED, MIXED.promote(4), *map(keyset, KINDS.values()))
    for text in (False, True)
]
STARTS = [b"", *(b"%c\x00\x00\x00%c" % pair for pair in itertools.product((0, 1), (1, 2, 3, 42)))]


@settings(max_examples=600)
@given(
    column=st.sampled_from(EVERY),
    junk=st.binary(max_size=80) | st.text() | st.sampled_from([5, 1.5, [], {}, object(), True]),
    start=st.sampled_from(STARTS),
    row=ids,
    spelled=st.booleans(),
)
def test_whatever_the_column_holds_is_refused_with_one_error(column, junk, start, row, spelled):
    if isinstance(junk, bytes):
        junk = start + junk
        if spelled:
            junk = base64.urlsafe_b64encode(junk).rstrip(b"=").decode()
    refused(column, junk, row=row)


# -- text cells -----------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(value=st.text(st.characters(exclude_categories=["Cs"])), row=ids)
def test_a_text_cell_is_the_same_cell_in_base64url(value, row):
    written = field(MIXED, text=True).encrypt(value, row=row)
    assert type(written) is str and set(written) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    )
    inside = base64.urlsafe_b64decode(written + "=" * (-len(written) % 4))
    assert field(MIXED).decrypt(inside, row=row) == value == field(MIXED, text=True).decrypt(written, row=row)


def test_what_is_no_text_cell_is_refused():
    texts = field(MIXED, text=True)
    cell = texts.encrypt("value", row=1)
    assert texts.encrypt(None, row=1) is None and texts.decrypt(None, row=1) is None
    for other in (
        cell + "=",
        cell + "A",
        " " + cell,
        cell[:-1],
        cell.replace(cell[9], "!"),
        cell + "\n",
        "ü",
        "",
    ):
        refused(texts, other, row=1)
    assert refused(texts, cell.encode(), row=1) == "not_text"
    assert refused(texts, cell + "=", row=1) == "not_base64url"
    assert refused(field(MIXED), cell, row=1) == "not_bytes"
    spellings = [
        cell[:-1] + char for char in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    ]
    opened = 0
    for spelled in spellings:
        with suppress(DecryptionError):
            opened += texts.decrypt(spelled, row=1) == "value"
    assert opened == 1, "loose bits at the end are no second spelling"


# -- batches --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: codec_for(kind).name)
@settings(max_examples=25)
@given(data=st.data())
def test_batches_are_the_same_cells(kind, data):
    pairs = data.draw(st.lists(st.tuples(st.none() | VALUES[kind], ids), max_size=8))
    values, rows = [value for value, _ in pairs], [row for _, row in pairs]
    text, pad = data.draw(st.booleans()), data.draw(st.sampled_from([None, 16]))
    tenant = data.draw(st.sampled_from([None, "clinic"]))
    column = field(MIXED, type=kind, text=text, pad=pad, tenanted=tenant is not None)
    cells = column.encrypt_many(values, rows, tenant)
    for cell, value, row in zip(cells, values, rows, strict=True):
        assert (cell is None) is (value is None)
        assert cell is None or same(column.decrypt(cell, row, tenant), value)
    singly = [column.encrypt(value, row, tenant) for value, row in pairs]
    for each in (cells, singly):
        assert all(map(same, column.decrypt_many(each, rows, tenant), values))


@pytest.mark.parametrize(
    "keys",
    [
        keyset(gcm_key()),
        keyset(xaes_key()),
        keyset(xaes_key()).aead(nonce="message"),
        Plain(MIXED),
        MIXED.promote(4),
    ],
    ids=["GCM", "XAES", "message", "another Aead", "RAW"],
)
def test_no_nonce_of_a_batch_is_used_twice(keys, monkeypatch):
    monkeypatch.setattr("portalsec.crypto.aead._SESSION", 100)
    column = field(keys, type=bytes)
    cells = column.encrypt_many([b""] * 1050, range(1050))
    assert len({cell[:-16] for cell in cells}) == 1050
    assert column.decrypt_many(cells, range(1050)) == [b""] * 1050
    if isinstance(keys, Keyset) and len(cells[0]) == 45:  # of XAES
        salts = [cell[5:17] for cell in cells]
        assert max(map(salts.count, salts)) <= 100


def test_a_batch_bound_to_its_column_takes_no_rows():
    loose = field(MIXED, context="column")
    cells = loose.encrypt_many(["a", None, "b"])
    assert loose.decrypt_many(cells) == ["a", None, "b"] == [loose.decrypt(cell) for cell in cells]
    for call in (loose.encrypt_many, loose.decrypt_many):
        with pytest.raises(TypeError, match="no rows="):
            call([], [])
    assert loose.encrypt_many([]) == [] == field(MIXED).decrypt_many([], [])


@pytest.mark.parametrize("keys", [MIXED, Plain(MIXED)], ids=["flat", "general"])
def test_a_batch_that_fails_names_the_position_only(keys):
    column = field(keys)
    secret = "078-05-1120"
    for values, rows, kind in (
        ([secret, secret, secret + "\ud800"], [1, 2, 3], ValueError),
        ([secret, secret, 5], [1, 2, 3], TypeError),
        ([secret, secret, secret], [1, 2, ""], ValueError),
        ([secret, secret, secret], [1, 2, True], TypeError),
        ([secret, secret, secret], [1, 2, None], TypeError),
    ):
        with pytest.raises(kind, match=r"^at position 2: ") as error:
            column.encrypt_many(values, rows)
        assert (
            type(error.value) is kind and secret not in repr(error.value) and error.value.__context__ is None
        )
    cells = column.encrypt_many([secret] * 3, [1, 2, 3])
    with pytest.raises(DecryptionError, match=r"^Decryption failed at position 1\.$") as error:
        column.decrypt_many(cells, [1, 3, 2])
    assert (error.value.position, error.value.reason) == (1, "not_authentic")
    assert error.value.__context__ is None
    with pytest.raises(TypeError, match=r"^at position 2: .*pass row="):
        column.decrypt_many(cells, [1, 2, None])
    for call in (column.encrypt_many, column.decrypt_many):
        with pytest.raises(ValueError, match="3 values or cells, and 2 rows"):
            call(cells, [1, 2])
        with pytest.raises(TypeError, match="pass rows="):
            call(cells)
        with pytest.raises(TypeError, match="no tenant="):
            call(cells, [1, 2, 3], "tenant")
        with pytest.raises(TypeError, match="no subject="):
            call(cells, [1, 2, 3], None, "subject")


# -- rotation and moves ---------------------------------------------------------------------------------------


def test_what_needs_reencryption_is_seen_from_the_first_bytes():
    old = keyset(gcm_key(1, OTHER), primary=1)
    new = keyset(gcm_key(1, OTHER), xaes_key(), primary=42)
    for text in (False, True):
        before, after = field(old, text=text), field(new, text=text)
        cell = before.encrypt("value", row=1)
        assert after.needs_reencrypt(cell) and not before.needs_reencrypt(cell)
        fresh = after.reencrypt(cell, row=1)
        assert not after.needs_reencrypt(fresh) and after.decrypt(fresh, row=1) == "value"
        assert after.reencrypt(None, row=1) is None and after.needs_reencrypt(None) is False
        for legacy in ("gAAAAABo", "plain text", "", b"", b"plain", 5):
            assert after.needs_reencrypt(legacy) is True
        with pytest.raises(DecryptionError):
            after.reencrypt(cell, row=2)
    assert field(new).current_prefix == b"\x01\x00\x00\x00\x2a" == field(new, text=True).current_prefix
    assert field(MIXED.promote(3)).current_prefix == b"\x00\x00\x00\x00\x03"
    assert field(MIXED.promote(4)).current_prefix == b"" == field(Plain(MIXED)).current_prefix
    assert field(MIXED).needs_reencrypt(bytearray(field(MIXED).encrypt("", row=1))) is False


def test_rebind_moves_a_cell_and_names_what_changes():
    cell = field(MIXED).encrypt("value", row=1)
    moved = field(MIXED).rebind(cell, row=1, to_row=UUID(int=2))
    assert field(MIXED).decrypt(moved, row=UUID(int=2)) == "value"
    refused(field(MIXED), moved, row=1)
    assert field(MIXED).rebind(None, row=1, to_row=2) is None
    with pytest.raises(DecryptionError):
        field(MIXED).rebind(cell, row=2, to_row=3)  # a cell that was moved unnoticed is not made genuine
    with pytest.raises(TypeError, match="pass to_row="):
        field(MIXED).rebind(cell, row=1)
    with pytest.raises(TypeError, match="no tenant="):
        field(MIXED).rebind(cell, row=1, to_tenant="b")
    clinics = field(MIXED, tenanted=True)
    cell = clinics.encrypt("value", row=1, tenant="a")
    moved = clinics.rebind(cell, row=1, tenant="a", to_tenant="b")
    assert clinics.decrypt(moved, row=1, tenant="b") == "value"
    refused(clinics, moved, row=1, tenant="a")


# -- subject keys ---------------------------------------------------------------------------------------------


class Subjects:
    """Keys for subjects, in a dict."""

    def __init__(self):
        self.keys, self.erased = {}, set()

    def writing(self, subject):
        if subject in self.erased:
            raise SubjectErased
        return self.keys.setdefault(subject, Keyset.generate("AES256_GCM")).aead()

    def reading(self, subject):
        if subject in self.erased:
            raise SubjectErased
        if subject not in self.keys:
            raise DecryptionError("unknown_key")
        return self.keys[subject].aead()


@pytest.mark.parametrize("more", [{}, {"text": True}, {"type": bytes}, {"pad": 16}], ids=str)
def test_a_cell_is_sealed_by_its_subject_s_key(more):
    subjects = Subjects()
    note = field(subjects, **more)
    value = b"note" if "type" in more else "note"
    cell = note.encrypt(value, row=1, subject="ada")
    assert note.decrypt(cell, row=1, subject="ada") == value
    assert refused(note, cell, row=1, subject="bob") == "unknown_key"
    other = note.encrypt(value, row=1, subject="bob")
    assert refused(note, cell, row=1, subject="bob") == "unknown_key"
    refused(note, cell, row=2, subject="ada")
    assert note.decrypt_many(
        note.encrypt_many([value, None], [1, 2], subject="ada"), [1, 2], subject="ada"
    ) == [value, None]
    moved = note.rebind(cell, row=1, subject="ada", to_subject="bob")
    assert note.decrypt(moved, row=1, subject="bob") == value
    assert note.reencrypt(cell, row=1, subject="ada") != cell
    assert not note.needs_reencrypt(cell) and note.needs_reencrypt("" if "text" in more else b"plain")
    assert note.current_prefix == b"\x01"
    subjects.erased.add("ada")
    for call in (
        lambda: note.encrypt(value, row=1, subject="ada"),
        lambda: note.decrypt(cell, row=1, subject="ada"),
        lambda: note.decrypt_many([cell], [1], subject="ada"),
        lambda: note.encrypt_many([value], [1], subject="ada"),
    ):
        with pytest.raises(SubjectErased):
            call()
    assert note.decrypt(other, row=1, subject="bob") == value


def test_a_subject_is_given_where_it_was_declared_and_only_there():
    note = field(Subjects())
    cell = note.encrypt("note", row=1, subject="ada")
    for call in (lambda: note.encrypt("note", row=1), lambda: note.decrypt(cell, row=1)):
        with pytest.raises(TypeError, match="pass subject="):
            call()
    plain = field(MIXED)
    for call in (
        lambda: plain.encrypt("note", row=1, subject="ada"),
        lambda: plain.decrypt(cell, row=1, subject="ada"),
    ):
        with pytest.raises(TypeError, match="no subject="):
            call()
    with pytest.raises(TypeError, match="a subject is text, not int"):
        note.encrypt("note", row=1, subject=5)
    with pytest.raises(ValueError, match="a subject is not empty"):
        note.decrypt(cell, row=1, subject="")


@pytest.mark.parametrize("keys", [None, "text", object(), {}])
def test_what_is_no_key_is_refused(keys):
    with pytest.raises(ConfigurationError, match=r"t\.c was given a \w+ for its keys"):
        field(keys)


def test_the_types_are_bound_in_every_variant():
    cell = field(MIXED, type=date, pad=16).encrypt(date(1815, 12, 10), row=1)
    for more in ({"type": date}, {"type": str, "pad": 16}, {"type": JSON, "pad": "padme"}):
        assert refused(field(MIXED, **more), cell, row=1) == "not_authentic"
