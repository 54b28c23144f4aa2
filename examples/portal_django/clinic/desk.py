"""The front desk finds a patient by phone number. It sees who they are, and never what is in their record."""

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
def search(request: HttpRequest) -> HttpResponse:
    # By POST, so that nobody's number stands in an address, a history or a server's log.
    live_session(request)
    phone = request.POST.get("phone", "").strip()
    # Nothing is opened for somebody who may not search; the decision below refuses and records it.
    allowed = request.user.has_perm("patient:search")
    error, found = "", []
    if request.method == "POST" and allowed:
        if len(phone) > _LONGEST or PHONE(phone) is None:
            error = "Enter a phone number, as (212) 555-0110."
        else:
            found = Patient.objects.matching(phone=phone)
    if request.method == "POST" or not allowed:
        everyone = Resource(type="patient", attributes={"patient_id": [str(each.pk) for each in found]})
        check_access(request, "patient:search", everyone, purpose=Purpose.PATADMIN)
    return render(
        request,
        "clinic/desk.html",
        {
            "portal_name": get_portal().name,
            "phone": phone[:_LONGEST],
            "searched": request.method == "POST" and not error,
            "found": found,
            "error": error,
        },
        status=400 if error else 200,
    )
