"""`Reauthentication`: what guards an account, or ends it, takes a second factor shown lately and the password now."""

from __future__ import annotations

from portalsec.auth._current import CurrentPassword
from portalsec.auth.factors import WITHIN
from portalsec.auth.ports import Account
from portalsec.auth.sessions import ActiveSession
from portalsec.auth.step_up import StepUp
from portalsec.events import Source

__all__ = ["Reauthentication"]


class Reauthentication:
    """Everything the account has, once more (OWASP ASVS 5.0, V7.5.1). Safe for concurrent use.

    Whoever copied a session's cookie may well have the password too: by these two alone they must not move the account's
    mail to themselves, choose another password, or close it. Where there is no second factor the password says all there is.
    """

    def __init__(self, *, current: CurrentPassword, step_up: StepUp) -> None:
        self._current = current
        self._step_up = step_up

    def verify(self, session: ActiveSession, password: object, *, source: Source) -> Account:
        """The account of a session whose holder showed all of it.

        Raises:
            StepUpRequired: the account has a second factor, and none was shown in the last five minutes. The password was
                not looked at. A page finds that out before anybody types, by `StepUp.require_second`.
            Denied: as `CurrentPassword.verify`.
        """
        if session.impersonator is None:  # who acts in another's name is refused, and recorded, below
            self._step_up.require_second(session, within=WITHIN)
        return self._current.verify(session, password, source=source)
