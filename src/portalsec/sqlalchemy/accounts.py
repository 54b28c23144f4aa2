"""Accounts in SQL; the login is found by a keyed hash and kept sealed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, Update, func, or_, select, update

from portalsec.auth.ports import Account, Mac, Sealer
from portalsec.clock import (
    from_unix_microseconds,
    microseconds_or_none,
    moment_or_none,
    unix_microseconds,
)
from portalsec.sqlalchemy.tables import account as table
from portalsec.sqlalchemy.transaction import insert_into, reading, require_opened, writing

__all__ = ["LOGIN", "SqlAccounts", "alone_with"]

LOGIN = "account.login"
"""The purpose of the hash by which a login is found."""


class SqlAccounts:
    """`portalsec.auth.ports.AccountStore`, durable when a verb returns.

    Args:
        engine: from `portalsec.sqlalchemy.open_engine`, with the security tables.
        mac: keys the hash by which a login is found: a stolen table cannot be searched for known addresses.
            Newest writes, all read: an account is found under every enabled key, and its name is taken under each.
            Before a key is disabled, write the hashes that are left of it anew (`account_cells`): whoever has one of
            them could not sign in.
        sealer: seals the login itself, bound to its row. `get` and `by_login` raise its
            `portalsec.errors.DecryptionError` where the stored bytes do not open.
    """

    def __init__(self, engine: Engine, *, mac: Mac, sealer: Sealer) -> None:
        self._engine = require_opened(engine)
        self._mac = mac
        self._sealer = sealer

    def create(self, account: Account, *, now: datetime) -> bool:
        current, *older = self._login_macs(account.login)
        row = {
            "id": account.id,
            "login_mac": current,
            "login_sealed": self._sealer.seal(
                account.login.encode(), table=table.name, column="login_sealed", row=account.id
            ),
            "password_hash": account.password_hash,
            "disabled": int(account.disabled),
            "reference": account.reference,
            "created_at": unix_microseconds(account.created_at or now),
            "must_change": account.must_change,
            "password_changed_at": microseconds_or_none(account.password_changed_at),
            "password_mailed": int(account.password_mailed),
            "signed_in_at": microseconds_or_none(account.signed_in_at),
        }
        with writing(self._engine) as connection:
            if older:
                alone_with(connection, current, *older)
                if connection.execute(select(table.c.id).where(table.c.login_mac.in_(older))).first():
                    return False
            insert = insert_into(connection, table).values(row).on_conflict_do_nothing()
            return connection.execute(insert.returning(table.c.id)).first() is not None

    def get(self, account_id: str) -> Account | None:
        return self._one(table.c.id == account_id)

    def by_login(self, login: str) -> Account | None:
        return self._one(table.c.login_mac.in_(self._login_macs(login)))

    def set_password(
        self,
        account_id: str,
        new_hash: str | None,
        *,
        expected: str | None,
        changed_at: datetime | None = None,
        mailed: bool = False,
    ) -> bool:
        values: dict[str, Any] = {"password_hash": new_hash}
        if changed_at is not None:
            values |= {
                "password_changed_at": unix_microseconds(changed_at),
                "must_change": None,
                "password_mailed": int(mailed),
            }
        return self._changed(
            update(table)
            .where(table.c.id == account_id, table.c.password_hash.is_not_distinct_from(expected))
            .values(values)
        )

    def password_proven(self, account_id: str, *, expected: str) -> bool:
        same = table.c.password_hash == expected
        return self._changed(
            update(table)
            .where(table.c.id == account_id, same, table.c.password_mailed != 0)
            .values(password_mailed=0)
        )

    def require_change(self, account_id: str, reason: str) -> bool:
        return self._changed(update(table).where(table.c.id == account_id).values(must_change=reason))

    def signed_in(self, account_id: str, *, at: datetime) -> bool:
        now = unix_microseconds(at)
        earlier = or_(table.c.signed_in_at.is_(None), table.c.signed_in_at < now)
        return self._changed(update(table).where(table.c.id == account_id, earlier).values(signed_in_at=now))

    def page(self, *, after: str | None, limit: int) -> Sequence[Account]:
        statement = select(table).order_by(table.c.id).limit(limit)
        if after is not None:
            statement = statement.where(table.c.id > after)
        with reading(self._engine) as connection:
            rows = connection.execute(statement).all()
        return tuple(self._account(row) for row in rows)

    def set_disabled(self, account_id: str, disabled: bool) -> bool:
        return self._changed(
            update(table)
            .where(table.c.id == account_id, table.c.disabled != int(disabled))
            .values(disabled=int(disabled))
        )

    def _changed(self, statement: Update) -> bool:
        with writing(self._engine) as connection:
            return connection.execute(statement).rowcount == 1

    def _login_macs(self, login: str) -> tuple[bytes, ...]:
        return self._mac.all(LOGIN, login.encode("utf-8", "surrogatepass"))

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
            must_change=row.must_change,
            password_changed_at=moment_or_none(row.password_changed_at),
            password_mailed=bool(row.password_mailed),
            signed_in_at=moment_or_none(row.signed_in_at),
            created_at=from_unix_microseconds(row.created_at),
        )


def alone_with(connection: Connection, *macs: bytes) -> None:
    """Until the end of the transaction nobody else writes a row with one of these hashes.

    While keys are being swapped, two workers may write one name under different keys, which a unique column does not
    see: the one that comes second has to see the row of the first. On SQLite there is one writer at a time anyway. The
    locks are taken in one order, so that no two workers wait for each other.
    """
    if connection.dialect.name == "postgresql":
        for number in sorted(int.from_bytes(mac[:8], "big", signed=True) for mac in macs):
            connection.execute(select(func.pg_advisory_xact_lock(number)))
