"""Rows of passkeys: what a sign-in costs beside the one signature check that it cannot do without, and what the costliest
of the malformed messages does beside an honest registration."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator

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
from portalsec.errors import Denied
from portalsec.events import SecurityEvent
from portalsec.stores.memory import MemoryFlows, MemoryPasskeys
from portalsec.testing import SoftAuthenticator
from tests.auth.passkeys.setting import MARIA, PLACE, SECOND, SOURCE, Setting
from tests.auth.passkeys.test_malformed import BOMBS

_ORIGIN = "https://portal.example"


def rows() -> Iterator[Row]:
    yield passkey_es256()
    yield costliest_refusal()


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


def costliest_refusal() -> Row:
    """Of the bombs of the tests, the one whose refusal takes this process longest, in milliseconds of the processor."""
    setting = Setting()
    browser = SoftAuthenticator()
    passkey = setting.register(browser)

    def refusing(message: object, *, registration: bool) -> Callable[[], None]:
        def refused() -> None:
            if registration:
                setting.plant_registration("AAAA")
            else:
                setting.plant_request("AAAA", passkey)
            try:
                if registration:
                    setting.service.complete_registration(PLACE, MARIA.id, message, source=SOURCE)
                else:
                    setting.complete(message, MARIA, purpose=SECOND)
            except Denied:
                setting.events.clear()
                return
            raise AssertionError("it was taken")

        return refused

    def seconds(refused: Callable[[], None]) -> float:
        began = time.process_time()
        refused()
        return time.process_time() - began

    refusals = [refusing(message, registration=kind) for _, message in BOMBS for kind in (True, False)]
    costliest = max(refusals, key=lambda refused: min(seconds(refused) for _ in range(3)))

    def honest() -> None:
        setting.store.remove(MARIA.id, setting.register(SoftAuthenticator()).id)

    return Row(
        "auth.passkey.malformed",
        costliest,
        honest,
        5,
        unit="ms",
        timer=time.process_time,
        note="beside an honest registration, its browser's key and signature included",
    )
