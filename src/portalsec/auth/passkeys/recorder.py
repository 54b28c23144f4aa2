"""What passkeys refuse and suspect, for the log; and the one face that a visitor sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from portalsec.auth.passkeys.checks import Check, Refusal
from portalsec.auth.ports import Passkey
from portalsec.errors import Denied, Reason
from portalsec.events import ANONYMOUS, Actor, Event, Outcome, ResourceRef, SecurityEvent, Source
from portalsec.typing import Emit

__all__ = ["Ask", "Recorder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What an answer is to.

    Attributes:
        purpose: see `portalsec.auth.passkeys.challenges.PURPOSES`.
        account_id: whom it is about, or None where nobody was named.
        source: where the answer came from.
    """

    purpose: str
    account_id: str | None
    source: Source


class Recorder:
    """Emits, and raises."""

    def __init__(self, *, emit: Emit) -> None:
        self._emit = emit

    def refuse(self, check: Check, ask: Ask) -> NoReturn:
        """Record which step refused; raise `Denied`: MALFORMED, PASSKEY_TAKEN or PASSKEY_REFUSED."""
        reason = Reason.PASSKEY_REFUSED
        if Refusal(check).malformed:
            reason = Reason.MALFORMED
        elif check is Check.R_DUP:
            reason = Reason.PASSKEY_TAKEN
        self._emit(
            SecurityEvent(
                name=Event.AUTH_PASSKEY_REFUSED,
                outcome=Outcome.DENIED,
                # Whose passkey was asked for. Who answered is not known: that is what failed.
                actor=ANONYMOUS if ask.account_id is None else Actor(type="user", id=ask.account_id),
                resource=ResourceRef(type="account", id=ask.account_id),
                reason=reason,
                source=ask.source,
                details={"check": check.value, "purpose": ask.purpose},
            )
        )
        raise Denied(reason)

    def suspect(self, passkey: Passkey, ask: Ask, *, policy: str) -> None:
        """Record that there may be a copy of it, and what the policy makes of this use."""
        accepted = policy == "record"
        self._emit(
            SecurityEvent(
                name=Event.AUTH_PASSKEY_CLONE_SUSPECTED,
                outcome=Outcome.SUCCESS if accepted else Outcome.DENIED,
                actor=Actor(type="user", id=passkey.account_id),
                resource=ResourceRef(type="account", id=passkey.account_id),
                reason=None if accepted else Reason.PASSKEY_REFUSED,
                source=ask.source,
                details={
                    "check": Check.A_COUNT.value,
                    "purpose": ask.purpose,
                    "passkey": passkey.id,
                    "policy": policy,
                },
            )
        )
