"""`PasswordReset`: a new password for whoever reads mail at an address of the account; the second factor still asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from portalsec.auth._door import DOOR
from portalsec.auth._mail_requests import MailRequests
from portalsec.auth._replacing import ENDINGS, Replacing
from portalsec.auth.endings import Why
from portalsec.auth.links import Held, LinkPurpose, Links
from portalsec.auth.notices import Letter, NoticeKind, Notices
from portalsec.auth.password_policy import PasswordRefused
from portalsec.auth.ports import Account, ContactStore, Notice
from portalsec.auth.proof import Factor
from portalsec.auth.sessions import Sessions
from portalsec.auth.signin import SignIn, Step
from portalsec.auth.throttle import Throttle
from portalsec.errors import Denied, Reason, StoreError
from portalsec.events import ANONYMOUS, Actor, Event, Outcome, ResourceRef, SecurityEvent, Source
from portalsec.secret import Secret
from portalsec.typing import Emit

__all__ = ["PasswordReset"]


class PasswordReset:
    """Request, letter, exchange, choose. Safe for concurrent use: one link leads to one new password."""

    def __init__(
        self,
        *,
        requests: MailRequests,
        links: Links,
        contacts: ContactStore,
        replacing: Replacing,
        notices: Notices,
        sign_in: SignIn,
        sessions: Sessions,
        throttle: Throttle,
        emit: Emit,
    ) -> None:
        self._requests = requests
        self._links = links
        self._contacts = contacts
        self._replacing = replacing
        self._notices = notices
        self._sign_in = sign_in
        self._sessions = sessions
        self._throttle = throttle
        self._emit = emit

    def request(self, name_or_address: object, *, source: Source, device: object = None) -> None:
        """Ask for a link. The same work and the same answer for everybody: nothing is looked up here.

        Args:
            name_or_address: a sign-in name or an e-mail address, as typed.
            device: the cookie of known devices that the browser showed, if any.

        Raises:
            Denied: MALFORMED, THROTTLED (this visitor asked too often).
        """
        self._requests.ask_for_account(
            NoticeKind.REQUEST_RESET,
            "reset",
            Event.AUTH_RESET_REQUESTED,
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
                kind=NoticeKind.REQUEST_RESET,
                token=self._links.issue(LinkPurpose.RESET, account, contact, self._links.policy.reset),
                at=request.at,
                code=request.code,
                details=details,
            )
            for account, contact in self._requests.recipients(details)
            if self._requests.may_mail(request, account.id, contact.address)
        ]

    def exchange(self, token: object, *, source: Source) -> Secret[str]:
        """Use a mailed link, on a POST, and get a token for this browser's cookie.

        Raises:
            Denied: TOKEN_INVALID.
        """
        browser = self._links.exchange(token, LinkPurpose.RESET)
        if browser is None:
            self._refuse(Reason.TOKEN_INVALID, source, None)
        return browser

    def choose(
        self, browser_token: object, password: object, *, source: Source, device: object = None
    ) -> Step:
        """Put a new password in the place of the old one. Every session of the account ends, and more: see `ENDS`.

        Addresses that nobody has confirmed yet are removed: whoever had the old password may have added them.
        ``device`` as at `SignIn.submit_totp`.

        Returns:
            Where the sign-in stands that follows: the second factor is asked for as at any other.

        Raises:
            Denied: TOKEN_INVALID (also where the password or the address is another one by now), MALFORMED.
            PasswordRefused: with what is to be mended; the token stays good.
        """
        self._sign_in.read_posture(source)
        held = self._links.in_browser(browser_token, LinkPurpose.RESET)
        if held is None or held.account is None:
            self._refuse(Reason.TOKEN_INVALID, source, None)
        account = held.account
        # Before anything ends: whatever else ends the account's sessions from here on also ends this sign-in.
        epoch = self._sessions.epoch(account.id)
        new_hash = self._prepared(account, password, source)
        spent = self._links.spend(held)
        if spent is None:
            self._refuse(Reason.TOKEN_INVALID, source, account.id)
        changed = self._replaced(spent, account, new_hash, source)
        self._throttle.clear_account(login=account.login, account_id=account.id, address=source.address)
        at = changed.password_changed_at
        if at is None:
            raise StoreError("a password was replaced and its moment is missing")
        return self._sign_in.after_password(
            DOOR,
            changed,
            epoch=epoch + ENDINGS,
            at=at,
            source=source,
            device=device,
            through=Factor.EMAIL_CODE,
        )

    def _prepared(self, account: Account, password: object, source: Source) -> str:
        try:
            return self._replacing.prepare(account, password, source=source)
        except PasswordRefused:
            self._record(Reason.PASSWORD_REFUSED, source, account.id)
            raise
        except Denied as refusal:
            self._record(refusal.reason, source, account.id)
            raise

    def _replaced(self, held: Held, account: Account, new_hash: str, source: Source) -> Account:
        try:
            self._forget_unverified(account, source)
            return self._replacing.replace(
                account,
                new_hash,
                why=Why.PASSWORD_RESET,
                event=Event.AUTH_PASSWORD_RESET,
                notice=NoticeKind.PASSWORD_RESET,
                source=source,
                mailed=True,
            ).account
        except StoreError:
            # The person must be able to try again; a token is dead anyway where the password was written after all.
            self._links.restore(held)
            raise
        except Denied:
            pass
        raise Denied(Reason.TOKEN_INVALID)

    def _forget_unverified(self, account: Account, source: Source) -> None:
        for contact in self._contacts.of_account(account.id):
            if contact.verified_at is None:
                self._emit(
                    SecurityEvent(
                        name=Event.ACCOUNT_CONTACT_REMOVED,
                        actor=Actor(type="user", id=account.id),
                        resource=ResourceRef(type="contact", id=contact.id),
                        source=source,
                        details={"why": Why.PASSWORD_RESET.value},
                    )
                )
                self._contacts.remove(account.id, contact.id)

    def _refuse(self, reason: Reason, source: Source, account_id: str | None) -> NoReturn:
        self._record(reason, source, account_id)
        raise Denied(reason)

    def _record(self, reason: Reason, source: Source, account_id: str | None) -> None:
        self._emit(
            SecurityEvent(
                name=Event.AUTH_PASSWORD_RESET,
                outcome=Outcome.DENIED,
                actor=ANONYMOUS,
                resource=None if account_id is None else ResourceRef(type="account", id=account_id),
                reason=reason,
                source=source,
            )
        )
