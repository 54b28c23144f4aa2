"""`FactorDemand`: what a session must have shown lately, checked where it is written and not when a visitor comes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from portalsec.auth.proof import Factor
from portalsec.errors import ConfigurationError

__all__ = ["FactorDemand"]

_SHOWN = frozenset({Factor.PASSWORD, Factor.TOTP, Factor.PASSKEY, Factor.RECOVERY_CODE})


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorDemand:
    """What `StepUp.require` asks for; its arguments are these.

    Attributes:
        within: how old a proof may be, counted from when it was shown.
        factors: kinds of which one must be among them; None: a second factor where the account has one, else the password.
        level: assurance level, 0 to 3, that the fresh proofs must reach by themselves.
        phishing_resistant: one of them must be a passkey.
        explicit: only what was shown because somebody asked counts, and not what was shown on the way in.
    """

    within: timedelta
    factors: frozenset[Factor] | None = None
    level: int = 1
    phishing_resistant: bool = False
    explicit: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.within, timedelta):
            # 300 could be seconds or minutes, and would first be found out by whoever opens the page.
            raise ConfigurationError("require_factor: within is a timedelta, as timedelta(minutes=5)")
        if self.within <= timedelta(0):
            raise ConfigurationError("require_factor: within must be longer than nothing")
        if type(self.level) is not int or not 0 <= self.level <= 3:
            raise ConfigurationError("require_factor: level is a number from 0 to 3")
        if self.factors is not None and not (self.factors and self.factors <= _SHOWN):
            raise ConfigurationError(
                "require_factor: a step-up takes a password, totp, a passkey or a recovery_code, one of them at least"
            )

    @classmethod
    def of(
        cls,
        *kinds: Factor | str,
        within: timedelta,
        level: int = 1,
        phishing_resistant: bool = False,
        explicit: bool = True,
    ) -> FactorDemand:
        """The same of kinds by name; none: as ``factors=None``."""
        return cls(
            within=within,
            factors=factors_of(kinds) if kinds else None,
            level=level,
            phishing_resistant=phishing_resistant,
            explicit=explicit,
        )


def factors_of(kinds: Iterable[object]) -> frozenset[Factor]:
    """Kinds by name.

    Raises:
        ConfigurationError: what is no name of one, since a view that asks for nothing lets everybody through.
    """
    known = {factor.value: factor for factor in Factor}
    found = [known.get(kind) if isinstance(kind, str) else None for kind in kinds]
    if None in found:
        raise ConfigurationError(
            'require_factor: kinds are names, as "totp", "passkey": password, totp, passkey, recovery_code'
        )
    return frozenset(each for each in found if each is not None)
