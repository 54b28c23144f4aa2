"""TOTP devices in SQL: one conditional UPDATE decides whether a code is new, and one whether it is tested at all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, and_, case, delete, select, update

from portalsec.auth.ports import TotpDevice
from portalsec.clock import from_unix_microseconds, microseconds_or_none, moment_or_none, unix_microseconds
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
            "algorithm": device.algorithm,
            "digits": device.digits,
            "period": device.period,
            "drift": device.drift,
            "failures": device.failures,
            "used_at": microseconds_or_none(device.used_at),
            "removed_at": microseconds_or_none(device.removed_at),
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
        return self._of(account_id, table.c.removed_at.is_(None))

    def confirm(self, account_id: str, device_id: str, step: int) -> bool:
        return self._set(
            _held(account_id, device_id), table.c.confirmed == 0, confirmed=1, last_step=step, failures=0
        )

    def try_(self, account_id: str, device_id: str, *, cap: int, weight: int = 1) -> bool:
        # SP 800-63B-4 section 3.2.2: counted before the code is tested, so that guesses made at once are counted too.
        counted = table.c.failures + weight
        return self._set(_held(account_id, device_id), table.c.failures < cap, failures=counted)

    def untry(self, account_id: str, device_id: str, *, weight: int = 1) -> None:
        left = case((table.c.failures > weight, table.c.failures - weight), else_=0)
        self._set(_held(account_id, device_id), table.c.failures > 0, failures=left)

    def advance(
        self, account_id: str, device_id: str, step: int, *, drift: int = 0, at: datetime | None = None
    ) -> bool:
        # RFC 6238 section 5.2: a step is accepted once. The condition and the write are one statement, so of two
        # thieves with one code, or a thief and the owner, one is told no.
        used = {} if at is None else {"used_at": unix_microseconds(at)}
        return self._set(
            _held(account_id, device_id),
            table.c.confirmed == 1,
            table.c.last_step < step,
            last_step=step,
            failures=0,
            drift=drift,
            **used,
        )

    def rename(self, account_id: str, device_id: str, label: str) -> bool:
        return self._set(_held(account_id, device_id), label=label)

    def remove(self, account_id: str, device_id: str, *, at: datetime | None = None) -> bool:
        held = _held(account_id, device_id)
        unconfirmed = held if at is None else and_(held, table.c.confirmed == 0)
        with writing(self._engine) as connection:
            # In this order nothing slips through where somebody confirms it meanwhile.
            if connection.execute(delete(table).where(unconfirmed)).rowcount == 1:
                return True
            if at is None:
                return False
            kept = update(table).where(held).values(removed_at=unix_microseconds(at))
            return connection.execute(kept).rowcount == 1

    def removed(self, account_id: str) -> Sequence[TotpDevice]:
        return self._of(account_id, table.c.removed_at.is_not(None))

    def restore(self, account_id: str, device_id: str, *, since: datetime) -> bool:
        return self._set(
            table.c.id == device_id,
            table.c.account_id == account_id,
            table.c.removed_at > unix_microseconds(since),
            removed_at=None,
        )

    def purge_removed(self, *, until: datetime) -> int:
        with writing(self._engine) as connection:
            gone = table.c.removed_at <= unix_microseconds(until)
            return connection.execute(delete(table).where(gone)).rowcount

    def _of(self, account_id: str, which: ColumnElement[bool]) -> Sequence[TotpDevice]:
        statement = (
            select(table)
            .where(table.c.account_id == account_id, which)
            .order_by(table.c.created_at, table.c.id)
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
                algorithm=row.algorithm,
                digits=row.digits,
                period=row.period,
                drift=row.drift,
                failures=row.failures,
                used_at=moment_or_none(row.used_at),
                removed_at=moment_or_none(row.removed_at),
            )
            for row in rows
        )

    def _set(self, *where: ColumnElement[bool], **values: Any) -> bool:
        """One conditional UPDATE of one row; whether it was."""
        with writing(self._engine) as connection:
            return connection.execute(update(table).where(*where).values(values)).rowcount == 1


def _held(account_id: str, device_id: str) -> ColumnElement[bool]:
    return and_(table.c.id == device_id, table.c.account_id == account_id, table.c.removed_at.is_(None))
