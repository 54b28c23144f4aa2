"""`Replacing`: the one way in which a stored password becomes another one, whoever asked for it.

Order matters, since any step may be the last one of a process that dies:

1. record: an unrecorded change does not happen;
2. end what the change ends. Where the next step then fails, people sign in again with the password that they have;
   the other way round, a thief's session would outlive the change;
3. tell the owner and retire the old hash;
4. write, only where the old hash is still the one that this change was made for: one winner among several;
5. end once more whatever the old password opened between the second and the fourth step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NoReturn

from portalsec.auth._own_words import OwnWords
from portalsec.auth.endings import Endings, Why
from portalsec.auth.new_password import NewPasswords
from portalsec.auth.notices import NoticeKind, Notices
from portalsec.auth.ports import Account, AccountStore
from portalsec.auth.sessions import NewSession
from portalsec.clock import Clock
from portalsec.errors import Denied, Reason
from portalsec.events import Actor, Outcome, ResourceRef, SecurityEvent, Source
from portalsec.typing import Emit

__all__ = ["ENDINGS", "Replaced", "Replacing"]

_EXPIRED = "expired"  # `portalsec.auth.signin.EXPIRED`; that module stands above this one
ENDINGS = 2  # how often one change raises the account's epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """A password is another one now: the account as it is, and the session that was kept."""

    account: Account
    session: NewSession | None


class Replacing:
    """Checks and hashes through `NewPasswords`, then replaces. Safe for concurrent use.

    Args:
        with_second_factor: whether every sign-in asks for a second factor too.
        own_words: a person's own words, which a password must not be made of.
    """

    def __init__(
        self,
        *,
        accounts: AccountStore,
        new_passwords: NewPasswords,
        endings: Endings,
        notices: Notices,
        with_second_factor: bool,
        own_words: OwnWords,
        emit: Emit,
        clock: Clock,
    ) -> None:
        self._accounts = accounts
        self._new_passwords = new_passwords
        self._endings = endings
        self._notices = notices
        self._with_second_factor = with_second_factor
        self._emit = emit
        self._clock = clock
        self._own_words = own_words

    def prepare(self, account: Account, password: object, *, source: Source) -> str:
        """The hash of a new password for this account.

        Raises:
            Denied: MALFORMED; PasswordRefused.
        """
        return self._new_passwords.prepare(
            account.id,
            password,
            about=self._own_words.of(account),
            with_second_factor=self._with_second_factor,
            current=account.password_hash,
            source=source,
        )

    def replace(
        self,
        account: Account,
        new_hash: str,
        *,
        why: Why,
        event: str,
        notice: NoticeKind,
        source: Source,
        keep: bytes | None = None,
        session: str | None = None,
        details: Mapping[str, str] | None = None,
        mailed: bool = False,
    ) -> Replaced:
        """Put ``new_hash`` in the place of the account's.

        Args:
            account: as it was when the right to this was shown.
            keep: digest of the session that goes on under a new id.
            session: its reference, for the record.
            mailed: a mailed link gave the right to this. Where the password before was one of those, so is this one:
                knowing that one proved no more than the mailbox.

        Raises:
            Denied: EVIDENCE_STALE where the password was changed meanwhile, SESSION_REVOKED where the session to keep
                has ended; nothing was replaced.
            StoreError: something failed. Sessions may have ended; the password is the old one, or (where only the
                last step failed) the new one.
        """
        owner = Actor(type="user", id=account.id)
        record = SecurityEvent(
            name=event,
            actor=owner,
            resource=ResourceRef(type="account", id=account.id),
            source=source,
            session=session,
            changed=("password",),
            details=details or {},
        )
        self._emit(record)
        kept = self._endings.apply(account.id, why, actor=owner, source=source, keep=keep)
        if keep is not None and kept is None:
            self._refuse(
                record, Reason.SESSION_REVOKED
            )  # somebody ended the session that this is asked for in
        at = self._clock()
        # Whoever is told to change it may not be the only one who knows it, unless it is merely old.
        compromised = account.must_change not in {None, _EXPIRED}
        self._new_passwords.retire(account.id, account.password_hash, at, compromised=compromised)
        told = self._notices.tell(account.id, notice, source=source)
        mailed = mailed or account.password_mailed
        won = self._accounts.set_password(
            account.id, new_hash, expected=account.password_hash, changed_at=at, mailed=mailed
        )
        if not won:
            self._notices.withdraw(told.id)
            self._refuse(record, Reason.EVIDENCE_STALE)
        again = None if kept is None else kept.digest
        kept = self._endings.apply(account.id, why, actor=owner, source=source, keep=again)
        changed = replace(
            account, password_hash=new_hash, must_change=None, password_changed_at=at, password_mailed=mailed
        )
        return Replaced(account=changed, session=kept)

    def _refuse(self, record: SecurityEvent, reason: Reason) -> NoReturn:
        """A second record, which says that the first came to nothing."""
        self._emit(replace(record, outcome=Outcome.DENIED, reason=reason, changed=()))
        raise Denied(reason)
