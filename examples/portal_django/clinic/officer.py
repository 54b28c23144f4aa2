"""The privacy officer erases a patient: looks once more who it is, types the name, and it is done for good."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from clinic.erasure import erase, receipt_of
from clinic.models import Patient
from portalsec.crypto.normalise import name as as_a_name
from portalsec.django.conf import get_portal
from portalsec.django.decorators import check_access
from portalsec.django.request import source_of
from portalsec.events import Actor, Purpose
from portalsec.rbac.model import Resource


@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters("confirm")
@transaction.non_atomic_requests  # each step stays done, whatever comes after it
def erase_patient(request: HttpRequest, patient_id: UUID) -> HttpResponse:
    posted = request.method == "POST"
    key = str(patient_id)
    access = check_access(
        request,
        "erasure:erase" if posted else "erasure:confirm",
        Resource(type="erasure", id=key, attributes={"patient_id": key}),
        purpose=Purpose.HOPERAT,
    )
    patient, receipt = Patient.objects.filter(pk=patient_id).first(), receipt_of(patient_id)
    if patient is None and receipt is None:
        raise Http404
    error = ""
    if posted:
        # One whose key is gone has no name any more to be typed; nothing is left to lose either.
        typed = request.POST.get("confirm", "")[:200]
        if receipt is None and patient is not None and as_a_name(typed) != as_a_name(patient.name):
            error = "Type the name as it stands above."
        else:
            actor = Actor(type="user", id=access.session.account_id, role="privacy_officer")
            erase(patient_id, actor=actor, source=source_of(request))
            done = redirect("erase-patient", patient_id)
            done.status_code = 303
            return done
    return render(
        request,
        "clinic/erase.html" if receipt is None else "clinic/erased.html",
        {"portal_name": get_portal().name, "patient": patient, "receipt": receipt, "error": error},
        status=400 if error else 200,
    )
