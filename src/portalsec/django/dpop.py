"""`DpopClients`: views for API clients, whose tokens open nothing without a proof of the client's key (RFC 9449)."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.encoding import escape_uri_path
from django.views.decorators.csrf import csrf_exempt

from portalsec.api_clients import ApiClients, ApiRequest, Held
from portalsec.auth.dpop import DpopPolicy, DpopProof
from portalsec.auth.factor_demand import FactorDemand
from portalsec.auth.sessions import ActiveSession, NewSession
from portalsec.django.conf import get_portal
from portalsec.django.decorators import FindResource
from portalsec.django.pages import ANSWER
from portalsec.django.request import keep_key, require_same_site, source_of
from portalsec.errors import Denied
from portalsec.events import Purpose
from portalsec.portal import Portal
from portalsec.rbac.model import Resource

__all__ = ["DpopClients"]

View = TypeVar("View", bound=Callable[..., Any])
_NONCE = "_portalsec_dpop_nonce"


class DpopClients:
    """The portal's decorators for API clients, beside those for browsers::

        api = DpopClients()

        @api.require("record:read", resource=lambda request, patient_id: record_of(patient_id))
        def record(request, patient_id): ...

    Such views look at the Authorization and the DPoP header and at no cookie, so Django's own CSRF token is not asked for.
    What is `Denied` in them is raised, so that a transaction of ATOMIC_REQUESTS rolls back, and answered as JSON with the
    headers that a client needs. Views that are coroutines are not taken.
    """

    def __init__(self, *, policy: DpopPolicy | None = None) -> None:
        self._policy = policy
        self._made: tuple[Portal, ApiClients] | None = None

    def view(self, view: View) -> View:
        """A view that asks by itself: of a sign-in, or one that calls `session`."""

        @wraps(view)
        def answered(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            setattr(request, ANSWER, self._refusal)
            require_same_site(request)  # which is not asked of a view without Django's token
            response = view(request, *args, **kwargs)
            if (nonce := getattr(request, _NONCE, None)) is not None:
                response.headers.setdefault("DPoP-Nonce", nonce)
            return response

        return cast("View", csrf_exempt(answered))

    def require(
        self,
        permission: str,
        *,
        resource: Resource | FindResource | None = None,
        purpose: Purpose | None = None,
        passive: bool = False,
    ) -> Callable[[View], View]:
        """As `portalsec.django.decorators.require`; ``request.access`` has the decision."""

        def decorate(view: View) -> View:
            @wraps(view)
            def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
                guard, source = get_portal().guard, source_of(request)
                held = self._held(request)
                session = guard.session(held.token, source=source, passive=passive, holder=held.holder)
                target = resource(request, *args, **kwargs) if callable(resource) else resource
                access = guard.authorise(session, permission, target, source=source, purpose=purpose)
                request.access = access  # type: ignore[attr-defined]
                return view(request, *args, **kwargs)

            return self.view(cast("View", guarded))

        return decorate

    def session(
        self,
        request: HttpRequest,
        *,
        stepping_up: bool = False,
        factor: FactorDemand | None = None,
        passive: bool = False,
    ) -> ActiveSession:
        """The live session of a request, once in each: its proof is taken.

        Args:
            stepping_up: the request shows a factor, or asks how to.
            factor: what it must have shown lately, as ``FactorDemand.of("totp", within=timedelta(minutes=5))``, which is
                best written outside the view. Else the client is told ``insufficient_user_authentication``.
            passive: the client asks in the background, which is no activity.

        Raises:
            Denied: as `ApiClients.held` and `ApiClients.session`.
        """
        held = self._held(request)
        return self._clients().session(
            held, source=source_of(request), stepping_up=stepping_up, factor=factor, passive=passive
        )

    def sign_out(self, request: HttpRequest) -> None:
        """End the client's session. Raises `Denied` for whoever does not hold its key."""
        self._clients().sign_out(_asked(request))

    def proof(self, request: HttpRequest) -> DpopProof:
        """The proof of a request of a sign-in: ask for it before the password is looked at. Raises `Denied`.

        From here on `portalsec.django.request.source_of` of this request names the key: a sign-in of several steps goes on
        under that of its first alone.
        """
        proof = self._clients().proof(_asked(request))
        keep_key(request, proof.jkt)
        return proof

    def bind(self, request: HttpRequest, session: NewSession, proof: DpopProof) -> NewSession:
        """The session that `SignIn` opened, for the holder of the proven key alone. Raises `Denied`; it is over then."""
        return self._clients().bind(session, proof, source=source_of(request))

    def granted(self, session: NewSession) -> JsonResponse:
        """The answer that gives a client its token."""
        return JsonResponse(self._clients().granted(session))

    # -- parts of the above -------------------------------------------------------------------------------------------

    def _held(self, request: HttpRequest) -> Held:
        held = self._clients().held(_asked(request))
        setattr(request, _NONCE, self._clients().dpop.next_nonce(held.proof))
        return held

    def _refusal(self, denied: Denied) -> HttpResponse:
        answer = self._clients().answer(denied)
        return JsonResponse({"detail": str(denied)}, status=answer.status, headers=dict(answer.headers))

    def _clients(self) -> ApiClients:
        portal, made = get_portal(), self._made
        if made is None or made[0] is not portal:
            made = self._made = (portal, ApiClients(portal, policy=self._policy))
        return made[1]


def _asked(request: HttpRequest) -> ApiRequest:
    # A server of WSGI joins what comes twice with a comma, which neither header's value has: refused as one that is wrong.
    authorization, proof = request.META.get("HTTP_AUTHORIZATION"), request.META.get("HTTP_DPOP")
    return ApiRequest(
        method=request.method or "",
        path=escape_uri_path(request.path),
        authorization=() if authorization is None else (authorization,),
        proofs=() if proof is None else (proof,),
        source=source_of(request),
    )
