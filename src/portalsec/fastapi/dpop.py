"""`DpopClients`: routes for API clients, whose tokens open nothing without a proof of the client's key (RFC 9449)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from portalsec.api_clients import ApiClients, ApiRequest
from portalsec.auth.dpop import DpopPolicy, DpopProof
from portalsec.auth.factor_demand import FactorDemand
from portalsec.auth.proof import Factor
from portalsec.auth.sessions import ActiveSession, NewSession
from portalsec.errors import Denied
from portalsec.events import Purpose
from portalsec.fastapi.dependencies import PROVEN, FindResource, Portalsec
from portalsec.fastapi.middleware import METHOD
from portalsec.guard import Access
from portalsec.rbac.model import Resource

__all__ = ["DpopClients"]

T = TypeVar("T")


class DpopClients:
    """The portal's dependencies for API clients, beside those of `Portalsec` for browsers::

        api = DpopClients(ps)

        @app.get("/api/records/{patient_id}")
        def record(access: Annotated[Access, Depends(api.require("record:read", resource=record_of_path))]): ...

    These look at the Authorization and the DPoP header and at no cookie; those of `Portalsec` at cookies and at neither
    header. What is refused is answered as JSON with the headers that a client needs, by `HTTPException`.
    """

    def __init__(self, ps: Portalsec, *, policy: DpopPolicy | None = None) -> None:
        self._ps = ps
        self._clients = ApiClients(ps.portal, policy=policy)

    # -- dependencies -----------------------------------------------------------------------------------------------

    async def proof(self, request: Request) -> DpopProof:
        """Dependency of a sign-in's routes: the proof of the key that the session is to be bound to.

        It comes before the password is looked at, so that a client which is asked for another proof loses no attempt. From
        here on `Portalsec.source` of this request names the key: a sign-in of several steps goes on under that of its first
        alone.
        """
        proof = await self._hop(lambda: self._clients.proof(self._asked(request)))
        request.scope[PROVEN] = proof.jkt
        return proof

    async def session(self, request: Request, response: Response) -> ActiveSession:
        """Dependency: the live session."""
        return await self._session(request, response)

    async def passive_session(self, request: Request, response: Response) -> ActiveSession:
        """Dependency of what a client asks in the background: the live session; it is no activity."""
        return await self._session(request, response, passive=True)

    async def stepping_up(self, request: Request, response: Response) -> ActiveSession:
        """Dependency of routes that take a factor for a step-up: the live session, also where it must show one first."""
        return await self._session(request, response, stepping_up=True)

    def require_factor(
        self,
        *kinds: Factor | str,
        within: timedelta,
        level: int = 1,
        phishing_resistant: bool = False,
        explicit: bool = True,
    ) -> Callable[[Request, Response], Awaitable[ActiveSession]]:
        """As `Portalsec.require_factor`: the live session, if it showed one of these so lately.

        Else the client is told ``insufficient_user_authentication``: it shows a factor at a step-up route of yours, and
        sends the request again.

        Raises:
            ConfigurationError: at once, where no client could ever meet it as it is written.
        """
        asked = FactorDemand.of(
            *kinds, within=within, level=level, phishing_resistant=phishing_resistant, explicit=explicit
        )
        self._ps.portal.step_up.require_reachable(asked)

        async def dependency(request: Request, response: Response) -> ActiveSession:
            return await self._session(request, response, factor=asked)

        return dependency

    async def sign_out(self, request: Request) -> None:
        """Dependency of the route that ends the client's session."""
        asked = self._asked(request)
        await self._hop(lambda: self._clients.sign_out(asked))

    def require(
        self,
        permission: str,
        *,
        resource: Resource | FindResource | None = None,
        purpose: Purpose | None = None,
        passive: bool = False,
    ) -> Callable[[Request, Response], Awaitable[Access]]:
        """As `Portalsec.require`: session, decision and audit record are one operation and one hop."""
        guard = self._ps.portal.guard

        async def dependency(request: Request, response: Response) -> Access:
            asked = self._asked(request)

            def operation() -> tuple[Access, str | None]:
                held = self._clients.held(asked)
                session = guard.session(held.token, source=asked.source, passive=passive, holder=held.holder)
                target = resource(request, session) if callable(resource) else resource
                access = guard.authorise(session, permission, target, source=asked.source, purpose=purpose)
                return access, self._clients.dpop.next_nonce(held.proof)

            access, nonce = await self._hop(operation)
            _tell(response, nonce)
            return access

        return dependency

    # -- in a route's own operation -----------------------------------------------------------------------------------

    def bind(self, request: Request, session: NewSession, proof: DpopProof) -> NewSession:
        """The session that `SignIn` opened, for the holder of the proven key alone; in a worker thread.

        Raises:
            Denied: the proof was used before; the session is over then, as after any failure.
        """
        return self._clients.bind(session, proof, source=self._ps.source(request))

    def granted(self, session: NewSession) -> dict[str, object]:
        """The body of the answer that gives a client its token."""
        return self._clients.granted(session)

    @contextmanager
    def refusals(self) -> Iterator[None]:
        """What is `Denied` inside is answered as a client can read it; for a sign-in's routes."""
        answered: HTTPException | None = None
        try:
            yield
        except Denied as denied:
            answer = self._clients.answer(denied)
            answered = HTTPException(answer.status, str(denied), headers=dict(answer.headers))
        if answered is not None:
            raise answered

    # -- parts of the above -------------------------------------------------------------------------------------------

    async def _hop(self, operation: Callable[[], T]) -> T:
        with self.refusals():
            return await self._ps.lanes.offload(operation)
        raise AssertionError("unreachable")  # `refusals` lets nothing fall through

    async def _session(
        self,
        request: Request,
        response: Response,
        *,
        stepping_up: bool = False,
        factor: FactorDemand | None = None,
        passive: bool = False,
    ) -> ActiveSession:
        asked = self._asked(request)

        def operation() -> tuple[ActiveSession, str | None]:
            held = self._clients.held(asked)
            session = self._clients.session(
                held, source=asked.source, stepping_up=stepping_up, factor=factor, passive=passive
            )
            return session, self._clients.dpop.next_nonce(held.proof)

        session, nonce = await self._hop(operation)
        _tell(response, nonce)
        return session

    def _asked(self, request: Request) -> ApiRequest:
        scope = request.scope
        path = (scope.get("raw_path") or quote(scope["path"]).encode()).decode("latin-1")
        return ApiRequest(
            method=scope.get(METHOD) or scope["method"],
            path=path.partition("?")[0],
            authorization=request.headers.getlist("authorization"),
            proofs=request.headers.getlist("dpop"),
            source=self._ps.source(request),
        )


def _tell(response: Response, nonce: str | None) -> None:
    if nonce is not None:
        response.headers["DPoP-Nonce"] = nonce
