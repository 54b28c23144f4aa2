"""A small portal with a page that warns, behind the package's own headers, for tests of session.js, kept.js and guard.js."""

from __future__ import annotations

import html
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from portalsec.account_pages import who
from portalsec.fastapi import account_router
from portalsec.web import SESSION_COOKIE
from tests.browser.serving import served
from tests.fastapi.account_site import Views
from tests.fastapi.support import Site, make_site

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

__all__ = ["SECRET", "SessionSite", "session_site"]

SECRET = "Robin Inventado, born 1968"

DIALOG = """<dialog data-session data-who="{who}" data-title="{{left}} left" data-ended-title="Signed out"
 data-back="Your text is back. It was not sent." aria-labelledby="warn-title" aria-describedby="warn-text">
<h2 id="warn-title" data-idle="Are you still there?" data-limit="This session ends soon"></h2>
<p id="warn-text" data-idle="You will be signed out in {{left}}, and at {{limit}} in any case."
 data-limit="You will be signed out in {{left}}, whatever you do. Save your work."></p>
<p data-session-say role="status" aria-live="polite" data-idle="{{left}} left." data-limit="The session ends in {{left}}."></p>
<button type="button" data-session-stay data-idle="Stay signed in" data-limit="Go on for now"></button>
<button type="button" data-session-leave data-idle="Sign out now" data-limit="Sign out now"></button></dialog>"""
PAGE = """<!doctype html><html lang="{language}"><head><title>Record</title><link rel="icon" href="data:,">
<script src="/portalsec/guard.js" data-who="{who}"></script>
{scripts}</head>
<body><main><h1>{secret}</h1><p>Page {name}</p><a href="/elsewhere">Elsewhere</a>
<form method="post" action="/notes"><label>Note <textarea name="note"></textarea></label>
<label>Phone <input name="phone" type="tel" value="555"></label>
<label>Password <input name="current" type="password" autocomplete="current-password"></label>
<label>Shown <input name="shown" type="text" data-reveal autocomplete="current-password"></label>
<label>Code <input name="code" autocomplete="one-time-code"></label>
<span data-keep="no"><label>Not this <input name="card"></label></span><button>Save</button></form>
<form method="post" action="/sign-out"><button>Sign out</button></form></main>{dialog}</body></html>"""
SCRIPTS = (
    """<script src="/portalsec/session.js" defer></script><script src="/portalsec/kept.js" defer></script>"""
)
PLAIN = "<!doctype html><html lang=en><title>{0}</title><link rel=icon href=data:,><script src=/portalsec/guard.js></script><h1>{0}</h1>"


@dataclass
class SessionSite:
    site: Site
    base: str

    def page(self, context: BrowserContext, login: str = "ada", path: str = "/page", **form: str) -> Page:
        """A tab of a browser in which ``login`` is signed in."""
        if not any(cookie["name"] == SESSION_COOKIE for cookie in context.cookies()):
            self.sign_in(context, login, **form)
        made = context.new_page()
        if path == "/bare":
            made.goto(self.base + path)
        else:
            with made.expect_response("**/session/left"):
                made.goto(self.base + path)
            made.wait_for_load_state("networkidle")  # its script has read the answer, too
        return made

    def sign_in(self, context: BrowserContext, login: str, **form: str) -> None:
        from tests.fastapi.support import PASSWORD

        client = self.site.client(address="127.0.0.1")
        client.post("/sign-in", {"login": login, "password": PASSWORD, **form})
        client.post("/sign-in/code", {"code": self.site.code(login)})
        self.site.next_step()
        token = client.cookies[SESSION_COOKIE]
        context.add_cookies(
            [
                {
                    "name": SESSION_COOKIE,
                    "value": token,
                    "url": self.base.replace("http:", "https:"),
                    "secure": True,
                    "httpOnly": True,
                }
            ]
        )

    def end(self, login: str = "ada") -> None:
        """The server ends every session of an account, as another device's "sign out everywhere" does."""
        account = self.site.portal.stores.accounts.by_login(login)
        assert account
        self.site.portal.stores.sessions.end_all(account.id)

    def later(self, **step: float) -> None:
        self.site.clock.advance(timedelta(**step))


# The page's focus comes back, a moment after the call has been answered: where it leads away, no answer would come.
WAKE = "() => { setTimeout(() => dispatchEvent(new Event('focus')), 50); }"


@contextmanager
def session_site(**policies: Any) -> Iterator[SessionSite]:
    listening = socket.create_server(("127.0.0.1", 0))
    base = f"http://localhost:{listening.getsockname()[1]}"
    with make_site(base=base, **policies) as site:
        site.app.include_router(account_router(site.ps, Views()))

        async def page(request: Request) -> Response:
            session = await site.ps.session(request)
            name = who(site.portal, session.account_id)
            text = PAGE.format(
                who=name,
                secret=SECRET,
                name=html.escape(request.url.path),
                language=request.query_params.get("lang", "en"),
                dialog=DIALOG.format(who=name),
                # Without them, since Chromium keeps no page that fetched what is not to be stored, and others may.
                scripts="" if request.url.path == "/bare" else SCRIPTS,
            )
            return HTMLResponse(text)

        async def plain(request: Request) -> Response:
            return HTMLResponse(PLAIN.format(request.url.path.strip("/")))

        for path in ("/page", "/other", "/bare"):
            site.app.add_api_route(path, page, methods=["GET"], response_model=None)
        for path in ("/elsewhere", "/signed-out"):
            site.app.add_api_route(path, plain, methods=["GET"], response_model=None)
        with served(site.app, listening):
            site.account("ada")
            site.account("grace")
            yield SessionSite(site=site, base=base)
