"""An authenticator that a wrong code switched off for good: recorded, and told to its owner, once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from portalsec.auth.proof import Factor
from portalsec.errors import Denied
from portalsec.events import SYSTEM, Event, ResourceRef, SecurityEvent, Source
from portalsec.typing import Emit

if TYPE_CHECKING:  # pyotp loads with the authenticators' own module, not with the door
    from portalsec.auth.notices import Notices

__all__ = ["telling_of_the_dead"]

T = TypeVar("T")


def telling_of_the_dead(
    verify: Callable[[], T], account_id: str, *, emit: Emit, notices: Notices | None, source: Source
) -> T:
    """What ``verify`` (`Totp.verify` of this account) returns; its refusal goes on when it was told of.

    Wherever a code is looked at it may be the last one that an authenticator stands, so every door calls this. Of any
    number of wrong codes at once the store names an authenticator to one of them.

    Args:
        notices: None in a portal without.
    """
    try:
        return verify()
    except Denied as refusal:
        refused = refusal
    for device_id in getattr(refused, "disabled", ()):
        details = {"factor": Factor.TOTP.value, "device": device_id}
        emit(
            SecurityEvent(
                name=Event.AUTH_FACTOR_DISABLED,
                actor=SYSTEM,
                resource=ResourceRef(type="account", id=account_id),
                source=source,
                details=details,
            )
        )
        if notices is not None:
            from portalsec.auth.notices import NoticeKind  # imported by whoever built the notices

            notices.tell(account_id, NoticeKind.FACTOR_DISABLED, source=source, details=details)
    raise refused
