"""Known devices in SQL: one conditional UPDATE decides who rotates a device's secret."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, case, delete, or_, select, update

from portalsec.auth.ports import KnownDevice
from portalsec.clock import from_unix_microseconds, microseconds_or_none, moment_or_none, unix_microseconds
from portalsec.sqlalchemy.tables import known_device as table
from portalsec.sqlalchemy.transaction import insert_into, reading, require_opened, writing

__all__ = ["SqlDevices"]


class SqlDevices:
    """`portalsec.auth.ports.DeviceStore`, durable when a verb returns: a revoked device stays revoked."""

    def __init__(self, engine: Engine) -> None:
        self._engine = require_opened(engine)

    def add(self, device: KnownDevice) -> bool:
        row = {
            "id": device.id,
            "account_id": device.account_id,
            "digest": device.digest,
            "previous": device.previous,
            "label": device.label,
            "created_at": unix_microseconds(device.created_at),
            "used_at": unix_microseconds(device.used_at),
            "address": device.address,
            "trusted_until": microseconds_or_none(device.trusted_until),
            "trusted_setup": device.trusted_setup,
        }
        with writing(self._engine) as connection:
            insert = insert_into(connection, table).values(row).on_conflict_do_nothing()
            return connection.execute(insert.returning(table.c.id)).first() is not None

    def find(self, digest: bytes) -> KnownDevice | None:
        statement = (
            select(table)
            .where(or_(table.c.digest == digest, table.c.previous == digest))
            .order_by(case((table.c.digest == digest, 0), else_=1))
            .limit(1)
        )
        with reading(self._engine) as connection:
            row = connection.execute(statement).first()
        return None if row is None else _device(row)

    def rotate(
        self, device_id: str, *, expected: bytes, digest: bytes, at: datetime, address: str | None
    ) -> bool:
        now = unix_microseconds(at)
        taken = table.alias()
        statement = (
            update(table)
            .where(
                table.c.id == device_id,
                table.c.digest == expected,
                ~select(taken.c.id).where(taken.c.digest == digest).exists(),
            )
            .values(
                digest=digest,
                previous=expected,
                used_at=case((table.c.used_at > now, table.c.used_at), else_=now),
                address=address,
            )
        )
        with writing(self._engine) as connection:
            return connection.execute(statement).rowcount == 1

    def trust(self, account_id: str, device_id: str, *, until: datetime | None, setup: bytes | None) -> bool:
        statement = (
            update(table)
            .where(table.c.id == device_id, table.c.account_id == account_id)
            .values(trusted_until=microseconds_or_none(until), trusted_setup=setup)
        )
        with writing(self._engine) as connection:
            return connection.execute(statement).rowcount == 1

    def of_account(self, account_id: str) -> Sequence[KnownDevice]:
        statement = (
            select(table)
            .where(table.c.account_id == account_id)
            .order_by(table.c.used_at.desc(), table.c.id.desc())
        )
        with reading(self._engine) as connection:
            rows = connection.execute(statement).all()
        return tuple(_device(row) for row in rows)

    def revoke(self, account_id: str, device_id: str) -> bool:
        return self._delete((table.c.id == device_id) & (table.c.account_id == account_id)) == 1

    def revoke_all(self, account_id: str) -> int:
        return self._delete(table.c.account_id == account_id)

    def purge(self, *, used_until: datetime) -> int:
        return self._delete(table.c.used_at <= unix_microseconds(used_until))

    def _delete(self, condition: ColumnElement[bool]) -> int:
        with writing(self._engine) as connection:
            return connection.execute(delete(table).where(condition)).rowcount


def _device(row: Row[Any]) -> KnownDevice:
    return KnownDevice(
        id=row.id,
        account_id=row.account_id,
        digest=bytes(row.digest),
        previous=None if row.previous is None else bytes(row.previous),
        label=row.label,
        created_at=from_unix_microseconds(row.created_at),
        used_at=from_unix_microseconds(row.used_at),
        address=row.address,
        trusted_until=moment_or_none(row.trusted_until),
        trusted_setup=None if row.trusted_setup is None else bytes(row.trusted_setup),
    )
