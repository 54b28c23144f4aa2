"""When sessions end, and what else is asked of them: limits by role, assurance and place, presets with their source."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import ClassVar, Literal

from portalsec.auth.anomalies import AnomalyPolicy
from portalsec.errors import ConfigurationError

__all__ = ["Limits", "SessionPolicy", "SessionRule"]

_ZERO = timedelta(0)
_SECOND = timedelta(seconds=1)
_MOST = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long one session may go on; None where nothing tightens the portal's own."""

    idle: timedelta | None = None
    absolute: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRule:
    """Tighter limits for some sessions. It applies where all of its conditions hold; of all that apply, the shortest win.

    Attributes:
        idle, absolute: the limits; None leaves one as it is.
        roles: applies to accounts with one of these; empty: whatever the roles.
        min_level: applies from this assurance level on (SP 800-63B-4 asks for shorter sessions at higher levels).
        max_level: applies up to this one.
        shared: True: on computers that their user called shared; False: on others; None: on both.
    """

    idle: timedelta | None = None
    absolute: timedelta | None = None
    roles: frozenset[str] = frozenset()
    min_level: int = 0
    max_level: int = 3
    shared: bool | None = None

    def __post_init__(self) -> None:
        given: object = self.roles
        if isinstance(given, str):  # each of its letters would be a role
            raise ConfigurationError("SessionRule: roles is a set of names, not one text")
        object.__setattr__(self, "roles", frozenset(self.roles))
        if self.idle is None and self.absolute is None:
            raise ConfigurationError("SessionRule: it tightens nothing: give it idle or absolute")
        for limit in (self.idle, self.absolute):
            if limit is not None and limit < _SECOND:
                raise ConfigurationError("SessionRule: limits must be one second or longer")
        if not 0 <= self.min_level <= self.max_level <= 3:
            raise ConfigurationError(
                "SessionRule: min_level and max_level go from 0 to 3, the lower one first"
            )

    def applies(self, *, roles: frozenset[str], level: int, shared: bool) -> bool:
        """Whether it is about a session like this. Pure."""
        return (
            (not self.roles or bool(self.roles & roles))
            and self.min_level <= level <= self.max_level
            and (self.shared is None or self.shared == shared)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPolicy:
    """When a session ends.

    Attributes:
        idle: after this long without a request that counts as activity.
        absolute: after this long in any case.
        warn_before: how long before either end the page should warn.
        clock_tolerance: how far two servers' clocks may differ. A time further in the future than this ends the
            session, since a clock that was set back would otherwise lengthen it.
        rules: tighter limits for some sessions. They never loosen ``idle`` and ``absolute``.
        resume: whether, after an idle end and within the absolute limit, one factor goes on where it was (SP 800-63B-4
            section 2.2.3). Never on shared computers.
        max_sessions: how many sessions one account may have at once, or None.
        at_most: what happens to one more: "end_oldest" (the one unused the longest ends) or "refuse" (no sign-in).
        anomalies: what a session that suddenly comes from elsewhere is asked.
    """

    idle: timedelta
    absolute: timedelta
    warn_before: timedelta = timedelta(0)
    clock_tolerance: timedelta = timedelta(seconds=5)
    rules: tuple[SessionRule, ...] = (
        SessionRule(shared=True, idle=timedelta(minutes=5), absolute=timedelta(hours=1)),
    )
    resume: bool = True
    max_sessions: int | None = None
    at_most: Literal["end_oldest", "refuse"] = "end_oldest"
    anomalies: AnomalyPolicy = field(default_factory=AnomalyPolicy)

    NIST_AAL1: ClassVar[SessionPolicy]
    """SP 800-63B-4 section 2.1.3: 30 days in all. It asks for no idle limit; a day here, since browsers get lost."""
    NIST_AAL2: ClassVar[SessionPolicy]
    """SP 800-63B-4 section 2.2.3: one hour idle, 24 hours in all."""
    NIST_AAL3: ClassVar[SessionPolicy]
    """SP 800-63B-4 section 2.3.3: 15 minutes idle, 12 hours in all."""
    HIPAA_CLINIC: ClassVar[SessionPolicy]
    """15 minutes idle, 12 hours in all: automatic logoff (45 CFR 164.312(a)(2)(iii)) as clinics usually set it."""
    KIOSK: ClassVar[SessionPolicy]
    """2 minutes idle, 30 minutes in all, nothing to resume: a shared screen in a waiting room."""

    def __post_init__(self) -> None:
        if self.idle < _SECOND:
            raise ConfigurationError("SessionPolicy: idle must be one second or longer")
        if self.idle > self.absolute:
            raise ConfigurationError(
                "SessionPolicy: idle is longer than absolute: shorten idle or lengthen absolute"
            )
        if not _ZERO <= self.warn_before < self.idle:
            raise ConfigurationError("SessionPolicy: warn_before must be shorter than idle")
        if not _ZERO <= self.clock_tolerance <= timedelta(minutes=1):
            raise ConfigurationError("SessionPolicy: clock_tolerance goes from 0 to one minute")
        object.__setattr__(self, "rules", tuple(self.rules))
        if not all(type(rule) is SessionRule for rule in self.rules):
            raise ConfigurationError("SessionPolicy: rules is a tuple of SessionRule")
        if self.max_sessions is not None and not 1 <= self.max_sessions <= _MOST:
            raise ConfigurationError(f"SessionPolicy: max_sessions goes from 1 to {_MOST}, or is left out")
        if self.at_most not in ("end_oldest", "refuse"):
            raise ConfigurationError('SessionPolicy: at_most is "end_oldest" or "refuse"')

    def limits(self, *, roles: Iterable[str] = (), level: int, shared: bool) -> Limits:
        """The shortest of each limit among the rules that apply; None where none does. Pure."""
        held = frozenset(roles)
        applying = [rule for rule in self.rules if rule.applies(roles=held, level=level, shared=shared)]
        return Limits(
            idle=min((rule.idle for rule in applying if rule.idle is not None), default=None),
            absolute=min((rule.absolute for rule in applying if rule.absolute is not None), default=None),
        )


SessionPolicy.NIST_AAL1 = SessionPolicy(
    idle=timedelta(days=1), absolute=timedelta(days=30), warn_before=timedelta(minutes=2)
)
SessionPolicy.NIST_AAL2 = SessionPolicy(
    idle=timedelta(hours=1), absolute=timedelta(hours=24), warn_before=timedelta(minutes=2)
)
SessionPolicy.NIST_AAL3 = SessionPolicy(
    idle=timedelta(minutes=15), absolute=timedelta(hours=12), warn_before=timedelta(minutes=2)
)
SessionPolicy.HIPAA_CLINIC = SessionPolicy(
    idle=timedelta(minutes=15), absolute=timedelta(hours=12), warn_before=timedelta(minutes=2)
)
SessionPolicy.KIOSK = SessionPolicy(
    idle=timedelta(minutes=2), absolute=timedelta(minutes=30), warn_before=timedelta(seconds=30), resume=False
)
