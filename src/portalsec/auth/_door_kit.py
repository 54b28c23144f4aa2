"""What the parts of the door share: the services that look at factors, by shape, and how a refusal is recorded.

A service that a portal does not have is None here; its kind of factor is then never offered, asked for or taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, NoReturn, Protocol

from portalsec.auth.attempt import RiskOf
from portalsec.auth.demands import Facts
from portalsec.auth.devices import KnownDevices
from portalsec.auth.endings import Endings
from portalsec.auth.evidence import Evidence
from portalsec.auth.ports import (
    Account,
    AccountStore,
    FlowStore,
    KnownDevice,
    Mac,
    Passkey,
    PasskeyStore,
    SignInWatch,
)
from portalsec.auth.posture import DevicePosture, posture_said
from portalsec.auth.proof import Factor
from portalsec.auth.sessions import Sessions
from portalsec.auth.signin_policy import SignInPolicy
from portalsec.auth.throttle import Attempt, Throttle
from portalsec.clock import Clock
from portalsec.errors import Denied, Reason, StoreError
from portalsec.events import ANONYMOUS, Actor, Event, Outcome, ResourceRef, SecurityEvent, Source
from portalsec.typing import Emit

if TYPE_CHECKING:  # argon2 and pyotp load with their own modules, not with the door
    from portalsec.auth.notices import Notices
    from portalsec.auth.out_of_band import Sent
    from portalsec.auth.passkeys.options import PasskeyOptions
    from portalsec.auth.passwords import Passwords
    from portalsec.auth.totp import Totp

__all__ = [
    "NOBODY",
    "Kit",
    "PasskeyService",
    "RecoveryCodeService",
    "SentCodeService",
    "TrustService",
    "login_reference",
    "settled",
]

NOBODY = "-"
"""What unknown names are looked up as, so that they cost the same reads; no account has this id."""


class PasskeyService(Protocol):
    """`portalsec.auth.passkeys.Passkeys`, as far as the door uses it. ``place`` is a digest: it binds a ceremony to one
    pending sign-in or session, and each challenge is good for one answer."""

    def begin_sign_in(
        self,
        place: bytes,
        *,
        login: str | None,
        account: Account | None,
        purpose: str,
        user_verification: Literal["preferred", "required"] | None = None,
    ) -> PasskeyOptions: ...

    def complete_sign_in(
        self,
        place: bytes,
        purpose: str,
        response: object,
        *,
        account_id: str | None,
        require_user_verification: bool,
        source: Source,
    ) -> Evidence: ...

    def begin_registration(
        self, place: bytes, account: Account, *, user_verification: Literal["preferred", "required"]
    ) -> PasskeyOptions: ...

    def complete_registration(
        self, place: bytes, account_id: str, response: object, *, label: object, source: Source
    ) -> Passkey: ...


class RecoveryCodeService(Protocol):
    """`portalsec.auth.recovery_codes.RecoveryCodes`, as far as the door uses it."""

    def left(self, account_id: str) -> int: ...

    def verify(self, account_id: str, typed: object, *, source: Source) -> Evidence: ...

    def unspend(self, account_id: str, typed: object) -> None: ...


class SentCodeService(Protocol):
    """Codes by mail and SMS (`portalsec.auth.out_of_band`), as far as the door uses them."""

    def offered(self, account_id: str) -> frozenset[Factor]:
        """Kinds for which the account has a verified address or number."""
        ...

    def send(
        self, place: bytes, account: Account, factor: Factor, *, source: Source, language: str | None = None
    ) -> Sent: ...

    def verify(self, place: bytes, account_id: str, code: object) -> Evidence: ...


class TrustService(Protocol):
    """`portalsec.auth.trust.Trust`, as far as the door uses it."""

    def holds(self, account: Account, known: KnownDevice | None, now: datetime) -> bool: ...

    def trust(self, account: Account, device: KnownDevice, *, source: Source) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """Everything that `SignIn` was built with; see there."""

    accounts: AccountStore
    passwords: Passwords
    totp: Totp
    throttle: Throttle
    sessions: Sessions
    flows: FlowStore
    endings: Endings
    devices: KnownDevices
    watch: SignInWatch
    notices: Notices
    policy: SignInPolicy
    emit: Emit
    clock: Clock
    mac: Mac
    max_age: timedelta | None
    listed: Callable[[str, str, Source], bool] | None
    min_length: int
    passkeys: PasskeyService | None
    passkey_store: PasskeyStore | None
    recovery_codes: RecoveryCodeService | None
    sent_codes: SentCodeService | None
    trust: TrustService | None
    facts_of: Callable[[str], Facts] | None
    risk_of: RiskOf | None

    def posture(self, source: Source) -> DevicePosture | None:
        """What the request's app says of its device; MALFORMED, recorded, where that is nonsense.

        Every step asks before it counts or uses anything up.
        """
        try:
            return posture_said(source, now=self.clock())
        except Denied as refusal:
            reason = refusal.reason
        return self.refuse(Event.SYSTEM_REQUEST_REFUSED, reason, source=source)

    def refuse(
        self,
        name: str,
        reason: Reason,
        *,
        source: Source,
        account_id: str | None = None,
        session: str | None = None,
        details: Mapping[str, str] | None = None,
        shown: Reason | None = None,
    ) -> NoReturn:
        """Record a refusal and raise it; ``shown`` is what the visitor's side gets instead of ``reason``."""
        self.emit(
            SecurityEvent(
                name=name,
                outcome=Outcome.DENIED,
                actor=ANONYMOUS if session is None else Actor(type="user", id=account_id),
                resource=None if account_id is None else ResourceRef(type="account", id=account_id),
                reason=reason,
                source=source,
                session=session,
                details=dict(details or {}),
            )
        )
        raise Denied(shown or reason)

    def reserve(self, kind: str, account: Account, source: Source) -> Attempt:
        """A unit of an account's own budgets, or THROTTLED, recorded."""
        return self.admit(kind, account.id, source, name=account.login)

    def admit(self, kind: str, whose: str | None, source: Source, *, name: str | None = None) -> Attempt:
        """`Throttle.admit`, whose refusal is recorded."""
        try:
            return self.throttle.admit(kind, account=whose, address=source.address)
        except Denied as refusal:
            refused = refusal
        return self.throttled(kind, name, refused, source)

    def throttled(self, kind: str, name: str | None, refusal: Denied, source: Source) -> NoReturn:
        """Record that a visitor has no tries left, and raise it."""
        login = {} if name is None else {"login": login_reference(self.mac, name)}
        self.emit(
            SecurityEvent(
                name=Event.AUTH_THROTTLED,
                outcome=Outcome.DENIED,
                reason=refusal.reason,
                source=source,
                details={**login, "kind": kind},
            )
        )
        raise refusal

    def known_device(self, cookie: object, owner: str | None, source: Source) -> KnownDevice | None:
        """The known device of this account that the browser showed; its owner is told of an old copy."""
        return self.devices.find(
            cookie, owner, source=source, reused=lambda copied: self._device_copied(copied, source)
        )

    def _device_copied(self, device: KnownDevice, source: Source) -> None:
        from portalsec.auth.notices import NoticeKind  # imported by whoever built the notices

        self.notices.tell(device.account_id, NoticeKind.DEVICE_REUSED, source=source)


def login_reference(mac: Mac, login: str) -> str:
    """How a sign-in name appears in events: keyed, so that the log tells tries at one name apart without showing it.

    People type passwords into the name's field.
    """
    return mac("login", login.encode("utf-8"))[:16].hex()


def settled(verify: Callable[[], Evidence], attempt: Attempt) -> Evidence | Reason:
    """What a verifier says; a refusal costs the attempt, and what could not be tested costs nothing."""
    try:
        return verify()
    except Denied as refusal:
        attempt.failed()
        return refusal.reason
    except StoreError:
        attempt.not_tested()
        raise
