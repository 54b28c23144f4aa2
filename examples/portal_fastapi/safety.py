"""What follows when an owner says "this wasn't me", and a lost second key: the privacy officer's and the desk's pages."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from portalsec.account_pages import incident_view
from portalsec.errors import Denied, Reason
from portalsec.events import Actor, Purpose
from portalsec.fastapi import Portalsec, Refusal, read_form
from portalsec.guard import Access
from portalsec.rbac.model import Resource

from .directory import Directory
from .pages import Errors, Pages, viewer

__all__ = ["safety_router"]

_DESK_WORDS = {
    Reason.FACTOR_NOT_ENROLLED: "This account has no second key: it sets one up at its next sign-in.",
    Reason.ADDRESS_REFUSED: "This account has no confirmed e-mail address for the link to a new password. Give the "
    "person a new activation code instead, and have the old account disabled.",
}
_INCIDENT, _SUPPORT = Resource(type="incident"), Resource(type="support")


def safety_router(ps: Portalsec, directory: Directory, pages: Pages) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    portal = ps.portal

    # -- the privacy officer ----------------------------------------------------------------------------------------

    @router.get("/incidents")
    def incidents(
        request: Request,
        access: Annotated[
            Access, Depends(ps.require("incident:read", resource=_INCIDENT, purpose=Purpose.HOPERAT))
        ],
    ) -> Response:
        rows = []
        for incident in portal.incidents.unclosed():
            if incident.notice_id is None:
                continue  # a support desk's request, which waits for another person
            person = directory.person(incident.account_id)
            rows.append((person.name if person else "account is gone", incident_view(portal, incident, "en")))
        return pages.render(
            request,
            "incidents.html",
            viewer=viewer(directory, access.session.account_id, access.subject.roles),
            incidents=rows,
            closed="closed" in request.query_params,
        )

    @router.get("/incidents/{incident_id}")
    def incident(
        request: Request,
        incident_id: str,
        access: Annotated[
            Access, Depends(ps.require("incident:read", resource=_INCIDENT, purpose=Purpose.HOPERAT))
        ],
    ) -> Response:
        found = portal.incidents.get(incident_id)
        if found is None:
            return pages.refusal(request, Refusal(status=404))
        before = request.query_params.get("before", "")
        digits = before.isascii() and before.isdigit() and len(before) <= 15
        officer = Actor(type="user", id=access.session.account_id, role="privacy_officer")
        seen = portal.incidents.seen(
            found, actor=officer, source=ps.source(request), before=int(before) if digits else None
        )
        person = directory.person(found.account_id)
        return pages.render(
            request,
            "incident.html",
            viewer=viewer(directory, access.session.account_id, access.subject.roles),
            name=person.name if person else "An account that is gone",
            incident=incident_view(portal, found, "en"),
            lines=seen.lines,
            before=seen.before,
        )

    @router.post("/incidents/close")
    async def close(request: Request) -> Response:
        form = await read_form(request)
        token, source = await ps.session_token(request), ps.source(request)

        def operation() -> Response:
            access = portal.guard(token, "incident:close", _INCIDENT, source=source, purpose=Purpose.HOPERAT)
            officer = Actor(type="user", id=access.session.account_id, role="privacy_officer")
            try:
                portal.incidents.close(form.get("incident", ""), actor=officer, source=source)
            except Denied as denied:
                if denied.reason is not Reason.TOKEN_INVALID:
                    raise
                # A colleague was faster: the list shows what is left.
            return RedirectResponse("/incidents?closed=yes", status_code=303)

        return await ps.lanes.offload(operation)

    # -- the front desk ---------------------------------------------------------------------------------------------

    def support_page(
        request: Request, access: Access, *, said: str = "", errors: Errors = (), status: int = 200
    ) -> Response:
        waiting = []
        for each in portal.support.waiting():
            person = directory.person(each.account_id)
            name = person.name if person else "account is gone"
            waiting.append((each.id, name, each.asked_by == access.session.account_id))
        return pages.render(
            request,
            "support.html",
            status=status,
            viewer=viewer(directory, access.session.account_id, access.subject.roles),
            waiting=waiting,
            said=said,
            errors=errors,
        )

    @router.get("/support")
    def support(
        request: Request,
        access: Annotated[
            Access, Depends(ps.require("support:find", resource=_SUPPORT, purpose=Purpose.PATADMIN))
        ],
    ) -> Response:
        return support_page(request, access)

    @router.post("/support/ask")
    async def ask(request: Request) -> Response:
        form = await read_form(request)
        token, source = await ps.session_token(request), ps.source(request)

        def operation() -> Response:
            access = portal.guard(token, "support:ask", _SUPPORT, source=source, purpose=Purpose.PATADMIN)
            login, papers = form.get("login", ""), form.get("papers", "") == "seen"
            errors = []
            account = _account(login)
            if account is None:
                errors.append(("login", "Nobody has this user name. Ask the person to spell it."))
            if not papers:
                errors.append(("papers", "Look at an identity document first."))
            if errors or account is None:
                return support_page(request, access, errors=errors, status=400)
            desk = Actor(type="user", id=access.session.account_id, role="front_desk")
            try:
                portal.support.request_factor_reset(
                    account, actor=desk, reason="identity_document", source=source
                )
            except Denied as denied:
                if denied.reason not in _DESK_WORDS:
                    raise
                told = [("login", _DESK_WORDS[denied.reason])]
                return support_page(request, access, errors=told, status=400)
            return support_page(request, access, said="asked")

        return await ps.lanes.offload(operation)

    @router.post("/support/approve")
    async def approve(request: Request) -> Response:
        form = await read_form(request)
        token, source = await ps.session_token(request), ps.source(request)

        def operation() -> Response:
            access = portal.guard(token, "support:approve", _SUPPORT, source=source, purpose=Purpose.PATADMIN)
            desk = Actor(type="user", id=access.session.account_id, role="front_desk")
            try:
                portal.support.approve(form.get("request", ""), actor=desk, source=source)
            except Denied as denied:
                if denied.reason is Reason.SAME_PERSON:
                    told = "You asked for this one yourself: a colleague has to agree."
                elif denied.reason is Reason.ADDRESS_REFUSED:
                    told = _DESK_WORDS[Reason.ADDRESS_REFUSED]
                else:
                    told = "This request is over, or was agreed to already."
                return support_page(request, access, errors=[("", told)], status=403)
            return support_page(request, access, said="done")

        return await ps.lanes.offload(operation)

    def _account(login: str) -> str | None:
        from portalsec.auth.account import canonical_login

        try:
            found = portal.stores.accounts.by_login(canonical_login(login))
        except Denied:
            return None
        return found.id if found else None

    return router
