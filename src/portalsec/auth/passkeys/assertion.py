"""The kernel of a sign-in with a passkey (WebAuthn Level 3 section 7.2): pure, and on `cryptography` alone.

The signature is checked here and not through the webauthn package. Measured on one machine, as multiples of the bare ES256
check: this kernel with every step 1.8, the package without most of them 1.9; both in a row would miss the bound of 2.2, and
a worker that only signs people in never pays for the package's import (270 ms, 25 MiB). The package is asked at
registration, and tests ask it about every answer that is accepted here.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from portalsec.auth.passkeys.authenticator_data import (
    AuthenticatorData,
    MalformedData,
    read_authenticator_data,
)
from portalsec.auth.passkeys.checks import Check, Refusal
from portalsec.auth.passkeys.client_data import ASSERTION, RelyingParty, check_client_data, check_flags
from portalsec.auth.passkeys.cose import UnsoundKey, load_key
from portalsec.auth.passkeys.messages import AssertionMessage
from portalsec.auth.ports import Passkey

__all__ = [
    "NOBODY",
    "Assertion",
    "Expected",
    "check_credential",
    "counter_regressed",
    "credential_reference",
    "verify_assertion",
]

NOBODY: Final = Passkey(
    id="nobody",
    account_id="",
    credential_id=b"",
    user_handle=b"",
    # The base point of P-256 (SP 800-186), whose private key is 1: what it verifies is thrown away.
    public_key=bytes.fromhex(
        "a5010203262001215820"
        "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
        "225820"
        "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
    ),
    algorithm=-7,
    sign_count=0,
    label="",
    aaguid="",
    transports=(),
    backup_eligible=False,
    backed_up=False,
    user_verified=False,
    attested=False,
    discoverable=None,
    created_at=datetime.min.replace(tzinfo=UTC),
)
"""Of no account and in no store: an answer for a credential that is not there is checked against it, for the time it takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What an answer must fit.

    Attributes:
        challenge: base64url text, as it was given out.
        user_verified: whether the authenticator must have verified its user.
        account_id: whose passkey it must be, or None where the answer itself decides.
        allowed: ids of `Passkey`s or of credentials, as `credential_reference` makes them, that were asked for; None
            where any discoverable one was.
    """

    challenge: str
    user_verified: bool
    account_id: str | None
    allowed: Collection[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """A verified answer.

    Attributes:
        sign_count: its counter, which `counter_regressed` judges.
    """

    user_verified: bool
    backed_up: bool
    sign_count: int


def credential_reference(credential_id: bytes) -> str:
    """A credential id as a challenge remembers it: twenty ids of 1023 bytes would not fit into its 4 KiB."""
    return hashlib.sha256(credential_id).hexdigest()[:32]


def check_credential(message: AssertionMessage, passkey: Passkey | None, expected: Expected) -> Passkey:
    """That this credential may answer this challenge: steps 5 and 6 of section 7.2, before anything is computed.

    Args:
        passkey: the record of the message's credential id, or None.

    Raises:
        Refusal: A-allow, A-user, A-disabled.
    """
    allowed = expected.allowed
    if allowed is not None and credential_reference(message.credential_id) not in allowed:
        raise Refusal(Check.A_ALLOW)
    if passkey is None or passkey.credential_id != message.credential_id:
        raise Refusal(Check.A_ALLOW)
    if expected.account_id is not None and passkey.account_id != expected.account_id:
        # A right answer of another person's passkey opens nothing here (GHSA-f66q-9rf6-8795).
        raise Refusal(Check.A_USER)
    handle = message.user_handle
    if handle is None and (expected.account_id is None or allowed is None):
        raise Refusal(Check.A_USER)  # nobody was named, so the authenticator has to say who it is
    if handle is not None and handle != passkey.user_handle:
        raise Refusal(Check.A_USER)
    if passkey.disabled_at is not None:
        raise Refusal(Check.A_DISABLED)
    return passkey


def verify_assertion(
    message: AssertionMessage, passkey: Passkey, expected: Expected, party: RelyingParty
) -> Assertion:
    """Steps 7 to 21 of section 7.2. Pure.

    Raises:
        Refusal: the step that it fails. Whatever the message holds, no other exception.
    """
    check_client_data(message.client_data, ASSERTION, expected.challenge, party)
    data = _read(message.authenticator_data)
    check_flags(data, ASSERTION, party, user_present=True, user_verified=expected.user_verified)
    # The signature before the record's flag: else a flag alone, which anybody can send, would decide whether it is checked,
    # and time would tell a synced passkey from `NOBODY`.
    if not _signed(passkey, message.signature, data.raw + hashlib.sha256(message.client_data).digest()):
        raise Refusal(Check.A_SIG)
    if data.backup_eligible != passkey.backup_eligible:
        # It never changes (section 6.1.3): another authenticator answered, or the record is not this credential's.
        raise Refusal(Check.A_BE)
    return Assertion(user_verified=data.user_verified, backed_up=data.backed_up, sign_count=data.sign_count)


def counter_regressed(stored: int, received: int) -> bool:
    """Step 22: whether there may be a second copy. Both zero means that the authenticator does not count."""
    return (stored != 0 or received != 0) and received <= stored


def _read(raw: bytes) -> AuthenticatorData:
    data = None
    with contextlib.suppress(MalformedData):
        data = read_authenticator_data(raw)
    if data is None or data.credential is not None:
        raise Refusal(Check.A_AUTHDATA)
    return data


def _signed(passkey: Passkey, signature: bytes, signed: bytes) -> bool:
    try:
        key = load_key(passkey.public_key)
    except UnsoundKey:
        return False
    # The record says the algorithm, so that a stored key that was swapped for one of another kind verifies nothing.
    return key.algorithm == passkey.algorithm and key.verifies(signature, signed)
