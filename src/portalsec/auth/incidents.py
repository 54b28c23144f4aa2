"""`Incidents`: what a disavowed notice opens, with what was seen meanwhile, for the owner and the privacy officer.

What was seen is read from the audit log each time and kept nowhere else. Lines hold ids and codes, never names: the
application turns ids into names for those who may see them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from portalsec.auth.notices import OLD_NAME, NoticeKind, Notices
from portalsec.auth.ports import Incident, IncidentStore, Notice, Sealer
from portalsec.clock import Clock
from portalsec.errors import Denied, Reason, Tampered
from portalsec.events import Actor, Event, ResourceRef, SecurityEvent, Source
from portalsec.typing import Emit, NewId

__all__ = ["Incidents", "Seen", "SeenLine", "SeenPage", "incident_place"]

_BEFORE = timedelta(hours=1)  # the longest that a sign-in may take from its password to its session
_SIGN_INS = frozenset({NoticeKind.NEW_DEVICE, NoticeKind.SIGNED_IN, NoticeKind.UNFINISHED_SIGN_IN})
_LOOK_BACK = 200
_SUPPORT = 200  # requests of `portalsec.auth.support` that may lie between, which have no notice


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenLine:
    """One thing that was recorded.

    Attributes:
        index: its place in the audit log.
        at: when.
        action, outcome, purpose: codes of the log.
        by_account: whether this account did it; else it was done to the account, or to its owner's record.
        actor: the opaque id of whoever did it, or None.
        resource_type, resource_id: what it was done to.
        count: of a list, how many people it named.
    """

    index: int
    at: datetime
    action: str
    outcome: str
    purpose: str | None
    by_account: bool
    actor: str | None
    resource_type: str | None
    resource_id: str | None
    count: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenPage:
    """Newest first. ``before`` asks for the next page; None where the moment that it was asked for is reached.

    A page may be empty and not the last: much of the log is about other people.
    """

    lines: Sequence[SeenLine]
    before: int | None

    def __iter__(self) -> Iterator[SeenLine]:
        return iter(self.lines)


Seen: TypeAlias = Callable[[str, datetime, int, int | None], SeenPage]
"""What an account did, and what was done to its owner's record, since a moment: account, since, limit, before."""


class Incidents:
    """Opens, lists and closes incidents.

    Safe for concurrent use; a notice opens one incident, and one close wins. Who may see or close one is for the
    application's access policy to say, before it calls.
    """

    def __init__(
        self,
        *,
        store: IncidentStore,
        notices: Notices,
        sealer: Sealer,
        seen: Seen,
        emit: Emit,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._store = store
        self._notices = notices
        self._sealer = sealer
        self._seen = seen
        self._emit = emit
        self._clock = clock
        self._new_id = new_id

    def open_for(self, notice: Notice, *, actor: Actor, source: Source) -> Incident | None:
        """Open the incident of a notice that its owner disavows; None where it has one.

        It begins with the sign-in that led to what was disavowed, where the account's activity has one.
        """
        account_id = notice.account_id or ""
        summary = {"kind": notice.kind, "code": notice.code, **self._notices.details(notice)}
        summary = {key: value for key, value in summary.items() if key not in {"also", "also_id", OLD_NAME}}
        incident_id = self._new_id()
        incident = Incident(
            id=incident_id,
            account_id=account_id,
            notice_id=notice.id,
            since=self._since(notice),
            opened_at=self._clock(),
            data=self._sealer.seal(
                json.dumps({**summary, "v": 1, "account": account_id}).encode("utf-8"),
                **incident_place(incident_id),
            ),
        )
        if not self._store.open(incident):
            return None
        self._record(Event.ACCOUNT_INCIDENT_OPENED, incident, actor, source)
        return incident

    def get(self, incident_id: str) -> Incident | None:
        """One incident."""
        incident = self._store.get(incident_id)
        return incident if incident is not None and _of_a_notice(incident) else None

    def of_account(self, account_id: str) -> Sequence[Incident]:
        """The account's, newest first."""
        return tuple(filter(_of_a_notice, self._store.of_account(account_id)))

    def unclosed(self, *, limit: int = 100) -> Sequence[Incident]:
        """What waits for the privacy officer, oldest first."""
        return tuple(filter(_of_a_notice, self._store.unclosed(limit=limit + _SUPPORT)))[:limit]

    def summary(self, incident: Incident) -> Mapping[str, str]:
        """What was disavowed: kind, code, browser, place.

        Raises:
            Tampered: the row is not what was written.
        """
        opened = self._sealer.open(incident.data, **incident_place(incident.id))
        try:
            fields = json.loads(opened)
            if fields.pop("v") != 1 or fields.pop("account") != incident.account_id:
                raise ValueError("another incident's")
        except (ValueError, KeyError, AttributeError, TypeError):
            fields = None
        if fields is None:
            raise Tampered("an incident is damaged")
        return {str(key): str(value) for key, value in fields.items()}

    def seen(
        self,
        incident: Incident,
        *,
        actor: Actor,
        source: Source,
        limit: int = 100,
        before: int | None = None,
    ) -> SeenPage:
        """What was recorded since, newest first, a page at a time. The look itself is recorded as well.

        Args:
            actor: who looks: the owner, or whoever the application's policy lets.
            limit: lines, 1 to 500.
            before: the last page's.

        Raises:
            AuditUnavailable: the look could not be recorded, so nothing is shown.
        """
        page = self._seen(incident.account_id, incident.since, max(1, min(limit, 500)), before)
        self._record(Event.AUDIT_QUERIED, incident, actor, source, count=len(page.lines))
        return page

    def close(self, incident_id: str, *, actor: Actor, source: Source) -> None:
        """Close it, recorded.

        Raises:
            Denied: TOKEN_INVALID (no such incident, or it is closed), SAME_PERSON: nobody closes an incident of their
                own account.
        """
        incident = self.get(incident_id)
        if incident is None or incident.closed_at is not None:
            raise Denied(Reason.TOKEN_INVALID)
        if actor.id is None or actor.id == incident.account_id:
            raise Denied(Reason.SAME_PERSON)
        # The record first: an incident that nobody looks at any more must say in the log who closed it.
        self._record(Event.ACCOUNT_INCIDENT_CLOSED, incident, actor, source)
        if not self._store.close(incident_id, at=self._clock()):
            raise Denied(Reason.TOKEN_INVALID)

    def _since(self, notice: Notice) -> datetime:
        earlier = self._notices.of_account(notice.account_id or "", limit=_LOOK_BACK, before=notice.at)
        if notice.kind in _SIGN_INS:
            return notice.at - _BEFORE
        found = next((each.at for each in earlier if each.kind == NoticeKind.NEW_DEVICE), notice.at)
        return found - _BEFORE

    def _record(
        self, name: str, incident: Incident, actor: Actor, source: Source, *, count: int | None = None
    ) -> None:
        self._emit(
            SecurityEvent(
                name=name,
                actor=actor,
                resource=ResourceRef(type="account", id=incident.account_id, count=count),
                source=source,
                details={"incident": incident.id},
            )
        )


def _of_a_notice(incident: Incident) -> bool:
    return incident.notice_id is not None


def incident_place(incident_id: str) -> dict[str, str]:
    """What an incident's data is bound to: the arguments of `Sealer.seal`. For this package, and for its rotation."""
    return {"table": "incident", "column": "data", "row": incident_id}
