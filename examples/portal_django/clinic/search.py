"""Find a patient by phone number: the front desk, to book a visit; the privacy officer, to erase them.

Both see who somebody is, and never what is in their record.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from clinic.models import PHONE, Patient
from portalsec.django.conf import get_portal
from portalsec.django.decorators import check_access
from portalsec.django.request import live_session
from portalsec.events import Purpose
from portalsec.rbac.model import Resource

_LONGEST = 40


@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters("phone")
def desk(request: HttpRequest) -> HttpResponse:
    return _search(request, "clinic/desk.html", "patient:search", Purpose.PATADMIN)


@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters("phone")
def whom_to_erase(request: HttpRequest) -> HttpResponse:
    return _search(request, "clinic/erase_find.html", "erasure:find", Purpose.HOPERAT)


def _search(request: HttpRequest, template: str, permission: str, purpose: Purpose) -> HttpResponse:
    # By POST, so that nobody's number stands in an address, a history or a server's log.
    live_session(request)
    asked = request.method == "POST"
    phone = request.POST.get("phone", "").strip()
    # Nothing is opened for somebody who may not search; the decision below refuses and records it.
    allowed = request.user.has_perm(permission)
    found: list[Patient] = []
    error = ""
    if asked and allowed:
        if len(phone) > _LONGEST or PHONE(phone) is None:
            error = "Enter a phone number, as (212) 555-0110."
        else:
            found = Patient.objects.matching(phone=phone)
    if asked or not allowed:
        everyone = {"patient_id": [str(patient.pk) for patient in found]}
        check_access(
            request,
            permission,
            Resource(type=permission.partition(":")[0], attributes=everyone),
            purpose=purpose,
        )
    return render(
        request,
        template,
        {
            "portal_name": get_portal().name,
            "phone": phone[:_LONGEST],
            "searched": asked and not error,
            "found": found,
            "error": error,
        },
        status=400 if error else 200,
    )
