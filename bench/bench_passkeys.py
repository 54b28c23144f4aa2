"""Row of passkeys: what a sign-in costs beside the one signature check that it cannot do without."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from bench.harness import Row
from portalsec._encoding import unb64url
from portalsec.auth.passkeys import PasskeyPolicy, Passkeys
from portalsec.auth.passkeys.assertion import (
    Expected,
    check_credential,
    credential_reference,
    verify_assertion,
)
from portalsec.auth.passkeys.client_data import RelyingParty
from portalsec.auth.passkeys.messages import read_assertion
from portalsec.auth.passkeys.records import Records
from portalsec.auth.ports import Account
from portalsec.clock import system_clock
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.prf import KeyedHash
from portalsec.crypto.seal import FieldSealer
from portalsec.events import SecurityEvent
from portalsec.stores.memory import MemoryFlows, MemoryPasskeys
from portalsec.testing import SoftAuthenticator

_ORIGIN = "https://portal.example"


def rows() -> Iterator[Row]:
    yield passkey_es256()


def passkey_es256() -> Row:
    """From the text that the browser posts to a verified answer: every step, the key loaded from its record."""
    account = Account(id="account-1", login="maria", password_hash=None)
    store = MemoryPasskeys()

    def emit(event: SecurityEvent) -> None:
        raise AssertionError(f"a right answer emits nothing, yet: {event.name}")

    sealer = FieldSealer(Keyset.generate())
    policy = PasskeyPolicy(rp_id="portal.example", origins=(_ORIGIN,), algorithms=(-7,))
    passkeys = Passkeys(
        store=store,
        flows=MemoryFlows(),
        policy=policy,
        mac=KeyedHash(Keyset.generate("HMAC_SHA256_PRF")),
        sealer=sealer,
        clock=system_clock,
        new_id=lambda: "passkey-1",
        emit=emit,
    )
    browser = SoftAuthenticator(algorithms=(-7,))
    place = b"digest of a pending token"
    options = passkeys.begin_registration(place, account).json
    passkey = passkeys.complete_registration(place, account.id, browser.create(options, origin=_ORIGIN))
    asked = json.loads(
        passkeys.begin_sign_in(place, login=None, account=account, purpose="passkey.second").json
    )
    response = browser.get(asked, origin=_ORIGIN)
    expected = Expected(
        challenge=asked["challenge"],
        user_verified=True,
        account_id=account.id,
        allowed=[credential_reference(passkey.credential_id)],
    )
    party = RelyingParty(
        rp_id_hash=hashlib.sha256(b"portal.example").digest(),
        origins=policy.accepted_origins,
        top_origins=frozenset(),
    )

    records = Records(sealer)

    def signed_in() -> None:
        message = read_assertion(response)
        found = store.by_credential_id(message.credential_id)
        record = check_credential(message, found, expected)
        assert records.holds(record)
        verify_assertion(message, record, expected, party)

    inner = json.loads(response)["response"]
    signature, data = unb64url(inner["signature"]), unb64url(inner["authenticatorData"])
    signed = data + hashlib.sha256(unb64url(inner["clientDataJSON"])).digest()
    x, y = passkey.public_key[10:42], passkey.public_key[45:]
    raw = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + x + y)
    scheme = ec.ECDSA(hashes.SHA256())
    raw.verify(signature, signed, scheme)
    return Row("auth.passkey.es256", signed_in, lambda: raw.verify(signature, signed, scheme), 10)
