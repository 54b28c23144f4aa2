"""What ends what: one table from the reason to what dies, and the one service that makes it die.

Sessions and half-finished sign-ins die by the account's epoch, which every request reads: nothing that holds a copy
can outlive it. Tokens (links that were mailed, and what a browser got for one) are removed, and would be refused
anyway where the password, address or name that they were made for has changed. Remembered devices are no factor; they
go where a stranger may hold one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from portalsec.auth.ports import DeviceStore, FlowStore
from portalsec.auth.sessions import NewSession, Sessions
from portalsec.errors import StoreError
from portalsec.events import Actor, Event, ResourceRef, SecurityEvent, Source
from portalsec.typing import Emit

__all__ = ["ENDS", "Endings", "What", "Why"]


class Why(StrEnum):
    """Why something ends."""

    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - by the owner, who showed the current one
    PASSWORD_RESET = "password_reset"  # noqa: S105 - by mail
    FACTOR_ADDED = "factor_added"
    FACTOR_REMOVED = "factor_removed"
    FACTOR_NAMED_BACK = "factor_named_back"  # by the link in the notice of its other name
    EMAIL_CHANGED = "email_changed"
    ROLE_GAINED = "role_gained"
    ROLE_LOST = "role_lost"
    DISABLED = "disabled"
    CLOSED = "closed"
    DISAVOWED = "disavowed"  # "this wasn't me"
    SIGNED_OUT_EVERYWHERE = "signed_out_everywhere"


class What(StrEnum):
    """What can end."""

    SESSIONS = "sessions"  # all but the one that the owner acts in, which goes on under a new id
    PENDING = "pending sign-ins"
    TOKENS = "tokens"  # mailed links, and what a browser got for one
    DEVICES = "remembered devices"


# One verb of a flow store drops whatever an account has there, pending sign-ins and tokens alike.
_FLOWS = frozenset({What.SESSIONS, What.PENDING, What.TOKENS})
_EVERYTHING = frozenset(What)

ENDS: Final[Mapping[Why, frozenset[What]]] = MappingProxyType(
    {
        # The owner showed the current password, so their devices are theirs: without one, whoever is guessing at the
        # account could keep them out with the very failures that made them change it.
        Why.PASSWORD_CHANGED: _FLOWS,
        Why.PASSWORD_RESET: _EVERYTHING,
        Why.FACTOR_ADDED: _FLOWS,
        Why.FACTOR_REMOVED: _FLOWS,
        Why.FACTOR_NAMED_BACK: _FLOWS,
        Why.EMAIL_CHANGED: _FLOWS,
        # An id that was worth less a moment ago must not be worth more: the door asks again, by the new role's rules.
        Why.ROLE_GAINED: _FLOWS,
        Why.ROLE_LOST: _FLOWS,
        Why.DISABLED: _EVERYTHING,
        Why.CLOSED: _EVERYTHING,
        Why.DISAVOWED: _EVERYTHING,
        Why.SIGNED_OUT_EVERYWHERE: _EVERYTHING,
    }
)
"""The table."""


class Endings:
    """Ends what a reason ends; nothing else in portalsec ends more than one session.

    Safe for concurrent use, and safe to repeat. Effective at the next request on any worker. Where a store fails, all
    other parts end all the same before the error is raised.

    Args:
        devices: remembered devices.
        flows: pending sign-ins and what browsers got for links.
        links: mailed links.
    """

    def __init__(
        self, *, sessions: Sessions, devices: DeviceStore, flows: FlowStore, links: FlowStore, emit: Emit
    ) -> None:
        self._sessions = sessions
        self._devices = devices
        self._flows = flows
        self._links = links
        self._emit = emit

    def apply(
        self, account_id: str, why: Why, *, actor: Actor, source: Source, keep: bytes | None = None
    ) -> NewSession | None:
        """End what ``why`` ends.

        Args:
            keep: the digest of the session that the owner acts in (`ActiveSession.digest`). It ends too, and goes on
                as the session that is returned: another id, the new epoch, the same age, limits and factors.

        Returns:
            That session; None where there was none to keep, or it had ended meanwhile.

        Raises:
            StoreError: a store or the log failed; what could end has ended. Repeat it.
        """
        dying = ENDS[why]
        kept: NewSession | None = None
        failures: list[StoreError] = []

        def sessions() -> None:
            nonlocal kept
            kept = self._sessions.end_others(account_id, keep=keep, source=source, actor=actor, why=why.value)

        steps: list[tuple[What, Callable[[], object]]] = [
            (What.SESSIONS, sessions),  # first: it is what every request asks
            (What.PENDING, lambda: self._flows.drop_account(account_id)),
            (What.TOKENS, lambda: self._links.drop_account(account_id)),
            (What.DEVICES, lambda: self._forget_devices(account_id, why, actor, source)),
        ]
        for what, end in steps:
            if what in dying:
                try:
                    end()
                except StoreError as failure:
                    failures.append(failure)
        if failures:
            raise failures[0]
        return kept

    def _forget_devices(self, account_id: str, why: Why, actor: Actor, source: Source) -> None:
        forgotten = self._devices.revoke_all(account_id)
        if forgotten:
            self._emit(
                SecurityEvent(
                    name=Event.AUTH_DEVICE_REMOVED,
                    actor=actor,
                    resource=ResourceRef(type="account", id=account_id, count=forgotten),
                    source=source,
                    details={"why": why.value},
                )
            )
