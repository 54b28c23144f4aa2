"""The privacy officer erases a patient: find, look once more, type the name, and it is done for good."""

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from portalsec.auth.sessions import ActiveSession
from portalsec.crypto.normalise import name as as_a_name
from portalsec.events import Actor, Purpose
from portalsec.fastapi import Portalsec, read_form
from portalsec.guard import Access
from portalsec.rbac.model import Resource, Subject

from .clinic import Clinic
from .directory import Directory
from .domain import Patient
from .erasure import Erasure
from .pages import Errors, Pages, viewer
from .ties import Ties

__all__ = ["erase_router"]


def erase_router(  # noqa: PLR0917 - the parts of a page, in the order of app.py
    ps: Portalsec, clinic: Clinic, ties: Ties, directory: Directory, erasure: Erasure, pages: Pages
) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    portal = ps.portal

    def about(patient_id: str) -> Resource:
        return Resource(type="erasure", id=patient_id, attributes={"patient_id": patient_id})

    def of_path(request: Request, session: ActiveSession) -> Resource:
        return about(request.path_params["patient_id"])

    def find_page(
        request: Request,
        session: ActiveSession,
        subject: Subject,
        *,
        q: str = "",
        results: list[Patient] | None = None,
        errors: Errors = (),
    ) -> Response:
        return pages.render(
            request,
            "erase_find.html",
            status=400 if errors else 200,
            viewer=viewer(directory, session.account_id, subject.roles),
            q=q,
            results=results,
            unfinished=[found for each in clinic.unfinished_erasures() if (found := clinic.patient(each))],
            errors=errors,
        )

    def person_page(
        request: Request, access: Access, patient: Patient, *, typed: str = "", errors: Errors = ()
    ) -> Response:
        """The question, or the receipt of an answer that was given."""
        looking = viewer(directory, access.session.account_id, access.subject.roles)
        receipt = erasure.receipt(patient.id)
        if receipt is not None:
            return pages.render(
                request,
                "erased.html",
                viewer=looking,
                patient=patient,
                receipt=receipt,
                unfinished=patient.id in clinic.unfinished_erasures(),
            )
        return pages.render(
            request,
            "erase.html",
            status=400 if errors else 200,
            viewer=looking,
            patient=patient,
            entries=clinic.count_entries(patient.id),
            accounts=len(ties.accounts_of(patient.id)),
            typed=typed,
            errors=errors,
        )

    def one(patient_id: str | None) -> Patient:
        patient = clinic.patient(patient_id or "")
        if patient is None:
            raise HTTPException(status_code=404)
        return patient

    @router.get("/erase")
    def find(request: Request, session: Annotated[ActiveSession, Depends(ps.session)]) -> Response:
        subject = portal.guard.subject(session)
        if not portal.pdp.can(subject, "find", Resource(type="erasure")):
            # Refused and recorded by the same question that the search asks.
            portal.guard.authorise(
                session, "erasure:find", source=ps.source(request), purpose=Purpose.HOPERAT
            )
        return find_page(request, session, subject)

    @router.post("/erase")
    async def search(request: Request) -> Response:
        form = await read_form(request)
        token, source = await ps.session_token(request), ps.source(request)
        q = form.get("q", "").strip()[:100]

        def operation() -> Response:
            session = ps.noted(request, portal.guard.session(token, source=source))
            subject = portal.guard.subject(session)
            may = portal.pdp.can(subject, "find", Resource(type="erasure"))
            found = clinic.search(q) if may else []
            everyone = Resource(type="erasure", attributes={"patient_id": [patient.id for patient in found]})
            portal.guard.authorise(session, "erasure:find", everyone, source=source, purpose=Purpose.HOPERAT)
            if not q:
                nothing = [("q", "Enter a part of the name, a phone number or a record number.")]
                return find_page(request, session, subject, errors=nothing)
            return find_page(request, session, subject, q=q, results=found)

        return await ps.lanes.offload(operation)

    @router.get("/erase/{patient_id}")
    def ask(
        request: Request,
        access: Annotated[
            Access, Depends(ps.require("erasure:confirm", resource=of_path, purpose=Purpose.HOPERAT))
        ],
    ) -> Response:
        return person_page(request, access, one(access.resource.id))

    @router.post("/erase/{patient_id}")
    async def erase(request: Request, patient_id: str) -> Response:
        form = await read_form(request)
        token, source = await ps.session_token(request), ps.source(request)
        typed = form.get("confirm", "").strip()[:200]

        def operation() -> Response:
            access = portal.guard(
                token, "erasure:erase", about(patient_id), source=source, purpose=Purpose.HOPERAT
            )
            patient = one(patient_id)
            # An erasure that was begun has no name any more to be typed; nothing is left to lose either.
            if not patient.erased and not _is_name_of(typed, patient):
                problem = "Type the name exactly as it stands above." if typed else "Type the person’s name."
                return person_page(request, access, patient, typed=typed, errors=[("confirm", problem)])
            erasure.erase(
                patient.id,
                actor=Actor(type="user", id=access.session.account_id, role="privacy_officer"),
                source=source,
            )
            return RedirectResponse(f"/erase/{patient.id}", status_code=303)

        return await ps.lanes.offload(operation)

    return router


def _is_name_of(typed: str, patient: Patient) -> bool:
    wanted = as_a_name(patient.name)
    return as_a_name(typed) == wanted if wanted else typed == patient.name
