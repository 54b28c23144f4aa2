"""What a type checker knows of fields: read by mypy in `test_typing`, never run."""

from __future__ import annotations

from datetime import date
from typing import Any, assert_type

from portalsec.crypto import JSON, EncryptedField, Keyring, Keyset

KEYS = Keyset.generate("XAES_256_GCM")

ssn = EncryptedField[str](KEYS, table="patients", column="ssn")
born = EncryptedField(Keyring()["phi"], table="patients", column="born", type=date)
note = EncryptedField(KEYS, table="patients", column="note", text=True, pad="padme")
seen = EncryptedField(KEYS, table="patients", column="seen", type=date, text=True, pad=16)
spelled = EncryptedField[str](KEYS, table="patients", column="note", text=True)
data = EncryptedField(KEYS, table="patients", column="data", type=JSON)
declared: EncryptedField[str] = EncryptedField(KEYS, table="patients", column="ssn")
in_text: EncryptedField[date, str] = EncryptedField[date, str](
    KEYS, table="patients", column="seen", type=date, text=True
)

assert_type(ssn, EncryptedField[str])
assert_type(born, EncryptedField[date, bytes])
assert_type(note, EncryptedField[str, str])
assert_type(spelled, EncryptedField[str, str])
assert_type(seen, EncryptedField[date, str])
assert_type(data, EncryptedField[Any])


def cells(
    value: str | None, cell: bytes | None, values: list[str | None], column: list[bytes | None]
) -> None:
    assert_type(ssn.encrypt("", row=1), bytes)
    assert_type(ssn.encrypt(None, row=1), None)
    assert_type(ssn.encrypt(value, row=1), bytes | None)
    assert_type(ssn.decrypt(b"", row=1), str)
    assert_type(ssn.decrypt(cell, row=1), str | None)
    assert_type(ssn.reencrypt(b"", row=1), bytes)
    assert_type(ssn.reencrypt(cell, row=1), bytes | None)
    assert_type(ssn.rebind(b"", row=1, to_row=2), bytes)
    assert_type(ssn.rebind(cell, row=1, to_row=2), bytes | None)
    assert_type(ssn.encrypt_many([""], [1]), list[bytes])
    assert_type(ssn.encrypt_many(values, [1]), list[bytes | None])
    assert_type(ssn.decrypt_many([b""], [1]), list[str])
    assert_type(ssn.decrypt_many(column, [1]), list[str | None])
    assert_type(seen.encrypt(date.min, row=1), str)
    assert_type(seen.decrypt("", row=1), date)
    assert_type(note.reencrypt("", row=1), str)

    # Each of these is a mistake; an ignore that is not needed is one too.
    ssn.decrypt("", row=1)  # type: ignore[call-overload]
    seen.decrypt(b"", row=1)  # type: ignore[call-overload]
    born.encrypt("", row=1)  # type: ignore[call-overload]
