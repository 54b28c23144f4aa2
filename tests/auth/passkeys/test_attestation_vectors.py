"""Attestation statements of the W3C's test vectors and of real authenticators."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime
from functools import cache

import pytest
from cryptography import x509
from webauthn.helpers import known_root_certs

from portalsec.auth.passkeys.attestation import AttestationPolicy, verify_attestation
from portalsec.auth.passkeys.authenticator_data import read_authenticator_data
from portalsec.auth.passkeys.cbor import read
from portalsec.auth.passkeys.checks import Check, Refusal
from tests.support import shared

NOW = datetime(2026, 11, 22, tzinfo=UTC)
PROVEN = (
    "packed-es256", "packed-es384", "packed-es512", "packed-rs256", "packed-eddsa", "packed-ed448",
    "tpm-es256", "android-key-es256", "apple-es256", "fido-u2f-es256",
)  # fmt: skip


@cache
def w3c() -> dict:
    return json.loads(shared("vectors", "auth", "w3c_webauthn_l3.json").read_text())


def attest(
    policy: AttestationPolicy, attestation_object: bytes, client_data: bytes, now: datetime = NOW
) -> bool:
    whole = read(attestation_object)
    return verify_attestation(
        policy,
        whole["fmt"],
        whole["attStmt"],
        read_authenticator_data(whole["authData"]),
        client_data_hash=hashlib.sha256(client_data).digest(),
        now=now,
    )


def of_w3c(name: str) -> tuple[bytes, bytes]:
    (vector,) = (each for each in w3c()["vectors"] if each["id"] == name)
    registration = vector["registration"]
    return bytes.fromhex(registration["attestationObject"]), bytes.fromhex(registration["clientDataJSON"])


def required(**more: bool) -> AttestationPolicy:
    return AttestationPolicy(
        required=True, roots=(bytes.fromhex(w3c()["root"]["attestation_ca_cert"]),), **more
    )


@pytest.mark.parametrize("name", PROVEN)
def test_w3c_statements_chain_to_their_root(name: str):
    # W3C's Android key says that it is software's, and its lists of what is enforced are empty.
    assert attest(required(software=name == "android-key-es256"), *of_w3c(name))
    assert not attest(AttestationPolicy.NONE, *of_w3c(name))  # verified, and nobody's to trust


@pytest.mark.parametrize("name", ["none-es256", "packed-self-es256", "android-key-es256"])
def test_w3c_statements_without_certificates_prove_nothing(name: str):
    assert not attest(AttestationPolicy.NONE, *of_w3c(name))
    with pytest.raises(Refusal) as refused:
        attest(required(), *of_w3c(name))
    assert refused.value.check is Check.R_TRUST


@pytest.mark.parametrize("name", [*PROVEN, "packed-self-es256"])
def test_w3c_statements_are_about_their_own_client_data(name: str):
    attestation_object, client_data = of_w3c(name)
    with pytest.raises(Refusal) as refused:
        attest(AttestationPolicy.NONE, attestation_object, client_data + b" ")
    assert refused.value.check is Check.R_ATTSTMT


def test_every_w3c_vector_is_taken():
    seen = 0
    for vector in w3c()["vectors"]:
        attest(AttestationPolicy.NONE, *of_w3c(vector["id"]))
        seen += 1
    assert seen >= 15


def real() -> list[tuple[str, bytes, bytes]]:
    data = json.loads(shared("vectors", "auth", "duo-labs_py_webauthn_real.json").read_text())
    return [
        (
            each["fmt"],
            *(
                base64.urlsafe_b64decode(each[name] + "==")
                for name in ("attestationObject", "clientDataJSON")
            ),
        )
        for each in data["registrations"]
    ]


def test_real_statements_hold():
    policy = AttestationPolicy(sha1=True)
    taken = []
    for form, attestation_object, client_data in real():
        if form == "android-safetynet":  # which Google ended in 2025
            with pytest.raises(Refusal, match=Check.R_FMT):
                attest(policy, attestation_object, client_data)
        else:
            assert not attest(policy, attestation_object, client_data)
            taken.append(form)
    assert sorted(set(taken)) == ["android-key", "apple", "fido-u2f", "none", "packed", "tpm"]
    assert len(taken) == 19


def test_a_tpm_s_signature_over_sha_1_counts_only_where_the_policy_says_so():
    """Windows computers of before 2022. A portal that asks for no proof takes them, as it takes those without any."""
    old = [each for each in real() if each[0] == "tpm"]
    assert old
    for _, attestation_object, client_data in old:
        chain = read(attestation_object)["attStmt"]["x5c"]
        moment = max(x509.load_der_x509_certificate(each).not_valid_before_utc for each in chain)
        roots = {"roots": (chain[-1],)}
        for policy, proven in (
            (AttestationPolicy.NONE, False),
            (AttestationPolicy(**roots), False),
            (AttestationPolicy(**roots, sha1=True), True),
            (AttestationPolicy(**roots, sha1=True, required=True), True),
        ):
            assert attest(policy, attestation_object, client_data, moment) is proven
        with pytest.raises(Refusal, match=Check.R_ATTSTMT):
            attest(AttestationPolicy(**roots, required=True), attestation_object, client_data, moment)


ROOTS = {
    # when all certificates of the statement were valid; the root, of the webauthn package
    "android-key": (datetime(2025, 1, 20, tzinfo=UTC), known_root_certs.google_hardware_attestation_root_2),
    "apple": (datetime(2021, 9, 1, tzinfo=UTC), known_root_certs.apple_webauthn_root_ca),
}


def real_with_root() -> dict[str, tuple[bytes, bytes, datetime, bytes]]:
    found = {}
    for form, attestation_object, client_data in real():
        if form in ROOTS:
            found[form] = (attestation_object, client_data, *ROOTS[form])
    return found


@pytest.mark.parametrize("form", ROOTS)
def test_real_chains_end_at_their_makers_root_while_they_are_valid(form: str):
    attestation_object, client_data, moment, root = real_with_root()[form]
    policy = AttestationPolicy(required=True, roots=(root,))
    assert attest(policy, attestation_object, client_data, moment)
    (other,) = {key for key in ROOTS if key != form}
    for wrong, now in (
        (policy, NOW),  # expired
        (AttestationPolicy(required=True, roots=(ROOTS[other][1],)), moment),
    ):
        with pytest.raises(Refusal, match=Check.R_TRUST):
            attest(wrong, attestation_object, client_data, now)
