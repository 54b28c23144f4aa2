"""Known devices: browsers that completed a sign-in of an account.

A known device is no factor and opens nothing. It has guessing budgets of its own, so that a stranger who uses an
account's budget up does not keep its owner out, and it tells a sign-in from a new place. Its secret lies in a cookie of
the browser, only its SHA-256 in the store, bound to one account; it is replaced at each completed sign-in. Whoever
shows a secret that was replaced has a copy of an old cookie: the device is revoked, and that is recorded.

People share browsers: the cookie carries a secret for each of up to five accounts, newest last, and each is known to its
own account alone. A sign-in replaces that of its own account, and leaves the others as they are.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

from portalsec._encoding import new_token
from portalsec.auth._address import UNKNOWN, address_prefix
from portalsec.auth._input import token_text
from portalsec.auth.browsers import browser_words
from portalsec.auth.ports import DeviceStore, KnownDevice
from portalsec.clock import Clock
from portalsec.errors import Denied, Reason, StoreError
from portalsec.events import ANONYMOUS, Actor, Event, Outcome, ResourceRef, SecurityEvent, Source
from portalsec.secret import Secret
from portalsec.typing import Emit, NewId

__all__ = ["DEVICE_LIFETIME", "KnownDevices", "Remembered"]

DEVICE_LIFETIME = timedelta(days=400)
"""How long a device is known without a sign-in; browsers keep no cookie for longer (RFC 6265bis section 5.5)."""

_UNKNOWN = "Unknown browser"
_AT_MOST = 20  # devices of one account; the one unused for the longest goes
_ACCOUNTS = 5  # that one browser's cookie carries; the one that signed in the longest ago goes
_TOKEN_LENGTH = 43


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """A device after a completed sign-in.

    Attributes:
        device: as it is stored now.
        token: its new secret.
        cookie: for the browser, in place of what it showed: the new secret, and those of the others who use it.
        new: whether it was not known before.
    """

    device: KnownDevice
    token: Secret[str]
    cookie: Secret[str]
    new: bool


class KnownDevices:
    """Finds, remembers and revokes the devices of an account.

    Safe for concurrent use: of two sign-ins with one cookie at once, one keeps the device and the other gets a new one.
    """

    def __init__(self, *, store: DeviceStore, clock: Clock, new_id: NewId, emit: Emit) -> None:
        self._store = store
        self._clock = clock
        self._new_id = new_id
        self._emit = emit

    def find(self, cookie: object, account_id: str | None, *, source: Source) -> KnownDevice | None:
        """The device of this cookie that is this account's.

        Costs one look-up for each token of a cookie of the right shape, whether or not anybody has the account.

        Args:
            cookie: its text, as the browser showed it.
            account_id: of the account that is signing in, or None where nobody has the name.
            source: where the request came from; recorded where an old copy was shown.
        """
        # Every one is looked up, wherever the account's own stands.
        shown = [(digest, self._store.find(digest)) for digest in map(_digest, _tokens(cookie))]
        own = None
        for digest, device in shown:
            if device is None or account_id is None or device.account_id != account_id:
                continue
            if not hmac.compare_digest(device.digest, digest):
                self._reused(device, source)
            elif self._clock() - device.used_at < DEVICE_LIFETIME:
                own = device
        return own

    def shown(self, cookie: object) -> Sequence[KnownDevice]:
        """The devices of this cookie, whosesoever they are, oldest first; an old copy shows none. For budgets alone."""
        now = self._clock()
        found = [(digest, self._store.find(digest)) for digest in map(_digest, _tokens(cookie))]
        return [
            device
            for digest, device in found
            if device is not None
            and hmac.compare_digest(device.digest, digest)
            and now - device.used_at < DEVICE_LIFETIME
        ]

    def remember(
        self, account_id: str, shown: bytes | None, *, source: Source, cookie: object = None
    ) -> Remembered:
        """After a completed sign-in: give the device a new secret, or make it known.

        Args:
            shown: the digest of the device that `find` found at the sign-in's start, or None.
            cookie: the cookie's text as the browser shows it now: the others' secrets in it stay in it.

        Raises:
            StoreError: nothing was remembered.
            AuditUnavailable: it could not be recorded, so the new device is not kept.
        """
        digest = shown
        known = None if digest is None else self._store.find(digest)
        token, now = new_token(), self._clock()
        text = Secret(".".join([*self._others(cookie, account_id), token][-_ACCOUNTS:]))
        fresh = hashlib.sha256(token.encode("ascii")).digest()
        prefix = address_prefix(source.address)
        address = None if prefix == UNKNOWN else prefix
        if known is not None and digest is not None and known.account_id == account_id:
            # Where this fails the cookie was used by another sign-in meanwhile, or its device was revoked.
            rotated = known.digest == digest and self._store.rotate(
                known.id, expected=digest, digest=fresh, at=now, address=address
            )
            if rotated:
                known = replace(known, digest=fresh, previous=digest, used_at=now, address=address)
                return Remembered(device=known, token=Secret(token), cookie=text, new=False)
        device = KnownDevice(
            id=self._new_id(),
            account_id=account_id,
            digest=fresh,
            previous=None,
            label=browser_words(source.user_agent) or _UNKNOWN,
            created_at=now,
            used_at=now,
            address=address,
        )
        self._add(device, source)
        return Remembered(device=device, token=Secret(token), cookie=text, new=True)

    def of_account(self, account_id: str) -> Sequence[KnownDevice]:
        """Newest use first."""
        return self._store.of_account(account_id)

    def revoke(self, account_id: str, device_id: str, *, actor: Actor, source: Source) -> None:
        """Forget one. Its next sign-in is one from a new device.

        Raises:
            Denied: TOKEN_INVALID: this account has no such device.
        """
        if not self._store.revoke(account_id, device_id):
            raise Denied(Reason.TOKEN_INVALID)
        self._tell(Event.AUTH_DEVICE_REMOVED, account_id, source, actor, device=device_id)

    def revoke_all(self, account_id: str, *, actor: Actor, source: Source) -> int:
        """Forget all of an account's; the number forgotten."""
        number = self._store.revoke_all(account_id)
        if number:
            self._tell(Event.AUTH_DEVICE_REMOVED, account_id, source, actor, count=number)
        return number

    def _others(self, cookie: object, account_id: str) -> list[str]:
        """The secrets of other accounts' devices. One that was replaced stays: its own account is to see it reused."""
        now, others = self._clock(), []
        for token in _tokens(cookie):
            device = self._store.find(_digest(token))
            if device is None or device.account_id == account_id:
                continue
            if now - device.used_at < DEVICE_LIFETIME:
                others.append(token)
        return others

    def _add(self, device: KnownDevice, source: Source) -> None:
        owner = Actor(type="user", id=device.account_id)
        if not self._store.add(device):
            raise StoreError("a known device could not be stored")
        try:
            self._tell(Event.AUTH_DEVICE_ADDED, device.account_id, source, owner, device=device.id)
        except BaseException:
            self._store.revoke(device.account_id, device.id)
            raise
        for old in self._store.of_account(device.account_id)[_AT_MOST:]:
            with suppress(Denied):  # another sign-in was faster
                self.revoke(device.account_id, old.id, actor=owner, source=source)

    def _reused(self, device: KnownDevice, source: Source) -> None:
        # The owner and a thief hold copies of one cookie, and it cannot be told who is who: neither keeps a budget.
        if self._store.revoke(device.account_id, device.id):
            self._tell(
                Event.AUTH_DEVICE_REUSED,
                device.account_id,
                source,
                ANONYMOUS,
                device=device.id,
                outcome=Outcome.FAILURE,
            )

    def _tell(
        self,
        name: Event,
        account_id: str,
        source: Source,
        actor: Actor,
        *,
        device: str | None = None,
        count: int | None = None,
        outcome: Outcome = Outcome.SUCCESS,
    ) -> None:
        self._emit(
            SecurityEvent(
                name=name,
                outcome=outcome,
                actor=actor,
                resource=ResourceRef(type="account", id=account_id, count=count),
                source=source,
                details={} if device is None else {"device": device},
            )
        )


def _tokens(cookie: object) -> tuple[str, ...]:
    """The cookie's secrets, oldest first; none where it is not exactly what `KnownDevices.remember` makes."""
    if not isinstance(cookie, str) or len(cookie) > _ACCOUNTS * (_TOKEN_LENGTH + 1) - 1:
        return ()
    tokens = tuple(cookie.split("."))
    if len(set(tokens)) != len(tokens) or any(token_text(token) is None for token in tokens):
        return ()
    return tokens


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("ascii")).digest()
