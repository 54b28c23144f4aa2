"""`SignInAttempt`: what is known of one sign-in beside whose it is, for an application that knows what is unusual.

An application hands over a `RiskOf`: a function from an attempt to labels of its own ("abroad", "new_device"). Rules of
the sign-in policy name labels as they name roles::

    DemandRule(demand=Demand(phishing_resistant=True), labels=frozenset({"abroad"}))

It is asked once a factor was right, anew at every step, when a session is resumed, and when one shows a factor again: so
it must be quick. Where it raises, or returns anything but labels, nobody is let in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from portalsec.auth.posture import DevicePosture
from portalsec.events import Source

__all__ = ["RiskOf", "SignInAttempt", "labels_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInAttempt:
    """One sign-in, at one of its steps.

    Attributes:
        account_id: whose it would be; a first factor was right.
        source: where this step's request came from.
        device: the browser is "unknown" to this account, "known" (it was signed in there before and was kept in mind),
            "trusted" by its owner, or "signed_in" where an open or resting session shows a factor.
        posture: what the app says of its device, at this step or an earlier one; advisory.
    """

    account_id: str
    source: Source
    device: Literal["unknown", "known", "trusted", "signed_in"] = "unknown"
    posture: DevicePosture | None = None


RiskOf: TypeAlias = Callable[[SignInAttempt], frozenset[str]]
"""Which labels an attempt gets; none for a usual one. Called from several threads."""


def labels_of(risk_of: RiskOf, attempt: SignInAttempt) -> frozenset[str]:
    """What the application says of an attempt.

    Raises:
        TypeError: it said something else. Compared with the rules as it is, that would ask for less.
    """
    labels: object = risk_of(attempt)
    if not isinstance(labels, frozenset) or not all(isinstance(each, str) for each in labels):
        raise TypeError("risk_of returns a frozenset of labels")
    return frozenset(labels)
