"""Refusals as pages: a status, how long to wait, and nothing of the reason."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string

from portalsec.account_pages.resume import resume_page
from portalsec.account_pages.step_up import step_up_page
from portalsec.django.conf import get_portal
from portalsec.django.request import source_of
from portalsec.errors import Denied, PortalsecError, Reason, StoreError, SubjectErased
from portalsec.web import retry_after_seconds, status_of

__all__ = ["refusal"]

_log = logging.getLogger("portalsec.django")
_TRY_AGAIN = timedelta(seconds=30)


def refusal(request: HttpRequest, error: PortalsecError) -> HttpResponse | None:
    """The page of a refusal; None for an error that is the application's or the developer's to see (a 500)."""
    wait: str | None = None
    if isinstance(error, Denied) and error.reason is Reason.STEP_UP_REQUIRED:
        again = HttpResponseRedirect(step_up_page(request.path))
        again.status_code = 303
        return again
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
    }
    response = HttpResponse(render_to_string("portalsec/refused.html", context), status=status)
    if wait is not None:
        response["Retry-After"] = wait
    return response
