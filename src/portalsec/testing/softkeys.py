"""Private keys of the software authenticator: one object for each COSE algorithm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

__all__ = ["ALGORITHMS", "SoftKey", "new_key"]

_RAW = (Encoding.Raw, PublicFormat.Raw)


@dataclass(frozen=True, slots=True)
class SoftKey:
    """A key pair of an authenticator.

    Attributes:
        algorithm: COSE number.
        cose: the public key as a COSE map, members in CTAP2's order.
        sign: the signature of some bytes, as WebAuthn Level 3 section 6.5.5 wants it.
        private: the key as `cryptography` has it.
    """

    algorithm: int
    cose: dict[int, int | bytes]
    sign: Callable[[bytes], bytes]
    private: Any

    @property
    def spki(self) -> bytes:
        """The public key as DER SubjectPublicKeyInfo."""
        der: bytes = self.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return der

    def __repr__(self) -> str:
        return f"SoftKey(algorithm={self.algorithm})"


def new_key(algorithm: int) -> SoftKey:
    """A fresh pair of the operating system's randomness.

    Raises:
        ValueError: an algorithm that `ALGORITHMS` does not have, or that the installed `cryptography` lacks.
    """
    make = ALGORITHMS.get(algorithm)
    if make is None:
        raise ValueError(f"no software key of COSE algorithm {algorithm}")
    return make()


def _ecdsa(algorithm: int, curve: int, kind: ec.EllipticCurve, digest: hashes.HashAlgorithm) -> SoftKey:
    private = ec.generate_private_key(kind)
    numbers, size = private.public_key().public_numbers(), (kind.key_size + 7) // 8
    cose: dict[int, int | bytes] = {
        1: 2,
        3: algorithm,
        -1: curve,
        -2: numbers.x.to_bytes(size, "big"),
        -3: numbers.y.to_bytes(size, "big"),
    }
    return SoftKey(algorithm, cose, lambda data: private.sign(data, ec.ECDSA(digest)), private)


def _eddsa(algorithm: int, curve: int) -> SoftKey:
    kind = ed25519.Ed25519PrivateKey if curve == 6 else ed448.Ed448PrivateKey
    private = kind.generate()
    public = private.public_key().public_bytes(*_RAW)
    return SoftKey(algorithm, {1: 1, 3: algorithm, -1: curve, -2: public}, private.sign, private)


def _rsa(algorithm: int, digest: hashes.HashAlgorithm, bits: int = 2048) -> SoftKey:
    private = rsa.generate_private_key(65537, bits)
    numbers = private.public_key().public_numbers()
    cose: dict[int, int | bytes] = {
        1: 3,
        3: algorithm,
        -1: numbers.n.to_bytes(bits // 8, "big"),
        -2: numbers.e.to_bytes(3, "big"),
    }
    return SoftKey(algorithm, cose, lambda data: private.sign(data, padding.PKCS1v15(), digest), private)


def _ml_dsa(algorithm: int, size: int) -> SoftKey:
    try:
        from cryptography.hazmat.primitives.asymmetric import mldsa
    except ImportError:
        raise ValueError("the installed cryptography has no ML-DSA") from None
    private = getattr(mldsa, f"MLDSA{size}PrivateKey").generate()
    return SoftKey(
        algorithm,
        {1: 7, 3: algorithm, -1: private.public_key().public_bytes(*_RAW)},
        lambda data: bytes(private.sign(data)),
        private,
    )


ALGORITHMS: dict[int, Callable[[], SoftKey]] = {
    -7: lambda: _ecdsa(-7, 1, ec.SECP256R1(), hashes.SHA256()),
    -35: lambda: _ecdsa(-35, 2, ec.SECP384R1(), hashes.SHA384()),
    -36: lambda: _ecdsa(-36, 3, ec.SECP521R1(), hashes.SHA512()),
    -8: lambda: _eddsa(-8, 6),
    -257: lambda: _rsa(-257, hashes.SHA256()),
    -258: lambda: _rsa(-258, hashes.SHA384()),
    -259: lambda: _rsa(-259, hashes.SHA512()),
    -65535: lambda: _rsa(-65535, hashes.SHA1()),  # noqa: S303 (RS1, which every relying party shall refuse)
    -48: lambda: _ml_dsa(-48, 44),
    -49: lambda: _ml_dsa(-49, 65),
    -50: lambda: _ml_dsa(-50, 87),
    -9: lambda: _ecdsa(-9, 1, ec.SECP256R1(), hashes.SHA256()),
    -51: lambda: _ecdsa(-51, 2, ec.SECP384R1(), hashes.SHA384()),
    -52: lambda: _ecdsa(-52, 3, ec.SECP521R1(), hashes.SHA512()),
    -19: lambda: _eddsa(-19, 6),
    -53: lambda: _eddsa(-53, 7),
}
"""COSE algorithm -> what makes a key of it (IANA COSE Algorithms; RFC 9864 for those of one curve, RFC 9964 for ML-DSA)."""
