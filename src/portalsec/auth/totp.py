"""Time-based one-time passwords (RFC 6238): a pure kernel and a service whose store refuses used steps."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

import pyotp

from portalsec.auth.evidence import Evidence, Factor, mint
from portalsec.auth.ports import Sealer, TotpDevice, TotpStore
from portalsec.clock import Clock, unix_seconds
from portalsec.errors import ConfigurationError, Denied, Reason
from portalsec.secret import Secret
from portalsec.typing import NewId

__all__ = ["Enrolment", "Totp", "TotpParameters", "matching_step", "normalise_code"]

_HASHES = {"SHA1": hashlib.sha1, "SHA256": hashlib.sha256, "SHA512": hashlib.sha512}
_SEED_BYTES = 20  # 160 bits: RFC 4226 section 4, R6
_MAX_TYPED = 64
_MAX_LABEL = 64
# A QR code that a phone can correct (level M) holds 2331 bytes. The issuer comes twice; the rest of the URI is under 200.
_MAX_ISSUER_BYTES = 600
_MAX_ACCOUNT_BYTES = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class TotpParameters:
    """How codes are made.

    Attributes:
        digits: 6 to 8.
        period: seconds of one step.
        algorithm: "SHA1" (the one that every authenticator app knows), "SHA256" or "SHA512".
        drift: steps before and after the present one that are accepted too (RFC 6238 section 5.2 advises one).
    """

    digits: int = 6
    period: int = 30
    algorithm: str = "SHA1"
    drift: int = 1

    def __post_init__(self) -> None:
        if not 6 <= self.digits <= 8:
            raise ConfigurationError("TotpParameters: digits goes from 6 to 8 (RFC 4226 section 5.3)")
        if not 15 <= self.period <= 300:
            raise ConfigurationError("TotpParameters: period goes from 15 to 300 seconds")
        if self.algorithm not in _HASHES:
            raise ConfigurationError(f"TotpParameters: algorithm is one of {', '.join(_HASHES)}")
        if not 0 <= self.drift <= 2:
            # Each step more is one code more that a guesser may hit.
            raise ConfigurationError("TotpParameters: drift goes from 0 to 2 steps")


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


# -- kernel -----------------------------------------------------------------------------------------------------


def normalise_code(code: object) -> str:
    """The digits of a typed code: spaces and dashes dropped, digits of any script (full-width, Arabic-Indic) as ASCII.

    All spellings of one code come out equal, so that a used code stays used however it is typed.

    Raises:
        Denied: MALFORMED where it is not text, over 64 characters, holds anything else, or has not 6 to 8 digits
            (a code without its leading zeros is refused, not padded).
    """
    if not isinstance(code, str) or len(code) > _MAX_TYPED:
        raise Denied(Reason.MALFORMED)
    digits: list[str] = []
    for char in code:
        if char.isspace() or unicodedata.category(char) == "Pd":
            continue
        value = unicodedata.decimal(char, None)
        if value is None:
            raise Denied(Reason.MALFORMED)
        digits.append(str(value))
    if not 6 <= len(digits) <= 8:
        raise Denied(Reason.MALFORMED)
    return "".join(digits)


def matching_step(secret: bytes, code: str, now: datetime, parameters: TotpParameters) -> int | None:
    """The newest acceptable time step whose code this is, or None. Pure.

    Every acceptable step is computed and compared in constant time, with no early end, so that time does not tell
    which step matched (RFC 6238 section 5.2, RFC 4226 section 5.3).
    """
    current = unix_seconds(now) // parameters.period
    typed = code.encode("ascii", "replace")
    found: int | None = None
    for step in range(current - parameters.drift, current + parameters.drift + 1):
        same = hmac.compare_digest(_code_at(secret, max(step, 0), parameters).encode("ascii"), typed)
        if same and step >= 0:
            found = step
    return found


def _code_at(secret: bytes, step: int, parameters: TotpParameters) -> str:
    """RFC 4226 section 5.3, dynamic truncation."""
    digest = hmac.digest(secret, step.to_bytes(8, "big"), _HASHES[parameters.algorithm])
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFF_FFFF
    return str(number % 10**parameters.digits).zfill(parameters.digits)


# -- service ----------------------------------------------------------------------------------------------------


class Totp:
    """Enrols TOTP authenticators and verifies their codes.

    Safe for concurrent use: the store's one conditional write decides whether a step is new, so of any number of
    equal codes sent at once one is accepted. It does not count guesses; `portalsec.auth.signin.SignIn` does.

    Args:
        store: where devices live.
        sealer: encrypts seeds, bound to the account and the device.
        issuer: the portal's name as the authenticator app shows it.
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

    def enrolled(self, account_id: str) -> bool:
        """Whether the account has a confirmed authenticator."""
        return any(device.confirmed for device in self._store.devices(account_id))

    def begin(self, account_id: str, *, account_name: str, label: str = "Authenticator app") -> Enrolment:
        """Make a seed of 160 bits for a new authenticator; it counts for nothing until `confirm`.

        An earlier enrolment of the account that was not confirmed is void.

        Args:
            account_name: what the app shows under the portal's name; the sign-in name, say. A name that would not
                fit into a QR code is cut.
            label: the owner's name for the device, at most 64 characters.
        """
        device_id = self._new_id()
        seed = secrets.token_bytes(_SEED_BYTES)
        self._store.add(
            TotpDevice(
                id=device_id,
                account_id=account_id,
                label=label[:_MAX_LABEL],
                sealed_secret=self._sealer.seal(seed, **seed_place(account_id, device_id)),
                confirmed=False,
                last_step=-1,
                created_at=self._clock(),
            )
        )
        text = base64.b32encode(seed).decode("ascii")
        uri = pyotp.TOTP(
            text,
            digits=self.parameters.digits,
            digest=_HASHES[self.parameters.algorithm],
            interval=self.parameters.period,
        ).provisioning_uri(name=_fitting(account_name), issuer_name=self._issuer)
        return Enrolment(device_id=device_id, secret=Secret(text), uri=Secret(uri))

    def confirm(self, account_id: str, device_id: str, code: object) -> Evidence:
        """Accept the first code of a new authenticator. The code is thereby used: it is refused at the next sign-in.

        Raises:
            Denied: MALFORMED, WRONG_CODE, FACTOR_NOT_ENROLLED (no such enrolment of this account, or void),
                FACTOR_ALREADY_ENROLLED (confirmed already; one of several at once wins).
            Tampered: the stored seed does not open.
        """
        typed = normalise_code(code)
        device = next((found for found in self._store.devices(account_id) if found.id == device_id), None)
        if device is None:
            raise Denied(Reason.FACTOR_NOT_ENROLLED)
        if device.confirmed:
            raise Denied(Reason.FACTOR_ALREADY_ENROLLED)
        now = self._clock()
        step = matching_step(self._open(device), typed, now, self.parameters)
        if step is None:
            raise Denied(Reason.WRONG_CODE)
        if not self._store.confirm(account_id, device_id, step):
            raise Denied(Reason.FACTOR_ALREADY_ENROLLED)
        return mint(Factor.TOTP, account_id, now)

    def undo(self, account_id: str, device_id: str) -> None:
        """Take back an authenticator whose confirmation could not be recorded, so that it never counts as a factor."""
        self._store.remove(account_id, device_id)

    def verify(self, account_id: str, code: object) -> Evidence:
        """Accept a code once.

        Raises:
            Denied: MALFORMED, FACTOR_NOT_ENROLLED, WRONG_CODE, CODE_REPLAYED (this step or a newer one was used).
            Tampered: a stored seed does not open.
        """
        typed = normalise_code(code)
        devices = [device for device in self._store.devices(account_id) if device.confirmed]
        if not devices:
            raise Denied(Reason.FACTOR_NOT_ENROLLED)
        now = self._clock()
        # All devices are computed before any is written, so that time does not tell which one it was.
        steps = [
            (device, matching_step(self._open(device), typed, now, self.parameters)) for device in devices
        ]
        matched = [(device, step) for device, step in steps if step is not None]
        if not matched:
            raise Denied(Reason.WRONG_CODE)
        for device, step in matched:
            if self._store.advance(account_id, device.id, step):
                return mint(Factor.TOTP, account_id, now)
        raise Denied(Reason.CODE_REPLAYED)

    def _open(self, device: TotpDevice) -> bytes:
        return self._sealer.open(device.sealed_secret, **seed_place(device.account_id, device.id))


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
