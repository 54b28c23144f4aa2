"""`Step`: where a sign-in stands, as an adapter sees it."""

from __future__ import annotations

from dataclasses import dataclass

from portalsec.auth.demands import Next
from portalsec.auth.proof import Factor
from portalsec.auth.sessions import NewSession
from portalsec.errors import ConfigurationError
from portalsec.secret import Secret

__all__ = ["NEW_PASSWORD", "Step", "names_of"]

NEW_PASSWORD = "new_password"  # noqa: S105
_ORDER = tuple(Factor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Where a sign-in stands: it has a pending token and something to do next, or a session and nothing.

    Attributes:
        next: kinds of which any leads on: those of a factor to show ("password", "totp", "passkey", "recovery_code",
            "email_code", "sms_code"), or to set up ("totp_enrolment", "passkey_enrolment"), or ("new_password",), or
            () where there is a session.
        pending: for a short-lived cookie of its own; it is no session and opens nothing by itself. Each step has
            another.
        session: the opened session.
        device: with a session, the text for a cookie that outlives it: the next sign-in of this browser has its own
            budget. It is no factor. None where the browser's cookie stays as it is.
    """

    next: tuple[str, ...]
    pending: Secret[str] | None = None
    session: NewSession | None = None
    device: Secret[str] | None = None

    def __post_init__(self) -> None:
        if (self.pending is None) == (self.session is None) or bool(self.next) == (self.session is not None):
            raise ConfigurationError("Step: either pending with something next, or a session with nothing")


def names_of(where: Next) -> tuple[str, ...]:
    """`Step.next` of a sign-in that is not done, always in one order."""
    shown = [factor.value for factor in _ORDER if factor in where.show]
    return tuple(shown + [f"{factor.value}_enrolment" for factor in _ORDER if factor in where.enrol])
