"""Proofs between portalsec and joserfc, another implementation of JOSE: each reads what the other made."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("joserfc", reason="wants joserfc: the other implementation is not installed")

from joserfc import jwk, jws

from portalsec.auth.dpop import DpopCheck, DpopPolicy, ProofRefused, read_proof
from portalsec.testing import FrozenClock
from portalsec.testing.dpop import DpopClient

# It warns of the older name of Ed25519, which clients use still.
pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
URI = "https://portal.example/api/records"
ALGORITHMS = ["ES256", "EdDSA", "Ed25519", "RS256"]
KEYS = {
    "ES256": lambda: jwk.ECKey.generate_key("P-256"),
    "EdDSA": lambda: jwk.OKPKey.generate_key("Ed25519"),
    "Ed25519": lambda: jwk.OKPKey.generate_key("Ed25519"),
    "RS256": lambda: jwk.RSAKey.generate_key(2048),
}


def registry() -> jws.JWSRegistry:
    made = jws.JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
    made.max_header_length = 2048  # an RSA key is in it
    return made


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_its_proofs_are_read(algorithm: str) -> None:
    key, clock = KEYS[algorithm](), FrozenClock()
    client = DpopClient(clock=clock)

    def proof(private: bool) -> str:
        header = {"typ": "dpop+jwt", "alg": algorithm, "jwk": key.as_dict(private=private)}
        claims = json.dumps(client.claims("GET", URI)).encode()
        return jws.serialize_compact(header, claims, key, registry=registry())

    arguments = {"method": "GET", "uri": URI, "now": clock(), "policy": DpopPolicy(), "token": None}
    assert read_proof([proof(False)], **arguments).jkt == key.thumbprint()
    with pytest.raises(ProofRefused) as caught:
        read_proof([proof(True)], **arguments)
    assert caught.value.check is DpopCheck.JWK


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_reads_ours(algorithm: str) -> None:
    client = DpopClient(clock=FrozenClock(), algorithm=algorithm)
    key = jwk.import_key(client.jwk)
    found = jws.deserialize_compact(client.proof("GET", URI), key, registry=registry())
    assert json.loads(found.payload)["htu"] == URI
    assert key.thumbprint() == client.thumbprint
