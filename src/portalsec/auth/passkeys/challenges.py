"""Challenges: 256 bits, for one answer, from one place, for one purpose, for some minutes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Final

from portalsec._encoding import new_token
from portalsec.auth._pending import open_data, seal_data
from portalsec.auth.ports import Flow, FlowStore, Mac
from portalsec.clock import Clock
from portalsec.errors import ConfigurationError, StoreError, Tampered

__all__ = ["PURPOSES", "REGISTER", "Challenge", "Challenges"]

REGISTER: Final = "passkey.register"
_BY_NAME: Final = "passkey.sign-in"
PURPOSES: Final = frozenset({REGISTER, _BY_NAME, "passkey.second", "passkey.step-up"})
_TRIES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """What was asked.

    Attributes:
        account_id: whom it is about, or None where the answer decides.
        text: the challenge in base64url.
        user_verified, user_present: what the authenticator must do.
        user_handle: of a registration, in hexadecimal.
        allowed: references of the credentials that were asked for, or None for any.
    """

    account_id: str | None
    text: str = field(default_factory=new_token)
    user_verified: bool = False
    user_present: bool = True
    user_handle: str = ""
    allowed: Sequence[str] | None = None


class Challenges:
    """Gives them out and takes them back, each once. Safe for concurrent use: the store lets one answer through."""

    def __init__(self, *, flows: FlowStore, mac: Mac, clock: Clock, lifetime: timedelta) -> None:
        self._flows = flows
        self._mac = mac
        self._clock = clock
        self._lifetime = lifetime

    def put(self, place: bytes, purpose: str, challenge: Challenge) -> None:
        """Keep it; one that was given out for the same place and purpose is void.

        Raises:
            StoreError: the store does not take it, or several are begun at once in one place without end.
        """
        digest = _digest(place, purpose)
        payload = {"v": 1, **asdict(challenge)}
        # A sign-in by name is of nobody in the store: what ends an account's flows would otherwise end these for names that
        # somebody has and no others. That the account is still open is asked at the door.
        owner = None if purpose == _BY_NAME else challenge.account_id
        flow = Flow(
            digest=digest,
            purpose=purpose,
            account_id=owner,
            data=seal_data(
                self._mac,
                json.dumps(payload, separators=(",", ":")).encode("ascii"),
                digest=digest,
                purpose=purpose,
                account_id=owner,
            ),
            expires_at=self._clock() + self._lifetime,
        )
        for _ in range(_TRIES):
            if self._flows.put(flow):
                return
            self._flows.consume(digest, purpose, now=self._clock())
        raise StoreError("a passkey's challenge could not be stored")

    def take(self, place: bytes, purpose: str) -> Challenge | None:
        """The one that was given out, for exactly one caller; None where there is none, or it is too old.

        Raises:
            Tampered: the store has one that this portal did not write.
        """
        flow = self._flows.consume(_digest(place, purpose), purpose, now=self._clock())
        if flow is None:
            return None
        return _decode(open_data(self._mac, flow))


def _digest(place: bytes, purpose: str) -> bytes:
    if purpose not in PURPOSES or not place:
        raise ConfigurationError(
            f"a passkey is asked for in a place and for one of {', '.join(sorted(PURPOSES))}"
        )
    return hashlib.sha256(b"passkey:" + purpose.encode("ascii") + b":" + place).digest()


def _decode(data: bytes) -> Challenge:
    try:
        members = json.loads(data.decode("ascii"))
        if members.pop("v") != 1:
            raise ValueError
        return Challenge(**members)
    except (ValueError, TypeError, KeyError, AttributeError):
        pass
    raise Tampered("a passkey's challenge is damaged")
