"""The policies of `tests.auth.exploration`, and what each of them asks for, in words of its own."""

from __future__ import annotations

from collections.abc import Iterable
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
WHATS = SECRETS | {
    "passkey",
    "verified",
    "touched",
    "hard",
}  # the last two: of a key that an attestation proved
SUPPORT = "kim"  # who may act in another's name

STAFF = DemandRule(demand=Demand(second=True), roles=frozenset({"staff"}))
KEYS = DemandRule(demand=Demand(second=True, phishing_resistant=True), roles=frozenset({"staff"}))
ABROAD = DemandRule(demand=Demand(second=True), labels=frozenset({"abroad"}))
UNMAILED = DemandRule(demand=Demand(allowed=SECONDS | {F.PASSWORD}), roles=frozenset({"staff"}))
HARDWARE = DemandRule(demand=Demand(level=3))
WORDLESS = DemandRule(demand=Demand(allowed=SECONDS))
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
        "linked": SignInPolicy(
            second_factor="optional",
            factors=SECONDS | {F.PASSWORD, F.EMAIL_CODE},
            mail_link=True,
            rules=(STAFF,),
        ),
        "invited": SignInPolicy(second_factor="optional", rules=(STAFF,)),
        "support": SignInPolicy(second_factor="optional", rules=(KEYS,)),
        "hardware": SignInPolicy(second_factor="optional", rules=(HARDWARE,)),
        "wordless": SignInPolicy(rules=(WORDLESS,)),
        "labels": SignInPolicy(second_factor="optional", rules=(STAFF, ABROAD)),
        "unmailed": SignInPolicy(factors=SECONDS | {F.PASSWORD, F.EMAIL_CODE}, rules=(UNMAILED,)),
    }.items()
}
OF_STAFF = {
    "roles": "required",
    "linked": "mailed",
    "invited": "required",
    "support": "resistant",
    "labels": "required",
    "unmailed": "required",
}
ELSEWHERE = {"labels": "required"}  # of whoever is abroad
GUESSED = {
    "labels",
    "unmailed",
}  # where an authenticator may be guessed to death: what one has, and cannot show
TRUSTS = {
    "mailed",
    "trusting",
    "resistant",
    "linked",
    "labels",
}  # where browsers are trusted: it must spare nothing that policy asks for
TRUST = TrustPolicy(enabled=True, lifetime=timedelta(hours=6))


@cache
def enough(policy: str, shown: frozenset[str], had_second: bool) -> bool:
    """What a session needs, in words of this test: ``shown`` are the secrets of its account that were really shown."""
    if "hard" in shown:
        shown |= {"verified"}
    if "touched" in shown:
        shown |= {"passkey"}
    held = shown & {"totp", "passkey", "verified", "recovery_code"}
    if policy in {"mailed", "linked", "unmailed"}:
        held |= shown & {"email_code"}
    two = "verified" in shown or ("password" in shown and bool(held))
    key = bool(shown & {"passkey", "verified"})
    first = "password" in shown and not had_second
    return {
        "optional": two or first,
        "required": two,
        "resistant": two and key,
        "grace": two or first,
        "passkeys": "verified" in shown or ("password" in shown and "passkey" in shown),
        "mailed": two,
        "trusting": two or first,
        "roles": two or first,  # of staff: "required"
        "linked": two or first or ("email_code" in shown and not had_second),  # of staff: "mailed"
        "invited": two or first,  # of staff: "required"
        "support": two or first,  # of staff: "resistant"
        "labels": two or first,  # of staff, and of who is abroad: "required"
        "unmailed": two,  # of staff: "required"
        "wordless": "verified"
        in shown,  # beside the password, the others lead on to a passkey that verifies its user
        "hardware": "hard" in shown or ("touched" in shown and "password" in shown),
    }[policy]


def two_factors(shown: Iterable[str]) -> bool:
    """What the support desk must have shown whoever it acts as: level 2, where a mailed code counts for nothing."""
    return enough("required", frozenset(shown), True)
