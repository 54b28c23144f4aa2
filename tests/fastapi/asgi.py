"""A browser of a few lines that speaks ASGI: any bytes may be sent, and every answer is seen as it was sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit

import anyio
import anyio.from_thread
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message

from portalsec.fastapi.form_tokens import FORM_HEADER, form_token, held

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Answer:
    status_code: int
    headers: Headers
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode("utf-8")

    def set_cookies(self) -> dict[str, str]:
        """Name -> the whole Set-Cookie line."""
        return {line.partition("=")[0]: line for line in self.headers.getlist("set-cookie")}


class Loop:
    """One event loop in a thread, for as many requests as a test makes."""

    def __init__(self) -> None:
        self._context: AbstractContextManager[Any] = anyio.from_thread.start_blocking_portal()
        self._portal = self._context.__enter__()

    def call(self, function: Any, *arguments: Any) -> Any:
        return self._portal.call(function, *arguments)

    def close(self) -> None:
        self._context.__exit__(None, None, None)


class Browser:
    """Keeps `__Host-` cookies as a browser does and sends them back; follows no redirect by itself."""

    def __init__(
        self, app: ASGIApp, loop: Loop, *, base: str, show_errors: bool = True, address: str = "198.51.100.7"
    ) -> None:
        self._app = app
        self._loop = loop
        self._base = urlsplit(base)
        self._show_errors = show_errors
        self._address = address
        self.cookies: dict[str, str] = {}

    def get(self, target: str, **options: Any) -> Answer:
        return self.request("GET", target, **options)

    def post(self, target: str, data: Mapping[str, str] | None = None, **options: Any) -> Answer:
        """A form sent by the portal's own page; ``same_site=False`` for one that another site made.

        It has the value of that page's form; ``form_token=False`` for one that has not.
        """
        options.setdefault("same_site", True)
        given = options.get("headers", ())
        given = list(given.items() if isinstance(given, Mapping) else given)
        own = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        mine = held(next((value for name, value in given if name.lower() == "cookie"), own))
        if options.pop("form_token", True) and options["same_site"] and mine:
            options["headers"] = [*given, (FORM_HEADER, form_token(mine[0]))]
        return self.request("POST", target, data=data, **options)

    def request(
        self,
        method: str,
        target: str,
        *,
        data: Mapping[str, str] | None = None,
        content: bytes | Iterable[bytes] = b"",
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        same_site: bool = False,
    ) -> Answer:
        given = list(headers.items() if isinstance(headers, Mapping) else headers)
        names = {name.lower() for name, _ in given}
        if data is not None:
            content = urlencode(data).encode("ascii")
            given.append(("content-type", FORM))
        if "host" not in names:
            given.insert(0, ("host", self._base.netloc))
        if same_site and not names & {"sec-fetch-site", "origin"}:
            given.append(("sec-fetch-site", "same-origin"))
        if self.cookies and "cookie" not in names:
            given.append(("cookie", "; ".join(f"{k}={v}" for k, v in self.cookies.items())))
        if isinstance(content, bytes) and content and "content-length" not in names:
            given.append(("content-length", str(len(content))))
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in given]
        path, _, query = target.partition("?")
        answer = self.raw(method, path.encode("latin-1"), query.encode("latin-1"), raw, content)
        for line in answer.headers.getlist("set-cookie"):
            name, _, rest = line.partition("=")
            value, _, attributes = rest.partition(";")
            if "Max-Age=0" in attributes:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        return answer

    def raw(
        self,
        method: str,
        path: bytes,
        query: bytes,
        headers: list[tuple[bytes, bytes]],
        content: bytes | Iterable[bytes] = b"",
    ) -> Answer:
        """Any bytes; the path is decoded as an HTTP server does it."""
        whole = isinstance(content, bytes)
        chunks = iter([content] if isinstance(content, bytes) else content)  # taken as they are asked for
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": self._base.scheme,
            "path": unquote(path.decode("latin-1")),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": headers,
            "client": (self._address, 4711),
            "server": (self._base.hostname, self._base.port or 443),
        }
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def run() -> None:
            ended = False

            async def receive() -> Message:
                nonlocal ended
                body = None if ended else next(chunks, b"")
                if body is not None:
                    ended = whole or not body
                    return {"type": "http.request", "body": body, "more_body": not ended}
                await anyio.sleep_forever()  # a browser that waits for its answer
                raise AssertionError

            await self._app(scope, receive, send)

        try:
            self._loop.call(run)
        except Exception:
            if self._show_errors or not sent:
                raise
        start = sent[0]
        return Answer(
            status_code=start["status"],
            headers=Headers(raw=start["headers"]),
            content=b"".join(m.get("body", b"") for m in sent[1:]),
        )
