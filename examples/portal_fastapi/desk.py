"""The front desk: finds a patient by name, phone or record number and hands out an activation code. It never sees what is in a record."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from portalsec.auth.account import INVITATION_LIFETIME
from portalsec.auth.sessions import ActiveSession
from portalsec.events import Actor, Purpose
from portalsec.fastapi import Portalsec, read_form
from portalsec.rbac.model import Resource, Subject

from .clinic import Clinic
from .directory import Directory, reference
from .domain import Patient
from .pages import Errors, Pages, viewer

__all__ = ["desk_router"]


def desk_router(ps: Portalsec, clinic: Clinic, directory: Directory, pages: Pages) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    portal = ps.portal

    def page(
        request: Request,
        session: ActiveSession,
        subject: Subject,
        *,
        q: str = "",
        results: list[Patient] | None = None,
        code: str = "",
        code_for: str = "",
        errors: Errors = (),
        status: int = 200,
    ) -> Response:
        return pages.render(
            request,
            "desk.html",
            status=status,
            viewer=viewer(directory, session.account_id, subject.roles),
            q=q,
            results=results,
            code=code,
            code_for=code_for,
            code_days=INVITATION_LIFETIME.days,
            base_url=portal.base_url,
            errors=errors,
        )

    @router.get("/desk")
    def desk(request: Request, session: Annotated[ActiveSession, Depends(ps.session)]) -> Response:
        subject = portal.guard.subject(session)
        if not portal.pdp.can(subject, "search", Resource(type="patient")):
            # Refused and recorded by the same question that the search asks.
            portal.guard.authorise(
                session, "patient:search", source=ps.source(request), purpose=Purpose.PATADMIN
            )
        return page(request, session, subject)

    @router.post("/desk/search")
    async def search(request: Request) -> Response:
        # By POST, so that nobody's name stands in an address, a history or a server's log.
        form = await read_form(request)
        token, source = await ps.session_token(request), ps.source(request)
        q = form.get("q", "").strip()[:100]

        def operation() -> Response:
            session = ps.noted(request, portal.guard.session(token, source=source))
            subject = portal.guard.subject(session)
            # Nothing is opened for somebody who may not search; the decision below refuses and records it.
            found = clinic.search(q) if portal.pdp.can(subject, "search", Resource(type="patient")) else []
            everyone = Resource(type="patient", attributes={"patient_id": [patient.id for patient in found]})
            portal.guard.authorise(
                session, "patient:search", everyone, source=source, purpose=Purpose.PATADMIN
            )
            errors = [("q", "Enter a part of the name, a phone number or a record number.")] if not q else ()
            return page(
                request,
                session,
                subject,
                q=q,
                results=found if q else None,
                errors=errors,
                status=400 if errors else 200,
            )

        return await ps.lanes.offload(operation)

    @router.post("/desk/invite")
    async def invite(request: Request) -> Response:
        form = await read_form(request)
        token, source = await ps.session_token(request), ps.source(request)
        patient_id = form.get("patient", "") or "nobody"

        def operation() -> Response:
            access = portal.guard(
                token,
                "patient:invite",
                Resource(type="patient", id=patient_id, attributes={"patient_id": patient_id}),
                source=source,
                purpose=Purpose.PATADMIN,
            )
            patient = clinic.patient(patient_id)
            if patient is None or patient.erased:
                return page(
                    request,
                    access.session,
                    access.subject,
                    errors=[("q", "That patient is no longer here. Search again.")],
                    status=400,
                )
            code = portal.accounts.invite(
                reference("patient", patient.id),
                actor=Actor(type="user", id=access.session.account_id, role="front_desk"),
                source=source,
            )
            return page(request, access.session, access.subject, code=code.reveal(), code_for=patient.name)

        return await ps.lanes.offload(operation)

    return router
