"""`Authenticators`: what an account has to sign in with besides its password, of every sort, under one id each.

An id is looked for in every store, in one order, whatever it turns out to be: another account's authenticator costs and
answers the same as one that does not exist.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from portalsec.auth.ports import Passkey, PasskeyStore, TotpDevice, TotpStore
from portalsec.auth.proof import Factor
from portalsec.auth.totp import RESTORABLE

__all__ = ["RESTORABLE", "Authenticators", "Held"]

_MAX_ID = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One authenticator as its owner's page shows it: nothing of it that could be used.

    Attributes:
        factor: TOTP or PASSKEY.
        label: the owner's name for it.
        created_at, used_at: when it was added, and last used (or None).
        dead: it is no factor any more: too many wrong codes, or a copy of it may exist. It can only be removed.
        make: the name of a passkey's make ("iCloud Keychain"), as its AAGUID says, or None where nobody knows it.
        backup_eligible: a passkey that may be copied to the owner's other devices.
        backed_up: it is, as of its newest use.
        removed_at: when it was removed, of one that can be put back.
    """

    id: str
    factor: Factor
    label: str
    created_at: datetime
    used_at: datetime | None
    dead: bool = False
    make: str | None = None
    backup_eligible: bool = False
    backed_up: bool = False
    removed_at: datetime | None = None


class Authenticators:
    """Reads and changes TOTP devices and passkeys alike. Safe for concurrent use; the stores decide every race.

    Whose account it is, and that its holder may, is the caller's to know: see `portalsec.auth.factors`.

    Args:
        cap: as `TotpPolicy.cap`: from so many wrong codes in a row on a device is dead.
        max_totp, max_passkeys: how many an account may have; see `restore` for putting back.
        make_of: the name of an AAGUID, where somebody knows it.
    """

    def __init__(
        self,
        *,
        totp: TotpStore,
        passkeys: PasskeyStore,
        cap: int = 100,
        max_totp: int = 5,
        max_passkeys: int = 20,
        make_of: Callable[[str], str | None] = lambda aaguid: None,
    ) -> None:
        self._totp = totp
        self._passkeys = passkeys
        self._cap = cap
        self._max_totp = max_totp
        self._max_passkeys = max_passkeys
        self._make_of = make_of

    def of_account(self, account_id: str) -> tuple[Held, ...]:
        """Those that were confirmed and not removed, dead ones too, oldest first."""
        totp = [self._device(each) for each in self._totp.devices(account_id) if each.confirmed]
        return _sorted([*totp, *map(self._passkey, self._passkeys.of_account(account_id))])

    def removed(self, account_id: str, *, now: datetime) -> tuple[Held, ...]:
        """Those that can be put back, oldest first."""
        totp = [self._device(each) for each in self._totp.removed(account_id)]
        found = _sorted([*totp, *map(self._passkey, self._passkeys.removed(account_id))])
        return tuple(each for each in found if each.removed_at and now - each.removed_at < RESTORABLE)

    def rename(self, account_id: str, authenticator_id: object, label: str) -> bool:
        """Whether it is this account's."""
        wanted = _id(authenticator_id)
        done = self._totp.rename(account_id, wanted, label)
        return self._passkeys.rename(account_id, wanted, label) or done

    def remove(self, account_id: str, authenticator_id: object, *, at: datetime | None = None) -> bool:
        """It is no factor from now on; without ``at`` it cannot be put back. Whether it was there."""
        wanted = _id(authenticator_id)
        done = self._totp.remove(account_id, wanted, at=at)
        return self._passkeys.remove(account_id, wanted, at=at) or done

    def restore(
        self, account_id: str, authenticator_id: object, *, now: datetime, times: int | None = 1
    ) -> bool:
        """Put back one that was removed less than a day ago, with all that it counted. Of several, one wins.

        Args:
            times: how many times the usual number of its sort the account may have. Where the owner takes back what a
                stranger did, room that the stranger filled must not keep the owner's own out: 2 then, which a stranger
                cannot fill, since adding stops at one. None: however many there are.

        Returns:
            Whether it was: not where it is too long ago, or there is no room.
        """
        wanted, since = _id(authenticator_id), now - RESTORABLE
        held = self.of_account(account_id)
        totp = sum(each.factor is Factor.TOTP for each in held)
        room = times is None or totp < self._max_totp * times
        done = room and self._totp.restore(account_id, wanted, since=since)
        room = times is None or len(held) - totp < self._max_passkeys * times
        return (room and self._passkeys.restore(account_id, wanted, since=since)) or done

    def strip(self, account_id: str) -> int:
        """Remove all of them for good: an account that is being recovered. How many there were."""
        held = self.of_account(account_id)
        return sum(self.remove(account_id, each.id) for each in held)

    def _device(self, device: TotpDevice) -> Held:
        return Held(
            id=device.id,
            factor=Factor.TOTP,
            label=device.label,
            created_at=device.created_at,
            used_at=device.used_at,
            dead=device.failures >= self._cap,
            removed_at=device.removed_at,
        )

    def _passkey(self, passkey: Passkey) -> Held:
        return Held(
            id=passkey.id,
            factor=Factor.PASSKEY,
            label=passkey.label,
            created_at=passkey.created_at,
            used_at=passkey.used_at,
            dead=passkey.disabled_at is not None,
            make=self._make_of(passkey.aaguid),
            backup_eligible=passkey.backup_eligible,
            backed_up=passkey.backed_up,
            removed_at=passkey.removed_at,
        )


def _sorted(held: Sequence[Held]) -> tuple[Held, ...]:
    return tuple(sorted(held, key=lambda each: (each.created_at, each.id)))


def _id(authenticator_id: object) -> str:
    """What a form sent, as an id; one that nothing has where it could be none."""
    fits = isinstance(authenticator_id, str) and 0 < len(authenticator_id) <= _MAX_ID
    return str(authenticator_id) if fits and "\0" not in str(authenticator_id) else "-"
