"""Authentication: passwords, second factors, throttling, sessions, and the one door to them.

Names load with their first use, so that importing this package loads no third-party part.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portalsec.auth.account import Accounts, SignUp, canonical_login
    from portalsec.auth.evidence import Evidence, Factor
    from portalsec.auth.password_policy import PasswordPolicy, PasswordRefused, Problem
    from portalsec.auth.passwords import Argon2Parameters, Passwords, Verified
    from portalsec.auth.sessions import ActiveSession, NewSession, SessionPolicy, Sessions
    from portalsec.auth.signin import SignIn, SignInPolicy, Step
    from portalsec.auth.throttle import Lane, Throttle, ThrottlePolicy
    from portalsec.auth.totp import Enrolment, Totp, TotpParameters

__all__ = [
    "Accounts",
    "ActiveSession",
    "Argon2Parameters",
    "Enrolment",
    "Evidence",
    "Factor",
    "Lane",
    "NewSession",
    "PasswordPolicy",
    "PasswordRefused",
    "Passwords",
    "Problem",
    "SessionPolicy",
    "Sessions",
    "SignIn",
    "SignInPolicy",
    "SignUp",
    "Step",
    "Throttle",
    "ThrottlePolicy",
    "Totp",
    "TotpParameters",
    "Verified",
    "canonical_login",
]

_HOMES = {
    "account": ("Accounts", "SignUp", "canonical_login"),
    "evidence": ("Evidence", "Factor"),
    "password_policy": ("PasswordPolicy", "PasswordRefused", "Problem"),
    "passwords": ("Argon2Parameters", "Passwords", "Verified"),
    "sessions": ("ActiveSession", "NewSession", "SessionPolicy", "Sessions"),
    "signin": ("SignIn", "SignInPolicy", "Step"),
    "throttle": ("Lane", "Throttle", "ThrottlePolicy"),
    "totp": ("Enrolment", "Totp", "TotpParameters"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)


def __dir__() -> list[str]:
    return __all__
