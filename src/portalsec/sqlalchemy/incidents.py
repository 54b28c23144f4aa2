"""Incidents in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Row, Select, select, update

from portalsec.auth.ports import Incident
from portalsec.clock import (
    from_unix_microseconds,
    microseconds_or_none,
    moment_or_none,
    unix_microseconds,
)
from portalsec.sqlalchemy.tables import incident as table
from portalsec.sqlalchemy.transaction import insert_into, reading, require_opened, writing

__all__ = ["SqlIncidents"]


class SqlIncidents:
    """`portalsec.auth.ports.IncidentStore`, durable when a verb returns."""

    def __init__(self, engine: Engine) -> None:
        self._engine = require_opened(engine)

    def open(self, incident: Incident) -> bool:
        row = {
            "id": incident.id,
            "account_id": incident.account_id,
            "notice_id": incident.notice_id,
            "since": unix_microseconds(incident.since),
            "opened_at": unix_microseconds(incident.opened_at),
            "closed_at": microseconds_or_none(incident.closed_at),
            "data": incident.data,
        }
        with writing(self._engine) as connection:
            insert = insert_into(connection, table).values(row).on_conflict_do_nothing()
            return connection.execute(insert.returning(table.c.id)).first() is not None

    def get(self, incident_id: str) -> Incident | None:
        found = self._select(select(table).where(table.c.id == incident_id))
        return found[0] if found else None

    def of_account(self, account_id: str) -> Sequence[Incident]:
        own = select(table).where(table.c.account_id == account_id)
        return self._select(own.order_by(table.c.opened_at.desc(), table.c.id.desc()))

    def unclosed(self, *, limit: int) -> Sequence[Incident]:
        open_ones = select(table).where(table.c.closed_at.is_(None))
        return self._select(open_ones.order_by(table.c.opened_at, table.c.id).limit(limit))

    def close(self, incident_id: str, *, at: datetime) -> bool:
        statement = (
            update(table)
            .where(table.c.id == incident_id, table.c.closed_at.is_(None))
            .values(closed_at=unix_microseconds(at))
        )
        with writing(self._engine) as connection:
            return connection.execute(statement).rowcount == 1

    def _select(self, statement: Select[Any]) -> Sequence[Incident]:
        with reading(self._engine) as connection:
            rows = connection.execute(statement).all()
        return tuple(_incident(row) for row in rows)


def _incident(row: Row[Any]) -> Incident:
    return Incident(
        id=row.id,
        account_id=row.account_id,
        notice_id=row.notice_id,
        since=from_unix_microseconds(row.since),
        opened_at=from_unix_microseconds(row.opened_at),
        closed_at=moment_or_none(row.closed_at),
        data=bytes(row.data),
    )
