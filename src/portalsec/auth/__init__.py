"""Authentication: passwords, second factors, throttling, sessions, and the one door to them.

Names load with their first use, so that importing this package loads no third-party part.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portalsec.auth.account import Accounts, SignUp, canonical_login
    from portalsec.auth.adding_factor import AddingFactor
    from portalsec.auth.anomalies import AnomalyPolicy
    from portalsec.auth.attempt import SignInAttempt
    from portalsec.auth.breached import BreachFile, Bundled
    from portalsec.auth.breached_build import build_breach_file
    from portalsec.auth.breached_range import BreachRange
    from portalsec.auth.break_glass import BreakGlassNotices
    from portalsec.auth.budgets import DetectionPolicy, Lane, ThrottlePolicy
    from portalsec.auth.closing import Closing
    from portalsec.auth.contacts import Contacts, canonical_email
    from portalsec.auth.courier import Courier, Delivered
    from portalsec.auth.demands import Demand, DemandRule, Facts
    from portalsec.auth.device_rules import DeviceRule
    from portalsec.auth.devices import KnownDevices
    from portalsec.auth.disavowal import Disavowal, Disavowed
    from portalsec.auth.dormancy import Dormancy, DormancyPolicy
    from portalsec.auth.endings import Endings, What, Why
    from portalsec.auth.evidence import Evidence, Factor
    from portalsec.auth.factor_demand import FactorDemand
    from portalsec.auth.hash_costs import OlderArgon2
    from portalsec.auth.impersonation import Impersonation, ImpersonationPolicy
    from portalsec.auth.incidents import Incidents
    from portalsec.auth.legacy_hashes import LegacyCost
    from portalsec.auth.links import RecoveryPolicy
    from portalsec.auth.new_password import NewPasswords
    from portalsec.auth.notice_policy import NoticePolicy
    from portalsec.auth.notices import NoticeKind, Notices
    from portalsec.auth.otpauth import ImportProblem, ImportRefused
    from portalsec.auth.password_change import PasswordChange, SignInAgain
    from portalsec.auth.password_policy import PasswordPolicy, PasswordRefused, PasswordReport, Problem
    from portalsec.auth.passwords import Argon2Parameters, Passwords, Verified
    from portalsec.auth.posture import DevicePosture
    from portalsec.auth.recovery_codes import RecoveryCodes, RecoveryCodeSet
    from portalsec.auth.registration import Registration
    from portalsec.auth.reset import PasswordReset
    from portalsec.auth.sessions import ActiveSession, NewSession, SessionPolicy, SessionRule, Sessions
    from portalsec.auth.sign_in_link import SignInLinks
    from portalsec.auth.signin import SignIn, SignInPolicy, Step
    from portalsec.auth.step_up import StepUp, StepUpRequired
    from portalsec.auth.support import SupportDesk
    from portalsec.auth.throttle import Throttle
    from portalsec.auth.totp import Authenticator, CodeRefused, Enrolment, Totp, TotpParameters, TotpPolicy
    from portalsec.auth.unlock import Unlock

__all__ = [
    "Accounts",
    "ActiveSession",
    "AddingFactor",
    "AnomalyPolicy",
    "Argon2Parameters",
    "Authenticator",
    "BreachFile",
    "BreachRange",
    "BreakGlassNotices",
    "Bundled",
    "Closing",
    "CodeRefused",
    "Contacts",
    "Courier",
    "Delivered",
    "Demand",
    "DemandRule",
    "DetectionPolicy",
    "DevicePosture",
    "DeviceRule",
    "Disavowal",
    "Disavowed",
    "Dormancy",
    "DormancyPolicy",
    "Endings",
    "Enrolment",
    "Evidence",
    "Factor",
    "FactorDemand",
    "Facts",
    "Impersonation",
    "ImpersonationPolicy",
    "ImportProblem",
    "ImportRefused",
    "Incidents",
    "KnownDevices",
    "Lane",
    "LegacyCost",
    "NewPasswords",
    "NewSession",
    "NoticeKind",
    "NoticePolicy",
    "Notices",
    "OlderArgon2",
    "PasswordChange",
    "PasswordPolicy",
    "PasswordRefused",
    "PasswordReport",
    "PasswordReset",
    "Passwords",
    "Problem",
    "RecoveryCodeSet",
    "RecoveryCodes",
    "RecoveryPolicy",
    "Registration",
    "SessionPolicy",
    "SessionRule",
    "Sessions",
    "SignIn",
    "SignInAgain",
    "SignInAttempt",
    "SignInLinks",
    "SignInPolicy",
    "SignUp",
    "Step",
    "StepUp",
    "StepUpRequired",
    "SupportDesk",
    "Throttle",
    "ThrottlePolicy",
    "Totp",
    "TotpParameters",
    "TotpPolicy",
    "Unlock",
    "Verified",
    "What",
    "Why",
    "build_breach_file",
    "canonical_email",
    "canonical_login",
]

_HOMES = {
    "hash_costs": ("OlderArgon2",),
    "legacy_hashes": ("LegacyCost",),
    "notices": (
        "NoticeKind",
        "Notices",
    ),
    "notice_policy": ("NoticePolicy",),
    "courier": (
        "Courier",
        "Delivered",
    ),
    "anomalies": ("AnomalyPolicy",),
    "posture": ("DevicePosture",),
    "device_rules": ("DeviceRule",),
    "impersonation": ("Impersonation", "ImpersonationPolicy"),
    "incidents": ("Incidents",),
    "support": ("SupportDesk",),
    "disavowal": ("Disavowal", "Disavowed"),
    "dormancy": (
        "Dormancy",
        "DormancyPolicy",
    ),
    "closing": ("Closing",),
    "break_glass": ("BreakGlassNotices",),
    "adding_factor": ("AddingFactor",),
    "breached_build": ("build_breach_file",),
    "account": ("Accounts", "SignUp", "canonical_login"),
    "budgets": ("DetectionPolicy", "Lane", "ThrottlePolicy"),
    "contacts": ("Contacts", "canonical_email"),
    "attempt": ("SignInAttempt",),
    "demands": ("Demand", "DemandRule", "Facts"),
    "factor_demand": ("FactorDemand",),
    "devices": ("KnownDevices",),
    "endings": ("Endings", "What", "Why"),
    "breached": ("BreachFile", "Bundled"),
    "breached_range": ("BreachRange",),
    "evidence": ("Evidence", "Factor"),
    "links": ("RecoveryPolicy",),
    "password_change": ("PasswordChange", "SignInAgain"),
    "new_password": ("NewPasswords",),
    "password_policy": ("PasswordPolicy", "PasswordRefused", "PasswordReport", "Problem"),
    "passwords": ("Argon2Parameters", "Passwords", "Verified"),
    "recovery_codes": ("RecoveryCodeSet", "RecoveryCodes"),
    "registration": ("Registration",),
    "reset": ("PasswordReset",),
    "sessions": ("ActiveSession", "NewSession", "SessionPolicy", "SessionRule", "Sessions"),
    "sign_in_link": ("SignInLinks",),
    "signin": ("SignIn", "SignInPolicy", "Step"),
    "step_up": ("StepUp", "StepUpRequired"),
    "throttle": ("Throttle",),
    "totp": ("Authenticator", "CodeRefused", "Enrolment", "Totp", "TotpParameters", "TotpPolicy"),
    "otpauth": ("ImportProblem", "ImportRefused"),
    "unlock": ("Unlock",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)


def __dir__() -> list[str]:
    return __all__
