"""Public keys that a stranger sends, whatever spelling they came in (COSE, JWK): which are sane, and their signatures."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

__all__ = ["Check", "UnsoundKey", "point", "rsa_key", "sound_ed25519"]

Check = Callable[[bytes, bytes], None]
"""Takes signature and data; raises `cryptography.exceptions.InvalidSignature`, or `ValueError`."""

_MIN_RSA_BITS, _MAX_RSA_BITS = 2048, 8192  # the longest takes 2 ms to check, with the longest exponent
_MIN_EXPONENT, _MAX_EXPONENT_BITS = 65537, 256  # FIPS 186-5 section 5.4


class UnsoundKey(Exception):
    """No key of this algorithm, or one that no honest party makes."""


# -- elliptic curves --------------------------------------------------------------------------------------------


def point(curve: ec.EllipticCurve, scheme: ec.ECDSA, x_y: bytes) -> Check:
    """The key whose coordinates these are, one after the other. Raises `UnsoundKey`."""
    key = None
    with suppress(ValueError):  # what is not on the curve is refused here
        key = ec.EllipticCurvePublicKey.from_encoded_point(curve, b"\x04" + x_y)
    if key is None:
        raise UnsoundKey
    verify = key.verify
    return lambda signature, data: verify(signature, data, scheme)


# -- Edwards curves ---------------------------------------------------------------------------------------------

_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P


def sound_ed25519(raw: bytes) -> bool:
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


# -- RSA --------------------------------------------------------------------------------------------------------


def rsa_key(modulus: bytes, exponent: bytes, digest: hashes.HashAlgorithm) -> Check:
    """An RSA key for signatures of PKCS #1 v1.5; both numbers big-endian. Raises `UnsoundKey`."""
    n, e = _number(modulus), _number(exponent)
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


def _number(octets: bytes) -> int:
    # Unsigned and without leading zeros (RFC 8230 section 4, RFC 7518 section 6.3.1), so that one key has one spelling.
    if not octets or octets[0] == 0:
        raise UnsoundKey
    return int.from_bytes(octets, "big")
