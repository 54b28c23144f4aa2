"""Proofs: those of RFC 9449, and every check by a proof that only it refuses."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec._encoding import b64url
from portalsec.auth.dpop import DpopCheck, DpopPolicy, DpopProof, ProofRefused, read_proof
from portalsec.testing import FrozenClock
from portalsec.testing.dpop import DpopClient

POLICY = DpopPolicy()
SECOND = timedelta(seconds=1)
URI = "https://portal.example/api/records"
KEY = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"  # RFC 9449 section 6.1
_HEADER = (
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQy"
    "VVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19"
)
AT_SIGN_IN = (  # RFC 9449 section 4.1, figure 1
    f"{_HEADER}.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwi"
    "aWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
)
TOKEN = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"  # RFC 9449 section 7.1, figure 12
AT_RESOURCE = (
    f"{_HEADER}.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0"
    "ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yR"
    "qzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
)


def read(text: object, **change: Any) -> DpopProof:
    arguments: dict[str, Any] = {
        "method": "GET",
        "uri": URI,
        "now": FrozenClock()(),
        "policy": POLICY,
        "token": None,
        **change,
    }
    return read_proof(text if isinstance(text, list) else [text], **arguments)


def refused(text: object, **change: Any) -> DpopCheck:
    with pytest.raises(ProofRefused) as caught:
        read(text, **change)
    assert caught.value.__context__ is None  # no text of the client's behind it
    return caught.value.check


@pytest.fixture
def client() -> DpopClient:
    return DpopClient(clock=FrozenClock())


def test_the_proofs_of_the_rfc_hold() -> None:
    made = datetime.fromtimestamp(1562262616, UTC)
    proof = read(AT_SIGN_IN, method="POST", uri="https://server.example.com/token", now=made)
    assert (proof.jkt, proof.jti, proof.nonce) == (KEY, "-BwC3ESc6acc2lTc", None)
    there: dict[str, Any] = {
        "uri": "https://resource.example.org/protectedresource",
        "now": made + 2 * SECOND,
    }
    assert read(AT_RESOURCE, token=TOKEN, **there).jkt == KEY
    assert refused(AT_RESOURCE, token=TOKEN + "x", **there) is DpopCheck.ATH
    assert refused(AT_SIGN_IN, method="POST", uri="https://server.example.com/token") is DpopCheck.IAT


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "Ed25519", "RS256"])
def test_a_proof_says_whose_it_is(algorithm: str) -> None:
    client = DpopClient(clock=FrozenClock(), algorithm=algorithm)
    client.nonce = "n"
    proof = read(client.proof("GET", URI, jti="one-of-its-own"))
    assert proof == DpopProof(jkt=client.thumbprint, jti="one-of-its-own", nonce="n")
    assert "one-of-its-own" not in repr(proof)


def test_exactly_one_header(client: DpopClient) -> None:
    proof = client.proof("GET", URI)
    assert refused([]) is DpopCheck.COUNT
    assert refused([proof, proof]) is DpopCheck.COUNT
    assert refused(f"{proof}, {proof}") is DpopCheck.SHAPE  # as a proxy joins them


def test_three_canonical_parts_of_json_objects(client: DpopClient) -> None:
    header, claims = client.header(), client.claims("GET", URI)
    right = client.signed(header, claims)
    first, second, third = right.split(".")
    for wrong in (
        "",
        "..",
        f"{first}.{second}",
        f"{right}.{third}",
        f"{first}=.{second}.{third}",
        f"{first}.{second}.{third} ",
        f" {right}",
        f"{first}.{second}.{third[:-1]}\u00e4",
        client.signed(b"[]", claims),
        client.signed(header, b"[]"),
        client.signed(header, b"\xff"),
        client.signed(header, b'{"htm":"GET",' + json.dumps(claims).encode()[1:]),
        client.signed(b'{"typ":"dpop+jwt",' + json.dumps(header).encode()[1:], claims),
        client.signed(header, json.dumps(claims).replace('"iat": ', '"iat": NaN, "x": ').encode()),
    ):
        assert refused(wrong) is DpopCheck.SHAPE
    # "iA" and "iB" decode to the same bytes in a lenient reader
    loose = third[:-1] + chr(ord(third[-1]) + 1) if third[-1] in "AQgw" else third
    assert loose != third
    assert refused(f"{first}.{second}.{loose}") is DpopCheck.SHAPE


def test_its_size_is_bounded(client: DpopClient) -> None:
    def padded(length: int) -> str:
        return client.proof("GET", URI, more="x" * length)

    size = len(padded(0))
    most = (4096 - size) * 3 // 4
    assert 4090 < len(padded(most)) <= 4096
    read(padded(most))
    assert refused(padded(most + 4)) is DpopCheck.SHAPE


HEADERS: dict[str, tuple[dict[str, Any], DpopCheck]] = {
    "no typ": ({"typ": None}, DpopCheck.TYP),
    "typ of another token": ({"typ": "JWT"}, DpopCheck.TYP),
    "typ in capitals": ({"typ": "DPoP+JWT"}, DpopCheck.TYP),
    "no alg": ({"alg": None}, DpopCheck.ALG),
    "none": ({"alg": "none"}, DpopCheck.ALG),
    "hmac": ({"alg": "HS256"}, DpopCheck.ALG),
    "alg of a list": ({"alg": ["ES256"]}, DpopCheck.ALG),
    "crit": ({"crit": ["b64"], "b64": False}, DpopCheck.CRIT),
    "empty crit": ({"crit": []}, DpopCheck.CRIT),
    "no jwk": ({"jwk": None}, DpopCheck.JWK),
    "jwk of another algorithm": ({"alg": "RS256"}, DpopCheck.JWK),
    "another's jwk": ({"jwk": DpopClient().jwk}, DpopCheck.SIGNATURE),
}


@pytest.mark.parametrize("name", HEADERS)
def test_its_header_must_be_right(name: str, client: DpopClient) -> None:
    change, check = HEADERS[name]
    assert refused(client.signed({**client.header(), **change}, client.claims("GET", URI))) is check


def test_its_key_must_be_public(client: DpopClient) -> None:
    header = {**client.header(), "jwk": {**client.jwk, "d": b64url(b"\x01" * 32)}}
    assert refused(client.signed(header, client.claims("GET", URI))) is DpopCheck.JWK


def test_its_signature_covers_all_of_it(client: DpopClient) -> None:
    first, second, third = client.proof("GET", URI).split(".")
    other = client.proof("GET", URI).split(".")[1]
    assert refused(f"{first}.{other}.{third}") is DpopCheck.SIGNATURE
    spaced = b64url(json.dumps(client.header(), indent=1).encode())
    assert refused(f"{spaced}.{second}.{third}") is DpopCheck.SIGNATURE
    assert refused(f"{first}.{second}.") is DpopCheck.SIGNATURE


CLAIMS: dict[str, tuple[dict[str, Any], DpopCheck]] = {
    **{f"no {name}": ({name: None}, DpopCheck.CLAIMS) for name in ("jti", "htm", "htu", "iat")},
    "empty jti": ({"jti": ""}, DpopCheck.CLAIMS),
    "long jti": ({"jti": "x" * 257}, DpopCheck.CLAIMS),
    "jti of a number": ({"jti": 7}, DpopCheck.CLAIMS),
    "htm of a list": ({"htm": ["GET"]}, DpopCheck.CLAIMS),
    "htu of a list": ({"htu": [URI]}, DpopCheck.CLAIMS),
    "iat in a text": ({"iat": "1772442000"}, DpopCheck.CLAIMS),
    "iat true": ({"iat": True}, DpopCheck.CLAIMS),
    "nonce of a number": ({"nonce": 1}, DpopCheck.CLAIMS),
    "long nonce": ({"nonce": "x" * 257}, DpopCheck.CLAIMS),
    "another method": ({"htm": "POST"}, DpopCheck.HTM),
    "method in small letters": ({"htm": "get"}, DpopCheck.HTM),
    "another path": ({"htu": URI + "/"}, DpopCheck.HTU),
    "another host": ({"htu": URI.replace("portal", "evil")}, DpopCheck.HTU),
    "another scheme": ({"htu": URI.replace("https", "http")}, DpopCheck.HTU),
    "another port": ({"htu": URI.replace(".example", ".example:8443")}, DpopCheck.HTU),
    "no address": ({"htu": "x"}, DpopCheck.HTU),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_its_claims_must_be_right(name: str, client: DpopClient) -> None:
    change, check = CLAIMS[name]
    assert refused(client.proof("GET", URI, **change)) is check


def test_spellings_queries_and_fragments_of_the_address_do_not_matter(client: DpopClient) -> None:
    for htu in (
        "HTTPS://Portal.Example:443/api/./records",
        URI + "?a=b#c",
        "https://portal.example/%61pi/records",
    ):
        read(client.proof("GET", htu))
    read(client.proof("GET", URI), uri=URI + "?page=2")
    for htu in (URI, "https://portal.example/c d"):
        assert refused(client.proof("GET", htu), uri="https://portal.example/a b") is DpopCheck.HTU


def test_its_time_is_ours_to_the_second(client: DpopClient) -> None:
    now = int(FrozenClock()().timestamp())
    for good in (now, now - 60, now + 5, now - 59.5, float(now)):
        read(client.proof("GET", URI, iat=good))
    for bad in (now - 61, now + 6, now - 60.5, 0, -now, 10**300):
        assert refused(client.proof("GET", URI, iat=bad)) is DpopCheck.IAT
    for text in ("1e999", "-1e999"):  # JSON's way to infinity
        claims = json.dumps(client.claims("GET", URI)).replace(f'"iat": {now}', f'"iat": {text}')
        assert refused(client.signed(client.header(), claims.encode())) is DpopCheck.IAT


def test_at_a_resource_it_names_the_token(client: DpopClient) -> None:
    ath = b64url(hashlib.sha256(b"token").digest())
    read(client.proof("GET", URI, ath=ath), token="token")
    for wrong in (
        None,
        "",
        1,
        [ath],
        ath + "=",
        ath.swapcase(),
        hashlib.sha256(b"token").hexdigest(),
        "\ud800",
    ):
        assert refused(client.proof("GET", URI, ath=wrong), token="token") is DpopCheck.ATH
    assert refused(client.proof("GET", URI), token="") is DpopCheck.ATH


@given(st.text(max_size=60) | st.lists(st.text(max_size=20), max_size=3).map(".".join))
def test_anything_is_refused_and_nothing_breaks(text: str) -> None:
    assert refused(text) in DpopCheck


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists), st.data())
def test_any_claim_of_any_type_is_refused_and_nothing_breaks(value: object, data: st.DataObject) -> None:
    client = _CLIENT
    name = data.draw(st.sampled_from(["jti", "htm", "htu", "iat", "ath", "nonce"]))
    try:
        read(client.proof("GET", URI, **{name: value}), token="t")
    except ProofRefused:
        return
    raise AssertionError("a proof without the right ath went through")


_CLIENT = DpopClient(clock=FrozenClock())


def test_hostile_proofs_of_the_testing_kit_are_refused() -> None:
    client = DpopClient(clock=FrozenClock())
    client.token = "token"
    read(client.proof("GET", URI), token="token")
    for name, proof in client.hostile("GET", URI).items():
        assert refused(proof, token="token") in DpopCheck, name
