"""`SignInLinks`: a link by mail as the first factor of a sign-in. Off by default (`SignInPolicy.mail_link`).

It proves what a mailed code proves, that somebody reads a mailbox, and counts as that: `Factor.EMAIL_CODE`, one factor
however often, never beside a mailed code or a password that was reset by mail, never level 2 and never proof against
phishing (SP 800-63B-4 section 3.1.3.1 takes no mail as an authenticator at all). Whoever has a second factor, or is asked
for one, goes on to it as ever; a link alone opens only what one factor may open.

The link works in the browser that asked for it and in no other, so whoever finds or forwards the mail has nothing, and a
link that a stranger asked for lets the stranger in nowhere. It works once, for ten minutes from the asking, for the
account as it was when the mail was written, and goes to the oldest address that was confirmed: what a thief adds later
is not where ways in are sent. Asking costs the same for everybody; nothing is looked up then.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import NoReturn

from portalsec.auth._door import DOOR
from portalsec.auth._link_first import LINK_LIFETIME
from portalsec.auth._mail_requests import MailRequests
from portalsec.auth._pending_flows import token_digest
from portalsec.auth.evidence import mint
from portalsec.auth.links import Held, LinkPurpose, Links
from portalsec.auth.notices import Letter, NoticeKind, Notices
from portalsec.auth.ports import Contact, ContactStore, Notice
from portalsec.auth.proof import Factor, Proof
from portalsec.auth.sessions import Sessions
from portalsec.auth.signin import SignIn, Step
from portalsec.clock import Clock
from portalsec.errors import Denied, Reason, StoreError
from portalsec.events import ANONYMOUS, Event, Outcome, ResourceRef, SecurityEvent, Source
from portalsec.secret import Secret
from portalsec.typing import Emit

__all__ = ["SignInLinks"]

_ASKED_BY = "asked_by"


class SignInLinks:
    """Ask, letter, follow. Safe for concurrent use: one link opens one sign-in."""

    def __init__(
        self,
        *,
        requests: MailRequests,
        links: Links,
        contacts: ContactStore,
        notices: Notices,
        sign_in: SignIn,
        sessions: Sessions,
        emit: Emit,
        clock: Clock,
    ) -> None:
        self._requests = requests
        self._links = links
        self._contacts = contacts
        self._notices = notices
        self._sign_in = sign_in
        self._sessions = sessions
        self._emit = emit
        self._clock = clock

    @property
    def offered(self) -> bool:
        """Whether the policy has this way in."""
        return self._sign_in.policy.mail_link

    def ask(
        self,
        name_or_address: object,
        *,
        source: Source,
        device: object = None,
        replaces: object = None,
        shared: bool = False,
        trust: bool = False,
    ) -> Secret[str]:
        """Ask for a link. The same work and the same answer for everybody.

        Args:
            name_or_address: a sign-in name or an e-mail address, as typed.
            device, replaces, shared, trust: as at `SignIn.start`.

        Returns:
            The pending token, for this browser's cookie: the link works beside it alone.

        Raises:
            Denied: NO_GRANT (there is no such way in), MALFORMED, THROTTLED (this visitor asked too often).
            StoreError: nothing was asked for.
        """
        if not self.offered:
            self._refuse(Reason.NO_GRANT, source, None)
        pending, digest = self._sign_in.begin_link(
            DOOR, source=source, replaces=replaces, shared=shared, trust=trust
        )
        try:
            self._requests.ask_for_account(
                NoticeKind.REQUEST_SIGN_IN,
                "link",
                Event.AUTH_LINK_REQUESTED,
                name_or_address,
                source=source,
                device=device,
                also={_ASKED_BY: digest.hex()},
            )
        except (Denied, StoreError):
            self._sign_in.abort(pending.reveal())
            raise
        return pending

    def letters(self, request: Notice) -> Sequence[Letter]:
        """The mail of one request; for the courier. None where it would come too late, or the way in is closed by now."""
        details = dict(self._notices.details(request))
        asked_by, left = details.pop(_ASKED_BY, ""), request.at + LINK_LIFETIME - self._clock()
        if not (self.offered and asked_by and left.total_seconds() > 0):
            return []
        found = [
            (account, self._oldest(account.id) or typed)
            for account, typed in self._requests.recipients(details)
        ]
        return [
            Letter(
                contact=contact,
                kind=NoticeKind.REQUEST_SIGN_IN,
                token=self._links.issue(LinkPurpose.SIGN_IN, account, contact, left, browser=asked_by),
                at=request.at,
                code=request.code,
                details=details,
            )
            for account, contact in found
            if self._requests.may_mail(request, account.id, contact.address)
        ]

    def follow(self, pending: object, token: object, *, source: Source, device: object = None) -> Step:
        """Use a mailed link, on a POST, in the browser that asked for it.

        Elsewhere it is refused and stays good: a mail server that follows links keeps nobody out.

        Args:
            pending: what `ask` returned, from the cookie.
            token: of the link.
            device: as at `SignIn.submit_totp`.

        Returns:
            Where the sign-in stands.

        Raises:
            Denied: TOKEN_INVALID (unknown, used, too old, of another browser, or the account is another by now),
                FLOW_UNKNOWN, CHANGE_REQUIRED (a new password must be chosen: sign in with the old one, or reset it),
                EVIDENCE_MISSING (nothing that the account has leads on from a link), and what `SignIn.login` raises.
        """
        self._sign_in.read_posture(source)
        first = self._good(pending, token)
        if first is None or first.account is None:
            self._refuse(Reason.TOKEN_INVALID, source, None)
        # The epoch before the account is looked at: whatever ends its sessions from here on ends this sign-in too.
        epoch = self._sessions.epoch(first.account.id)
        held = self._good(pending, token)
        held = None if held is None else self._links.spend(held)
        if held is None or held.account is None:
            self._refuse(Reason.TOKEN_INVALID, source, first.account.id)
        proof = Proof(factor=Factor.EMAIL_CODE, at=self._clock(), authenticator=held.contact_id)
        proven = mint(proof, held.account.id, epoch=epoch)
        return self._sign_in.after_link(DOOR, pending, held.account, proven, source=source, device=device)

    # -- parts of the above -----------------------------------------------------------------------------------------

    def _good(self, pending: object, token: object) -> Held | None:
        """What the link is good for, in the browser that holds ``pending``."""
        digest = token_digest(pending)
        if not self.offered or digest is None:
            return None
        held = self._links.mailed(token, LinkPurpose.SIGN_IN)
        if held is None or not held.contact_id:
            return None
        return held if hmac.compare_digest(held.browser.encode(), digest.hex().encode()) else None

    def _oldest(self, account_id: str) -> Contact | None:
        verified = [each for each in self._contacts.of_account(account_id) if each.verified_at is not None]
        return min(verified, key=lambda each: (each.verified_at, each.id), default=None)

    def _refuse(self, reason: Reason, source: Source, account_id: str | None) -> NoReturn:
        self._emit(
            SecurityEvent(
                name=Event.AUTH_LOGIN_FAILED,
                outcome=Outcome.DENIED,
                actor=ANONYMOUS,
                resource=None if account_id is None else ResourceRef(type="account", id=account_id),
                reason=reason,
                source=source,
                details={"by": "link"},
            )
        )
        raise Denied(reason)
