"""`AddingFactor`: a second factor for an account that has none, set up by its owner in an open session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portalsec.auth._current import CurrentPassword
from portalsec.auth._door import DOOR
from portalsec.auth.sessions import ActiveSession, NewSession
from portalsec.auth.signin import SignIn
from portalsec.events import Source

if TYPE_CHECKING:
    from portalsec.auth.totp import Enrolment

__all__ = ["AddingFactor"]


class AddingFactor:
    """Begins and confirms through `SignIn`, after the current password was shown once more.

    A session that was left open, or stolen, is not enough: whoever added a factor with it could keep the owner out.
    Safe for concurrent use: of several confirmations, one wins.
    """

    def __init__(self, *, current: CurrentPassword, sign_in: SignIn) -> None:
        self._current = current
        self._sign_in = sign_in

    def begin(self, session: ActiveSession, current: object, *, source: Source) -> Enrolment:
        """Make a seed. Show it once, in the answer to a POST; it counts for nothing until `confirm`.

        Args:
            session: of the owner; the enrolment is bound to it.
            current: the current password, which has a budget of its own (``step_up``).

        Raises:
            Denied: FACTOR_ALREADY_ENROLLED, and what `CurrentPassword.verify` raises.
        """
        account = self._current.verify(session, current, source=source)
        return self._sign_in.begin_totp_within(DOOR, session, account, source=source)

    def confirm(self, session: ActiveSession, code: object, *, source: Source) -> NewSession:
        """Accept the first code: from now on every sign-in asks for one. The owner is told.

        Every other session of the account ends; this one goes on under the id that is returned.

        Raises:
            Denied: MALFORMED, WRONG_CODE, THROTTLED; FLOW_UNKNOWN, FLOW_EXHAUSTED and FACTOR_NOT_ENROLLED (begin
                again); FACTOR_ALREADY_ENROLLED, ACCOUNT_DISABLED, SESSION_REVOKED.
            AuditUnavailable: it could not be recorded, so the authenticator is void; begin again.
        """
        return self._sign_in.confirm_totp_within(DOOR, session, code, source=source)
