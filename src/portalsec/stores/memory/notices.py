"""Notices, and the incidents that some of them open, in memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from portalsec.auth.ports import Incident, Notice

__all__ = ["MemoryIncidents", "MemoryNotices"]


class MemoryNotices:
    """`portalsec.auth.ports.NoticeStore`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._notices: dict[str, Notice] = {}

    def put(self, notice: Notice) -> bool:
        with self._lock:
            if notice.id in self._notices:
                return False
            self._notices[notice.id] = notice
            return True

    def get(self, notice_id: str) -> Notice | None:
        with self._lock:
            return self._notices.get(notice_id)

    def of_account(self, account_id: str, *, limit: int, before: datetime | None = None) -> Sequence[Notice]:
        with self._lock:
            own = [
                notice
                for notice in self._notices.values()
                if notice.account_id == account_id and (before is None or notice.at < before)
            ]
        own.sort(key=lambda notice: (notice.at, notice.id), reverse=True)
        return tuple(own[:limit])

    def claim(self, *, now: datetime, lease: timedelta, limit: int) -> Sequence[Notice]:
        with self._lock:
            due = [
                (n.due_at, n.id) for n in self._notices.values() if n.due_at is not None and n.due_at <= now
            ]
            claimed = []
            for _, notice_id in sorted(due)[:limit]:
                notice = self._notices[notice_id]
                notice = replace(notice, attempts=notice.attempts + 1, due_at=now + lease)
                self._notices[notice_id] = notice
                claimed.append(notice)
            return tuple(claimed)

    def mailed(self, notice_id: str, *, at: datetime) -> bool:
        with self._lock:
            notice = self._notices.get(notice_id)
            if notice is None or notice.due_at is None:
                return False
            self._notices[notice_id] = replace(notice, mailed_at=at, due_at=None)
            return True

    def withdraw(self, notice_id: str) -> bool:
        with self._lock:
            notice = self._notices.get(notice_id)
            if notice is None or notice.due_at is None or notice.attempts:
                return False
            self._notices[notice_id] = replace(notice, due_at=None)
            return True

    def postpone(self, notice_id: str, *, attempts: int, due_at: datetime | None) -> bool:
        with self._lock:
            notice = self._notices.get(notice_id)
            if notice is None or notice.due_at is None or notice.attempts != attempts:
                return False
            self._notices[notice_id] = replace(notice, due_at=due_at)
            return True

    def remove(self, notice_id: str) -> bool:
        with self._lock:
            return self._notices.pop(notice_id, None) is not None

    def disavow(self, account_id: str, notice_id: str, *, at: datetime) -> bool:
        with self._lock:
            notice = self._notices.get(notice_id)
            if notice is None or notice.account_id != account_id or notice.disavowed_at is not None:
                return False
            self._notices[notice_id] = replace(notice, disavowed_at=at)
            return True

    def purge(self, *, until: datetime) -> int:
        with self._lock:
            kept = {key: notice for key, notice in self._notices.items() if notice.at > until}
            removed = len(self._notices) - len(kept)
            self._notices = kept
            return removed


class MemoryIncidents:
    """`portalsec.auth.ports.IncidentStore`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._incidents: dict[str, Incident] = {}

    def open(self, incident: Incident) -> bool:
        with self._lock:
            if incident.id in self._incidents or (
                incident.notice_id is not None
                and any(held.notice_id == incident.notice_id for held in self._incidents.values())
            ):
                return False
            self._incidents[incident.id] = incident
            return True

    def get(self, incident_id: str) -> Incident | None:
        with self._lock:
            return self._incidents.get(incident_id)

    def of_account(self, account_id: str) -> Sequence[Incident]:
        with self._lock:
            own = [held for held in self._incidents.values() if held.account_id == account_id]
        return tuple(sorted(own, key=lambda held: (held.opened_at, held.id), reverse=True))

    def unclosed(self, *, limit: int) -> Sequence[Incident]:
        with self._lock:
            held = [incident for incident in self._incidents.values() if incident.closed_at is None]
        held.sort(key=lambda incident: (incident.opened_at, incident.id))
        return tuple(held[:limit])

    def close(self, incident_id: str, *, at: datetime) -> bool:
        with self._lock:
            incident = self._incidents.get(incident_id)
            if incident is None or incident.closed_at is not None:
                return False
            self._incidents[incident_id] = replace(incident, closed_at=at)
            return True
