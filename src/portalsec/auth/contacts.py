"""`Contacts`: the e-mail addresses of an account, and what shows that mail to them arrives."""

from __future__ import annotations

from collections.abc import Sequence

from portalsec.auth._email import canonical_email
from portalsec.auth._mail_requests import MailRequests
from portalsec.auth._probation import settled
from portalsec.auth._reauthentication import Reauthentication
from portalsec.auth.endings import Endings, Why
from portalsec.auth.links import LinkPurpose, Links
from portalsec.auth.notices import NO_LINK, TO_REMOVED, Letter, NoticeKind, Notices
from portalsec.auth.ports import Account, AccountStore, Contact, ContactStore, Notice
from portalsec.auth.sessions import ActiveSession, NewSession, Sessions
from portalsec.auth.throttle import Throttle
from portalsec.clock import Clock
from portalsec.errors import Denied, Reason, StoreError
from portalsec.events import ANONYMOUS, Actor, Event, Outcome, ResourceRef, SecurityEvent, Source
from portalsec.typing import Emit, NewId

__all__ = ["Contacts", "NotConfirmed", "canonical_email"]


class NotConfirmed(Denied):
    """A link that was good when it was shown: its address was removed, or confirmed by another link, meanwhile.

    Attributes:
        session: what the session of the browser that asked goes on as, since the others had ended by then; None where it
            had none that goes on. Whoever answers that browser hands it over, or its user is signed out.
    """

    def __init__(self, session: NewSession | None = None) -> None:
        super().__init__(Reason.TOKEN_INVALID)
        self.session = session
        self.args = (session,)  # what a copy or a pickle is rebuilt from


class Contacts:
    """Adds, confirms and removes addresses.

    An address counts for nothing until a link that was mailed to it has come back; only then may a reset go there.
    Two accounts may have one address (a mother and her child), so adding one never tells who else has it. Safe for
    concurrent use: of several confirmations with one link, one wins, and it confirms the address that the link was
    mailed to and no other.
    """

    def __init__(
        self,
        *,
        store: ContactStore,
        accounts: AccountStore,
        links: Links,
        requests: MailRequests,
        notices: Notices,
        owner: Reauthentication,
        throttle: Throttle,
        endings: Endings,
        sessions: Sessions,
        emit: Emit,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._links = links
        self._requests = requests
        self._notices = notices
        self._owner = owner
        self._throttle = throttle
        self._endings = endings
        self._sessions = sessions
        self._emit = emit
        self._clock = clock
        self._new_id = new_id

    def of_account(self, account_id: str) -> Sequence[Contact]:
        """All of them, oldest first, for the owner's list."""
        return self._store.of_account(account_id)

    def add(self, session: ActiveSession, address: object, *, current: object, source: Source) -> Contact:
        """Add an address and have a link mailed to it. Adding one again that is not verified mails another link.

        Args:
            session: of the owner.
            address: as typed; see `canonical_email`.
            current: the current password: a session left open in a waiting room must not be enough to take over.

        Raises:
            Denied: ADDRESS_REFUSED (no such address, or the account has as many as it may), THROTTLED, and what
                `Reauthentication.verify` raises.
        """
        canonical = self._canonical(address, source)
        account = self._owner.verify(session, current, source=source)
        held = self._store.of_account(account.id)
        known = next((each for each in held if each.address == canonical), None)
        if known is None and len(held) >= self._links.policy.contacts:
            self._refuse(Event.ACCOUNT_CONTACT_ADDED, Reason.ADDRESS_REFUSED, source, account.id)
            raise Denied(Reason.ADDRESS_REFUSED)
        self._budget(account, source)
        contact = known or Contact(
            id=self._new_id(),
            account_id=account.id,
            address=canonical,
            verified_at=None,
            created_at=self._clock(),
        )
        if contact.verified_at is not None:
            return contact
        if known is None:
            self._record(Event.ACCOUNT_CONTACT_ADDED, contact, source, session.reference)
            if not self._store.add(contact):
                # Another request of the owner's added it meanwhile.
                contact = next(
                    each for each in self._store.of_account(account.id) if each.address == canonical
                )
        # Whatever ends this session before the mail goes out ends the request: see `letters`.
        epoch = str(session.record.epoch)
        details = {"account_id": account.id, "contact": contact.id, "epoch": epoch}
        self._notices.request(NoticeKind.REQUEST_VERIFY, source=source, details=details)
        return contact

    def confirm(
        self, token: object, *, source: Source, session: ActiveSession | None = None
    ) -> NewSession | None:
        """Use the link that was mailed to an address; on a POST only. The address is the account's from now on.

        Every other session of the account ends, and every link that was mailed for it.

        Args:
            session: of the browser that asks, if it has one. Where it is this account's, and its owner's own, it goes on as the
                session that is returned.

        Raises:
            Denied: TOKEN_INVALID; `NotConfirmed`, which is one, where the sessions had ended by then.
        """
        held = self._links.mailed(token, LinkPurpose.VERIFY)
        held = None if held is None else self._links.spend(held)
        if held is None or held.account is None or held.address is None:
            self._refuse(Event.ACCOUNT_CONTACT_VERIFIED, Reason.TOKEN_INVALID, source, None)
            raise Denied(Reason.TOKEN_INVALID)
        account_id = held.account.id
        own = session is not None and session.account_id == account_id and session.impersonator is None
        keep = session.digest if session is not None and own else None
        try:
            self._emit(
                SecurityEvent(
                    name=Event.ACCOUNT_CONTACT_VERIFIED,
                    actor=Actor(type="user", id=account_id),
                    resource=ResourceRef(type="contact", id=held.contact_id),
                    source=source,
                )
            )
            # Ended before it counts: where the rest fails, people sign in again, and nothing else has changed.
            kept = self._endings.apply(
                account_id,
                Why.EMAIL_CHANGED,
                actor=Actor(type="user", id=account_id),
                source=source,
                keep=keep,
            )
            self._notices.tell(
                account_id, NoticeKind.CONTACT_ADDED, source=source, details={"contact": held.contact_id}
            )
            won = self._store.verify(account_id, held.contact_id, at=self._clock())
        except StoreError:
            self._links.restore(held)
            raise
        if not won:
            # It was removed, or verified by another link of its own, while we looked.
            self._refuse(Event.ACCOUNT_CONTACT_VERIFIED, Reason.TOKEN_INVALID, source, account_id)
            raise NotConfirmed(kept)
        return kept

    def remove(
        self, session: ActiveSession, contact_id: str, *, current: object, source: Source
    ) -> NewSession:
        """Remove an address; its owner is told at it, once more. Every other session of the account ends.

        Returns:
            The session under its new id.

        Raises:
            Denied: ADDRESS_REFUSED (not this account's, or the only verified one: whoever has a session could silence
                the owner so), SESSION_REVOKED (the session ended meanwhile), and what `Reauthentication.verify` raises.
        """
        account = self._owner.verify(session, current, source=source)
        held = self._store.of_account(account.id)
        contact = next((each for each in held if each.id == contact_id), None)
        last = contact is not None and contact.verified_at is not None
        last = last and sum(each.verified_at is not None for each in held) == 1
        if contact is None or last:
            self._refuse(Event.ACCOUNT_CONTACT_REMOVED, Reason.ADDRESS_REFUSED, source, account.id)
            raise Denied(Reason.ADDRESS_REFUSED)
        self._record(Event.ACCOUNT_CONTACT_REMOVED, contact, source, session.reference)
        kept = self._endings.apply(
            account.id,
            Why.EMAIL_CHANGED,
            actor=Actor(type="user", id=account.id),
            source=source,
            keep=session.digest,
        )
        if kept is None:
            self._refuse(Event.ACCOUNT_CONTACT_REMOVED, Reason.SESSION_REVOKED, source, account.id)
            raise Denied(Reason.SESSION_REVOKED)
        verified, now = contact.verified_at is not None, self._clock()
        self._notices.tell(
            account.id,
            NoticeKind.CONTACT_REMOVED,
            source=source,
            # The mail that goes there once more has a link only where the address may be the owner's: see `settled`.
            details={"contact": contact.id}
            | ({} if settled(contact, account, at=now) else {NO_LINK: TO_REMOVED}),
            mail=verified,
            also=contact if verified else None,
        )
        self._store.remove(account.id, contact.id)
        return kept

    def letters(self, request: Notice) -> Sequence[Letter]:
        """The mail of one request to confirm an address; for the courier.

        None where the account's sessions were ended since it was asked for: whoever asked may be why they were.
        """
        details = self._notices.details(request)
        account = self._accounts.get(details["account_id"])
        contact = next(
            (each for each in self._store.of_account(details["account_id"]) if each.id == details["contact"]),
            None,
        )
        if account is None or account.disabled or contact is None or contact.verified_at is not None:
            return ()
        if not self._requests.may_mail(request, account.id, contact.address):
            return ()
        token = self._links.issue(LinkPurpose.VERIFY, account, contact, self._links.policy.verify)
        # Asked after the link is stored: what ends sessions from here on finds the link and ends it too.
        if details.get("epoch") != str(self._sessions.epoch(account.id)):
            return ()
        return (
            Letter(
                contact=contact,
                kind=NoticeKind.REQUEST_VERIFY,
                token=token,
                at=request.at,
                code=request.code,
                details=details,
            ),
        )

    # -- parts of the above -----------------------------------------------------------------------------------------

    def _canonical(self, address: object, source: Source) -> str:
        try:
            return canonical_email(address)
        except Denied as refusal:
            self._refuse(Event.SYSTEM_REQUEST_REFUSED, refusal.reason, source, None)
            raise

    def _budget(self, account: Account, source: Source) -> None:
        try:
            attempt = self._throttle.reserve("verify", account=account.id, address=source.address)
        except Denied as refusal:
            self._refuse(Event.AUTH_THROTTLED, refusal.reason, source, account.id)
            raise
        attempt.failed()
        if attempt.locked is not None:
            self._refuse(Event.AUTH_THROTTLED, attempt.locked, source, account.id)
            raise Denied(Reason.THROTTLED)

    def _record(self, event: str, contact: Contact, source: Source, session: str) -> None:
        self._emit(
            SecurityEvent(
                name=event,
                actor=Actor(type="user", id=contact.account_id),
                resource=ResourceRef(type="contact", id=contact.id),
                source=source,
                session=session,
            )
        )

    def _refuse(self, event: str, reason: Reason, source: Source, account_id: str | None) -> None:
        self._emit(
            SecurityEvent(
                name=event,
                outcome=Outcome.DENIED,
                actor=ANONYMOUS if account_id is None else Actor(type="user", id=account_id),
                resource=None if account_id is None else ResourceRef(type="account", id=account_id),
                reason=reason,
                source=source,
            )
        )
