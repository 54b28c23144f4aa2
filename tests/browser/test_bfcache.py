"""guard.js in a Chromium that keeps pages for its back button: after a sign-out, and after the server ended the session.

The first test shows that without the guard the browser does show a no-store page again, so that the others mean something.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from portalsec.account_pages import guard_hash, script, who
from tests.browser.conftest import ARGUMENTS, NAMES
from tests.browser.session_site import SECRET, SessionSite, session_site

pytestmark = pytest.mark.browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

# Playwright switches the cache off, since a page that comes back out of it is none that it loaded: tests here wait for
# what the page says instead of for a load.
OFF = "--disable-back-forward-cache"
SEEN = "addEventListener('pageshow', (event) => { window.kept = event.persisted; })"


@pytest.fixture(scope="module")
def keeping(chromium: Browser) -> Iterator[Browser]:
    """A second browser beside the suite's, with the cache on."""
    found = next(filter(None, map(shutil.which, NAMES)))
    browser = chromium.browser_type.launch(executable_path=found, args=ARGUMENTS, ignore_default_args=[OFF])
    yield browser
    browser.close()


@pytest.fixture
def context(keeping: Browser) -> Iterator[Callable[..., BrowserContext]]:
    opened: list[BrowserContext] = []

    def new(**options: object) -> BrowserContext:
        made = keeping.new_context(**options)  # type: ignore[arg-type]
        made.add_init_script(SEEN)
        opened.append(made)
        return made

    yield new
    for each in opened:
        each.close()


@pytest.fixture
def web() -> Iterator[SessionSite]:
    with session_site() as made:
        yield made


def back(page: Page) -> None:
    # Later: the answer of an `evaluate` whose page went into the cache meanwhile never comes, and nothing ends the wait.
    page.evaluate("() => { setTimeout(() => history.back(), 50); }")


def leave(page: Page) -> None:
    page.get_by_role("link", name="Elsewhere").click()
    page.wait_for_url("**/elsewhere")


def came_back_whole(page: Page) -> bool:
    from playwright.sync_api import Error

    page.wait_for_url("**/bare", wait_until="commit")
    try:
        page.wait_for_function("() => window.kept", polling=50, timeout=5_000)
    except Error:
        return False
    return True


def shown(page: Page) -> bool:
    """Whether anything of the record can be seen, whatever is in the document."""
    found: bool = page.evaluate(
        "secret => Boolean(document.documentElement.checkVisibility() && document.body?.innerText.includes(secret))",
        SECRET,
    )
    return found


def settled(page: Page, path: str) -> None:
    """The guard has had the page asked for anew, and that answer is what the tab shows."""
    with page.expect_response(lambda answer: answer.url.endswith(path)) as answer:
        back(page)
    answer.value.finished()
    page.wait_for_function("() => document.readyState === 'complete' && !window.kept", polling=50)


def test_without_the_guard_the_browser_shows_a_no_store_page_after_its_session_ended(
    web: SessionSite, context: Callable[..., BrowserContext]
) -> None:
    made = context()
    made.route("**/portalsec/*.js", lambda route: route.fulfill(body="", content_type="text/javascript"))
    web.sign_in(made, "ada")
    page = made.new_page()
    page.goto(f"{web.base}/bare")
    leave(page)
    web.end()
    back(page)
    if not came_back_whole(page):
        pytest.skip("this browser keeps no such page, so there is nothing to guard")
    assert shown(page)


def test_atk_38_the_back_button_after_a_server_side_end_shows_nothing(
    web: SessionSite, context: Callable[..., BrowserContext]
) -> None:
    page = web.page(context(), path="/bare")
    leave(page)
    web.end()
    settled(page, "/bare")
    assert not shown(page)
    assert SECRET not in page.content()


def test_atk_38_nothing_of_it_flashes_while_the_server_is_asked(
    web: SessionSite, context: Callable[..., BrowserContext]
) -> None:
    made = context()
    page = web.page(made, path="/bare")
    asked: list[object] = []
    page.route("**/session/left", lambda route: asked.append(route), times=1)  # held: no answer yet
    leave(page)
    back(page)
    assert came_back_whole(page)
    assert page.evaluate("getComputedStyle(document.documentElement).display") == "none"
    assert not shown(page)
    # It lives: the page comes back as it was.
    while not asked:
        page.wait_for_timeout(20)
    for each in asked:
        each.continue_()  # type: ignore[attr-defined]
    page.wait_for_function("() => document.documentElement.checkVisibility()")
    assert shown(page)


def test_a_live_page_comes_back_with_what_was_typed(
    web: SessionSite, context: Callable[..., BrowserContext]
) -> None:
    page = web.page(context(), path="/bare")
    page.get_by_label("Note").fill("half a letter")
    leave(page)
    back(page)
    assert came_back_whole(page)
    page.wait_for_function("() => document.documentElement.checkVisibility()")
    assert page.get_by_label("Note").input_value() == "half a letter"


def test_atk_38_the_back_button_after_a_sign_out_shows_nothing(
    web: SessionSite, context: Callable[..., BrowserContext]
) -> None:
    page = web.page(context(), path="/bare")
    leave(page)
    page.goto(f"{web.base}/other")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-out")
    for path in ("/other", "/elsewhere", "/bare"):  # the page that was signed out from, and those before
        settled(page, path)
        assert not shown(page)
        assert SECRET not in page.content()


def test_atk_38_another_account_sees_nothing_of_the_one_before(
    web: SessionSite, context: Callable[..., BrowserContext]
) -> None:
    made = context()
    page = web.page(made, path="/bare")
    leave(page)
    web.sign_in(made, "grace")
    back(page)
    grace = web.site.portal.stores.accounts.by_login("grace")
    assert grace
    name = who(web.site.portal, grace.id)  # the page is grace's, loaded anew
    page.wait_for_function(f"() => document.querySelector('script')?.dataset.who === '{name}'", polling=50)
    assert not page.evaluate("window.kept")


def test_a_server_that_does_not_answer_shows_nothing(
    web: SessionSite, context: Callable[..., BrowserContext]
) -> None:
    page = web.page(context(), path="/bare")
    leave(page)
    page.route("**/session/left", lambda route: route.abort())
    web.end()
    settled(page, "/bare")
    assert SECRET not in page.content()


def test_a_page_without_a_session_is_asked_for_anew(
    web: SessionSite, context: Callable[..., BrowserContext]
) -> None:
    page = context().new_page()
    page.goto(f"{web.base}/elsewhere")
    page.goto(f"{web.base}/signed-out")
    settled(page, "/elsewhere")


def test_inline_the_guard_runs_under_its_hash_and_nothing_else_does(
    web: SessionSite, context: Callable[..., BrowserContext]
) -> None:
    from starlette.responses import HTMLResponse

    from portalsec.web import security_headers

    policy = security_headers(https=False)["Content-Security-Policy"]
    policy = policy.replace("script-src 'self'", f"script-src 'self' {guard_hash()}")
    text = script("guard.js").decode()
    page_ = f"<!doctype html><title>In</title><link rel=icon href=data:,><script>{text}</script><script>window.evil = 1</script><h1>{SECRET}</h1>"

    async def inline() -> HTMLResponse:
        return HTMLResponse(page_, headers={"Content-Security-Policy": policy})

    web.site.app.add_api_route("/inline", inline, methods=["GET"], response_model=None)
    page = context().new_page()
    page.goto(f"{web.base}/inline")
    assert page.evaluate("window.evil") is None
    page.goto(f"{web.base}/elsewhere")
    settled(page, "/inline")  # the guard ran: it asked anew
