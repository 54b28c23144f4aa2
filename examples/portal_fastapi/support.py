"""Patient support: who may act in whose name. portalsec asks at every start, and keeps the rest within bounds."""

from __future__ import annotations

from collections.abc import Callable

from portalsec.auth.impersonation import MayImpersonate
from portalsec.auth.sessions import ActiveSession
from portalsec.portal import Portal
from portalsec.rbac.model import Resource

__all__ = ["patient_support"]


def patient_support(portal: Callable[[], Portal]) -> MayImpersonate:
    """The clinic's rule. ``portal`` is asked for when the rule is: the portal is built with the rule."""

    def allowed(staff: ActiveSession, account_id: str) -> bool:
        asked = portal()
        # Patients and nobody else: what a clinician's account opens is others' records.
        if asked.stores.assignments.roles_of(account_id) != {"patient"}:
            return False
        return asked.pdp.can(asked.guard.subject(staff), "act", Resource(type="support"))

    return allowed
