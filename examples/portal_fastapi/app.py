"""The application: the adapter around the clinic's pages."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from portalsec.account_pages import AccountPages, trust_offered
from portalsec.fastapi import (
    Portalsec,
    PortalsecMiddleware,
    Refusal,
    account_router,
    session_router,
    sign_in_router,
)

from .account_views import ClinicAccountViews
from .datafolder import Site
from .desk import desk_router
from .entrance import entrance_router
from .erase import erase_router
from .pages import Pages
from .privacy import privacy_router
from .records import record_router
from .safety import safety_router

__all__ = ["create_app"]

_HERE = Path(__file__).parent


def create_app(site: Site) -> FastAPI:
    """Put the pages together."""
    portal, clinic, directory = site.portal, site.clinic, site.directory
    ps = Portalsec(portal, name_of=directory.name_of)
    pages = Pages(
        acting=ps.acting,
        portal_name=portal.name,
        trust_for=lambda: trust_offered(portal),
        mail_link=portal.sign_in_links.offered,
    )
    # No interactive docs: they load scripts from elsewhere. No slash redirects: they repeat the Host header.
    app = FastAPI(title=portal.name, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.mount("/static", StaticFiles(directory=_HERE / "static"), name="static")
    app.include_router(sign_in_router(ps, pages))
    app.include_router(session_router(ps))
    # The templates are in English, and say so (lang="en"): so are portalsec's sentences in them.
    in_english = AccountPages(portal, languages=("en",))
    app.include_router(account_router(ps, ClinicAccountViews(ps, directory, pages), operations=in_english))
    app.include_router(entrance_router(ps, site.ties, directory, pages))
    app.include_router(record_router(ps, clinic, directory, pages))
    app.include_router(desk_router(ps, clinic, directory, pages))
    app.include_router(privacy_router(ps, directory, pages, anchor=site.anchor))
    app.include_router(safety_router(ps, directory, pages))
    app.include_router(erase_router(ps, clinic, site.ties, directory, site.erasure, pages))

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        response = pages.refusal(request, Refusal(status=error.status_code))
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(RequestValidationError)
    async def wrong_shape(request: Request, error: RequestValidationError) -> Response:
        return pages.refusal(request, Refusal(status=400))

    app.add_middleware(PortalsecMiddleware, ps=ps, pages=pages.refusal)
    return app
