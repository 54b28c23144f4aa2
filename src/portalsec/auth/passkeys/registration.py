"""The kernel of a registration (WebAuthn Level 3 section 7.1): every step, before and after the webauthn package's own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from uuid import UUID

from portalsec.auth.passkeys.authenticator_data import (
    AttestedCredential,
    AuthenticatorData,
    MalformedData,
    make_of,
    read_authenticator_data,
)
from portalsec.auth.passkeys.cbor import Item, MalformedCbor, read
from portalsec.auth.passkeys.checks import Check, Refusal
from portalsec.auth.passkeys.client_data import REGISTRATION, RelyingParty, check_client_data, check_flags
from portalsec.auth.passkeys.cose import UnsoundKey, key_algorithm, load_key
from portalsec.auth.passkeys.messages import RegistrationMessage

__all__ = ["ExpectedRegistration", "Registered", "Statement", "verify_registration"]

_MAX_CREDENTIAL_ID = 1023


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedRegistration:
    """What a response must fit.

    Attributes:
        challenge: base64url text, as it was given out.
        algorithms: that were offered.
        user_verified: whether the authenticator must have verified its user.
        user_present: whether somebody must have touched it; not in a conditional creation (section 7.1 step 15).
    """

    challenge: str
    algorithms: Collection[int]
    user_verified: bool
    user_present: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """An attestation statement and what it is about.

    Attributes:
        format: its name, any text.
        members: the statement.
        data: the authenticator data, with a credential.
        client_data: bytes of clientDataJSON.
    """

    format: str
    members: dict[int | str, Item] = field(repr=False)
    data: AuthenticatorData
    client_data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A verified new credential; see `portalsec.auth.ports.Passkey`."""

    credential_id: bytes = field(repr=False)
    public_key: bytes = field(repr=False)
    algorithm: int
    sign_count: int
    aaguid: str
    backup_eligible: bool
    backed_up: bool
    user_verified: bool
    attested: bool


def verify_registration(
    message: RegistrationMessage,
    expected: ExpectedRegistration,
    party: RelyingParty,
    *,
    second_opinion: Callable[[RegistrationMessage, AuthenticatorData, ExpectedRegistration], bool],
    attest: Callable[[Statement], bool],
) -> Registered:
    """Steps 5 to 25 of section 7.1, but for whether the credential is registered already. Pure, where the callables are.

    Args:
        second_opinion: whether the webauthn package takes it too; asked once everything else but the statement is right.
        attest: verifies the statement and says whether it proves the authenticator's make; raises `Refusal`.

    Raises:
        Refusal: the step that it fails. Whatever the message holds, no other exception.
    """
    check_client_data(message.client_data, REGISTRATION, expected.challenge, party)
    statement = _statement(message)
    data = statement.data
    check_flags(
        data,
        REGISTRATION,
        party,
        user_present=expected.user_present,
        user_verified=expected.user_verified,
    )
    credential = _credential(data)
    if (
        not 0 < len(credential.credential_id) <= _MAX_CREDENTIAL_ID
        or credential.credential_id != message.credential_id
    ):
        raise Refusal(Check.R_CID)
    algorithm = _algorithm(credential.public_key, expected.algorithms)
    if not second_opinion(message, data, expected):
        raise Refusal(Check.R_PACKAGE)
    attested = attest(statement)
    return Registered(
        credential_id=credential.credential_id,
        public_key=credential.public_key,
        algorithm=algorithm,
        sign_count=data.sign_count,
        aaguid=str(UUID(bytes=make_of(statement.format, credential))),
        backup_eligible=data.backup_eligible,
        backed_up=data.backed_up,
        user_verified=data.user_verified,
        attested=attested,
    )


def _statement(message: RegistrationMessage) -> Statement:
    """The attestation object: one map with its three members, read to the last byte."""
    members: Item = None
    with contextlib.suppress(MalformedCbor):
        members = read(message.attestation_object)
    if not isinstance(members, dict) or members.keys() != {"fmt", "attStmt", "authData"}:
        raise Refusal(Check.R_CBOR)
    name, inner, raw = members["fmt"], members["attStmt"], members["authData"]
    if not isinstance(name, str) or not isinstance(inner, dict) or not isinstance(raw, bytes):
        raise Refusal(Check.R_CBOR)
    data = None
    with contextlib.suppress(MalformedData):
        data = read_authenticator_data(raw)
    if data is None:
        raise Refusal(Check.R_AUTHDATA)
    return Statement(format=name, members=inner, data=data, client_data=message.client_data)


def _credential(data: AuthenticatorData) -> AttestedCredential:
    if data.credential is None:
        raise Refusal(Check.R_AUTHDATA)
    return data.credential


def _algorithm(public_key: bytes, offered: Collection[int]) -> int:
    """The key's algorithm, where it is offered and the key is sound."""
    check = Check.R_KEY
    try:
        if key_algorithm(public_key) in offered:
            return load_key(public_key).algorithm
        check = Check.R_ALG
    except UnsoundKey:
        pass
    raise Refusal(check)
