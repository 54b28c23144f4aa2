"""`SupportDesk`: a lost second factor, reset by the desk, on the word of one person or of two.

The password goes with it. Whoever knows it (and had the phone taken, say, or called the desk in the owner's name) would
set up a factor of their own at the next sign-in; so a link to the owner's mailbox and a new password come first.

A request that waits for a second person is kept among the incidents (without a notice): durable, listed, closed once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NoReturn

from portalsec.auth._last_factor import LastFactor
from portalsec.auth._retiring import Retiring
from portalsec.auth.authenticators import Authenticators
from portalsec.auth.endings import Endings, Why
from portalsec.auth.incidents import incident_place
from portalsec.auth.notices import NoticeKind, Notices
from portalsec.auth.ports import (
    Account,
    AccountStore,
    ContactStore,
    Incident,
    IncidentStore,
    Sealer,
)
from portalsec.clock import Clock
from portalsec.errors import ConfigurationError, Denied, Reason, StoreError, Tampered
from portalsec.events import Actor, Event, Outcome, ResourceRef, SecurityEvent, Source
from portalsec.typing import Emit, NewId

__all__ = ["SupportDesk", "SupportRequest"]

_REASON = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/#-]{0,63}\Z", re.ASCII)
_WAITING = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class SupportRequest:
    """A reset that waits for a second person.

    Attributes:
        id: what `SupportDesk.approve` takes.
        account_id: whose factor.
        asked_by: the first person's account.
        reason: the code or ticket that was given.
        asked_at: when.
    """

    id: str
    account_id: str
    asked_by: str
    reason: str
    asked_at: datetime


class SupportDesk:
    """Takes requests and carries them out. Who may ask and who may agree is the application's policy to say.

    Safe for concurrent use: of several people who agree to one request, one resets.

    Args:
        two_people: whether another person must agree before anything happens.
        lifetime: how long a request waits.
    """

    def __init__(
        self,
        *,
        store: IncidentStore,
        accounts: AccountStore,
        contacts: ContactStore,
        factors: Authenticators,
        last: LastFactor,
        retiring: Retiring,
        endings: Endings,
        notices: Notices,
        sealer: Sealer,
        emit: Emit,
        clock: Clock,
        new_id: NewId,
        two_people: bool = True,
        lifetime: timedelta = timedelta(days=3),
    ) -> None:
        if not timedelta(minutes=5) <= lifetime <= timedelta(days=30):
            raise ConfigurationError("SupportDesk: lifetime goes from five minutes to 30 days")
        self.two_people = two_people
        self._store = store
        self._accounts = accounts
        self._contacts = contacts
        self._factors = factors
        self._last = last
        self._retiring = retiring
        self._endings = endings
        self._notices = notices
        self._sealer = sealer
        self._emit = emit
        self._clock = clock
        self._new_id = new_id
        self._lifetime = lifetime

    def request_factor_reset(self, account_id: str, *, actor: Actor, reason: str, source: Source) -> str:
        """Ask for the reset of a lost factor; with ``two_people=False`` it is done at once.

        Args:
            actor: who asks, by account.
            reason: a code or a ticket's number, 1 to 64 of letters, digits and ``._/#-``: it goes into the log, where
                names and stories have no place.

        Returns:
            The request's id.

        Raises:
            Denied: MALFORMED (the reason, or an actor without an account), UNKNOWN_ACCOUNT, SAME_PERSON (nobody's own),
                FACTOR_NOT_ENROLLED (there is nothing to reset), ADDRESS_REFUSED (the account has no verified address,
                so that no link would reach its owner: such a person gets a new activation code instead).
        """
        if not _REASON.match(reason) or not actor.id:
            self._refuse(Reason.MALFORMED, account_id, actor, source)
        account = self._accounts.get(account_id)
        if account is None:
            self._refuse(Reason.UNKNOWN_ACCOUNT, account_id, actor, source)
        if actor.id == account_id:
            self._refuse(Reason.SAME_PERSON, account_id, actor, source)
        if not self._factors.of_account(account_id):
            self._refuse(Reason.FACTOR_NOT_ENROLLED, account_id, actor, source)
        self._reachable(account_id, actor, source)
        request_id, now = self._new_id(), self._clock()
        self._record(
            Event.ACCOUNT_SUPPORT_REQUESTED, account_id, actor, source, {"request": request_id, "why": reason}
        )
        if not self.two_people:
            self._reset(account, request_id, actor, actor.id, source)
            return request_id
        fields = {"v": 1, "account": account_id, "asked_by": actor.id, "reason": reason}
        stored = self._store.open(
            Incident(
                id=request_id,
                account_id=account_id,
                notice_id=None,
                since=now,
                opened_at=now,
                data=self._sealer.seal(json.dumps(fields).encode("utf-8"), **incident_place(request_id)),
            )
        )
        if not stored:
            raise StoreError("a support request could not be stored")
        return request_id

    def approve(self, request_id: object, *, actor: Actor, source: Source) -> None:
        """Agree, as another person: the account's authenticators and its password go, its sessions end, its owner is told.

        A link to a new password is mailed to the owner, and after it a new authenticator is set up.

        Raises:
            Denied: TOKEN_INVALID (no such request, carried out already, too old), SAME_PERSON (whoever asked, or the
                account's own holder), ADDRESS_REFUSED (as `request_factor_reset`), UNKNOWN_ACCOUNT.
            StoreError: something failed; agree again.
        """
        request = self._waiting(request_id)
        if request is None:
            self._refuse(Reason.TOKEN_INVALID, None, actor, source)
        if not actor.id or actor.id in {request.asked_by, request.account_id}:
            self._refuse(Reason.SAME_PERSON, request.account_id, actor, source)
        account = self._accounts.get(request.account_id)
        if account is None:
            self._refuse(Reason.UNKNOWN_ACCOUNT, request.account_id, actor, source)
        self._reachable(account.id, actor, source)
        # What is done is safe to do twice; the request is closed when all of it is done, so none is half done for good.
        self._reset(account, request.id, actor, request.asked_by, source)

    def withdraw(self, request_id: object, *, actor: Actor, source: Source) -> None:
        """Close a request without doing anything, recorded.

        Raises:
            Denied: TOKEN_INVALID: no such request, or it waits no more.
        """
        request = self._waiting(request_id)
        if request is None or not self._store.close(request.id, at=self._clock()):
            self._refuse(Reason.TOKEN_INVALID, None, actor, source)
        details = {"request": request.id, "withdrawn": "yes"}
        self._record(Event.ACCOUNT_SUPPORT_REQUESTED, request.account_id, actor, source, details)

    def waiting(self) -> Sequence[SupportRequest]:
        """Requests that wait for a second person, oldest first. Those that are too old are closed by this."""
        found = []
        for incident in self._store.unclosed(limit=_WAITING):
            if incident.notice_id is None:
                if self._clock() - incident.opened_at >= self._lifetime:
                    self._store.close(incident.id, at=self._clock())
                    continue
                found.append(self._read(incident))
        return tuple(found)

    # -- parts of the above -----------------------------------------------------------------------------------------

    def _waiting(self, request_id: object) -> SupportRequest | None:
        incident = self._store.get(request_id) if isinstance(request_id, str) and request_id else None
        if incident is None or incident.notice_id is not None or incident.closed_at is not None:
            return None
        if self._clock() - incident.opened_at >= self._lifetime:
            return None
        return self._read(incident)

    def _read(self, incident: Incident) -> SupportRequest:
        opened = self._sealer.open(incident.data, **incident_place(incident.id))
        try:
            fields = json.loads(opened)
            if fields["v"] != 1 or fields["account"] != incident.account_id:
                raise ValueError("another request's")
            asked_by, reason = str(fields["asked_by"]), str(fields["reason"])
        except (ValueError, KeyError, TypeError):
            asked_by = reason = ""
        if not asked_by:
            raise Tampered("a support request is damaged")
        return SupportRequest(
            id=incident.id,
            account_id=incident.account_id,
            asked_by=asked_by,
            reason=reason,
            asked_at=incident.opened_at,
        )

    def _reachable(self, account_id: str, actor: Actor, source: Source) -> None:
        if not any(contact.verified_at for contact in self._contacts.of_account(account_id)):
            self._refuse(Reason.ADDRESS_REFUSED, account_id, actor, source)

    def _reset(
        self, account: Account, request_id: str, actor: Actor, asked_by: str | None, source: Source
    ) -> None:
        details = {"factor": "all", "request": request_id, "asked_by": asked_by, "by": "support"}
        self._record(
            Event.AUTH_MFA_REMOVED, account.id, actor, source, details, changed=("factor", "password")
        )
        # Before the factor: at no moment does the password that somebody may know lead to a new factor by itself.
        self._retiring.retire(account.id)
        self._last.went(account.id, source=source)
        removed = self._factors.strip(account.id)
        # After the factor: a session that was opened with it up to here ends too.
        self._endings.apply(account.id, Why.FACTOR_REMOVED, actor=actor, source=source)
        first = self._store.close(request_id, at=self._clock()) if self.two_people else removed > 0
        if first:
            self._notices.tell(account.id, NoticeKind.FACTOR_RESET_BY_SUPPORT, source=source)
            asked = {"login": account.login, "email": ""}
            self._notices.request(NoticeKind.REQUEST_RESET, source=source, details=asked)

    def _refuse(self, reason: Reason, account_id: str | None, actor: Actor, source: Source) -> NoReturn:
        self._emit(
            SecurityEvent(
                name=Event.ACCOUNT_SUPPORT_REQUESTED,
                outcome=Outcome.DENIED,
                actor=actor,
                resource=None if account_id is None else ResourceRef(type="account", id=account_id),
                reason=reason,
                source=source,
            )
        )
        raise Denied(reason)

    def _record(  # noqa: PLR0917
        self,
        name: str,
        account_id: str,
        actor: Actor,
        source: Source,
        details: Mapping[str, str | None],
        changed: tuple[str, ...] = (),
    ) -> None:
        self._emit(
            SecurityEvent(
                name=name,
                actor=actor,
                resource=ResourceRef(type="account", id=account_id),
                source=source,
                changed=changed,
                details=details,
            )
        )
