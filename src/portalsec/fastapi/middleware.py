"""The pure ASGI layer around the application: address, origin, size, headers, and errors as pages."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from portalsec.account_pages.exchange import Reply
from portalsec.account_pages.resume import resume_page
from portalsec.account_pages.shortfall import cross_site_reply, step_up_reply
from portalsec.account_pages.way_back import ACT_OVER, acted_here
from portalsec.errors import Denied, PortalsecError, Reason, StoreError, SubjectErased
from portalsec.events import Event, Outcome, SecurityEvent
from portalsec.fastapi.dependencies import Portalsec, request_id_of
from portalsec.fastapi.form_tokens import CHECK, FORM_HEADER, FormRefused, fits, held, with_tokens
from portalsec.web import (
    SESSION_COOKIE,
    STAFF_COOKIE,
    check_same_site,
    cookie_value,
    retry_after_seconds,
    safe_next,
    security_headers,
    status_of,
)

__all__ = ["PortalsecMiddleware", "Refusal", "refusal_of"]

_log = logging.getLogger("portalsec.fastapi")

METHOD = "portalsec.method"  # as it was sent, where the application sees another
_TRY_AGAIN = timedelta(seconds=30)
_MOST_PAGE = 4 * 1024 * 1024
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LOOKED_AT = {
    name.encode("ascii"): name
    for name in ("host", "content-length", "sec-fetch-site", "origin", "dpop", "cookie")
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What an error page may know: a status, how long to wait, and a number to ask the help desk with."""

    status: int
    retry_after: str | None = None
    request_id: str | None = None
    sign_in: str = "/sign-in"  # where to go on after a 401: one factor does where the session only rests


class _TooLarge(Exception):
    """The body went over the limit while it was being read."""


def refusal_of(error: Exception) -> Refusal:
    """The face of an error: nothing of its text or reason."""
    if isinstance(error, Denied):
        return Refusal(status=status_of(error), retry_after=retry_after_seconds(error.retry_after))
    if isinstance(error, StoreError):
        return Refusal(status=503, retry_after=retry_after_seconds(_TRY_AGAIN))
    if isinstance(error, SubjectErased):
        return Refusal(status=410)
    if isinstance(error, _TooLarge):
        return Refusal(status=413)
    return Refusal(status=500)


class PortalsecMiddleware:
    """Wraps a Starlette or FastAPI application; add it last, so that it is outermost.

    * A request for another host than ``base_url``'s is sent there (GET, HEAD) or refused: no link, cookie or
      redirect is ever made from a Host header that a stranger chose, and DNS rebinding finds no portal.
    * An unsafe method that another site caused is refused before the application sees it, and recorded.
    * Each form of a page that posts to this portal gets a hidden value of its session, without which `read_form` refuses
      it (`portalsec.fastapi.form_tokens`).
    * A target that is no path (``*``, ``@evil.example/``) is refused, and HEAD is answered wherever GET is.
    * Every answer gets the security headers; only what lies under ``cacheable`` may be kept by a browser.
    * `Denied`, `StoreError` and `SubjectErased` become pages that say nothing of the reason.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        ps: Portalsec,
        pages: Callable[[Request, Refusal], Response],
        body_limit: int = 64 * 1024,
        cacheable: Iterable[str] = ("/static/", "/portalsec/"),
        form_tokens: bool = True,
    ) -> None:
        """``pages`` renders a refusal; ``body_limit`` is in bytes; ``cacheable`` are path prefixes.

        ``form_tokens``: False only where something else ties each form to its session.
        """
        self._app = app
        self._ps = ps
        self._pages = pages
        self._body_limit = body_limit
        self._cacheable = tuple(cacheable)
        self._form_tokens = form_tokens
        self._base_url = ps.portal.base_url
        scheme, _, self._host = self._base_url.partition("://")
        self._headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in security_headers(https=scheme == "https").items()
            if name != "Cache-Control"  # which depends on the path
        ]
        self._names = frozenset(name for name, _ in self._headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            # A WebSocket would pass none of the checks below; until it can, there is none.
            await receive()
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, too_large, method = False, False, scope["method"]

        def overflow() -> None:
            nonlocal too_large
            too_large = True

        if method == "HEAD":
            # RFC 9110 section 9.3.2: what GET answers, without the content. Routes are declared for GET alone. Without
            # the server's extensions, so that no content is sent by another way than the message dropped below.
            scope = {**scope, "method": "GET", "extensions": {}, METHOD: method}

        if self._form_tokens:
            scope = {**scope, CHECK: self._check_form}
        page: _Page | None = None

        async def send_with_headers(message: Message) -> None:
            nonlocal started, page
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                self._add_headers(scope, headers)
                if self._form_tokens and _is_page(headers):
                    page = _Page(scope, message, self._base_url)
                    return
            elif page is not None and message["type"] == "http.response.body" and page.waits(message):
                return
            if page is not None:
                head, message = page.head, page.last(message)
                page = None
                await send(head)
            if method == "HEAD" and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        try:
            response = await self._before(scope)
            if response is None:
                try:
                    await self._app(scope, self._limited(receive, overflow), send_with_headers)
                except ClientDisconnect:
                    if not too_large:
                        return  # nobody is left to answer
                if started or not too_large:
                    return
                raise _TooLarge
        except Exception as error:
            if started:
                raise
            response = self._page(scope, receive, error)
            if response.status_code == 500:
                await response(scope, receive, send_with_headers)
                raise  # an error of the application: its server's log gets the traceback
            if response.status_code == 503:
                _log.error("a store failed, so the request was refused", exc_info=error)
        await response(scope, receive, send_with_headers)

    async def _before(self, scope: Scope) -> Response | None:
        request_id = request_id_of(scope)
        method: str = scope["method"]
        path = (scope.get("raw_path") or quote(scope["path"]).encode()).decode("latin-1").partition("?")[0]
        try:
            # No route has a control character; files and logs are confused by them. What begins without a slash
            # (a proxy's request, "*") is no path, and behind our origin it would name another host.
            if not path.startswith("/") or _CONTROL.search(scope["path"]):
                raise Denied(Reason.MALFORMED)
            # What comes twice is joined, and so is neither.
            came: dict[str, str] = {}
            for key, value in scope["headers"]:
                if name := _LOOKED_AT.get(key):
                    text = value.decode("latin-1")
                    came[name] = f"{came[name]}, {text}" if name in came else text
            if came.get("host") != self._host:
                if method not in {"GET", "HEAD"}:
                    return self._pages(Request(scope), Refusal(status=421, request_id=request_id))
                query = scope["query_string"].decode("latin-1")
                return RedirectResponse(
                    self._base_url + path + ("?" + query if query else ""), status_code=307
                )
            length = came.get("content-length", "0")
            if not (length.isascii() and length.isdigit()):
                raise Denied(Reason.MALFORMED)
            check_same_site(method, came, base_url=self._base_url)
        except Denied as denied:
            event = SecurityEvent(
                name=Event.SYSTEM_REQUEST_REFUSED,
                outcome=Outcome.DENIED,
                reason=denied.reason,
                source=self._ps.source(HTTPConnection(scope)),
            )
            await self._ps.lanes.offload(lambda: self._ps.portal.emit(event))
            raise
        if len(length) > 18 or int(length) > self._body_limit:
            raise _TooLarge  # before a byte of it is read
        return None

    async def _check_form(self, request: Request, given: str | None) -> None:
        """Refuse a form that is no form of this session, and record it."""
        cookies = held("; ".join(request.headers.getlist("cookie")))
        given = request.headers.get(FORM_HEADER) if given is None else given
        if not cookies or fits(given, cookies):
            return
        event = SecurityEvent(
            name=Event.SYSTEM_REQUEST_REFUSED,
            outcome=Outcome.DENIED,
            reason=Reason.CROSS_SITE,
            source=self._ps.source(request),
            details={"form": "missing" if given is None else "wrong"},
        )
        await self._ps.lanes.offload(lambda: self._ps.portal.emit(event))
        raise FormRefused(Reason.CROSS_SITE)

    def _limited(self, receive: Receive, overflow: Callable[[], None]) -> Receive:
        """Whoever reads past the limit is told that the visitor has left, which every reader knows how to take."""
        total = 0

        async def limited() -> Message:
            nonlocal total
            message = await receive()
            if message["type"] == "http.request":
                total += len(message.get("body", b""))
                if total > self._body_limit:
                    overflow()
                    return {"type": "http.disconnect"}
            return message

        return limited

    def _page(self, scope: Scope, receive: Receive, error: Exception) -> Response:
        if isinstance(error, Denied) and self._acted_here(scope, error):
            return RedirectResponse(ACT_OVER, status_code=303)
        if isinstance(error, Denied) and error.reason is Reason.STEP_UP_REQUIRED:
            sent = HTTPConnection(scope).headers
            return _told(
                step_up_reply(
                    error,
                    method=scope["method"],
                    target=_target(scope),
                    headers=sent,
                    base_url=self._base_url,
                )
            )
        if isinstance(error, Denied) and error.reason is Reason.CROSS_SITE:
            told = cross_site_reply(
                error,
                headers=HTTPConnection(scope).headers,
                base_url=self._base_url,
                form_header=FORM_HEADER if isinstance(error, FormRefused) else "",
            )
            if told is not None:
                return _told(told)
        if isinstance(error, FormRefused) and (again := self._page_of_form(scope)):
            return RedirectResponse(again, status_code=303)
        refusal = refusal_of(error)
        response = self._pages(
            Request(scope, receive),
            Refusal(
                status=refusal.status,
                retry_after=refusal.retry_after,
                request_id=scope.get("portalsec.request_id"),
                sign_in=_entrance(scope, error),
            ),
        )
        if refusal.retry_after is not None:
            response.headers["Retry-After"] = refusal.retry_after
        # The cookie stays: a late answer to a request with an older one must not sign out the session that began
        # meanwhile. A dead id in a browser opens nothing.
        if not isinstance(error, PortalsecError | _TooLarge):
            _log.debug("an error of the application became a page", exc_info=error)
        return response

    def _acted_here(self, scope: Scope, denied: Denied) -> bool:
        cookies = "; ".join(HTTPConnection(scope).headers.getlist("cookie"))
        try:
            session, staff = cookie_value(cookies, SESSION_COOKIE), cookie_value(cookies, STAFF_COOKIE)
        except Denied:
            return False
        return acted_here(self._ps.portal, denied, session=session, staff=staff)

    def _page_of_form(self, scope: Scope) -> str | None:
        """Where the form was, if the browser says that it was here: shown anew, it has the value of now."""
        sent = HTTPConnection(scope).headers
        came, here = sent.get("referer", ""), self._base_url + "/"
        if sent.getlist("sec-fetch-site") != ["same-origin"] or not came.startswith(here):
            return None
        return safe_next(came[len(self._base_url) :])

    def _add_headers(self, scope: Scope, headers: MutableHeaders) -> None:
        has = {name for name, _ in headers.raw}
        # Under "no-cache" it is kept, and asked about each time: a new style is seen at once.
        kept = "no-cache" if scope["path"].startswith(self._cacheable) else "no-store"
        if b"cache-control" in has:
            headers["Cache-Control"] = kept
        else:
            headers.raw.append((b"cache-control", kept.encode("ascii")))
        if has.isdisjoint(self._names):  # nearly always
            headers.raw.extend(self._headers)
        else:
            headers.raw.extend(header for header in self._headers if header[0] not in has)


def _is_page(headers: MutableHeaders) -> bool:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "text/html" and "content-encoding" not in headers


class _Page:
    """A page on its way: held back until it is whole, since its forms and its length change."""

    def __init__(self, scope: Scope, head: Message, base_url: str) -> None:
        self.head = head
        self._base_url = base_url
        self._scope = scope
        self._body = b""

    def waits(self, message: Message) -> bool:
        """Whether there is more to come. What is longer than any page with forms goes on as it is."""
        self._body += message.get("body", b"")
        return bool(message.get("more_body")) and len(self._body) <= _MOST_PAGE

    def last(self, message: Message) -> Message:
        """The message that the head is followed by: the page with the value of the session that the browser has then."""
        if message["type"] != "http.response.body":
            return message
        headers, sent = MutableHeaders(scope=self.head), HTTPConnection(self._scope).headers
        cookies = held("; ".join(sent.getlist("cookie")), headers.getlist("set-cookie"))
        if cookies and not message.get("more_body"):
            self._body = with_tokens(self._body, cookies[0], base_url=self._base_url)
            headers["Content-Length"] = str(len(self._body))
        return {**message, "body": self._body}


def _entrance(scope: Scope, error: Exception) -> str:
    if not isinstance(error, Denied) or error.reason is not Reason.SESSION_IDLE:
        return "/sign-in"
    if scope["method"] not in {"GET", "HEAD"}:
        return resume_page("/")  # what a form posted to is no page to come back to
    return resume_page(_target(scope))


def _target(scope: Scope) -> str:
    """Path and query, as they were sent."""
    path = (scope.get("raw_path") or quote(scope["path"]).encode()).decode("latin-1").partition("?")[0]
    query = scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path


def _told(reply: Reply) -> Response:
    if reply.redirect is not None:
        return RedirectResponse(reply.redirect, status_code=303)
    return JSONResponse(dict(reply.json or {}), status_code=reply.status, headers=dict(reply.headers))
