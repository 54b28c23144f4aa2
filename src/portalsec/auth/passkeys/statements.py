"""Attestation statements: who says which make an authenticator is, each format by its own procedure.

WebAuthn Level 3 sections 8.2 (packed), 8.4 (android-key), 8.6 (fido-u2f) and 8.8 (apple); tpm is in
`portalsec.auth.passkeys.tpm`. A statement is checked here in itself: its signature, and that it is about this credential.
Whether its certificates are anybody's to trust is `portalsec.auth.passkeys.attestation`'s question.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import Certificate
from cryptography.x509.oid import NameOID

from portalsec.auth.passkeys import certificates, cose, der
from portalsec.auth.passkeys.cbor import Item, MalformedCbor, read
from portalsec.auth.passkeys.certificates import MOST_CERTIFICATES, SHA1_ALGORITHMS

__all__ = ["Claim", "WrongStatement", "android_key", "apple", "chain_of", "fido_u2f", "packed", "same_key"]

_FIDO_AAGUID: Final = "1.3.6.1.4.1.45724.1.1.4"
_APPLE_NONCE: Final = "1.2.840.113635.100.8.2"
_ANDROID_KEY: Final = "1.3.6.1.4.1.11129.2.1.17"
_PURPOSE, _ALL_APPLICATIONS, _ORIGIN = 1, 600, 702  # of Android's AuthorizationList
_SIGN, _GENERATED = 2, 0
_CURVES: Final = {"secp256r1": 1, "secp384r1": 2, "secp521r1": 3}  # their names in SEC 2 -> COSE


class WrongStatement(Exception):
    """It does not hold, or is not about this credential."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A statement and what it is about.

    Attributes:
        statement: attStmt, read.
        authenticator_data: its bytes.
        client_data_hash: SHA-256 of clientDataJSON.
        aaguid: 16 bytes.
        credential_id: of the new credential.
        public_key: its COSE key, which `portalsec.auth.passkeys.cose.load_key` took.
        sha1: whether signatures over SHA-1 count.
        software: whether an Android key that its hardware does not vouch for proves anything.
    """

    statement: Mapping[int | str, Item]
    authenticator_data: bytes
    client_data_hash: bytes
    aaguid: bytes
    credential_id: bytes
    public_key: bytes
    sha1: bool = False
    software: bool = False

    @property
    def signed(self) -> bytes:
        """What most formats sign."""
        return self.authenticator_data + self.client_data_hash

    def members(self, *required: str, optional: tuple[str, ...] = ()) -> None:
        """Refuse a statement with other members than these."""
        names = self.statement.keys()
        if not names >= set(required) or not names <= {*required, *optional}:
            raise WrongStatement

    def algorithm(self) -> int:
        """Its ``alg``."""
        value = self.statement.get("alg")
        if type(value) is not int or (value in SHA1_ALGORITHMS and not self.sha1):
            raise WrongStatement
        return value


def chain_of(claim: Claim) -> tuple[Certificate, ...]:
    """The certificates of ``x5c``, the leaf first; the leaf is none that issues others."""
    x5c = claim.statement.get("x5c")
    if not isinstance(x5c, list) or not 1 <= len(x5c) <= MOST_CERTIFICATES:
        raise WrongStatement
    chain: tuple[Certificate, ...] | None = None
    with contextlib.suppress(certificates.UnsoundCertificate):
        chain = tuple(certificates.load(each) for each in x5c)
    if chain is None or certificates.is_authority(chain[0]):
        raise WrongStatement
    return chain


def same_key(certificate: Certificate, public_key: bytes) -> bool:
    """Whether a certificate's key is a COSE key, by its numbers."""
    try:
        members = read(public_key)
        key = certificate.public_key()
    except (MalformedCbor, ValueError):
        return False
    if not isinstance(members, dict):
        return False
    first, second = members.get(-2), members.get(-3)
    if isinstance(key, rsa.RSAPublicKey):
        numbers, modulus = key.public_numbers(), members.get(-1)
        return (
            members.get(1) == 3
            and isinstance(modulus, bytes)
            and isinstance(first, bytes)
            and (int.from_bytes(modulus, "big"), int.from_bytes(first, "big")) == (numbers.n, numbers.e)
        )
    if not isinstance(key, ec.EllipticCurvePublicKey) or members.get(1) != 2:
        return False
    point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return (
        members.get(-1) == _CURVES.get(key.curve.name)
        and isinstance(first, bytes)
        and isinstance(second, bytes)
        and point == b"\x04" + first + second
    )


def packed(claim: Claim) -> tuple[Certificate, ...]:
    """Section 8.2. The chain, or nothing for self attestation."""
    algorithm = claim.algorithm()
    if "x5c" not in claim.statement:
        claim.members("alg", "sig")
        return _self_attested(claim, algorithm)
    claim.members("alg", "sig", "x5c")
    chain = chain_of(claim)
    leaf = chain[0]
    if not certificates.verifies(leaf, algorithm, claim.statement["sig"], claim.signed):
        raise WrongStatement
    # Section 8.2.1. Country, organisation, unit and name: each once, the unit with the one text it must have.
    subject = {
        oid: [str(each.value) for each in leaf.subject.get_attributes_for_oid(oid)]
        for oid in (
            NameOID.COUNTRY_NAME,
            NameOID.ORGANIZATION_NAME,
            NameOID.ORGANIZATIONAL_UNIT_NAME,
            NameOID.COMMON_NAME,
        )
    }
    if not all(subject.values()) or subject[NameOID.ORGANIZATIONAL_UNIT_NAME] != [
        "Authenticator Attestation"
    ]:
        raise WrongStatement
    _constrained(leaf)
    _of_make(leaf, claim.aaguid)
    return chain


def _self_attested(claim: Claim, algorithm: int) -> tuple[Certificate, ...]:
    signature, key = claim.statement["sig"], None
    with contextlib.suppress(cose.UnsoundKey):
        key = cose.load_key(claim.public_key)
    if (
        key is None
        or key.algorithm != algorithm
        or not isinstance(signature, bytes)
        or not key.verifies(signature, claim.signed)
    ):
        raise WrongStatement
    return ()


def fido_u2f(claim: Claim) -> tuple[Certificate, ...]:
    """Section 8.6: one certificate, keys on P-256, a message of U2F's own form."""
    claim.members("sig", "x5c")
    chain = chain_of(claim)
    key = read(claim.public_key)
    if len(chain) != 1 or not isinstance(key, dict) or key.get(3) != -7 or key.get(-1) != 1:
        raise WrongStatement
    x, y = key.get(-2), key.get(-3)
    if not isinstance(x, bytes) or not isinstance(y, bytes):
        raise WrongStatement
    message = (
        b"\x00"
        + claim.authenticator_data[:32]
        + claim.client_data_hash
        + claim.credential_id
        + b"\x04"
        + x
        + y
    )
    if not certificates.verifies(chain[0], -7, claim.statement["sig"], message):
        raise WrongStatement
    return chain


def apple(claim: Claim) -> tuple[Certificate, ...]:
    """Section 8.8: the certificate is of the credential's own key and has a nonce of what would be signed."""
    claim.members("x5c", optional=("alg",))  # which early versions sent
    chain = chain_of(claim)
    nonce = b""
    value = certificates.extension(chain[0], _APPLE_NONCE) or b""
    try:
        (tagged,) = der.elements(der.one(value).expect(der.SEQUENCE))
        nonce = der.one(tagged.expect(der.CONTEXT | 1)).expect(der.OCTETS)
    except (der.MalformedDer, ValueError):
        pass
    if nonce != hashlib.sha256(claim.signed).digest() or not same_key(chain[0], claim.public_key):
        raise WrongStatement
    return chain


def android_key(claim: Claim) -> tuple[Certificate, ...]:
    """Section 8.4: the certificate is of the credential's own key, which was made on the device, for signing, for one app.

    Where only Android's software says so and not its trusted environment, nothing is proven: no chain, but for ``software``.
    """
    claim.members("alg", "sig", "x5c")
    chain = chain_of(claim)
    leaf = chain[0]
    if not certificates.verifies(
        leaf, claim.algorithm(), claim.statement["sig"], claim.signed
    ) or not same_key(leaf, claim.public_key):
        raise WrongStatement
    in_hardware: bool | None = None
    with contextlib.suppress(der.MalformedDer, certificates.UnsoundCertificate):
        in_hardware = _made_for_signing(
            certificates.extension(leaf, _ANDROID_KEY) or b"", claim.client_data_hash
        )
    if in_hardware is None:
        raise WrongStatement
    return chain if in_hardware or claim.software else ()


def _made_for_signing(value: bytes, challenge: bytes) -> bool:
    """Of the KeyDescription (Android, "key attestation extension data schema"): whether the hardware vouches for it.

    Raises `MalformedDer` where it is not about this challenge, or either list says something else.
    """
    fields = der.elements(der.one(value).expect(der.SEQUENCE))
    if len(fields) < 8 or fields[4].expect(der.OCTETS) != challenge:
        raise der.MalformedDer
    in_hardware = fields[1].number(der.ENUMERATED) > 0  # the attestation's own security level: 0 is software
    for number, field in enumerate(fields[6:8]):
        said = {each.tag & ~der.CONTEXT: each for each in der.elements(field.expect(der.SEQUENCE))}
        if _ALL_APPLICATIONS in said:
            raise der.MalformedDer
        if _ORIGIN in said and der.one(said[_ORIGIN].content).number() != _GENERATED:
            raise der.MalformedDer
        if _PURPOSE in said:
            purposes = der.elements(der.one(said[_PURPOSE].content).expect(der.SET))
            if [each.number() for each in purposes] != [_SIGN]:
                raise der.MalformedDer
        if number == 1:
            in_hardware = in_hardware and {_ORIGIN, _PURPOSE} <= said.keys()
    return in_hardware


def _constrained(leaf: Certificate) -> None:
    """Basic constraints must be there, and say that it issues nothing."""
    try:
        leaf.extensions.get_extension_for_class(x509.BasicConstraints)
    except x509.ExtensionNotFound:
        raise WrongStatement from None


def _of_make(leaf: Certificate, aaguid: bytes) -> None:
    """Where a certificate names a make, it is the one of the authenticator data (id-fido-gen-ce-aaguid)."""
    named: bytes | None = None
    sound = True
    try:
        value = certificates.extension(leaf, _FIDO_AAGUID)
        named = None if value is None else der.one(value).expect(der.OCTETS)
    except (der.MalformedDer, certificates.UnsoundCertificate):
        sound = False
    if not sound or (named is not None and named != aaguid):
        raise WrongStatement


of_make = _of_make
