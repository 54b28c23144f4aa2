"""`Evidence`: that an account's owner just showed one factor, vouched for by the verifier that saw it."""

from __future__ import annotations

from dataclasses import InitVar, dataclass
from datetime import datetime
from typing import NoReturn

from portalsec.auth._door import DOOR, require_door
from portalsec.auth.proof import Factor, Proof

__all__ = ["Evidence", "Factor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One factor, proven. Only the verifiers of `portalsec.auth` can make one; anyone else gets a `TypeError`.

    Attributes:
        proof: what was shown, when and how strong.
        account_id: whose factor it is.
        epoch: the account's session epoch as it was before this sign-in began, or None where the verifier does not
            know it. The door opens a session with the oldest epoch of the evidence, so that whatever ended the
            account's sessions meanwhile (a changed password, say) also ends this sign-in.
    """

    proof: Proof
    account_id: str
    epoch: int | None = None
    door: InitVar[object]

    def __post_init__(self, door: object) -> None:
        require_door(door, "Evidence")

    @property
    def factor(self) -> Factor:
        """What was proven."""
        return self.proof.factor

    @property
    def at(self) -> datetime:
        """When it was proven."""
        return self.proof.at

    def __reduce__(self) -> NoReturn:
        # Unpickling fills slots without a constructor: evidence could be forged in a cache or a queue.
        raise TypeError("Evidence cannot be pickled or copied")


def mint(
    proof: Proof | Factor, account_id: str, at: datetime | None = None, *, epoch: int | None = None
) -> Evidence:
    """For `portalsec.auth`'s verifiers alone, right after the proof: a `Proof`, or a factor and when."""
    if isinstance(proof, Factor):
        if at is None:
            raise TypeError("evidence of a factor says when it was shown")
        proof = Proof(factor=proof, at=at)
    return Evidence(proof=proof, account_id=account_id, epoch=epoch, door=DOOR)
