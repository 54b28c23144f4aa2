"""Refusals as pages: a status, how long to wait, and nothing of the reason."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import cast

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.middleware.csrf import get_token
from django.template.loader import render_to_string

from portalsec.account_pages.exchange import Reply
from portalsec.account_pages.resume import resume_page
from portalsec.account_pages.shortfall import cross_site_reply, step_up_reply
from portalsec.account_pages.way_back import ACT_OVER, acted_here
from portalsec.django.conf import get_portal
from portalsec.django.request import acting_known, session_token, source_of, staff_token
from portalsec.errors import Denied, PortalsecError, Reason, StoreError, SubjectErased
from portalsec.web import retry_after_seconds, status_of

__all__ = ["ANSWER", "refusal", "was_acting"]

_log = logging.getLogger("portalsec.django")
_TRY_AGAIN = timedelta(seconds=30)
ANSWER = "_portalsec_answer"  # of a request that a program sent: how it is told of a refusal


def refusal(request: HttpRequest, error: PortalsecError) -> HttpResponse | None:
    """The page of a refusal; None for an error that is the application's or the developer's to see (a 500)."""
    wait: str | None = None
    told = getattr(request, ANSWER, None)
    if told is not None and isinstance(error, Denied):
        return cast("HttpResponse", told(error))
    if isinstance(error, Denied) and was_acting(request, error):
        over = HttpResponseRedirect(ACT_OVER)
        over.status_code = 303
        return over
    if isinstance(error, Denied) and error.reason is Reason.STEP_UP_REQUIRED:
        return _told(
            step_up_reply(
                error,
                method=request.method or "",
                target=request.get_full_path(),
                headers=_sent(request),
                base_url=get_portal().base_url,
            )
        )
    if isinstance(error, Denied) and error.reason is Reason.CROSS_SITE:
        script = cross_site_reply(error, headers=_sent(request), base_url=get_portal().base_url)
        if script is not None:
            return _told(script)
    if isinstance(error, Denied):
        status, wait = status_of(error), retry_after_seconds(error.retry_after)
    elif isinstance(error, StoreError):
        status, wait = 503, retry_after_seconds(_TRY_AGAIN)
        _log.error("a store failed, so the request was refused", exc_info=error)
    elif isinstance(error, SubjectErased):
        status = 410
    else:
        return None
    next = request.get_full_path() if request.method == "GET" else "/"
    rests = isinstance(error, Denied) and error.reason is Reason.SESSION_IDLE
    # Rendered without the request: no context processor runs, so the page needs no store, session or user.
    context = {
        "portal_name": get_portal().name,
        "status": status,
        "retry_after": wait,
        "request_id": source_of(request).request_id,
        "next": next,
        "resume": resume_page(next) if rests else "",
        "acting": acting_known(request),
    }
    if context["acting"] is not None:
        context["csrf_token"] = get_token(request)  # for the button that ends it
    response = HttpResponse(render_to_string("portalsec/refused.html", context), status=status)
    if wait is not None:
        response["Retry-After"] = wait
    return response


def _sent(request: HttpRequest) -> dict[str, str]:
    names = ("accept", "content-type", "dpop", "referer", "sec-fetch-mode")
    return {name: request.headers[name] for name in names if name in request.headers}


def _told(reply: Reply) -> HttpResponse:
    response: HttpResponse
    if reply.redirect is not None:
        response = HttpResponseRedirect(reply.redirect)
        response.status_code = 303
    else:
        response = JsonResponse(dict(reply.json or {}), status=reply.status)
        for name, value in reply.headers.items():
            response[name] = value
    return response


def was_acting(request: HttpRequest, denied: Denied) -> bool:
    """Whether this refusal means that the session in which support acted in this browser is over."""
    try:
        session = session_token(request)
    except Denied:
        return False
    return acted_here(get_portal(), denied, session=session, staff=staff_token(request))
