"""COSE keys (RFC 9052, 9053, 8230): which are sane, and their signatures.

WebAuthn Level 3 section 5.8.5 ties each algorithm to one curve and refuses compressed points; section 6.5.1 refuses members
that a credential's key does not need. What an attacker registers for themselves can only hurt themselves, but a key that two
libraries read differently, or that anybody can sign for, is no credential.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519

from portalsec.auth._public_keys import UnsoundKey, point, rsa_key, sound_ed25519
from portalsec.auth.passkeys.cbor import Item, MalformedCbor, read

__all__ = ["ALGORITHMS", "PublicKey", "UnsoundKey", "key_algorithm", "load_key", "mldsa_available"]

_EC2, _OKP, _RSA, _AKP = 2, 1, 3, 7  # key types (1); AKP is of draft-ietf-cose-dilithium
_KTY, _ALG, _CRV, _X, _Y = 1, 3, -1, -2, -3
_MAX_SIGNATURE = 8 * 1024  # ML-DSA-87's takes 4627 bytes


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that was checked.

    Attributes:
        algorithm: the COSE algorithm that it says itself; its signatures are checked with no other.
    """

    algorithm: int
    _check: Callable[[bytes, bytes], None]

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Whether ``signature`` is this key's over ``data``."""
        if not 0 < len(signature) <= _MAX_SIGNATURE:
            return False
        try:
            self._check(signature, data)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class _Kind:
    """How keys of one algorithm look.

    Attributes:
        kty: key type.
        crv: the one curve, or None.
        load: the decoded map -> what checks a signature; raises `UnsoundKey`.
        members: which the map has, and no other.
    """

    kty: int
    crv: int | None
    load: Callable[[Mapping[int | str, Item]], Callable[[bytes, bytes], None]]
    members: frozenset[int]


def key_algorithm(cose: bytes) -> int:
    """The algorithm that a key names, whether it is sound or not. Raises `UnsoundKey` where it names none."""
    return _named(cose)[0]


def load_key(cose: bytes) -> PublicKey:
    """The key that these bytes are. Raises `UnsoundKey`. Pure; some 15 microseconds for ES256."""
    if (usual := _usual(cose)) is not None:
        return usual
    algorithm, members = _named(cose)
    kind = ALGORITHMS.get(algorithm)
    # `True == 1` and `1.0 == 1`: the types are compared too.
    if (
        kind is None
        or members.keys() != kind.members
        or not _is(members.get(_KTY), kind.kty)
        or (kind.crv is not None and not _is(members.get(_CRV), kind.crv))
    ):
        raise UnsoundKey
    return PublicKey(algorithm, kind.load(members))


def _named(cose: bytes) -> tuple[int, dict[int | str, Item]]:
    members: Item = None
    with suppress(MalformedCbor):
        members = read(cose)
    algorithm = members.get(_ALG) if isinstance(members, dict) else None
    if not isinstance(members, dict) or not isinstance(algorithm, int) or isinstance(algorithm, bool):
        raise UnsoundKey
    return algorithm, members


def _is(value: Item, number: int) -> bool:
    return type(value) is int and value == number


def _octets(members: Mapping[int | str, Item], label: int, length: int | None = None) -> bytes:
    value = members.get(label)
    if not isinstance(value, bytes) or (length is not None and len(value) != length):
        raise UnsoundKey
    return value


# -- elliptic curves --------------------------------------------------------------------------------------------


def _ec(
    curve: ec.EllipticCurve, digest: hashes.HashAlgorithm
) -> Callable[[Mapping[int | str, Item]], Callable[[bytes, bytes], None]]:
    length, scheme = (curve.key_size + 7) // 8, ec.ECDSA(digest)

    def load(members: Mapping[int | str, Item]) -> Callable[[bytes, bytes], None]:
        return point(curve, scheme, _octets(members, _X, length) + _octets(members, _Y, length))

    return load


def _usual(cose: bytes) -> PublicKey | None:
    """An ES256 key as every authenticator writes it (CTAP2 canonical CBOR), without the reader's 10 microseconds.

    None for any other bytes, which then take the long way to the same answer.
    """
    if len(cose) != _USUAL_LENGTH or cose[:10] != _USUAL_HEAD or cose[42:45] != _USUAL_Y:
        return None
    return PublicKey(-7, point(_P256, _ES256, cose[10:42] + cose[45:]))


_P256, _ES256 = ec.SECP256R1(), ec.ECDSA(hashes.SHA256())
_USUAL_HEAD = bytes.fromhex("a5010203262001215820")  # {1: 2, 3: -7, -1: 1, -2: 32 bytes
_USUAL_Y = bytes.fromhex("225820")  # -3: 32 bytes}
_USUAL_LENGTH = 77


# -- Edwards curves ---------------------------------------------------------------------------------------------


def _ed25519(members: Mapping[int | str, Item]) -> Callable[[bytes, bytes], None]:
    raw = _octets(members, _X, 32)
    if not sound_ed25519(raw):
        raise UnsoundKey
    return ed25519.Ed25519PublicKey.from_public_bytes(raw).verify


def _ed448(members: Mapping[int | str, Item]) -> Callable[[bytes, bytes], None]:
    raw, verify = _octets(members, _X, 57), None
    with suppress(ValueError, UnsupportedAlgorithm):
        verify = ed448.Ed448PublicKey.from_public_bytes(raw).verify
    if verify is None:
        raise UnsoundKey
    return verify


# -- RSA --------------------------------------------------------------------------------------------------------


def _rsa(
    digest: hashes.HashAlgorithm,
) -> Callable[[Mapping[int | str, Item]], Callable[[bytes, bytes], None]]:
    def load(members: Mapping[int | str, Item]) -> Callable[[bytes, bytes], None]:
        return rsa_key(_octets(members, _CRV), _octets(members, _X), digest)  # labels -1 and -2 (RFC 8230)

    return load


# -- ML-DSA -----------------------------------------------------------------------------------------------------


def _mldsa(name: str) -> Callable[[Mapping[int | str, Item]], Callable[[bytes, bytes], None]]:
    def load(members: Mapping[int | str, Item]) -> Callable[[bytes, bytes], None]:
        raw, verify = _octets(members, _CRV), None  # label -1, "pub"
        try:
            from cryptography.hazmat.primitives.asymmetric import mldsa

            verify = getattr(mldsa, name).from_public_bytes(raw).verify
        except (ImportError, AttributeError, ValueError, UnsupportedAlgorithm):
            pass
        if verify is None:
            raise UnsoundKey
        checked: Callable[[bytes, bytes], None] = verify
        return checked

    return load


def mldsa_available() -> bool:
    """Whether this build of cryptography and its OpenSSL have ML-DSA (FIPS 204)."""
    try:
        from cryptography.hazmat.primitives.asymmetric import mldsa

        mldsa.MLDSA44PrivateKey.generate()
    except (ImportError, AttributeError, UnsupportedAlgorithm):
        return False
    return True


_EC_MEMBERS = frozenset({_KTY, _ALG, _CRV, _X, _Y})
_OKP_MEMBERS = frozenset({_KTY, _ALG, _CRV, _X})
_RSA_MEMBERS = frozenset({_KTY, _ALG, _CRV, _X})
_AKP_MEMBERS = frozenset({_KTY, _ALG, _CRV})


def _curve(crv: int, curve: ec.EllipticCurve, digest: hashes.HashAlgorithm) -> _Kind:
    return _Kind(_EC2, crv, _ec(curve, digest), _EC_MEMBERS)


ALGORITHMS: Final[Mapping[int, _Kind]] = MappingProxyType(
    {
        -7: _curve(1, ec.SECP256R1(), hashes.SHA256()),  # ES256
        -9: _curve(1, ec.SECP256R1(), hashes.SHA256()),  # ESP256 (RFC 9864), the same on its one curve
        -35: _curve(2, ec.SECP384R1(), hashes.SHA384()),  # ES384
        -51: _curve(2, ec.SECP384R1(), hashes.SHA384()),  # ESP384
        -36: _curve(3, ec.SECP521R1(), hashes.SHA512()),  # ES512
        -52: _curve(3, ec.SECP521R1(), hashes.SHA512()),  # ESP512
        -8: _Kind(_OKP, 6, _ed25519, _OKP_MEMBERS),  # EdDSA, which WebAuthn holds to Ed25519
        -19: _Kind(_OKP, 6, _ed25519, _OKP_MEMBERS),  # Ed25519 (RFC 9864)
        -53: _Kind(_OKP, 7, _ed448, _OKP_MEMBERS),  # Ed448
        -257: _Kind(_RSA, None, _rsa(hashes.SHA256()), _RSA_MEMBERS),  # RS256
        -258: _Kind(_RSA, None, _rsa(hashes.SHA384()), _RSA_MEMBERS),  # RS384
        -259: _Kind(_RSA, None, _rsa(hashes.SHA512()), _RSA_MEMBERS),  # RS512
        -48: _Kind(_AKP, None, _mldsa("MLDSA44PublicKey"), _AKP_MEMBERS),
        -49: _Kind(_AKP, None, _mldsa("MLDSA65PublicKey"), _AKP_MEMBERS),
        -50: _Kind(_AKP, None, _mldsa("MLDSA87PublicKey"), _AKP_MEMBERS),
    }
)
"""COSE algorithm -> how its keys look. SHA-1 (-65535) is none of them."""
