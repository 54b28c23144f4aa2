"""What a browser is asked (WebAuthn Level 3 sections 5.4 and 5.5), as the JSON that ``parse...OptionsFromJSON`` takes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from portalsec._encoding import b64url
from portalsec.auth.passkeys.policy import PasskeyPolicy, UserVerification
from portalsec.auth.ports import Account, Mac, Passkey

__all__ = [
    "Descriptor",
    "PasskeyOptions",
    "PasskeySignal",
    "creation_options",
    "fake_descriptors",
    "request_options",
]

# How ids of common authenticators look: bytes, and how they are reached. Picked by a byte, so the first are the commonest.
_SHAPES: Final = (
    (20, ("hybrid", "internal")),
    (20, ("hybrid", "internal")),
    (32, ("hybrid", "internal")),
    (16, ("hybrid", "internal")),
    (32, ("internal",)),
    (32, ("hybrid", "internal")),
    (48, ("nfc", "usb")),
    (64, ("usb",)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PasskeyOptions:
    """Options for ``navigator.credentials``.

    Attributes:
        json: the text, for ``PublicKeyCredential.parseCreationOptionsFromJSON`` or ``parseRequestOptionsFromJSON``. It
            holds nothing secret, and is good for one answer from this browser.
    """

    json: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PasskeySignal:
    """For ``PublicKeyCredential.signalAllAcceptedCredentials`` (section 5.1.10): which passkeys are still good.

    Attributes:
        json: the text: rpId, userId, allAcceptedCredentialIds.
    """

    json: str


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A credential as options name it."""

    credential_id: bytes
    transports: tuple[str, ...]

    @classmethod
    def of(cls, passkey: Passkey) -> Descriptor:
        return cls(passkey.credential_id, passkey.transports)

    def as_json(self) -> dict[str, object]:
        named: dict[str, object] = {"type": "public-key", "id": b64url(self.credential_id)}
        return named | ({"transports": list(self.transports)} if self.transports else {})


def creation_options(
    policy: PasskeyPolicy,
    account: Account,
    *,
    challenge: str,
    user_handle: bytes,
    user_verification: UserVerification,
    exclude: Sequence[Descriptor],
) -> PasskeyOptions:
    """For ``create()``."""
    return _text(
        {
            "rp": {"id": policy.rp_id, "name": policy.rp_name or policy.rp_id},
            "user": {"id": b64url(user_handle), "name": account.login, "displayName": account.login},
            "challenge": challenge,
            "pubKeyCredParams": [{"type": "public-key", "alg": number} for number in policy.algorithms],
            "timeout": _milliseconds(policy.timeout),
            "excludeCredentials": [each.as_json() for each in exclude],
            "authenticatorSelection": {
                "residentKey": policy.resident_key,
                "requireResidentKey": policy.resident_key == "required",
                "userVerification": user_verification,
            },
            "attestation": "none" if policy.attestation is None else policy.attestation.conveyance,
            "extensions": {"credProps": True},
        }
    )


def request_options(
    policy: PasskeyPolicy,
    *,
    challenge: str,
    user_verification: UserVerification,
    allow: Sequence[Descriptor],
) -> PasskeyOptions:
    """For ``get()``; an empty list asks for any discoverable passkey."""
    return _text(
        {
            "challenge": challenge,
            "timeout": _milliseconds(policy.timeout),
            "rpId": policy.rp_id,
            "allowCredentials": [each.as_json() for each in allow],
            "userVerification": user_verification,
        }
    )


def fake_descriptors(mac: Mac, login: str) -> list[Descriptor]:
    """One to four credentials that nobody has, the same ones for a name each time (section 14.6.2).

    A quarter of the names has more than one, a quarter of those more than two, and so on, as people have; whoever has five or
    more can be told from nobody. They stay until the key of the portal's keyed hashes rotates.
    """
    name = login.encode("utf-8")
    seed = mac("passkey-fakes", name)
    made = []
    for index in range(1 + sum(seed[0] < 256 >> 2 * more for more in (1, 2, 3))):
        length, transports = _SHAPES[seed[1 + index] % len(_SHAPES)]
        octets = b"".join(mac(f"passkey-fake-{index}-{block}", name) for block in range(2))
        made.append(Descriptor(octets[:length], transports))
    return made


def _milliseconds(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)


def _text(members: dict[str, object]) -> PasskeyOptions:
    return PasskeyOptions(json=json.dumps(members, separators=(",", ":")))
