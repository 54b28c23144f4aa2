"""What a request brought: its cookies, where it came from, and whose live session it has. Asked once a request."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest

from portalsec._encoding import uuid7
from portalsec.account_pages.acting import ActingView, acting_view
from portalsec.auth.posture import POSTURE_HEADER, claim_text
from portalsec.auth.sessions import ActiveSession
from portalsec.django.conf import get_portal
from portalsec.django.sessions import SessionStore
from portalsec.django.stores.accounts import DjangoAccounts
from portalsec.errors import ConfigurationError, Denied, PortalsecError, Reason
from portalsec.events import SYSTEM, Event, Outcome, SecurityEvent, Source
from portalsec.web import (
    DEVICE_COOKIE,
    LINK_COOKIE,
    PASSKEY_COOKIE,
    PENDING_COOKIE,
    SESSION_COOKIE,
    STAFF_COOKIE,
    check_same_site,
    client_address,
    cookie_value,
)

__all__ = [
    "acting_known",
    "acting_of",
    "adopt_session",
    "device_token",
    "failure_of",
    "forget",
    "keep_failure",
    "keep_key",
    "link_token",
    "live_session",
    "passkey_token",
    "pending_token",
    "require_same_site",
    "session_token",
    "source_of",
    "staff_token",
    "user_of",
]

_KEPT = "_portalsec"
_POSTURE = f"HTTP_{POSTURE_HEADER.upper().replace('-', '_')}"


@dataclass(slots=True)
class _Kept:
    """What was found out about one request."""

    source: Source | None = None
    session: ActiveSession | None = None
    denied: Denied | None = None
    user: Any = None
    acting: ActingView | None = None
    asked: bool = False
    passive: bool = False
    no_activity: bool = False  # the view is marked `portalsec.django.decorators.passive`
    logged_out: bool = False  # by Django's `logout`
    recorded: bool = False  # that a cookie was tossed in
    failure: PortalsecError | None = None
    given: str | None = None  # the session that this request itself was given


def source_of(request: HttpRequest) -> Source:
    """Where the request came from, through the declared proxies and no others."""
    kept = _kept(request)
    if kept.source is None:
        agent = request.META.get("HTTP_USER_AGENT")
        if agent and not agent.isprintable():
            agent = "".join(c for c in agent if c.isprintable())
        kept.source = Source(
            address=client_address(
                request.META.get("REMOTE_ADDR"),
                request.META.get("HTTP_X_FORWARDED_FOR"),
                hops=get_portal().proxy_hops,
            ),
            user_agent=agent[:256] if agent else None,
            request_id=uuid7(),
            posture=claim_text(request.META.get(_POSTURE)),
        )
    return kept.source


def keep_key(request: HttpRequest, jkt: str) -> None:
    """An API client proved this key with the request, which its `source_of` names from here on."""
    kept = _kept(request)
    kept.source = replace(source_of(request), jkt=jkt)


def adopt_session(request: HttpRequest) -> None:
    """Let ``request.session`` be the one of the cookie that portalsec finds, whatever Django found.

    Django's reader strips Unicode's white space from names, takes quotes from values and the last of two. Were there
    two readers, a cookie that was tossed in could open one session as the visitor's data and end another as its own.
    """
    try:
        token = cookie_value(request.META.get("HTTP_COOKIE"), SESSION_COOKIE)
    except Denied:
        token = None  # refused and recorded when somebody asks who is there
    if request.COOKIES.pop(SESSION_COOKIE, None) != token:
        request.session = SessionStore(token)
    if token is not None:
        request.COOKIES[SESSION_COOKIE] = token


def session_token(request: HttpRequest) -> str | None:
    """The session cookie. Raises `portalsec.errors.Denied` where another was tossed in, which is recorded."""
    return _kept(request).given or _cookie(request, SESSION_COOKIE)


def pending_token(request: HttpRequest) -> str | None:
    """The cookie of a sign-in that has not ended. Raises as `session_token`."""
    return _cookie(request, PENDING_COOKIE)


def device_token(request: HttpRequest) -> str | None:
    """The cookie of a browser that was signed in before. Raises as `session_token`."""
    return _cookie(request, DEVICE_COOKIE)


def passkey_token(request: HttpRequest) -> str | None:
    """The cookie of a question for a passkey that comes first. Raises as `session_token`."""
    return _cookie(request, PASSKEY_COOKIE)


def link_token(request: HttpRequest) -> str | None:
    """The cookie that a mailed link was exchanged for. Raises as `session_token`."""
    return _cookie(request, LINK_COOKIE)


def staff_token(request: HttpRequest) -> str | None:
    """The cookie behind a session in which support acts. An empty text where another was tossed in, which is recorded: it is
    no way back then, and nothing else depends on it."""
    try:
        return _cookie(request, STAFF_COOKIE)
    except Denied:
        return ""


def acting_of(request: HttpRequest) -> ActingView | None:
    """What every page must say in a session in which support acts; None in anybody's own, and for a visitor."""
    try:
        live_session(request, passive=True)
    except Denied:
        return None
    return acting_known(request)


def acting_known(request: HttpRequest) -> ActingView | None:
    """The same, as far as this request has found out: asks no store, for a page about an error."""
    return _kept(request).acting


def live_session(request: HttpRequest, *, passive: bool = False, stepping_up: bool = False) -> ActiveSession:
    """The request's live session; the core is asked once a request.

    Args:
        passive: the request does not count as activity (a page that asks how long is left); nor does one whose view is
            marked with `portalsec.django.decorators.passive`.
        stepping_up: the request shows a factor: it goes through where the session must show one.

    Raises:
        Denied: there is none, or STEP_UP_REQUIRED. Whatever Django kept for it is gone then.
        StoreError: a store could not answer; nobody is let in.
    """
    kept = _kept(request)
    passive = passive or kept.no_activity
    if stepping_up and kept.denied is not None and kept.denied.reason is Reason.STEP_UP_REQUIRED:
        # Somebody looked before it was known which view this is.
        request.session = SessionStore(session_token(request))
        request.session.source = source_of(request)
        kept.asked = False
    if not kept.asked or (kept.session is not None and kept.passive and not passive):
        kept.session = kept.denied = kept.acting = None
        try:
            kept.session, kept.user = _check(request, passive=passive, stepping_up=stepping_up)
            kept.acting = acting_view(get_portal(), kept.session, name=_name_of(kept.user))
        except Denied as denied:
            kept.denied = denied
        kept.asked, kept.passive = True, passive
    if kept.session is not None and not getattr(request.session, "belongs_to_sign_in", False):
        kept.session = None  # the view has signed out since
    if kept.session is None:
        raise kept.denied or Denied(Reason.SESSION_MISSING)
    return kept.session


def keep_passive(request: HttpRequest) -> None:
    """Nothing of this request is activity, whoever asks for its session."""
    _kept(request).no_activity = True


def keep_logged_out(request: HttpRequest) -> None:
    """Django's `logout` was called, by whatever view."""
    _kept(request).logged_out = True


def was_logged_out(request: HttpRequest) -> bool:
    """Whether it was, in this request."""
    return _kept(request).logged_out


def user_of(request: HttpRequest) -> Any:
    """The user whom portalsec's evidence names; anonymous otherwise, whatever else the session says."""
    try:
        # Passive: a middleware may look before it is known which view this is. The view's own check counts.
        live_session(request, passive=True)
    except Denied:
        return AnonymousUser()
    return _kept(request).user


def require_same_site(request: HttpRequest) -> None:
    """Refuse and record a state-changing request that another site caused. As Django's own check, not in its test client.

    Raises:
        Denied: CROSS_SITE.
    """
    if getattr(request, "_dont_enforce_csrf_checks", False):
        return
    portal = get_portal()
    headers = {
        name: request.headers[name]
        for name in ("sec-fetch-site", "origin", "dpop", "cookie")
        if name in request.headers
    }
    try:
        check_same_site(request.method or "", headers, base_url=portal.base_url)
    except Denied as denied:
        portal.emit(
            SecurityEvent(
                name=Event.SYSTEM_REQUEST_REFUSED,
                outcome=Outcome.DENIED,
                reason=denied.reason,
                source=source_of(request),
            )
        )
        raise


def forget(request: HttpRequest, *, given: str | None = None) -> None:
    """Ask anew: the request has just signed in or out. ``given``: the session's new token, which the cookie is not yet."""
    _kept(request).given = given
    _kept(request).asked = False
    _kept(request).session = _kept(request).user = _kept(request).denied = _kept(request).acting = None


def keep_failure(request: HttpRequest, error: PortalsecError) -> None:
    """What Django is about to answer with its 500."""
    _kept(request).failure = error


def failure_of(request: HttpRequest) -> PortalsecError | None:
    """The error of portalsec that Django answered with its 500, if that is what happened."""
    return _kept(request).failure


def _check(request: HttpRequest, *, passive: bool, stepping_up: bool) -> tuple[ActiveSession, Any]:
    portal, source = get_portal(), source_of(request)
    kept = request.session
    if not isinstance(kept, SessionStore):
        raise ConfigurationError('settings: SESSION_ENGINE must be "portalsec.django.sessions"')
    token = session_token(request)
    if token is None or kept.belongs_to_visitor():
        raise Denied(Reason.SESSION_MISSING)
    try:
        session = portal.sessions.check(token, source=source, passive=passive, stepping_up=stepping_up)
        user = DjangoAccounts().user(session.account_id)
        if user is None or not user.is_active:
            # Switched off in the admin, or deleted: its sessions end here, wherever that was done.
            portal.sessions.end_all(session.account_id, source=source, actor=SYSTEM)
            raise Denied(Reason.ACCOUNT_DISABLED)
        if not kept.confirms(user):
            # The password was changed behind portalsec's back (an admin form, `set_password`).
            portal.sessions.end(token, source=source, actor=SYSTEM)
            raise Denied(Reason.SESSION_REVOKED)
        if session.impersonator is not None and not _staff_stands(session):
            portal.sessions.end(token, source=source, actor=SYSTEM)
            raise Denied(Reason.SESSION_REVOKED)
    except Denied as denied:
        # The cookie stays: a late answer to a request with an older id must not sign out the session that began
        # meanwhile, and one that rests goes on by it. A dead id in a browser opens nothing.
        request.COOKIES.pop(SESSION_COOKIE, None)
        lives = denied.reason is Reason.STEP_UP_REQUIRED
        if lives or (denied.reason is Reason.SESSION_IDLE and _rests(token, source)):
            kept.leave()
        else:
            kept.discard()
        raise
    return session, user


def _staff_stands(session: ActiveSession) -> bool:
    """Whether who acts in the owner's name is still somebody, with the password they signed in with."""
    staff = DjangoAccounts().user(session.impersonator or "")
    if staff is None or not staff.is_active:
        return False
    return SessionStore.confirms_behind(session.record.behind, staff)


def _name_of(user: Any) -> str:
    full = getattr(user, "get_full_name", None)  # a user model need not have one
    return str((full() if callable(full) else "") or user.get_username())


def _rests(token: str, source: Source) -> bool:
    try:
        get_portal().sessions.resumable(token, source=source)
    except Denied as denied:
        return denied.reason is Reason.EVIDENCE_MISSING  # not from here
    return True


def _cookie(request: HttpRequest, name: str) -> str | None:
    try:
        return cookie_value(request.META.get("HTTP_COOKIE"), name)
    except Denied as denied:
        # Which of them is the visitor's cannot be known, so none is used.
        if not _kept(request).recorded:
            get_portal().emit(
                SecurityEvent(
                    name=Event.AUTH_SESSION_REFUSED,
                    outcome=Outcome.DENIED,
                    reason=denied.reason,
                    source=source_of(request),
                )
            )
        _kept(request).recorded = True
        raise


def _kept(request: HttpRequest) -> _Kept:
    kept = getattr(request, _KEPT, None)
    if kept is None:
        kept = _Kept()
        setattr(request, _KEPT, kept)
    return kept
