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

    Safe for concurrent use: the one who takes a window's last unit tells.

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
        self._told(self._policy.accounts, many, "many_accounts_from_one_prefix", source)
        self._told(self._policy.failures, all_of_them, "many_failures", source)

    def sprayed(self, used: int, *, lane: Lane, source: Source) -> None:
        """One password was tried at ``used`` names in the window of ``lane``, this name being the last of them."""
        if used == self._policy.password:
            self._tell("one_password_at_many_accounts", used, lane, source)

    def _told(self, lane: Lane, take: Take, pattern: str, source: Source) -> None:
        """Told by the one who took the window's last unit."""
        if take.ok and take.used == lane.limit:
            self._tell(pattern, lane.limit, lane, source)

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
