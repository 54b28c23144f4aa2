"""A small application on a portal in memory: what the adapter does, without the example's pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from portalsec.auth.sessions import ActiveSession
from portalsec.auth.totp import Enrolment
from portalsec.errors import Denied
from portalsec.events import Purpose, SecurityEvent
from portalsec.fastapi import (
    Portalsec,
    PortalsecMiddleware,
    Refusal,
    session_router,
    sign_in_router,
)
from portalsec.guard import Access
from portalsec.portal import Portal
from portalsec.rbac.model import Resource
from portalsec.testing import CapturedEvents, FrozenClock
from portalsec.testing.portal import RelationTable, memory_portal
from portalsec.typing import Emit
from tests.fastapi.asgi import Browser, Loop
from tests.support import totp_now

BASE = "https://portal.example"
PASSWORD = "orbit marzipan kettle 9 walrus"

POLICY: Mapping[str, Any] = {
    "schema": 1,
    "resource": {
        "record": {
            "actions": ["read"],
            "attributes": {"patient_id": "str"},
            "subject": "patient_id",
            "events": {"read": "record.read"},
        }
    },
    "relation": {"care_team": {"of": "record"}},
    "role": {"clinician": {}},
    "grant": [{"id": "own-patients", "role": "clinician", "to": "record:read", "when": "care_team"}],
}


class Pages:
    """Sign-in pages that say which page they are and nothing else."""

    def sign_in(self, request: Request, *, login: str, next: str, denied: Denied | None) -> Response:
        return HTMLResponse(f"sign-in next={next} denied={denied is not None}")

    def code(
        self, request: Request, *, next: str, others: tuple[str, ...], other: str, denied: Denied | None
    ) -> Response:
        ways = f" or={' '.join(others)} other={other}" if others else ""
        return HTMLResponse(f"code next={next}{ways} denied={denied is not None}")

    def set_up(self, request: Request, *, next: str, others: tuple[str, ...], other: str) -> Response:
        return HTMLResponse(f"set-up other={other}" if other else "set-up")

    def set_up_code(
        self, request: Request, *, next: str, enrolment: Enrolment | None, denied: Denied | None
    ) -> Response:
        secret = enrolment.secret.reveal() if enrolment else "none"
        return HTMLResponse(f"set-up-code secret={secret} denied={denied is not None}")

    def signed_out(self, request: Request) -> Response:
        return HTMLResponse("signed-out")


def refusal_page(request: Request, refusal: Refusal) -> Response:
    return PlainTextResponse(f"refused {refusal.status} {refusal.request_id}", status_code=refusal.status)


def record_of_path(request: Request, session: ActiveSession) -> Resource:
    patient_id = request.path_params["patient_id"]
    return Resource(type="record", id=patient_id, attributes={"patient_id": patient_id})


@dataclass
class Site:
    portal: Portal
    ps: Portalsec
    app: FastAPI
    clock: FrozenClock
    events: CapturedEvents
    relations: RelationTable
    loop: Loop
    secrets: dict[str, str] = field(default_factory=dict)

    def client(self, **options: Any) -> Browser:
        return Browser(self.app, self.loop, base=self.portal.base_url, **options)

    def account(self, login: str, *roles: str) -> str:
        account = self.portal.accounts.create(login=login, password=PASSWORD)
        enrolment = self.portal.totp.begin(account.id, account_name=login)
        self.secrets[login] = enrolment.secret.reveal()
        self.portal.totp.confirm(account.id, enrolment.device_id, self.code(login))
        for role in roles:
            self.portal.stores.assignments.assign(account.id, role)
        self.next_step()
        return account.id

    def code(self, login: str) -> str:
        return totp_now(self.secrets[login], self.clock())

    def next_step(self) -> None:
        self.clock.advance(timedelta(seconds=30))

    def sign_in(self, client: Browser, login: str) -> None:
        first = client.post("/sign-in", {"login": login, "password": PASSWORD})
        assert first.headers["location"] == "/sign-in/code", first.text
        second = client.post("/sign-in/code", {"code": self.code(login)})
        assert second.status_code == 303, second.text
        self.next_step()


@contextmanager
def make_site(*, base: str = BASE, access: Mapping[str, Any] = POLICY, **policies: Any) -> Iterator[Site]:
    clock, events, relations = FrozenClock(), CapturedEvents(), RelationTable()

    def tee(emit: Emit) -> Emit:
        def both(event: SecurityEvent) -> None:
            emit(event)
            events(event)

        return both

    portal = memory_portal(access, relations=relations, clock=clock, wrap_emit=tee, **policies)
    portal = replace(portal, base_url=base)
    ps = Portalsec(portal)
    app = FastAPI(openapi_url=None, redirect_slashes=False)
    app.include_router(sign_in_router(ps, Pages()))
    app.include_router(session_router(ps))

    # Not under `from __future__ import annotations`' care: the dependency is a local name.
    def read(patient_id: str, access: Access) -> Response:
        return PlainTextResponse(f"record {patient_id} of {access.session.account_id}")

    read.__annotations__ = {
        "patient_id": str,
        "access": Annotated[
            Access, Depends(ps.require("record:read", resource=record_of_path, purpose=Purpose.TREAT))
        ],
    }
    app.get("/records/{patient_id}")(read)

    @app.get("/whoami")
    async def whoami(request: Request) -> Response:
        session = await ps.session(request)
        return PlainTextResponse(session.account_id)

    @app.get("/maybe")
    async def maybe(request: Request) -> Response:
        session = await ps.optional_session(request)
        return PlainTextResponse(session.account_id if session else "nobody")

    app.add_middleware(PortalsecMiddleware, ps=ps, pages=refusal_page)
    loop = Loop()
    try:
        yield Site(portal=portal, ps=ps, app=app, clock=clock, events=events, relations=relations, loop=loop)
    finally:
        loop.close()
        portal.audit_writer.close()
