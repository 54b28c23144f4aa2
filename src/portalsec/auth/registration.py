"""`Registration`: an account for whoever reads mail at an address, where the portal is open to everybody."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import NoReturn

from portalsec.auth._creating import Creating
from portalsec.auth._door import DOOR
from portalsec.auth._email import address_or_none, canonical_email
from portalsec.auth._input import canonical_login
from portalsec.auth._mail_requests import MailRequests
from portalsec.auth.account import SignUp
from portalsec.auth.links import Held, LinkPurpose, Links
from portalsec.auth.notices import Letter, NoticeKind, Notices
from portalsec.auth.password_policy import PasswordRefused
from portalsec.auth.ports import Account, AccountStore, Contact, ContactStore, Notice
from portalsec.auth.proof import Factor
from portalsec.auth.sessions import Sessions
from portalsec.auth.signin import SignIn
from portalsec.clock import Clock
from portalsec.errors import Denied, Reason, StoreError
from portalsec.events import ANONYMOUS, Actor, Event, Outcome, SecurityEvent, Source
from portalsec.secret import Secret
from portalsec.typing import Emit, NewId

__all__ = ["Registration"]

_NAMES = 10  # sign-in names that one link may find taken


class Registration:
    """Request, letter, exchange, complete.

    Who has an account is told to nobody but the reader of the mailbox: a known address gets a letter that says so,
    and everybody else the same answer as ever. An account that is made here has a sign-in name, a password and one
    verified address; whose record it may see is for the portal's staff to say, never for a form.

    Safe for concurrent use: one link makes one account.
    """

    def __init__(
        self,
        *,
        requests: MailRequests,
        links: Links,
        creating: Creating,
        accounts: AccountStore,
        contacts: ContactStore,
        notices: Notices,
        sign_in: SignIn,
        sessions: Sessions,
        emit: Emit,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._requests = requests
        self._links = links
        self._creating = creating
        self._accounts = accounts
        self._contacts = contacts
        self._notices = notices
        self._sign_in = sign_in
        self._sessions = sessions
        self._emit = emit
        self._clock = clock
        self._new_id = new_id

    @property
    def open(self) -> bool:
        """Whether this portal lets everybody register (`RecoveryPolicy.open_registration`)."""
        return self._links.policy.open_registration

    def request(self, email: object, *, source: Source) -> None:
        """Ask for an account. The same work and the same answer whoever has the address already.

        Raises:
            Denied: NO_GRANT (this portal is not open), ADDRESS_REFUSED, THROTTLED (this visitor asked too often).
        """
        self._is_open(source)
        try:
            address = canonical_email(email)
        except Denied as refusal:
            self._record(Event.SYSTEM_REQUEST_REFUSED, refusal.reason, source)
            raise
        self._requests.ask(
            NoticeKind.REQUEST_REGISTER,
            "registration",
            Event.ACCOUNT_REGISTRATION_REQUESTED,
            address,
            {"email": address},
            source=source,
        )

    def letters(self, request: Notice) -> Sequence[Letter]:
        """The mail of one request; for the courier. Without a token where the address has an account already."""
        details = self._notices.details(request)
        address = details["email"]
        if not self.open or not self._requests.may_mail(request, None, address):
            return ()
        token = None if self._taken(address) else self._links.issue_registration(address)
        nobody = Contact(id="", account_id="", address=address, verified_at=None, created_at=request.at)
        return (
            Letter(
                contact=nobody,
                kind=NoticeKind.REQUEST_REGISTER,
                token=token,
                at=request.at,
                code=request.code,
                details=details,
            ),
        )

    def exchange(self, token: object, *, source: Source) -> Secret[str]:
        """Use a mailed link, on a POST, and get a token for this browser's cookie.

        Raises:
            Denied: NO_GRANT, TOKEN_INVALID.
        """
        self._is_open(source)
        browser = self._links.exchange(token, LinkPurpose.REGISTER)
        if browser is None:
            self._refuse(Reason.TOKEN_INVALID, source)
        return browser

    def complete(
        self,
        browser_token: object,
        *,
        login: object,
        password: object,
        source: Source,
        device: object = None,
    ) -> SignUp:
        """Make the account. Nothing else of it can be chosen here: no role, no reference, no other address.

        Args:
            login, password: as chosen.
            device: as at `SignIn.submit_totp`.

        Raises:
            Denied: NO_GRANT, MALFORMED, TOKEN_INVALID (also where the address has an account by now), LOGIN_TAKEN
                (the token stays good, for ten names at most), ADDRESS_REFUSED (a name with an ``@`` that is not the
                address; the token stays good).
            PasswordRefused: the token stays good.
        """
        self._is_open(source)
        self._sign_in.read_posture(source)
        try:
            name = canonical_login(login)
        except Denied as refusal:
            self._record(Event.SYSTEM_REQUEST_REFUSED, refusal.reason, source)
            raise
        held = self._links.in_browser(browser_token, LinkPurpose.REGISTER)
        if held is None or held.address is None or self._taken(held.address):
            self._refuse(Reason.TOKEN_INVALID, source)
        if "@" in name and address_or_none(name) != held.address:
            # Somebody else's address would be theirs no more, and their mail might be asked for under it.
            self._refuse(Reason.ADDRESS_REFUSED, source)
        account = self._prepared(name, password, held.address, source)
        spent = self._links.spend(held)
        if spent is None:
            self._refuse(Reason.TOKEN_INVALID, source)
        epoch, at = self._created(spent, account, source)
        step = self._sign_in.after_password(
            DOOR, account, epoch=epoch, at=at, source=source, device=device, through=Factor.EMAIL_CODE
        )
        return SignUp(account_id=account.id, reference="", step=step)

    # -- parts of the above -----------------------------------------------------------------------------------------

    def _prepared(self, name: str, password: object, address: str, source: Source) -> Account:
        try:
            return self._creating.prepare(name, password, addresses=(address,), source=source)
        except PasswordRefused:
            self._record(Event.ACCOUNT_CREATE_REFUSED, Reason.PASSWORD_REFUSED, source)
            raise
        except Denied as refusal:
            self._record(Event.SYSTEM_REQUEST_REFUSED, refusal.reason, source)
            raise

    def _created(self, held: Held, account: Account, source: Source) -> tuple[int, datetime]:
        """Address first, then account: an address without an account is nobody's and is found by no one."""
        contact = Contact(
            id=self._new_id(),
            account_id=account.id,
            address=held.address or "",
            verified_at=self._clock(),
            created_at=self._clock(),
        )
        try:
            epoch = self._sessions.epoch(account.id)
            at = self._clock()
            self._contacts.add(contact)
            self._creating.create(account, Actor(type="user", id=account.id), source)
        except BaseException as error:
            # No account, whatever the cause: the person must be able to try again, but not to ask for ever who is here.
            taken = isinstance(error, Denied)
            self._links.restore(held, tried=self._links.policy.choices // _NAMES if taken else 0)
            with suppress(StoreError):
                self._contacts.remove(account.id, contact.id)
            if taken:
                self._record(Event.ACCOUNT_CREATE_REFUSED, Reason.LOGIN_TAKEN, source)
            raise
        return epoch, at

    def _taken(self, address: str) -> bool:
        """Whether an account has shown that it reads mail there: an address that somebody only typed is not theirs."""
        return any(
            contact.verified_at is not None and self._accounts.get(contact.account_id) is not None
            for contact in self._contacts.by_address(address)
        )

    def _is_open(self, source: Source) -> None:
        if not self.open:
            self._refuse(Reason.NO_GRANT, source)

    def _refuse(self, reason: Reason, source: Source) -> NoReturn:
        self._record(Event.ACCOUNT_CREATE_REFUSED, reason, source)
        raise Denied(reason)

    def _record(self, event: str, reason: Reason, source: Source) -> None:
        self._emit(
            SecurityEvent(name=event, outcome=Outcome.DENIED, actor=ANONYMOUS, reason=reason, source=source)
        )
