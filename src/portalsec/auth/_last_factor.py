"""What goes with the last authenticator of an account, and which accounts may not be without one."""

from __future__ import annotations

from collections.abc import Callable

from portalsec.auth.demands import Demand
from portalsec.auth.proof import Factor
from portalsec.auth.recovery_codes import RecoveryCodes
from portalsec.auth.trust import Trust
from portalsec.events import Source

__all__ = ["LastFactor", "needs_authenticator"]


def needs_authenticator(demand: Demand) -> bool:
    """Whether a password alone never meets this demand."""
    asks_another = any(Factor.PASSWORD not in kinds for kinds in demand.factors)
    return demand.second or demand.phishing_resistant or demand.level > 1 or asks_another


class LastFactor:
    """Recovery codes stand in for an authenticator and trusted browsers spare one: without any they would be a second
    factor, or the lack of one, by themselves.

    A password that was long enough beside a second factor may be too short to stand alone: the next sign-in with it sees
    that and asks for a longer one (`portalsec.auth.signin.TOO_SHORT`), since only then is its length known. So no session
    stands through it either, not even the one in which the owner removed the factor.

    Args:
        required: whether policy asks this account for a second factor.
    """

    def __init__(self, *, codes: RecoveryCodes, trust: Trust, required: Callable[[str], bool]) -> None:
        self._codes = codes
        self._trust = trust
        self.required = required

    def went(self, account_id: str, *, source: Source) -> None:
        """The account's last authenticator goes, or went. Safe to repeat."""
        self._codes.remove(account_id)
        self.distrust(account_id, source=source)

    def distrust(self, account_id: str, *, source: Source) -> None:
        """An authenticator comes back, or what was added goes again: a browser that was trusted under the set-up of before
        must not be trusted anew by that."""
        self._trust.revoke_all(account_id, source=source)
