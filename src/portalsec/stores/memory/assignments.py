"""Roles in memory."""

from __future__ import annotations

import threading

__all__ = ["MemoryAssignments"]


class MemoryAssignments:
    """`portalsec.rbac.ports.AssignmentStore`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._roles: dict[str, set[str]] = {}

    def roles_of(self, subject_id: str) -> frozenset[str]:
        with self._lock:
            return frozenset(self._roles.get(subject_id, ()))

    def assign(self, subject_id: str, role: str) -> bool:
        with self._lock:
            roles = self._roles.setdefault(subject_id, set())
            if role in roles:
                return False
            roles.add(role)
            return True

    def revoke(self, subject_id: str, role: str) -> bool:
        with self._lock:
            roles = self._roles.get(subject_id, set())
            if role not in roles:
                return False
            roles.remove(role)
            return True
