"""Known devices: browsers that completed a sign-in of an account.

A known device is no factor and opens nothing. It has guessing budgets of its own, so that a stranger who uses an
account's budget up does not keep its owner out, and it tells a sign-in from a new place. Its secret lies in a cookie of
the browser, only its SHA-256 in the store, bound to one account; it is replaced at each completed sign-in. Whoever
shows a secret that was replaced has a copy of an old cookie: the device is revoked, recorded, and its owner told.

An answer can be lost on its way to the browser, which then has the secret from before: that one goes on until the new
one was shown once. From then on every older one is a copy, however old: all secrets of a device begin alike, and a hash
of that beginning is the device's id.

People share browsers: the cookie carries a secret for each of up to five accounts, newest last, and each is known to its
own account alone. A sign-in replaces that of its own account, and leaves the others as they are.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

from portalsec._encoding import b64url
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
_NOBODY = "-"
_AT_MOST = 20  # devices of one account; the one unused for the longest goes
_ACCOUNTS = 5  # that one browser's cookie carries; the one that signed in the longest ago goes
_TOKEN_LENGTH = 43
_FAMILY = 16  # bytes that all secrets of one device begin with; as many follow


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

    def find(
        self,
        cookie: object,
        account_id: str | None,
        *,
        source: Source,
        reused: Callable[[KnownDevice], object] | None = None,
    ) -> KnownDevice | None:
        """The device of this cookie that is this account's.

        Costs one look-up for each token of a cookie of the right shape, and one of the account's devices, whether or
        not anybody has the account.

        Args:
            reused: told of a device of which an old copy was shown, after it is revoked and that is recorded.
            cookie: its text, as the browser showed it.
            account_id: of the account that is signing in, or None where nobody has the name.
            source: where the request came from; recorded where an old copy was shown.
        """
        # Every one is looked up, wherever the account's own stands.
        tokens = _tokens(cookie)
        shown = [(_digest(token), _device_id(token)) for token in tokens]
        found = [self._store.find(digest) for digest, _ in shown]
        of_account = self._store.of_account(account_id or _NOBODY) if tokens else ()
        own = None
        for (digest, id), device in zip(shown, found, strict=True):
            if account_id is None or (device is not None and device.account_id != account_id):
                continue
            if device is None:
                for copied in of_account:
                    if hmac.compare_digest(copied.id.encode("utf-8"), id.encode("ascii")):
                        self._reused(copied, source, reused)
            elif self._clock() - device.used_at < DEVICE_LIFETIME:
                own = self._settled(device, digest)
        return own

    @staticmethod
    def family(cookie: object, device: KnownDevice) -> str | None:
        """What all secrets of this device begin with, in hexadecimal, where the browser shows one of them."""
        for token in _tokens(cookie):
            if _device_id(token) == device.id:
                return _bytes(token)[:_FAMILY].hex()
        return None

    @staticmethod
    def well_formed(cookie: object) -> bool:
        """Whether this could be a known devices' cookie; says nothing of whether one of them is known."""
        return bool(_tokens(cookie))

    def shown(self, cookie: object) -> Sequence[KnownDevice]:
        """The devices of this cookie, whosesoever they are, oldest first; an old copy shows none. For budgets alone."""
        now = self._clock()
        found = [self._store.find(digest) for digest in map(_digest, _tokens(cookie))]
        return [each for each in found if each is not None and now - each.used_at < DEVICE_LIFETIME]

    def remember(
        self,
        account_id: str,
        shown: bytes | None,
        *,
        source: Source,
        cookie: object = None,
        family: str | None = None,
    ) -> Remembered:
        """After a completed sign-in: give the device a new secret, or make it known.

        Args:
            shown: the digest of the device that `find` found at the sign-in's start, or None.
            cookie: the cookie's text as the browser shows it now: the others' secrets in it stay in it.
            family: what `family` said at the sign-in's start.

        Raises:
            StoreError: nothing was remembered.
            AuditUnavailable: it could not be recorded, so the new device is not kept.
        """
        digest = shown
        known = None if digest is None else self._store.find(digest)
        now = self._clock()
        if family is None and known is not None and known.account_id == account_id:
            family = self.family(cookie, known)
        begins = secrets.token_bytes(_FAMILY) if family is None else bytes.fromhex(family)
        token = b64url(begins + secrets.token_bytes(_FAMILY))
        fresh = _digest(token)
        prefix = address_prefix(source.address)
        address = None if prefix == UNKNOWN else prefix
        if known is not None and digest is not None and known.account_id == account_id:
            # Where this fails the cookie was used by another sign-in meanwhile, or its device was revoked.
            rotated = known.digest == digest and self._store.rotate(
                known.id, expected=digest, digest=fresh, at=now, address=address
            )
            if rotated:
                text = self._cookie(cookie, account_id, token)
                known = replace(known, digest=fresh, previous=digest, used_at=now, address=address)
                return Remembered(device=known, token=Secret(token), cookie=text, new=False)
        # Nothing that another device's secrets begin with.
        token = b64url(secrets.token_bytes(2 * _FAMILY))
        fresh = _digest(token)
        text = self._cookie(cookie, account_id, token)
        device = KnownDevice(
            id=_device_id(token),
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

    def _settled(self, device: KnownDevice, shown: bytes) -> KnownDevice:
        """The device, whose secret is from now on the one that was shown.

        A secret that was shown has a mark of itself as its ``previous``; the one before it is then no longer the
        device's. Where another request is faster, that one's word stands: the browser keeps its budget.
        """
        mark = hashlib.sha256(b"shown:" + shown).digest()
        if device.previous is None or (device.digest == shown and device.previous == mark):
            return device
        if device.digest != mark:
            self._store.rotate(
                device.id, expected=device.digest, digest=mark, at=device.used_at, address=device.address
            )
        # Dying in between leaves what was shown as ``previous`` of a secret that nobody has: it is accepted again.
        self._store.rotate(device.id, expected=mark, digest=shown, at=device.used_at, address=device.address)
        return replace(device, digest=shown, previous=mark)

    def _cookie(self, cookie: object, account_id: str, token: str) -> Secret[str]:
        return Secret(".".join([*self._others(cookie, account_id), token][-_ACCOUNTS:]))

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

    def _reused(
        self, device: KnownDevice, source: Source, told: Callable[[KnownDevice], object] | None
    ) -> None:
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
            if told is not None:
                told(device)

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


def _bytes(token: str) -> bytes:
    return base64.urlsafe_b64decode(token + "=")


def _device_id(token: str) -> str:
    """One way: whoever sees the id cannot make a token that would pass for an old copy."""
    return hashlib.sha256(b"device:" + _bytes(token)[:_FAMILY]).hexdigest()[:32]


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("ascii")).digest()
