"""Hashes of former passwords in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Engine, delete, func, select

from portalsec.clock import unix_microseconds
from portalsec.sqlalchemy.tables import password_history as table
from portalsec.sqlalchemy.transaction import alone, insert_into, reading, require_opened, writing

__all__ = ["SqlPasswordHistory"]


class SqlPasswordHistory:
    """`portalsec.auth.ports.PasswordHistoryStore`, durable when a verb returns."""

    def __init__(self, engine: Engine) -> None:
        self._engine = require_opened(engine)

    def add(
        self, account_id: str, password_hash: str, *, at: datetime, keep: int, compromised: bool = False
    ) -> None:
        mine = table.c.account_id == account_id
        same, kind = table.c.password_hash == password_hash, table.c.compromised == int(compromised)
        newest = (
            select(table.c.n)
            .where(mine, kind)
            .order_by(table.c.retired_at.desc(), table.c.n.desc())
            .limit(keep)
            .scalar_subquery()
        )
        with writing(self._engine) as connection:
            # Two that retire passwords of one account at once would each forget without seeing the other's.
            alone(connection, f"password_history:{account_id}")
            held = connection.scalar(select(table.c.compromised).where(mine, same))
            connection.execute(delete(table).where(mine, same))
            row = {
                "account_id": account_id,
                "password_hash": password_hash,
                "retired_at": unix_microseconds(at),
                "compromised": int(compromised or bool(held)),
            }
            connection.execute(insert_into(connection, table).values(row))
            connection.execute(delete(table).where(mine, kind, table.c.n.not_in(newest)))

    def of_account(self, account_id: str) -> Sequence[str]:
        statement = (
            select(table.c.password_hash)
            .where(table.c.account_id == account_id)
            .order_by(table.c.retired_at.desc(), table.c.n.desc())
        )
        with reading(self._engine) as connection:
            return tuple(connection.scalars(statement))

    def under(self, key_id: int) -> int:
        """How many hashes are under a key of the pepper: without it, those passwords could come back."""
        held = table.c.password_hash.like(f"$ps1$%,{key_id:08x},b%")
        with reading(self._engine) as connection:
            return connection.scalar(select(func.count()).select_from(table).where(held)) or 0

    def forget(self, account_id: str) -> int:
        with writing(self._engine) as connection:
            return connection.execute(delete(table).where(table.c.account_id == account_id)).rowcount
