"""`Creating`: the one way in which an account comes into being, whoever asked for it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from portalsec.auth._own_words import OwnWords
from portalsec.auth.new_password import NewPasswords
from portalsec.auth.ports import Account, AccountStore, Contact, ContactStore
from portalsec.clock import Clock
from portalsec.errors import Denied, Reason, StoreError
from portalsec.events import Actor, Event, Outcome, ResourceRef, SecurityEvent, Source
from portalsec.typing import Emit, NewId

__all__ = ["Creating"]


class Creating:
    """Hashes the first password through `NewPasswords`, records, creates. Safe for concurrent use: one wins a name.

    Args:
        with_second_factor: whether every sign-in asks for a second factor too; only then may a short password do.
        own_words: a person's own words, which a password must not be made of.
    """

    def __init__(
        self,
        *,
        accounts: AccountStore,
        contacts: ContactStore,
        new_passwords: NewPasswords,
        with_second_factor: bool,
        own_words: OwnWords,
        emit: Emit,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._accounts = accounts
        self._contacts = contacts
        self._new_passwords = new_passwords
        self._with_second_factor = with_second_factor
        self._own_words = own_words
        self._emit = emit
        self._clock = clock
        self._new_id = new_id

    def prepare(
        self,
        login: str,
        password: object,
        *,
        addresses: Sequence[str] = (),
        reference: str | None = None,
        source: Source,
    ) -> Account:
        """An account that is nowhere yet, under a canonical name, at the cost of one hash whether the name is free or not.

        Args:
            addresses: the person's own e-mail addresses, which no store has yet.

        Raises:
            Denied: MALFORMED; PasswordRefused.
        """
        account = Account(id=self._new_id(), login=login, password_hash=None, reference=reference)
        hashed = self._new_passwords.prepare(
            account.id,
            password,
            about=self._own_words.of(account, *addresses),
            with_second_factor=self._with_second_factor,
            current=None,
            source=source,
        )
        now = self._clock()
        return replace(account, password_hash=hashed, password_changed_at=now, created_at=now)

    def create(self, account: Account, actor: Actor, source: Source, *addresses: str) -> None:
        """Record first, then create: an account without a record could sign in and nobody would know of it.

        The log may so name an account that came to nothing: the store failed, or another took the sign-in name
        between the look and the write. A second record says that, with the same account id.

        Args:
            addresses: e-mail addresses of theirs that are verified, in canonical form.

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
        held: list[Contact] = []
        try:
            # Address first: one without an account is nobody's and is found by no one.
            for address in addresses:
                held.append(self._add(account, address))
            created = self._accounts.create(account, now=self._clock())
        except BaseException:
            self._drop(held)
            self._emit(replace(event, name=Event.ACCOUNT_CREATE_REFUSED, outcome=Outcome.ERROR))
            raise
        if not created:
            self._drop(held)
            taken = Reason.LOGIN_TAKEN
            self._emit(
                replace(event, name=Event.ACCOUNT_CREATE_REFUSED, outcome=Outcome.DENIED, reason=taken)
            )
            raise Denied(taken)

    def _add(self, account: Account, address: str) -> Contact:
        at = account.created_at or self._clock()
        contact = Contact(
            id=self._new_id(), account_id=account.id, address=address, verified_at=at, created_at=at
        )
        if not self._contacts.add(contact):
            raise StoreError("an account's address could not be stored")
        return contact

    def _drop(self, held: Sequence[Contact]) -> None:
        for contact in held:
            with suppress(StoreError):
                self._contacts.remove(contact.account_id, contact.id)
