"""Records, for the three who may read them: the patient, a parent, a clinician. And who has seen one."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException
from starlette.requests import Request
from starlette.responses import Response

from portalsec.audit.reports import AccessLine, who_has_seen
from portalsec.auth.sessions import ActiveSession
from portalsec.errors import SubjectErased
from portalsec.events import Event, Outcome, Purpose
from portalsec.fastapi import FindResource, Portalsec
from portalsec.guard import Access
from portalsec.rbac.model import Resource

from .clinic import Clinic
from .directory import ROLE_WORDS, Directory
from .domain import Entry, Kind, Patient
from .pages import Pages, Viewer, day, viewer
from .words import PURPOSE_WORDS

__all__ = ["record_router"]

_NOBODY = "nobody"  # no row has this id: the decision refuses it like a stranger's
_SHOWN = 8
_REPORT_LINES = 200

_GROUPS = {
    Kind.CONDITION: "Conditions",
    Kind.ALLERGY: "Allergies",
    Kind.MEDICATION: "Medications",
    Kind.IMMUNIZATION: "Immunizations",
    Kind.OBSERVATION: "Measurements and results",
    Kind.ENCOUNTER: "Visits",
}


@dataclass(frozen=True, slots=True)
class _Group:
    kind: Kind
    title: str
    first: list[Entry]
    rest: list[Entry]
    count: int


@dataclass(frozen=True, slots=True)
class _Seen:
    at: datetime
    who: str
    role: str
    what: str
    refused: bool


def record_router(ps: Portalsec, clinic: Clinic, directory: Directory, pages: Pages) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    portal = ps.portal

    def of(patient_id: str) -> Resource:
        return Resource(
            type="record",
            id=patient_id,
            attributes={"patient_id": patient_id, "sealed": clinic.is_sealed(patient_id)},
        )

    def own(request: Request, session: ActiveSession) -> Resource:
        kind, row = directory.row_of(session.account_id)
        return of(row if kind == "patient" else _NOBODY)

    def of_path(kind: str) -> FindResource:
        """The record that the path names, for accounts of that kind: each of these pages states a purpose of its
        own, and a clinician's look must not be recorded as a parent's."""

        def find(request: Request, session: ActiveSession) -> Resource:
            mine, _ = directory.row_of(session.account_id)
            return of(request.path_params["patient_id"] if mine == kind else _NOBODY)

        return find

    def one(access: Access) -> Patient:
        patient = clinic.patient(access.resource.id or "")
        if patient is None:  # the row was deleted after the decision
            raise HTTPException(status_code=404)
        if patient.erased:
            raise SubjectErased("This patient was erased.")  # the middleware has a page for it
        return patient

    def show_record(
        request: Request,
        access: Access,
        *,
        heading: Callable[[Patient], str],
        seen: str | None,
        back: tuple[str, str] | None = None,
    ) -> Response:
        patient = one(access)
        entries = clinic.entries(patient.id)
        return pages.render(
            request,
            "record.html",
            viewer=viewer(directory, access.session.account_id, access.subject.roles),
            heading=heading(patient),
            patient=patient,
            facts=_facts(patient),
            groups=[_group(kind, entries) for kind in Kind],
            seen_address=seen,
            back=back,
            own=access.decision.rule == "patient-own-record",
        )

    def show_seen(request: Request, access: Access, *, back: str) -> Response:
        patient = one(access)
        lines = who_has_seen(portal.audit, patient.id, limit=_REPORT_LINES)
        me = access.session.account_id
        return pages.render(
            request,
            "seen.html",
            viewer=viewer(directory, me, access.subject.roles),
            heading="Who has seen my record"
            if back == "/record"
            else f"Who has seen the record of {patient.name}",
            patient=patient,
            own=back == "/record",
            lines=[_seen(line, directory, me) for line in lines],
            more=len(lines) == _REPORT_LINES,
            back=back,
        )

    async def roster(
        request: Request, *, kind: str, find: Callable[[str], list[Patient]], purpose: Purpose
    ) -> tuple[Viewer, list[Patient]]:
        """One operation: the session, whose list it is, the decision, and a record of everybody on it."""
        token, source = await ps.session_token(request), ps.source(request)

        def operation() -> tuple[Viewer, list[Patient]]:
            session = ps.noted(request, portal.guard.session(token, source=source))
            mine, row = directory.row_of(session.account_id)
            people = find(row) if mine == kind else []
            listed = Resource(type="record", attributes={"patient_id": [p.id for p in people]})
            access = portal.guard.authorise(session, "record:list", listed, source=source, purpose=purpose)
            return viewer(directory, session.account_id, access.subject.roles), people

        return await ps.lanes.offload(operation)

    @router.get("/record")
    def my_record(
        request: Request,
        access: Annotated[Access, Depends(ps.require("record:read", resource=own, purpose=Purpose.PATRQT))],
    ) -> Response:
        return show_record(request, access, heading=lambda _: "My record", seen="/record/seen")

    @router.get("/record/seen")
    def my_seen(
        request: Request,
        access: Annotated[Access, Depends(ps.require("record:report", resource=own, purpose=Purpose.PATRQT))],
    ) -> Response:
        return show_seen(request, access, back="/record")

    @router.get("/family")
    async def family(request: Request) -> Response:
        looking, people = await roster(request, kind="guardian", find=clinic.wards_of, purpose=Purpose.FAMRQT)
        return pages.render(
            request,
            "people.html",
            viewer=looking,
            heading="People I care for",
            lead="You may read their records, and see who else did.",
            nobody="Nobody is linked to your account. Ask the front desk.",
            people=people,
            base="/family",
        )

    @router.get("/family/{patient_id}")
    def family_record(
        request: Request,
        access: Annotated[
            Access, Depends(ps.require("record:read", resource=of_path("guardian"), purpose=Purpose.FAMRQT))
        ],
    ) -> Response:
        return show_record(
            request,
            access,
            heading=lambda p: f"Record of {p.name}",
            seen=f"/family/{access.resource.id}/seen",
            back=("/family", "People I care for"),
        )

    @router.get("/family/{patient_id}/seen")
    def family_seen(
        request: Request,
        access: Annotated[
            Access, Depends(ps.require("record:report", resource=of_path("guardian"), purpose=Purpose.FAMRQT))
        ],
    ) -> Response:
        return show_seen(request, access, back=f"/family/{access.resource.id}")

    @router.get("/patients")
    async def my_patients(request: Request) -> Response:
        looking, people = await roster(request, kind="staff", find=clinic.patients_of, purpose=Purpose.TREAT)
        return pages.render(
            request,
            "people.html",
            viewer=looking,
            heading="My patients",
            lead="The people in whose care team you are. Each time you open a record, its owner can see it.",
            nobody="You are in nobody’s care team at the moment.",
            people=people,
            base="/patients",
        )

    @router.get("/patients/{patient_id}")
    def patient_record(
        request: Request,
        access: Annotated[
            Access, Depends(ps.require("record:read", resource=of_path("staff"), purpose=Purpose.TREAT))
        ],
    ) -> Response:
        return show_record(
            request,
            access,
            heading=lambda p: f"Record of {p.name}",
            seen=None,
            back=("/patients", "My patients"),
        )

    return router


def _facts(patient: Patient) -> list[tuple[str, str]]:
    born = day(patient.birth_date.isoformat()) if patient.birth_date else ""
    masked = f"ends in {patient.ssn[-4:]}" if patient.ssn else ""
    facts = [
        ("Born", born),
        ("Sex", patient.sex),
        ("Phone", patient.phone),
        ("E-mail", patient.email),
        ("Address", patient.address),
        ("Record number", patient.mrn),
        ("Social security number", masked),
    ]
    return [(label, value) for label, value in facts if value]


def _group(kind: Kind, entries: list[Entry]) -> _Group:
    mine = [entry for entry in entries if entry.kind is kind]
    return _Group(kind, _GROUPS[kind], mine[:_SHOWN], mine[_SHOWN:], len(mine))


# -- who has seen it, in plain words --------------------------------------------------------------------------------

_DONE: dict[str, str] = {
    Event.RECORD_READ: "read the record",
    Event.RECORD_LISTED: "saw the name in a list",
    Event.RECORD_SEARCHED: "found the name and birth date in a search",
    Event.SUBJECT_REPORT_VIEWED: "looked at this list of accesses",
    Event.ACCOUNT_INVITED: "issued an activation code",
    Event.ACCOUNT_CREATED: "made the account for this record",
    Event.SUBJECT_ERASURE_BEGUN: "began to erase the record",
    Event.SUBJECT_ERASED: "erased the record",
}
_REFUSED: dict[str, str] = {
    Event.ACCESS_DENIED: "Tried to open the record and was refused.",
    Event.ACCOUNT_CREATE_REFUSED: "Tried to make an account for this record with a password that is too weak.",
}


def _seen(line: AccessLine, directory: Directory, me: str) -> _Seen:
    mine = line.actor_id is not None and line.actor_id == me
    roles = [ROLE_WORDS.get(role, role) for role in (line.actor_role or "").split(",") if role]
    if line.actor.on_behalf_of:  # the roles are the patient's, in whose name it was done
        roles = ["Support, in the patient’s name"]
    refused = line.outcome is not Outcome.SUCCESS
    if refused:
        what = _REFUSED.get(line.action, f"{line.action}: refused.")
    else:
        done = _DONE.get(line.action, line.action)
        why = "" if mine or not line.purpose else PURPOSE_WORDS.get(line.purpose, line.purpose)
        what = f"{done[0].upper()}{done[1:]}{f', {why}' if why else ''}."
    return _Seen(
        at=line.at,
        who="You" if mine else _name(line, directory),
        role="" if mine else ", ".join(roles),
        what=what,
        refused=refused,
    )


def _name(line: AccessLine, directory: Directory) -> str:
    if line.actor_id is None:
        return "The portal itself" if line.actor.type == "system" else "Somebody who was not signed in"
    person = directory.person(line.actor_id)
    return person.name if person else "Somebody whose account is gone"
