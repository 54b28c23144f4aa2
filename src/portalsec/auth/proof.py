"""`Proof`: that a factor was shown, as a plain value that pending sign-ins and sessions keep.

A proof in itself opens nothing: anybody can build one. What opens a session is `portalsec.auth.evidence.Evidence`,
which only the verifiers of `portalsec.auth` make, and which carries one of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

__all__ = ["KIND", "Factor", "Kind", "Proof"]


class Factor(StrEnum):
    """What can be shown at the door."""

    PASSWORD = "password"  # noqa: S105
    TOTP = "totp"
    PASSKEY = "passkey"
    RECOVERY_CODE = "recovery_code"
    EMAIL_CODE = "email_code"  # a code or a link that was mailed
    SMS_CODE = "sms_code"


class Kind(StrEnum):
    """What two factors must differ in to count as two (SP 800-63B-4 section 2.2.1)."""

    KNOWLEDGE = "knowledge"
    POSSESSION = "possession"


KIND: Final[Mapping[Factor, Kind]] = MappingProxyType(
    {
        Factor.PASSWORD: Kind.KNOWLEDGE,
        Factor.TOTP: Kind.POSSESSION,
        Factor.PASSKEY: Kind.POSSESSION,  # with user verification it is both: see `portalsec.auth.assurance`
        Factor.RECOVERY_CODE: Kind.POSSESSION,
        Factor.EMAIL_CODE: Kind.POSSESSION,
        Factor.SMS_CODE: Kind.POSSESSION,
    }
)
"""The kind of each factor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One factor that was shown.

    Attributes:
        factor: which.
        at: when it was shown; freshness counts from here and from nothing else.
        authenticator: id of the device, credential or contact; None for a password and for recovery codes.
        user_verified: a passkey whose authenticator verified its user (PIN, finger, face).
        device_bound: a passkey that cannot be copied to another device (not backup-eligible).
        attested: a passkey whose make was proven by a verified attestation at registration.
        explicit: shown because an open session asked for it (step-up), not on the way in.
        through: by which factor this one was set a moment ago (a password that was chosen through a mailed link): beside
            that factor it proves nothing more. None otherwise.
    """

    factor: Factor
    at: datetime
    authenticator: str | None = None
    user_verified: bool = False
    device_bound: bool = False
    attested: bool = False
    explicit: bool = False
    through: Factor | None = None

    @property
    def phishing_resistant(self) -> bool:
        """Whether it is bound to this very site by its protocol (SP 800-63B-4, section 3.2.5): a passkey, and nothing else."""
        return self.factor is Factor.PASSKEY

    @property
    def replay_resistant(self) -> bool:
        """Whether what was shown is worth nothing to whoever records it (section 3.2.7): all but the password, since no
        code and no challenge is accepted twice."""
        return self.factor is not Factor.PASSWORD
