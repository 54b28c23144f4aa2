"""A DPoP proof (RFC 9449 section 4.2), bounded and read in one way only, and the checks of section 4.3 that need no store."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from portalsec._encoding import b64url, unb64url
from portalsec.auth._public_keys import UnsoundKey
from portalsec.auth._strict_json import Malformed, strict_json
from portalsec.auth.dpop.jwk import ALGORITHMS, ProofKey, load_jwk
from portalsec.auth.dpop.policy import DpopPolicy
from portalsec.auth.dpop.uri import normalised

__all__ = ["DpopCheck", "DpopProof", "ProofRefused", "read_proof"]

_MAX_PROOF: Final = 4096  # characters; one of RS256 with 4096 bits takes some 2,000
_MAX_JTI: Final = 256
_MAX_NONCE: Final = 256


class DpopCheck(StrEnum):
    """Which check refused a proof: for the log, never for the client."""

    COUNT = "count"  # no DPoP header, or several
    SHAPE = "shape"  # not three parts of canonical base64url within 4096 characters, or no strict JSON object
    TYP = "typ"
    ALG = "alg"  # unknown, symmetric or "none"
    CRIT = "crit"  # the header names extensions that must be understood
    JWK = "jwk"  # no sound public key of this algorithm, or a private one
    SIGNATURE = "signature"
    CLAIMS = "claims"  # one is missing or of another type
    HTM = "htm"  # made for another method
    HTU = "htu"  # made for another address
    IAT = "iat"  # too old, or from the future
    ATH = "ath"  # made for another token
    NONCE = "nonce"  # not one that was given out, or too old
    JTI = "jti"  # used before


class ProofRefused(Exception):
    """The proof fails ``check``."""

    def __init__(self, check: DpopCheck) -> None:
        super().__init__(check)
        self.check = check


@dataclass(frozen=True, slots=True, kw_only=True)
class DpopProof:
    """A proof that holds, and was not taken yet.

    Attributes:
        jkt: thumbprint of the key that signed it.
        jti: its own name, unique to the client.
        nonce: which the client got from us, as it says; None without.
    """

    jkt: str
    jti: str = field(repr=False)
    nonce: str | None = field(repr=False)


def read_proof(
    headers: Sequence[str], *, method: str, uri: str, now: datetime, policy: DpopPolicy, token: str | None
) -> DpopProof:
    """The proof of a request, checked by all that section 4.3 asks, but for its nonce and whether it was used before. Pure.

    Args:
        headers: every DPoP header of the request.
        method: of the request, as it was sent.
        uri: of the request, as the client names it: our own origin and the path.
        now: by our clock, aware.
        token: that the request presents, which the proof must name; None where it presents none (a sign-in).

    Raises:
        ProofRefused: the first check that it fails.
    """
    if len(headers) != 1:
        raise ProofRefused(DpopCheck.COUNT)
    text = headers[0]
    parts = text.split(".") if len(text) <= _MAX_PROOF else ()
    if len(parts) != 3:
        raise ProofRefused(DpopCheck.SHAPE)
    payload, signature, key = _octets(parts[1]), _octets(parts[2]), _key(parts[0])
    if not key.verifies(signature, text.rpartition(".")[0].encode("ascii")):
        raise ProofRefused(DpopCheck.SIGNATURE)
    claims = _object(payload)
    jti, made, nonce = claims.get("jti"), claims.get("iat"), claims.get("nonce")
    htm, htu, ath = claims.get("htm"), claims.get("htu"), claims.get("ath")
    if not (
        isinstance(jti, str) and 0 < len(jti) <= _MAX_JTI and isinstance(htm, str) and isinstance(htu, str)
    ):
        raise ProofRefused(DpopCheck.CLAIMS)
    if (
        not isinstance(made, int | float)
        or isinstance(made, bool)
        or not (nonce is None or (isinstance(nonce, str) and len(nonce) <= _MAX_NONCE))
    ):
        raise ProofRefused(DpopCheck.CLAIMS)
    if htm != method:
        raise ProofRefused(DpopCheck.HTM)
    if htu != uri and ((here := normalised(uri)) is None or normalised(htu) != here):
        raise ProofRefused(DpopCheck.HTU)
    moment = now.timestamp()
    # So written that an infinite time is outside.
    if not moment - policy.window.total_seconds() <= made <= moment + policy.skew.total_seconds():
        raise ProofRefused(DpopCheck.IAT)
    if token is not None and not _names(ath, token):
        raise ProofRefused(DpopCheck.ATH)
    return DpopProof(jkt=key.jkt, jti=jti, nonce=nonce)


def _octets(part: str) -> bytes:
    try:
        return unb64url(part)
    except ValueError:
        pass
    raise ProofRefused(DpopCheck.SHAPE)


def _object(raw: bytes) -> dict[str, Any]:
    members: object = None
    with suppress(Malformed):
        members = strict_json(raw)
    if not isinstance(members, dict):
        raise ProofRefused(DpopCheck.SHAPE)
    return members


@lru_cache(maxsize=1024)
def _key(part: str) -> ProofKey:
    """The key of a header that is right. It is the same text in every proof of a client, hence kept: up to 4 MiB of what is
    public anyway. What is refused is looked at anew."""
    header = _object(_octets(part))
    if header.get("typ") != "dpop+jwt":
        raise ProofRefused(DpopCheck.TYP)  # another kind of JWT that this key signed is no proof
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise ProofRefused(DpopCheck.ALG)
    if "crit" in header:  # RFC 7515 section 4.1.11: none is understood here
        raise ProofRefused(DpopCheck.CRIT)
    key = None
    with suppress(UnsoundKey):
        key = load_jwk(header.get("jwk"), algorithm)
    if key is None:
        raise ProofRefused(DpopCheck.JWK)
    return key


def _names(ath: object, token: str) -> bool:
    """Whether the proof was made for this token (section 4.2), so that it carries no other one that its thief put in."""
    expected = b64url(hashlib.sha256(token.encode("utf-8")).digest())
    return isinstance(ath, str) and hmac.compare_digest(
        ath.encode("utf-8", "surrogatepass"), expected.encode("ascii")
    )
