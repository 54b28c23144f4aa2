"""Public keys as JSON (RFC 7517, 7518, 8037): which are sane, their signatures (RFC 7515), and their names (RFC 7638)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from portalsec._encoding import b64url, unb64url
from portalsec.auth._public_keys import Check, UnsoundKey, point, rsa_key, sound_ed25519

__all__ = ["ALGORITHMS", "ProofKey", "load_jwk"]

_P256, _ES256 = ec.SECP256R1(), ec.ECDSA(hashes.SHA256())
# Of private and of symmetric keys (RFC 7518 sections 6.2.2, 6.3.2 and 6.4): a client that sends one has given it away.
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


@dataclass(frozen=True, slots=True)
class ProofKey:
    """A key that was checked.

    Attributes:
        jkt: its thumbprint, SHA-256 in base64url.
    """

    jkt: str
    _check: Check = field(repr=False, compare=False)

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Whether ``signature`` is this key's over ``data``."""
        try:
            self._check(signature, data)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class _Kind:
    """How keys of one algorithm look.

    Attributes:
        kty, crv: key type and the one curve, or None.
        members: what the key consists of, in the order of the thumbprint (RFC 7638 section 3.2), which is the alphabet's.
        load: the octets of the members but kty and crv -> what checks a signature; raises `UnsoundKey`.
    """

    kty: str
    crv: str | None
    members: tuple[str, ...]
    load: Callable[..., Check]


def load_jwk(jwk: object, algorithm: str) -> ProofKey:
    """The key, for signatures of ``algorithm`` and no other. Raises `UnsoundKey`. Pure; some 20 microseconds for ES256."""
    kind = ALGORITHMS.get(algorithm)
    if kind is None or not isinstance(jwk, dict) or not _PRIVATE.isdisjoint(jwk):
        raise UnsoundKey
    if jwk.get("kty") != kind.kty or (kind.crv is not None and jwk.get("crv") != kind.crv):
        raise UnsoundKey
    # What the key says of itself, where it says it (RFC 7517 sections 4.2 to 4.4). Other members are to be ignored.
    if jwk.get("alg", algorithm) != algorithm or jwk.get("use", "sig") != "sig":
        raise UnsoundKey
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise UnsoundKey
    values = [_octets(jwk, name) for name in kind.members if name not in ("crv", "kty")]
    check = kind.load(*values)
    # Each member has one spelling by now, so the key has one thumbprint.
    named = json.dumps({name: jwk[name] for name in kind.members}, separators=(",", ":"))
    return ProofKey(b64url(hashlib.sha256(named.encode("ascii")).digest()), check)


def _octets(jwk: Mapping[str, Any], name: str) -> bytes:
    value = jwk.get(name)
    if isinstance(value, str):
        try:
            return unb64url(value)
        except ValueError:
            pass
    raise UnsoundKey


def _es256(x: bytes, y: bytes) -> Check:
    if len(x) != 32 or len(y) != 32:  # RFC 7518 section 6.2.1.2: with leading zeros
        raise UnsoundKey
    check = point(_P256, _ES256, x + y)

    def raw(signature: bytes, data: bytes) -> None:
        if len(signature) != 64:  # RFC 7518 section 3.4: R and S, not DER
            raise InvalidSignature
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        check(encode_dss_signature(r, s), data)

    return raw


def _eddsa(x: bytes) -> Check:
    if len(x) != 32 or not sound_ed25519(x):
        raise UnsoundKey
    return ed25519.Ed25519PublicKey.from_public_bytes(x).verify


def _rs256(exponent: bytes, modulus: bytes) -> Check:
    return rsa_key(modulus, exponent, hashes.SHA256())


_OKP: Final = _Kind("OKP", "Ed25519", ("crv", "kty", "x"), _eddsa)

ALGORITHMS: Final[Mapping[str, _Kind]] = MappingProxyType(
    {
        "ES256": _Kind("EC", "P-256", ("crv", "kty", "x", "y"), _es256),
        "Ed25519": _OKP,  # RFC 9864
        "EdDSA": _OKP,  # RFC 8037, the name of before; Ed448 is not taken
        "RS256": _Kind("RSA", None, ("e", "kty", "n"), _rs256),
    }
)
"""What a proof may be signed with: asymmetric algorithms only (RFC 9449 section 11.6), never "none"."""
