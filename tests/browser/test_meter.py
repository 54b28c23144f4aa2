"""meter.js in a real browser, under the portal's own headers, before a server that says what the test tells it to."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest

from portalsec.web import security_headers
from tests.browser.serving import served

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

pytestmark = pytest.mark.browser

PAGE = """<!doctype html><html lang="en"><title>Meter</title><script src="/portalsec/meter.js" defer></script>
<form action="/done" method="post"><label for="login">Name</label><input id="login" name="login">
<label for="password">Password</label><p id="hint">At least 8.</p>
<input id="password" name="password" type="password" aria-describedby="hint" data-strength>
<button>Save</button></form></html>"""
WEAK = {
    "score": 0,
    "words": "Very weak",
    "problems": ["Use at least 8 characters; this has 3."],
    "advice": [],
}
STRONG = {"score": 4, "words": "Strong", "problems": [], "advice": ["<b>Another</b> word helps."]}


@dataclass
class Server:
    base: str = ""
    status: int = 200
    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[dict[str, str], dict[str, str]]] = field(default_factory=list)
    held: dict[str, threading.Event] = field(default_factory=dict)
    posted: list[bytes] = field(default_factory=list)

    def app(self) -> Any:
        from starlette.applications import Starlette
        from starlette.requests import Request
        from starlette.responses import HTMLResponse, JSONResponse, Response
        from starlette.routing import Route

        headers = security_headers(https=False)

        def page(request: Request) -> Response:
            return HTMLResponse(PAGE, headers=headers)

        def script(request: Request) -> Response:
            text = files("portalsec").joinpath("browser", "meter.js").read_bytes()
            return Response(text, media_type="text/javascript", headers=headers)

        async def done(request: Request) -> Response:
            self.posted.append(await request.body())
            return HTMLResponse("<!doctype html><title>Done</title><p>Done</p>", headers=headers)

        async def strength(request: Request) -> Response:
            from starlette.concurrency import run_in_threadpool

            body = json.loads(await request.body())
            self.asked.append((body, dict(request.headers)))
            if hold := self.held.get(body["password"]):
                await run_in_threadpool(hold.wait, 30)
            answer = self.answers.get(body["password"], STRONG)
            return JSONResponse(answer, status_code=self.status, headers=headers)

        return Starlette(
            routes=[
                Route("/", page),
                Route("/portalsec/meter.js", script),
                Route("/done", done, methods=["POST"]),
                Route("/password/strength", strength, methods=["POST"]),
            ]
        )


@pytest.fixture
def server() -> Iterator[Server]:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    made = Server(base=f"http://localhost:{listening.getsockname()[1]}")
    with served(made.app(), listening):
        yield made
        for hold in made.held.values():
            hold.set()


@pytest.fixture
def page(context: Callable[..., BrowserContext], server: Server) -> Page:
    opened = context().new_page()
    opened.goto(server.base)
    return opened


def says(page: Page) -> str:
    return page.locator("[role=status]").inner_text()


def settled(page: Page, text: str) -> None:
    page.wait_for_function("text => document.querySelector('[role=status]').innerText === text", arg=text)


def test_it_says_what_the_server_says(page: Page, server: Server) -> None:
    assert says(page) == ""
    assert page.locator("meter").is_hidden()
    server.answers["abc"] = WEAK
    page.fill("#login", "zorbina")
    page.type("#password", "abc")
    settled(page, "Very weak\nUse at least 8 characters; this has 3.")
    page.fill("#password", "lantern orbit velvet cactus")
    settled(page, "Strong\n<b>Another</b> word helps.")  # the server's texts are texts
    assert page.locator("meter").evaluate("bar => [bar.value, bar.min, bar.max, bar.hidden]") == [
        4,
        0,
        4,
        False,
    ]
    page.fill("#password", "")
    settled(page, "")
    assert page.locator("meter").is_hidden()
    bodies = [body for body, _ in server.asked]
    path = page.evaluate("location.pathname")
    assert bodies[-1] == {"password": "lantern orbit velvet cactus", "login": "zorbina", "page": path}


def test_what_is_asked_comes_from_this_origin_and_is_kept_nowhere(page: Page, server: Server) -> None:
    page.fill("#password", "lantern orbit velvet cactus")
    settled(page, "Strong\n<b>Another</b> word helps.")
    [(_, headers)] = server.asked
    assert headers["origin"] == server.base
    assert headers["sec-fetch-site"] == "same-origin"
    assert headers["content-type"] == "application/json"
    assert "referer" not in headers
    assert page.evaluate(
        "[localStorage.length, sessionStorage.length, document.cookie, location.search]"
    ) == [0, 0, "", ""]
    assert "lantern" not in page.content()


def test_a_pause_in_typing_is_one_question(page: Page, server: Server) -> None:
    page.clock.install()  # a busy machine types slowly
    page.clock.pause_at(datetime.now(UTC) + timedelta(seconds=5))
    for typed in "lantern orbit velvet":
        page.type("#password", typed)
        page.clock.run_for(100)
    assert server.asked == []
    page.clock.run_for(400)
    settled(page, "Strong\n<b>Another</b> word helps.")
    assert [body["password"] for body, _ in server.asked] == ["lantern orbit velvet"]


def test_a_late_answer_to_an_older_question_is_not_shown(page: Page, server: Server) -> None:
    server.answers["abc"] = WEAK
    server.held["abc"] = threading.Event()
    with page.expect_request("**/password/strength"):
        page.fill("#password", "abc")
    with page.expect_event("requestfailed"):  # the first question was given up
        page.fill("#password", "lantern orbit velvet")
    settled(page, "Strong\n<b>Another</b> word helps.")
    server.held["abc"].set()
    assert says(page).startswith("Strong")


@pytest.mark.parametrize("status", [429, 500, 503, 400, 404])
def test_where_the_server_has_no_answer_it_says_nothing(page: Page, server: Server, status: int) -> None:
    page.fill("#password", "lantern orbit velvet")
    settled(page, "Strong\n<b>Another</b> word helps.")
    server.status = status
    with page.expect_response("**/password/strength"):
        page.fill("#password", "harbour pickle saturn")
    settled(page, "")
    assert page.locator("meter").is_hidden()
    page.click("button")
    page.wait_for_url("**/done")
    assert len(server.posted) == 1


@pytest.mark.parametrize(
    "answer", [[], {"score": None, "words": "", "problems": [], "advice": []}, {"score": "4"}, None]
)
def test_an_answer_of_another_shape_is_none(page: Page, server: Server, answer: object) -> None:
    server.answers["harbour pickle"] = answer
    with page.expect_response("**/password/strength"):
        page.fill("#password", "harbour pickle")
    page.wait_for_load_state("networkidle")
    assert says(page) == ""


def test_screen_readers_are_told_politely_and_with_the_field(page: Page) -> None:
    described = page.locator("#password").get_attribute("aria-describedby")
    region = page.locator("[role=status]")
    assert described == f"hint {region.get_attribute('id')}"
    assert region.get_attribute("aria-live") == "polite"
    assert page.locator("meter").get_attribute("aria-hidden") == "true"


def test_without_scripts_the_form_works(context: Callable[..., BrowserContext], server: Server) -> None:
    page = context(java_script_enabled=False).new_page()
    page.goto(server.base)
    assert page.locator("meter").count() == 0
    page.fill("#password", "lantern orbit velvet")
    page.click("button")
    page.wait_for_url("**/done")
    assert server.asked == []


def test_it_is_a_few_kilobytes_and_has_nothing_that_a_strict_policy_stops() -> None:
    text = files("portalsec").joinpath("browser", "meter.js").read_text("utf-8")
    assert len(text) < 6 * 1024
    for banned in (
        "innerHTML",
        "eval(",
        "console.",
        "Storage",
        ".style",
        "import ",
        "http:",
        "https:",
        'setAttribute("style',
    ):
        assert banned not in text
