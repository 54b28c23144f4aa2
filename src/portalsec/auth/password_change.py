"""`PasswordChange`: a new password by the owner, or because the next sign-in asks for one."""

from __future__ import annotations

from portalsec.auth._door import DOOR
from portalsec.auth._reauthentication import Reauthentication
from portalsec.auth._replacing import ENDINGS, Replacing
from portalsec.auth.endings import Why
from portalsec.auth.notices import NoticeKind, Notices
from portalsec.auth.password_policy import PasswordRefused
from portalsec.auth.ports import Account, AccountStore
from portalsec.auth.sessions import ActiveSession, NewSession
from portalsec.auth.signin import SignIn, Step
from portalsec.clock import Clock
from portalsec.errors import ConfigurationError, Denied, Reason
from portalsec.events import Actor, Event, Outcome, ResourceRef, SecurityEvent, Source
from portalsec.typing import Emit

__all__ = ["PasswordChange", "SignInAgain"]

_MAX_REASON = 64


class SignInAgain(Denied):
    """The new password stands, and what was shown beside it is too old by now: no session opened. Its reason is EVIDENCE_STALE.

    No error of the person's: tell them that the password is changed, and let them sign in with it.
    """

    def __init__(self) -> None:
        super().__init__(Reason.EVIDENCE_STALE)
        self.args = ()  # what a copy or a pickle is rebuilt from


class PasswordChange:
    """Changes passwords of people who are known. Safe for concurrent use: of several changes at once, one wins."""

    def __init__(
        self,
        *,
        accounts: AccountStore,
        owner: Reauthentication,
        replacing: Replacing,
        notices: Notices,
        sign_in: SignIn,
        emit: Emit,
        clock: Clock,
    ) -> None:
        self._accounts = accounts
        self._owner = owner
        self._replacing = replacing
        self._notices = notices
        self._sign_in = sign_in
        self._emit = emit
        self._clock = clock

    def change(self, session: ActiveSession, *, current: object, new: object, source: Source) -> NewSession:
        """Put ``new`` in the place of ``current``. Every other session ends; this one goes on under a new id.

        Returns:
            The session under its new id: its token belongs into the browser's cookie now.

        Raises:
            Denied: MALFORMED, THROTTLED, WRONG_PASSWORD, FACTOR_NOT_ENROLLED (there is no current one: a link by mail
                leads to the first), EVIDENCE_STALE (another change was faster), SESSION_REVOKED.
            PasswordRefused: with what is to be mended.
        """
        account = self._owner.verify(session, current, source=source)
        new_hash = self._prepared(account, new, source, session.reference)
        replaced = self._replacing.replace(
            account,
            new_hash,
            why=Why.PASSWORD_CHANGED,
            event=Event.AUTH_PASSWORD_CHANGED,
            notice=NoticeKind.PASSWORD_CHANGED,
            source=source,
            keep=session.digest,
            session=session.reference,
        )
        if replaced.session is None:
            raise Denied(
                Reason.SESSION_REVOKED
            )  # everything was ended just after: the password is the new one
        return replaced.session

    def require(self, account_id: str, reason: str, *, actor: Actor, source: Source) -> None:
        """Have the next sign-in of an account choose a new password, after all its factors.

        Sessions that are open stay; end them with `Endings.apply` where the reason asks for that.

        Args:
            reason: a closed code of the application's ("breached"), at most 64 characters; it goes into the log.

        Raises:
            Denied: UNKNOWN_ACCOUNT.
        """
        if not reason or len(reason) > _MAX_REASON:
            raise ConfigurationError("PasswordChange.require: reason is a short code, 1 to 64 characters")
        if self._accounts.get(account_id) is None:
            raise Denied(Reason.UNKNOWN_ACCOUNT)
        self._emit(
            SecurityEvent(
                name=Event.AUTH_PASSWORD_CHANGE_REQUIRED,
                actor=actor,
                resource=ResourceRef(type="account", id=account_id),
                source=source,
                details={"why": reason},
            )
        )
        if not self._accounts.require_change(account_id, reason):
            raise Denied(Reason.UNKNOWN_ACCOUNT)
        self._notices.tell(account_id, NoticeKind.PASSWORD_REQUIRED, source=source)

    def submit_forced(self, pending: object, new: object, *, source: Source, device: object = None) -> Step:
        """Finish a sign-in that stands at ("new_password",).

        Every other session of the account ends. ``device`` as at `SignIn.submit_totp`.

        Raises:
            SignInAgain: the password is changed; choosing it took longer than a factor that was shown before it lives.
            Denied: FLOW_UNKNOWN, ACCOUNT_DISABLED, MALFORMED, EVIDENCE_STALE (another change was faster), SESSION_REVOKED.
            PasswordRefused: with what is to be mended; the pending token stays good.
        """
        with self._sign_in.ended_by_errors(DOOR, pending):
            return self._forced(pending, new, source=source, device=device)

    def _forced(self, pending: object, new: object, *, source: Source, device: object) -> Step:
        flow, state, account = self._sign_in.change_under_way(DOOR, pending, source=source)
        why = self._sign_in.must_change(account) or ""
        new_hash = self._prepared(account, new, source, None)
        self._sign_in.take_change(DOOR, flow, source=source)
        replaced = self._replacing.replace(
            account,
            new_hash,
            why=Why.PASSWORD_CHANGED,
            event=Event.AUTH_PASSWORD_CHANGED,
            notice=NoticeKind.PASSWORD_CHANGED,
            source=source,
            details={"why": why},
        )
        try:
            return self._sign_in.after_change(
                DOOR,
                replaced.account,
                state,
                epoch=state.epoch + ENDINGS,
                at=self._clock(),
                source=source,
                device=device,
            )
        except Denied as refusal:
            if refusal.reason is not Reason.EVIDENCE_STALE:
                raise
        raise SignInAgain

    def _prepared(self, account: Account, new: object, source: Source, session: str | None) -> str:
        try:
            return self._replacing.prepare(account, new, source=source)
        except PasswordRefused:
            self._refused(account, Reason.PASSWORD_REFUSED, source, session)
            raise
        except Denied as refusal:
            self._refused(account, refusal.reason, source, session)
            raise

    def _refused(self, account: Account, reason: Reason, source: Source, session: str | None) -> None:
        self._emit(
            SecurityEvent(
                name=Event.AUTH_PASSWORD_CHANGED,
                outcome=Outcome.DENIED,
                actor=Actor(type="user", id=account.id),
                resource=ResourceRef(type="account", id=account.id),
                reason=reason,
                source=source,
                session=session,
            )
        )
