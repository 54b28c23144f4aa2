"""`Closing`: an account's owner closes it."""

from __future__ import annotations

from portalsec.auth._reauthentication import Reauthentication
from portalsec.auth.endings import Endings, Why
from portalsec.auth.new_password import NewPasswords
from portalsec.auth.notices import NoticeKind, Notices
from portalsec.auth.ports import AccountStore
from portalsec.auth.sessions import ActiveSession
from portalsec.clock import Clock
from portalsec.errors import StoreError
from portalsec.events import Actor, Event, ResourceRef, SecurityEvent, Source
from portalsec.typing import Emit

__all__ = ["Closing"]


class Closing:
    """Closes accounts. Safe for concurrent use and to repeat.

    What the portal holds about the person is the application's to keep or to erase; a closed account is disabled for
    good as far as portalsec goes, has no password, and its name stays taken.
    """

    def __init__(
        self,
        *,
        accounts: AccountStore,
        owner: Reauthentication,
        new_passwords: NewPasswords,
        endings: Endings,
        notices: Notices,
        emit: Emit,
        clock: Clock,
    ) -> None:
        self._accounts = accounts
        self._owner = owner
        self._new_passwords = new_passwords
        self._endings = endings
        self._notices = notices
        self._emit = emit
        self._clock = clock

    def close(self, session: ActiveSession, *, current: object, source: Source) -> None:
        """Disable the account, end everything of it, and tell its owner by mail.

        Raises:
            Denied: as `Reauthentication.verify`: a session that was left open closes nothing.
            StoreError: something failed; nobody got in by it. An operator can finish it by disabling the account.
        """
        account = self._owner.verify(session, current, source=source)
        owner = Actor(type="user", id=account.id)
        self._emit(
            SecurityEvent(
                name=Event.ACCOUNT_CLOSED,
                actor=owner,
                resource=ResourceRef(type="account", id=account.id),
                source=source,
                session=session.reference,
            )
        )
        now = self._clock()
        self._notices.tell(account.id, NoticeKind.ACCOUNT_CLOSED, source=source)
        self._accounts.set_disabled(
            account.id, True
        )  # before the endings: a sign-in under way ends with them
        self._new_passwords.retire(account.id, account.password_hash, now)
        # Changed meanwhile by somebody else: the account is disabled, which is what keeps everybody out.
        self._accounts.set_password(account.id, None, expected=account.password_hash, changed_at=now)
        self._endings.apply(account.id, Why.CLOSED, actor=owner, source=source)
        left = self._accounts.get(account.id)
        if left is None or not left.disabled:
            raise StoreError("an account was not closed")
