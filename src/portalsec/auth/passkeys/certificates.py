"""Certificates of authenticators: read, chained to a root, and their signatures checked.

A web PKI verifier does not fit: these certificates have no host name, some no subject, many no key identifiers. The chain comes
in order (WebAuthn Level 3 section 6.5.5, "x5c"), so it is followed and never searched: work is bounded by its length.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate, ExtensionNotFound
from cryptography.x509.oid import ExtensionOID, ObjectIdentifier

__all__ = [
    "SHA1_ALGORITHMS",
    "UnsoundCertificate",
    "chains_to",
    "extension",
    "is_authority",
    "load",
    "load_root",
    "load_roots",
    "verifies",
]

MOST_CERTIFICATES: Final = 6
LONGEST: Final = 16 * 1024
SHA1_ALGORITHMS: Final = frozenset({-65535})

_MIN_RSA_BITS, _MAX_RSA_BITS, _MAX_EXPONENT_BITS = 2048, 8192, 256  # for the last: FIPS 186-5 section 5.4
_EC_CURVES: dict[int, tuple[type[ec.EllipticCurve], hashes.HashAlgorithm]] = {
    -7: (ec.SECP256R1, hashes.SHA256()),
    -35: (ec.SECP384R1, hashes.SHA384()),
    -36: (ec.SECP521R1, hashes.SHA512()),
    -9: (ec.SECP256R1, hashes.SHA256()),  # RFC 9864, as in `portalsec.auth.passkeys.cose`
    -51: (ec.SECP384R1, hashes.SHA384()),
    -52: (ec.SECP521R1, hashes.SHA512()),
}
_RSA_HASHES: dict[int, hashes.HashAlgorithm] = {
    -257: hashes.SHA256(),
    -258: hashes.SHA384(),
    -259: hashes.SHA512(),
    -65535: hashes.SHA1(),  # noqa: S303 (only where a policy allows it: older TPMs)
}
_WEAK = (hashes.SHA1, hashes.MD5)
# What a critical extension may be, because it is looked at here or means nothing for an attestation.
_UNDERSTOOD = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.CERTIFICATE_POLICIES,
    }
)


class UnsoundCertificate(Exception):
    """It cannot be read, or is none that an authenticator has. The text never quotes it."""


def load(der: object) -> Certificate:
    """One certificate of at most 16 KiB. Raises `UnsoundCertificate`."""
    if not isinstance(der, bytes) or not 0 < len(der) <= LONGEST:
        raise UnsoundCertificate
    certificate = _whole(der)
    if certificate is None or certificate.version is not x509.Version.v3:
        raise UnsoundCertificate
    return certificate


def load_root(der: bytes) -> Certificate:
    """A root as DER, of any version. Raises `UnsoundCertificate`."""
    root = _whole(der)
    if root is None:
        raise UnsoundCertificate
    return root


def load_roots(texts: Sequence[bytes]) -> tuple[Certificate, ...]:
    """Roots that were configured, as PEM (one or more certificates) or DER. Raises `UnsoundCertificate`."""
    roots: list[Certificate] = []
    for text in texts:
        pem = None
        if text.lstrip().startswith(b"-----"):
            with contextlib.suppress(ValueError, x509.InvalidVersion):
                pem = x509.load_pem_x509_certificates(text)
            if pem is None:
                raise UnsoundCertificate
            roots += [load_root(each.public_bytes(Encoding.DER)) for each in pem]
        else:
            roots.append(load_root(text))
    return tuple(roots)


def _whole(der: bytes) -> Certificate | None:
    """The certificate, where all that is asked of it later can be read; `cryptography` reads it only then."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        _ = certificate.extensions, certificate.subject, certificate.issuer, certificate.version
        _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc, certificate.public_key()
    except (
        ValueError,
        TypeError,
        OverflowError,
        UnsupportedAlgorithm,
        x509.DuplicateExtension,
        x509.InvalidVersion,
        x509.UnsupportedGeneralNameType,
        UserWarning,  # of a serial number or a name, where the application makes warnings errors
    ):
        return None
    return certificate


def extension(certificate: Certificate, oid: str) -> bytes | None:
    """The DER value of an extension that `cryptography` does not know, or None. Raises `UnsoundCertificate` where critical."""
    try:
        found = certificate.extensions.get_extension_for_oid(ObjectIdentifier(oid))
    except ExtensionNotFound:
        return None
    if found.critical or not isinstance(found.value, x509.UnrecognizedExtension):
        raise UnsoundCertificate
    return found.value.value


def key_identifier(certificate: Certificate) -> str:
    """SHA-1 of its public key (RFC 5280 section 4.2.1.2, method 1), 40 lower-case hex digits: computed, not what it says of
    itself."""
    return x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest.hex()


def is_authority(certificate: Certificate) -> bool:
    """Whether basic constraints say that it may issue others."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except ExtensionNotFound:
        return False


def chains_to(chain: Sequence[Certificate], roots: Sequence[Certificate], *, now: datetime) -> bool:
    """Whether each certificate was issued by the next and the last by a root, all valid now. False without roots.

    A root may be in the chain, and may be the leaf itself (FIDO Metadata Statement section 4, attestationRootCertificates).

    Args:
        chain: the leaf first, at most six.
        roots: trusted ones.
        now: aware UTC.
    """
    if not 1 <= len(chain) <= MOST_CERTIFICATES or not roots:
        return False
    for position, certificate in enumerate(chain):
        if not _usable(certificate, now=now, below=position):
            return False
        if certificate in roots:
            return True
        if position + 1 < len(chain) and not _issued(certificate, chain[position + 1]):
            return False
    return any(
        _usable(root, now=now, below=len(chain)) and _issued(chain[-1], root)
        for root in roots
        if root.subject == chain[-1].issuer
    )


def verifies(certificate: Certificate, algorithm: int, signature: object, data: bytes) -> bool:
    """Whether ``signature`` over ``data`` is of the certificate's key under a COSE algorithm."""
    if not isinstance(signature, bytes) or not 0 < len(signature) <= 8 * 1024:
        return False
    try:
        key = certificate.public_key()
        if algorithm in _EC_CURVES and isinstance(key, ec.EllipticCurvePublicKey):
            curve, digest = _EC_CURVES[algorithm]
            if not isinstance(key.curve, curve):
                return False
            key.verify(signature, data, ec.ECDSA(digest))
        elif algorithm in _RSA_HASHES and isinstance(key, rsa.RSAPublicKey):
            if not _bounded(key):
                return False
            key.verify(signature, data, padding.PKCS1v15(), _RSA_HASHES[algorithm])
        elif (algorithm in (-8, -19) and isinstance(key, ed25519.Ed25519PublicKey)) or (
            algorithm == -53 and isinstance(key, ed448.Ed448PublicKey)
        ):
            key.verify(signature, data)
        else:
            return False
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        return False
    return True


def _bounded(key: rsa.RSAPublicKey) -> bool:
    """Whether it is neither short nor made to be slow: an exponent as long as the modulus costs a hundred times the usual."""
    exponent = key.public_numbers().e
    return _MIN_RSA_BITS <= key.key_size <= _MAX_RSA_BITS and exponent.bit_length() <= _MAX_EXPONENT_BITS


def _usable(certificate: Certificate, *, now: datetime, below: int) -> bool:
    """Valid now, of understood extensions and, where certificates are ``below`` it, allowed to have issued them."""
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        return False
    for each in certificate.extensions:
        if each.critical and each.oid not in _UNDERSTOOD:
            return False
    if below == 0:
        return True
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except ExtensionNotFound:
        # Roots of the first version have no extensions; what comes in a chain is of the third.
        return certificate.version is x509.Version.v1
    if not constraints.ca or (constraints.path_length is not None and constraints.path_length < below - 1):
        return False
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except ExtensionNotFound:
        return True


def _issued(certificate: Certificate, issuer: Certificate) -> bool:
    try:
        if isinstance(certificate.signature_hash_algorithm, _WEAK):
            return False
        key = issuer.public_key()
        if isinstance(key, rsa.RSAPublicKey) and not _bounded(key):
            return False
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True
