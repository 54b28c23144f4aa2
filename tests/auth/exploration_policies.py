"""The policies of `tests.auth.exploration`, and what each of them asks for, in words of its own."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

from portalsec.auth.demands import Demand, DemandRule, Facts
from portalsec.auth.proof import Factor
from portalsec.auth.signin import SignInPolicy
from portalsec.auth.trust import TrustPolicy
from portalsec.events import Source

F = Factor
SOURCE = Source()
ACCOUNTS = ("robin", "kim")
BROWSERS = (0, 1)
NOBODY, AS_STAFF = Facts(), Facts(roles=frozenset({"staff"}))
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
GRACE = START + timedelta(days=1)
ATTEMPTS = 2  # few, so that their end is near
PENDING = SignInPolicy().pending_lifetime
SECONDS = frozenset({F.TOTP, F.PASSKEY, F.RECOVERY_CODE})
SECRETS = {"password", "totp", "recovery_code", "email_code"}
WHATS = SECRETS | {"passkey", "verified"}

STAFF = DemandRule(demand=Demand(second=True), roles=frozenset({"staff"}))
POLICIES = {
    name: replace(policy, pending_attempts=ATTEMPTS)
    for name, policy in {
        "optional": SignInPolicy(second_factor="optional"),
        "required": SignInPolicy(),
        "resistant": SignInPolicy(phishing_resistant="required"),
        "grace": SignInPolicy(enrol_by=GRACE),
        "passkeys": SignInPolicy(factors=frozenset({F.PASSKEY, F.PASSWORD})),
        "mailed": SignInPolicy(factors=SECONDS | {F.PASSWORD, F.EMAIL_CODE}),
        "trusting": SignInPolicy(second_factor="optional"),
        "roles": SignInPolicy(second_factor="optional", rules=(STAFF,)),
    }.items()
}
TRUSTS = {
    "mailed",
    "trusting",
    "resistant",
}  # where browsers are trusted: it must spare nothing that policy asks for
TRUST = TrustPolicy(enabled=True, lifetime=timedelta(hours=6))


@cache
def enough(policy: str, shown: frozenset[str], had_second: bool) -> bool:
    """What a session needs, in words of this test: ``shown`` are the secrets of its account that were really shown."""
    held = shown & {"totp", "passkey", "verified", "recovery_code"}
    if policy == "mailed":
        held |= shown & {"email_code"}
    two = "verified" in shown or ("password" in shown and bool(held))
    key = bool(shown & {"passkey", "verified"})
    return {
        "optional": two or ("password" in shown and not had_second),
        "required": two,
        "resistant": two and key,
        "grace": two or ("password" in shown and not had_second),
        "passkeys": "verified" in shown or ("password" in shown and "passkey" in shown),
        "mailed": two,
        "trusting": two or ("password" in shown and not had_second),
        "roles": two or ("password" in shown and not had_second),  # of staff: "required"
    }[policy]
