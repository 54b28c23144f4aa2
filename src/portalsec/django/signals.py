"""What portalsec hears of Django: that `login` or `logout` was called, and that a request failed outside its views."""

from __future__ import annotations

import sys
from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.core.signals import got_request_exception
from django.dispatch import receiver
from django.http import HttpRequest

__all__ = ["failed", "logged_out", "no_evidence"]


@receiver(user_logged_in, dispatch_uid="portalsec.no_evidence")
def no_evidence(sender: object, request: HttpRequest | None, **kwargs: Any) -> None:
    """`login` proves nothing: take back the ``request.user`` that it has just set, for the rest of this request too."""
    from portalsec.django.middleware import ask_portalsec
    from portalsec.django.request import forget
    from portalsec.django.sessions import SessionStore

    if request is not None and isinstance(getattr(request, "session", None), SessionStore):
        forget(request)
        ask_portalsec(request)


@receiver(user_logged_out, dispatch_uid="portalsec.logged_out")
def logged_out(sender: object, request: HttpRequest | None, **kwargs: Any) -> None:
    """Whatever view signs out (the admin's), its answer tells the browser to keep nothing."""
    from portalsec.django.request import keep_logged_out
    from portalsec.django.sessions import SessionStore

    if request is not None and isinstance(getattr(request, "session", None), SessionStore):
        keep_logged_out(request)


@receiver(got_request_exception, dispatch_uid="portalsec.failed")
def failed(sender: object, request: HttpRequest | None = None, **kwargs: Any) -> None:
    """Keep an error of ours that a middleware raised. Django makes it a bare 500 before any other middleware sees it."""
    from portalsec.django.request import keep_failure
    from portalsec.errors import PortalsecError

    error = sys.exception()
    if request is not None and isinstance(error, PortalsecError):
        keep_failure(request, error)
