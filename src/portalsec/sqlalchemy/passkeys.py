"""Passkeys in SQL: one conditional UPDATE decides whether a signature counter is new."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, and_, delete, func, select, update

from portalsec.auth.ports import Passkey
from portalsec.clock import from_unix_microseconds, microseconds_or_none, moment_or_none, unix_microseconds
from portalsec.errors import Tampered
from portalsec.sqlalchemy.tables import passkey as table
from portalsec.sqlalchemy.transaction import alone, insert_into, reading, require_opened, writing

__all__ = ["SqlPasskeys"]

_NOT_REMOVED = table.c.removed_at.is_(None)


class SqlPasskeys:
    """`portalsec.auth.ports.PasskeyStore`, durable when a verb returns: a disabled passkey stays disabled."""

    def __init__(self, engine: Engine) -> None:
        self._engine = require_opened(engine)

    def add(self, passkey: Passkey, *, at_most: int) -> bool:
        row = {
            "id": passkey.id,
            "account_id": passkey.account_id,
            "credential_id": passkey.credential_id,
            "user_handle": passkey.user_handle,
            "public_key": passkey.public_key,
            "algorithm": passkey.algorithm,
            "sign_count": passkey.sign_count,
            "label": passkey.label,
            "aaguid": passkey.aaguid,
            "transports": json.dumps(passkey.transports),
            "backup_eligible": int(passkey.backup_eligible),
            "backed_up": int(passkey.backed_up),
            "user_verified": int(passkey.user_verified),
            "attested": int(passkey.attested),
            "discoverable": None if passkey.discoverable is None else int(passkey.discoverable),
            "created_at": unix_microseconds(passkey.created_at),
            "used_at": microseconds_or_none(passkey.used_at),
            "suspect_at": microseconds_or_none(passkey.suspect_at),
            "disabled_at": microseconds_or_none(passkey.disabled_at),
            "removed_at": microseconds_or_none(passkey.removed_at),
            "seal": passkey.seal,
        }
        own = select(func.count()).where(table.c.account_id == passkey.account_id, _NOT_REMOVED)
        with writing(self._engine) as connection:
            # Two that register at once would each count without the other's.
            alone(connection, f"passkey:{passkey.account_id}")
            if connection.execute(own).scalar_one() >= at_most:
                return False
            insert = insert_into(connection, table).values(row).on_conflict_do_nothing()
            return connection.execute(insert.returning(table.c.id)).first() is not None

    def of_account(self, account_id: str) -> Sequence[Passkey]:
        return self._of(account_id, _NOT_REMOVED)

    def by_credential_id(self, credential_id: bytes) -> Passkey | None:
        statement = select(table).where(table.c.credential_id == credential_id, _NOT_REMOVED)
        with reading(self._engine) as connection:
            row = connection.execute(statement).first()
        return None if row is None else _passkey(row)

    def advance(
        self,
        account_id: str,
        passkey_id: str,
        *,
        expected: int,
        sign_count: int,
        backed_up: bool,
        user_verified: bool,
        at: datetime,
    ) -> bool:
        if sign_count <= expected and not sign_count == expected == 0:
            return False
        return self._set(
            _held(account_id, passkey_id),
            table.c.disabled_at.is_(None),
            table.c.sign_count == expected,
            sign_count=sign_count,
            backed_up=int(backed_up),
            used_at=unix_microseconds(at),
            **({"user_verified": 1} if user_verified else {}),
        )

    def suspect(self, account_id: str, passkey_id: str, *, at: datetime, disable: bool) -> bool:
        held, now = _held(account_id, passkey_id), unix_microseconds(at)
        if disable:
            first = func.coalesce(table.c.suspect_at, now)
            return self._set(held, table.c.disabled_at.is_(None), suspect_at=first, disabled_at=now)
        return self._set(held, table.c.suspect_at.is_(None), suspect_at=now)

    def rename(self, account_id: str, passkey_id: str, label: str) -> bool:
        return self._set(_held(account_id, passkey_id), label=label)

    def remove(self, account_id: str, passkey_id: str, *, at: datetime | None = None) -> bool:
        held = _held(account_id, passkey_id)
        return self._delete(held) == 1 if at is None else self._set(held, removed_at=unix_microseconds(at))

    def removed(self, account_id: str) -> Sequence[Passkey]:
        return self._of(account_id, table.c.removed_at.is_not(None))

    def restore(self, account_id: str, passkey_id: str, *, since: datetime) -> bool:
        return self._set(
            table.c.id == passkey_id,
            table.c.account_id == account_id,
            table.c.removed_at > unix_microseconds(since),
            removed_at=None,
        )

    def purge_removed(self, *, until: datetime) -> int:
        return self._delete(table.c.removed_at <= unix_microseconds(until))

    def _of(self, account_id: str, which: ColumnElement[bool]) -> Sequence[Passkey]:
        statement = (
            select(table)
            .where(table.c.account_id == account_id, which)
            .order_by(table.c.created_at, table.c.id)
        )
        with reading(self._engine) as connection:
            rows = connection.execute(statement).all()
        return tuple(map(_passkey, rows))

    def _set(self, *where: ColumnElement[bool], **values: Any) -> bool:
        """One conditional UPDATE of one row; whether it was."""
        with writing(self._engine) as connection:
            return connection.execute(update(table).where(*where).values(values)).rowcount == 1

    def _delete(self, condition: ColumnElement[bool]) -> int:
        with writing(self._engine) as connection:
            return connection.execute(delete(table).where(condition)).rowcount


def _held(account_id: str, passkey_id: str) -> ColumnElement[bool]:
    return and_(table.c.id == passkey_id, table.c.account_id == account_id, _NOT_REMOVED)


def _passkey(row: Row[Any]) -> Passkey:
    try:
        transports = json.loads(row.transports)
    except (ValueError, TypeError):
        transports = None
    if not isinstance(transports, list) or not all(isinstance(each, str) for each in transports):
        raise Tampered("a stored passkey's list of transports is not what portalsec wrote")
    return Passkey(
        id=row.id,
        account_id=row.account_id,
        credential_id=bytes(row.credential_id),
        user_handle=bytes(row.user_handle),
        public_key=bytes(row.public_key),
        algorithm=row.algorithm,
        sign_count=row.sign_count,
        label=row.label,
        aaguid=row.aaguid,
        transports=tuple(transports),
        backup_eligible=bool(row.backup_eligible),
        backed_up=bool(row.backed_up),
        user_verified=bool(row.user_verified),
        attested=bool(row.attested),
        discoverable=None if row.discoverable is None else bool(row.discoverable),
        created_at=from_unix_microseconds(row.created_at),
        used_at=moment_or_none(row.used_at),
        suspect_at=moment_or_none(row.suspect_at),
        disabled_at=moment_or_none(row.disabled_at),
        removed_at=moment_or_none(row.removed_at),
        seal=None if row.seal is None else bytes(row.seal),
    )
