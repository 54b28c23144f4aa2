"""An audit log in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

from portalsec.audit.ports import Entry, StoredCheckpoint, StoredEntry

__all__ = ["MemoryAudit"]


class MemoryAudit:
    """`portalsec.audit.ports.AuditStore`, durable only as long as the process lives."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self._staged: list[Entry] = []
        self._placed: list[Entry] = []
        self._checkpoints: list[StoredCheckpoint] = []

    def append(self, entries: Sequence[Entry]) -> None:
        with self._lock:
            for entry in entries:
                if entry.id not in self._known:
                    self._known.add(entry.id)
                    self._staged.append(entry)

    def integrate(self) -> int:
        with self._lock:
            self._placed.extend(self._staged)
            self._staged.clear()
            return len(self._placed)

    def size(self) -> int:
        with self._lock:
            return len(self._placed)

    def read(self, start: int, stop: int) -> Sequence[StoredEntry]:
        start = max(0, start)
        with self._lock:
            return tuple(
                _stored(index, entry)
                for index, entry in enumerate(self._placed[start : max(start, stop)], start)
            )

    def staged(self) -> Sequence[Entry]:
        with self._lock:
            return tuple(self._staged)

    def newest(self, *, limit: int, before: int | None = None) -> Sequence[StoredEntry]:
        with self._lock:
            return self._select(lambda _: True, limit, before)

    def of_subject(self, subject: str, *, limit: int, before: int | None = None) -> Sequence[StoredEntry]:
        with self._lock:
            return self._select(lambda entry: subject in entry.subjects, limit, before)

    def subject_index(self, start: int, stop: int) -> Iterable[tuple[int, str]]:
        start = max(0, start)
        with self._lock:
            placed = self._placed[start : max(start, stop)]
        return [
            (index, subject)
            for index, entry in enumerate(placed, start)
            for subject in sorted(set(entry.subjects))
        ]

    def save_checkpoint(self, checkpoint: StoredCheckpoint) -> bool:
        with self._lock:
            if self._checkpoints and self._checkpoints[-1].size >= checkpoint.size:
                return False
            self._checkpoints.append(checkpoint)
            return True

    def checkpoints(self) -> Sequence[StoredCheckpoint]:
        with self._lock:
            return tuple(self._checkpoints)

    def intrusions(self) -> Sequence[str]:
        return ()

    def _select(
        self, wanted: Callable[[Entry], bool], limit: int, before: int | None
    ) -> Sequence[StoredEntry]:
        found: list[StoredEntry] = []
        top = len(self._placed) if before is None else min(before, len(self._placed))
        for index in range(top - 1, -1, -1):
            if len(found) >= limit:
                break
            if wanted(self._placed[index]):
                found.append(_stored(index, self._placed[index]))
        return tuple(found)


def _stored(index: int, entry: Entry) -> StoredEntry:
    return StoredEntry(index=index, body=entry.body, leaf=entry.leaf, id=entry.id)
