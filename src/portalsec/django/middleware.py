"""The layers around the views: headers; who is asking, same-site, and errors as pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.sessions.backends.base import UpdateError
from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject

from portalsec.django.conf import get_portal
from portalsec.django.pages import refusal, was_acting
from portalsec.django.request import (
    adopt_session,
    failure_of,
    keep_passive,
    live_session,
    require_same_site,
    source_of,
    staff_token,
    user_of,
    was_logged_out,
)
from portalsec.django.sessions import SessionStore
from portalsec.errors import ConfigurationError, Denied, PortalsecError, StoreError
from portalsec.web import (
    DEVICE_COOKIE,
    LINK_COOKIE,
    PASSKEY_COOKIE,
    PENDING_COOKIE,
    STAFF_COOKIE,
    clear_cookie,
    logout_headers,
    security_headers,
)

__all__ = ["PortalsecMiddleware", "SecurityHeadersMiddleware"]


class SecurityHeadersMiddleware:
    """Stands first of all, so that every answer of Django has the security headers.

    Redirects of CommonMiddleware, refusals of a Host header and errors of any middleware are answered before
    `PortalsecMiddleware` is reached, or without it. A header that a view set itself stays.
    """

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return _secured(self.get_response(request))


class PortalsecMiddleware:
    """Stands right behind Django's AuthenticationMiddleware.

    * ``request.user`` is the user of portalsec's live session and otherwise anonymous. What
      `django.contrib.auth.login` leaves in a session is no evidence, in the admin neither.
    * A session that is over (idle, absolute limit, revoked, signed out) ends before the view runs, with its data.
    * An unsafe method that another site caused is refused and recorded, beside Django's own CSRF token.
    * `Denied`, `StoreError` and `SubjectErased` become pages that say nothing of the reason, also where a middleware
      behind this one raised them. They are raised out of the view first, so a transaction of ATOMIC_REQUESTS rolls
      back.
    """

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not isinstance(getattr(request, "session", None), SessionStore):
            raise ConfigurationError(
                'settings: PortalsecMiddleware comes after SessionMiddleware, with SESSION_ENGINE = "portalsec.django.sessions"'
            )
        adopt_session(request)
        request.session.source = source_of(request)  # type: ignore[attr-defined]
        # Read from the header where they are needed; here they would be printed in Django's error reports.
        for name in (PENDING_COOKIE, PASSKEY_COOKIE, DEVICE_COOKIE, LINK_COOKIE, STAFF_COOKIE):
            request.COOKIES.pop(name, None)
        ask_portalsec(request)
        response = self.get_response(request)
        failed = failure_of(request)
        if response.status_code == 500 and failed is not None:
            response = refusal(request, failed) or response
        try:
            # As Django: what a view left when it failed is not kept.
            if response.status_code < 500 and isinstance(request.session, SessionStore):
                request.session.save_now()
        except StoreError as error:
            request.session.modified = False
            response = refusal(request, error) or response
        except UpdateError:
            pass  # ended by another request meanwhile: Django's own middleware finds the same and answers
        if getattr(request.session, "signed_off", False) and staff_token(request) is not None:
            response.cookies.load(clear_cookie(STAFF_COOKIE))  # what it led back to ended with the session
        if was_logged_out(request):
            # All but the cookies: the view may have set some for what comes next.
            for name, value in logout_headers(known_device=True).items():
                response.headers.setdefault(name, value)
        # Again, for a project that left out the first layer: its own pages at least.
        return _secured(response)

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: object, kwargs: object
    ) -> HttpResponse | None:
        try:
            if not getattr(view, "csrf_exempt", False):
                require_same_site(request)
            if getattr(view, "portalsec_passive", False):
                keep_passive(request)
            try:
                live_session(request, stepping_up=getattr(view, "portalsec_stepping_up", False))
            except Denied as denied:
                # An anonymous visitor; the view says whether that will do. But a page for everybody would not say that
                # the session is over in which support acted here, and has no way back.
                match = request.resolver_match
                if (match is None or match.app_name != "portalsec") and was_acting(request, denied):
                    raise
        except PortalsecError as error:
            return _page(request, error)
        return None

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        return refusal(request, exception) if isinstance(exception, PortalsecError) else None


def ask_portalsec(request: HttpRequest) -> None:
    """Let ``request.user`` be portalsec's answer, found out when somebody looks."""
    request.user = SimpleLazyObject(partial(user_of, request))  # type: ignore[assignment]
    request.auser = partial(_auser, request)


def _secured(response: HttpResponse) -> HttpResponse:
    for name, value in security_headers(https=get_portal().base_url.startswith("https:")).items():
        response.headers.setdefault(name, value)
    return response


def _auser(request: HttpRequest) -> Awaitable[Any]:
    return sync_to_async(user_of)(request)


def _page(request: HttpRequest, error: PortalsecError) -> HttpResponse:
    response = refusal(request, error)
    if response is None:
        raise error
    return response
