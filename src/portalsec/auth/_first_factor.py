"""The first factor where it is a password: a name and a password are looked at, at one price for every name."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from portalsec.auth._door_kit import NOBODY, Kit, login_reference
from portalsec.auth._input import canonical_login, password_text
from portalsec.auth._opening import Opening
from portalsec.auth._pending import Browser, Pending, password_digest
from portalsec.auth._pending_flows import PendingSignIns
from portalsec.auth.ports import Account, KnownDevice
from portalsec.auth.proof import Factor, Proof
from portalsec.auth.step import Step
from portalsec.auth.throttle import Attempt
from portalsec.errors import Denied, Reason, StoreError, Tampered
from portalsec.events import ANONYMOUS, SYSTEM, Event, Outcome, ResourceRef, SecurityEvent, Source

if TYPE_CHECKING:
    from portalsec.auth.passwords import Verified

__all__ = ["PasswordFirst"]

BREACHED = "breached"


class PasswordFirst:
    """Safe for concurrent use: the throttle's store decides who gets the last try."""

    def __init__(self, kit: Kit, pending: PendingSignIns, opening: Opening) -> None:
        self._kit = kit
        self._pending = pending
        self._opening = opening

    def start(
        self,
        login: object,
        password: object,
        *,
        source: Source,
        replaces: object = None,
        device: object = None,
        shared: bool = False,
        trust: bool = False,
    ) -> Step:
        """`SignIn.start`."""
        kit = self._kit
        left = self._pending.abort(replaces)
        malformed: Reason | None = None
        try:
            name = canonical_login(login)
            typed = password_text(password)
        except Denied as refusal:
            malformed = refusal.reason
        if malformed is not None:
            kit.refuse(Event.SYSTEM_REQUEST_REFUSED, malformed, source=source)
        kit.posture(source)
        details = {"login": login_reference(kit.mac, name)}
        full: Denied | None = None
        try:
            admitted = kit.throttle.admit("password", account=name, address=source.address)
        except Denied as refusal:
            full = refusal
        if full is not None:
            if not kit.devices.well_formed(device):
                kit.throttled("password", name, full, source)
            admitted = kit.throttle.beyond_the_address(address=source.address)
        try:
            found = kit.accounts.by_login(name)
            account_id = NOBODY if found is None else found.id
            # The epoch before the hash: a password that is changed between the two reads raises the epoch, and the
            # session that the old password would have opened is refused.
            epoch = kit.sessions.epoch(account_id)
            account = kit.accounts.get(account_id)
            if found is None:
                account = None
            owner = None if account is None else account.id
            known = kit.known_device(device, owner, source)
            if full is None or known is not None:
                attempt = kit.throttle.narrow(
                    admitted, account=name, account_id=owner, device=known, candidate=typed
                )
        except StoreError:
            admitted.not_tested()
            raise
        if full is not None and known is None:
            kit.throttled("password", name, full, source)
        # Of a locked name the password is not looked at, at the cost of a look.
        stored = None if account is None or attempt.locked else account.password_hash
        at, refused, control = kit.clock(), attempt.locked, None
        rehash_due = False
        try:
            rehash_due = self._looked_at(attempt, stored, password, owner).rehash_due
        except Denied as refusal:
            no_password = account is not None and account.password_hash is None
            refused = refused or (Reason.FACTOR_NOT_ENROLLED if no_password else refusal.reason)
        except Tampered:
            # At the cost of ever, and the log knows that somebody must look at the account. It is one record, as every
            # refusal is: a second one would be a second write, which takes time.
            with suppress(Denied):
                self._looked_at(attempt, None, password, owner)
            refused, control = Reason.FACTOR_NOT_ENROLLED, "password_hash"
        if refused is None and (account is None or account.disabled):
            # After the hash, so that a disabled account costs what any other does.
            refused = Reason.ACCOUNT_DISABLED
        if refused is not None or account is None:
            self._wrong_password(
                attempt,
                account,
                refused or Reason.UNKNOWN_ACCOUNT,
                source,
                details,
                control=control,
                known=known,
            )
        if rehash_due:
            try:
                account = self._rehash(account, password, source)
            except StoreError:
                attempt.not_tested()
                raise
        units = attempt.hold()  # a right password is not yet a sign-in: its units come back at the door
        # Asked for every right password alike, also where another one must be chosen already.
        if kit.listed is not None and kit.listed(typed, account.id, source):
            account = self._marked(account, source)
        browser = Browser(
            device=None if known is None else known.digest.hex(),
            family=None if known is None else kit.devices.family(device, known),
            shared=shared,
            trust=trust and not shared,
            jkt=source.jkt,
            folded=tuple(notice for whose, notice in left if whose == account.id),
        )
        state = Pending(
            epoch=epoch,
            proofs=(Proof(factor=Factor.PASSWORD, at=at),),
            password=password_digest(kit.mac, account.password_hash),
            units=units,
            short=len(typed) < kit.min_length,
            browser=browser,
        )
        return self._opening.go_on(account, state, source=source, device=device)

    def _forget(self, account: Account, device: KnownDevice, source: Source) -> None:
        """A device that guessed until its own budget was used up: one copy of it must not take all devices' share."""
        kit = self._kit
        from portalsec.auth.notices import NoticeKind

        with suppress(Denied):  # it is gone already
            kit.devices.revoke(account.id, device.id, actor=SYSTEM, source=source)
            kit.notices.tell(account.id, NoticeKind.DEVICE_REMOVED, source=source)

    def _marked(self, account: Account, source: Source) -> Account:
        """The account, which must choose another password: this one was right, and attackers have it in their lists."""
        kit = self._kit
        if account.must_change is not None:
            return account
        kit.emit(
            SecurityEvent(
                name=Event.AUTH_PASSWORD_CHANGE_REQUIRED,
                actor=SYSTEM,
                resource=ResourceRef(type="account", id=account.id),
                source=source,
                details={"why": BREACHED},
            )
        )
        if not kit.accounts.require_change(account.id, BREACHED):
            raise StoreError("an account vanished while it signed in")
        return replace(account, must_change=BREACHED)

    def _looked_at(
        self, attempt: Attempt, stored: str | None, password: object, account_id: str | None
    ) -> Verified:
        """`Passwords.verify`; where it could not hash, it is not the visitor's failure."""
        kit = self._kit
        try:
            return kit.passwords.verify(stored, password, account_id=account_id)
        except StoreError:
            attempt.not_tested()
            raise

    def _rehash(self, account: Account, password: object, source: Source) -> Account:
        """The account with its new hash; as it was where somebody changed the password meanwhile."""
        kit = self._kit
        new_hash = kit.passwords.hash(password, account_id=account.id)
        # Compare and set: a password that was changed meanwhile must not be overwritten by the old one.
        if not kit.accounts.set_password(account.id, new_hash, expected=account.password_hash):
            return account
        kit.emit(
            SecurityEvent(
                name=Event.AUTH_PASSWORD_REHASHED,
                actor=SYSTEM,
                resource=ResourceRef(type="account", id=account.id),
                source=source,
            )
        )
        return replace(account, password_hash=new_hash)

    def _wrong_password(
        self,
        attempt: Attempt,
        account: Account | None,
        reason: Reason,
        source: Source,
        details: Mapping[str, str],
        *,
        control: str | None,
        known: KnownDevice | None,
    ) -> NoReturn:
        """Refuse; one record, whatever the reason. ``control`` is what failed, where somebody must see to it."""
        kit = self._kit
        attempt.failed(source=source)
        shown = None if account is None else account.id
        kit.emit(
            SecurityEvent(
                name=Event.AUTH_LOGIN_FAILED if control is None else Event.SYSTEM_CONTROL_FAILED,
                outcome=Outcome.DENIED if control is None else Outcome.ERROR,
                actor=ANONYMOUS if control is None else SYSTEM,
                resource=None if shown is None else ResourceRef(type="account", id=shown),
                reason=reason,
                source=source,
                details=dict(details) if control is None else {**details, "control": control},
            )
        )
        if attempt.device_used_up and account is not None and known is not None:
            self._forget(account, known, source)
        if attempt.used_up:
            kit.watch.locked(None if account is None or account.disabled else account, source=source)
        raise Denied(reason)
