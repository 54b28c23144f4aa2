"""`require`: a view behind a permission of the access policy. `require_factor`: one that asks for a factor again. `passive`:
one that is no activity."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any, TypeAlias, TypeVar, cast

from asgiref.sync import sync_to_async
from django.http import HttpRequest

from portalsec.auth.factor_demand import FactorDemand
from portalsec.auth.proof import Factor
from portalsec.django.conf import get_portal
from portalsec.django.request import live_session, source_of
from portalsec.events import Purpose
from portalsec.guard import Access
from portalsec.rbac.model import Resource

__all__ = ["FindResource", "check_access", "passive", "require", "require_factor"]

View = TypeVar("View", bound=Callable[..., Any])

FindResource: TypeAlias = Callable[..., Resource]
"""Names what a request is about: called with the request and the view's own arguments, before the decision. It must
not refuse by itself: a 404 for one stranger's id and a 403 for another's would say which exist."""


def check_access(
    request: HttpRequest,
    permission: str,
    resource: Resource | None = None,
    *,
    purpose: Purpose | None = None,
) -> Access:
    """Decide and record, for a view that must look something up first.

    Raises:
        Denied: no session, or refused (recorded as ``access.denied``).
        AuditUnavailable: the access could not be recorded, so nothing may be shown.
    """
    session = live_session(request)
    access = get_portal().guard.authorise(
        session, permission, resource, source=source_of(request), purpose=purpose
    )
    request.access = access  # type: ignore[attr-defined]
    return access


def require(
    permission: str,
    *,
    resource: Resource | FindResource | None = None,
    purpose: Purpose | None = None,
) -> Callable[[View], View]:
    """Let a request through or raise `portalsec.errors.Denied`, which the middleware makes a page::

        @require("record:read", resource=lambda request, patient_id: record_of(patient_id), purpose=Purpose.TREAT)
        def record(request, patient_id): ...

    When the view runs, the access is decided and its audit record durable; ``request.access`` has the decision.

    Args:
        permission: ``type:action`` of the access policy.
        resource: what it is about, or a function that names it; without one, the type as a whole.
        purpose: why, as the view knows it.
    """

    def decide(request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        live_session(request)  # before the application is asked for anything
        target = resource(request, *args, **kwargs) if callable(resource) else resource
        check_access(request, permission, target, purpose=purpose)

    return _before(decide)


def require_factor(
    *kinds: Factor | str,
    within: timedelta,
    level: int = 1,
    phishing_resistant: bool = False,
    explicit: bool = True,
) -> Callable[[View], View]:
    """Let a request through whose session showed one of these factors so lately::

        @require_factor("totp", "passkey", within=timedelta(minutes=5))
        def release(request): ...

        @method_decorator(require_factor(within=timedelta(minutes=5), phishing_resistant=True), name="dispatch")
        class Release(View): ...

    Else the middleware leads to the page that asks for it, and back; nothing is kept of a body that was sent.

    Args:
        kinds: "password", "totp", "passkey", "recovery_code"; none: a second factor where the account has one, else the
            password.
        within, level, phishing_resistant, explicit: as at `portalsec.auth.FactorDemand`.

    Raises:
        ConfigurationError: at once, where no visitor could ever meet it as it is written.
    """
    asked = FactorDemand.of(
        *kinds, within=within, level=level, phishing_resistant=phishing_resistant, explicit=explicit
    )

    def shown(request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        get_portal().step_up.ask(live_session(request), asked)

    return _before(shown)


def passive(view: View) -> View:
    """Mark a view that a page asks in the background: it is no activity, and keeps nobody signed in who has walked away::

        @passive
        @require("mail:count")
        def new_mail(request): ...

        @method_decorator(passive, name="dispatch")
        class NewMail(View): ...

    Its place among other decorators does not matter, as long as they keep a view's attributes (`functools.wraps`).
    """
    view.portalsec_passive = True  # type: ignore[attr-defined]
    return view


def _before(decide: Callable[..., None]) -> Callable[[View], View]:
    """A decorator: ``decide`` is called as the view is, before it."""

    def decorate(view: View) -> View:
        if inspect.iscoroutinefunction(view):

            @wraps(view)
            async def guarded_async(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
                await sync_to_async(decide)(request, *args, **kwargs)
                return await view(request, *args, **kwargs)

            return cast("View", guarded_async)

        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            decide(request, *args, **kwargs)
            return view(request, *args, **kwargs)

        return cast("View", guarded)

    return decorate
