"""`CurrentPassword`: whoever changes what guards an account shows the current password, in a session that is open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portalsec.auth._input import password_text
from portalsec.auth.ports import Account, AccountStore
from portalsec.auth.sessions import ActiveSession
from portalsec.auth.throttle import Throttle
from portalsec.errors import Denied, Reason, StoreError, Tampered
from portalsec.events import Event, Outcome, ResourceRef, SecurityEvent, Source
from portalsec.typing import Emit

if TYPE_CHECKING:
    from portalsec.auth.passwords import Passwords

__all__ = ["CurrentPassword"]


class CurrentPassword:
    """Looks at the current password under a budget of its own, which a stolen session cannot stretch by signing in.

    Safe for concurrent use.
    """

    def __init__(
        self, *, accounts: AccountStore, passwords: Passwords, throttle: Throttle, emit: Emit
    ) -> None:
        self._accounts = accounts
        self._passwords = passwords
        self._throttle = throttle
        self._emit = emit

    def verify(self, session: ActiveSession, password: object, *, source: Source) -> Account:
        """The account of a session whose holder typed its current password.

        Raises:
            Denied: IMPERSONATED, MALFORMED, THROTTLED, WRONG_PASSWORD, FACTOR_NOT_ENROLLED (there is none: a link by mail leads to
                one), ACCOUNT_DISABLED, ACCOUNT_LOCKED.
        """
        account_id = session.account_id
        if session.impersonator is not None:
            self._record(session, Reason.IMPERSONATED, source, Event.AUTH_STEP_UP)
            session.require_owner()
        try:
            password_text(password)
        except Denied as refusal:
            self._record(session, refusal.reason, source, Event.SYSTEM_REQUEST_REFUSED)
            raise
        try:
            attempt = self._throttle.reserve("step_up", account=account_id, address=source.address)
        except Denied as refusal:
            self._record(session, refusal.reason, source, Event.AUTH_THROTTLED)
            raise
        try:
            account = self._accounts.get(account_id)
        except StoreError:
            attempt.not_tested()
            raise
        stored = None if account is None or attempt.locked is not None else account.password_hash
        reason: Reason | None = attempt.locked
        try:
            self._passwords.verify(stored, password, account_id=account_id)
        except Denied as refusal:
            reason = reason or (Reason.FACTOR_NOT_ENROLLED if stored is None else refusal.reason)
        except Tampered:
            reason = Reason.FACTOR_NOT_ENROLLED
        except StoreError:
            attempt.not_tested()
            raise
        if reason is None and (account is None or account.disabled):
            reason = Reason.ACCOUNT_DISABLED
        if reason is not None or account is None:
            attempt.failed()
            self._record(session, reason or Reason.UNKNOWN_ACCOUNT, source, Event.AUTH_STEP_UP)
            raise Denied(reason or Reason.UNKNOWN_ACCOUNT)
        attempt.succeeded()
        return account

    def _record(self, session: ActiveSession, reason: Reason, source: Source, event: str) -> None:
        self._emit(
            SecurityEvent(
                name=event,
                outcome=Outcome.DENIED,
                actor=session.actor,
                resource=ResourceRef(type="account", id=session.account_id),
                reason=reason,
                source=source,
                session=session.reference,
                details={"kind": "step_up"},
            )
        )
