"""Readers in a field: asked in order, converted, counted, switched off with one line, and never stronger than they are."""

from __future__ import annotations

from datetime import date

import pytest
from cryptography.fernet import Fernet

from portalsec.crypto.fields import EncryptedField
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.legacy import FernetReader, Plaintext, TinkReader
from portalsec.errors import ConfigurationError, DecryptionError
from portalsec.testing import FrozenClock

KEY = Fernet.generate_key()


def plaintext() -> Plaintext:
    return Plaintext(until=date(2099, 1, 1), clock=FrozenClock())


@pytest.fixture
def keyset() -> Keyset:
    return Keyset.generate()


@pytest.mark.parametrize("text", [False, True])
def test_a_column_that_is_half_migrated_reads_as_one(keyset: Keyset, text: bool) -> None:
    field = EncryptedField(
        keyset, table="t", column="c", type=date, text=text, legacy=[FernetReader(KEY), plaintext()]
    )
    token, bare = Fernet(KEY).encrypt(b"1970-02-03"), b"1970-02-03"
    cells = [field.encrypt(date(1970, 2, 3), row=1), token, bare]
    if text:
        cells[1:] = [token.decode(), bare.decode()]
    assert [field.decrypt(cell, row=1) for cell in cells] == [date(1970, 2, 3)] * 3
    assert field.decrypt_many(cells, rows=[1, 1, 1]) == [date(1970, 2, 3)] * 3
    assert dict(field.legacy_counts) == {"fernet": 2, "plaintext": 2}
    assert [field.needs_reencrypt(cell) for cell in cells] == [False, True, True]


def test_what_is_reencrypted_opens_without_the_reader(keyset: Keyset) -> None:
    field = EncryptedField(keyset, table="t", column="c", legacy=[FernetReader(KEY)])
    cell = field.reencrypt(Fernet(KEY).encrypt(b"value"), row=1)
    off = EncryptedField(keyset, table="t", column="c")  # the one line
    assert off.decrypt(cell, row=1) == "value"
    with pytest.raises(DecryptionError):
        off.decrypt(cell, row=2)
    with pytest.raises(DecryptionError):
        off.decrypt(Fernet(KEY).encrypt(b"value"), row=1)


def test_while_a_reader_is_on_its_values_open_in_any_row(keyset: Keyset) -> None:
    """The downgrade that the docs name: an old value is bound to nothing."""
    field = EncryptedField(keyset, table="t", column="c", legacy=[FernetReader(KEY)])
    planted = Fernet(KEY).encrypt(b"another patient's")
    assert field.decrypt(planted, row=1) == field.decrypt(planted, row=2) == "another patient's"


def test_a_cell_of_ours_is_never_a_readers(keyset: Keyset) -> None:
    field = EncryptedField(keyset, table="t", column="c", legacy=[plaintext()])
    cell = field.encrypt("value", row=1)
    for damaged in (cell[:-1], cell[:6], cell + b"x", field.encrypt("value", row=2)):
        with pytest.raises(DecryptionError):
            field.decrypt(damaged, row=1)
    assert dict(field.legacy_counts) == {"plaintext": 0}


def test_the_same_keys_with_other_associated_data_need_a_new_key_in_the_field() -> None:
    old = Keyset.generate("AES256_GCM")
    stored = old.aead().encrypt(b"value", b"")
    with pytest.raises(DecryptionError):
        EncryptedField(old, table="t", column="c", legacy=[TinkReader(old)]).decrypt(stored, row=1)
    field = EncryptedField(Keyset.generate(), table="t", column="c", legacy=[TinkReader(old)])
    assert field.decrypt(stored, row=1) == "value"


def test_the_value_that_does_not_convert_is_refused_without_being_shown(keyset: Keyset) -> None:
    field = EncryptedField(keyset, table="t", column="c", type=int, legacy=[FernetReader(KEY)])
    with pytest.raises(DecryptionError) as caught:
        field.decrypt(Fernet(KEY).encrypt(b"hunter2"), row=1)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_a_reader_behind_one_that_takes_anything_is_a_mistake(keyset: Keyset) -> None:
    with pytest.raises(ConfigurationError, match="last"):
        EncryptedField(keyset, table="t", column="c", legacy=[plaintext(), FernetReader(KEY)])
