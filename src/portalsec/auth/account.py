"""`Accounts`: what staff do with accounts, and how invited people get theirs."""

from __future__ import annotations

from portalsec.auth._creating import Creating
from portalsec.auth._email import canonical_email
from portalsec.auth._input import canonical_login
from portalsec.auth.endings import Endings, Why
from portalsec.auth.invitations import INVITATION_LIFETIME, Invitations, SignUp
from portalsec.auth.notices import NoticeKind, Notices
from portalsec.auth.ports import Account, AccountStore
from portalsec.errors import Denied, Reason
from portalsec.events import SYSTEM, Actor, Event, ResourceRef, SecurityEvent, Source
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

        Raises:
            Denied: UNKNOWN_ACCOUNT.
        """
        self._known(account_id)
        # Disabled first: a sign-in that passes the door's check before this is ended by the epoch after it.
        changed = self._accounts.set_disabled(account_id, True)
        self._endings.apply(account_id, Why.DISABLED, actor=actor, source=source)
        if changed:
            self._notices.tell(account_id, NoticeKind.ACCOUNT_DISABLED, source=source)
        self._switched(Event.ACCOUNT_DISABLED, account_id, changed, actor, source)

    def enable(self, account_id: str, *, actor: Actor, source: Source) -> None:
        """Enable an account again; nothing that was ended comes back.

        Raises:
            Denied: UNKNOWN_ACCOUNT.
        """
        self._known(account_id)
        changed = self._accounts.set_disabled(account_id, False)
        self._switched(Event.ACCOUNT_ENABLED, account_id, changed, actor, source)

    # -- parts of the above -----------------------------------------------------------------------------------------

    def _known(self, account_id: str) -> None:
        if self._accounts.get(account_id) is None:
            raise Denied(Reason.UNKNOWN_ACCOUNT)

    def _switched(self, name: str, account_id: str, changed: bool, actor: Actor, source: Source) -> None:
        self._emit(
            SecurityEvent(
                name=name,
                actor=actor,
                resource=ResourceRef(type="account", id=account_id),
                source=source,
                changed=("disabled",) if changed else (),
            )
        )
