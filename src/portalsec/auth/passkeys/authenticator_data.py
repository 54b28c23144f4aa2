"""Authenticator data (WebAuthn Level 3 section 6.1): what an authenticator signs, read strictly."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from portalsec.auth.passkeys.cbor import MalformedCbor, read_first

__all__ = ["AttestedCredential", "AuthenticatorData", "MalformedData", "make_of", "read_authenticator_data"]

_FIXED: Final = 37  # 32 of the RP id's hash, one of flags, four of the counter
_UP, _UV, _BE, _BS, _AT, _ED = 0x01, 0x04, 0x08, 0x10, 0x40, 0x80
_MAX: Final = 32 * 1024


class MalformedData(Exception):
    """Lengths that do not fit, something that follows, or a flag without what it announces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttestedCredential:
    """A new credential (section 6.5.1).

    Attributes:
        aaguid: the authenticator's make, 16 bytes; zeros where it does not say.
        credential_id: of any length; its bounds are another step's.
        public_key: the COSE key's bytes, one CBOR map.
    """

    aaguid: bytes
    credential_id: bytes = field(repr=False)
    public_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticatorData:
    """Read, and as it came.

    Attributes:
        raw: all bytes, which the signature covers.
        rp_id_hash: SHA-256 of the RP id that the authenticator saw.
        user_present, user_verified, backup_eligible, backed_up: flags UP, UV, BE, BS.
        sign_count: the signature counter, or 0.
        credential: attested credential data, or None where there are none (flag AT).
    """

    raw: bytes = field(repr=False)
    rp_id_hash: bytes
    user_present: bool
    user_verified: bool
    backup_eligible: bool
    backed_up: bool
    sign_count: int
    credential: AttestedCredential | None


def make_of(form: object, credential: AttestedCredential) -> bytes:
    """The AAGUID that counts under an attestation statement format: zeros for "fido-u2f".

    What a U2F key signs (section 8.6) has no AAGUID in it, so that one in its authenticator data is the sender's word alone.
    """
    return bytes(16) if form == "fido-u2f" else credential.aaguid


def read_authenticator_data(raw: bytes) -> AuthenticatorData:
    """Flags and lengths must account for every byte. Raises `MalformedData`. Pure."""
    if not _FIXED <= len(raw) <= _MAX:
        raise MalformedData
    flags = raw[32]
    at = _FIXED
    credential = None
    if flags & _AT:
        credential, at = _credential(raw, at)
    if flags & _ED:
        at = _map_end(raw, at)
    if at != len(raw):
        # Extension outputs without their flag, or anything else that nobody reads but the signature covers.
        raise MalformedData
    return AuthenticatorData(
        raw=raw,
        rp_id_hash=raw[:32],
        user_present=bool(flags & _UP),
        user_verified=bool(flags & _UV),
        backup_eligible=bool(flags & _BE),
        backed_up=bool(flags & _BS),
        sign_count=int.from_bytes(raw[33:37], "big"),
        credential=credential,
    )


def _credential(raw: bytes, at: int) -> tuple[AttestedCredential, int]:
    if len(raw) < at + 18:
        raise MalformedData
    key_at = at + 18 + int.from_bytes(raw[at + 16 : at + 18], "big")
    end = _map_end(raw, key_at)
    return AttestedCredential(
        aaguid=raw[at : at + 16], credential_id=raw[at + 18 : key_at], public_key=raw[key_at:end]
    ), end


def _map_end(raw: bytes, at: int) -> int:
    """Where the CBOR map that begins at ``at`` ends."""
    end = -1
    try:
        item, end = read_first(raw, at)
    except MalformedCbor:
        item = None
    if not isinstance(item, dict):
        raise MalformedData
    return end
