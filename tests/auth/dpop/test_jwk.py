"""Keys as JSON: thumbprints of the RFCs, what is refused, and another implementation's opinion."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from portalsec._encoding import b64url, unb64url
from portalsec.auth._public_keys import UnsoundKey
from portalsec.auth.dpop.jwk import ALGORITHMS, load_jwk
from portalsec.testing.dpop import DpopClient

RSA = {  # RFC 7638 section 3.1
    "kty": "RSA",
    "n": (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3ok"
        "njhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu"
        "6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8a"
        "wapJzKnqDKgw"
    ),
    "e": "AQAB",
    "alg": "RS256",
    "kid": "2011-04-29",
}
OKP = {  # RFC 8037 appendix A.2
    "kty": "OKP",
    "crv": "Ed25519",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
}
EC = {  # RFC 9449 section 4.2
    "kty": "EC",
    "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
    "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
    "crv": "P-256",
}
SAID = {"use": "sig", "key_ops": ["verify"], "ext": True, "kid": "a", "unknown": {"more": 1}}


@pytest.mark.parametrize(
    ("jwk", "algorithm", "thumbprint"),
    [
        (RSA, "RS256", "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"),  # RFC 7638 section 3.1
        (OKP, "EdDSA", "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"),  # RFC 8037 appendix A.3
        (OKP, "Ed25519", "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"),
        (EC, "ES256", "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"),  # RFC 9449 section 6.1
    ],
    ids=["rsa", "eddsa", "ed25519", "ec"],
)
def test_a_key_is_named_by_what_it_is_and_nothing_around_it(
    jwk: dict[str, Any], algorithm: str, thumbprint: str
) -> None:
    assert load_jwk(jwk, algorithm).jkt == thumbprint
    assert load_jwk({**dict(reversed(list(jwk.items()))), **SAID}, algorithm).jkt == thumbprint


def _small_rsa() -> dict[str, str]:
    n = 2**1023 + 1155
    return {"kty": "RSA", "n": b64url(n.to_bytes(128, "big")), "e": "AQAB"}


_XY = unb64url(EC["x"]) + unb64url(EC["y"])
REFUSED: dict[str, tuple[object, str]] = {
    "no object": ("x", "ES256"),
    "none": (None, "ES256"),
    "unknown algorithm": (EC, "ES384"),
    "no algorithm": (EC, "none"),
    "hmac": ({"kty": "oct", "k": "AAAA"}, "HS256"),
    "ec under rsa": (EC, "RS256"),
    "rsa under ec": (RSA, "ES256"),
    "of another type by its own word": ({**EC, "kty": "OKP"}, "ES256"),
    "another curve": ({**EC, "crv": "P-384"}, "ES256"),
    "no curve": ({name: EC[name] for name in ("kty", "x", "y")}, "ES256"),
    "a curve that is no text": ({**EC, "crv": ["P-256"]}, "ES256"),
    "ed448": ({**OKP, "crv": "Ed448"}, "EdDSA"),
    "x25519": ({**OKP, "crv": "X25519"}, "EdDSA"),
    "off the curve": ({**EC, "y": EC["x"]}, "ES256"),
    "infinity": ({**EC, "x": b64url(bytes(32)), "y": b64url(bytes(32))}, "ES256"),
    "x and y cut at another place": (
        {**EC, "x": b64url(_XY[:31]), "y": b64url(_XY[31:])},
        "ES256",
    ),
    "x with padding": ({**EC, "x": str(EC["x"]) + "="}, "ES256"),
    "x of standard base64": ({**EC, "x": base64.b64encode(b"\xff" * 32).decode()}, "ES256"),
    "x not text": ({**EC, "x": 1}, "ES256"),
    "small order": ({**OKP, "x": b64url(bytes(31) + b"\x80")}, "EdDSA"),
    "short ed25519": ({**OKP, "x": b64url(b"\x09" * 31)}, "EdDSA"),
    "rsa of 1024 bits": (_small_rsa(), "RS256"),
    "exponent 3": ({**RSA, "e": "Aw"}, "RS256"),
    "leading zero": ({**RSA, "e": "AAEAAQ"}, "RS256"),
    "for encryption": ({**EC, "use": "enc"}, "ES256"),
    "for another algorithm": ({**EC, "alg": "ES384"}, "ES256"),
    "for other operations": ({**EC, "key_ops": ["deriveKey"]}, "ES256"),
    "operations in a text": ({**EC, "key_ops": "verify"}, "ES256"),
    **{
        f"private {name}": ({**RSA, name: "AQAB"}, "RS256")
        for name in ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
    },
}


@pytest.mark.parametrize("name", REFUSED)
def test_no_other_key_is_taken(name: str) -> None:
    jwk, algorithm = REFUSED[name]
    with pytest.raises(UnsoundKey):
        load_jwk(jwk, algorithm)


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_a_signature_is_of_one_key_and_one_text(algorithm: str) -> None:
    client, other = DpopClient(algorithm=algorithm), DpopClient(algorithm="ES256")
    key = load_jwk(client.jwk, algorithm)
    signature = client.signature(b"text")
    assert key.verifies(signature, b"text")
    assert key.jkt == client.thumbprint
    assert not key.verifies(signature, b"test")
    assert not key.verifies(other.signature(b"text"), b"text")
    middle = len(signature) // 2
    longer = signature[:middle] + b"\x00" + signature[middle:]  # r, and s with a zero before it
    for wrong in (b"", signature[:-1], signature + b"\x00", longer, bytes(64), b"\xff" * 64):
        assert not key.verifies(wrong, b"text")


def test_a_signature_in_der_is_none() -> None:
    client = DpopClient()
    key = load_jwk(client.jwk, "ES256")
    assert not key.verifies(client._key.sign(b"text"), b"text")
