"""The small project that the Django tests run: a portal over Django's stores, and views around its promises."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth import login as django_login
from django.contrib.auth import logout as django_logout
from django.contrib.auth.models import Group
from django.http import HttpRequest, HttpResponse, JsonResponse

from portalsec.auth.links import RecoveryPolicy
from portalsec.django.conf import get_portal
from portalsec.django.decorators import check_access, require
from portalsec.django.request import source_of, user_of
from portalsec.django.stores import django_stores
from portalsec.errors import Denied, Reason, StoreError
from portalsec.events import Purpose
from portalsec.portal import Keys, Portal
from portalsec.rbac.model import Resource
from portalsec.testing import CapturedEvents, FrozenClock, SentMail
from portalsec.testing.portal import RelationTable, fresh_keys, memory_portal

POLICY: dict[str, Any] = {
    "schema": 1,
    "resource": {
        "record": {
            "actions": ["read", "amend"],
            "attributes": {"patient_id": "str"},
            "subject": "patient_id",
            "events": {"read": "record.read", "amend": "record.updated"},
        },
        "audit": {"actions": ["read"], "events": {"read": "audit.queried"}},
    },
    "relation": {"care_team": {"of": "record"}, "own": {"of": "record"}},
    "role": {"patient": {}, "clinician": {}, "officer": {}},
    "grant": [
        {"id": "own-record", "role": "patient", "to": "record:read", "when": "own"},
        {"id": "care-team", "role": "clinician", "to": ["record:read", "record:amend"], "when": "care_team"},
        {"id": "log", "role": "officer", "to": "audit:read"},
    ],
}


class World:
    """One test's portal and what it is made of."""

    def __init__(
        self,
        *,
        keys: Keys | None = None,
        clock: FrozenClock | None = None,
        access: dict[str, Any] = POLICY,
        **policies: Any,
    ) -> None:
        self.mail = SentMail()
        policies.setdefault("recovery", RecoveryPolicy(open_registration=True))
        policies.setdefault("notifier", self.mail)
        self.clock = clock or FrozenClock()
        self.events = CapturedEvents()
        self.relations = RelationTable()
        keys = keys or fresh_keys()
        self.portal: Portal = memory_portal(
            access,
            stores=django_stores(keys),
            keys=keys,
            clock=self.clock,
            relations=self.relations,
            wrap_emit=lambda _: self.events,
            **policies,
        )

    def later(self, **by: float) -> None:
        self.clock.advance(timedelta(**by))


current: World | None = None


def portal() -> Portal:
    """What ``PORTALSEC["PORTAL"]`` names. A portal of the present test, or one that only the checks look at."""
    return (current or World()).portal


# -- middleware ---------------------------------------------------------------------------------------------------


def _raising(error: Exception) -> Any:
    def factory(get_response: Any) -> Any:
        def middleware(request: HttpRequest) -> HttpResponse:
            raise error

        return middleware

    return factory


raises_StoreError = _raising(StoreError("the disk is on fire"))
raises_Denied = _raising(Denied(Reason.NO_GRANT))
raises_ZeroDivisionError = _raising(ZeroDivisionError("on fire"))


def greets(get_response: Any) -> Any:
    """Looks who is there before any view."""

    def middleware(request: HttpRequest) -> HttpResponse:
        request.META["GREETING"] = f"Hello {request.user.get_username()}"
        return get_response(request)

    return middleware


def looks_afterwards(get_response: Any) -> Any:
    """Looks who is there when the view has answered, as one that keeps statistics does."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response: HttpResponse = get_response(request)
        user_of(request)
        return response

    return middleware


# -- views ----------------------------------------------------------------------------------------------------------


def _record(request: HttpRequest, patient_id: str) -> Resource:
    return Resource(type="record", id=patient_id, attributes={"patient_id": patient_id})


@require("record:read", resource=_record, purpose=Purpose.TREAT)
def record(request: HttpRequest, patient_id: str) -> HttpResponse:
    return HttpResponse(f"record of {patient_id}")


@require("record:read", resource=_record, purpose=Purpose.TREAT)
async def record_async(request: HttpRequest, patient_id: str) -> HttpResponse:
    return HttpResponse(f"record of {patient_id}")


@require("record:amend", resource=_record, purpose=Purpose.TREAT)
def amend(request: HttpRequest, patient_id: str) -> HttpResponse:
    Group.objects.create(name="amended")
    return HttpResponse("amended")


def whoami(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"user": request.user.get_username(), "kept": dict(request.session.items())})


def keep(request: HttpRequest) -> HttpResponse:
    request.session["kept"] = request.GET.get("value", "x")
    return HttpResponse("kept")


def cycle(request: HttpRequest) -> HttpResponse:
    request.session.cycle_key()
    return HttpResponse("cycled")


def django_logs_in(request: HttpRequest) -> JsonResponse:
    """What a careless application does, or the admin's own form."""
    user = get_user_model().objects.get(username=request.GET["name"])
    django_login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    return JsonResponse({"user": request.user.get_username()})


def own_sign_in(request: HttpRequest) -> HttpResponse:
    """An application's own sign-in view, which writes first and is refused then."""
    Group.objects.create(name="written before the refusal")
    get_portal().sign_in.start(request.POST["login"], request.POST["password"], source=source_of(request))
    return HttpResponse("in")


def signs_out_and_goes_on(request: HttpRequest) -> HttpResponse:
    django_logout(request)
    check_access(request, "audit:read", Resource(type="audit"))
    return HttpResponse("the log")


def store_fails(request: HttpRequest) -> HttpResponse:
    raise StoreError("the disk is on fire")


def may(request: HttpRequest, patient_id: str) -> JsonResponse:
    return JsonResponse({"may": request.user.has_perm("record:read", _record(request, patient_id))})


def refuses(request: HttpRequest) -> HttpResponse:
    Group.objects.create(name="rolled back")
    raise Denied(Reason.NO_GRANT)
