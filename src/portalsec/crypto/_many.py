"""Many cells of one column at once: `EncryptedField.encrypt_many` and `decrypt_many`.

What is the same for all is looked up once, the nonces are drawn together, and the loop is flat, as in
`portalsec.crypto._hot`. Whatever is not usual, a failure among it, is left to the field's own methods.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
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

_Rows = Sequence[RowId] | None


def seal_many(
    field: EncryptedField[Any, Any],
    values: Sequence[Any],
    rows: _Rows,
    tenant: str | None,
    subject: str | None,
) -> list[Any]:
    """`EncryptedField.encrypt` of each."""
    ids = _rows_of(field, values, rows)
    cells: list[Any] = []
    try:
        if values:
            _seal(field, values, ids, cells, tenant=tenant, subject=subject)
        return cells
    except (TypeError, ValueError):
        pass
    # Outside the handler, and once more by the field's own method, whose words hold nothing of a value.
    at = len(cells)
    raise _at(at, lambda: field.encrypt(values[at], ids[at], tenant, subject))


def _seal(
    field: EncryptedField[Any, Any],
    values: Sequence[Any],
    rows: Sequence[Any],
    cells: list[Any],
    *,
    tenant: str | None,
    subject: str | None,
) -> None:
    aead = field._writing(subject)
    if not isinstance(aead, KeysetAead) or field._bound is (rows[0] is None):
        cells.extend(
            field.encrypt(value, row, tenant, subject) for value, row in zip(values, rows, strict=True)
        )
        return
    field._check_place(rows[0], tenant, subject)
    there = tenant_prefix(field._prefix, tenant)
    text, number, uuid = kinds(there)
    encode, as_is = quick(field._codec)[0], taken_as_is(field._codec)
    as_text, most = field._text, aead._batch
    for first in range(0, len(values), most):
        chunk = values[first : first + most]
        start, encrypt = aead._take(len(chunk))
        random = os.urandom(NONCE * len(chunk))
        at = 0
        for value, row in zip(chunk, rows[first : first + most], strict=True):
            if value is None:
                cells.append(None)
                continue
            if type(row) is str and row:
                where = text + row.encode()
            elif type(row) is UUID:
                where = uuid + row.int.to_bytes(16, "big")
            elif type(row) is int:
                where = number + b"%d" % row
            else:
                where = field._place(row, tenant, subject)
            nonce = random[at : at + NONCE]
            at += NONCE
            cell = start + nonce + encrypt(nonce, value if type(value) is as_is else encode(value), where)
            cells.append(b64url(cell) if as_text else cell)


def open_many(
    field: EncryptedField[Any, Any],
    cells: Sequence[Any],
    rows: _Rows,
    tenant: str | None,
    subject: str | None,
) -> list[Any]:
    """`EncryptedField.decrypt` of each."""
    ids = _rows_of(field, cells, rows)
    values: list[Any] = []
    reason = ""
    try:
        if cells:
            _open(field, cells, ids, values, tenant=tenant, subject=subject)
        return values
    except DecryptionError as error:
        reason = error.reason
    except (TypeError, ValueError):
        pass
    at = len(values)
    if reason:
        raise DecryptionError(reason, at)
    raise _at(at, lambda: field.decrypt(cells[at], ids[at], tenant, subject))


def _open(
    field: EncryptedField[Any, Any],
    cells: Sequence[Any],
    rows: Sequence[Any],
    values: list[Any],
    *,
    tenant: str | None,
    subject: str | None,
) -> None:
    aead = field._reading(subject) if not field._legacy else None
    if not isinstance(aead, KeysetAead) or field._text or field._bound is (rows[0] is None):
        values.extend(
            field.decrypt(cell, row, tenant, subject) for cell, row in zip(cells, rows, strict=True)
        )
        return
    field._check_place(rows[0], tenant, subject)
    there = tenant_prefix(field._prefix, tenant)
    text, number, uuid = kinds(there)
    decode = quick(field._codec)[1]
    reading = aead._reading or aead._not_loaded()
    openers, (start, nonce, sealed) = reading.openers, reading.layout
    for cell, row in zip(cells, rows, strict=True):
        try:
            if type(row) is str and row:
                where = text + row.encode()
            elif type(row) is UUID:
                where = uuid + row.int.to_bytes(16, "big")
            elif type(row) is int:
                where = number + b"%d" % row
            else:
                where = field._place(row, tenant, subject)
            plaintext = openers[cell[start]](cell[nonce], cell[sealed], where)
            value = plaintext if decode is None else decode(plaintext)
        except LEFT_TO_GENERAL:
            value = None
        # None is no value: the cell is NULL, or it is for the method that says what is wrong.
        values.append(field.decrypt(cell, row, tenant, subject) if value is None else value)


def _rows_of(field: EncryptedField[Any, Any], values: Sequence[Any], rows: _Rows) -> Sequence[Any]:
    if rows is None:
        if field._bound and values:
            raise TypeError(f"{field.table}.{field.column} is bound to its row: pass rows=")
        return [None] * len(values)
    if not field._bound:
        raise TypeError(f"{field.table}.{field.column} is bound to its column: no rows=")
    if len(rows) != len(values):
        raise ValueError(f"{len(values)} values or cells, and {len(rows)} rows")
    return rows


def _at(position: int, call: Callable[[], object]) -> Exception:
    """What the call raises, with the position before its text."""
    try:
        call()
    except TypeError as error:
        return TypeError(f"at position {position}: {error}")
    except ValueError as error:
        return ValueError(f"at position {position}: {error}")
    return ValueError(f"at position {position}: changed while it was read")
