"""TOTP devices in SQL: one conditional UPDATE decides whether a code is new."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine, delete, select, update

from portalsec.auth.ports import TotpDevice
from portalsec.clock import from_unix_microseconds, unix_microseconds
from portalsec.sqlalchemy.tables import UNCONFIRMED
from portalsec.sqlalchemy.tables import totp_device as table
from portalsec.sqlalchemy.transaction import insert_into, reading, require_opened, writing

__all__ = ["SqlTotp"]


class SqlTotp:
    """`portalsec.auth.ports.TotpStore`, durable when a verb returns: a used step stays used after a crash."""

    def __init__(self, engine: Engine) -> None:
        self._engine = require_opened(engine)

    def add(self, device: TotpDevice) -> None:
        row = {
            "id": device.id,
            "account_id": device.account_id,
            "label": device.label,
            "sealed_secret": device.sealed_secret,
            "confirmed": int(device.confirmed),
            "last_step": device.last_step,
            "created_at": unix_microseconds(device.created_at),
        }
        replaced = {name: value for name, value in row.items() if name != "account_id"}
        with writing(self._engine) as connection:
            connection.execute(
                insert_into(connection, table)
                .values(row)
                .on_conflict_do_update(
                    index_elements=[table.c.account_id], index_where=UNCONFIRMED, set_=replaced
                )
            )

    def devices(self, account_id: str) -> Sequence[TotpDevice]:
        statement = (
            select(table).where(table.c.account_id == account_id).order_by(table.c.created_at, table.c.id)
        )
        with reading(self._engine) as connection:
            rows = connection.execute(statement).all()
        return tuple(
            TotpDevice(
                id=row.id,
                account_id=row.account_id,
                label=row.label,
                sealed_secret=bytes(row.sealed_secret),
                confirmed=bool(row.confirmed),
                last_step=row.last_step,
                created_at=from_unix_microseconds(row.created_at),
            )
            for row in rows
        )

    def confirm(self, account_id: str, device_id: str, step: int) -> bool:
        statement = (
            update(table)
            .where(table.c.id == device_id, table.c.account_id == account_id, table.c.confirmed == 0)
            .values(confirmed=1, last_step=step)
        )
        with writing(self._engine) as connection:
            return connection.execute(statement).rowcount == 1

    def advance(self, account_id: str, device_id: str, step: int) -> bool:
        # RFC 6238 section 5.2: a step is accepted once. The condition and the write are one statement, so of two
        # thieves with one code, or a thief and the owner, one is told no.
        statement = (
            update(table)
            .where(
                table.c.id == device_id,
                table.c.account_id == account_id,
                table.c.confirmed == 1,
                table.c.last_step < step,
            )
            .values(last_step=step)
        )
        with writing(self._engine) as connection:
            return connection.execute(statement).rowcount == 1

    def remove(self, account_id: str, device_id: str) -> bool:
        statement = delete(table).where(table.c.id == device_id, table.c.account_id == account_id)
        with writing(self._engine) as connection:
            return connection.execute(statement).rowcount == 1
