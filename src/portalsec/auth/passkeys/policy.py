"""`PasskeyPolicy`: which passkeys a portal takes, and from which pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from portalsec.auth.passkeys.cose import ALGORITHMS, mldsa_available
from portalsec.auth.passkeys.rp_id import check_origins, check_rp_id
from portalsec.errors import ConfigurationError

if TYPE_CHECKING:  # certificates take 50 ms to import, and only registrations look at them
    from portalsec.auth.passkeys.attestation import AttestationPolicy

__all__ = ["DEFAULT_ALGORITHMS", "Clone", "PasskeyPolicy", "UserVerification"]

UserVerification = Literal["required", "preferred", "discouraged"]
Clone = Literal["step_up", "disable", "record"]

_EVERYWHERE: Final = (-7, -8, -257)
DEFAULT_ALGORITHMS: Final = _EVERYWHERE + ((-48, -49, -50) if mldsa_available() else ())
"""ES256, EdDSA, RS256, of which every authenticator has one (section 5.8.5); then ML-DSA where `cryptography` has it.

Authenticators take the first that they have: so one with nothing but ML-DSA works, and no other depends on this build.
"""

_MAX_PASSKEYS: Final = 50  # the allow-list of one challenge has to fit into its 4 KiB


@dataclass(frozen=True, slots=True, kw_only=True)
class PasskeyPolicy:
    """Which passkeys are taken.

    Attributes:
        rp_id: the domain that the passkeys belong to, for good: those of another id are lost.
        origins: pages and apps that may use them, as browsers send them, exactly; ``android:apk-key-hash:...`` too.
        rp_name: what authenticators show, or the RP id.
        related_origins: pages of other domains that may (section 5.11); the portal serves their list.
        top_origins: pages that may show the portal's own in a frame. Where there is any, ``crossOrigin`` may be true; an
            older browser does not tell by which page, so that the portal's ``frame-ancestors`` has to say the same.
        algorithms: COSE algorithms that are offered, the best first; no other key is taken. -48 is ML-DSA-44.
        attestation: what a new passkey has to prove about its make; None for nothing, as `AttestationPolicy.NONE`.
        resident_key: whether a new one should be discoverable, so that no name need be typed.
        clone: what happens where a counter goes backwards, which is recorded in any case. "step_up": that sign-in needs
            another factor; the passkey stays. "disable": it is no factor any more. "record": nothing else.
        challenge_lifetime: how long the answer may take.
        timeout: what the browser is told about that.
        max_passkeys: of one account.
    """

    rp_id: str
    origins: tuple[str, ...]
    rp_name: str = ""
    related_origins: tuple[str, ...] = ()
    top_origins: tuple[str, ...] = ()
    algorithms: tuple[int, ...] = DEFAULT_ALGORITHMS
    attestation: AttestationPolicy | None = None
    resident_key: Literal["required", "preferred", "discouraged"] = "preferred"
    clone: Clone = "step_up"
    challenge_lifetime: timedelta = timedelta(minutes=5)
    timeout: timedelta = timedelta(minutes=5)
    max_passkeys: int = 20

    def __post_init__(self) -> None:
        check_rp_id(self.rp_id, place="PasskeyPolicy: rp_id")
        check_origins(self.rp_id, self.origins, related=self.related_origins, place="PasskeyPolicy: origins")
        _check_tops(self.top_origins)
        unknown = [number for number in self.algorithms if number not in ALGORITHMS]
        if unknown or not self.algorithms or len(set(self.algorithms)) != len(self.algorithms):
            raise ConfigurationError(
                "PasskeyPolicy: algorithms: name each COSE algorithm once, of "
                f"{', '.join(str(number) for number in ALGORITHMS)}"
            )
        if self.clone not in ("step_up", "disable", "record"):
            raise ConfigurationError("PasskeyPolicy: clone is one of step_up, disable, record")
        if self.resident_key not in ("required", "preferred", "discouraged"):
            raise ConfigurationError("PasskeyPolicy: resident_key is one of required, preferred, discouraged")
        if not timedelta(seconds=30) <= self.challenge_lifetime <= timedelta(minutes=15):
            raise ConfigurationError("PasskeyPolicy: challenge_lifetime goes from 30 seconds to 15 minutes")
        if not timedelta(seconds=15) <= self.timeout <= self.challenge_lifetime:
            raise ConfigurationError("PasskeyPolicy: timeout goes from 15 seconds to challenge_lifetime")
        if not 1 <= self.max_passkeys <= _MAX_PASSKEYS:
            raise ConfigurationError(f"PasskeyPolicy: max_passkeys goes from 1 to {_MAX_PASSKEYS}")

    @classmethod
    def for_page(cls, base_url: str, *, rp_name: str = "") -> PasskeyPolicy:
        """The policy of a portal with one address: its host is the RP id, its origin the only one.

        Raises:
            ConfigurationError: browsers have no passkeys there: an address instead of a name, or http elsewhere than on
                localhost; or the host is a public suffix.
        """
        return cls(rp_id=_host(base_url), origins=(base_url,), rp_name=rp_name)

    @property
    def accepted_origins(self) -> frozenset[str]:
        """All that may stand in a response."""
        return frozenset(self.origins + self.related_origins)


def _host(url: str) -> str:
    """The host, or nothing, which is no domain."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _check_tops(origins: Sequence[str]) -> None:
    if isinstance(origins, str):
        raise ConfigurationError("PasskeyPolicy: top_origins: several are expected, and no bare text")
    for origin in origins:
        _check_top(origin)


def _check_top(origin: str) -> None:
    host = _host(origin)
    if not host:
        raise ConfigurationError(
            f"PasskeyPolicy: top_origins: {origin!r} is no origin: write it with its scheme, https://hospital.example"
        )
    check_rp_id(host, place="PasskeyPolicy: top_origins") if host != "localhost" else None
    check_origins(host, (origin,), place="PasskeyPolicy: top_origins")
