"""What "forgotten password", "unlock" and "register" have in common: ask, at one cost for everybody, and answer later.

A visitor's request is throttled, recorded and stored, and nothing is looked up: whether there is such an account is
found out by the courier, when nobody measures. So the same work for known and unknown names needs no padding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from portalsec.auth._email import canonical_email
from portalsec.auth._input import canonical_login
from portalsec.auth.notices import NoticeKind, Notices
from portalsec.auth.ports import Account, AccountStore, Contact, ContactStore, Mac
from portalsec.auth.signin import login_reference
from portalsec.auth.throttle import Throttle
from portalsec.errors import Denied, Reason, StoreError
from portalsec.events import ANONYMOUS, SYSTEM, Event, Outcome, ResourceRef, SecurityEvent, Source
from portalsec.typing import Emit

__all__ = ["MailRequests"]

_FAMILY = 8  # accounts that one address gets letters for at one request


class MailRequests:
    """Takes requests for mail, finds whom they are about, and bounds the mail that they can cause."""

    def __init__(
        self,
        *,
        accounts: AccountStore,
        contacts: ContactStore,
        notices: Notices,
        throttle: Throttle,
        emit: Emit,
        mac: Mac,
    ) -> None:
        self._accounts = accounts
        self._contacts = contacts
        self._notices = notices
        self._throttle = throttle
        self._emit = emit
        self._mac = mac

    def ask(
        self,
        kind: NoticeKind,
        budget: str,
        event: str,
        name: str,
        details: Mapping[str, str],
        *,
        source: Source,
    ) -> None:
        """Throttle, record, store.

        Args:
            budget: kind of the throttle.
            event: what is recorded.
            name: whose budget it costs, canonical; unknown names have budgets too.
            details: what the courier needs.

        Raises:
            Denied: THROTTLED, where this visitor's address asked too often. Of a name that was asked for too often
                nothing is said: it gets no more mail.
        """
        reference = {"login": login_reference(self._mac, name)}
        try:
            attempt = self._throttle.reserve(budget, account=name, address=source.address)
        except Denied as refusal:
            self._refuse(Event.AUTH_THROTTLED, refusal.reason, source, {**reference, "kind": budget})
            raise
        locked = attempt.locked is not None
        try:
            recorded = {**reference, "kind": budget}
            self._emit(SecurityEvent(name=event, actor=ANONYMOUS, source=source, details=recorded))
            self._notices.request(kind, source=source, details=details, known=not locked)
        except StoreError:
            attempt.not_tested()
            raise
        attempt.failed()  # there is nothing to get right: each request costs one

    def ask_for_account(
        self, kind: NoticeKind, budget: str, event: str, typed: object, *, source: Source
    ) -> None:
        """`ask` about whoever has a sign-in name or an address.

        Raises:
            Denied: MALFORMED, which every text gets that could be neither.
        """
        try:
            login = canonical_login(typed)
        except Denied as refusal:
            self._refuse(Event.SYSTEM_REQUEST_REFUSED, refusal.reason, source, {})
            raise
        address = address_or_none(typed) or ""
        self.ask(kind, budget, event, address or login, {"login": login, "email": address}, source=source)

    def recipients(self, details: Mapping[str, str]) -> Sequence[tuple[Account, Contact]]:
        """Whom a request of `ask_for_account` is about, and the address of theirs that mail goes to.

        That is a verified address as the store has it: what the visitor typed only ever found it.
        """
        found: dict[str, tuple[Account, Contact]] = {}
        account = self._accounts.by_login(details.get("login", ""))
        if account is not None:
            primary = next((each for each in self._contacts.of_account(account.id) if each.verified_at), None)
            if primary is not None:
                found[account.id] = (account, primary)
        if address := details.get("email"):
            for contact in self._contacts.by_address(address):
                owner = self._accounts.get(contact.account_id) if contact.verified_at else None
                if owner is not None:
                    found.setdefault(owner.id, (owner, contact))
        return [pair for pair in list(found.values())[:_FAMILY] if not pair[0].disabled]

    def may_mail(self, account_id: str | None, address: str) -> bool:
        """Take a unit of the mail that an account, and an address, get in an hour; what is over is not sent."""
        try:
            for subject in (account_id, address):
                if subject is not None:
                    attempt = self._throttle.reserve("mail", account=subject, address=None)
                    if attempt.locked is not None:
                        raise Denied(Reason.THROTTLED)
        except Denied as refusal:
            self._emit(
                SecurityEvent(
                    name=Event.AUTH_THROTTLED,
                    outcome=Outcome.DENIED,
                    actor=SYSTEM,
                    reason=refusal.reason,
                    resource=ResourceRef(type="account", id=account_id) if account_id else None,
                    details={"kind": "mail"},
                )
            )
            return False
        return True

    def _refuse(self, event: str, reason: Reason, source: Source, details: Mapping[str, str]) -> None:
        self._emit(
            SecurityEvent(
                name=event,
                outcome=Outcome.DENIED,
                actor=ANONYMOUS,
                reason=reason,
                source=source,
                details=details,
            )
        )


def address_or_none(typed: object) -> str | None:
    """The canonical address, or None where it is none."""
    try:
        return canonical_email(typed)
    except Denied:
        return None
