"""Short-lived single-use state in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from portalsec.auth.ports import Flow

__all__ = ["MemoryFlows"]


class MemoryFlows:
    """`portalsec.auth.ports.FlowStore`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flows: dict[bytes, Flow] = {}

    def put(self, flow: Flow) -> bool:
        with self._lock:
            if flow.digest in self._flows:
                return False
            self._flows[flow.digest] = flow
            return True

    def attempt(self, digest: bytes, purpose: str, *, limit: int, now: datetime) -> Flow | None:
        with self._lock:
            flow = self._live(digest, purpose, now)
            if flow is None:
                return None
            if flow.attempts >= limit:
                del self._flows[digest]
                return None
            counted = replace(flow, attempts=flow.attempts + 1)
            self._flows[digest] = counted
            return counted

    def consume(self, digest: bytes, purpose: str, *, now: datetime) -> Flow | None:
        with self._lock:
            flow = self._live(digest, purpose, now)
            if flow is not None:
                del self._flows[digest]
            return flow

    def drop_account(self, account_id: str) -> int:
        with self._lock:
            return self._remove(lambda flow: flow.account_id == account_id)

    def purge(self, *, now: datetime) -> int:
        with self._lock:
            return self._remove(lambda flow: flow.expires_at <= now)

    def _live(self, digest: bytes, purpose: str, now: datetime) -> Flow | None:
        flow = self._flows.get(digest)
        if flow is None or flow.purpose != purpose:
            return None
        if flow.expires_at <= now:
            del self._flows[digest]
            return None
        return flow

    def _remove(self, gone: Callable[[Flow], bool]) -> int:
        kept = {digest: flow for digest, flow in self._flows.items() if not gone(flow)}
        removed = len(self._flows) - len(kept)
        self._flows = kept
        return removed
