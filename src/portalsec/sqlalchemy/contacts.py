"""E-mail addresses in SQL, sealed; found by a keyed hash."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, delete, select, update

from portalsec.auth.ports import Contact, Mac, Sealer
from portalsec.clock import (
    from_unix_microseconds,
    microseconds_or_none,
    moment_or_none,
    unix_microseconds,
)
from portalsec.sqlalchemy.accounts import alone_with
from portalsec.sqlalchemy.tables import contact as table
from portalsec.sqlalchemy.transaction import insert_into, reading, require_opened, writing

__all__ = ["ADDRESS", "SqlContacts"]

ADDRESS = "contact.address"
"""The purpose of the hash by which an address is found."""


class SqlContacts:
    """`portalsec.auth.ports.ContactStore`, durable when a verb returns.

    Args:
        engine: from `portalsec.sqlalchemy.open_engine`, with the security tables.
        mac: keys the hash by which an address is found, as for `SqlAccounts`: newest writes, all read.
        sealer: seals the address, bound to its row. Verbs that return contacts raise its
            `portalsec.errors.DecryptionError` where the stored bytes do not open.
    """

    def __init__(self, engine: Engine, *, mac: Mac, sealer: Sealer) -> None:
        self._engine = require_opened(engine)
        self._mac = mac
        self._sealer = sealer

    def add(self, contact: Contact) -> bool:
        current, *older = self._macs(contact.address)
        row = {
            "id": contact.id,
            "account_id": contact.account_id,
            "address_mac": current,
            "address_sealed": self._sealer.seal(
                contact.address.encode(), table=table.name, column="address_sealed", row=contact.id
            ),
            "verified_at": microseconds_or_none(contact.verified_at),
            "created_at": unix_microseconds(contact.created_at),
        }
        with writing(self._engine) as connection:
            if older:
                alone_with(connection, current, *older)
                same = (table.c.account_id == contact.account_id) & table.c.address_mac.in_(older)
                if connection.execute(select(table.c.id).where(same)).first():
                    return False
            insert = insert_into(connection, table).values(row).on_conflict_do_nothing()
            return connection.execute(insert.returning(table.c.id)).first() is not None

    def of_account(self, account_id: str) -> Sequence[Contact]:
        return self._oldest_first(table.c.account_id == account_id)

    def by_address(self, address: str) -> Sequence[Contact]:
        return self._oldest_first(table.c.address_mac.in_(self._macs(address)))

    def verify(self, account_id: str, contact_id: str, *, at: datetime) -> bool:
        statement = (
            update(table)
            .where(table.c.id == contact_id, table.c.account_id == account_id, table.c.verified_at.is_(None))
            .values(verified_at=unix_microseconds(at))
        )
        with writing(self._engine) as connection:
            return connection.execute(statement).rowcount == 1

    def remove(self, account_id: str, contact_id: str) -> bool:
        statement = delete(table).where(table.c.id == contact_id, table.c.account_id == account_id)
        with writing(self._engine) as connection:
            return connection.execute(statement).rowcount == 1

    def _macs(self, address: str) -> tuple[bytes, ...]:
        return self._mac.all(ADDRESS, address.encode("utf-8", "surrogatepass"))

    def _oldest_first(self, condition: ColumnElement[bool]) -> Sequence[Contact]:
        statement = select(table).where(condition).order_by(table.c.created_at, table.c.id)
        with reading(self._engine) as connection:
            rows = connection.execute(statement).all()
        return tuple(self._contact(row) for row in rows)

    def _contact(self, row: Row[Any]) -> Contact:
        address = self._sealer.open(row.address_sealed, table=table.name, column="address_sealed", row=row.id)
        return Contact(
            id=row.id,
            account_id=row.account_id,
            address=address.decode(),
            verified_at=moment_or_none(row.verified_at),
            created_at=from_unix_microseconds(row.created_at),
        )
