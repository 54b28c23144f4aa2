"""Yubico's fido2 as the browser, with a U2F key in software behind it: an independent client against our passkeys.

It reads our options, checks the RP id against the origin by itself, speaks CTAP1 (FIDO U2F Raw Message Formats) to the key,
and makes the response that is posted. `test_fido2_passkeys` has it with a CTAP2 authenticator.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import Name, NameAttribute, NameOID
from fido2.client import ClientError, DefaultClientDataCollector, Fido2Client, UserInteraction
from fido2.ctap import CtapDevice
from fido2.webauthn import PublicKeyCredentialCreationOptions, PublicKeyCredentialRequestOptions

from portalsec.auth.passkeys.attestation import AttestationPolicy
from portalsec.errors import Reason
from portalsec.testing.attestation import SoftMaker
from tests.auth.passkeys.setting import MARIA, ORIGIN, PLACE, SECOND, SOURCE, Setting

MAKER = SoftMaker("fido-u2f")
REGISTER, AUTHENTICATE, VERSION = 1, 2, 3
ONLY_LOOK = 0x07


class U2fKey(CtapDevice):
    """A U2F key whose owner touches it at once."""

    capabilities = 0

    def __init__(self) -> None:
        self.keys: dict[bytes, ec.EllipticCurvePrivateKey] = {}
        self.counter = 0

    def close(self) -> None:
        """Nothing to close."""

    @classmethod
    def list_devices(cls) -> Iterator[U2fKey]:
        return iter(())

    def call(
        self, cmd: int, data: bytes = b"", event: Event | None = None, on_keepalive: Any = None
    ) -> bytes:
        assert cmd == 0x03  # MSG
        instruction, control = data[1], data[2]
        length = int.from_bytes(data[4:7], "big")
        return self._answer(instruction, control, data[7 : 7 + length])

    def _answer(self, instruction: int, control: int, data: bytes) -> bytes:
        if instruction == VERSION:
            return b"U2F_V2\x90\x00"
        if instruction == REGISTER:
            client, application = data[:32], data[32:]
            key = ec.generate_private_key(ec.SECP256R1())
            handle = hashlib.sha256(len(self.keys).to_bytes(4, "big")).digest() * 2
            self.keys[handle] = key
            point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
            batch = ec.generate_private_key(ec.SECP256R1())
            (certificate,) = MAKER.chain(
                Name([NameAttribute(NameOID.COMMON_NAME, "U2F")]), batch.public_key()
            )
            signature = batch.sign(b"\0" + application + client + handle + point, ec.ECDSA(hashes.SHA256()))
            return b"\x05" + point + bytes([len(handle)]) + handle + certificate + signature + b"\x90\x00"
        client, application, handle = data[:32], data[32:64], data[65:]
        if handle not in self.keys:
            return b"\x6a\x80"
        if control == ONLY_LOOK:
            return b"\x69\x85"
        self.counter += 1
        head = b"\x01" + self.counter.to_bytes(4, "big")
        return (
            head
            + self.keys[handle].sign(application + head + client, ec.ECDSA(hashes.SHA256()))
            + b"\x90\x00"
        )


def browser(key: CtapDevice, origin: str = ORIGIN) -> Fido2Client:
    return Fido2Client(key, DefaultClientDataCollector(origin), user_interaction=UserInteraction())


def create(client: Fido2Client, options: dict[str, Any]) -> str:
    response = client.make_credential(PublicKeyCredentialCreationOptions.from_dict(options))
    return json.dumps(dict(response))


def get(client: Fido2Client, options: dict[str, Any]) -> str:
    selection = client.get_assertion(PublicKeyCredentialRequestOptions.from_dict(options))
    return json.dumps(dict(selection.get_response(0)))


@pytest.mark.parametrize(
    "policy", [AttestationPolicy.NONE, AttestationPolicy(required=True, roots=(MAKER.root,))]
)
def test_another_s_client_registers_and_signs_in(policy: AttestationPolicy):
    setting, key = Setting(attestation=policy), U2fKey()
    client = browser(key)
    response = create(client, setting.creation())
    passkey = setting.service.complete_registration(PLACE, MARIA.id, response, source=SOURCE)
    assert passkey.credential_id in key.keys
    assert passkey.attested is policy.required
    assert (passkey.user_verified, passkey.backup_eligible) == (False, False)
    for count in (1, 2):
        proof = setting.complete(
            get(client, setting.request(MARIA, purpose=SECOND)), MARIA, purpose=SECOND
        ).proof
        assert (proof.authenticator, proof.user_verified) == (passkey.id, False)
        assert setting.store.of_account(MARIA.id)[0].sign_count == count


def test_a_key_that_cannot_verify_its_user_is_no_first_factor():
    setting, client = Setting(), browser(U2fKey())
    setting.service.complete_registration(PLACE, MARIA.id, create(client, setting.creation()), source=SOURCE)
    answer = get(client, setting.request(MARIA, purpose=SECOND))
    assert setting.completion_refused(answer, MARIA, purpose=SECOND, verified=True) == (
        Reason.PASSKEY_REFUSED,
        "A-uv",
    )


def test_it_excludes_what_is_registered_and_refuses_another_origin():
    setting, key = Setting(), U2fKey()
    client = browser(key)
    setting.service.complete_registration(PLACE, MARIA.id, create(client, setting.creation()), source=SOURCE)
    with pytest.raises(ClientError):
        create(client, setting.creation())  # our excludeCredentials, by its own reading
    with pytest.raises(ClientError):
        get(browser(key, "https://evil.example"), setting.request(MARIA, purpose=SECOND))
    subdomain = get(browser(key, "https://evil.portal.example"), setting.request(MARIA, purpose=SECOND))
    assert setting.completion_refused(subdomain, MARIA, purpose=SECOND) == (
        Reason.PASSKEY_REFUSED,
        "A-origin",
    )
