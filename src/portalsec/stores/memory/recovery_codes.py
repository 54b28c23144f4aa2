"""Recovery codes in memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from portalsec.auth.ports import RecoveryCode

__all__ = ["MemoryRecoveryCodes"]


class MemoryRecoveryCodes:
    """`portalsec.auth.ports.RecoveryCodeStore`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sets: dict[str, dict[bytes, RecoveryCode]] = {}

    def replace(self, account_id: str, codes: Sequence[RecoveryCode]) -> int:
        fresh = {code.digest: code for code in codes}
        with self._lock:
            before = self._sets.pop(account_id, {})
            if fresh:
                self._sets[account_id] = fresh
            return len(before)

    def of_account(self, account_id: str) -> Sequence[RecoveryCode]:
        with self._lock:
            return tuple(self._sets.get(account_id, {}).values())

    def spend(self, account_id: str, digests: Sequence[bytes], *, at: datetime) -> RecoveryCode | None:
        with self._lock:
            own = self._sets.get(account_id, {})
            for digest in digests:
                code = own.get(digest)
                if code is not None and code.used_at is None:
                    own[digest] = replace(code, used_at=at)
                    return own[digest]
            return None

    def unspend(self, account_id: str, digest: bytes) -> bool:
        with self._lock:
            own = self._sets.get(account_id, {})
            code = own.get(digest)
            if code is None or code.used_at is None:
                return False
            own[digest] = replace(code, used_at=None)
            return True

    def remove(self, account_id: str) -> int:
        return self.replace(account_id, ())
