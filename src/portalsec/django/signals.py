"""`django.contrib.auth.login` proves nothing, so it changes nothing, from the moment it was called."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest

__all__ = ["no_evidence"]


@receiver(user_logged_in, dispatch_uid="portalsec.no_evidence")
def no_evidence(sender: object, request: HttpRequest | None, **kwargs: Any) -> None:
    """Take back the ``request.user`` that `login` has just set, for the rest of this request too."""
    from portalsec.django.middleware import ask_portalsec
    from portalsec.django.request import forget
    from portalsec.django.sessions import SessionStore

    if request is not None and isinstance(getattr(request, "session", None), SessionStore):
        forget(request)
        ask_portalsec(request)
