"""`Unlock`: the owner of an account lifts its lock by mail, so that nobody who guesses can keep them out."""

from __future__ import annotations

from collections.abc import Sequence

from portalsec.auth._mail_requests import MailRequests
from portalsec.auth.links import LinkPurpose, Links
from portalsec.auth.notices import Letter, NoticeKind, Notices
from portalsec.auth.ports import Account, Notice
from portalsec.auth.throttle import Throttle
from portalsec.errors import Denied, Reason, StoreError
from portalsec.events import ANONYMOUS, Actor, Event, Outcome, ResourceRef, SecurityEvent, Source
from portalsec.typing import Emit

__all__ = ["Unlock"]


class Unlock:
    """Request, letter, confirm. Safe for concurrent use. It lets nobody in: a password is asked for as ever."""

    def __init__(
        self, *, requests: MailRequests, links: Links, notices: Notices, throttle: Throttle, emit: Emit
    ) -> None:
        self._requests = requests
        self._links = links
        self._notices = notices
        self._throttle = throttle
        self._emit = emit

    def request(self, name_or_address: object, *, source: Source, device: object = None) -> None:
        """Ask for a link. The same work and the same answer for everybody, locked or not.

        Args:
            device: the cookie of known devices that the browser showed, if any.

        Raises:
            Denied: MALFORMED, THROTTLED (this visitor asked too often).
        """
        self._requests.ask_for_account(
            NoticeKind.REQUEST_UNLOCK,
            "unlock",
            Event.AUTH_UNLOCK_REQUESTED,
            name_or_address,
            source=source,
            device=device,
        )

    def letters(self, request: Notice) -> Sequence[Letter]:
        """The mail of one request; for the courier."""
        details = self._notices.details(request)
        return [
            Letter(
                contact=contact,
                kind=NoticeKind.REQUEST_UNLOCK,
                token=self._links.issue(LinkPurpose.UNLOCK, account, contact, self._links.policy.unlock),
                at=request.at,
                code=request.code,
                details=details,
            )
            for account, contact in self._requests.recipients(details)
            if self._requests.may_mail(request, account.id, contact.address)
        ]

    def confirm(self, token: object, *, source: Source) -> None:
        """Use a mailed link, on a POST: what was counted against the account is forgotten.

        Raises:
            Denied: TOKEN_INVALID.
        """
        held = self._links.mailed(token, LinkPurpose.UNLOCK)
        held = None if held is None else self._links.spend(held)
        if held is None or held.account is None:
            self._emit(
                SecurityEvent(
                    name=Event.AUTH_UNLOCKED,
                    outcome=Outcome.DENIED,
                    actor=ANONYMOUS,
                    reason=Reason.TOKEN_INVALID,
                    source=source,
                )
            )
            raise Denied(Reason.TOKEN_INVALID)
        account = held.account
        try:
            self._lift(account, Actor(type="user", id=account.id), source)
        except StoreError:
            self._links.restore(held)
            raise

    def lift(self, account: Account, *, actor: Actor, source: Source) -> None:
        """Forget what was counted against an account, on the word of staff or an operator; its owner is told.

        Who may do so is for the caller to say.
        """
        self._lift(account, actor, source)

    def _lift(self, account: Account, actor: Actor, source: Source) -> None:
        self._emit(
            SecurityEvent(
                name=Event.AUTH_UNLOCKED,
                actor=actor,
                resource=ResourceRef(type="account", id=account.id),
                source=source,
            )
        )
        self._notices.tell(account.id, NoticeKind.ACCOUNT_UNLOCKED, source=source)
        self._throttle.clear_account(login=account.login, account_id=account.id, address=source.address)
