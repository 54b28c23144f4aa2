"""portalsec in FastAPI and Starlette: a thin adapter. Everything that decides lives in the core.

* `Portalsec` is handed the portal and gives dependencies: ``session``, ``require(...)``, ``source(request)``.
* `PortalsecMiddleware` sets headers, refuses cross-site requests and turns errors into the application's pages.
* `sign_in_router` is the way to a session; its pages are the application's.
* `account_router` is what people do about their account: passwords, mailed links, devices, "this wasn't me".
* `courier` delivers mail while the application serves.
* `Lanes` keeps password hashing away from the threads that answer everybody else.
"""

try:
    import fastapi as _fastapi  # noqa: F401
except ImportError:
    from portalsec.errors import MissingExtra

    raise MissingExtra("fastapi", package="fastapi") from None

from portalsec.fastapi.account import AccountViews, account_router
from portalsec.fastapi.courier import courier
from portalsec.fastapi.dependencies import FindResource, Portalsec
from portalsec.fastapi.forms import read_form
from portalsec.fastapi.lanes import Lanes
from portalsec.fastapi.middleware import PortalsecMiddleware, Refusal, refusal_of
from portalsec.fastapi.routers import SignInPages, finish_step, session_router, sign_in_router

__all__ = [
    "AccountViews",
    "FindResource",
    "Lanes",
    "Portalsec",
    "PortalsecMiddleware",
    "Refusal",
    "SignInPages",
    "account_router",
    "courier",
    "finish_step",
    "read_form",
    "refusal_of",
    "session_router",
    "sign_in_router",
]
