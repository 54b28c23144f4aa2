"""What a session must have proven, and what is missing: pure functions of values.

A `Demand` is what is asked; `meets` says whether proofs are enough; `missing` says what leads on from where a sign-in
stands. Who asks what of whom (roles, permissions, tenants, risk) is a list of `DemandRule`; the strictest wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import combinations

from portalsec.auth.assurance import count, level, phishing_resistant
from portalsec.auth.device_rules import DeviceRule
from portalsec.auth.posture import DevicePosture
from portalsec.auth.proof import Factor, Proof
from portalsec.errors import ConfigurationError

__all__ = [
    "Demand",
    "DemandRule",
    "Enrolled",
    "Facts",
    "Next",
    "best_of",
    "leading_on",
    "meets",
    "missing",
    "strictest",
]

_EPOCH = datetime.min.replace(tzinfo=UTC)
ENROLABLE = (Factor.TOTP, Factor.PASSKEY)
SECOND = frozenset({Factor.TOTP, Factor.PASSKEY, Factor.RECOVERY_CODE})
"""Factors that an owner set up: who has one is asked for one, whatever the policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a session must have proven.

    Attributes:
        level: at least this assurance level, 0 to 3 (`portalsec.auth.assurance.level`).
        second: two factors. Level 2 asks for more: e-mail does not count there.
        phishing_resistant: one of the proofs is a passkey's.
        factors: of each of these sets, one must be among the proofs.
        allowed: kinds that count at all; None: every kind.
    """

    level: int = 1
    second: bool = False
    phishing_resistant: bool = False
    factors: tuple[frozenset[Factor], ...] = ()
    allowed: frozenset[Factor] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.level <= 3:
            raise ConfigurationError("Demand: level goes from 0 to 3")
        if not all(self.factors) or (self.allowed is not None and not self.allowed):
            raise ConfigurationError("Demand: an empty set of factors can never be met")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of the person beside their factors.

    Attributes:
        roles, permissions, tenants: by name.
        risk: 0 is usual; what the numbers above mean is the application's.
        labels: of this very sign-in, as the application's `RiskOf` gave them; the door puts them here.
        posture: what the app it comes from says of its device, if anything; likewise.
    """

    roles: frozenset[str] = frozenset()
    permissions: frozenset[str] = frozenset()
    tenants: frozenset[str] = frozenset()
    risk: int = 0
    labels: frozenset[str] = frozenset()
    posture: DevicePosture | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandRule:
    """Asks more of some.

    Attributes:
        demand: of whom all that is given below holds.
        roles, permissions, tenants: one of these; empty: of everyone.
        risk: at least this.
        labels: one of these was given to this very sign-in (`portalsec.auth.attempt.RiskOf`); empty: any sign-in.
        device: what the app it comes from says of its device; None: any device. It is a claim, and a rule can ask for
            more by it, never for less: what a `Demand` leaves out, the others still ask.
        since: from this moment on; None: always. Before it, the rule asks nothing.
    """

    demand: Demand
    roles: frozenset[str] = frozenset()
    permissions: frozenset[str] = frozenset()
    tenants: frozenset[str] = frozenset()
    risk: int = 0
    labels: frozenset[str] = frozenset()
    device: DeviceRule | None = None
    since: datetime | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.demand, Demand):
            raise ConfigurationError("DemandRule: demand is a Demand")
        for name in ("roles", "permissions", "tenants", "labels"):
            if not isinstance(getattr(self, name), frozenset):
                # A text is a collection of letters: a rule for the role "admin" would apply to the role "a".
                raise ConfigurationError(f"DemandRule: {name} is a frozenset of names")
        if self.device is not None and not isinstance(self.device, DeviceRule):
            raise ConfigurationError("DemandRule: device is a DeviceRule")
        if self.since is not None and self.since.utcoffset() is None:
            raise ConfigurationError("DemandRule: since needs a time zone")

    @property
    def of_attempt(self) -> bool:
        """Whether it goes by this very sign-in, and not only by whose it is."""
        return bool(self.labels) or self.device is not None

    def applies(self, facts: Facts, now: datetime) -> bool:
        """Whether it asks something of this person now."""
        return (
            (self.since is None or now >= self.since)
            and facts.risk >= self.risk
            and (self.device is None or self.device.applies(facts.posture))
            and all(
                not wanted or not wanted.isdisjoint(has)
                for wanted, has in (
                    (self.roles, facts.roles),
                    (self.permissions, facts.permissions),
                    (self.tenants, facts.tenants),
                    (self.labels, facts.labels),
                )
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """What an account has.

    Attributes:
        usable: kinds that it can show now.
        second: whether it has a second factor of its own, usable or not: one that was disabled after too many wrong
            codes, say, must not turn into none.
        enrolable: kinds that may be set up at the door.
    """

    usable: frozenset[Factor] = frozenset()
    second: bool = False
    enrolable: frozenset[Factor] = frozenset(ENROLABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """Where a sign-in stands: done, or some kinds lead on, or some are to be set up; nothing at all leads nowhere.

    Attributes:
        done: the proofs are enough.
        show: one of these kinds is to be shown.
        enrol: one of these kinds is to be set up.
        grace: they are enough only because there is time until a date to set a second factor up.
    """

    done: bool = False
    show: frozenset[Factor] = frozenset()
    enrol: frozenset[Factor] = frozenset()
    grace: bool = False


def strictest(demands: Iterable[Demand]) -> Demand:
    """One demand that asks all that these ask."""
    whole = Demand(level=0)
    for demand in demands:
        allowed = whole.allowed if demand.allowed is None else demand.allowed
        if whole.allowed is not None and demand.allowed is not None:
            allowed = whole.allowed & demand.allowed
            if not allowed:
                raise ConfigurationError("two demands for one person allow no factor in common")
        whole = Demand(
            level=max(whole.level, demand.level),
            second=whole.second or demand.second,
            phishing_resistant=whole.phishing_resistant or demand.phishing_resistant,
            factors=whole.factors + tuple(each for each in demand.factors if each not in whole.factors),
            allowed=allowed,
        )
    return whole


def meets(proofs: Iterable[Proof], demand: Demand) -> bool:
    """Whether these proofs are enough."""
    counted = [proof for proof in proofs if demand.allowed is None or proof.factor in demand.allowed]
    kinds = {proof.factor for proof in counted}
    return (
        level(counted) >= demand.level
        and (not demand.second or count(counted) == 2)
        and (not demand.phishing_resistant or phishing_resistant(counted))
        and all(not kinds.isdisjoint(each) for each in demand.factors)
    )


def missing(proofs: Sequence[Proof], enrolled: Enrolled, demand: Demand, *, grace: bool = False) -> Next:
    """What leads on from these proofs to what is asked.

    An owner who has a second factor is asked for one also where the policy asks for none. What can be shown goes before
    what can be set up, and setting a factor up beside one that is there already takes two factors: a password alone,
    which a stranger may have, must never add one.

    Args:
        demand: the strictest of all that apply.
        grace: whoever would have to set a factor up now has until later.
    """
    wanted = replace(demand, second=True) if enrolled.second else demand
    if meets(proofs, wanted):
        return Next(done=True)
    allowed = frozenset(Factor) if demand.allowed is None else demand.allowed
    shown = {proof.factor for proof in proofs}
    open_to = sorted((enrolled.usable & allowed) - shown)
    if ways := _ways(proofs, open_to, wanted):
        return Next(show=ways)
    two = Demand(second=True, allowed=demand.allowed)
    # The password is one of the two also where a rule leaves it out of what opens a session: whoever has a key that verifies
    # nobody, or codes alone, would be locked out by such a rule for good, and has shown two factors with it.
    either = allowed | {Factor.PASSWORD}
    factors = count(_counting(proofs, either))
    beside = _ways(proofs, open_to, replace(two, allowed=either)) if factors < 2 else frozenset()
    if enrolled.second and factors < 2:
        # First what is there, then what is to be added beside it.
        return Next(show=beside)
    if not proofs:
        return Next()
    # What can be shown of what is asked is no later's: a code by mail, say, where a passkey is to be set up.
    if grace and meets(
        proofs, two if enrolled.second or (demand.second and beside) else replace(two, second=False)
    ):
        return Next(done=True, grace=True)
    if beside:
        # A code by mail is no factor of the owner's own, and still more than a password that a stranger may have.
        return Next(show=beside)
    # Another passkey may be what the one at hand is not: bound to its device, of a known make.
    new = sorted((enrolled.enrolable & allowed) - (enrolled.usable - {Factor.PASSKEY}))
    return Next(enrol=frozenset(each for each in new if _ways(proofs, [*open_to, each], wanted)))


def _counting(proofs: Sequence[Proof], allowed: frozenset[Factor]) -> list[Proof]:
    """Those of a kind that counts: one that was shown when less was asked may not count any more."""
    return [proof for proof in proofs if proof.factor in allowed]


def _ways(proofs: Sequence[Proof], factors: Sequence[Factor], demand: Demand) -> frozenset[Factor]:
    """The kinds of the smallest sets of ``factors`` that, at their best, would meet the demand. At most 64 sets."""
    for size in range(1, len(factors) + 1):
        found = [
            some
            for some in combinations(factors, size)
            if meets([*proofs, *(best_of(factor) for factor in some)], demand)
        ]
        if found:
            return frozenset(factor for some in found for factor in some)
    return frozenset()


def leading_on(proofs: Sequence[Proof], best: Mapping[Factor, Proof], demand: Demand) -> frozenset[Factor]:
    """Kinds that lead from these proofs to what is asked: of all sets that would do, those in which nothing is too much.

    Not of the smallest alone, as at the door: whoever left their passkey at home may go on with a password and a code.

    Args:
        best: what showing each kind that somebody has could prove at most; at most 64 sets of them are looked at.
    """
    found: list[frozenset[Factor]] = []
    for size in range(1, len(best) + 1):
        for some in map(frozenset, combinations(best, size)):
            if any(less <= some for less in found):
                continue
            if meets([*proofs, *(best[factor] for factor in some)], demand):
                found.append(some)
    return frozenset().union(*found)


def best_of(factor: Factor) -> Proof:
    """What showing this kind could prove at most."""
    key = factor is Factor.PASSKEY
    return Proof(factor=factor, at=_EPOCH, user_verified=key, device_bound=key, attested=key)
