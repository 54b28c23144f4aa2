"""`Portalsec`: the portal as FastAPI dependencies. Each is one hop into a thread."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import TypeAlias

from starlette.requests import HTTPConnection, Request
from starlette.types import Scope

from portalsec._encoding import uuid7
from portalsec.account_pages.acting import ActingView, acting_view
from portalsec.account_pages.way_back import way_back
from portalsec.auth.factor_demand import FactorDemand
from portalsec.auth.posture import POSTURE_HEADER, claim_text
from portalsec.auth.proof import Factor
from portalsec.auth.sessions import ActiveSession
from portalsec.errors import Denied
from portalsec.events import Event, Outcome, Purpose, SecurityEvent, Source
from portalsec.fastapi.lanes import Lanes
from portalsec.guard import Access
from portalsec.portal import Portal
from portalsec.rbac.model import Resource
from portalsec.web import (
    DEVICE_COOKIE,
    LINK_COOKIE,
    PASSKEY_COOKIE,
    PENDING_COOKIE,
    SESSION_COOKIE,
    STAFF_COOKIE,
    client_address,
    cookie_value,
)

__all__ = ["FindResource", "Portalsec"]

PROVEN = "portalsec.jkt"
"""Of a request's scope: thumbprint of the key that an API client proved with it (`DpopClients.proof`)."""
_ACTING = "portalsec.acting"
_POSTURE = POSTURE_HEADER.lower().encode("ascii")  # as ASGI has names

FindResource: TypeAlias = Callable[[Request, ActiveSession], Resource]
"""Names what a request is about, from its path and who is signed in. It runs in the same thread hop, before the
decision, so it must not refuse by itself: a 404 for one stranger's id and a 403 for another's would say which exist."""


def sent(scope: Scope, name: bytes) -> list[str]:
    """A header's values. Past Starlette's `Headers`, which takes three times as long: every request comes by here."""
    return [value.decode("latin-1") for each, value in scope["headers"] if each == name]


def request_id_of(scope: Scope) -> str:
    """The request's id, which it gets where it has none."""
    found: str = scope.get("portalsec.request_id") or scope.setdefault("portalsec.request_id", uuid7())
    return found


class Portalsec:
    """One portal in one application::

    ps = Portalsec(portal)

    @app.get("/records/{patient_id}")
    def record(access: Annotated[Access, Depends(ps.require("record:read", resource=record_of_path))]): ...
    """

    def __init__(
        self,
        portal: Portal,
        *,
        lanes: Lanes | None = None,
        name_of: Callable[[str], str] | None = None,
    ) -> None:
        """``name_of``: the name of an account's person, for what `acting` says; else it says their user name. It runs in
        a worker thread."""
        self.portal = portal
        self._name_of = name_of
        self.lanes = lanes or Lanes(hashing=portal.policies.hashing_concurrency)

    # -- what the request brought -----------------------------------------------------------------------------------

    def source(self, request: HTTPConnection) -> Source:
        """Where the request came from, through the declared proxies and no others."""
        scope = request.scope
        client, agents = scope.get("client"), sent(scope, b"user-agent")
        agent = agents[0] if agents else ""
        if not agent.isprintable():
            agent = "".join(c for c in agent if c.isprintable())
        return Source(
            address=client_address(
                client[0] if client else None,
                ",".join(sent(scope, b"x-forwarded-for")),
                hops=self.portal.proxy_hops,
            ),
            user_agent=agent[:256] or None,
            request_id=request_id_of(scope),
            posture=claim_text(",".join(sent(scope, _POSTURE))),
            jkt=scope.get(PROVEN),
        )

    async def session_token(self, request: HTTPConnection) -> str | None:
        """The session cookie. Raises `portalsec.errors.Denied` where another was tossed in, which is recorded."""
        return await self._cookie(request, SESSION_COOKIE)

    async def pending_token(self, request: HTTPConnection) -> str | None:
        """The cookie of a sign-in that has not ended. Raises as `session_token`."""
        return await self._cookie(request, PENDING_COOKIE)

    async def device_token(self, request: HTTPConnection) -> str | None:
        """The cookie of a browser that was signed in before. Raises as `session_token`."""
        return await self._cookie(request, DEVICE_COOKIE)

    async def passkey_token(self, request: HTTPConnection) -> str | None:
        """The cookie of a question for a passkey that comes first. Raises as `session_token`."""
        return await self._cookie(request, PASSKEY_COOKIE)

    async def link_token(self, request: HTTPConnection) -> str | None:
        """The cookie that a mailed link was exchanged for. Raises as `session_token`."""
        return await self._cookie(request, LINK_COOKIE)

    async def staff_token(self, request: HTTPConnection) -> str | None:
        """The cookie behind a session in which support acts. An empty text where another was tossed in, which is recorded:
        it is no way back then, and nothing else depends on it."""
        try:
            return await self._cookie(request, STAFF_COOKIE)
        except Denied:
            return ""

    async def _cookie(self, request: HTTPConnection, name: str) -> str | None:
        try:
            return cookie_value("; ".join(sent(request.scope, b"cookie")), name)
        except Denied as denied:
            event = SecurityEvent(
                name=Event.AUTH_SESSION_REFUSED,
                outcome=Outcome.DENIED,
                reason=denied.reason,
                source=self.source(request),
            )
            # The only hop of such a request: whatever it wanted ends here.
            await self.lanes.offload(lambda: self.portal.emit(event))
            raise

    # -- dependencies -----------------------------------------------------------------------------------------------

    async def session(self, request: Request) -> ActiveSession:
        """Dependency: the live session. Raises `portalsec.errors.Denied` (the middleware's 401 page)."""
        return await self._session(request, await self.session_token(request))

    async def passive_session(self, request: Request) -> ActiveSession:
        """Dependency of what a page asks in the background (is there mail?): the live session, as `session`, but the
        request is no activity, and keeps nobody signed in who has walked away."""
        return await self._session(request, await self.session_token(request), passive=True)

    async def optional_session(self, request: Request) -> ActiveSession | None:
        """Dependency: the live session, or None for a visitor who sent no session cookie at all."""
        token = await self.session_token(request)
        return None if token is None else await self._session(request, token)

    async def _session(self, request: Request, token: str | None, *, passive: bool = False) -> ActiveSession:
        source = self.source(request)
        return await self.lanes.offload(
            lambda: self.noted(request, self.portal.guard.session(token, source=source, passive=passive))
        )

    def acting(self, request: HTTPConnection) -> ActingView | None:
        """What every page must say in a session in which support acts; None in anybody's own. Asks no store, so an error
        page may call it too: what `session`, `optional_session`, `require` or `noted` found in this request is kept."""
        found = request.scope.get(_ACTING)
        return found if isinstance(found, ActingView) else None

    def noted(self, request: HTTPConnection, session: ActiveSession) -> ActiveSession:
        """Keep for `acting` whose session this is, and return it; for an application that asks `Guard` by itself. In a
        worker thread."""
        if session.impersonator is not None:
            name = "" if self._name_of is None else self._name_of(session.account_id)
            request.scope[_ACTING] = acting_view(self.portal, session, name=name)
        return session

    def note_acting(self, request: HTTPConnection, *, token: str | None, staff: str | None) -> None:
        """The same for a page that looks at no session by itself, or refuses it; it asks a store only where this browser
        has a way back. In a worker thread."""
        if way_back(self.portal, session=token, staff=staff) is None:
            return
        with suppress(Denied):
            self.noted(
                request,
                self.portal.sessions.check(
                    token, source=self.source(request), passive=True, stepping_up=True
                ),
            )

    def require(
        self,
        permission: str,
        *,
        resource: Resource | FindResource | None = None,
        purpose: Purpose | None = None,
        passive: bool = False,
    ) -> Callable[[Request], Awaitable[Access]]:
        """A dependency that lets the request through or raises `portalsec.errors.Denied`.

        Session, decision and audit record are one operation and one hop; when it returns, the access is recorded.

        Args:
            permission: ``type:action`` of the access policy.
            resource: what it is about, or a function that names it; without one, the type as a whole.
            purpose: why, as the route knows it.
            passive: a page asks in the background, as at `passive_session`.
        """
        guard = self.portal.guard

        async def dependency(request: Request) -> Access:
            token, source = await self.session_token(request), self.source(request)

            def operation() -> Access:
                session = self.noted(request, guard.session(token, source=source, passive=passive))
                target = resource(request, session) if callable(resource) else resource
                return guard.authorise(session, permission, target, source=source, purpose=purpose)

            return await self.lanes.offload(operation)

        return dependency

    def require_factor(
        self,
        *kinds: Factor | str,
        within: timedelta,
        level: int = 1,
        phishing_resistant: bool = False,
        explicit: bool = True,
    ) -> Callable[[Request], Awaitable[ActiveSession]]:
        """A dependency for what asks for a factor again: the live session, if it showed one of these so lately.

        Else the middleware leads to the page that asks for it, and back. One hop; nothing is kept of a body that was sent.

        Args:
            kinds: "password", "totp", "passkey", "recovery_code"; none: a second factor where the account has one, else the
                password.
            within, level, phishing_resistant, explicit: as at `FactorDemand`.

        Raises:
            ConfigurationError: at once, where no visitor could ever meet it as it is written.
        """
        asked = FactorDemand.of(
            *kinds, within=within, level=level, phishing_resistant=phishing_resistant, explicit=explicit
        )
        portal = self.portal
        portal.step_up.require_reachable(asked)

        async def dependency(request: Request) -> ActiveSession:
            token, source = await self.session_token(request), self.source(request)

            def operation() -> ActiveSession:
                session = self.noted(request, portal.guard.session(token, source=source))
                portal.step_up.ask(session, asked)
                return session

            return await self.lanes.offload(operation)

        return dependency
