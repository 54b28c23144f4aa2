"""`DpopClient`: an API client with a key, which makes DPoP proofs (RFC 9449), right ones and hostile ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from portalsec._encoding import b64url, new_token
from portalsec.clock import Clock, system_clock
from portalsec.testing.softkeys import SoftKey, new_key

__all__ = ["DpopClient"]

_COSE: Final = {"ES256": -7, "EdDSA": -8, "Ed25519": -8, "RS256": -257}


class DpopClient:
    """A client with a fresh key. Not for concurrent use of one ``nonce``; else safe.

    Attributes:
        nonce: the newest ``DPoP-Nonce`` that the server gave, or None; set it from an answer's header.
        token: its access token, or None before it has one.
        jwk: its public key.
    """

    def __init__(self, *, clock: Clock = system_clock, algorithm: str = "ES256") -> None:
        """``algorithm``: ES256, EdDSA, Ed25519 or RS256. ``clock`` must be the portal's."""
        self.nonce: str | None = None
        self.token: str | None = None
        self._clock = clock
        self._algorithm = algorithm
        self._key = new_key(_COSE[algorithm])
        self.jwk = _public(self._key)

    @property
    def thumbprint(self) -> str:
        """Of its key (RFC 7638), as the portal keeps it."""
        members = {name: self.jwk[name] for name in sorted(self.jwk)}
        return b64url(hashlib.sha256(json.dumps(members, separators=(",", ":")).encode("ascii")).digest())

    def headers(self, method: str, uri: str, **claims: Any) -> dict[str, str]:
        """The headers of one request: a fresh proof and, once it has one, the token."""
        headers = {"DPoP": self.proof(method, uri, **claims)}
        if self.token is not None:
            headers["Authorization"] = f"DPoP {self.token}"
        return headers

    def proof(self, method: str, uri: str, **claims: Any) -> str:
        """A proof for one request. ``claims`` replace those that it would have; None leaves one out."""
        return self.signed(self.header(), {**self.claims(method, uri), **claims})

    def header(self) -> dict[str, Any]:
        """The JOSE header of its proofs."""
        return {"typ": "dpop+jwt", "alg": self._algorithm, "jwk": self.jwk}

    def claims(self, method: str, uri: str) -> dict[str, Any]:
        """What a proof for this request says."""
        claims: dict[str, Any] = {
            "jti": new_token(),
            "htm": method,
            "htu": uri,
            "iat": int(self._clock().timestamp()),
        }
        if self.token is not None:
            claims["ath"] = b64url(hashlib.sha256(self.token.encode("ascii")).digest())
        if self.nonce is not None:
            claims["nonce"] = self.nonce
        return claims

    def signed(self, header: Mapping[str, Any] | bytes, claims: Mapping[str, Any] | bytes) -> str:
        """Any header and claims under this key's signature; None leaves a member out, bytes are taken as they are."""
        signing = f"{_part(header)}.{_part(claims)}"
        return f"{signing}.{b64url(self.signature(signing.encode('ascii')))}"

    def signature(self, data: bytes) -> bytes:
        """As JWS has it (RFC 7518 section 3.4: r and s of ES256, 32 bytes each)."""
        signature = self._key.sign(data)
        if not isinstance(self._key.private, ec.EllipticCurvePrivateKey):
            return signature
        r, s = decode_dss_signature(signature)
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def hostile(self, method: str, uri: str) -> dict[str, str]:
        """Proofs for this request of which every one must be refused, by name. Each is right in all but one thing."""
        header, claims, now = self.header(), self.claims(method, uri), int(self._clock().timestamp())
        other = DpopClient(clock=self._clock)
        right = self.signed(header, claims)
        signing, _, signature = right.rpartition(".")
        unsigned = f"{_part({**header, 'alg': 'none'})}.{_part(claims)}"
        hostile = {
            "no typ": self.signed({**header, "typ": None}, claims),
            "another typ": self.signed({**header, "typ": "JWT"}, claims),
            "alg none": f"{unsigned}.",
            "alg none, signed": f"{unsigned}.{signature}",
            "an HMAC": self.signed({**header, "alg": "HS256"}, claims),
            "a critical extension": self.signed({**header, "crit": ["exp"]}, claims),
            "no key": self.signed({**header, "jwk": None}, claims),
            "a private key": self.signed({**header, "jwk": {**self.jwk, "d": b64url(bytes(32))}}, claims),
            "another's key": self.signed({**header, "alg": "ES256", "jwk": other.jwk}, claims),
            "no signature": f"{signing}.",
            "another's signature": f"{signing}.{b64url(other.signature(signing.encode('ascii')))}",
            "two members of one name": self.signed(
                header, json.dumps(claims).replace("{", '{"htm":"GET",', 1).encode()
            ),
            "a fourth part": f"{right}.",
            "padding": f"{right}=",
            "no jti": self.signed(header, {**claims, "jti": None}),
            "a jti that is no text": self.signed(header, {**claims, "jti": 1}),
            "no htm": self.signed(header, {**claims, "htm": None}),
            "another method": self.signed(header, {**claims, "htm": "PATCH"}),
            "no htu": self.signed(header, {**claims, "htu": None}),
            "another address": self.signed(header, {**claims, "htu": f"{uri}/more"}),
            "another host": self.signed(header, {**claims, "htu": uri.replace("://", "://evil.")}),
            "no iat": self.signed(header, {**claims, "iat": None}),
            "an hour ago": self.signed(header, {**claims, "iat": now - 3600}),
            "in an hour": self.signed(header, {**claims, "iat": now + 3600}),
        }
        if self.token is not None:
            hostile["no ath"] = self.signed(header, {**claims, "ath": None})
            hostile["another token"] = self.signed(header, {**claims, "ath": b64url(bytes(32))})
        if self.nonce is not None:
            hostile["a nonce of its own"] = self.signed(header, {**claims, "nonce": new_token()})
        return hostile


def _part(members: Mapping[str, Any] | bytes) -> str:
    if not isinstance(members, bytes):
        members = json.dumps({name: value for name, value in members.items() if value is not None}).encode()
    return b64url(members)


def _public(key: SoftKey) -> dict[str, str]:
    """The key as a JWK, from its COSE form."""

    def octets(label: int) -> str:
        value = key.cose[label]
        assert isinstance(value, bytes)
        return b64url(value)

    if key.cose[1] == 2:
        return {"kty": "EC", "crv": "P-256", "x": octets(-2), "y": octets(-3)}
    if key.cose[1] == 1:
        return {"kty": "OKP", "crv": "Ed25519", "x": octets(-2)}
    return {"kty": "RSA", "n": octets(-1), "e": octets(-2)}
