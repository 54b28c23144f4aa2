"""The pages of `portalsec.account_pages` as routes; what they look like is the application's (`AccountViews`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Protocol

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from portalsec.account_pages import (
    SCRIPTS,
    AccountPages,
    Asked,
    Lane,
    Reply,
    Route,
    language_of,
    script,
)
from portalsec.errors import Denied, Reason
from portalsec.fastapi.dependencies import Portalsec
from portalsec.fastapi.forms import read_form

__all__ = ["AccountViews", "account_router"]


class AccountViews(Protocol):
    """What the pages look like."""

    def account_page(self, request: Request, name: str, *, status: int, **values: object) -> Response:
        """The page ``name`` with its values: `portalsec.account_pages` lists the names and what each one shows.

        Called in a worker thread, so it may ask stores (for a menu, say).
        """
        ...


def account_router(
    ps: Portalsec, pages: AccountViews, *, operations: AccountPages | None = None
) -> APIRouter:
    """Forgotten passwords, mailed links, "this wasn't me", and the signed-in pages about one's own account.

    Args:
        operations: where the pages are in other languages than portalsec's sentences, say
            (``AccountPages(portal, languages=("en",))``); one for ``ps.portal`` in all of them else.
    """
    router = APIRouter(include_in_schema=False)
    todo = operations or AccountPages(ps.portal)

    def add(route: Route) -> None:
        hop = {
            Lane.HASHING: ps.lanes.hashing,
            Lane.CHOOSING: ps.lanes.choosing,
            Lane.STORES: ps.lanes.offload,
        }[route.lane]
        read = read_json if route.asks_json else read_form

        async def answer(request: Request) -> Response:
            form = await read(request) if route.method == "POST" else _query(request)
            token, staff = await ps.session_token(request), await ps.staff_token(request)
            asked = Asked(
                form=form,
                source=ps.source(request),
                session=token,
                pending=await ps.pending_token(request),
                passkey=await ps.passkey_token(request),
                device=await ps.device_token(request),
                link=await ps.link_token(request),
                staff=staff,
                language=language_of(request.headers.get("accept-language"), known=todo.languages),
            )

            def operation() -> Response:
                ps.note_acting(request, token=token, staff=staff)
                return _response(request, route.operation(asked), pages)

            return await hop(operation)

        router.add_api_route(route.path, answer, methods=[route.method])

    for route in todo.routes():
        add(route)

    for name in SCRIPTS:
        router.add_api_route(f"/portalsec/{name}", partial(_script, name), methods=["GET"])

    return router


async def _script(name: str) -> Response:
    return Response(script(name), media_type="text/javascript")


def _response(request: Request, reply: Reply, pages: AccountViews) -> Response:
    response: Response
    if reply.redirect is not None:
        response = RedirectResponse(reply.redirect, status_code=303)
    elif reply.json is not None:
        response = JSONResponse(dict(reply.json), status_code=reply.status)
    else:
        response = pages.account_page(request, reply.page, status=reply.status, **reply.values)
    response.headers.update(reply.headers)
    for cookie in reply.cookies:
        response.headers.append("Set-Cookie", cookie)
    return response


def _query(request: Request) -> Mapping[str, str]:
    fields = request.query_params
    if len(fields.multi_items()) != len(fields) or any("\0" in v for pair in fields.items() for v in pair):
        raise Denied(Reason.MALFORMED)
    return dict(fields)


async def read_json(request: Request) -> Mapping[str, str]:
    """One flat JSON object of texts, as the meter's script sends it. Raises `Denied`: MALFORMED."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await request.body()
    try:
        pairs = json.loads(body, object_pairs_hook=list) if kind == "application/json" else None
    except (ValueError, RecursionError):
        pairs = None
    # An object, since only its pairs are tuples; each name once, since two readers could take different ones.
    if not isinstance(pairs, list) or not all(
        isinstance(pair, tuple) and isinstance(pair[1], str) for pair in pairs
    ):
        raise Denied(Reason.MALFORMED)
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Denied(Reason.MALFORMED)
    return fields
