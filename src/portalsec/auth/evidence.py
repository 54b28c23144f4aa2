"""`Evidence`: proof that an account's owner just showed one factor."""

from __future__ import annotations

from dataclasses import InitVar, dataclass
from datetime import datetime
from typing import NoReturn

from portalsec.auth._door import DOOR, require_door
from portalsec.auth.proof import Factor

__all__ = ["Evidence", "Factor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One factor, proven. Only the verifiers of `portalsec.auth` can make one; anyone else gets a `TypeError`.

    Attributes:
        factor: what was proven.
        account_id: whose factor it is.
        at: when it was proven.
        epoch: the account's session epoch as it was before this sign-in began, or None where the verifier does not
            know it. The door opens a session with the oldest epoch of the evidence, so that whatever ended the
            account's sessions meanwhile (a changed password, say) also ends this sign-in.
    """

    factor: Factor
    account_id: str
    at: datetime
    epoch: int | None = None
    door: InitVar[object]

    def __post_init__(self, door: object) -> None:
        require_door(door, "Evidence")

    def __reduce__(self) -> NoReturn:
        # Unpickling fills slots without a constructor: evidence could be forged in a cache or a queue.
        raise TypeError("Evidence cannot be pickled or copied")


def mint(factor: Factor, account_id: str, at: datetime, *, epoch: int | None = None) -> Evidence:
    """For `portalsec.auth`'s verifiers alone, right after the proof."""
    return Evidence(factor=factor, account_id=account_id, at=at, epoch=epoch, door=DOOR)
