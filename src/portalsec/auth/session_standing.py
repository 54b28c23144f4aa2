"""Whether a session lives: the kernel that every request asks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from portalsec.auth.assurance import count
from portalsec.auth.ports import SessionRecord
from portalsec.auth.session_policy import SessionPolicy
from portalsec.errors import Reason

__all__ = ["ANYTHING", "Active", "Ended", "Required", "Standing", "evaluate", "may_rest", "measured"]

_ZERO = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Active:
    """The session lives; what is left of each limit, more than zero."""

    idle_left: timedelta
    absolute_left: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The session is over."""

    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Required:
    """What every session must have reached, by the portal's sign-in policy. One opened when less was asked is over.

    Attributes:
        second: two factors, which the level does not tell where a code by mail counts as one: those that were shown are
            counted. Not of a session in which somebody else acts, where its owner showed nothing: what they must have
            shown is asked of their own, without which it is over.
        since: from when on; None: always. Until then there is time to set a factor up (`SignInPolicy.enrol_by`).
    """

    level: int = 0
    second: bool = False
    phishing_resistant: bool = False
    since: datetime | None = None

    def missed_by(self, record: SessionRecord, now: datetime) -> bool:
        """Whether the session never reached what is asked of it at ``now``."""
        if self.since is not None and now < self.since:
            return False
        if record.level < self.level or (self.phishing_resistant and not record.phishing_resistant):
            return True
        # From level 2 on it was two.
        return self.second and record.level < 2 and record.impersonator is None and count(record.proofs) < 2


ANYTHING = Required()

Standing: TypeAlias = Active | Ended


def evaluate(
    record: SessionRecord,
    now: datetime,
    policy: SessionPolicy,
    current_epoch: int,
    required: Required = ANYTHING,
) -> Standing:
    """Whether a session lives at ``now``, as a value. Pure; a session is over exactly at a limit, not after it.

    It is measured against what holds now: an epoch that moved on (SESSION_REVOKED), an assurance that is ``required``
    and was never reached (EVIDENCE_MISSING), limits of the policy and its own, whichever is shorter. Times that are
    missing, naive, in the future or in the wrong order end it (SESSION_CLOCK). One that rests is over by SESSION_IDLE,
    whatever the limits say now, until the absolute limit.
    """
    found = measured(record, now, policy, current_epoch, required)
    return (
        Ended(reason=found)
        if isinstance(found, Reason)
        else Active(idle_left=found[0], absolute_left=found[1])
    )


def measured(
    record: SessionRecord, now: datetime, policy: SessionPolicy, current_epoch: int, required: Required
) -> Reason | tuple[timedelta, timedelta]:
    """`evaluate` for every request, which has no time for more objects: why it is over, or what is left, idle first."""
    if record.epoch != current_epoch:
        return Reason.SESSION_REVOKED
    # Asked inline first: nearly every session has what is required, and a call would cost more than the question.
    if (
        record.level < required.level
        or (required.second and record.level < 2)
        or (required.phishing_resistant and not record.phishing_resistant)
    ) and required.missed_by(record, now):
        return Reason.EVIDENCE_MISSING
    created, seen = record.created_at, record.last_seen_at
    try:
        # An aware time compares with aware times only, so whatever is none raises; a naive clock would hide that.
        possible = (now.tzinfo is UTC or now.utcoffset() is not None) and created <= seen
        # The tolerance is looked at where it decides: most times are past ones.
        if seen > now:
            possible = possible and seen <= now + policy.clock_tolerance
        for proof in record.proofs:
            if proof.at > now:
                possible = possible and proof.at <= now + policy.clock_tolerance
        absolute, idle = policy.absolute, policy.idle
        if record.absolute is not None and record.absolute < absolute:
            absolute = record.absolute
        if record.idle is not None and record.idle < idle:
            idle = record.idle
    except TypeError:
        possible = False
    if not possible:
        return Reason.SESSION_CLOCK
    absolute_left = absolute - (now - created) if created < now else absolute
    if absolute_left <= _ZERO:
        return Reason.SESSION_EXPIRED
    idle_left = idle - (now - seen) if seen < now else idle
    if idle_left <= _ZERO or record.rested_at is not None:
        return Reason.SESSION_IDLE
    return (idle_left if idle_left < absolute_left else absolute_left), absolute_left


def may_rest(record: SessionRecord, policy: SessionPolicy) -> bool:
    """Whether an idle end leaves something that one factor resumes. Pure.

    Not on a shared computer, where the next person would need that one factor only; and never for somebody who acts in
    the owner's name. Nor where the token is bound to a key: its client signs in anew, and shows the key with that.
    """
    return policy.resume and not record.shared and record.impersonator is None and record.jkt is None
