"""`OwnWords`: what a stranger who knows a person would try first, for every path by which a password gets chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from portalsec.auth.ports import Account, ContactStore

__all__ = ["About", "OwnWords"]

About: TypeAlias = Callable[[Account], Sequence[str]]
"""A person's own words (name, birth date, address), by their account. It is also asked about an account that is just being
made: that one has a ``login`` and a ``reference``, and no store has it yet."""


class OwnWords:
    """A person's own words: the sign-in name, the e-mail addresses, and what the application knows.

    The gate that refuses a password and the meter that speaks of it ask here, so that they say the same.

    Args:
        about: the application's words.
    """

    def __init__(self, *, contacts: ContactStore, about: About | None = None) -> None:
        self._contacts = contacts
        self._about = about

    def of(self, account: Account, *addresses: str) -> tuple[str, ...]:
        """The words of one account, costing one read.

        Args:
            addresses: those of an account that is just being made, which no store has yet.

        Raises:
            StoreError: the addresses cannot be read.
        """
        held = (contact.address for contact in self._contacts.of_account(account.id))
        known = self._about(account) if self._about else ()
        return (account.login, *held, *addresses, *known)
