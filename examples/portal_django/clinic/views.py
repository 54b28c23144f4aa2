"""The clinic's pages. Each asks the policy and is recorded before it shows anything."""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID

from django.contrib.auth import get_user_model
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from clinic.erasure import receipt_of
from clinic.models import Patient
from examples.portal_fastapi.words import ROLE_WORDS
from portalsec.audit.anchor import FileAnchor
from portalsec.audit.checkpoint import Verifier
from portalsec.audit.reports import AccessLine, recent, who_has_seen
from portalsec.audit.verify import UNSIGNED_LIMIT, verify
from portalsec.django.conf import get_portal
from portalsec.django.decorators import check_access, require
from portalsec.django.models import AccountLink
from portalsec.django.request import live_session
from portalsec.errors import SubjectErased, Tampered
from portalsec.events import Purpose
from portalsec.rbac.model import Resource

_NOBODY = "nobody"  # a record that no patient has: refused like any stranger's


def _of(patient_id: UUID | str | None) -> Resource:
    """The resource of a path's patient; of one who does not exist, the same refusal as of a stranger's."""
    try:
        return Patient.objects.get(pk=patient_id).portalsec_resource()
    except Patient.DoesNotExist:
        key = str(patient_id or _NOBODY)
        return Resource(type="record", id=key, attributes={"patient_id": key, "sealed": False})


def _of_path(request: HttpRequest, patient_id: UUID) -> Resource:
    return _of(patient_id)


def _own(request: HttpRequest) -> Resource:
    link = AccountLink.objects.filter(account_id=live_session(request).account_id).first()
    return _of(_uuid(link.reference if link else None))


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text or "")
    except ValueError:
        return None


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    return render(request, "clinic/home.html", {"portal_name": get_portal().name})


def _record(request: HttpRequest, heading: str, *, own: bool = False) -> HttpResponse:
    key: str = request.access.resource.id  # type: ignore[attr-defined]
    patient = Patient.objects.filter(pk=key).first()
    if patient is None:
        if receipt_of(key) is not None:
            raise SubjectErased("The patient was erased.")
        raise Http404
    newest = sorted(patient.entries.all(), key=lambda entry: entry.on, reverse=True)
    return render(
        request,
        "clinic/record.html",
        {
            "portal_name": get_portal().name,
            "patient": patient,
            "entries": sorted(newest, key=lambda entry: entry.kind),
            "heading": heading,
            "own": own,
        },
    )


@require_safe
@require("record:read", resource=_own, purpose=Purpose.PATRQT)
def my_record(request: HttpRequest) -> HttpResponse:
    return _record(request, "My record", own=True)


@require_safe
@require("record:read", resource=_of_path, purpose=Purpose.TREAT)
def patient_record(request: HttpRequest, patient_id: UUID) -> HttpResponse:
    return _record(request, "Record")


@require_safe
@require("record:read", resource=_of_path, purpose=Purpose.FAMRQT)
def family_record(request: HttpRequest, patient_id: UUID) -> HttpResponse:
    return _record(request, "Record of a person I care for")


@require_safe
def my_patients(request: HttpRequest) -> HttpResponse:
    """Those whose record the policy lets this account read; who is on the list is recorded too."""
    live_session(request)
    mine = (patient for patient in Patient.objects.all() if request.user.has_perm("record:read", patient))
    found = sorted((patient for patient in mine if not _is_erased(patient)), key=lambda patient: patient.name)
    listed = Resource(type="record", attributes={"patient_id": [str(patient.pk) for patient in found]})
    access = check_access(request, "record:list", listed, purpose=Purpose.TREAT)
    page = "family" if "proxy" in access.subject.roles else "patient"
    return render(
        request,
        "clinic/patients.html",
        {"portal_name": get_portal().name, "patients": found, "page": page},
    )


def _is_erased(patient: Patient) -> bool:
    """Somebody whose key is gone and whose row is not: on its way out, or back from a backup. Opens the name."""
    try:
        patient.name  # noqa: B018
    except SubjectErased:
        return True
    return False


@require_safe
@require("record:report", resource=_own, purpose=Purpose.PATRQT)
def my_seen(request: HttpRequest) -> HttpResponse:
    subject = request.access.resource.id  # type: ignore[attr-defined]
    lines = who_has_seen(get_portal().audit, subject, limit=200)
    return render(request, "clinic/seen.html", {"portal_name": get_portal().name, "lines": _named(lines)})


@require_safe
@require("audit:read", purpose=Purpose.HOPERAT)
def audit_log(request: HttpRequest) -> HttpResponse:
    check_access(request, "audit:verify", Resource(type="audit"), purpose=Purpose.HOPERAT)
    portal = get_portal()
    # Signed first, so that what was just recorded is covered too. A log that was tampered with is not signed.
    with suppress(Tampered):
        portal.audit.checkpoint()
    from django.conf import settings

    report = verify(
        portal.audit.store,
        verifier=Verifier.from_text(portal.keys.audit.verifier_text),
        anchor=FileAnchor(settings.PORTAL.path("audit", "anchor")).read(),
        now=portal.clock(),
        unsigned_limit=UNSIGNED_LIMIT + portal.policies.checkpoint_interval,
    )
    doubts = [] if report.conclusive else list(report.unprotected)
    if report.anchored is None:
        doubts.append(
            "The copy kept outside the log is missing, so an older copy of the log would not be noticed."
        )
    try:
        lines = _named(recent(portal.audit, limit=100))
    except Tampered:
        lines = []
    return render(
        request,
        "clinic/audit.html",
        {"portal_name": portal.name, "report": report, "doubts": doubts, "lines": lines},
    )


def _named(lines: list[AccessLine]) -> list[tuple[AccessLine, str, str]]:
    """Each line with its actor's sign-in name and role in words: the log itself has ids and codes only."""
    ids = {line.actor_id for line in lines if line.actor_id}
    links = AccountLink.objects.filter(account_id__in=ids).select_related("user")
    login = get_user_model().USERNAME_FIELD
    names = {link.account_id: getattr(link.user, login) for link in links}
    return [(line, names.get(line.actor_id or "", line.actor.type), _role(line)) for line in lines]


def _role(line: AccessLine) -> str:
    if line.actor.on_behalf_of:  # the roles are the owner's, in whose name it was done
        return "Support, in another’s name"
    return ", ".join(ROLE_WORDS.get(role, role) for role in (line.actor_role or "").split(",") if role)
