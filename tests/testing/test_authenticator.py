"""The software authenticator, judged by Yubico's fido2 as an independent relying party."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from uuid import UUID

import pytest
from fido2 import cbor
from fido2.attestation import InvalidSignature, PackedAttestation
from fido2.server import Fido2Server
from fido2.webauthn import (
    AttestationConveyancePreference,
    AttestedCredentialData,
    PublicKeyCredentialParameters,
    PublicKeyCredentialRpEntity,
    PublicKeyCredentialType,
    PublicKeyCredentialUserEntity,
    RegistrationResponse,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from portalsec._encoding import b64url, unb64url
from portalsec.testing import SoftAuthenticator
from portalsec.testing.authenticator import SOFT_AAGUID, AuthenticatorRefused
from portalsec.testing.cbor import encode

ORIGIN = "https://portal.example"
USER = PublicKeyCredentialUserEntity(name="maria", id=b"handle-of-maria", display_name="Maria")


def relying_party(*algorithms: int, attestation: str = "none") -> Fido2Server:
    server = Fido2Server(
        PublicKeyCredentialRpEntity(name="Portal", id="portal.example"),
        attestation=AttestationConveyancePreference(attestation),
    )
    if algorithms:
        server.allowed_algorithms = [
            PublicKeyCredentialParameters(type=PublicKeyCredentialType.PUBLIC_KEY, alg=each)
            for each in algorithms
        ]
    return server


def registered(server: Fido2Server, authenticator: SoftAuthenticator, **hostile) -> AttestedCredentialData:
    options, state = server.register_begin(
        USER,
        resident_key_requirement=ResidentKeyRequirement.REQUIRED,
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    response = authenticator.create(json.dumps(dict(options)), origin=ORIGIN, **hostile)
    data = server.register_complete(state, json.loads(response)).credential_data
    assert data is not None
    return data


@pytest.mark.parametrize("algorithm", [-7, -8, -35, -36, -257, -48, -49, -50])
def test_fido2_takes_what_it_makes(algorithm: int):
    server, authenticator = relying_party(algorithm), SoftAuthenticator()
    data = registered(server, authenticator)
    assert data.credential_id == authenticator.credentials[0].id
    assert data.aaguid == UUID(SOFT_AAGUID).bytes
    assert data.public_key[3] == algorithm
    options, state = server.authenticate_begin(user_verification=UserVerificationRequirement.REQUIRED)
    response = json.loads(authenticator.get(json.dumps(dict(options)), origin=ORIGIN))
    assert server.authenticate_complete(state, [data], response) == data
    assert unb64url(response["response"]["userHandle"]) == b"handle-of-maria"


def test_fido2_takes_its_self_attestation():
    def verify(form, client_data_hash):
        PackedAttestation().verify(form.att_stmt, form.auth_data, client_data_hash)

    server = relying_party(-7, attestation="direct")
    server._verify_attestation = verify
    registered(server, SoftAuthenticator(attestation="packed-self"))
    with pytest.raises(InvalidSignature):
        registered(
            server, SoftAuthenticator(attestation="packed-self"), statement=lambda it: it | {"sig": b"no"}
        )


def test_attestation_is_sent_only_where_it_was_asked_for():
    for asked, form in (("none", "none"), ("direct", "packed")):
        options, _ = relying_party(-7, attestation=asked).register_begin(USER)
        response = SoftAuthenticator(attestation="packed-self").create(dict(options), origin=ORIGIN)
        assert RegistrationResponse.from_dict(json.loads(response)).response.attestation_object.fmt == form


HOSTILE = {
    "challenge": {"challenge": b"another challenge, of 32 bytes.."},
    "type": {"type": "webauthn.payment"},
    "rp id": {"rp_id": "example"},
    "absent": {"user_present": False},
    "unverified": {"user_verified": False},
    "no flags": {"flags": 0},
    "other id": {"response": lambda it: it | {"id": b64url(b"other"), "rawId": b64url(b"other")}},
    "trailing": {"authenticator_data": lambda it: it + b"\0"},
}


@pytest.mark.parametrize("name", sorted(HOSTILE.keys() - {"other id"}))  # which it takes from inside
def test_fido2_refuses_its_hostile_registrations(name: str):
    with pytest.raises(Exception):
        registered(relying_party(), SoftAuthenticator(), **HOSTILE[name])


@pytest.mark.parametrize("name", [*HOSTILE, "signature"])
def test_fido2_refuses_its_hostile_assertions(name: str):
    server, authenticator = relying_party(), SoftAuthenticator()
    data = registered(server, authenticator)
    options, state = server.authenticate_begin([data], user_verification=UserVerificationRequirement.REQUIRED)
    hostile = HOSTILE.get(name, {"signature": lambda it: it[:-1] + bytes([it[-1] ^ 1])})
    response = json.loads(authenticator.get(dict(options), origin=ORIGIN, **hostile))
    with pytest.raises(Exception):
        server.authenticate_complete(state, [data], response)
    response = json.loads(authenticator.get(dict(options), origin="http://portal.example"))
    with pytest.raises(Exception):
        server.authenticate_complete(state, [data], response)


def sent(response: str) -> tuple[dict, int, int]:
    """Client data, flags and counter of an assertion."""
    body = json.loads(response)["response"]
    data = unb64url(body["authenticatorData"])
    assert data[:32] == hashlib.sha256(b"portal.example").digest()
    return json.loads(unb64url(body["clientDataJSON"])), data[32], int.from_bytes(data[33:37], "big")


def test_flags_counter_and_client_data_are_as_they_were_set():
    server = relying_party()
    authenticator = SoftAuthenticator(user_verification=False, backup_eligible=True, backed_up=True)
    options, _ = server.register_begin(USER, resident_key_requirement=ResidentKeyRequirement.REQUIRED)
    authenticator.create(dict(options), origin=ORIGIN)
    ask = {"challenge": "AAAA", "rpId": "portal.example"}
    assert sent(authenticator.get(ask, origin=ORIGIN)) == (
        {"type": "webauthn.get", "challenge": "AAAA", "origin": ORIGIN, "crossOrigin": False},
        0x01 | 0x08 | 0x10,
        1,
    )
    framed, _, count = sent(
        authenticator.get(ask, origin=ORIGIN, cross_origin=True, top_origin="https://x.example")
    )
    assert (framed["crossOrigin"], framed["topOrigin"], count) == (True, "https://x.example", 2)
    assert sent(authenticator.get(ask, origin=ORIGIN, flags=0x04, sign_count=70))[1:] == (0x04, 70)
    thief = authenticator.clone()
    assert sent(authenticator.get(ask, origin=ORIGIN))[2] == sent(thief.get(ask, origin=ORIGIN))[2] == 4
    authenticator.counter = False
    assert sent(authenticator.get(ask, origin=ORIGIN))[2] == 4


def test_what_a_browser_would_refuse_it_refuses_unless_forced():
    server, authenticator = relying_party(), SoftAuthenticator()
    data = registered(server, authenticator)
    options, _ = server.register_begin(USER, [data])
    with pytest.raises(AuthenticatorRefused, match="excluded"):
        authenticator.create(dict(options), origin=ORIGIN)
    authenticator.create(dict(options), origin=ORIGIN, force=True)
    with pytest.raises(AuthenticatorRefused, match="algorithms"):
        SoftAuthenticator(algorithms=(-65535,)).create(dict(options), origin=ORIGIN)
    for ask in (
        {"challenge": "AA", "rpId": "other.example"},
        {"challenge": "AA", "allowCredentials": [{"id": "AA"}]},
    ):
        with pytest.raises(AuthenticatorRefused, match="no credential"):
            authenticator.get(ask, origin=ORIGIN)
    first = authenticator.credentials[0].id
    ask = {"challenge": "AA", "allowCredentials": [{"id": "AA", "type": "public-key"}]}
    forced = json.loads(authenticator.get(ask, origin=ORIGIN, credential_id=first, force=True))
    assert unb64url(forced["rawId"]) == first


def test_a_credential_that_is_not_discoverable_answers_only_by_its_id_and_without_a_handle():
    server, authenticator = relying_party(), SoftAuthenticator()
    options, _ = server.register_begin(USER, resident_key_requirement=ResidentKeyRequirement.DISCOURAGED)
    created = json.loads(authenticator.create(dict(options), origin=ORIGIN))
    assert created["clientExtensionResults"] == {"credProps": {"rk": False}}
    with pytest.raises(AuthenticatorRefused):
        authenticator.get({"challenge": "AA"}, origin=ORIGIN)
    ask = {"challenge": "AA", "allowCredentials": [{"id": created["id"], "type": "public-key"}]}
    assert json.loads(authenticator.get(ask, origin=ORIGIN))["response"]["userHandle"] is None


@pytest.mark.parametrize(
    ("selection", "discoverable"),
    [
        (None, False),
        ({}, False),
        ({"residentKey": None, "requireResidentKey": False}, False),
        ({"requireResidentKey": True}, True),
        ({"residentKey": "discouraged", "requireResidentKey": True}, False),
        ({"residentKey": "preferred"}, True),
    ],
)
def test_options_may_lack_members_or_have_them_empty(selection: Any, discoverable: bool):
    options = {
        "challenge": "AAAA",
        "rp": {"id": "portal.example"},
        "user": {"id": "AA"},
        "pubKeyCredParams": [{"type": "public-key", "alg": -7}],
        "authenticatorSelection": selection,
        "excludeCredentials": None,
        "attestation": None,
        "extensions": None,
    }
    browser = SoftAuthenticator(attestation="packed-self")
    made = json.loads(browser.create(options, origin=ORIGIN))
    assert made["clientExtensionResults"]["credProps"]["rk"] is discoverable
    asked = {"challenge": "AAAA", "allowCredentials": [{"id": made["id"]}] if not discoverable else None}
    assert json.loads(browser.get(asked, origin=ORIGIN))["id"] == made["id"]


def test_unknown_attestations_and_algorithms_are_errors():
    with pytest.raises(ValueError, match="packed-self"):
        SoftAuthenticator(attestation="tpm")
    with pytest.raises(ValueError, match="-999"):
        SoftAuthenticator().create({"challenge": "AA"}, origin=ORIGIN, algorithm=-999)


@pytest.mark.parametrize(
    "item",
    [
        0,
        23,
        24,
        255,
        256,
        65535,
        65536,
        2**32,
        -1,
        -24,
        -25,
        -257,
        -65535,
        b"",
        b"x" * 300,
        "é",
        [1, [2]],
        {1: 2, "a": b"b"},
        True,
        False,
    ],
)
def test_cbor_is_as_another_reader_has_it(item: object):
    assert cbor.decode(encode(item)) == item


@pytest.mark.parametrize("item", [1.5, 2**64, object()])
def test_what_has_no_cbor_is_an_error(item: object):
    with pytest.raises(TypeError):
        encode(item)


def test_a_misspelt_way_of_being_hostile_is_none():
    """Its response would be honest, and a test that expects a refusal would say so too late, or never."""
    authenticator = SoftAuthenticator()
    for ask in (authenticator.create, authenticator.get):
        with pytest.raises(TypeError, match="did you mean user_verified"):
            ask({}, origin="https://portal.example", user_verifed=False)
        with pytest.raises(TypeError, match="there are challenge, type"):
            ask({}, origin="https://portal.example", zzz=1)


@pytest.mark.parametrize("algorithms", [(), (-999,), (-7, -999)])
def test_algorithms_that_it_has_not_are_refused_when_it_is_made(algorithms: tuple[int, ...]):
    with pytest.raises(ValueError, match="algorithms are some of -7"):
        SoftAuthenticator(algorithms=algorithms)
