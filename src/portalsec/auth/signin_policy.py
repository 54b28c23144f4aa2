"""`SignInPolicy`: what a session asks for, of everyone and of some."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from portalsec.auth.demands import Demand, DemandRule, Facts, strictest
from portalsec.auth.proof import Factor
from portalsec.auth.session_standing import Required
from portalsec.errors import ConfigurationError

__all__ = ["SignInPolicy"]

_ON_ASKING = frozenset({Factor.EMAIL_CODE, Factor.SMS_CODE})
_USUAL = frozenset(Factor) - _ON_ASKING


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInPolicy:
    """What a session asks for.

    Attributes:
        second_factor: "required" (accounts without one enrol at the door) or "optional" (asked of those who have one).
        phishing_resistant: "required" (a passkey must be among the proofs; accounts without one enrol at the door, once
            they have shown all they have) or "optional".
        factors: kinds that count. Codes by mail and SMS are off unless they are listed here: they are no match for
            phishing, and mail is no second factor in SP 800-63B-4.
        mail_link: a link by mail is a first factor (`portalsec.auth.sign_in_link`); it counts as a code by mail, which must
            be listed.
        rules: what is asked of some besides (by role, permission, tenant, risk, device); the strictest wins. What goes by
            this very sign-in (`DemandRule.labels`, `DemandRule.device`) nobody who would get in without it answers
            with a factor that they set up there and then, and there is no time to set one up either: whoever is where they
            should not be has what they had before.
        enrol_by: until then, accounts that would have to set a factor up get in without; from then on nobody does, and
            sessions that never showed what is asked of everyone end. What ``rules`` ask besides is asked when a session
            opens or is resumed. None: no such time.
        pending_lifetime: time from the first factor to the last.
        pending_attempts: codes and passkeys that one step of a pending sign-in may try.
        evidence_lifetime: how old evidence may be when the session opens; as ``pending_lifetime`` where None.
    """

    second_factor: Literal["required", "optional"] = "required"
    phishing_resistant: Literal["required", "optional"] = "optional"
    factors: frozenset[Factor] = _USUAL
    mail_link: bool = False
    rules: tuple[DemandRule, ...] = ()
    enrol_by: datetime | None = None
    pending_lifetime: timedelta = timedelta(minutes=10)
    pending_attempts: int = 5
    evidence_lifetime: timedelta | None = None

    def __post_init__(self) -> None:
        for name in ("second_factor", "phishing_resistant"):
            if getattr(self, name) not in ("required", "optional"):
                raise ConfigurationError(f'SignInPolicy: {name} is "required" or "optional"')
        if not self.factors <= frozenset(Factor) or self.factors <= _ON_ASKING:
            raise ConfigurationError(
                "SignInPolicy: factors names kinds of Factor, and one that is more than a code by mail or SMS"
            )
        if self.factors & _ON_ASKING and not self.factors & {Factor.TOTP, Factor.PASSKEY}:
            # SMS is a restricted authenticator: whoever is offered it is offered one that is none (SP 800-63B-4, 3.2.9).
            # And after a reset by mail a mailed code is the same mailbox again: there must be something else to set up.
            raise ConfigurationError(
                f"SignInPolicy: factors has codes by {'SMS' if Factor.SMS_CODE in self.factors else 'mail'}: "
                "list TOTP or PASSKEY beside them"
            )
        told: object = self.mail_link
        if not isinstance(told, bool) or (told and Factor.EMAIL_CODE not in self.factors):
            raise ConfigurationError(
                "SignInPolicy: mail_link is True or False, and a link counts as a code by mail: list EMAIL_CODE in factors"
            )
        if self.phishing_resistant == "required" and Factor.PASSKEY not in self.factors:
            raise ConfigurationError(
                "SignInPolicy: phishing_resistant asks for passkeys: list them in factors"
            )
        if not all(isinstance(rule, DemandRule) for rule in self.rules):
            raise ConfigurationError("SignInPolicy: rules is a tuple of DemandRule")
        if self.enrol_by is not None and self.enrol_by.utcoffset() is None:
            raise ConfigurationError("SignInPolicy: enrol_by needs a time zone")
        if not timedelta(seconds=30) <= self.pending_lifetime <= timedelta(hours=1):
            raise ConfigurationError("SignInPolicy: pending_lifetime goes from 30 seconds to one hour")
        if self.pending_attempts < 1:
            raise ConfigurationError("SignInPolicy: pending_attempts must be at least 1")
        if self.evidence_lifetime is not None and self.evidence_lifetime < timedelta(seconds=30):
            raise ConfigurationError("SignInPolicy: evidence_lifetime must be 30 seconds or longer")

    @property
    def everyone(self) -> Demand:
        """What every session must have proven, whoever it is and once `enrol_by` has passed."""
        return Demand(
            second=self.second_factor == "required",
            phishing_resistant=self.phishing_resistant == "required",
            allowed=self.factors,
        )

    @property
    def floor(self) -> Required:
        """What sessions that are open already are measured by, at every request."""
        # A mailed code is a second factor where the policy takes one, and never level 2: then what was shown is counted.
        two = self.second_factor == "required"
        return Required(
            level=2 if two and Factor.EMAIL_CODE not in self.factors else 1,
            second=two,
            phishing_resistant=self.phishing_resistant == "required",
            since=self.enrol_by,
        )

    @property
    def asks_who(self) -> bool:
        """Whether some rule depends on what is known of the person."""
        return any(rule.roles or rule.permissions or rule.tenants or rule.risk for rule in self.rules)

    @property
    def asks_risk(self) -> bool:
        """Whether some rule goes by the labels of a sign-in."""
        return any(rule.labels for rule in self.rules)

    @property
    def asks_attempt(self) -> bool:
        """Whether some rule goes by this very sign-in: its labels, or what its app says of the device."""
        return any(rule.of_attempt for rule in self.rules)

    def demand(self, facts: Facts, now: datetime) -> Demand:
        """What is asked of a person of whom this is known, at this moment."""
        return strictest([self.everyone, *self._applying(facts, now)])

    def usual(self, facts: Facts, now: datetime) -> Demand:
        """The same but for what goes by this very sign-in: what is asked of this person anywhere."""
        return strictest([self.everyone, *self._applying(facts, now, of_attempt=False)])

    def of_attempt(self, facts: Facts, now: datetime) -> Demand:
        """What is asked because of this very sign-in, and no more."""
        return strictest(self._applying(facts, now, of_attempt=True))

    def grace(self, now: datetime) -> bool:
        """Whether there is time left to set a factor up."""
        return self.enrol_by is not None and now < self.enrol_by

    def _applying(self, facts: Facts, now: datetime, *, of_attempt: bool | None = None) -> Iterator[Demand]:
        return (
            rule.demand
            for rule in self.rules
            if of_attempt in (None, rule.of_attempt) and rule.applies(facts, now)
        )
