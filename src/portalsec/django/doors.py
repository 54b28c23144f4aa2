"""`door`: what all of portalsec's own views have in common; `open_session`: how one of them gives out a session."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeAlias

from django.contrib.auth.decorators import login_not_required
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.middleware.csrf import rotate_token
from django.views.decorators.debug import sensitive_post_parameters

from portalsec.auth.sessions import NewSession
from portalsec.django.conf import get_portal
from portalsec.django.request import forget, session_token, source_of
from portalsec.django.sessions import SessionStore
from portalsec.django.stores.accounts import DjangoAccounts
from portalsec.errors import Denied, Reason
from portalsec.events import SYSTEM

__all__ = ["View", "act_session", "door", "go_back", "open_session", "resume_session"]

View: TypeAlias = Callable[[HttpRequest], HttpResponse]


def door(*methods: str) -> Callable[[View], View]:
    """A view that needs no session, holds no transaction on any database and answers these methods only."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest) -> HttpResponse:
            if request.method not in methods:
                return HttpResponseNotAllowed(methods)
            return view(request)

        for alias in connections:
            transaction.non_atomic_requests(alias)(guarded)
        return login_not_required(sensitive_post_parameters()(guarded))

    return decorate


def open_session(request: HttpRequest, session: NewSession, *, goes_on: bool = False) -> None:
    """Let ``request.session`` be the one that portalsec has just given out; its cookie follows from that.

    Args:
        goes_on: it is the present sign-in under a new id, so its data goes along. At a sign-in nothing does.

    Raises:
        Denied: the user is gone. The session is taken back then, as for any other failure.
    """
    kept = request.session
    user = DjangoAccounts().user(session.account_id)
    if user is None or not isinstance(kept, SessionStore):
        get_portal().sessions.discard(session)
        raise Denied(Reason.UNKNOWN_ACCOUNT)
    try:
        if goes_on and kept.belongs_to_sign_in:
            kept.go_on(session, user)
        else:
            kept.bind(session, user)
    except BaseException:
        get_portal().sessions.discard(session)
        raise
    rotate_token(request)
    forget(request, given=session.token.reveal())


def act_session(request: HttpRequest, session: NewSession) -> None:
    """Let ``request.session`` be one in which its holder acts in another's name. What is kept with their own stays.

    Raises:
        Denied: as `open_session`.
    """
    own, user = request.session, DjangoAccounts().user(session.account_id)
    try:
        if user is None or not isinstance(own, SessionStore):
            raise Denied(Reason.UNKNOWN_ACCOUNT)
        own.save_now()
        acting = SessionStore()
        acting.source = source_of(request)
        acting.bind(session, user)
    except BaseException:
        get_portal().sessions.discard(session)
        raise
    request.session = acting
    rotate_token(request)
    forget(request, given=session.token.reveal())


def go_back(request: HttpRequest, token: str) -> None:
    """Let ``request.session`` be the one of ``token`` again, which stayed behind; of the present one nothing is kept."""
    if isinstance(request.session, SessionStore):
        request.session.discard()
    own = SessionStore(token)
    own.source = source_of(request)
    request.session = own
    rotate_token(request)
    forget(request, given=token)


def resume_session(request: HttpRequest, session: NewSession) -> None:
    """Let a sign-in that rested go on under the id that portalsec has just given out, with the data that rested with it.

    Raises:
        Denied: SESSION_REVOKED, where its user's password was changed behind portalsec's back meanwhile, or what was kept
            is gone; what `open_session` raises. The session is over then.
    """
    kept, user = SessionStore(session_token(request)), DjangoAccounts().user(session.account_id)
    if kept.belongs_to_visitor() or user is None or not kept.confirms(user):
        get_portal().sessions.end(session.token.reveal(), source=source_of(request), actor=SYSTEM)
        kept.discard()
        raise Denied(Reason.SESSION_REVOKED)
    kept.source = source_of(request)
    request.session = kept
    open_session(request, session, goes_on=True)
