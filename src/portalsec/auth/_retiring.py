"""`Retiring`: a password that somebody else may know is taken away; it comes back for nobody, its owner included."""

from __future__ import annotations

from collections.abc import Callable

from portalsec.auth.new_password import NewPasswords
from portalsec.auth.ports import Account, AccountStore
from portalsec.clock import Clock
from portalsec.errors import StoreError

__all__ = ["Retiring"]

_ROUNDS = 5


class Retiring:
    """Takes passwords away. Safe for concurrent use, and safe to repeat."""

    def __init__(self, *, accounts: AccountStore, new_passwords: NewPasswords, clock: Clock) -> None:
        self._accounts = accounts
        self._new_passwords = new_passwords
        self._clock = clock

    def retire(self, account_id: str, *, wanted: Callable[[], bool] = lambda: True) -> Account | None:
        """Leave the account without a password, which one of the ways of recovery brings back.

        Args:
            wanted: asked after each look at the account, so that a password which was chosen since stays.

        Returns:
            The account without one; None where there is none, or it is not wanted any more.

        Raises:
            StoreError: plumbing, or the password was changed at each of several tries.
        """
        for _ in range(_ROUNDS):
            # The account before the question: what was chosen after our look is not the expected one.
            account = self._accounts.get(account_id)
            if account is None or not wanted():
                return None
            old, now = account.password_hash, self._clock()
            if old is None:
                return account
            self._new_passwords.retire(account_id, old, now, compromised=True)
            if self._accounts.set_password(account_id, None, expected=old, changed_at=now):
                return self._accounts.get(account_id)
        raise StoreError("an account's password kept changing while it was taken away")
