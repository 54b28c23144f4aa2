"""Accounts in SQL; the login is found by a keyed hash and kept sealed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, select, update

from portalsec.auth.ports import Account, Mac, Sealer
from portalsec.clock import unix_microseconds
from portalsec.sqlalchemy.tables import account as table
from portalsec.sqlalchemy.transaction import insert_into, reading, require_opened, writing

__all__ = ["SqlAccounts"]


class SqlAccounts:
    """`portalsec.auth.ports.AccountStore`, durable when a verb returns.

    Args:
        engine: from `portalsec.sqlalchemy.open_engine`, with the security tables.
        mac: keys the hash by which a login is found: a stolen table cannot be searched for known addresses.
        sealer: seals the login itself, bound to its row. `get` and `by_login` raise its
            `portalsec.errors.DecryptionError` where the stored bytes do not open.
    """

    def __init__(self, engine: Engine, *, mac: Mac, sealer: Sealer) -> None:
        self._engine = require_opened(engine)
        self._mac = mac
        self._sealer = sealer

    def create(self, account: Account, *, now: datetime) -> bool:
        row = {
            "id": account.id,
            "login_mac": self._login_mac(account.login),
            "login_sealed": self._sealer.seal(
                account.login.encode(), table=table.name, column="login_sealed", row=account.id
            ),
            "password_hash": account.password_hash,
            "disabled": int(account.disabled),
            "reference": account.reference,
            "created_at": unix_microseconds(now),
        }
        with writing(self._engine) as connection:
            insert = insert_into(connection, table).values(row).on_conflict_do_nothing()
            return connection.execute(insert.returning(table.c.id)).first() is not None

    def get(self, account_id: str) -> Account | None:
        return self._one(table.c.id == account_id)

    def by_login(self, login: str) -> Account | None:
        return self._one(table.c.login_mac == self._login_mac(login))

    def set_password(self, account_id: str, new_hash: str, *, expected: str | None) -> bool:
        statement = (
            update(table)
            .where(table.c.id == account_id, table.c.password_hash.is_not_distinct_from(expected))
            .values(password_hash=new_hash)
        )
        with writing(self._engine) as connection:
            return connection.execute(statement).rowcount == 1

    def set_disabled(self, account_id: str, disabled: bool) -> bool:
        statement = (
            update(table)
            .where(table.c.id == account_id, table.c.disabled != int(disabled))
            .values(disabled=int(disabled))
        )
        with writing(self._engine) as connection:
            return connection.execute(statement).rowcount == 1

    def _login_mac(self, login: str) -> bytes:
        return self._mac("account.login", login.encode("utf-8", "surrogatepass"))

    def _one(self, condition: ColumnElement[bool]) -> Account | None:
        with reading(self._engine) as connection:
            row = connection.execute(select(table).where(condition)).first()
        return None if row is None else self._account(row)

    def _account(self, row: Row[Any]) -> Account:
        login = self._sealer.open(row.login_sealed, table=table.name, column="login_sealed", row=row.id)
        return Account(
            id=row.id,
            login=login.decode(),
            password_hash=row.password_hash,
            disabled=bool(row.disabled),
            reference=row.reference,
        )
