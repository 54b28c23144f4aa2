"""`require_lately`: what throws somebody out takes a factor that was shown lately, on the way in or since."""

from __future__ import annotations

from portalsec.auth.factors import WITHIN
from portalsec.auth.sessions import ActiveSession
from portalsec.auth.step_up import StepUpRequired
from portalsec.portal import Portal

__all__ = ["require_lately"]


def require_lately(portal: Portal, session: ActiveSession) -> None:
    """Return where a factor was.

    Of an account that has nothing it could show, as one without a password after a mailed link, a sign-in as fresh will do: a
    page would ask for what there is not.

    Raises:
        StepUpRequired: with what would do.
    """
    short: StepUpRequired | None = None
    try:
        portal.step_up.require(session, within=WITHIN, explicit=False)
    except StepUpRequired as found:
        short = found
    if short is not None and (short.next or portal.clock() - session.record.created_at >= WITHIN):
        raise short
