"""Recovery codes in SQL: one conditional UPDATE decides who spends a code."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Row, delete, func, select, update

from portalsec.auth.ports import RecoveryCode
from portalsec.clock import from_unix_microseconds, microseconds_or_none, moment_or_none, unix_microseconds
from portalsec.sqlalchemy.tables import recovery_code as table
from portalsec.sqlalchemy.transaction import alone, insert_into, reading, require_opened, writing

__all__ = ["SqlRecoveryCodes"]


class SqlRecoveryCodes:
    """`portalsec.auth.ports.RecoveryCodeStore`, durable when a verb returns: a spent code stays spent."""

    def __init__(self, engine: Engine) -> None:
        self._engine = require_opened(engine)

    def replace(self, account_id: str, codes: Sequence[RecoveryCode]) -> int:
        rows = [
            {
                "account_id": account_id,
                "digest": code.digest,
                "key_id": code.key_id,
                "created_at": unix_microseconds(code.created_at),
                "used_at": microseconds_or_none(code.used_at),
            }
            for code in codes
        ]
        with writing(self._engine) as connection:
            # Two that make a set at once would each delete the old one, and leave both new ones.
            alone(connection, f"recovery_code:{account_id}")
            before = connection.execute(delete(table).where(table.c.account_id == account_id)).rowcount
            if rows:
                connection.execute(insert_into(connection, table), rows)
            return before

    def of_account(self, account_id: str) -> Sequence[RecoveryCode]:
        with reading(self._engine) as connection:
            rows = connection.execute(select(table).where(table.c.account_id == account_id)).all()
        return tuple(map(_code, rows))

    def spend(self, account_id: str, digests: Sequence[bytes], *, at: datetime) -> RecoveryCode | None:
        statement = (
            update(table)
            .where(table.c.account_id == account_id, table.c.digest.in_(digests), table.c.used_at.is_(None))
            .values(used_at=unix_microseconds(at))
            .returning(table)
        )
        with writing(self._engine) as connection:
            row = connection.execute(statement).first()
        return None if row is None else _code(row)

    def unspend(self, account_id: str, digest: bytes) -> bool:
        statement = (
            update(table)
            .where(table.c.account_id == account_id, table.c.digest == digest, table.c.used_at.is_not(None))
            .values(used_at=None)
        )
        with writing(self._engine) as connection:
            return connection.execute(statement).rowcount == 1

    def under(self, key_id: int) -> int:
        """How many unspent codes are under a key: without it they are void."""
        held = select(func.count()).where(table.c.key_id == key_id, table.c.used_at.is_(None))
        with reading(self._engine) as connection:
            return int(connection.execute(held).scalar_one())

    def remove(self, account_id: str) -> int:
        return self.replace(account_id, ())


def _code(row: Row[Any]) -> RecoveryCode:
    return RecoveryCode(
        account_id=row.account_id,
        digest=bytes(row.digest),
        key_id=row.key_id,
        created_at=from_unix_microseconds(row.created_at),
        used_at=moment_or_none(row.used_at),
    )
