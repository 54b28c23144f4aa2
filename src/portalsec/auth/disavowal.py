"""`Disavowal`: "this wasn't me", the link in every notice, and what follows when its reader confirms.

The link is a keyed tag over the notice's id and nothing is stored for it: looking at it writes nothing anywhere, however
often a mail scanner opens it; the same notice has the same link in every mail; and nothing that a thief does to the
account (another password, another address, ended flows) makes it stop. It stops when the notice is disavowed, or old, or
when something later was disavowed, which ended all that came before: a thief who got mail for a while has such links too.

A thief may have added an address and verified it. So none that is younger than thirty days stays (`settled`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import NoReturn, Protocol

from portalsec.auth._notice_tokens import notice_of, notice_token
from portalsec.auth._probation import settled
from portalsec.auth._reauthentication import Reauthentication
from portalsec.auth._retiring import Retiring
from portalsec.auth.authenticators import RESTORABLE
from portalsec.auth.endings import Endings, Why
from portalsec.auth.incidents import Incidents
from portalsec.auth.links import LinkPurpose, Links
from portalsec.auth.notice_policy import NoticePolicy
from portalsec.auth.notices import ADDING, NO_LINK, REQUESTS, TO_REMOVED, NoticeKind, Notices
from portalsec.auth.ports import (
    Account,
    AccountStore,
    Contact,
    ContactStore,
    Flow,
    FlowStore,
    Mac,
    Notice,
    NoticeStore,
)
from portalsec.auth.proof import Factor
from portalsec.auth.sessions import ActiveSession
from portalsec.clock import Clock
from portalsec.errors import Denied, Reason, StoreError
from portalsec.events import ANONYMOUS, Actor, Event, Outcome, ResourceRef, SecurityEvent, Source
from portalsec.secret import Secret
from portalsec.typing import Emit

__all__ = ["Disavowable", "Disavowal", "Disavowed", "disavow_token"]

_PURPOSE = "disavow"
_TURN = "disavow.turn"
_TURN_LIFETIME = timedelta(minutes=2)
_LOOKS = 1_000_000
_OF_FACTORS = ADDING | {NoticeKind.FACTOR_REMOVED, NoticeKind.FACTOR_RENAMED}
_SHOWN_WITHIN = timedelta(minutes=5)  # as for changes to factors: `portalsec.auth.factors.WITHIN`


@dataclass(frozen=True, slots=True, kw_only=True)
class Disavowable:
    """What the page of the link shows before anybody confirms.

    Attributes:
        notice: with its kind, moment and code, as in the mail.
        details: its browser and place.
    """

    notice: Notice
    details: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Disavowed:
    """What follows for whoever confirmed.

    Attributes:
        browser: this browser's token to choose a new password with. None where something later was disavowed before: a
            new password is then asked for by mail, which goes to the addresses that are left.
        removed: addresses that are the account's no more: those not verified, and those added lately.
        kept: those that are left.
    """

    browser: Secret[str] | None
    removed: Sequence[Contact]
    kept: Sequence[Contact]


class TakesBack(Protocol):
    """`portalsec.auth.undo.Undo.disavowed`."""

    def __call__(self, notice: Notice, *, source: Source, since: bool, proven: bool) -> None: ...


class Disavowal:
    """Looks at links and confirms them.

    Safe for concurrent use: of any number of confirmations of one notice, one wins. One that a failing store cut short
    can be confirmed again at once, and one whose process died two minutes later.

    Args:
        turns: a durable store, in which a confirmation under way holds the turn of its notice. Without it the slower of
            two would end what the browser of the faster one was just given.
        links: gives the browser what it chooses a new password with.
        owner: asks for the password, and for a second factor where there is one, of whoever disavows in a session.
        fresh: raises where a session showed no factor lately: `portalsec.auth.step_up.StepUp.require`.
        contacts: where addresses that a stranger may have added are taken away.
        undo: takes back what was done to factors: `portalsec.auth.undo.Undo.disavowed`.
    """

    def __init__(
        self,
        *,
        store: NoticeStore,
        notices: Notices,
        accounts: AccountStore,
        contacts: ContactStore,
        undo: TakesBack,
        retiring: Retiring,
        endings: Endings,
        incidents: Incidents,
        links: Links,
        owner: Reauthentication,
        fresh: Callable[[ActiveSession], None],
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
        self._undo = undo
        self._retiring = retiring
        self._endings = endings
        self._incidents = incidents
        self._links = links
        self._owner = owner
        self._fresh = fresh
        self._turns = turns
        self._mac = mac
        self._emit = emit
        self._clock = clock
        self.policy = policy

    def look(self, token: object, *, source: Source) -> Disavowable:
        """What this link is about. Nothing changes by it: mail scanners open links before people do.

        Raises:
            Denied: TOKEN_INVALID: not ours, disavowed already (this, or something later), or too old. Recorded.
        """
        notice = self._notice(token)
        if notice is None:
            self._refuse(source)
        details = self._notices.details(notice)
        return Disavowable(
            notice=notice,
            details={key: details[key] for key in ("browser", "place") if key in details},
        )

    def confirm(self, token: object, *, source: Source) -> Disavowed:
        """The owner says that it was not them, on a POST.

        Ends every session, half-finished sign-in, known device and link of the account, takes its password away (it
        comes back for nobody), removes every address but those that were verified thirty days before what is disavowed
        and the one that the account was opened with, removes every authenticator that was added after it in the last 24
        hours, puts back the one whose removal is what was disavowed, while it can be, and opens an incident. A disabled account stays
        disabled.

        Returns:
            With a browser's token to choose a new password with, where the second factor is asked for as ever. For a
            disabled account it opens nothing.

        Raises:
            Denied: TOKEN_INVALID.
            StoreError: something failed; the link still works.
        """
        notice = self._notice(token)
        if notice is None:
            self._refuse(source)
        done = self._in_turn(notice, Actor(type="user", id=notice.account_id), source, signed_in=False)
        if done is None:
            self._refuse(source, notice)
        return done

    def confirm_signed_in(
        self, session: ActiveSession, notice_id: str, *, current: object, source: Source
    ) -> Disavowed:
        """The same from the signed-in page; this session ends along with all others.

        With a stolen session and the password alone, nobody must choose another password, get rid of all that still keeps them
        out, or bring back what the owner removed. So where the account has a second factor, one of the last five minutes is asked
        for before the password. The link in the mail is for owners who can show none.

        Args:
            current: the current password: what follows chooses a new one, and a session that was left open, or
                stolen, must not. Whoever no longer knows it has the link in the mail.

        Raises:
            Denied: TOKEN_INVALID where the notice is not this account's, or was disavowed; STEP_UP_REQUIRED; and what
                `Reauthentication.verify` raises.
            StoreError: something failed; it can be asked again.
        """
        account_id = session.account_id
        self._owner.verify(session, current, source=source)
        notice = self._store.get(notice_id)
        if notice is None or notice.account_id != account_id or notice.disavowed_at is not None:
            self._refuse(source)
        if notice.kind in _OF_FACTORS:
            self._fresh(session)
        actor, since = Actor(type="user", id=account_id), self._shown(session)
        done = self._in_turn(notice, actor, source, signed_in=True, since=since)
        if done is None:
            self._refuse(source, notice)
        return done

    # -- parts of the above -----------------------------------------------------------------------------------------

    def _notice(self, token: object) -> Notice | None:
        notice_id = notice_of(self._mac, _PURPOSE, token)
        notice = None if notice_id is None else self._store.get(notice_id)
        if notice is None or notice.account_id is None or notice.kind in REQUESTS:
            return None
        if notice.disavowed_at is not None or self._clock() - notice.at >= self.policy.disavow_for:
            return None
        if self._covered(notice) and not self._keeps_out(notice):
            return None
        return notice

    def _keeps_out(self, notice: Notice) -> bool:
        """Whether it is about an authenticator that was added lately: a stranger's would still keep the owner out, so its link
        works for that alone."""
        return notice.kind in ADDING and self._clock() - notice.at < RESTORABLE

    def _covered(self, notice: Notice) -> bool:
        """Whether something that happened later was disavowed before."""
        return any(
            incident.notice_id != notice.id and incident.opened_at >= notice.at
            for incident in self._incidents.of_account(notice.account_id or "")
        )

    def _shown(self, session: ActiveSession) -> bool:
        """Whether a factor that is no password was shown in this session lately."""
        now = self._clock()
        return any(
            proof.factor is not Factor.PASSWORD and now - proof.at < _SHOWN_WITHIN for proof in session.proofs
        )

    def _in_turn(
        self, notice: Notice, actor: Actor, source: Source, *, signed_in: bool, since: bool = True
    ) -> Disavowed | None:
        """`_disavow`, where no other confirmation of this account's is under way; None where one is."""
        digest = hashlib.sha256(b"disavow:" + (notice.account_id or "").encode("utf-8")).digest()
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
            return self._disavow(notice, actor, source, signed_in=signed_in, since=since)
        finally:
            with suppress(StoreError):  # it is over by itself soon, and what was done is done
                self._turns.consume(digest, _TURN, now=self._clock())

    def _disavow(
        self, notice: Notice, actor: Actor, source: Source, *, signed_in: bool, since: bool = True
    ) -> Disavowed | None:
        """None where another confirmation won."""
        account_id = notice.account_id or ""
        if self._is_disavowed(notice.id):
            return None
        covered = not signed_in and self._covered(notice)
        if covered and not self._keeps_out(notice):
            return None
        # Sessions first: whatever fails after this, the stranger is out.
        self._endings.apply(account_id, Why.DISAVOWED, actor=actor, source=source)
        account = self._retiring.retire(account_id, wanted=lambda: not self._is_disavowed(notice.id))
        if account is None:
            return None
        removed, kept = self._remove_addresses(notice, account, actor, source)
        # An authenticator that a stranger added must not keep the owner out, nor stay to let the stranger in.
        # Where something later was disavowed, what came since went then, and what there is now is the owner's.
        self._undo(notice, source=source, since=since and not covered, proven=signed_in and since)
        # And once more: whoever signed in meanwhile, with the password or a key of before, is out too.
        self._endings.apply(account_id, Why.DISAVOWED, actor=actor, source=source)
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
        browser = None if covered else self._links.for_browser(LinkPurpose.RESET, account)
        won = self._store.disavow(account_id, notice.id, at=self._clock())
        return Disavowed(browser=browser, removed=removed, kept=kept) if won else None

    def _is_disavowed(self, notice_id: str) -> bool:
        notice = self._store.get(notice_id)
        return notice is None or notice.disavowed_at is not None

    def _remove_addresses(
        self, notice: Notice, account: Account, actor: Actor, source: Source
    ) -> tuple[Sequence[Contact], Sequence[Contact]]:
        """Remove those that a stranger may have added. The mail that goes there once more has no link."""
        added = (
            self._notices.details(notice).get("contact") if notice.kind == NoticeKind.CONTACT_ADDED else None
        )
        removed, kept = [], []
        for contact in self._contacts.of_account(account.id):
            if settled(contact, account, at=notice.at) and contact.id != added:
                kept.append(contact)
                continue
            self._emit(
                SecurityEvent(
                    name=Event.ACCOUNT_CONTACT_REMOVED,
                    actor=actor,
                    resource=ResourceRef(type="contact", id=contact.id),
                    source=source,
                    details={"why": Why.DISAVOWED.value},
                )
            )
            if contact.verified_at is not None:
                self._notices.tell(
                    account.id,
                    NoticeKind.CONTACT_REMOVED,
                    source=source,
                    details={"contact": contact.id, NO_LINK: TO_REMOVED},
                    also=contact,
                )
            self._contacts.remove(account.id, contact.id)
            removed.append(contact)
        return tuple(removed), tuple(kept)

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
    return notice_token(mac, _PURPOSE, notice_id)
