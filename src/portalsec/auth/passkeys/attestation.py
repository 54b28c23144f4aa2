"""`AttestationPolicy`: whether the make of an authenticator must be proven, and by whose certificates.

Most portals need none: ``AttestationPolicy.NONE`` asks browsers for nothing, so they do not ask their users either. A portal
whose staff carry keys of a few makes lists the makers' roots, or FIDO's metadata (`portalsec.auth.passkeys.metadata`).

Nothing is trusted by default: a chain that ends at no root of the policy proves nothing, and a policy that requires proof
without having any root cannot be built.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Final
from uuid import UUID

from cryptography.x509 import Certificate

from portalsec.auth.passkeys import certificates
from portalsec.auth.passkeys.authenticator_data import AuthenticatorData, make_of
from portalsec.auth.passkeys.cbor import Item
from portalsec.auth.passkeys.certificates import SHA1_ALGORITHMS
from portalsec.auth.passkeys.checks import Check, Refusal
from portalsec.auth.passkeys.metadata import Metadata
from portalsec.auth.passkeys.statements import Claim, WrongStatement, android_key, apple, fido_u2f, packed
from portalsec.auth.passkeys.tpm import tpm
from portalsec.errors import ConfigurationError

__all__ = ["FORMATS", "AttestationPolicy", "verify_attestation"]

_BY_FORMAT: Final[Mapping[str, Callable[[Claim], tuple[Certificate, ...]]]] = {
    "packed": packed,
    "tpm": tpm,
    "android-key": android_key,
    "apple": apple,
    "fido-u2f": fido_u2f,
}
FORMATS: Final = frozenset(_BY_FORMAT)
"""Attestation statement formats that can prove a make; "none" proves nothing. (SafetyNet is gone since 2025.)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttestationPolicy:
    """What a registration has to prove about the make of its authenticator.

    Attributes:
        required: whether a registration without a proven make is refused.
        roots: certificates of makers, each as PEM or DER, for any make that they vouch for.
        metadata: FIDO's, whose roots count each for its own make alone, and whose warnings refuse one.
        aaguids: the only makes, as UUIDs in lower case; None for any. Needs ``required``: an unproven make is anybody's claim.
            (Keys that attest as "fido-u2f" have none: zeros. Metadata knows them by their certificates.)
        sha1: whether statements signed over SHA-1 prove anything, as TPMs of Windows computers before 2022 make them. Where
            no proof is required they are taken without it.
        software: whether an Android key counts that only the software of the phone vouches for, not its hardware.
    """

    NONE: ClassVar[AttestationPolicy]

    required: bool = False
    roots: tuple[bytes, ...] = field(default=(), repr=False)
    metadata: Metadata | None = None
    aaguids: frozenset[str] | None = None
    sha1: bool = False
    software: bool = False
    _roots: tuple[Certificate, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        loaded: tuple[Certificate, ...] | None = None
        with contextlib.suppress(certificates.UnsoundCertificate):
            loaded = certificates.load_roots(self.roots)
        if loaded is None:
            raise ConfigurationError("attestation.roots: one of them is no certificate in PEM or DER")
        object.__setattr__(self, "_roots", loaded)
        if self.required and not loaded and self.metadata is None:
            raise ConfigurationError(
                "attestation.required: no make can be proven without attestation.roots or attestation.metadata: give one"
            )
        if self.aaguids is not None:
            if not self.required:
                raise ConfigurationError(
                    "attestation.aaguids: without attestation.required anybody can claim any make: set it, or drop the list"
                )
            for each in self.aaguids:
                if not _is_aaguid(each):
                    raise ConfigurationError(f"attestation.aaguids: {each!r} is not a UUID in lower case")

    @property
    def conveyance(self) -> str:
        """What the options ask of the browser (section 5.4.7)."""
        return "direct" if self._roots or self.metadata is not None else "none"


def _is_aaguid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


AttestationPolicy.NONE = AttestationPolicy()


def verify_attestation(
    policy: AttestationPolicy,
    form: object,
    statement: Item,
    data: AuthenticatorData,
    *,
    client_data_hash: bytes,
    now: datetime,
) -> bool:
    """Steps 20 to 24 of section 7.1. Pure; a millisecond for a chain of three.

    Args:
        policy: of the portal.
        form: ``fmt`` of the attestation object, as it was read.
        statement: its ``attStmt``.
        data: its ``authData``, with attested credential data whose key is sane.
        client_data_hash: SHA-256 of clientDataJSON.
        now: aware UTC; certificates are valid or not as of it.

    Returns:
        Whether the make is proven: a statement that holds, whose chain ends at a root that the policy has for it. False
        for "none", self attestation and, where proof is not required, chains of strangers.

    Raises:
        Refusal: R-fmt (a format that is none of ours), R-attstmt (a statement that does not hold), R-trust (the policy
            does not have this make, or FIDO warns of it).
    """
    if data.credential is None or not isinstance(statement, dict):
        raise Refusal(Check.R_ATTSTMT)
    if form == "none":
        if statement:
            raise Refusal(Check.R_FMT)
        chain: tuple[Certificate, ...] = ()
    else:
        verify = _BY_FORMAT.get(form) if isinstance(form, str) else None
        if verify is None:
            raise Refusal(Check.R_FMT)
        claim = Claim(
            statement=statement,
            authenticator_data=data.raw,
            client_data_hash=client_data_hash,
            aaguid=data.credential.aaguid,
            credential_id=data.credential.credential_id,
            public_key=data.credential.public_key,
            sha1=policy.sha1 or not policy.required,
            software=policy.software,
        )
        found = None
        with contextlib.suppress(WrongStatement, certificates.UnsoundCertificate):
            found = verify(claim)
        if found is None:
            raise Refusal(Check.R_ATTSTMT)
        over_sha1 = statement.get("alg") in SHA1_ALGORITHMS
        chain = () if over_sha1 and not policy.sha1 else found
    aaguid = str(UUID(bytes=make_of(form, data.credential)))
    roots = policy._roots
    if policy.metadata is not None:
        # A U2F key has no AAGUID: its make is that of its certificate, which the statement was verified with.
        make = (policy.metadata.key_of(chain) if form == "fido-u2f" else None) or aaguid
        if policy.metadata.warns_of(make):
            raise Refusal(Check.R_TRUST)
        roots += policy.metadata.roots_of(make, now=now)
    proven = certificates.chains_to(chain, roots, now=now)
    if policy.required and not (proven and (policy.aaguids is None or aaguid in policy.aaguids)):
        raise Refusal(Check.R_TRUST)
    return proven
