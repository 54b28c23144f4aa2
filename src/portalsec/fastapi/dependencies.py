"""`Portalsec`: the portal as FastAPI dependencies. Each is one hop into a thread."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from starlette.requests import HTTPConnection, Request

from portalsec._encoding import uuid7
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
    client_address,
    cookie_value,
)

__all__ = ["FindResource", "Portalsec"]

FindResource: TypeAlias = Callable[[Request, ActiveSession], Resource]
"""Names what a request is about, from its path and who is signed in. It runs in the same thread hop, before the
decision, so it must not refuse by itself: a 404 for one stranger's id and a 403 for another's would say which exist."""


class Portalsec:
    """One portal in one application::

    ps = Portalsec(portal)

    @app.get("/records/{patient_id}")
    def record(access: Annotated[Access, Depends(ps.require("record:read", resource=record_of_path))]): ...
    """

    def __init__(self, portal: Portal, *, lanes: Lanes | None = None) -> None:
        self.portal = portal
        self.lanes = lanes or Lanes(hashing=portal.policies.hashing_concurrency)

    # -- what the request brought -----------------------------------------------------------------------------------

    def source(self, request: HTTPConnection) -> Source:
        """Where the request came from, through the declared proxies and no others."""
        forwarded = ",".join(request.headers.getlist("x-forwarded-for"))
        agent = request.headers.get("user-agent")
        if agent and not agent.isprintable():
            agent = "".join(c for c in agent if c.isprintable())
        return Source(
            address=client_address(
                request.client.host if request.client else None, forwarded, hops=self.portal.proxy_hops
            ),
            user_agent=agent[:256] if agent else None,
            request_id=request.scope.get("portalsec.request_id")
            or request.scope.setdefault("portalsec.request_id", uuid7()),
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

    async def _cookie(self, request: HTTPConnection, name: str) -> str | None:
        try:
            return cookie_value("; ".join(request.headers.getlist("cookie")), name)
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

    async def optional_session(self, request: Request) -> ActiveSession | None:
        """Dependency: the live session, or None for a visitor who sent no session cookie at all."""
        token = await self.session_token(request)
        return None if token is None else await self._session(request, token)

    async def _session(self, request: Request, token: str | None) -> ActiveSession:
        source = self.source(request)
        return await self.lanes.offload(lambda: self.portal.guard.session(token, source=source))

    def require(
        self,
        permission: str,
        *,
        resource: Resource | FindResource | None = None,
        purpose: Purpose | None = None,
    ) -> Callable[[Request], Awaitable[Access]]:
        """A dependency that lets the request through or raises `portalsec.errors.Denied`.

        Session, decision and audit record are one operation and one hop; when it returns, the access is recorded.

        Args:
            permission: ``type:action`` of the access policy.
            resource: what it is about, or a function that names it; without one, the type as a whole.
            purpose: why, as the route knows it.
        """
        guard = self.portal.guard

        async def dependency(request: Request) -> Access:
            token, source = await self.session_token(request), self.source(request)

            def operation() -> Access:
                if not callable(resource):
                    return guard(token, permission, resource, source=source, purpose=purpose)
                session = guard.session(token, source=source)
                target = resource(request, session)
                return guard.authorise(session, permission, target, source=source, purpose=purpose)

            return await self.lanes.offload(operation)

        return dependency
