"""The privacy officer's page: the audit log, and whether it verifies."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from portalsec.audit.anchor import FileAnchor
from portalsec.audit.checkpoint import Verifier
from portalsec.audit.reports import AccessLine, recent
from portalsec.audit.verify import UNSIGNED_LIMIT, Report, verify
from portalsec.errors import Tampered
from portalsec.events import Purpose
from portalsec.fastapi import Portalsec
from portalsec.guard import Access
from portalsec.rbac.model import Resource

from .directory import ROLE_WORDS, Directory
from .pages import Pages, viewer

__all__ = ["privacy_router"]

_PAGE = 50
_AT_ONCE = 20_000  # a longer log is verified when the officer asks, not with every look at the page


@dataclass(frozen=True, slots=True)
class _Row:
    index: int
    at: datetime
    name: str
    outcome: str
    reason: str
    who: str
    role: str
    purpose: str
    resource: str


@dataclass(frozen=True, slots=True)
class _Check:
    ok: bool
    facts: list[tuple[str, str]]
    problems: list[str]


def privacy_router(ps: Portalsec, directory: Directory, pages: Pages, *, anchor: Path) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    portal = ps.portal
    verifier = Verifier.from_text(portal.keys.audit.verifier_text)
    outside = FileAnchor(anchor)

    def verified() -> Report:
        # Signed first, so that what was just recorded is covered too. A log that was tampered with is not signed
        # any more; the report says where.
        with suppress(Tampered):
            portal.audit.checkpoint()
        return verify(
            portal.audit.store,
            verifier=verifier,
            anchor=outside.read(),
            now=portal.clock(),
            unsigned_limit=UNSIGNED_LIMIT + portal.policies.checkpoint_interval,
        )

    @router.get("/audit")
    def audit(
        request: Request,
        access: Annotated[
            Access,
            Depends(ps.require("audit:read", resource=Resource(type="audit"), purpose=Purpose.HOPERAT)),
        ],
    ) -> Response:
        before = _number(request.query_params.get("before"))
        asked = "verify" in request.query_params
        check = None
        if asked or (before is None and portal.audit.store.size() <= _AT_ONCE):
            portal.guard.authorise(
                access.session,
                "audit:verify",
                Resource(type="audit"),
                source=ps.source(request),
                purpose=Purpose.HOPERAT,
            )
            check = _check(verified())
        try:
            lines, damaged = recent(portal.audit, limit=_PAGE, before=before), ""
        except Tampered as error:
            lines, damaged = [], str(error)
        names: dict[str, str] = {}
        return pages.render(
            request,
            "audit.html",
            viewer=viewer(directory, access.session.account_id, access.subject.roles),
            check=check,
            rows=[_row(line, directory, names) for line in lines],
            damaged=damaged,
            newest=before is None,
            older=lines[-1].index if lines and lines[-1].index > 0 else None,
        )

    return router


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 15 else None


def _check(report: Report) -> _Check:
    covered = f"{report.covered} of {report.size}"
    doubts = [] if report.conclusive else list(report.unprotected)
    if report.anchored is None:
        doubts.append(
            "The copy kept outside the log is missing, so an older copy of the log would not be noticed."
        )
    return _Check(
        ok=report.ok and not doubts,
        facts=[
            ("Records", str(report.size)),
            ("Under a signature", covered),
            ("Signed checkpoints", str(report.checkpoints)),
            (
                "Copy kept outside the log",
                "missing" if report.anchored is None else f"agrees, at {report.anchored}",
            ),
        ],
        problems=[problem.text for problem in report.problems[:50]] + doubts,
    )


def _row(line: AccessLine, directory: Directory, names: dict[str, str]) -> _Row:
    who = {"system": "the portal itself", "anonymous": "not signed in"}.get(line.actor.type, line.actor.type)
    if line.actor_id:
        if line.actor_id not in names:
            person = directory.person(line.actor_id)
            names[line.actor_id] = person.name if person else "account is gone"
        who = names[line.actor_id]
    roles = ", ".join(ROLE_WORDS.get(role, role) for role in (line.actor_role or "").split(",") if role)
    if line.actor.on_behalf_of:
        roles = f"in another’s name ({roles})" if roles else "in another’s name"
    resource = line.resource
    about = "" if resource is None else resource.type + (f" …{resource.id[-8:]}" if resource.id else "")
    if len(line.subjects) > 1:
        about += f" ({len(line.subjects)} people)"
    return _Row(
        index=line.index,
        at=line.at,
        name=line.action,
        outcome=line.outcome.value,
        reason=line.reason or "",
        who=who,
        role=roles,
        purpose=line.purpose or "",
        resource=about,
    )
