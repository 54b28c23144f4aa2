"""Numbers that look like an attack, told in the log while it goes on.

Counted with the verbs of the throttle's store, so that several workers count together. Nothing is refused here: the
budgets do that. What is counted is failures, of names that exist and of names that do not alike.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from portalsec.auth.budgets import DetectionPolicy, Lane
from portalsec.auth.ports import Take, ThrottleStore
from portalsec.errors import StoreError
from portalsec.events import SYSTEM, Event, Outcome, SecurityEvent, Source
from portalsec.typing import Emit

__all__ = ["Detection"]


class Detection:
    """Counts failures and records `auth.attack_suspected`: once a window for each prefix, password and the portal.

    Safe for concurrent use: who finds the number reached takes the one unit of the window's telling.

    Args:
        key: makes a counter's key of a lane and what it is for; the store sees no name, address or password.
    """

    def __init__(
        self, *, store: ThrottleStore, policy: DetectionPolicy, key: Callable[[Lane, str], str], emit: Emit
    ) -> None:
        self._store = store
        self._policy = policy
        self._key = key
        self._emit = emit

    def failed(self, *, name: str, prefix: str, source: Source, now: datetime) -> None:
        """A password was refused at this name. Costs three takes, whatever the name is.

        A store that fails is recorded and does not change the answer: the try is over.
        """
        try:
            many = self._distinct(self._policy.accounts, prefix, name, now)
            all_of_them = self._take(self._policy.failures, "", now)
        except StoreError:
            self._emit(
                SecurityEvent(
                    name=Event.SYSTEM_CONTROL_FAILED,
                    outcome=Outcome.ERROR,
                    actor=SYSTEM,
                    source=source,
                    details={"control": "detection"},
                )
            )
            return
        accounts, failures = self._policy.accounts, self._policy.failures
        if many.used >= accounts.limit and self._first(accounts, prefix, many.window, now):
            self._tell("many_accounts_from_one_prefix", accounts.limit, accounts, source)
        if all_of_them.used >= failures.limit and self._first(failures, "", all_of_them.window, now):
            self._tell("many_failures", failures.limit, failures, source)

    def sprayed(self, used: int, key: str, *, lane: Lane, source: Source, now: datetime) -> None:
        """One password (by the counter's ``key``) was tried at ``used`` names in the window of ``lane``."""
        if used >= self._policy.password and self._first(lane, key, 0, now):
            self._tell("one_password_at_many_accounts", self._policy.password, lane, source)

    def _first(self, lane: Lane, group: str, window: int, now: datetime) -> bool:
        """Whether nobody told of this window yet; where the store cannot say, it is told."""
        told = self._key(lane, f"told {window} {group}")
        try:
            return self._store.take(told, limit=1, window=lane.window, now=now).ok
        except StoreError:
            return True

    def _tell(self, pattern: str, count: int, lane: Lane, source: Source) -> None:
        self._emit(
            SecurityEvent(
                name=Event.AUTH_ATTACK_SUSPECTED,
                outcome=Outcome.FAILURE,
                actor=SYSTEM,
                source=source,
                details={
                    "pattern": pattern,
                    "count": count,
                    "seconds": int(lane.window.total_seconds()),
                },
            )
        )

    def _distinct(self, lane: Lane, group: str, member: str, now: datetime) -> Take:
        """Count ``member`` once a window. Two takes in any case: a member that was there takes nothing."""
        seen = self._key(lane, f"{len(group)}:{group}{member}")
        new = self._store.take(seen, limit=1, window=lane.window, now=now).ok
        return self._take(lane, group, now, limit=lane.limit if new else 0)

    def _take(self, lane: Lane, group: str, now: datetime, *, limit: int | None = None) -> Take:
        wanted = lane.limit if limit is None else limit
        return self._store.take(self._key(lane, group), limit=wanted, window=lane.window, now=now)
