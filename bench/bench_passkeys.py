"""Rows of passkeys: what a sign-in and its verification cost beside the one signature check that they cannot do without, and
what the costliest of the malformed messages does beside an honest registration."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

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
    room = _Room()
    yield passkey_es256(room)
    yield passkey_sign_in(room)
    yield costliest_refusal()


class _Room:
    """An account with a passkey, an answer that its browser gave, and the raw check of the same signature.

    The authenticator does not count, so that its answer can be shown again: the record is written all the same, and where
    its count is another by then, refused.
    """

    def __init__(self) -> None:
        self.account = Account(id="account-1", login="maria", password_hash=None)
        self.store, self.flows, self.sealer = MemoryPasskeys(), MemoryFlows(), FieldSealer(Keyset.generate())
        self.policy = PasskeyPolicy(rp_id="portal.example", origins=(_ORIGIN,), algorithms=(-7,))

        def emit(event: SecurityEvent) -> None:
            raise AssertionError(f"a right answer emits nothing, yet: {event.name}")

        self.passkeys = passkeys = Passkeys(
            store=self.store,
            flows=self.flows,
            policy=self.policy,
            mac=KeyedHash(Keyset.generate("HMAC_SHA256_PRF")),
            sealer=self.sealer,
            clock=system_clock,
            new_id=lambda: "passkey-1",
            emit=emit,
        )
        browser, place = SoftAuthenticator(algorithms=(-7,), counter=False), b"digest of a pending token"
        options = passkeys.begin_registration(place, self.account).json
        answer = browser.create(options, origin=_ORIGIN)
        self.passkey = passkeys.complete_registration(place, self.account.id, answer)
        self.place = place
        asked = passkeys.begin_sign_in(place, login=None, account=self.account, purpose="passkey.second").json
        self.challenge = json.loads(asked)["challenge"]
        self.response = browser.get(asked, origin=_ORIGIN)
        self.raw = self._raw()

    def _raw(self) -> Callable[[], None]:
        inner = json.loads(self.response)["response"]
        signature, data = unb64url(inner["signature"]), unb64url(inner["authenticatorData"])
        signed = data + hashlib.sha256(unb64url(inner["clientDataJSON"])).digest()
        x, y = self.passkey.public_key[10:42], self.passkey.public_key[45:]
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + x + y)
        scheme = ec.ECDSA(hashes.SHA256())
        return lambda: key.verify(signature, signed, scheme)


def passkey_es256(room: _Room) -> Row:
    """From the text that the browser posts to a verified answer: every step, the key loaded from its record."""
    expected = Expected(
        challenge=room.challenge,
        user_verified=True,
        account_id=room.account.id,
        allowed=[credential_reference(room.passkey.credential_id)],
    )
    party = RelyingParty(
        rp_id_hash=hashlib.sha256(b"portal.example").digest(),
        origins=room.policy.accepted_origins,
        top_origins=frozenset(),
    )
    records = Records(room.sealer)

    def verified() -> None:
        message = read_assertion(room.response)
        found = room.store.by_credential_id(message.credential_id)
        record = check_credential(message, found, expected)
        assert records.holds(record)
        verify_assertion(message, record, expected, party)

    return Row("auth.passkey.es256", verified, room.raw, 10)


def passkey_sign_in(room: _Room) -> Row:
    """`complete_sign_in`, whole: besides what `passkey_es256` does, the challenge is taken from its store, once, its tag
    checked, and the record moved on by the store's conditional write.

    The stores are those in memory: what a database adds is its own. The challenge is put back before each turn, which is a
    lock and an entry in a dictionary.
    """
    passkeys, flows, place = room.passkeys, room.flows, room.place
    (flow,) = flows._flows.values()
    flow = replace(
        flow, expires_at=flow.expires_at + timedelta(days=1)
    )  # however long the rows before this take

    def signed_in() -> None:
        assert flows.put(flow)
        passkeys.complete_sign_in(
            place,
            "passkey.second",
            room.response,
            account_id="account-1",
            require_user_verification=True,
        )

    flows.consume(flow.digest, flow.purpose, now=system_clock())
    return Row("auth.passkey.sign_in", signed_in, room.raw, 10)


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
