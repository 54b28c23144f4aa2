"""What "forgotten password", "unlock" and "register" have in common: ask, at one cost for everybody, and answer later.

A visitor's request is throttled, recorded and stored, and nothing is looked up: whether there is such an account is
found out by the courier, when nobody measures. So the same work for known and unknown names needs no padding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType

from portalsec.auth._email import address_or_none
from portalsec.auth._input import canonical_login
from portalsec.auth.devices import KnownDevices
from portalsec.auth.notices import NoticeKind, Notices
from portalsec.auth.ports import Account, AccountStore, Contact, ContactStore, Mac, Notice
from portalsec.auth.signin import login_reference
from portalsec.auth.throttle import Attempt, Throttle
from portalsec.errors import Denied, Reason, StoreError
from portalsec.events import ANONYMOUS, SYSTEM, Event, Outcome, ResourceRef, SecurityEvent, Source
from portalsec.typing import Emit

__all__ = ["MailRequests"]

_FAMILY = 8  # accounts that one address gets letters for at one request
_BUDGETS: Mapping[str, str] = MappingProxyType(
    {
        NoticeKind.REQUEST_RESET: "reset_mail",
        NoticeKind.REQUEST_UNLOCK: "unlock_mail",
        NoticeKind.REQUEST_SIGN_IN: "link_mail",
        NoticeKind.REQUEST_VERIFY: "verify_mail",
    }
)
"""Whose mails have a budget apart: no other kind of mail can use it up.

What confirms an address has no budget of a known device besides: it goes to a mailbox that is not shown to be the
account's, and whoever has an account has devices of theirs, so the mailbox's bound must hold for all of them.
"""


class MailRequests:
    """Takes requests for mail, finds whom they are about, and bounds the mail that they can cause."""

    def __init__(
        self,
        *,
        accounts: AccountStore,
        contacts: ContactStore,
        notices: Notices,
        throttle: Throttle,
        devices: KnownDevices,
        emit: Emit,
        mac: Mac,
    ) -> None:
        self._accounts = accounts
        self._contacts = contacts
        self._notices = notices
        self._throttle = throttle
        self._devices = devices
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
        device: object = None,
    ) -> None:
        """Throttle, record, store.

        Args:
            budget: kind of the throttle.
            event: what is recorded.
            name: whose budget it costs, canonical; unknown names have budgets too.
            details: what the courier needs.
            device: the cookie of known devices that the browser showed, if any. A device that is known has a budget of
                its own in place of the address's and the name's, whatever name was typed: whose that is, and whether it
                is the device's account, the courier finds out.

        Raises:
            Denied: THROTTLED, where this visitor's address asked too often. Of a name that was asked for too often
                nothing is said: it gets no more mail.
        """
        reference = {"login": login_reference(self._mac, name)}
        try:
            attempt, shown = self._admitted(budget, name, source, device)
        except Denied as refusal:
            self._refuse(Event.AUTH_THROTTLED, refusal.reason, source, {**reference, "kind": budget})
            raise
        locked = attempt.locked is not None
        try:
            recorded = {**reference, "kind": budget}
            self._emit(SecurityEvent(name=event, actor=ANONYMOUS, source=source, details=recorded))
            self._notices.request(kind, source=source, details={**details, **shown}, known=not locked)
        except StoreError:
            attempt.not_tested()
            raise
        attempt.failed()  # there is nothing to get right: each request costs one

    def ask_for_account(
        self,
        kind: NoticeKind,
        budget: str,
        event: str,
        typed: object,
        *,
        source: Source,
        device: object = None,
        also: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`ask` about whoever has a sign-in name or an address; ``also``: what the courier needs besides.

        Raises:
            Denied: MALFORMED, which every text gets that could be neither.
        """
        try:
            login = canonical_login(typed)
        except Denied as refusal:
            self._refuse(Event.SYSTEM_REQUEST_REFUSED, refusal.reason, source, {})
            raise
        address = address_or_none(typed) or ""
        details = {**also, "login": login, "email": address}
        self.ask(kind, budget, event, address or login, details, source=source, device=device)

    def recipients(self, details: Mapping[str, str]) -> Sequence[tuple[Account, Contact]]:
        """Whom a request of `ask_for_account` is about, and the address of theirs that mail goes to.

        That is a verified address as the store has it: what the visitor typed only ever found it. What is an address
        finds accounts for which it is verified, and none for which it is but the sign-in name.
        """
        found: dict[str, tuple[Account, Contact]] = {}
        login = details.get("login", "")
        account = self._accounts.by_login(login) if address_or_none(login) is None else None
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

    def may_mail(self, request: Notice, account_id: str | None, address: str) -> bool:
        """Take a unit of the mail that an account, and an address, get; what is over is not sent and takes nothing.

        Once for a request: a mail that its server did not take is tried again at no cost. Where a known device of this
        account asked, the device's budget comes first, which no stranger can use up.
        """
        once = self._throttle.reserve("mailed", account=f"{request.id} {account_id} {address}", address=None)
        if once.locked is not None:
            return True
        taken = [once]
        try:
            if self._paid(request, account_id, address, taken):
                return True
        except StoreError:
            _give_back(taken)
            raise
        _give_back(taken)
        self._emit(
            SecurityEvent(
                name=Event.AUTH_THROTTLED,
                outcome=Outcome.DENIED,
                actor=SYSTEM,
                reason=Reason.THROTTLED,
                resource=ResourceRef(type="account", id=account_id) if account_id else None,
                details={"kind": "mail"},
            )
        )
        return False

    # -- parts of the above -----------------------------------------------------------------------------------------

    def _admitted(
        self, budget: str, name: str, source: Source, device: object
    ) -> tuple[Attempt, Mapping[str, str]]:
        """The units of a request, and what the courier is to know of the devices that were shown."""
        shown = self._devices.shown(device)
        if shown:
            attempt = self._throttle.reserve("device_request", account=shown[-1].id, address=source.address)
            if attempt.locked is None:
                return attempt, {"devices": " ".join(each.id for each in shown)}
        return self._throttle.reserve(budget, account=name, address=source.address), {}

    def _paid(self, request: Notice, account_id: str | None, address: str, taken: list[Attempt]) -> bool:
        """Whether every budget had a unit left; ``taken`` gets them."""
        shown = self._notices.details(request).get("devices", "").split()
        if account_id is not None and shown:
            own = next((each.id for each in self._devices.of_account(account_id) if each.id in shown), None)
            if own is not None:
                attempt = self._throttle.reserve("device_mail", account=own, address=None)
                if attempt.locked is None:
                    return True
        kind = _BUDGETS.get(request.kind, "mail")
        for subject in (account_id, _mailbox(address)):
            if subject is not None:
                attempt = self._throttle.reserve(kind, account=subject, address=None)
                if attempt.locked is not None:
                    return False
                taken.append(attempt)
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


def _mailbox(address: str) -> str:
    """Whose budget an address's mail is: most servers deliver ``name+anything`` to ``name``. Mail itself goes to all of it."""
    local, _, domain = address.rpartition("@")
    return f"{local.partition('+')[0]}@{domain}"


def _give_back(taken: Sequence[Attempt]) -> None:
    for attempt in taken:
        with suppress(StoreError):
            attempt.not_tested()
