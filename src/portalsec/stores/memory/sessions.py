"""Sessions and epochs in memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from portalsec.auth.ports import Created, LoadedSession, SessionRecord

__all__ = ["MemorySessions"]


class MemorySessions:
    """`portalsec.auth.ports.SessionStore`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: dict[bytes, SessionRecord] = {}
        self._epochs: dict[str, int] = {}

    def epoch(self, account_id: str) -> int:
        with self._lock:
            return self._epochs.get(account_id, 0)

    def create(self, record: SessionRecord, *, cap: int | None = None, end_oldest: bool = True) -> Created:
        with self._lock:
            if record.digest in self._sessions or record.epoch != self._epochs.get(record.account_id, 0):
                return Created(opened=False)
            ended: tuple[SessionRecord, ...] = ()
            if cap is not None:
                own = [
                    each
                    for each in self._sessions.values()
                    if each.account_id == record.account_id and each.impersonator is None
                ]
                if len(own) >= cap and not end_oldest:
                    return Created(opened=False, full=True)
                own.sort(key=lambda each: (each.last_seen_at, each.digest))
                ended = tuple(own[: max(len(own) - cap + 1, 0)])
                for each in ended:
                    del self._sessions[each.digest]
            self._sessions[record.digest] = record
            return Created(opened=True, ended=ended)

    def replace(self, old: bytes, record: SessionRecord) -> bool:
        with self._lock:
            before = self._sessions.get(old)
            epoch = self._epochs.get(record.account_id, 0)
            if before is None or before.account_id != record.account_id or record.digest in self._sessions:
                return False
            if before.epoch != epoch or record.epoch != epoch:
                return False
            del self._sessions[old]
            self._sessions[record.digest] = record
            return True

    def load(self, digest: bytes) -> LoadedSession | None:
        with self._lock:
            record = self._sessions.get(digest)
            if record is None:
                return None
            return LoadedSession(record, self._epochs.get(record.account_id, 0))

    def touch(self, digest: bytes, *, last_seen_at: datetime) -> bool:
        with self._lock:
            record = self._sessions.get(digest)
            if record is None or record.rested_at is not None or record.last_seen_at >= last_seen_at:
                return False
            self._sessions[digest] = replace(record, last_seen_at=last_seen_at)
            return True

    def rest(self, digest: bytes, *, at: datetime) -> bool:
        with self._lock:
            record = self._sessions.get(digest)
            if record is None or record.rested_at is not None:
                return False
            self._sessions[digest] = replace(record, rested_at=at)
            return True

    def flag(self, digest: bytes, anomaly: str, *, expected: str | None) -> bool:
        with self._lock:
            record = self._sessions.get(digest)
            if record is None or record.anomaly != expected or anomaly == expected:
                return False
            self._sessions[digest] = replace(record, anomaly=anomaly)
            return True

    def end(self, digest: bytes) -> bool:
        with self._lock:
            return self._sessions.pop(digest, None) is not None

    def end_all(self, account_id: str) -> int:
        with self._lock:
            epoch = self._epochs.get(account_id, 0) + 1
            self._epochs[account_id] = epoch
            self._sessions = {
                digest: record for digest, record in self._sessions.items() if record.account_id != account_id
            }
            return epoch

    def of_account(self, account_id: str) -> Sequence[SessionRecord]:
        with self._lock:
            own = [record for record in self._sessions.values() if record.account_id == account_id]
        return tuple(sorted(own, key=lambda record: (record.created_at, record.digest), reverse=True))

    def purge(self, *, created_until: datetime) -> int:
        with self._lock:
            kept = {d: record for d, record in self._sessions.items() if record.created_at > created_until}
            removed = len(self._sessions) - len(kept)
            self._sessions = kept
            return removed
