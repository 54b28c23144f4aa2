"""`Disavowal`: "this wasn't me", the link in every notice, and what follows when its reader confirms.

The link is a keyed tag over the notice's id and nothing is stored for it: looking at it writes nothing anywhere, however
often a mail scanner opens it; the same notice has the same link in every mail; and nothing that a thief does to the
account (another password, another address, ended flows) makes it stop. It stops when the notice is disavowed, or old.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import NoReturn
from uuid import UUID

from portalsec._encoding import b64url, unb64url
from portalsec.auth._input import token_text
from portalsec.auth.endings import Endings, Why
from portalsec.auth.incidents import Incidents
from portalsec.auth.links import LinkPurpose, Links
from portalsec.auth.new_password import NewPasswords
from portalsec.auth.notice_policy import NoticePolicy
from portalsec.auth.notices import REQUESTS, NoticeKind, Notices
from portalsec.auth.ports import (
    Account,
    AccountStore,
    ContactStore,
    Flow,
    FlowStore,
    Mac,
    Notice,
    NoticeStore,
    TotpStore,
)
from portalsec.clock import Clock
from portalsec.errors import ConfigurationError, Denied, Reason, StoreError
from portalsec.events import ANONYMOUS, Actor, Event, Outcome, ResourceRef, SecurityEvent, Source
from portalsec.secret import Secret
from portalsec.typing import Emit

__all__ = ["Disavowable", "Disavowal", "disavow_token"]

_TAG = 16  # with 16 bytes of id it is 32 bytes: a token of the usual shape, and 128 bits to guess
_ROUNDS = 5
_TURN = "disavow.turn"
_TURN_LIFETIME = timedelta(minutes=2)
_LOOKS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Disavowable:
    """What the page of the link shows before anybody confirms.

    Attributes:
        notice: with its kind, moment and code, as in the mail.
        details: its browser and place.
    """

    notice: Notice
    details: Mapping[str, str]


class Disavowal:
    """Looks at links and confirms them.

    Safe for concurrent use: of any number of confirmations of one notice, one wins. One that a failing store cut short
    can be confirmed again at once, and one whose process died two minutes later.

    Args:
        turns: a durable store, in which a confirmation under way holds the turn of its notice. Without it the slower of
            two would end what the browser of the faster one was just given.
        links: gives the browser what it chooses a new password with.
        contacts, factors: where an address or authenticator that was disavowed right after it was added is taken away.
    """

    def __init__(
        self,
        *,
        store: NoticeStore,
        notices: Notices,
        accounts: AccountStore,
        contacts: ContactStore,
        factors: TotpStore,
        new_passwords: NewPasswords,
        endings: Endings,
        incidents: Incidents,
        links: Links,
        turns: FlowStore,
        policy: NoticePolicy,
        mac: Mac,
        emit: Emit,
        clock: Clock,
    ) -> None:
        self._store = store
        self._notices = notices
        self._accounts = accounts
        self._contacts = contacts
        self._factors = factors
        self._new_passwords = new_passwords
        self._endings = endings
        self._incidents = incidents
        self._links = links
        self._turns = turns
        self._mac = mac
        self._emit = emit
        self._clock = clock
        self.policy = policy

    def look(self, token: object, *, source: Source) -> Disavowable:
        """What this link is about. Nothing changes by it: mail scanners open links before people do.

        Raises:
            Denied: TOKEN_INVALID: not ours, disavowed already, or too old. Recorded.
        """
        notice = self._notice(token)
        if notice is None:
            self._refuse(source)
        details = self._notices.details(notice)
        return Disavowable(
            notice=notice,
            details={key: details[key] for key in ("browser", "place") if key in details},
        )

    def confirm(self, token: object, *, source: Source) -> Secret[str]:
        """The owner says that it was not them, on a POST.

        Ends every session, half-finished sign-in, known device and link of the account, takes its password away (it
        comes back for nobody), opens an incident, and takes back an address or authenticator whose adding is what was
        disavowed. A disabled account stays disabled.

        Returns:
            A browser's token to choose a new password with, where the second factor is asked for as ever. For a
            disabled account it opens nothing.

        Raises:
            Denied: TOKEN_INVALID.
            StoreError: something failed; the link still works.
        """
        notice = self._notice(token)
        if notice is None:
            self._refuse(source)
        browser = self._in_turn(notice, Actor(type="user", id=notice.account_id), source)
        if browser is None:
            self._refuse(source, notice)
        return browser

    def confirm_signed_in(self, account_id: str, notice_id: str, *, source: Source) -> Secret[str]:
        """The same from the signed-in page, whose caller has checked the session: it ends along with all others.

        Raises:
            Denied: TOKEN_INVALID where the notice is not this account's, or was disavowed; StoreError.
        """
        notice = self._store.get(notice_id)
        if notice is None or notice.account_id != account_id or notice.disavowed_at is not None:
            self._refuse(source)
        browser = self._in_turn(notice, Actor(type="user", id=account_id), source)
        if browser is None:
            self._refuse(source, notice)
        return browser

    # -- parts of the above -----------------------------------------------------------------------------------------

    def _notice(self, token: object) -> Notice | None:
        notice_id = _notice_id(self._mac, token)
        notice = None if notice_id is None else self._store.get(notice_id)
        if notice is None or notice.account_id is None or notice.kind in REQUESTS:
            return None
        if notice.disavowed_at is not None or self._clock() - notice.at >= self.policy.disavow_for:
            return None
        return notice

    def _in_turn(self, notice: Notice, actor: Actor, source: Source) -> Secret[str] | None:
        """`_disavow`, where no other confirmation of this notice is under way; None where one is."""
        digest = hashlib.sha256(b"disavow:" + notice.id.encode("utf-8")).digest()
        turn = Flow(
            digest=digest,
            purpose=_TURN,
            account_id=None,
            data=b"",
            expires_at=self._clock() + _TURN_LIFETIME,
        )
        if not self._turns.put(turn):
            # A turn whose process died is removed by this look, and may be taken then.
            held = self._turns.attempt(digest, _TURN, limit=_LOOKS, now=self._clock())
            if held is not None or not self._turns.put(turn):
                return None
        try:
            return self._disavow(notice, actor, source)
        finally:
            self._turns.consume(digest, _TURN, now=self._clock())

    def _disavow(self, notice: Notice, actor: Actor, source: Source) -> Secret[str] | None:
        """What the browser chooses a new password with; None where another confirmation won."""
        account_id = notice.account_id or ""
        fresh = self._store.get(notice.id)
        if fresh is None or fresh.disavowed_at is not None:
            return None
        # Sessions first: whatever fails after this, the stranger is out.
        self._endings.apply(account_id, Why.DISAVOWED, actor=actor, source=source)
        account = self._without_password(account_id, notice.id)
        if account is None:
            return None
        self._undo(notice, account_id)
        self._incidents.open_for(notice, actor=actor, source=source)
        # The record before the mark: a link that was used must be in the log, and one that could not be recorded works.
        self._emit(
            SecurityEvent(
                name=Event.ACCOUNT_DISAVOWED,
                actor=actor,
                resource=ResourceRef(type="account", id=account_id),
                source=source,
                details={"kind": notice.kind, "notice": notice.id},
            )
        )
        browser = self._links.for_browser(LinkPurpose.RESET, account)
        won = self._store.disavow(account_id, notice.id, at=self._clock())
        return browser if won else None

    def _without_password(self, account_id: str, notice_id: str) -> Account | None:
        """Take the password away; None where the notice was disavowed meanwhile, whose winner may have a new one."""
        for _ in range(_ROUNDS):
            # The account before the notice: a password that a winner's owner chose after our look is not the expected one.
            account = self._accounts.get(account_id)
            notice = self._store.get(notice_id)
            if account is None or notice is None or notice.disavowed_at is not None:
                return None
            old, now = account.password_hash, self._clock()
            if old is None:
                return account
            self._new_passwords.retire(account_id, old, now, compromised=True)
            if self._accounts.set_password(account_id, None, expected=old, changed_at=now):
                return self._accounts.get(account_id)
        raise StoreError("an account's password kept changing while it was taken away")

    def _undo(self, notice: Notice, account_id: str) -> None:
        """An address or authenticator that a stranger added must not lead back in."""
        details = self._notices.details(notice)
        if notice.kind == NoticeKind.CONTACT_ADDED and "contact" in details:
            self._contacts.remove(account_id, details["contact"])
        if notice.kind == NoticeKind.FACTOR_ADDED and "device" in details:
            self._factors.remove(account_id, details["device"])

    def _refuse(self, source: Source, notice: Notice | None = None) -> NoReturn:
        account_id = None if notice is None else notice.account_id
        self._emit(
            SecurityEvent(
                name=Event.ACCOUNT_DISAVOWED,
                outcome=Outcome.DENIED,
                actor=ANONYMOUS,
                resource=None if account_id is None else ResourceRef(type="account", id=account_id),
                reason=Reason.TOKEN_INVALID,
                source=source,
            )
        )
        raise Denied(Reason.TOKEN_INVALID)


def disavow_token(mac: Mac, notice_id: str) -> Secret[str]:
    """The token of a notice's link.

    Raises:
        ConfigurationError: the portal's ids are no UUIDs.
    """
    raw = _id_bytes(notice_id)
    if raw is None:
        raise ConfigurationError("new_id makes no UUIDs, which notices need: use portalsec's, or UUIDv7 text")
    return Secret(b64url(raw + mac("disavow", raw)[:_TAG]))


def _notice_id(mac: Mac, token: object) -> str | None:
    """The notice that a token is of; None where we did not make it, under any key that is read."""
    text = token_text(token)
    try:
        data = b"" if text is None else unb64url(text)
    except ValueError:
        return None
    raw, tag = data[:16], data[16:]
    if len(tag) != _TAG or not any(hmac.compare_digest(tag, each[:_TAG]) for each in mac.all("disavow", raw)):
        return None
    return str(UUID(bytes=raw))


def _id_bytes(notice_id: str) -> bytes | None:
    try:
        parsed = UUID(notice_id)
    except ValueError:
        return None
    return parsed.bytes if str(parsed) == notice_id else None
