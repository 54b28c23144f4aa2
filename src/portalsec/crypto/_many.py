"""Many cells of one column at once: `EncryptedField.encrypt_many` and `decrypt_many`.

What is the same for all is looked up once, the nonces are drawn together, and the loops are the interpreter's. Whatever
is not usual, a failure among it, begins again with the field's own methods, value by value, which also know where.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from struct import iter_unpack
from typing import TYPE_CHECKING, Any
from uuid import UUID

from portalsec._encoding import b64url
from portalsec.crypto._hot import LEFT_TO_GENERAL, kinds, quick, taken_as_is
from portalsec.crypto._xaes import NONCE
from portalsec.crypto.aead import KeysetAead
from portalsec.crypto.context import RowId, tenant_prefix
from portalsec.errors import DecryptionError

if TYPE_CHECKING:
    from portalsec.crypto.fields import EncryptedField

__all__ = ["open_many", "seal_many"]

_NONCES = f"{NONCE}s"


def seal_many(
    field: EncryptedField[Any, Any],
    values: Sequence[Any],
    rows: Sequence[RowId] | None,
    *,
    tenant: str | None,
    subject: str | None,
) -> list[Any]:
    """`EncryptedField.encrypt` of each."""
    ids = _rows_of(field, values, rows)
    if not values:
        return []
    field._check_place(0 if field._bound else None, tenant, subject)
    aead = field._writing(subject)
    if isinstance(aead, KeysetAead):
        try:
            return _seal(field, aead, values, _places(field, ids, tenant, subject))
        except LEFT_TO_GENERAL:
            pass  # outside the handler, so that the error below has no context
    cells: list[Any] = []
    for at, value in enumerate(values):
        kind: type[TypeError | ValueError] = ValueError
        try:
            cells.append(field.encrypt(value, ids[at], tenant, subject))
            continue
        except (TypeError, ValueError) as error:
            kind, text = TypeError if isinstance(error, TypeError) else ValueError, str(error)
        raise kind(f"at position {at}: {text}")
    return cells


def _seal(
    field: EncryptedField[Any, Any], aead: KeysetAead, values: Sequence[Any], places: list[bytes]
) -> list[Any]:
    types = set(map(type, values))
    encode = quick(field._codec)[0]
    plaintexts: Sequence[Any] = values
    if type(None) in types:
        plaintexts = [None if value is None else encode(value) for value in values]
    elif types != {taken_as_is(field._codec)}:
        plaintexts = [encode(value) for value in values]
    cells: list[Any] = []
    most = aead._batch
    for first in range(0, len(values), most):
        chunk = plaintexts[first : first + most]
        start, encrypt = aead._take(len(chunk))
        nonces = iter_unpack(_NONCES, os.urandom(NONCE * len(chunk)))
        cells += [
            None if plaintext is None else start + nonce + encrypt(nonce, plaintext, place)
            for plaintext, place, (nonce,) in zip(chunk, places[first : first + most], nonces, strict=True)
        ]
    return [cell and b64url(cell) for cell in cells] if field._text else cells


def open_many(
    field: EncryptedField[Any, Any],
    cells: Sequence[Any],
    rows: Sequence[RowId] | None,
    *,
    tenant: str | None,
    subject: str | None,
) -> list[Any]:
    """`EncryptedField.decrypt` of each."""
    ids = _rows_of(field, cells, rows)
    if not cells:
        return []
    field._check_place(0 if field._bound else None, tenant, subject)
    if not field._legacy and not field._text:
        aead = field._reading(subject)
        if isinstance(aead, KeysetAead):
            try:
                return _open(field, aead, cells, _places(field, ids, tenant, subject))
            except (*LEFT_TO_GENERAL, DecryptionError):
                pass
    values: list[Any] = []
    for at, cell in enumerate(cells):
        kind: type[TypeError | ValueError] = ValueError
        reason = text = ""
        try:
            values.append(field.decrypt(cell, ids[at], tenant, subject))
            continue
        except DecryptionError as error:
            reason = error.reason
        except (TypeError, ValueError) as error:
            kind, text = TypeError if isinstance(error, TypeError) else ValueError, str(error)
        if reason:
            raise DecryptionError(reason, at)
        raise kind(f"at position {at}: {text}")
    return values


def _open(
    field: EncryptedField[Any, Any], aead: KeysetAead, cells: Sequence[Any], places: list[bytes]
) -> list[Any]:
    reading = aead._reading or aead._not_loaded()
    decode, decrypt = quick(field._codec)[1], aead.decrypt
    openers, (start, nonce, sealed) = reading.openers, reading.layout
    values: list[Any] = []
    append = values.append
    for cell, place in zip(cells, places, strict=True):
        if cell is None:
            append(None)
            continue
        opener = openers.get(cell[start])
        # None is a key unlike the primary, or a salt not seen yet.
        plaintext = opener(cell[nonce], cell[sealed], place) if opener else decrypt(cell, place)
        append(plaintext if decode is None else decode(plaintext))
    return values


def _places(
    field: EncryptedField[Any, Any], rows: Sequence[Any], tenant: str | None, subject: str | None
) -> list[bytes]:
    """The associated data of each row."""
    types = set(map(type, rows))
    text, number, uuid = kinds(tenant_prefix(field._prefix, tenant))
    if types == {str} and all(rows):
        return [text + row.encode() for row in rows]
    if types == {UUID}:
        return [uuid + row.int.to_bytes(16, "big") for row in rows]
    if types == {int}:
        return [number + b"%d" % row for row in rows]
    return [field._place(row, tenant, subject) for row in rows]


def _rows_of(
    field: EncryptedField[Any, Any], values: Sequence[Any], rows: Sequence[RowId] | None
) -> Sequence[Any]:
    for what, many in (("values or cells", values), ("rows", rows)):
        if isinstance(many, (str, bytes, bytearray, memoryview, set, frozenset)):
            # A text would be taken apart, and a set has no order that says which value is which row's.
            raise TypeError(f"{what} are a list, not a {type(many).__name__}")
    if rows is None:
        if field._bound and values:
            raise TypeError(f"{field.table}.{field.column} is bound to its row: pass rows=")
        return [None] * len(values)
    if not field._bound:
        raise TypeError(f"{field.table}.{field.column} is bound to its column: no rows=")
    if len(rows) != len(values):
        raise ValueError(f"{len(values)} values or cells, and {len(rows)} rows")
    return rows
