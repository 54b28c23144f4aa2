"""Notices and incidents over the ORM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.db import connections
from django.db.models import F, Q, QuerySet

from portalsec.auth.ports import Incident, Notice
from portalsec.clock import (
    from_unix_microseconds,
    microseconds_or_none,
    moment_or_none,
    unix_microseconds,
)
from portalsec.django import models
from portalsec.django.stores._connection import Conflict, own_transaction, reading

__all__ = ["DjangoIncidents", "DjangoNotices"]


class DjangoNotices:
    """`portalsec.auth.ports.NoticeStore`, durable. ``using`` is a database alias."""

    def __init__(self, using: str) -> None:
        self._using = using

    def put(self, notice: Notice) -> bool:
        try:
            with own_transaction(self._using):
                self._rows.create(
                    id=notice.id,
                    account_id=notice.account_id,
                    kind=notice.kind,
                    at=unix_microseconds(notice.at),
                    code=notice.code,
                    data=notice.data,
                    due_at=microseconds_or_none(notice.due_at),
                    mailed_at=microseconds_or_none(notice.mailed_at),
                    attempts=notice.attempts,
                    disavowed_at=microseconds_or_none(notice.disavowed_at),
                )
        except Conflict:
            return False
        return True

    def get(self, notice_id: str) -> Notice | None:
        with reading(self._using):
            row = self._rows.filter(id=notice_id).first()
        return None if row is None else _notice(row)

    def of_account(self, account_id: str, *, limit: int, before: datetime | None = None) -> Sequence[Notice]:
        query = self._rows.filter(account_id=account_id)
        if before is not None:
            query = query.filter(at__lt=unix_microseconds(before))
        with reading(self._using):
            rows = list(query.order_by("-at", "-id")[:limit])
        return tuple(map(_notice, rows))

    def claim(self, *, now: datetime, lease: timedelta, limit: int) -> Sequence[Notice]:
        again = unix_microseconds(now + lease)
        query = self._rows.filter(due_at__lte=unix_microseconds(now)).order_by("due_at", "id")
        claimed: list[Notice] = []
        if connections[self._using].features.has_select_for_update_skip_locked:
            with own_transaction(self._using):
                # What another worker claims at this moment is its own; what is locked here stays so until the update.
                rows = list(query.select_for_update(skip_locked=True)[:limit])
                ids = [row.id for row in rows]
                self._rows.filter(id__in=ids).update(attempts=F("attempts") + 1, due_at=again)
            claimed = [_notice(row) for row in rows]
        else:
            # SQLite: a transaction that began with reading could not go on to write once another worker has, so each
            # row is taken only if it is as it was read.
            with reading(self._using):
                rows = list(query[:limit])
            with own_transaction(self._using):
                for row in rows:
                    same = self._rows.filter(id=row.id, due_at=row.due_at, attempts=row.attempts)
                    if same.update(attempts=row.attempts + 1, due_at=again):
                        claimed.append(_notice(row))
        return tuple(replace(each, attempts=each.attempts + 1, due_at=now + lease) for each in claimed)

    def mailed(self, notice_id: str, *, at: datetime) -> bool:
        return self._changed(
            Q(id=notice_id, due_at__isnull=False), mailed_at=unix_microseconds(at), due_at=None
        )

    def withdraw(self, notice_id: str) -> bool:
        return self._changed(Q(id=notice_id, due_at__isnull=False, attempts=0), due_at=None)

    def postpone(self, notice_id: str, *, attempts: int, due_at: datetime | None) -> bool:
        mine = Q(id=notice_id, due_at__isnull=False, attempts=attempts)
        return self._changed(mine, due_at=microseconds_or_none(due_at))

    def remove(self, notice_id: str) -> bool:
        return self._delete(Q(id=notice_id)) == 1

    def disavow(self, account_id: str, notice_id: str, *, at: datetime) -> bool:
        own = Q(id=notice_id, account_id=account_id, disavowed_at__isnull=True)
        return self._changed(own, disavowed_at=unix_microseconds(at))

    def purge(self, *, until: datetime) -> int:
        return self._delete(Q(at__lte=unix_microseconds(until)))

    @property
    def _rows(self) -> QuerySet[models.Notice]:
        return models.Notice.objects.using(self._using).all()

    def _changed(self, condition: Q, **values: Any) -> bool:
        with own_transaction(self._using):
            return self._rows.filter(condition).update(**values) == 1

    def _delete(self, condition: Q) -> int:
        with own_transaction(self._using):
            return self._rows.filter(condition).delete()[0]


def _notice(row: models.Notice) -> Notice:
    return Notice(
        id=row.id,
        account_id=row.account_id,
        kind=row.kind,
        at=from_unix_microseconds(row.at),
        code=row.code,
        data=bytes(row.data),
        due_at=moment_or_none(row.due_at),
        mailed_at=moment_or_none(row.mailed_at),
        attempts=row.attempts,
        disavowed_at=moment_or_none(row.disavowed_at),
    )


class DjangoIncidents:
    """`portalsec.auth.ports.IncidentStore`, durable. ``using`` is a database alias."""

    def __init__(self, using: str) -> None:
        self._using = using

    def open(self, incident: Incident) -> bool:
        try:
            with own_transaction(self._using):
                self._rows.create(
                    id=incident.id,
                    account_id=incident.account_id,
                    notice_id=incident.notice_id,
                    since=unix_microseconds(incident.since),
                    opened_at=unix_microseconds(incident.opened_at),
                    closed_at=microseconds_or_none(incident.closed_at),
                    data=incident.data,
                )
        except Conflict:
            return False
        return True

    def get(self, incident_id: str) -> Incident | None:
        found = self._read(self._rows.filter(id=incident_id))
        return found[0] if found else None

    def of_account(self, account_id: str) -> Sequence[Incident]:
        return self._read(self._rows.filter(account_id=account_id).order_by("-opened_at", "-id"))

    def unclosed(self, *, limit: int) -> Sequence[Incident]:
        return self._read(self._rows.filter(closed_at=None).order_by("opened_at", "id")[:limit])

    def close(self, incident_id: str, *, at: datetime) -> bool:
        with own_transaction(self._using):
            rows = self._rows.filter(id=incident_id, closed_at=None)
            return rows.update(closed_at=unix_microseconds(at)) == 1

    @property
    def _rows(self) -> QuerySet[models.Incident]:
        return models.Incident.objects.using(self._using).all()

    def _read(self, query: QuerySet[models.Incident]) -> Sequence[Incident]:
        with reading(self._using):
            rows = list(query)
        return tuple(map(_incident, rows))


def _incident(row: models.Incident) -> Incident:
    return Incident(
        id=row.id,
        account_id=row.account_id,
        notice_id=row.notice_id,
        since=from_unix_microseconds(row.since),
        opened_at=from_unix_microseconds(row.opened_at),
        closed_at=moment_or_none(row.closed_at),
        data=bytes(row.data),
    )
