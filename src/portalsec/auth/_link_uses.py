"""`LinkUses`: that a notice's link works once, and is used up only by what was done.

Flows of a durable store: a turn, for as long as a confirmation takes, keeps all others out, and ends by itself where its
process died. Marks that last as long as the link would work say how far it came: one, put before anything is changed, that
it was begun; one, that it was changed, so that nothing is changed twice; and one, put once all is done, that the link is used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta

from portalsec.auth.ports import Flow, FlowStore
from portalsec.clock import Clock
from portalsec.errors import StoreError

__all__ = ["LinkUses"]

_USED = "factors.undone"
_BEGUN = "factors.undo-begun"
_CHANGED = "factors.undo-changed"
_TURN = "factors.undoing"
_PREFIXES = {_USED: b"undo:", _BEGUN: b"undo-begun:", _CHANGED: b"undo-changed:", _TURN: b"undoing:"}
_TURN_LIFETIME = timedelta(minutes=2)
_LOOKS = 2**31 - 1


class LinkUses:
    """Turns and marks, by a notice's id. Safe for concurrent use, also of several processes.

    They are no account's, so that nothing which ends an account's flows makes a link new.
    """

    def __init__(self, *, flows: FlowStore, clock: Clock) -> None:
        self._flows = flows
        self._clock = clock

    def used(self, notice_id: str) -> bool:
        """Whether it was marked."""
        return self._there(_USED, notice_id)

    def begun(self, notice_id: str) -> bool:
        """Whether somebody began to do it, in a turn before this one or in this."""
        return self._there(_BEGUN, notice_id)

    def begin(self, notice_id: str, *, until: datetime) -> None:
        """It is about to be done. Safe to repeat."""
        self._flows.put(_flow(_BEGUN, notice_id, until))

    def forget(self, notice_id: str) -> None:
        """What was begun came to nothing."""
        self._flows.consume(_digest(_BEGUN, notice_id), _BEGUN, now=self._clock())

    def changed(self, notice_id: str) -> bool:
        """Whether what it is about was changed by it, whatever became of it since."""
        return self._there(_CHANGED, notice_id)

    def change(self, notice_id: str, *, until: datetime) -> None:
        """It was changed; what follows may be left to do. Safe to repeat."""
        self._flows.put(_flow(_CHANGED, notice_id, until))

    def mark(self, notice_id: str, *, until: datetime) -> None:
        """It was done. Safe to repeat.

        Args:
            until: when the link has stopped working in any case.
        """
        self._flows.put(_flow(_USED, notice_id, until))

    @contextmanager
    def turn(self, notice_id: str) -> Iterator[bool]:
        """Keep all others out meanwhile, at most two minutes. Gives whether it may be done: nobody else is at it, and
        nobody has done it."""
        turn = _flow(_TURN, notice_id, self._clock() + _TURN_LIFETIME)
        mine = self._flows.put(turn)
        if not mine:
            # A turn whose process died is removed by this look, and may be taken then.
            held = self._flows.attempt(turn.digest, _TURN, limit=_LOOKS, now=self._clock())
            mine = held is None and self._flows.put(turn)
        try:
            yield mine and not self.used(notice_id)
        finally:
            if mine:
                with suppress(StoreError):  # it ends by itself
                    self._flows.consume(turn.digest, _TURN, now=self._clock())

    def _there(self, purpose: str, notice_id: str) -> bool:
        digest = _digest(purpose, notice_id)
        return self._flows.attempt(digest, purpose, limit=_LOOKS, now=self._clock()) is not None


def _flow(purpose: str, notice_id: str, expires_at: datetime) -> Flow:
    digest = _digest(purpose, notice_id)
    return Flow(digest=digest, purpose=purpose, account_id=None, data=b"", expires_at=expires_at)


def _digest(purpose: str, notice_id: str) -> bytes:
    return hashlib.sha256(_PREFIXES[purpose] + notice_id.encode("utf-8")).digest()
