"""session.js and kept.js in a real browser, under the portal's own headers, before a server whose clock a test moves.

The page's clock is Playwright's where timers matter; a sleep is the wall clock that jumps while timers stand still.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest

from portalsec.auth.sessions import SessionPolicy
from tests.browser.session_site import SECRET, WAKE, SessionSite, session_site

pytestmark = pytest.mark.browser

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Locator, Page

Contexts = Callable[..., "BrowserContext"]
SLEEP = "ms => { const real = Date.now; const at = real(); Date.now = () => real() + ms; }"


@pytest.fixture
def web() -> Iterator[SessionSite]:
    with session_site() as made:
        yield made


def warning(page: Page) -> Locator:
    return page.get_by_role("dialog")


def asks(page: Page) -> None:
    """The page asks the server now."""
    with page.expect_response("**/session/left"):
        page.evaluate(WAKE)


# -- the warning ----------------------------------------------------------------------------------------------------


def test_it_warns_tells_both_limits_and_stays_when_asked_by_keyboard(
    web: SessionSite, context: Contexts
) -> None:
    from playwright.sync_api import expect

    page = web.page(context(timezone_id="UTC"))
    expect(warning(page)).to_be_hidden()
    web.later(minutes=13, seconds=1)
    asks(page)
    dialog = warning(page)
    expect(dialog).to_be_visible()
    expect(dialog).to_have_accessible_name("Are you still there?")
    expect(dialog).to_have_accessible_description(
        page.evaluate("document.getElementById('warn-text').textContent")
    )
    expect(dialog).to_contain_text("signed out in 2 minutes, and at ")
    assert page.evaluate("getComputedStyle(document.querySelector('dialog'), '::backdrop').display") != "none"
    expect(dialog.get_by_role("button", name="Stay signed in")).to_be_focused()
    assert page.title().startswith("2 minutes left · ")

    # Nothing behind it is reached: Tab goes round between the two buttons (and the browser's own).
    reached = set()
    for _ in range(6):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.textContent.slice(0, 20)"))
    assert reached & {"Stay signed in", "Sign out now"} == {"Stay signed in", "Sign out now"}
    assert not reached & {"Elsewhere", "Save", "Sign out"}

    dialog.get_by_role("button", name="Stay signed in").focus()
    with page.expect_response("**/session/stay"):
        page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    assert page.title() == "Record"
    web.later(minutes=14)
    page.reload()
    assert page.locator("h1").inner_text() == SECRET


def test_escape_stays(web: SessionSite, context: Contexts) -> None:
    from playwright.sync_api import expect

    page = web.page(context())
    for _ in range(3):  # a browser closes a dialog at a second Escape without asking the page
        web.later(minutes=14)
        asks(page)
        expect(warning(page)).to_be_visible()
        with page.expect_response("**/session/stay"):
            page.keyboard.press("Escape")
        expect(warning(page)).to_be_hidden()


def test_a_screen_reader_is_told_at_milestones_and_not_every_second(
    web: SessionSite, context: Contexts
) -> None:
    from playwright.sync_api import expect

    made = context()
    web.sign_in(made, "ada")
    page = made.new_page()
    page.clock.install()
    with page.expect_response("**/session/left"):
        page.goto(f"{web.base}/page")
    page.evaluate(
        "() => { window.said = []; new MutationObserver(() => said.push("
        "document.querySelector('[data-session-say]').textContent)).observe("
        "document.querySelector('[data-session-say]'), {childList: true, characterData: true, subtree: true}); }"
    )
    web.later(minutes=13)
    asks(page)
    expect(warning(page)).to_be_visible()
    page.clock.run_for(115_000)
    said = page.evaluate("said")
    assert said == ["60 seconds left.", "30 seconds left.", "10 seconds left."]
    expect(page.get_by_role("status")).to_have_attribute("aria-live", "polite")


def test_the_words_are_the_pages_and_the_numbers_its_languages(web: SessionSite, context: Contexts) -> None:
    from playwright.sync_api import expect

    page = web.page(context(), path="/page?lang=es")
    web.later(minutes=13)
    asks(page)
    expect(warning(page)).to_contain_text("2 minutos")


def test_the_absolute_limit_is_told_early_may_be_put_away_and_comes_back(context: Contexts) -> None:
    from playwright.sync_api import expect

    policy = SessionPolicy(
        idle=timedelta(minutes=10), absolute=timedelta(minutes=20), warn_before=timedelta(minutes=1)
    )
    with session_site(sessions=policy) as web:
        page = web.page(context())
        web.later(minutes=8)
        page.reload()
        web.later(minutes=7)
        asks(page)
        dialog = warning(page)
        expect(dialog).to_have_accessible_name("This session ends soon")
        expect(dialog).to_contain_text("whatever you do")
        with page.expect_response("**/session/stay"):  # the clock moves once the server has it
            dialog.get_by_role("button", name="Go on for now").click()
        expect(dialog).to_be_hidden()
        web.later(minutes=3)
        asks(page)
        expect(dialog).to_be_hidden()
        web.later(minutes=1)
        asks(page)
        expect(dialog).to_be_visible()
        web.later(minutes=1)
        with page.expect_navigation(url="**/signed-out*"):
            page.evaluate(WAKE)
        assert SECRET not in page.content()


# -- two tabs -------------------------------------------------------------------------------------------------------


def test_two_tabs_warn_together_and_staying_in_one_stays_in_both(web: SessionSite, context: Contexts) -> None:
    from playwright.sync_api import expect

    made = context()
    one, two = web.page(made), web.page(made, path="/other")
    web.later(minutes=14)
    asks(one)
    expect(warning(one)).to_be_visible()
    expect(warning(two)).to_be_visible()
    with one.expect_response("**/session/stay"):
        warning(one).get_by_role("button", name="Stay signed in").click()
    expect(warning(one)).to_be_hidden()
    expect(warning(two)).to_be_hidden()


def test_an_end_that_one_tab_finds_clears_all(web: SessionSite, context: Contexts) -> None:
    made = context()
    one, two = web.page(made), web.page(made, path="/other")
    web.end()
    with two.expect_navigation(url="**/signed-out*"):
        one.evaluate(WAKE)
    one.wait_for_url("**/signed-out?next=%2Fpage")
    for page in (one, two):
        assert SECRET not in page.content()


def test_signing_out_in_one_tab_clears_the_other(web: SessionSite, context: Contexts) -> None:
    made = context()
    one, two = web.page(made), web.page(made, path="/other")
    with two.expect_navigation(url="**/signed-out*"):
        one.get_by_role("button", name="Sign out").click()
    assert SECRET not in two.content()


def test_another_account_in_the_same_browser_clears_the_page(web: SessionSite, context: Contexts) -> None:
    made = context()
    page = web.page(made)
    web.sign_in(made, "grace")
    with page.expect_navigation(url="**/signed-out*"):
        page.evaluate(WAKE)
    assert SECRET not in page.content()


def test_atk_12_an_answer_to_the_id_before_a_rotation_signs_nobody_out(
    web: SessionSite, context: Contexts
) -> None:
    page = web.page(context())
    late = {"n": 0}

    def once(route: object) -> None:
        late["n"] += 1
        if late["n"] == 1:
            route.fulfill(status=401, json={"signed_in": False})  # type: ignore[attr-defined]
        else:
            route.continue_()  # type: ignore[attr-defined]

    page.route("**/session/left", once)
    with page.expect_response(lambda answer: "/session/left" in answer.url and answer.ok):
        page.evaluate(WAKE)
    assert late["n"] == 2
    assert page.url == f"{web.base}/page"
    assert page.locator("h1").inner_text() == SECRET


# -- sleep, throttled timers, no server -----------------------------------------------------------------------------


def test_a_sleeping_computer_wakes_to_no_record(web: SessionSite, context: Contexts) -> None:
    page = web.page(context())
    web.later(minutes=20)
    page.evaluate(SLEEP, 20 * 60 * 1000)  # no focus, no event: the lid was opened and the page is as it was
    page.wait_for_url("**/signed-out*", timeout=15_000)
    assert SECRET not in page.content()


def test_a_sleep_that_another_device_outlasted_leaves_the_page(web: SessionSite, context: Contexts) -> None:
    """By its own clocks it is over, and the page is covered; the server says that it lives, and it comes back."""
    from playwright.sync_api import expect

    page = web.page(context())
    with page.expect_response("**/session/left", timeout=15_000):
        page.evaluate(SLEEP, 20 * 60 * 1000)
    expect(page.locator("h1")).to_be_visible()


def test_a_form_is_not_sent_into_a_closed_door(web: SessionSite, context: Contexts) -> None:
    page = web.page(context())
    page.get_by_label("Note").fill("a long letter")
    web.later(minutes=20)
    posted: list[str] = []
    page.on("request", lambda request: posted.append(request.url) if request.method == "POST" else None)
    page.evaluate(SLEEP, 20 * 60 * 1000)
    page.evaluate("document.querySelector('form').requestSubmit()")  # before any timer ran
    page.wait_for_url("**/signed-out*")
    assert posted == []


def test_throttled_timers_find_the_truth_in_the_clocks(web: SessionSite, context: Contexts) -> None:
    """A hidden tab's timers run once a minute at best: here one comes 13 minutes late, all at once."""
    from playwright.sync_api import expect

    made = context()
    web.sign_in(made, "ada")
    page = made.new_page()
    page.clock.install()
    with page.expect_response("**/session/left"):
        page.goto(f"{web.base}/page")
    web.later(minutes=13, seconds=30)
    with page.expect_response("**/session/left"):
        page.clock.fast_forward("13:30")
    expect(warning(page)).to_be_visible()
    expect(warning(page)).to_contain_text("90 seconds")
    web.later(minutes=1, seconds=30)
    page.clock.fast_forward("01:30")
    page.wait_for_url("**/signed-out*")


def test_without_a_server_the_page_counts_by_itself_and_clears_itself(
    web: SessionSite, context: Contexts
) -> None:
    from playwright.sync_api import expect

    made = context()
    web.sign_in(made, "ada")
    page = made.new_page()
    page.clock.install()
    with page.expect_response("**/session/left"):
        page.goto(f"{web.base}/page")
    page.wait_for_load_state("networkidle")
    page.route("**/session/*", lambda route: route.fulfill(status=503, json={}))
    page.clock.fast_forward("13:30")
    expect(warning(page)).to_be_visible()
    page.clock.fast_forward("01:40")
    page.wait_for_url("**/signed-out*")
    assert SECRET not in page.content()


def test_atk_15_a_page_left_open_does_not_keep_the_session_alive(web: SessionSite, context: Contexts) -> None:
    page = web.page(context())
    for _ in range(14):
        web.later(minutes=1)
        asks(page)
    web.later(minutes=1)
    with page.expect_navigation(url="**/signed-out*"):
        page.evaluate(WAKE)


def test_ses_05_what_somebody_does_in_the_page_is_no_activity(web: SessionSite, context: Contexts) -> None:
    page = web.page(context())
    for _ in range(3):
        web.later(minutes=5)
        page.get_by_label("Note").press_sequentially("typing ")
        page.mouse.move(10, 10)
    with page.expect_navigation(url="**/signed-out*"):
        page.evaluate(WAKE)


# -- text that was not sent -----------------------------------------------------------------------------------------


def written(page: Page) -> None:
    page.get_by_label("Note").fill("a long letter")
    page.get_by_label("Phone").fill("212 555 0131")
    page.get_by_label("Password").fill("orbit marzipan")
    page.get_by_label("Shown").fill("kettle walrus")
    page.get_by_label("Code").fill("123456")
    page.get_by_label("Not this").fill("4111")


def ended(web: SessionSite, page: Page) -> str:
    """The session ends; everything that the tab keeps then."""
    web.end()
    with page.expect_navigation(url="**/signed-out*"):
        page.evaluate(WAKE)
    text: str = page.evaluate("JSON.stringify([{...sessionStorage}, {...localStorage}])")
    return text


def test_unsent_text_comes_back_to_its_owner_and_no_password_does(
    web: SessionSite, context: Contexts
) -> None:
    from playwright.sync_api import expect

    made = context()
    page = web.page(made)
    written(page)
    kept = ended(web, page)
    assert "portalsec-kept:/page" in kept
    assert not [word for word in ("letter", "555", "marzipan", "walrus", "123456", "4111") if word in kept]
    web.sign_in(made, "ada")
    page.goto(f"{web.base}/page")
    expect(page.get_by_text("Your text is back. It was not sent.")).to_be_visible()
    expect(page.get_by_label("Note")).to_have_value("a long letter")
    expect(page.get_by_label("Phone")).to_have_value("212 555 0131")
    for label in ("Password", "Shown", "Code", "Not this"):
        expect(page.get_by_label(label)).to_have_value("")
    assert page.evaluate("sessionStorage.length") == 0


def test_unsent_text_is_for_nobody_else(web: SessionSite, context: Contexts) -> None:
    from playwright.sync_api import expect

    made = context()
    page = web.page(made)
    written(page)
    ended(web, page)
    web.sign_in(made, "grace")
    page.goto(f"{web.base}/page")
    page.wait_for_function("() => sessionStorage.length === 0")
    expect(page.get_by_label("Note")).to_have_value("")


def test_on_a_shared_computer_nothing_is_kept(web: SessionSite, context: Contexts) -> None:
    page = web.page(context(), shared="yes")
    written(page)
    assert ended(web, page) == "[{},{}]"
    assert page.url == f"{web.base}/signed-out"  # nor where they were


def test_signing_out_forgets_what_was_kept(web: SessionSite, context: Contexts) -> None:
    made = context()
    page = web.page(made)
    written(page)
    ended(web, page)
    web.sign_in(made, "ada")
    page.goto(f"{web.base}/other")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-out")
    page.goto(f"{web.base}/elsewhere")
    assert page.evaluate("sessionStorage.length") == 0  # Clear-Site-Data


# -- without scripts, and the files ---------------------------------------------------------------------------------


def test_without_scripts_the_servers_limits_hold(web: SessionSite, context: Contexts) -> None:
    made = context(java_script_enabled=False)
    web.sign_in(made, "ada")
    page = made.new_page()
    page.goto(f"{web.base}/page")
    assert page.locator("dialog").is_hidden()
    web.later(minutes=15)
    answer = page.reload()
    assert answer
    assert answer.status == 401
    assert SECRET not in page.content()


@pytest.mark.parametrize(
    ("name", "most"), [("session.js", 10), ("kept.js", 4), ("guard.js", 3), ("passkeys.js", 10)]
)
def test_each_is_a_few_kilobytes_and_has_nothing_that_a_strict_policy_stops(name: str, most: int) -> None:
    text = files("portalsec").joinpath("browser", name).read_text("utf-8")
    assert len(text) < most * 1024
    for banned in ("innerHTML", "eval(", "console.", "localStorage", "document.cookie", "import ", "http:"):
        assert banned not in text
    assert "https:" not in text


def test_a_session_that_must_show_a_factor_leads_to_where_it_can(web: SessionSite, context: Contexts) -> None:
    page = web.page(context())
    page.route(
        "**/session/left",
        lambda route: route.fulfill(status=403, json={"signed_in": True, "step_up": "/account/step-up"}),
    )
    page.evaluate(WAKE)
    page.wait_for_url("**/account/step-up?next=%2Fpage")
    assert SECRET not in page.content()
