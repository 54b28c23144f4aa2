"""`Creating`: the one way in which an account comes into being, whoever asked for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from portalsec.auth.new_password import NewPasswords
from portalsec.auth.ports import Account, AccountStore
from portalsec.clock import Clock
from portalsec.errors import Denied, Reason
from portalsec.events import Actor, Event, Outcome, ResourceRef, SecurityEvent, Source
from portalsec.typing import Emit, NewId

__all__ = ["Creating"]


class Creating:
    """Hashes the first password through `NewPasswords`, records, creates. Safe for concurrent use: one wins a name.

    Args:
        with_second_factor: whether every sign-in asks for a second factor too; only then may a short password do.
    """

    def __init__(
        self,
        *,
        accounts: AccountStore,
        new_passwords: NewPasswords,
        with_second_factor: bool,
        emit: Emit,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._accounts = accounts
        self._new_passwords = new_passwords
        self._with_second_factor = with_second_factor
        self._emit = emit
        self._clock = clock
        self._new_id = new_id

    def prepare(
        self,
        login: str,
        password: object,
        *,
        about: Sequence[str] = (),
        reference: str | None = None,
        source: Source,
    ) -> Account:
        """An account that is nowhere yet, under a canonical name, at the cost of one hash whether the name is free or not.

        Raises:
            Denied: MALFORMED; PasswordRefused.
        """
        account_id = self._new_id()
        hashed = self._new_passwords.prepare(
            account_id,
            password,
            about=(login, *about),
            with_second_factor=self._with_second_factor,
            current=None,
            source=source,
        )
        now = self._clock()
        return Account(
            id=account_id,
            login=login,
            password_hash=hashed,
            reference=reference,
            password_changed_at=now,
            created_at=now,
        )

    def create(self, account: Account, actor: Actor, source: Source) -> None:
        """Record first, then create: an account without a record could sign in and nobody would know of it.

        The log may so name an account that came to nothing: the store failed, or another took the sign-in name
        between the look and the write. A second record says that, with the same account id.

        Raises:
            Denied: LOGIN_TAKEN.
            AuditUnavailable: nothing was created.
        """
        if self._accounts.by_login(account.login) is not None:
            raise Denied(Reason.LOGIN_TAKEN)
        event = SecurityEvent(
            name=Event.ACCOUNT_CREATED,
            actor=actor,
            subjects=(account.reference,) if account.reference else (),
            resource=ResourceRef(type="account", id=account.id),
            source=source,
        )
        self._emit(event)
        try:
            created = self._accounts.create(account, now=self._clock())
        except BaseException:
            self._emit(replace(event, name=Event.ACCOUNT_CREATE_REFUSED, outcome=Outcome.ERROR))
            raise
        if not created:
            taken = Reason.LOGIN_TAKEN
            self._emit(
                replace(event, name=Event.ACCOUNT_CREATE_REFUSED, outcome=Outcome.DENIED, reason=taken)
            )
            raise Denied(taken)
