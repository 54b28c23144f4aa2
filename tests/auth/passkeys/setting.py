"""A portal's passkeys on memory stores, and browsers that speak to them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from portalsec._encoding import b64url
from portalsec.auth.evidence import Evidence
from portalsec.auth.passkeys import PasskeyPolicy, Passkeys
from portalsec.auth.passkeys.assertion import credential_reference
from portalsec.auth.passkeys.challenges import REGISTER, Challenge
from portalsec.auth.passkeys.records import Records
from portalsec.auth.ports import Account, Passkey
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.prf import KeyedHash
from portalsec.crypto.seal import FieldSealer
from portalsec.errors import Denied, Reason
from portalsec.events import Source
from portalsec.stores.memory import MemoryFlows, MemoryPasskeys
from portalsec.testing import CapturedEvents, FrozenClock, SequentialIds, SoftAuthenticator

RP = "portal.example"
ORIGIN = "https://portal.example"
TOP = "https://hospital.example"
PLACE = b"digest of a pending token"
SOURCE = Source(address="192.0.2.10")
SIGN_IN, SECOND, STEP_UP = "passkey.sign-in", "passkey.second", "passkey.step-up"
MARIA = Account(id="account-maria", login="maria", password_hash=None)
ROBIN = Account(id="account-robin", login="robin", password_hash=None)


class Setting:
    """Everything that `Passkeys` needs."""

    def __init__(self, **policy: Any) -> None:
        self.clock, self.events, self.ids = FrozenClock(), CapturedEvents(), SequentialIds()
        self.store, self.flows = MemoryPasskeys(), MemoryFlows()
        self.mac = KeyedHash(Keyset.generate("HMAC_SHA256_PRF"))
        self.sealer = FieldSealer(Keyset.generate())
        self.service = self.with_policy(**policy)

    def with_policy(self, **policy: Any) -> Passkeys:
        """A service over the same stores."""
        return Passkeys(
            store=self.store,
            flows=self.flows,
            policy=PasskeyPolicy(**({"rp_id": RP, "origins": (ORIGIN,)} | policy)),
            mac=self.mac,
            sealer=self.sealer,
            clock=self.clock,
            new_id=self.ids,
            emit=self.events,
        )

    # -- registration -----------------------------------------------------------------------------------------------

    def creation(self, account: Account = MARIA, **options: Any) -> dict[str, Any]:
        return json.loads(self.service.begin_registration(PLACE, account, **options).json)

    def register(self, browser: SoftAuthenticator, account: Account = MARIA, **hostile: Any) -> Passkey:
        options = self.creation(account, exclude=not hostile.get("force"))
        response = browser.create(options, **({"origin": ORIGIN} | hostile))
        return self.service.complete_registration(PLACE, account.id, response, source=SOURCE)

    def registration_refused(self, browser: SoftAuthenticator, **hostile: Any) -> tuple[Reason, str]:
        """The reason and the step of a registration that must not be taken."""
        return self._refused(lambda: self.register(browser, **hostile))

    # -- sign-in ----------------------------------------------------------------------------------------------------

    def request(
        self, account: Account | None = None, *, login: str | None = None, purpose: str = SIGN_IN
    ) -> dict[str, Any]:
        options = self.service.begin_sign_in(PLACE, login=login, account=account, purpose=purpose)
        return json.loads(options.json)

    def answer(
        self,
        browser: SoftAuthenticator,
        account: Account | None = None,
        *,
        purpose: str = SIGN_IN,
        verified: bool = False,
        **hostile: Any,
    ) -> Evidence:
        options = self.request(account, purpose=purpose)
        response = browser.get(options, **({"origin": ORIGIN} | hostile))
        return self.complete(response, account, purpose=purpose, verified=verified)

    def complete(
        self,
        response: object,
        account: Account | None = None,
        *,
        purpose: str = SIGN_IN,
        verified: bool = False,
    ) -> Evidence:
        return self.service.complete_sign_in(
            PLACE,
            purpose,
            response,
            account_id=None if account is None else account.id,
            require_user_verification=verified,
            source=SOURCE,
        )

    def answer_refused(
        self, browser: SoftAuthenticator, account: Account | None = None, **hostile: Any
    ) -> tuple[Reason, str]:
        return self._refused(lambda: self.answer(browser, account, **hostile))

    def completion_refused(
        self, response: object, account: Account | None = None, **asked: Any
    ) -> tuple[Reason, str]:
        return self._refused(lambda: self.complete(response, account, **asked))

    # -- recorded responses: their challenges were somebody else's ------------------------------------------------------

    def plant_registration(self, challenge: str, *, verified: bool = False, present: bool = True) -> None:
        asked = Challenge(
            account_id=MARIA.id,
            text=challenge,
            user_verified=verified,
            user_present=present,
            user_handle=b"handle".hex(),
        )
        self.service._challenges.put(PLACE, REGISTER, asked)

    def plant_request(self, challenge: str, passkey: Passkey, *, verified: bool = False) -> None:
        asked = Challenge(
            account_id=passkey.account_id,
            text=challenge,
            user_verified=verified,
            allowed=[credential_reference(passkey.credential_id)],
        )
        self.service._challenges.put(PLACE, SECOND, asked)

    def keep(self, passkey: Passkey, **changed: Any) -> Passkey:
        """A record as somebody else made it, through portalsec."""
        kept = Records(self.sealer).sealed(replace(passkey, **changed))
        self.store.remove(passkey.account_id, passkey.id)
        assert self.store.add(kept, at_most=100)
        return kept

    def _refused(self, call: Any) -> tuple[Reason, str]:
        self.events.clear()
        try:
            call()
        except Denied as denied:
            assert denied.__cause__ is None
            assert denied.__context__ is None  # the message is not in a traceback either
            assert str(denied) == "The request was refused."
            check = str(self.events.last.details["check"]) if self.events else ""
            if self.events:
                assert self.events.last.reason is denied.reason
                assert self.events.last.source == SOURCE
            return denied.reason, check
        raise AssertionError("it was taken")


def registration_json(credential_id: bytes, client_data: bytes, attestation_object: bytes) -> str:
    text = b64url(credential_id)
    return json.dumps(
        {
            "id": text,
            "rawId": text,
            "type": "public-key",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": b64url(client_data),
                "attestationObject": b64url(attestation_object),
            },
        }
    )


def assertion_json(
    credential_id: bytes, client_data: bytes, authenticator_data: bytes, signature: bytes
) -> str:
    text = b64url(credential_id)
    return json.dumps(
        {
            "id": text,
            "rawId": text,
            "type": "public-key",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": b64url(client_data),
                "authenticatorData": b64url(authenticator_data),
                "signature": b64url(signature),
            },
        }
    )
