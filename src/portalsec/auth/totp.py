"""`Totp`: time-based one-time passwords (RFC 6238) of several authenticators an account, each with its own limits.

**Once.** A time step is accepted once an authenticator, and none before it afterwards: one conditional write of the store
decides, so that of any number of equal codes at once one is accepted (RFC 6238 section 5.2).

**A hundred guesses, then never again** (SP 800-63B-4 section 3.2.2). Each authenticator counts the wrong codes that were
tested against it in a row, in the durable store and *before* the test, so that a crash, a restart or any number of
workers let no more through. Only a right code of the same authenticator starts the count anew. At `TotpPolicy.cap` it is
dead: no code is looked at, not even the right one, and its owner has to set up another. With three codes right at any
moment out of a million, a hundred guesses hit with a chance of at most 3e-4. A guess is tested against every authenticator
of the account that lives, so beside others it counts for several (`weight_of_a_try`), and the chance stays what it is for
one. What was counted stays: removing one brings none of the others back.

It tests what it is given. That a first factor was proven before, and budgets by time, are `SignIn`'s part: so no stranger
can use an authenticator up.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from urllib.parse import quote

import pyotp

from portalsec.auth.evidence import Evidence, Factor, mint
from portalsec.auth.otpauth import ImportedSeed, one_of
from portalsec.auth.ports import Sealer, TotpDevice, TotpStore
from portalsec.auth.proof import Proof
from portalsec.auth.totp_codes import (
    HASHES,
    TotpParameters,
    code_at,
    matching_step,
    next_drift,
    normalise_code,
    weight_of_a_try,
)
from portalsec.clock import Clock, unix_seconds
from portalsec.errors import ConfigurationError, Denied, Reason, StoreError, Tampered
from portalsec.secret import Secret
from portalsec.typing import NewId

__all__ = [
    "RESTORABLE",
    "Authenticator",
    "CodeRefused",
    "Enrolment",
    "Totp",
    "TotpParameters",
    "TotpPolicy",
    "code_at",
    "matching_step",
    "normalise_code",
]

RESTORABLE = timedelta(hours=24)
"""How long an authenticator that was removed can be brought back."""

_SEED_BYTES = 20  # 160 bits: RFC 4226 section 4, R6
_MAX_LABEL = 64
_NIST_CAP = 100  # SP 800-63B-4 section 3.2.2
# A QR code that a phone can correct (level M) holds 2331 bytes. The issuer comes twice; the rest of the URI is under 200.
_MAX_ISSUER_BYTES = 600
_MAX_ACCOUNT_BYTES = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class TotpPolicy:
    """What holds for every authenticator.

    Attributes:
        cap: wrong codes that are tested in a row before an authenticator is dead for good, 1 to 100. One that is tested
            against several counts for several.
        max_devices: confirmed authenticators an account may have, 1 to 20.
        max_drift: steps of a clock's error that are remembered, each way, 0 to 10.
    """

    cap: int = _NIST_CAP
    max_devices: int = 5
    max_drift: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.cap <= _NIST_CAP:
            raise ConfigurationError(f"TotpPolicy: cap goes from 1 to {_NIST_CAP} (SP 800-63B-4, 3.2.2)")
        if not 1 <= self.max_devices <= 20:
            raise ConfigurationError("TotpPolicy: max_devices goes from 1 to 20")
        if not 0 <= self.max_drift <= 10:
            raise ConfigurationError("TotpPolicy: max_drift goes from 0 to 10 steps")


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """A new authenticator, shown once and never readable again.

    Attributes:
        device_id: hand it back with the first code.
        secret: the seed in base32, for typing.
        uri: the ``otpauth`` URI, for a QR code.
    """

    device_id: str
    secret: Secret[str]
    uri: Secret[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticator:
    """A confirmed authenticator as its owner's list shows it: no seed, nothing to make a code from.

    Attributes:
        dead: so many wrong codes in a row were tested that no code of it is ever looked at again.
        used_at: when a code of it was last accepted; None where none was since it was set up.
    """

    id: str
    label: str
    created_at: datetime
    used_at: datetime | None
    dead: bool


class CodeRefused(Denied):
    """A code was tested and refused.

    Attributes:
        disabled: ids of authenticators that this attempt was the last for: tell the owner, and record it.
            Of any number of attempts at once, one is told of an authenticator.
    """

    def __init__(self, reason: Reason, disabled: Sequence[str] = ()) -> None:
        super().__init__(reason)
        self.disabled = tuple(disabled)

    def __reduce__(self) -> tuple[type[CodeRefused], tuple[Reason, tuple[str, ...]]]:
        return type(self), (self.reason, self.disabled)


@dataclass(frozen=True, slots=True)
class _Tried:
    """A device with one try counted, and what the code was for it."""

    device: TotpDevice
    weight: int  # for how many it was counted
    last: bool  # it was the last try below the cap
    step: int | None = None


class Totp:
    """Enrols TOTP authenticators, verifies their codes, and lets their owner manage them.

    Safe for concurrent use. Which account a call is about is the caller's to know: from its session or its pending
    sign-in, never from the request. An id of another account's authenticator is answered like one that does not exist.

    Args:
        store: where devices live; durable, since the hard cap lives there.
        sealer: encrypts seeds, bound to the account and the device.
        issuer: the portal's name as the authenticator app shows it.
        parameters: of new authenticators; each keeps those it was made with.
    """

    def __init__(
        self,
        *,
        store: TotpStore,
        sealer: Sealer,
        issuer: str,
        clock: Clock,
        new_id: NewId,
        parameters: TotpParameters | None = None,
        policy: TotpPolicy | None = None,
    ) -> None:
        if not issuer.strip() or ":" in issuer:
            raise ConfigurationError(
                "Totp: issuer is the portal's name as authenticator apps show it; it must not be empty or hold a colon"
            )
        if len(quote(issuer, safe="")) > _MAX_ISSUER_BYTES:
            raise ConfigurationError(
                f"Totp: issuer is longer than {_MAX_ISSUER_BYTES} bytes as a URI writes it, so no QR code could hold "
                "it: shorten the portal's name"
            )
        self._store = store
        self._sealer = sealer
        self._issuer = issuer
        self._clock = clock
        self._new_id = new_id
        self.parameters = parameters or TotpParameters()
        self.policy = policy or TotpPolicy()

    # -- what an account has ------------------------------------------------------------------------------------------

    def enrolled(self, account_id: str) -> bool:
        """Whether the account has a confirmed authenticator, dead ones included.

        A dead one still counts: otherwise whoever knows the password could guess an authenticator to death and then be
        asked to set up one of their own.
        """
        return any(device.confirmed for device in self._store.devices(account_id))

    def usable(self, account_id: str) -> bool:
        """Whether one of its authenticators can still be signed in with; False while all of them are dead."""
        return any(not each.dead for each in self.devices(account_id))

    def devices(self, account_id: str) -> tuple[Authenticator, ...]:
        """The confirmed ones, oldest first."""
        return tuple(self._shown(device) for device in self._confirmed(account_id))

    # -- a new one ----------------------------------------------------------------------------------------------------

    def begin(self, account_id: str, account_name: str, label: object = "Authenticator app") -> Enrolment:
        """Make a seed of 160 bits for a new authenticator; it counts for nothing until `confirm`.

        An earlier enrolment of the account that was not confirmed is void.

        Args:
            account_name: what the app shows under the portal's name; the sign-in name, say. A name that would not
                fit into a QR code is cut.
            label: the owner's name for the device, at most 64 characters.

        Raises:
            Denied: FACTOR_LIMIT (the account has as many as it may have), MALFORMED (the label).
        """
        return self._add(
            account_id, secrets.token_bytes(_SEED_BYTES), self.parameters, account_name, _label(label)
        )

    def import_(self, account_id: str, uri: object, label: object, *, entry: object = None) -> Enrolment:
        """Take over an authenticator that exists, from an ``otpauth`` URI or a migration payload; see `otpauth`.

        As with `begin`, nothing counts until `confirm` sees a code of it.

        Args:
            uri: as the owner's app showed it, in a QR code.
            entry: which one, from 0, of a payload that holds several.

        Raises:
            portalsec.auth.otpauth.ImportRefused: its `problem` has the sentence for whoever tried.
            Denied: FACTOR_LIMIT; FACTOR_ALREADY_ENROLLED (this account has that seed already, or had it until a moment
                ago); MALFORMED (the label).
        """
        found: ImportedSeed = one_of(uri, entry)
        named, seed = _label(label), found.seed.reveal()
        self._not_yet_here(account_id, seed)
        return self._add(account_id, seed, found.parameters, found.name, named)

    def confirm(self, account_id: str, device_id: str, code: object) -> Evidence:
        """Accept the first code of a new authenticator. The code is thereby used: it is refused at the next sign-in.

        Raises:
            Denied: MALFORMED, WRONG_CODE, FACTOR_NOT_ENROLLED (no such enrolment of this account, or void),
                FACTOR_ALREADY_ENROLLED (confirmed already, one of several at once wins; or its seed is here already),
                FACTOR_DISABLED (as many wrong codes as any authenticator gets: begin again), FACTOR_LIMIT.
            Tampered: the stored seed does not open.
        """
        typed = normalise_code(code)
        devices = self._store.devices(account_id)
        device = next((found for found in devices if found.id == device_id), None)
        if device is None:
            raise Denied(Reason.FACTOR_NOT_ENROLLED)
        if device.confirmed:
            raise Denied(Reason.FACTOR_ALREADY_ENROLLED)
        if sum(other.confirmed for other in devices) >= self.policy.max_devices:
            raise Denied(Reason.FACTOR_LIMIT)
        if not self._store.try_(account_id, device_id, cap=self.policy.cap):
            raise Denied(Reason.FACTOR_DISABLED)
        now, parameters = self._clock(), _parameters_of(device, self.parameters.drift)
        seed = self._open(device)
        step = matching_step(seed, typed, now, parameters)
        if step is None:
            raise Denied(Reason.WRONG_CODE)
        # Two authenticators with one seed would let one code in twice.
        self._not_yet_here(account_id, seed, but=device_id)
        try:
            confirmed = self._store.confirm(account_id, device_id, step)
        except StoreError:
            # Its answer may be what was lost. Then it would be a factor that no record and no mail knows of.
            with suppress(StoreError):
                self._store.remove(account_id, device_id)
            raise
        if not confirmed:
            raise Denied(Reason.FACTOR_ALREADY_ENROLLED)
        return mint(Proof(factor=Factor.TOTP, at=now, authenticator=device_id), account_id)

    def confirm_import(self, account_id: str, found: ImportedSeed, label: object, code: object) -> Evidence:
        """Take over one that was read before and accept its code, in one: refused, nothing of it stays.

        Raises:
            Denied: as `import_` and `confirm`.
            Tampered: a stored seed of this account does not open.
        """
        named, seed = _label(label), found.seed.reveal()
        self._not_yet_here(account_id, seed)
        made = self._add(account_id, seed, found.parameters, found.name, named)
        refused: Denied | None = None
        try:
            return self.confirm(account_id, made.device_id, code)
        except Denied as denied:
            refused = denied
        self._store.remove(account_id, made.device_id)  # its id went to nobody
        raise Denied(refused.reason)

    def undo(self, account_id: str, device_id: str) -> None:
        """Take back an authenticator whose confirmation could not be recorded, so that it never counts as a factor."""
        self._store.remove(account_id, device_id)

    # -- a code -------------------------------------------------------------------------------------------------------

    def verify(self, account_id: str, code: object) -> Evidence:
        """Accept a code once.

        It is tested against every authenticator that makes codes of this length and is not dead. Each of them counts
        the try before the test; where the code was one authenticator's, the others take theirs back.

        Raises:
            Denied: MALFORMED, FACTOR_NOT_ENROLLED, FACTOR_DISABLED (all that could be meant are dead: nothing was
                tested).
            CodeRefused: WRONG_CODE, CODE_REPLAYED (this step or a newer one was used); look at ``disabled``.
            Tampered: a stored seed does not open.
            StoreError: whether the code was right is not known.
        """
        typed = normalise_code(code)
        devices = self._confirmed(account_id)
        if not devices:
            raise Denied(Reason.FACTOR_NOT_ENROLLED)
        meant = [device for device in devices if device.digits == len(typed)]
        if not meant:
            raise CodeRefused(Reason.WRONG_CODE)  # no authenticator makes such codes: nothing was tested
        living = sum(device.failures < self.policy.cap for device in meant)
        weight = weight_of_a_try(self.policy.cap, living)
        counted = [self._count(device, weight) for device in meant]
        tried = [each for each in counted if each is not None]
        if not tried:
            raise Denied(Reason.FACTOR_DISABLED)
        now = self._clock()
        tried = self._test(tried, typed, now)
        matched = [each for each in tried if each.step is not None]
        if not matched:
            raise CodeRefused(Reason.WRONG_CODE, self._used_up(account_id, tried))
        for each in tried:
            if each.step is None:
                self._store.untry(account_id, each.device.id, weight=weight)
        for index, each in enumerate(matched):
            if self._accept(each, now):
                for other in matched[index + 1 :]:
                    self._store.untry(account_id, other.device.id, weight=weight)
                return mint(Proof(factor=Factor.TOTP, at=now, authenticator=each.device.id), account_id)
        raise CodeRefused(Reason.CODE_REPLAYED, self._used_up(account_id, matched))

    def _count(self, device: TotpDevice, weight: int) -> _Tried | None:
        """One more try, in the store and before the code is looked at; None where the device is dead."""
        cap = self.policy.cap
        # In two steps, so that exactly one of any number of tries at once knows that it is the last.
        if self._store.try_(device.account_id, device.id, cap=cap - weight, weight=weight):
            return _Tried(device, weight, last=False)
        if self._store.try_(device.account_id, device.id, cap=cap, weight=weight):
            return _Tried(device, weight, last=True)
        return None

    def _test(self, tried: list[_Tried], typed: str, now: datetime) -> list[_Tried]:
        # All are computed before any is written, so that time does not tell which one it was.
        try:
            keys = [
                (self._open(each.device), _parameters_of(each.device, self.parameters.drift))
                for each in tried
            ]
        except BaseException:
            with suppress(StoreError):
                for each in tried:  # nothing was tested
                    self._store.untry(each.device.account_id, each.device.id, weight=each.weight)
            raise
        return [
            _Tried(
                each.device,
                each.weight,
                each.last,
                matching_step(seed, typed, now, parameters, ahead=self._ahead(each.device)),
            )
            for each, (seed, parameters) in zip(tried, keys, strict=True)
        ]

    def _accept(self, tried: _Tried, now: datetime) -> bool:
        device, step = tried.device, tried.step
        assert step is not None  # noqa: S101
        before = (
            None
            if device.used_at is None
            else device.last_step - unix_seconds(device.used_at) // device.period
        )
        seen = step - unix_seconds(now) // device.period
        drift = next_drift(self._ahead(device), seen, before, most=self.policy.max_drift)
        return self._store.advance(device.account_id, device.id, step, drift=drift, at=now)

    def _used_up(self, account_id: str, tried: Sequence[_Tried]) -> tuple[str, ...]:
        return tuple(each.device.id for each in tried if each.last)

    # -- what the owner does with them --------------------------------------------------------------------------------

    def rename(self, account_id: str, device_id: object, label: object) -> None:
        """Raises `Denied`: MALFORMED (the label), FACTOR_NOT_ENROLLED (not one of this account's)."""
        named = _label(label)
        if not isinstance(device_id, str) or not self._store.rename(account_id, device_id, named):
            raise Denied(Reason.FACTOR_NOT_ENROLLED)

    def remove(self, account_id: str, device_id: object) -> None:
        """From now on it is no factor; `restore` brings it back within 24 hours.

        Raises:
            Denied: FACTOR_NOT_ENROLLED (not one of this account's).
        """
        if not isinstance(device_id, str) or not self._store.remove(account_id, device_id, at=self._clock()):
            raise Denied(Reason.FACTOR_NOT_ENROLLED)

    def restore(self, account_id: str, device_id: object) -> None:
        """Bring back one that was removed less than 24 hours ago, with all it counted: a dead one stays dead.

        Raises:
            Denied: FACTOR_LIMIT; FACTOR_NOT_ENROLLED (none such, too long ago, or restored already).
        """
        if len(self._confirmed(account_id)) >= self.policy.max_devices:
            raise Denied(Reason.FACTOR_LIMIT)
        if not isinstance(device_id, str) or not self._store.restore(
            account_id, device_id, since=self._clock() - RESTORABLE
        ):
            raise Denied(Reason.FACTOR_NOT_ENROLLED)

    # -- within -------------------------------------------------------------------------------------------------------

    def _add(
        self, account_id: str, seed: bytes, parameters: TotpParameters, account_name: str, label: str
    ) -> Enrolment:
        if len(self._confirmed(account_id)) >= self.policy.max_devices:
            raise Denied(Reason.FACTOR_LIMIT)
        device_id = self._new_id()
        self._store.add(
            TotpDevice(
                id=device_id,
                account_id=account_id,
                label=label,
                sealed_secret=self._sealer.seal(seed, **seed_place(account_id, device_id)),
                confirmed=False,
                last_step=-1,
                created_at=self._clock(),
                algorithm=parameters.algorithm,
                digits=parameters.digits,
                period=parameters.period,
            )
        )
        text = base64.b32encode(seed).decode("ascii").rstrip("=")
        uri = pyotp.TOTP(
            text, digits=parameters.digits, digest=HASHES[parameters.algorithm], interval=parameters.period
        ).provisioning_uri(name=_fitting(account_name), issuer_name=self._issuer)
        return Enrolment(device_id=device_id, secret=Secret(text), uri=Secret(uri))

    def _not_yet_here(self, account_id: str, seed: bytes, *, but: str | None = None) -> None:
        """Raises `Denied`: FACTOR_ALREADY_ENROLLED. A removed one counts: it can come back."""
        others = [*self._confirmed(account_id), *self._store.removed(account_id)]
        if any(other.id != but and hmac.compare_digest(self._open(other), seed) for other in others):
            raise Denied(Reason.FACTOR_ALREADY_ENROLLED)

    def _confirmed(self, account_id: str) -> list[TotpDevice]:
        return [device for device in self._store.devices(account_id) if device.confirmed]

    def _shown(self, device: TotpDevice) -> Authenticator:
        return Authenticator(
            id=device.id,
            label=device.label,
            created_at=device.created_at,
            used_at=device.used_at,
            dead=device.failures >= self.policy.cap,
        )

    def _ahead(self, device: TotpDevice) -> int:
        # Within bounds whatever the row says: a drift that was written past us must not bring an old code back to life.
        most = self.policy.max_drift
        return max(-most, min(most, device.drift))

    def _open(self, device: TotpDevice) -> bytes:
        return self._sealer.open(device.sealed_secret, **seed_place(device.account_id, device.id))


@lru_cache(maxsize=64)
def _parameters(algorithm: str, digits: int, period: int, drift: int) -> TotpParameters:
    return TotpParameters(algorithm=algorithm, digits=digits, period=period, drift=drift)


def _parameters_of(device: TotpDevice, drift: int) -> TotpParameters:
    try:
        return _parameters(device.algorithm, device.digits, device.period, drift)
    except ConfigurationError:
        pass
    raise Tampered("the parameters of a stored authenticator are none that portalsec writes")


def _label(label: object) -> str:
    """An owner's name for a device: one line of text, cut to 64 characters. Raises `Denied`: MALFORMED."""
    if not isinstance(label, str) or len(label) > 16 * _MAX_LABEL:
        raise Denied(Reason.MALFORMED)
    text = " ".join(label.split())[:_MAX_LABEL].strip()
    if not text or not text.isprintable():
        raise Denied(Reason.MALFORMED)
    return text


def _fitting(name: str) -> str:
    """As much of a name as takes at most so many bytes in a URI, where a character can take twelve."""
    room = _MAX_ACCOUNT_BYTES
    for index, char in enumerate(name):
        room -= len(quote(char, safe=""))
        if room < 0:
            return name[:index]
    return name


def seed_place(account_id: str, device_id: str) -> dict[str, str]:
    """What a seed is bound to: the arguments of `Sealer.seal`. For this package: rotation binds it anew."""
    # The length makes the row injective: no two (account, device) pairs share a place a seed could be moved to.
    return {
        "table": "totp_device",
        "column": "secret",
        "row": f"{len(account_id)}:{account_id}:{device_id}",
    }
