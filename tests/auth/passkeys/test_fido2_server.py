"""Yubico's fido2 as an independent relying party: what our passkeys take, it takes and reads the same, and legal oddities pass.

It checks less than we do (framed pages, the form of keys, backup flags), so what it takes and we refuse says nothing; the
reverse would be a hole.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from typing import Any

import pytest
from fido2 import cbor
from fido2.cose import CoseKey
from fido2.server import Fido2Server
from fido2.webauthn import AttestedCredentialData, PublicKeyCredentialRpEntity
from webauthn import verify_authentication_response

from portalsec._encoding import b64url, unb64url
from portalsec.auth.ports import Passkey
from portalsec.errors import Denied
from portalsec.testing import SoftAuthenticator
from tests.auth.passkeys.setting import MARIA, ORIGIN, PLACE, RP, SECOND, Setting
from tests.auth.passkeys.test_malformed import spoil

MUTANTS = 5_000 if os.environ.get("PORTALSEC_SOAK") == "1" else 400
BOTH_HAVE = (-7, -8, -35, -36, -257, -48, -49, -50)
SERVER = Fido2Server(
    PublicKeyCredentialRpEntity(id=RP, name=RP), verify_origin=lambda origin: origin == ORIGIN
)


def state(challenge: str) -> dict[str, Any]:
    return {"challenge": challenge, "user_verification": "preferred"}


def same_credential(passkey: Passkey, response: str, challenge: str) -> AttestedCredentialData:
    """What fido2 reads of a registration, after it found the same as we did."""
    data = SERVER.register_complete(state(challenge), json.loads(response))
    found = data.credential_data
    assert found is not None
    assert (found.credential_id, data.counter, data.is_user_verified(), data.is_backup_eligible()) == (
        passkey.credential_id,
        passkey.sign_count,
        passkey.user_verified,
        passkey.backup_eligible,
    )
    assert (str(found.aaguid), found.public_key[3]) == (passkey.aaguid, passkey.algorithm)
    return found


# -- legal, and odd -----------------------------------------------------------------------------------------------

TRANSPORTS = ("ble", "cable", "hybrid", "internal", "nfc", "smart-card", "usb", "of-tomorrow")
EXTENSIONS: tuple[dict[str, object], ...] = (
    {"credProtect": 2},
    {"hmac-secret": True, "credBlob": False, "minPinLength": 8},
    {"uvm": [[2, 4, 2], [4, 1, 1]]},
    {"devicePubKey": {"aaguid": bytes(16), "dpk": bytes(77), "nonce": b"", "fmt": "none", "attStmt": {}}},
    {"of.tomorrow": {"deep": [{"er": [None, False, 2**63]}]}},
)
ODD_FLAGS = 0x02 | 0x20  # reserved for future use: nobody may trip over them


def reordered(choose: random.Random) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def change(members: dict[str, Any]) -> dict[str, Any]:
        items = list(members.items())
        choose.shuffle(items)
        return dict(items)

    return change


def client_data(choose: random.Random) -> Callable[[dict[str, Any]], dict[str, Any] | bytes]:
    """Members of tomorrow, in any order, with space between, other escapes, a byte order mark."""

    def change(members: dict[str, Any]) -> dict[str, Any] | bytes:
        more = {"other_keys_can_be_added_here": "do not compare", "é": {"a": [1, 2.5, None]}}
        whole = reordered(choose)(members | (more if choose.random() < 0.5 else {}))
        if choose.random() < 0.3:
            whole.pop("crossOrigin")
        text = json.dumps(whole, indent=choose.choice([None, 2]), ensure_ascii=choose.random() < 0.5)
        if choose.random() < 0.3:
            text = text.replace("webauthn", "\\u0077ebauthn").replace("https://", "https:\\/\\/")
        return text.encode()

    return change


@pytest.mark.parametrize("seed", range(60))
def test_legal_responses_of_every_kind_are_taken_as_another_server_takes_them(seed: int):
    choose = random.Random(seed)
    s = Setting(algorithms=BOTH_HAVE)
    synced = choose.random() < 0.5
    browser = SoftAuthenticator(
        algorithms=(choose.choice(BOTH_HAVE),),
        backup_eligible=synced,
        backed_up=synced and choose.random() < 0.5,
        counter=choose.random() < 0.5,
        user_verification=choose.random() < 0.5,
        attestation=choose.choice(["none", "packed-self"]),
        transports=tuple(choose.sample(TRANSPORTS, choose.randrange(len(TRANSPORTS) + 1))),
    )
    hostile: dict[str, Any] = {"client_data": client_data(choose)}
    if choose.random() < 0.5:
        hostile["extensions"] = choose.choice(EXTENSIONS)
    credential_id = choose.randbytes(choose.choice([1, 16, 20, 32, 64, 255, 256, 1023]))
    options = s.creation()
    response = browser.create(
        options,
        origin=ORIGIN,
        credential_id=credential_id,
        attestation_object=reordered(choose),
        authenticator_data=lambda it: it[:32] + bytes([it[32] | ODD_FLAGS]) + it[33:],
        **hostile,
    )
    passkey = s.service.complete_registration(PLACE, MARIA.id, response)
    assert passkey.transports == browser.transports
    known = same_credential(passkey, response, options["challenge"])
    for _ in range(2):
        asked = s.request(MARIA, purpose=SECOND)
        answer = browser.get(
            asked,
            origin=ORIGIN,
            authenticator_data=lambda it: it[:32] + bytes([it[32] | ODD_FLAGS]) + it[33:],
            **hostile,
        )
        assert s.complete(answer, MARIA, purpose=SECOND).proof.authenticator == passkey.id
        SERVER.authenticate_complete(state(asked["challenge"]), [known], json.loads(answer))


# -- spoilt at random ---------------------------------------------------------------------------------------------


def spoilt(choose: random.Random, response: str) -> str:
    """One binary member of a response, a few bytes changed."""
    whole = json.loads(response)
    name = choose.choice([key for key, value in whole["response"].items() if isinstance(value, str)])
    whole["response"][name] = b64url(spoil(choose, unb64url(whole["response"][name])))
    return json.dumps(whole)


@pytest.mark.parametrize("algorithm", [-7, -8, -48])
def test_a_spoilt_registration_that_we_take_is_read_the_same_by_another_server(algorithm: int):
    choose, s, taken = random.Random(algorithm), Setting(max_passkeys=50), 0
    browser = SoftAuthenticator(algorithms=(algorithm,))
    for _ in range(MUTANTS):
        options = s.creation(exclude=False)
        response = spoilt(choose, browser.create(options, origin=ORIGIN))
        try:
            passkey = s.service.complete_registration(PLACE, MARIA.id, response)
        except Denied:
            continue
        taken += 1
        same_credential(passkey, response, options["challenge"])
        assert s.store.remove(MARIA.id, passkey.id)
    assert 0 < taken < MUTANTS  # nothing signs a make, a counter or copies of members that nobody reads


@pytest.mark.parametrize("algorithm", [-7, -8, -257])
def test_a_spoilt_answer_that_we_take_is_taken_by_two_other_servers(algorithm: int):
    choose, s = random.Random(algorithm), Setting()
    browser = SoftAuthenticator(algorithms=(algorithm,))
    passkey = s.register(browser)
    known = AttestedCredentialData.create(
        bytes(16), passkey.credential_id, CoseKey.parse(cbor.decode(passkey.public_key))
    )
    for _ in range(MUTANTS):
        asked = s.request(MARIA, purpose=SECOND)
        honest = browser.get(asked, origin=ORIGIN)
        answer = spoilt(choose, honest)
        try:
            s.complete(answer, MARIA, purpose=SECOND)
        except Denied:
            continue
        assert json.loads(answer)["response"] == json.loads(honest)["response"]
        SERVER.authenticate_complete(state(asked["challenge"]), [known], json.loads(answer))
        verify_authentication_response(
            credential=answer,
            expected_challenge=unb64url(asked["challenge"]),
            expected_rp_id=RP,
            expected_origin=ORIGIN,
            credential_public_key=passkey.public_key,
            credential_current_sign_count=0,
        )
