"""`Accounts`: what staff do with accounts, and how invited people get theirs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from portalsec.auth._creating import Creating
from portalsec.auth._email import canonical_email
from portalsec.auth._input import canonical_login
from portalsec.auth.endings import Endings, Why
from portalsec.auth.invitations import INVITATION_LIFETIME, Invitations, SignUp
from portalsec.auth.notices import NoticeKind, Notices
from portalsec.auth.ports import Account, AccountStore
from portalsec.errors import Denied, Reason, StoreError
from portalsec.events import SYSTEM, Actor, Event, Outcome, ResourceRef, SecurityEvent, Source
from portalsec.secret import Secret
from portalsec.typing import Emit

__all__ = ["INVITATION_LIFETIME", "Accounts", "SignUp", "canonical_login"]

_NOWHERE = Source()


class Accounts:
    """Invites, signs up, creates, disables and enables. Safe for concurrent use."""

    def __init__(
        self,
        *,
        accounts: AccountStore,
        creating: Creating,
        invitations: Invitations,
        endings: Endings,
        notices: Notices,
        emit: Emit,
    ) -> None:
        self._accounts = accounts
        self._creating = creating
        self._invitations = invitations
        self._endings = endings
        self._notices = notices
        self._emit = emit

    def invite(self, reference: str, *, actor: Actor, source: Source, address: object = None) -> Secret[str]:
        """`portalsec.auth.invitations.Invitations.invite`: an activation code."""
        return self._invitations.invite(reference, actor=actor, source=source, address=address)

    def sign_up(
        self,
        *,
        invitation: object,
        login: object,
        password: object,
        source: Source,
    ) -> SignUp:
        """`portalsec.auth.invitations.Invitations.sign_up`: an activation code becomes an account."""
        return self._invitations.sign_up(invitation=invitation, login=login, password=password, source=source)

    def create(
        self,
        *,
        login: object,
        password: object,
        reference: str | None = None,
        email: object = None,
        actor: Actor = SYSTEM,
        source: Source = _NOWHERE,
    ) -> Account:
        """Create an account without an invitation: seeding and administration. It enrols its factor at first sign-in.

        Args:
            reference: the person's id in the application's data.
            email: an address of theirs that the caller has checked: it counts as verified, so that notices and links
                to a new password go there.

        Raises:
            Denied: MALFORMED, ADDRESS_REFUSED, LOGIN_TAKEN.
            PasswordRefused: administration follows the same policy.
        """
        name = canonical_login(login)
        addresses = () if email is None else (canonical_email(email),)
        account = self._creating.prepare(
            name, password, addresses=addresses, reference=reference, source=source
        )
        self._creating.create(account, actor, source, *addresses)
        return account

    def disable(self, account_id: str, *, actor: Actor, source: Source) -> None:
        """Disable an account and end what `ENDS` says; its owner is told. Repeat it safely after a failure.

        Where one part fails, the others are done all the same before the error is raised.

        Raises:
            Denied: UNKNOWN_ACCOUNT.
        """
        account = self._known(account_id)
        # Disabled first: a sign-in that passes the door's check before this is ended by the epoch after it. And before
        # the record, unlike all that opens something: a log that is down must not keep a stranger in.
        changed = self._accounts.set_disabled(account_id, True)
        steps: tuple[Callable[[], object], ...] = (
            lambda: self._endings.apply(account_id, Why.DISABLED, actor=actor, source=source),
            lambda: self._tell_disabled(account, changed, source),
            lambda: self._emit(_switched(Event.ACCOUNT_DISABLED, account_id, changed, actor, source)),
        )
        failures: list[StoreError] = []
        for step in steps:
            try:
                step()
            except StoreError as failure:
                failures.append(failure)
        if failures:
            raise failures[0]

    def enable(self, account_id: str, *, actor: Actor, source: Source) -> None:
        """Enable an account again; nothing that was ended comes back.

        Raises:
            Denied: UNKNOWN_ACCOUNT.
            AuditUnavailable: it could not be recorded, so it did not happen.
        """
        changed = self._known(account_id).disabled
        record = _switched(Event.ACCOUNT_ENABLED, account_id, changed, actor, source)
        self._emit(record)
        try:
            self._accounts.set_disabled(account_id, False)
        except BaseException:
            # A second record: nobody knows whether the store did it.
            self._emit(replace(record, outcome=Outcome.ERROR))
            raise

    # -- parts of the above -----------------------------------------------------------------------------------------

    def _known(self, account_id: str) -> Account:
        account = self._accounts.get(account_id)
        if account is None:
            raise Denied(Reason.UNKNOWN_ACCOUNT)
        return account

    def _tell_disabled(self, account: Account, changed: bool, source: Source) -> None:
        """Tell the owner, also where an earlier try disabled the account and could not."""
        if changed or not self._told(account):
            self._notices.tell(account.id, NoticeKind.ACCOUNT_DISABLED, source=source)

    def _told(self, account: Account) -> bool:
        """Whether the newest notice of it is younger than the last sign-in, before which nothing was disabled."""
        since = account.signed_in_at
        return any(
            notice.kind == NoticeKind.ACCOUNT_DISABLED and (since is None or notice.at >= since)
            for notice in self._notices.of_account(account.id)
        )


def _switched(name: str, account_id: str, changed: bool, actor: Actor, source: Source) -> SecurityEvent:
    return SecurityEvent(
        name=name,
        actor=actor,
        resource=ResourceRef(type="account", id=account_id),
        source=source,
        changed=("disabled",) if changed else (),
    )
