"""Attestation by a TPM (WebAuthn Level 3 section 8.3), as of Windows Hello.

The TPM certifies (TPM 2.0 Library, part 2, TPMS_ATTEST) the name of a public area, which is the credential's key, under an
attestation key of its own that a certificate vouches for.
"""

from __future__ import annotations

import hashlib
from typing import Final

from cryptography import x509
from cryptography.x509 import Certificate

from portalsec.auth.passkeys import certificates
from portalsec.auth.passkeys.cbor import read
from portalsec.auth.passkeys.statements import Claim, WrongStatement, chain_of, of_make

__all__ = ["tpm"]

_MAGIC, _CERTIFY = b"\xff\x54\x43\x47", b"\x80\x17"  # TPM_GENERATED_VALUE, TPM_ST_ATTEST_CERTIFY
_RSA, _ECC, _NULL = 0x0001, 0x0023, 0x0010
_SIGNING_SCHEMES = frozenset({0x0014, 0x0016, 0x0018})  # RSASSA, RSAPSS, ECDSA: each with a hash
_NAME_HASHES: Final = {0x000B: "sha256", 0x000C: "sha384", 0x000D: "sha512"}
_CURVES: Final = {0x0003: 1, 0x0004: 2, 0x0005: 3}  # TPM_ECC_CURVE -> COSE
_DIGESTS: Final = {
    -7: "sha256", -35: "sha384", -36: "sha512",
    -257: "sha256", -258: "sha384", -259: "sha512", -65535: "sha1",
}  # fmt: skip
_AIK: Final = "2.23.133.8.3"  # tcg-kp-AIKCertificate
_MANUFACTURER, _MODEL, _VERSION = "2.23.133.2.1", "2.23.133.2.2", "2.23.133.2.3"


def tpm(claim: Claim) -> tuple[Certificate, ...]:
    """The chain of a statement that holds. Raises `WrongStatement`."""
    claim.members("ver", "alg", "x5c", "sig", "certInfo", "pubArea")
    statement, algorithm = claim.statement, claim.algorithm()
    cert_info, pub_area = statement["certInfo"], statement["pubArea"]
    if statement["ver"] != "2.0" or algorithm not in _DIGESTS:
        raise WrongStatement
    if not isinstance(cert_info, bytes) or not isinstance(pub_area, bytes):
        raise WrongStatement
    chain = chain_of(claim)
    name = _name_of(pub_area, claim.public_key)
    extra_data, certified = _certified(cert_info)
    if certified != name or extra_data != hashlib.new(_DIGESTS[algorithm], claim.signed).digest():
        raise WrongStatement
    if not certificates.verifies(chain[0], algorithm, statement["sig"], cert_info):
        raise WrongStatement
    _attestation_key(chain[0])
    of_make(chain[0], claim.aaguid)
    return chain


class _Reader:
    """Takes bytes from the front; `WrongStatement` where there are not enough."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, length: int) -> bytes:
        taken = self._data[self._at : self._at + length]
        if len(taken) != length:
            raise WrongStatement
        self._at += length
        return taken

    def number(self, length: int = 2) -> int:
        return int.from_bytes(self.take(length), "big")

    def sized(self) -> bytes:
        """A TPM2B: two bytes of length, then as many."""
        return self.take(self.number())

    def end(self) -> None:
        if self._at != len(self._data):
            raise WrongStatement


def _name_of(pub_area: bytes, public_key: bytes) -> bytes:
    """The name of a TPMT_PUBLIC that is the credential's key: its hash, after which hash it is."""
    reader = _Reader(pub_area)
    kind, name_hash = reader.number(), reader.number()
    reader.take(4)  # objectAttributes
    reader.sized()  # authPolicy
    if name_hash not in _NAME_HASHES or reader.number() != _NULL:  # symmetric: only a storage key has one
        raise WrongStatement
    scheme = reader.number()
    if scheme in _SIGNING_SCHEMES:
        reader.number()
    elif scheme != _NULL:
        raise WrongStatement
    key = read(public_key)
    if not isinstance(key, dict):
        raise WrongStatement
    if kind == _RSA:
        reader.number()  # keyBits: the modulus tells
        exponent, modulus = reader.number(4) or 65537, reader.sized()
        same = (
            key.get(1) == 3
            and key.get(-1) == modulus
            and key.get(-2) == exponent.to_bytes((exponent.bit_length() + 7) // 8, "big")
        )
    elif kind == _ECC:
        curve, kdf = _CURVES.get(reader.number()), reader.number()
        x, y = reader.sized(), reader.sized()
        mine_x, mine_y = key.get(-2), key.get(-3)
        same = (
            kdf == _NULL
            and key.get(1) == 2
            and key.get(-1) == curve
            # A TPM may leave out leading zeros.
            and isinstance(mine_x, bytes)
            and isinstance(mine_y, bytes)
            and x.rjust(len(mine_x), b"\0") == mine_x
            and y.rjust(len(mine_y), b"\0") == mine_y
        )
    else:
        same = False
    reader.end()
    if not same:
        raise WrongStatement
    return name_hash.to_bytes(2, "big") + hashlib.new(_NAME_HASHES[name_hash], pub_area).digest()


def _certified(cert_info: bytes) -> tuple[bytes, bytes]:
    """extraData and the certified name of a TPMS_ATTEST."""
    reader = _Reader(cert_info)
    if reader.take(4) != _MAGIC or reader.take(2) != _CERTIFY:
        raise WrongStatement
    reader.sized()  # qualifiedSigner
    extra_data = reader.sized()
    reader.take(17 + 8)  # clockInfo, firmwareVersion
    name = reader.sized()
    reader.sized()  # qualifiedName
    reader.end()
    return extra_data, name


def _attestation_key(leaf: Certificate) -> None:
    """Section 8.3.1: no subject, the TPM's manufacturer, model and version as alternative name, for this one use."""
    names: set[str] = set()
    uses: list[str] = []
    try:
        leaf.extensions.get_extension_for_class(x509.BasicConstraints)
        alternative = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = {
            each.oid.dotted_string
            for directory in alternative.get_values_for_type(x509.DirectoryName)
            for each in directory
            if each.value
        }
        uses = [
            each.dotted_string
            for each in leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        ]
    except x509.ExtensionNotFound:
        pass
    if len(leaf.subject) or not names >= {_MANUFACTURER, _MODEL, _VERSION} or _AIK not in uses:
        raise WrongStatement
