"""Filters of portalsec's templates: what codes and numbers are in words."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django import template

from portalsec.account_pages import ACT_AS, who
from portalsec.auth.proof import Factor
from portalsec.django.conf import get_portal
from portalsec.django.request import acting_of
from portalsec.events import Event

__all__ = ["did", "lasting", "portalsec_act_as", "portalsec_acting", "portalsec_who", "proven", "waiting"]

register = template.Library()

_DID: dict[str, str] = {
    Event.RECORD_READ: "Read a health record",
    Event.RECORD_LISTED: "Looked at a list of records",
    Event.RECORD_SEARCHED: "Searched for people",
    Event.SUBJECT_REPORT_VIEWED: "Looked at who has seen a record",
    Event.AUTH_LOGIN: "Signed in",
    Event.AUTH_LOGIN_FAILED: "Tried to sign in",
    Event.AUTH_LOGOUT: "Signed out",
    Event.AUTH_PASSWORD_VERIFIED: "Typed the right password",
    Event.AUTH_PASSWORD_CHANGED: "Changed the password",
    Event.AUTH_PASSWORD_RESET: "Chose a new password by mail",
    Event.AUTH_MFA_ENROLLED: "Set up a second key",
    Event.AUTH_MFA_CHALLENGE_FAILED: "Typed a wrong code",
    Event.AUTH_DEVICE_ADDED: "Signed in with a new browser",
    Event.AUTH_DEVICE_REMOVED: "Forgot browsers",
    Event.AUTH_SESSION_REVOKED: "Ended all sessions",
    Event.ACCOUNT_CREATED: "The account was made",
    Event.ACCESS_ROLE_GRANTED: "The account got its role",
    Event.ACCOUNT_CONTACT_ADDED: "Added an e-mail address",
    Event.ACCOUNT_CONTACT_VERIFIED: "Confirmed an e-mail address",
    Event.ACCOUNT_CONTACT_REMOVED: "Removed an e-mail address",
    Event.ACCOUNT_DISAVOWED: "Said: this was not me",
    Event.ACCOUNT_INCIDENT_OPENED: "Had this incident opened",
    Event.ACCOUNT_NOTICE_SENT: "Got a mail from us",
    Event.ACCESS_DENIED: "Tried to open something that is not theirs",
    Event.AUDIT_QUERIED: "Looked into the log",
}


_PROVEN: dict[str, str] = {
    Factor.PASSWORD: "a password",
    Factor.TOTP: "a code",
    Factor.PASSKEY: "a passkey",
    Factor.RECOVERY_CODE: "a recovery code",
    Factor.EMAIL_CODE: "a mailed code",
    Factor.SMS_CODE: "a code by SMS",
}


@register.filter
def did(action: str) -> str:
    """What an event of the audit log is in words; what has none, as the log calls it."""
    return _DID.get(action, action)


@register.filter
def proven(factors: Iterable[str]) -> str:
    """Kinds of factors in words: "a password and a code"."""
    return " and ".join(_PROVEN.get(factor, factor) for factor in factors)


@register.filter
def waiting(seconds: int) -> str:
    """How long to wait: "40 seconds", "15 minutes", "2 hours", "30 days"; rounded up."""
    for least, unit, words in ((172_800, 86_400, "days"), (7200, 3600, "hours"), (90, 60, "minutes")):
        if seconds >= least:
            return f"{-(-seconds // unit)} {words}"
    return "1 second" if seconds == 1 else f"{seconds} seconds"


@register.filter
def lasting(duration: timedelta) -> str:
    """A duration as `waiting` has it."""
    return waiting(int(duration.total_seconds()))


@register.simple_tag
def portalsec_who(user: Any) -> str:
    """``data-who`` of the scripts that clear a page which is another's."""
    return who(get_portal(), str(user.portalsec_account.pk))


@register.inclusion_tag("portalsec/_acting.html", takes_context=True)
def portalsec_acting(context: Any) -> dict[str, Any]:
    """The banner of a session in which support acts in an owner's name; nothing in anybody's own. For every page."""
    request = context.get("request")
    if request is None or not hasattr(request, "session"):  # a page about an error, which knows it already
        return {"acting": context.get("acting")}
    return {"acting": acting_of(request), "request": request}


@register.simple_tag
def portalsec_act_as() -> str:
    """The page where staff begins to act in an owner's name; an empty text where the portal has none."""
    return ACT_AS if get_portal().impersonation.offered else ""
