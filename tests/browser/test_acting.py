"""Support acts in a patient's name in a real browser: the banner at every width, by keyboard, and two tabs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.browser.test_walk import STRUCTURE, heading, sign_in, tab_to
from tests.examples.support import Demo

pytestmark = pytest.mark.browser

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

Contexts = Callable[..., "BrowserContext"]


def look(page: Page) -> None:
    page.wait_for_load_state("load")
    complaints: list[str] = page.evaluate(STRUCTURE)
    assert complaints == [], page.url


@pytest.mark.parametrize("width", [390, 1280])
def test_there_and_back_by_keyboard(demo: Demo, context: Contexts, width: int) -> None:
    page = context(width=width).new_page()
    sign_in(demo, page, "support")
    page.get_by_role("link", name="Act for a patient").first.click()
    look(page)
    page.get_by_label("Their user name").fill("patient")
    page.get_by_label("Number of the case").fill("Robin rang us")
    page.get_by_role("button", name="Begin").click()
    look(page)
    assert "Enter the number of the case" in page.get_by_role("alert").inner_text()
    page.get_by_label("Number of the case").fill("ticket-4711")
    page.get_by_label("For how long").select_option("5")
    page.get_by_role("button", name="Begin").click()
    page.wait_for_url(f"{demo.how.base_url}/")
    look(page)
    banner = page.get_by_role("region", name="Acting in another’s name")
    name = demo.patient_of("patient").name
    assert f"You act for {name}" in banner.get_by_role("status").inner_text()
    page.goto(f"{demo.how.base_url}/record")
    look(page)
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    box = banner.bounding_box()
    assert box and box["y"] == 0 and box["height"] < 140  # it stays in sight, and leaves the page to be read
    page.goto(f"{demo.how.base_url}/account/factors")  # refused, and it says whose account it is
    look(page)
    assert banner.is_visible()
    tab_to(page, f"End\nacting for {name}")
    page.keyboard.press("Enter")
    page.wait_for_url("**/act-as?ended=yes")
    look(page)
    assert not banner.is_visible()
    assert heading(page) == "Act for a patient"


def test_after_the_limit_the_page_leads_back(demo: Demo, context: Contexts) -> None:
    page = context(width=390).new_page()
    sign_in(demo, page, "support")
    page.goto(f"{demo.how.base_url}/act-as")
    page.get_by_label("Their user name").fill("patient")
    page.get_by_label("Number of the case").fill("ticket-4712")
    page.get_by_label("For how long").select_option("5")
    page.get_by_role("button", name="Begin").click()
    page.wait_for_url(f"{demo.how.base_url}/")
    demo.clock.advance(timedelta(minutes=5))
    page.goto(f"{demo.how.base_url}/record")
    assert heading(page) == "You no longer act in another’s name"
    look(page)
    page.get_by_role("button", name="Back to my own account").click()
    page.wait_for_url("**/act-as?ended=yes")
    look(page)
