"""Subject keys in memory."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from portalsec.crypto.ports import Erased, Rewrap, SubjectKey

__all__ = ["MemorySubjectKeys"]


class MemorySubjectKeys:
    """`portalsec.crypto.ports.SubjectKeyStore`: what was written under a key is unreadable when the process ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: dict[tuple[str, str], SubjectKey] = {}

    def get(self, purpose: str, subject: str) -> SubjectKey | None:
        with self._lock:
            return self._keys.get((purpose, subject))

    def get_many(self, purpose: str, subjects: Sequence[str]) -> Mapping[str, SubjectKey]:
        with self._lock:
            found = {subject: self._keys.get((purpose, subject)) for subject in subjects}
        return {subject: key for subject, key in found.items() if key is not None}

    def get_or_create(self, key: SubjectKey) -> SubjectKey:
        with self._lock:
            return self._keys.setdefault((key.purpose, key.subject), key)

    def erase(self, purpose: str, subject: str, *, now: datetime) -> Erased:
        with self._lock:
            key = self._keys.get((purpose, subject)) or SubjectKey(
                purpose=purpose, subject=subject, key_id=None, commitment=None, wrapped=None, created_at=now
            )
            if key.erased_at is not None:
                return Erased(key=key, won=False)
            erased = replace(key, wrapped=None, erased_at=now)
            self._keys[purpose, subject] = erased
            return Erased(key=erased, won=True)

    def rewrap(self, purpose: str, changes: Sequence[Rewrap]) -> Sequence[bool]:
        with self._lock:
            return tuple(self._rewrap(purpose, change) for change in changes)

    def _rewrap(self, purpose: str, change: Rewrap) -> bool:
        key = self._keys.get((purpose, change.subject))
        if key is None or key.wrapped != change.expected:
            return False
        self._keys[purpose, change.subject] = replace(key, wrapped=change.wrapped)
        return True

    def page(self, purpose: str, *, after: str | None, limit: int) -> Sequence[SubjectKey]:
        with self._lock:
            living = [key for key in self._keys.values() if key.purpose == purpose and key.erased_at is None]
        living.sort(key=lambda key: key.subject)
        return tuple(key for key in living if after is None or key.subject > after)[:limit]

    def count(self, purpose: str) -> int:
        with self._lock:
            return sum(1 for key in self._keys.values() if key.purpose == purpose and key.erased_at is None)

    def purposes(self) -> Sequence[str]:
        with self._lock:
            return sorted({key.purpose for key in self._keys.values() if key.erased_at is None})
