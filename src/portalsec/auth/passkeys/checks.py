"""The closed list of what a passkey's response can be refused for, and the error that says which it was.

The names are the rows of the relying party's steps (W3C WebAuthn Level 3, sections 7.1 "R-" and 7.2 "A-"), so that the
log says which step refused; the visitor sees one face for all. The last ones are portalsec's own.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Check", "Refusal"]


class Check(StrEnum):
    """Which step refused."""

    R_TYPE = "R-type"
    R_CHALLENGE = "R-challenge"
    R_ORIGIN = "R-origin"
    R_CROSS_ORIGIN = "R-crossOrigin"
    R_TOP_ORIGIN = "R-topOrigin"
    R_JSON = "R-json"
    R_CBOR = "R-cbor"
    R_RPID = "R-rpid"
    R_UP = "R-up"
    R_UV = "R-uv"
    R_BS = "R-bs"
    R_AUTHDATA = "R-authdata"
    R_ALG = "R-alg"
    R_KEY = "R-key"
    R_FMT = "R-fmt"
    R_ATTSTMT = "R-attstmt"
    R_CID = "R-cid"
    R_DUP = "R-dup"
    A_ALLOW = "A-allow"
    A_USER = "A-user"
    A_TYPE = "A-type"
    A_CHALLENGE = "A-challenge"
    A_ORIGIN = "A-origin"
    A_CROSS_ORIGIN = "A-crossOrigin"
    A_TOP_ORIGIN = "A-topOrigin"
    A_RPID = "A-rpid"
    A_UP = "A-up"
    A_UV = "A-uv"
    A_BS = "A-bs"
    A_BE = "A-be"
    A_SIG = "A-sig"
    A_COUNT = "A-count"
    A_AUTHDATA = "A-authdata"
    A_SHAPE = "A-shape"
    # -- not rows of the standard --
    R_SHAPE = "R-shape"  # the message around the attestation is not what a browser sends
    R_TRUST = "R-trust"  # the attestation policy does not have this make of authenticator
    R_PACKAGE = "R-package"  # the webauthn package refuses what passed every step here
    R_LIMIT = "R-limit"  # the account has as many passkeys as the policy lets it have
    A_JSON = "A-json"  # client data that are no unambiguous, bounded JSON object
    A_RECORD = "A-record"  # the stored record is not what was registered: somebody wrote to the database
    A_DISABLED = "A-disabled"  # a copy of it was suspected, and the policy disabled it


_MALFORMED = frozenset(
    {
        Check.R_JSON,
        Check.R_CBOR,
        Check.R_SHAPE,
        Check.R_AUTHDATA,
        Check.A_JSON,
        Check.A_SHAPE,
        Check.A_AUTHDATA,
    }
)


class Refusal(Exception):
    """A step refused; inside this package only. The service turns it into one `portalsec.errors.Denied`.

    Attributes:
        check: which step.
    """

    def __init__(self, check: Check) -> None:
        super().__init__(check)
        self.check = check

    @property
    def malformed(self) -> bool:
        """Whether what came is no message at all, rather than one that is not right."""
        return self.check in _MALFORMED
