"""The way to a session and out of it, as routes; what they look like is the application's (`SignInPages`)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Match

from portalsec.account_pages import (
    CHOOSE_WAY,
    Asked,
    Operation,
    SessionPages,
    other_page,
    others_of,
    signed_over,
    step_page,
)
from portalsec.auth.signin import Step
from portalsec.auth.totp import Enrolment
from portalsec.errors import Denied, Reason
from portalsec.fastapi.dependencies import Portalsec
from portalsec.fastapi.forms import read_form
from portalsec.web import (
    DEVICE_COOKIE,
    DEVICE_COOKIE_AGE,
    PENDING_COOKIE,
    SESSION_COOKIE,
    clear_cookie,
    retry_after_seconds,
    safe_next,
    set_cookie,
    status_of,
)

__all__ = ["SignInPages", "finish_step", "session_router", "sign_in_router"]

_log = logging.getLogger("portalsec.fastapi")

_NO_PAGE = "a sign-in goes on at %s, which this application does not serve: include account_router"
_START_AGAIN = frozenset({Reason.FLOW_UNKNOWN, Reason.FLOW_EXHAUSTED})
# All factors were right, and something ended the account's sign-ins in that moment: another code would change nothing.
_OVERTAKEN = frozenset({Reason.SESSION_REVOKED, Reason.EVIDENCE_STALE})
_OWN = ("totp", "totp_enrolment")  # ways whose pages are here; those of the others are `account_router`'s


class SignInPages(Protocol):
    """The pages of a sign-in. ``denied`` is there so that a page can say how long to wait, and nothing else.

    Forms post to ``/sign-in`` (login, password, next, shared where others use the computer, and trust where the owner
    asks for it and ``policies.trust`` is enabled), ``/sign-in/code`` (code, next, or), ``/sign-in/set-up`` (begins a new
    authenticator: next, or) and ``/sign-in/set-up/confirm`` (code, next).
    """

    def sign_in(self, request: Request, *, login: str, next: str, denied: Denied | None) -> Response: ...

    def code(
        self, request: Request, *, next: str, others: tuple[str, ...], other: str, denied: Denied | None
    ) -> Response:
        """``others``: what would do instead, for a hidden field ``or`` with spaces between them; ``other``: the page
        where one chooses, for a link, or ""."""
        ...

    def set_up(self, request: Request, *, next: str, others: tuple[str, ...], other: str) -> Response:
        """Before the secret is made. ``others``: as at `code`; ``other``: the page that sets a passkey up instead, for a
        link, or ""."""
        ...

    def set_up_code(
        self, request: Request, *, next: str, enrolment: Enrolment | None, denied: Denied | None
    ) -> Response:
        """``enrolment`` once, as the answer to the POST that made it; None when a first code was wrong."""
        ...

    def signed_out(self, request: Request) -> Response: ...


def finish_step(response: Response, step: Step) -> Response:
    """Put a step's outcome into cookies: the pending one while factors are missing, the session's at the end."""
    if step.session is not None:
        # No Max-Age: it ends with the browser at the latest, and on the server when the policy says so.
        response.headers.append("Set-Cookie", set_cookie(SESSION_COOKIE, step.session.token.reveal()))
        response.headers.append("Set-Cookie", clear_cookie(PENDING_COOKIE))
        if step.device is not None:
            device = set_cookie(DEVICE_COOKIE, step.device.reveal(), max_age=DEVICE_COOKIE_AGE)
            response.headers.append("Set-Cookie", device)
    elif step.pending is not None:
        response.headers.append("Set-Cookie", set_cookie(PENDING_COOKIE, step.pending.reveal()))
    return response


def sign_in_router(ps: Portalsec, pages: SignInPages) -> APIRouter:
    """``/sign-in``, its second factor and set-up, and ``/sign-out``.

    An application without `account_router` has no pages of other ways: they are not offered there, and of several ways
    on an authenticator's is the first. Whoever has no other (a passkey alone, say, or a password to be changed) cannot
    sign in there: the sign-in page says so with a ``denied`` of EVIDENCE_MISSING, and a line of the log names the page
    that is missing.
    """
    router = APIRouter(include_in_schema=False)
    sign_in, sessions = ps.portal.sign_in, SessionPages(ps.portal)

    async def held(request: Request) -> Asked:
        """What this browser is signed in by, which a sign-in ends."""
        session, staff = await ps.session_token(request), await ps.staff_token(request)
        return Asked(form={}, source=ps.source(request), session=session, staff=staff)

    def cleared(response: Response, cookies: tuple[str, ...]) -> Response:
        for cookie in cookies:
            response.headers.append("Set-Cookie", cookie)
        return response

    def onward(request: Request, step: Step, next: str) -> Response:
        if step.session is not None:
            return finish_step(RedirectResponse(next, status_code=303), step)
        own = tuple(each for each in step.next if each in _OWN)
        if own and not _served(request, CHOOSE_WAY):
            step = replace(step, next=own)
        page = step_page(step, next=next)
        if not _served(request, page.partition("?")[0]):
            # Its token goes to nobody: what was shown so far is lost, and the visitor is no worse off than before.
            _log.warning(_NO_PAGE, page.partition("?")[0])
            return refused(
                request,
                next,
                Denied(Reason.EVIDENCE_MISSING),
                lambda d: pages.sign_in(request, login="", next=next, denied=d),
            )
        return finish_step(RedirectResponse(page, status_code=303), step)

    def refused(request: Request, next: str, denied: Denied, again: Callable[[Denied], Response]) -> Response:
        """The page once more, with the status of the refusal; a dead pending sign-in starts over."""
        if denied.reason in _OVERTAKEN:
            denied = Denied(Reason.FLOW_UNKNOWN)  # every application's page has the sentence for it
        if denied.reason in _START_AGAIN:
            response = pages.sign_in(request, login="", next=next, denied=denied)
            response.headers.append("Set-Cookie", clear_cookie(PENDING_COOKIE))
        else:
            response = again(denied)
        response.status_code = status_of(denied)
        wait = retry_after_seconds(denied.retry_after)
        if wait is not None:
            response.headers["Retry-After"] = wait
        return response

    def code_form(request: Request, said: Mapping[str, str], denied: Denied | None) -> Response:
        next, others = _next(said), others_said(request, said)
        return pages.code(
            request, next=next, others=others, other=other_page("totp", others, next), denied=denied
        )

    def set_up_form(request: Request, said: Mapping[str, str]) -> Response:
        next, others = _next(said), others_said(request, said)
        other = other_page("totp_enrolment", others, next)
        return pages.set_up(request, next=next, others=others, other=other)

    def others_said(request: Request, said: Mapping[str, str]) -> tuple[str, ...]:
        return others_of(said.get("or", "")) if _served(request, CHOOSE_WAY) else ()

    @router.get("/sign-in")
    async def sign_in_page(request: Request) -> Response:
        return pages.sign_in(request, login="", next=_next(request.query_params), denied=None)

    @router.post("/sign-in")
    async def start(request: Request) -> Response:
        form, source = await read_form(request, tied=False), ps.source(request)
        login, password, next = form.get("login", ""), form.get("password", ""), _next(form)
        here, pending = await held(request), await ps.pending_token(request)
        device = await ps.device_token(request)

        def operation() -> tuple[Step, tuple[str, ...]]:
            step = sign_in.start(
                login,
                password,
                source=source,
                replaces=pending,
                device=device,
                shared="shared" in form,
                trust="trust" in form and "shared" not in form,
            )
            return step, signed_over(ps.portal, here)

        try:
            step, over = await ps.lanes.hashing(operation)
        except Denied as denied:
            return refused(
                request,
                next,
                denied,
                lambda d: pages.sign_in(request, login=login[:254], next=next, denied=d),
            )
        return cleared(onward(request, step, next), over)

    @router.get("/sign-in/code")
    async def code_page(request: Request) -> Response:
        next = _next(request.query_params)
        if await ps.pending_token(request) is None:
            return RedirectResponse(_with_next("/sign-in", next), status_code=303)
        return code_form(request, request.query_params, None)

    @router.post("/sign-in/code")
    async def submit_code(request: Request) -> Response:
        form, source, pending = await read_form(request), ps.source(request), await ps.pending_token(request)
        next, device, here = _next(form), await ps.device_token(request), await held(request)

        def operation() -> tuple[Step, tuple[str, ...]]:
            step = sign_in.submit_totp(pending, form.get("code", ""), source=source, device=device)
            return step, () if step.session is None else signed_over(ps.portal, here)

        try:
            step, over = await ps.lanes.offload(operation)
        except Denied as denied:
            return refused(request, next, denied, lambda d: code_form(request, form, d))
        return cleared(onward(request, step, next), over)

    @router.get("/sign-in/set-up")
    async def set_up_page(request: Request) -> Response:
        next = _next(request.query_params)
        if await ps.pending_token(request) is None:
            return RedirectResponse(_with_next("/sign-in", next), status_code=303)
        return set_up_form(request, request.query_params)

    @router.post("/sign-in/set-up")
    async def begin_set_up(request: Request) -> Response:
        # The secret is the answer to a POST only: a GET could be prefetched, cached or found in the history.
        form, source, pending = await read_form(request), ps.source(request), await ps.pending_token(request)
        next = _next(form)
        try:
            enrolment = await ps.lanes.offload(lambda: sign_in.begin_totp_enrolment(pending, source=source))
        except Denied as denied:
            return refused(request, next, denied, lambda d: set_up_form(request, form))
        return pages.set_up_code(request, next=next, enrolment=enrolment, denied=None)

    @router.get("/sign-in/set-up/confirm")
    async def set_up_again(request: Request) -> Response:
        """A browser that asks for the page anew: the secret is shown once, so it begins again."""
        return RedirectResponse(_with_next("/sign-in/set-up", _next(request.query_params)), status_code=303)

    @router.post("/sign-in/set-up/confirm")
    async def confirm_set_up(request: Request) -> Response:
        form, source, pending = await read_form(request), ps.source(request), await ps.pending_token(request)
        next, device, here = _next(form), await ps.device_token(request), await held(request)

        def operation() -> tuple[Step, tuple[str, ...]]:
            step = sign_in.confirm_totp_enrolment(pending, form.get("code", ""), source=source, device=device)
            return step, () if step.session is None else signed_over(ps.portal, here)

        try:
            step, over = await ps.lanes.offload(operation)
        except Denied as denied:
            return refused(
                request,
                next,
                denied,
                lambda d: pages.set_up_code(request, next=next, enrolment=None, denied=d),
            )
        return cleared(onward(request, step, next), over)

    @router.get("/sign-out")
    async def no_sign_out(request: Request) -> Response:
        """A link or a typed address signs nobody out."""
        return RedirectResponse("/", status_code=303)

    @router.post("/sign-out")
    async def sign_out(request: Request) -> Response:
        asked = Asked(
            form={},
            source=ps.source(request),
            session=await ps.session_token(request),
            pending=await ps.pending_token(request),
            device=await ps.device_token(request),
            staff=await ps.staff_token(request),
        )
        reply = await ps.lanes.offload(lambda: sessions.sign_out(asked))
        response = pages.signed_out(request)
        response.headers.update(reply.headers)
        for cookie in reply.cookies:
            response.headers.append("Set-Cookie", cookie)
        return response

    return router


def session_router(ps: Portalsec) -> APIRouter:
    """What session.js asks: ``GET /session/left`` (asking is not activity), ``POST /session/stay``."""
    router = APIRouter(include_in_schema=False)
    pages = SessionPages(ps.portal)

    async def answer(request: Request, operation: Operation) -> Response:
        source = ps.source(request)
        try:
            token = await ps.session_token(request)
        except Denied as denied:
            return JSONResponse({"signed_in": False}, status_code=status_of(denied))
        asked = Asked(form={}, source=source, session=token)
        reply = await ps.lanes.offload(lambda: operation(asked))
        return JSONResponse(dict(reply.json or {}), status_code=reply.status)

    @router.get("/session/left")
    async def left(request: Request) -> Response:
        return await answer(request, pages.left)

    @router.post("/session/stay")
    async def stay(request: Request) -> Response:
        return await answer(request, pages.stay)

    return router


def _served(request: Request, path: str) -> bool:
    """Whether the application has this page of a sign-in: a link to none would be a dead end."""
    there = {**request.scope, "method": "GET", "path": path}
    there["root_path"] = request.scope.get("app_root_path", "")
    return any(route.matches(there)[0] is Match.FULL for route in request.scope["router"].routes)


def _next(fields: Mapping[str, str]) -> str:
    return safe_next(fields.get("next"))


def _with_next(page: str, next: str) -> str:
    # safe_next lets only visible ASCII through; what separates a query is escaped besides.
    escaped = next.replace("%", "%25").replace("&", "%26").replace("#", "%23").replace("+", "%2B")
    return page if next == "/" else f"{page}?next={escaped}"
