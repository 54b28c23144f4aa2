"""The steps on client data that registration and sign-in share (sections 7.1 and 7.2 of WebAuthn Level 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from portalsec.auth.passkeys.authenticator_data import AuthenticatorData
from portalsec.auth.passkeys.checks import Check, Refusal
from portalsec.auth.passkeys.messages import read_client_data

__all__ = ["ASSERTION", "REGISTRATION", "Ceremony", "RelyingParty", "check_client_data", "check_flags"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RelyingParty:
    """Who we are and whom we expect.

    Attributes:
        rp_id_hash: SHA-256 of the RP id.
        origins: that may stand in a response, exactly.
        top_origins: that may stand around such a page; empty where it may stand in no frame of another origin.
    """

    rp_id_hash: bytes
    origins: frozenset[str]
    top_origins: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceremony:
    """One of the two, and the names of its steps."""

    client_type: str
    json: Check
    type: Check
    challenge: Check
    origin: Check
    cross_origin: Check
    top_origin: Check
    rp_id: Check
    user_present: Check
    user_verified: Check
    backup: Check


REGISTRATION: Final = Ceremony(
    client_type="webauthn.create",
    json=Check.R_JSON,
    type=Check.R_TYPE,
    challenge=Check.R_CHALLENGE,
    origin=Check.R_ORIGIN,
    cross_origin=Check.R_CROSS_ORIGIN,
    top_origin=Check.R_TOP_ORIGIN,
    rp_id=Check.R_RPID,
    user_present=Check.R_UP,
    user_verified=Check.R_UV,
    backup=Check.R_BS,
)
ASSERTION: Final = Ceremony(
    client_type="webauthn.get",
    json=Check.A_JSON,
    type=Check.A_TYPE,
    challenge=Check.A_CHALLENGE,
    origin=Check.A_ORIGIN,
    cross_origin=Check.A_CROSS_ORIGIN,
    top_origin=Check.A_TOP_ORIGIN,
    rp_id=Check.A_RPID,
    user_present=Check.A_UP,
    user_verified=Check.A_UV,
    backup=Check.A_BS,
)


def check_client_data(raw: bytes, steps: Ceremony, challenge: str, party: RelyingParty) -> None:
    """Type, challenge, origin, and the page around it.

    Args:
        challenge: the one that was given out, as base64url text, which is how it is compared: decoding first would take
            several texts for one challenge.

    Raises:
        Refusal: the step that it fails.
    """
    data = read_client_data(raw, steps.json, steps.cross_origin, steps.top_origin)
    if data.type != steps.client_type:
        raise Refusal(steps.type)
    if data.challenge != challenge or not challenge:
        raise Refusal(steps.challenge)
    if data.origin not in party.origins:
        raise Refusal(steps.origin)
    # A page in a frame that its user does not see can ask for a touch: only declared pages may stand around ours.
    if data.cross_origin and not party.top_origins:
        raise Refusal(steps.cross_origin)
    if data.top_origin is not None and not (data.cross_origin and data.top_origin in party.top_origins):
        raise Refusal(steps.top_origin)


def check_flags(
    data: AuthenticatorData,
    steps: Ceremony,
    party: RelyingParty,
    *,
    user_present: bool,
    user_verified: bool,
) -> None:
    """RP id, presence and verification where they are required, and backup state only with eligibility.

    Raises:
        Refusal: the step that it fails.
    """
    if data.rp_id_hash != party.rp_id_hash:
        raise Refusal(steps.rp_id)
    if user_present and not data.user_present:
        raise Refusal(steps.user_present)
    if user_verified and not data.user_verified:
        raise Refusal(steps.user_verified)
    if data.backed_up and not data.backup_eligible:
        raise Refusal(steps.backup)
