"""`BreakGlassNotices`: who opens a record in an emergency is told of by mail to whose record it is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from portalsec.auth.notices import NoticeKind, Notices
from portalsec.errors import StoreError
from portalsec.events import SYSTEM, Event, Outcome, SecurityEvent, Source
from portalsec.typing import Emit

__all__ = ["BreakGlassNotices"]

_log = logging.getLogger("portalsec.notices")


class BreakGlassNotices:
    """Stands around the emitter: after an ``access.break_glass`` is durable, its subjects' accounts are told.

    Safe for concurrent use. A notice that cannot be kept refuses nothing: somebody may be dying on a table. It is
    recorded as a control that failed.

    Args:
        accounts_of: the accounts of a subject that an event names, as the application knows them.
    """

    def __init__(self, *, emit: Emit, notices: Notices, accounts_of: Callable[[str], Sequence[str]]) -> None:
        self._emit = emit
        self._notices = notices
        self._accounts_of = accounts_of

    def __call__(self, event: SecurityEvent) -> None:
        """Record, then tell."""
        self._emit(event)
        if event.name != Event.ACCESS_BREAK_GLASS or event.outcome is not Outcome.SUCCESS:
            return
        for subject in event.subjects:
            try:
                for account_id in self._accounts_of(subject):
                    # Without the source: where the clinic's staff sits is not for a mail.
                    self._notices.tell(account_id, NoticeKind.BREAK_GLASS, source=Source())
            except StoreError:
                _log.error("a notice of an emergency access could not be kept")
            else:
                continue
            self._emit(
                SecurityEvent(
                    name=Event.SYSTEM_CONTROL_FAILED,
                    outcome=Outcome.ERROR,
                    actor=SYSTEM,
                    subjects=(subject,),
                    details={"control": "break_glass_notice"},
                )
            )
