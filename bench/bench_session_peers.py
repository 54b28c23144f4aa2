"""One request of somebody who is signed in with a second factor, through portalsec and through what others build it of.

Each pair is one application beside another on the same framework and the same kind of store, called without a network:
``GET /me``, whose view answers with the user's id. A peer is configured, as far as it goes, to what portalsec does for every
request: an idle limit that this request renews, an absolute limit, the second factor looked at. None of them has epochs, a
check of the address and browser, or digests in place of ids at rest.

starsessions writes its session back with each request. portalsec writes when somebody was last seen once a second, so a
page's requests, which the rows send one after the other, nearly all only read; in ``apart`` each request writes.
"""

from __future__ import annotations

import asyncio
import base64
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID, uuid4

import redis
import redis.asyncio
from fastapi import Depends, FastAPI, HTTPException
from itsdangerous import TimestampSigner
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from bench.harness import Row
from portalsec.auth.ports import SessionStore
from portalsec.auth.sessions import ActiveSession
from portalsec.clock import Clock, system_clock
from portalsec.events import Source
from portalsec.fastapi import Portalsec, PortalsecMiddleware
from portalsec.portal import Portal
from portalsec.stores.redis import RedisSessions, open_redis
from portalsec.testing import current_totp
from portalsec.testing.portal import memory_portal, memory_stores
from portalsec.web import SESSION_COOKIE
from tests.servers import run_redis, wait_until

__all__ = ["rows"]

_IDLE, _ABSOLUTE = timedelta(minutes=15), timedelta(hours=12)
_PASSWORD = "lantern orbit velvet cactus"
_AGENT = b"Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0"
_TURNS = 20
_ACCESS = {"schema": 1, "resource": {"record": {"actions": ["read"]}}, "role": {"clinician": {}}}


def rows() -> Iterator[Row]:
    with ExitStack() as stack:
        loop = asyncio.new_event_loop()
        stack.callback(loop.close)
        stack.callback(lambda: loop.run_until_complete(loop.shutdown_default_executor()))
        ours = _ours(loop, stack)
        yield _row(
            "fastapi_users", ours, _fastapi_users(loop), "both in memory; two tables of theirs, one of ours"
        )
        yield _row(
            "starsessions.memory",
            ours,
            _starsessions(loop),
            "both in memory; ours asks its store in a thread, since a store may wait, theirs on the loop",
        )
        from starsessions.stores.redis import RedisStore

        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="portalsec-")))
        url = f"unix://{folder / 'redis.sock'}"
        stack.enter_context(
            run_redis("--port", "0", "--unixsocket", str(folder / "redis.sock"), folder=folder)
        )
        with closing(redis.Redis.from_url(url)) as starting:
            wait_until(starting.ping, redis.ConnectionError)
        client = stack.enter_context(closing(open_redis(url)))
        theirs = redis.asyncio.Redis.from_url(url)
        stack.callback(lambda: loop.run_until_complete(theirs.aclose()))
        on_redis = _starsessions(loop, RedisStore(connection=theirs))
        kept, clock = RedisSessions(client), _Apart()
        yield _row("starsessions", _ours(loop, stack, kept), on_redis, "both on Redis", best_of=3)
        apart = _ours(loop, stack, kept, clock)
        clock.apart = timedelta(seconds=2)  # once somebody is signed in: their codes have a time
        yield _row(
            "starsessions.apart",
            apart,
            on_redis,
            "both on Redis, each request two seconds after the last: ours writes when it was seen too",
            best_of=3,
        )


def _row(peer: str, ours: Callable[[], None], theirs: Callable[[], None], note: str, best_of: int = 5) -> Row:
    id = f"auth.request.vs_{peer}"
    return Row(id, ours, theirs, 1, subject_does=_TURNS, baseline_does=_TURNS, best_of=best_of, note=note)


def _requests(loop: asyncio.AbstractEventLoop, app: Any, cookie: str) -> Callable[[], None]:
    """So many requests one after the other, each of which must be answered with the user's id."""
    headers = [
        (b"host", b"portal.example"),
        (b"user-agent", _AGENT),
        (b"accept", b"text/html"),
        (b"cookie", cookie.encode("ascii")),
    ]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def one() -> None:
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "https",
            "path": "/me",
            "raw_path": b"/me",
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "client": ("192.0.2.1", 50000),
            "server": ("portal.example", 443),
        }
        await app(scope, receive, send)
        if sent[0]["status"] != 200:
            raise AssertionError(f"not let in: {sent}")

    async def many() -> None:
        for _ in range(_TURNS):
            await one()

    return lambda: loop.run_until_complete(many())


# -- portalsec ------------------------------------------------------------------------------------------------------


class _Apart:
    """A clock that goes on two seconds each time it is asked, which is once a request; it stands while ``apart`` is zero."""

    apart = timedelta()

    def __init__(self) -> None:
        self._now = system_clock()

    def __call__(self) -> datetime:
        self._now += self.apart
        return self._now


def _ours(
    loop: asyncio.AbstractEventLoop,
    stack: ExitStack,
    sessions: SessionStore | None = None,
    clock: Clock = system_clock,
) -> Callable[[], None]:
    stores = memory_stores()
    if sessions is not None:
        stores = replace(stores, sessions=sessions)
    portal = memory_portal(_ACCESS, stores=stores, clock=clock)
    stack.callback(portal.audit_writer.close)
    ps, app = Portalsec(portal), FastAPI(openapi_url=None)

    async def me(session: ActiveSession) -> Response:
        return PlainTextResponse(session.account_id)

    me.__annotations__ = {"session": Annotated[ActiveSession, Depends(ps.session)]}
    app.get("/me")(me)
    app.add_middleware(
        PortalsecMiddleware, ps=ps, pages=lambda request, refusal: PlainTextResponse("no", refusal.status)
    )
    return _requests(loop, app, f"{SESSION_COOKIE}={_signed_in(portal)}")


def _signed_in(portal: Portal) -> str:
    """A session of somebody who showed password and authenticator."""
    account = portal.accounts.create(login="ada", password=_PASSWORD)
    enrolment = portal.totp.begin(account.id, account_name="ada")
    portal.totp.confirm(account.id, enrolment.device_id, current_totp(enrolment, portal.clock(), steps=-1))
    source = Source(address="192.0.2.1", user_agent=_AGENT.decode("ascii"))
    step = portal.sign_in.start("ada", _PASSWORD, source=source)
    assert step.pending is not None
    step = portal.sign_in.submit_totp(
        step.pending.reveal(), current_totp(enrolment, portal.clock()), source=source
    )
    assert step.session is not None
    return step.session.token.reveal()


# -- fastapi-users --------------------------------------------------------------------------------------------------


def _fastapi_users(loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
    from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin
    from fastapi_users.authentication import AuthenticationBackend, CookieTransport
    from fastapi_users.authentication.strategy.db import DatabaseStrategy

    class User:
        id, email, hashed_password = uuid4(), "ada@portal.example", ""
        is_active, is_superuser, is_verified = True, False, True

    class AccessToken:
        def __init__(self, token: str, user_id: UUID) -> None:
            self.token, self.user_id, self.created_at = token, user_id, datetime.now(UTC)

    user = User()
    users, tokens = {user.id: user}, {}

    class Users:
        async def get(self, id: UUID) -> User | None:
            return users.get(id)

    class Tokens:
        async def get_by_token(self, token: str, max_age: datetime | None = None) -> AccessToken | None:
            found = tokens.get(token)
            return found if found and (max_age is None or found.created_at >= max_age) else None

        async def create(self, values: dict[str, Any]) -> AccessToken:
            tokens[values["token"]] = AccessToken(**values)
            return tokens[values["token"]]

    class Manager(UUIDIDMixin, BaseUserManager[Any, UUID]):
        pass

    def strategy() -> DatabaseStrategy[Any, UUID, Any]:
        return DatabaseStrategy(Tokens(), lifetime_seconds=int(_ABSOLUTE.total_seconds()))  # type: ignore[arg-type]

    async def manager() -> Any:
        yield Manager(Users())  # type: ignore[arg-type]

    backend = AuthenticationBackend(
        name="cookie", transport=CookieTransport(cookie_name="auth"), get_strategy=strategy
    )
    current = FastAPIUsers[Any, UUID](manager, [backend]).current_user(active=True, verified=True)
    app = FastAPI(openapi_url=None)

    async def me(request: Request, user: Any) -> Response:
        if not request.session.get("second_factor"):
            return PlainTextResponse("no", 401)
        return PlainTextResponse(str(user.id))

    me.__annotations__ = {"request": Request, "user": Annotated[Any, Depends(current)]}
    app.get("/me")(me)
    # Signed anew with each answer, which is its idle limit.
    secret = "a secret of the application"
    app.add_middleware(
        SessionMiddleware, secret_key=secret, max_age=int(_IDLE.total_seconds()), https_only=True
    )
    token = loop.run_until_complete(strategy().write_token(user))
    data = base64.b64encode(json.dumps({"second_factor": time.time()}).encode())
    signed = TimestampSigner(secret).sign(data).decode()
    return _requests(loop, app, f"auth={token}; session={signed}")


# -- starsessions ---------------------------------------------------------------------------------------------------


def _starsessions(loop: asyncio.AbstractEventLoop, kept: Any = None) -> Callable[[], None]:
    from starlette.middleware import Middleware
    from starsessions import InMemoryStore, JsonSerializer, SessionAutoloadMiddleware
    from starsessions import SessionMiddleware as StarSessions

    async def user_of(request: Request) -> str:
        """Its absolute limit and second factor, which the application keeps."""
        session = request.session
        if not session.get("second_factor") or time.time() - session["opened"] > _ABSOLUTE.total_seconds():
            raise HTTPException(401)
        return str(session["user"])

    async def me(user: str) -> Response:
        return PlainTextResponse(user)

    me.__annotations__ = {"user": Annotated[str, Depends(user_of)]}
    store, id, now, idle = kept or InMemoryStore(), "a" * 43, time.time(), int(_IDLE.total_seconds())
    held: dict[str, Any] = {"user": str(uuid4()), "second_factor": now, "opened": now}
    held["__metadata__"] = {"lifetime": idle, "created": now, "last_access": now}
    loop.run_until_complete(store.write(id, JsonSerializer().serialize(held), idle, idle))
    app = FastAPI(
        openapi_url=None,
        middleware=[
            Middleware(StarSessions, store=store, lifetime=_IDLE, rolling=True, cookie_name="session"),
            Middleware(SessionAutoloadMiddleware),
        ],
    )
    app.get("/me")(me)
    return _requests(loop, app, f"session={id}")
