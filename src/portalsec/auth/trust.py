"""`Trust`: browsers that their owner asked to be spared some of the asking, for a while.

A trusted browser is a known device (`portalsec.auth.devices`) with two columns more: until when, and a fingerprint of
what guarded the account when it was trusted: the password's hash, every authenticator's id and whether it still works, the
sheet of recovery codes, the addresses and the numbers that codes may be sent to. Where one of these is another, the trust is
over without anybody having to end it. Its secret rotates at every sign-in and a copy that is shown later kills the device,
trust included, as it does every known device.

It is no factor. It makes no `Evidence` and no proof; where policy asks for a factor, none is missing less for it. What
it gives is a longer time between two asks where the policy leaves that open, and the guessing budget of a known device.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from portalsec._encoding import length_prefixed
from portalsec.auth.notices import NoticeKind, Notices
from portalsec.auth.ports import (
    Account,
    CodeSender,
    ContactStore,
    DeviceStore,
    KnownDevice,
    Mac,
    PasskeyStore,
)
from portalsec.auth.recovery_codes import RecoveryCodes
from portalsec.auth.totp import Totp
from portalsec.clock import Clock, unix_microseconds
from portalsec.errors import ConfigurationError, Denied, Reason
from portalsec.events import Actor, Event, ResourceRef, SecurityEvent, Source
from portalsec.typing import Emit

__all__ = ["Trust", "TrustPolicy"]

_PURPOSE = "trusted-setup"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustPolicy:
    """Whether browsers can be trusted, and for how long.

    Attributes:
        enabled: off, so that a clinic which has not thought about it trusts none.
        lifetime: from the sign-in that trusted it on; using it does not lengthen it. 90 days at most.
    """

    enabled: bool = False
    lifetime: timedelta = timedelta(days=30)

    def __post_init__(self) -> None:
        if not timedelta(hours=1) <= self.lifetime <= timedelta(days=90):
            raise ConfigurationError("TrustPolicy: lifetime goes from one hour to 90 days")


class Trust:
    """Trusts browsers, says whether one is trusted, and takes it back.

    Safe for concurrent use. Nothing is cached: what was revoked on any worker is not trusted at the next question.

    Args:
        devices, passkeys, contacts: the same stores as everybody's.
        totp: what says which authenticator is dead.
        codes: recovery codes; None, as ``contacts``, where the portal has none.
        sender: knows the numbers that codes are texted to; None where none are. Where it raises, so does every question.
        notices: where the owner is told that a browser is trusted.
        mac: the fingerprint is a keyed hash, so that a copy of the store tells nothing about a password's hash.
    """

    def __init__(
        self,
        *,
        devices: DeviceStore,
        totp: Totp,
        passkeys: PasskeyStore,
        notices: Notices,
        mac: Mac,
        policy: TrustPolicy,
        emit: Emit,
        clock: Clock,
        codes: RecoveryCodes | None = None,
        contacts: ContactStore | None = None,
        sender: CodeSender | None = None,
    ) -> None:
        self._codes = codes
        self._contacts = contacts
        self._sender = sender
        self._devices = devices
        self._totp = totp
        self._passkeys = passkeys
        self._notices = notices
        self._mac = mac
        self._emit = emit
        self._clock = clock
        self.policy = policy

    def trust(self, account: Account, device: KnownDevice, *, source: Source) -> bool:
        """Trust a browser from now on; call it once its sign-in is complete, with every factor shown.

        Args:
            account: as the store has it after that sign-in.
            device: as `KnownDevices.remember` returned it. None is made on a computer that others use.

        Returns:
            Whether it is trusted now: False where the policy has none, the account has no second factor (there would be
            nothing to be spared), or the device is another account's or gone.
        """
        setup = self._setup(account)
        if not self.policy.enabled or device.account_id != account.id or setup is None:
            return False
        # Recorded first: no browser is trusted that the log does not know of.
        self._tell(Event.AUTH_DEVICE_TRUSTED, account.id, device.id, source)
        until = self._clock() + self.policy.lifetime
        mark = self._mac(_PURPOSE, self._bound(device.id, until, setup))
        if not self._devices.trust(account.id, device.id, until=until, setup=mark):
            return False
        self._notices.tell(
            account.id, NoticeKind.DEVICE_TRUSTED, source=source, details={"device": device.id}
        )
        return True

    def holds(self, account: Account, known: KnownDevice | None, now: datetime) -> bool:
        """Whether this browser is trusted by this account at ``now``.

        The stores are asked the same whatever the answer. It says nothing about what is to be shown: the door decides,
        and where its policy asks for a factor the answer here changes nothing.

        Args:
            known: what `KnownDevices.find` returned for the account, or None.
        """
        return self._holds(account, known, self._setup(account), now)

    def _holds(self, account: Account, known: KnownDevice | None, setup: bytes | None, now: datetime) -> bool:
        if not self.policy.enabled or known is None or setup is None or known.account_id != account.id:
            return False
        if known.trusted_until is None or known.trusted_setup is None:
            return False
        if not now < known.trusted_until <= now + self.policy.lifetime:
            return False
        bound = self._bound(known.id, known.trusted_until, setup)
        return any(hmac.compare_digest(known.trusted_setup, each) for each in self._mac.all(_PURPOSE, bound))

    def of_account(self, account: Account) -> Sequence[KnownDevice]:
        """Those trusted now, newest use first."""
        now, setup = self._clock(), self._setup(account)
        mine = self._devices.of_account(account.id)
        return tuple(each for each in mine if self._holds(account, each, setup, now))

    def revoke(self, account_id: str, device_id: str, *, source: Source) -> None:
        """Trust one no longer. It stays a known device; `KnownDevices.revoke` forgets it.

        Raises:
            Denied: TOKEN_INVALID: this account has no such device; another account's gets the same answer.
        """
        if not self._devices.trust(account_id, device_id, until=None, setup=None):
            raise Denied(Reason.TOKEN_INVALID)
        self._tell(Event.AUTH_DEVICE_DISTRUSTED, account_id, device_id, source)

    def revoke_all(self, account_id: str, *, source: Source) -> int:
        """Trust none of an account's any longer; how many were marked as trusted."""
        marked = [each for each in self._devices.of_account(account_id) if each.trusted_until is not None]
        for device in marked:
            if self._devices.trust(account_id, device.id, until=None, setup=None):
                self._tell(Event.AUTH_DEVICE_DISTRUSTED, account_id, device.id, source)
        return len(marked)

    # -- parts of the above -----------------------------------------------------------------------------------------

    def _setup(self, account: Account) -> bytes | None:
        """What guards the account, injectively; None where nothing but a password does.

        The whole set-up: an authenticator that was added, removed, guessed to death or switched off makes it another one,
        and so do other recovery codes, an address or a number that was verified or removed, and any write to the
        password's hash, whoever made it. What works no more is in it as such: left out, it would be the set-up before.
        """
        apps, keys = self._totp.devices(account.id), self._passkeys.of_account(account.id)
        totp = sorted(each.id for each in apps if not each.dead)
        passkeys = sorted(each.id for each in keys if each.disabled_at is None)
        dead = sorted(each.id for each in apps if each.dead)
        disabled = sorted(each.id for each in keys if each.disabled_at is not None)
        made_at = None if self._codes is None else self._codes.made_at(account.id)
        contacts = () if self._contacts is None else self._contacts.of_account(account.id)
        reached = sorted(each.id for each in contacts if each.verified_at is not None)
        phones = () if self._sender is None else self._sender.phones(account.id)
        texted = sorted(
            (each.id, each.number)
            for each in phones
            if each.verified_at is not None and each.account_id == account.id
        )
        if not totp and not passkeys:
            return None
        password = b"" if account.password_hash is None else b"+" + account.password_hash.encode("utf-8")
        parts = [account.id.encode("utf-8"), password]
        for ids in (totp, passkeys, dead, disabled, reached, [part for each in texted for part in each]):
            parts.append(length_prefixed(*(each.encode("utf-8") for each in ids)))
        parts.append(b"" if made_at is None else str(unix_microseconds(made_at)).encode("ascii"))
        return length_prefixed(*parts)

    def _bound(self, device_id: str, until: datetime, setup: bytes) -> bytes:
        """What the mark is made of: whoever writes to the store alone can neither lengthen it nor move it to another
        browser, and another lifetime in the policy ends what was trusted under the one before."""
        times = f"{unix_microseconds(until)} {int(self.policy.lifetime.total_seconds())}"
        return length_prefixed(device_id.encode("utf-8"), times.encode("ascii"), setup)

    def _tell(self, name: Event, account_id: str, device_id: str, source: Source) -> None:
        self._emit(
            SecurityEvent(
                name=name,
                actor=Actor(type="user", id=account_id),
                resource=ResourceRef(type="account", id=account_id),
                source=source,
                details={"device": device_id},
            )
        )
