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
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa

from portalsec.auth.passkeys.cbor import Item, MalformedCbor, read

__all__ = ["ALGORITHMS", "PublicKey", "UnsoundKey", "key_algorithm", "load_key", "mldsa_available"]

_EC2, _OKP, _RSA, _AKP = 2, 1, 3, 7  # key types (1); AKP is of draft-ietf-cose-dilithium
_KTY, _ALG, _CRV, _X, _Y = 1, 3, -1, -2, -3
_MIN_RSA_BITS, _MAX_RSA_BITS = 2048, 8192  # the longest takes half a millisecond to check
_MIN_EXPONENT, _MAX_EXPONENT_BITS = 65537, 256  # FIPS 186-5 section 5.4
_MAX_SIGNATURE = 8 * 1024  # ML-DSA-87's takes 4627 bytes


class UnsoundKey(Exception):
    """No key of this algorithm, or one that no honest authenticator makes."""


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
        return _point(curve, scheme, _octets(members, _X, length) + _octets(members, _Y, length))

    return load


def _point(curve: ec.EllipticCurve, scheme: ec.ECDSA, x_y: bytes) -> Callable[[bytes, bytes], None]:
    key = None
    with suppress(ValueError):  # what is not on the curve is refused here
        key = ec.EllipticCurvePublicKey.from_encoded_point(curve, b"\x04" + x_y)
    if key is None:
        raise UnsoundKey
    verify = key.verify
    return lambda signature, data: verify(signature, data, scheme)


def _usual(cose: bytes) -> PublicKey | None:
    """An ES256 key as every authenticator writes it (CTAP2 canonical CBOR), without the reader's 10 microseconds.

    None for any other bytes, which then take the long way to the same answer.
    """
    if len(cose) != _USUAL_LENGTH or cose[:10] != _USUAL_HEAD or cose[42:45] != _USUAL_Y:
        return None
    return PublicKey(-7, _point(_P256, _ES256, cose[10:42] + cose[45:]))


_P256, _ES256 = ec.SECP256R1(), ec.ECDSA(hashes.SHA256())
_USUAL_HEAD = bytes.fromhex("a5010203262001215820")  # {1: 2, 3: -7, -1: 1, -2: 32 bytes
_USUAL_Y = bytes.fromhex("225820")  # -3: 32 bytes}
_USUAL_LENGTH = 77


# -- Edwards curves ---------------------------------------------------------------------------------------------

_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P


def _ed25519(members: Mapping[int | str, Item]) -> Callable[[bytes, bytes], None]:
    raw = _octets(members, _X, 32)
    if not _sound_ed25519(raw):
        raise UnsoundKey
    return ed25519.Ed25519PublicKey.from_public_bytes(raw).verify


def _sound_ed25519(raw: bytes) -> bool:
    """Whether it is a point, written canonically, and none of the eight of small order (RFC 8032 section 5.1.3).

    OpenSSL loads any 32 bytes. For a point of small order, one signature is right for many messages: anybody's.
    """
    y = int.from_bytes(raw, "little") & (2**255 - 1)  # the last bit is the sign of x
    if y >= _P:
        return False
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P  # d*y^2 + 1 is never 0: -1/d is no square
    if square == 0:
        return False  # x = 0: order one or two
    if pow(square, (_P - 1) // 2, _P) != 1:
        return False
    # Doubling: y is 0 for points of order four. Those of order eight double to one of these.
    return y != 0 and (y * y + square) % _P != 0


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
        n, e = _number(_octets(members, _CRV)), _number(_octets(members, _X))  # labels -1 and -2 (RFC 8230)
        if not _MIN_RSA_BITS <= n.bit_length() <= _MAX_RSA_BITS or n % 2 == 0:
            raise UnsoundKey
        if e < _MIN_EXPONENT or e % 2 == 0 or e.bit_length() > _MAX_EXPONENT_BITS:
            raise UnsoundKey
        key = None
        with suppress(ValueError):
            key = rsa.RSAPublicNumbers(e, n).public_key()
        if key is None:
            raise UnsoundKey
        verify, scheme = key.verify, padding.PKCS1v15()
        return lambda signature, data: verify(signature, data, scheme, digest)

    return load


def _number(octets: bytes) -> int:
    # Unsigned and without leading zeros (RFC 8230 section 4), so that one key has one spelling.
    if not octets or octets[0] == 0:
        raise UnsoundKey
    return int.from_bytes(octets, "big")


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
