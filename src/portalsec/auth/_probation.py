"""Which addresses of an account are too new to be trusted with it.

Whoever got in may add an address of their own, and show that they read mail there. What tells theirs from the owner's is
only the time: for thirty days the owner can say that the adding of an address was not them.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from portalsec.auth.ports import Account, Contact

__all__ = ["PROBATION", "settled"]

PROBATION: Final = timedelta(days=30)
"""How long an address has to be verified before it stays where something of the account is disavowed."""


def settled(contact: Contact, account: Account, *, at: datetime) -> bool:
    """Whether an address is surely older than what happened at ``at``. Pure.

    It was verified thirty days before, or longer; or the account was opened with it, which no later thief can have done.
    """
    if contact.verified_at is None:
        return False
    opened_with = account.created_at is not None and contact.created_at <= account.created_at
    return opened_with or at - contact.verified_at >= PROBATION
