"""The Django example in a real browser: signed in with two factors, asked what is left, and nothing of a record behind the back
button after a sign-out or an end from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyotp
import pytest

from tests.django.test_example import Demo, signed_in
from tests.ports import free_port

pytestmark = pytest.mark.browser

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """One for each test, since a code is good once and the clock is the real one."""
    running = Demo(tmp_path / "data", free_port())
    yield running
    running.stop()


@pytest.fixture
def page(context: Callable[..., BrowserContext]) -> Page:
    return context(width=390).new_page()


def sign_in(demo: Demo, page: Page) -> None:
    """The patient, by hand; their record is open then."""
    (line,) = [
        each for each in (demo.data / "accounts.txt").read_text().splitlines() if each.startswith("patient\t")
    ]
    _, password, uri, _ = line.split("\t")
    page.goto(f"http://localhost:{demo.port}/sign-in?next=/record")
    page.get_by_label("Sign-in name").fill("patient")
    page.get_by_label("Password", exact=True).fill(password)
    page.keyboard.press("Enter")
    page.wait_for_url("**/sign-in/code**")
    totp = pyotp.parse_uri(uri)
    assert isinstance(totp, pyotp.TOTP)
    page.get_by_label("Code").fill(totp.now())
    page.keyboard.press("Enter")
    page.wait_for_url("**/record")


def nothing_left(page: Page, secret: str) -> None:
    from playwright.sync_api import expect

    page.go_back()
    page.wait_for_function(
        "secret => document.readyState === 'complete' && !document.body?.innerText.includes(secret)",
        arg=secret,
        polling=50,
    )
    expect(page.locator("body")).not_to_contain_text(secret)


def sign_out(demo: Demo, page: Page) -> None:
    page.get_by_role("button", name="Sign out").first.click()
    page.wait_for_url("**/sign-out")


def end_from_elsewhere(demo: Demo, page: Page) -> None:
    other = signed_in(demo, "patient", steps=1)
    assert other.send("/account/sessions", "/account/sessions", session="others") == 303
    page.goto(f"http://localhost:{demo.port}/account/sessions")


@pytest.mark.parametrize("end", [sign_out, end_from_elsewhere])
def test_atk_38_nothing_of_a_record_is_behind_the_back_button(
    demo: Demo, page: Page, end: Callable[[Demo, Page], None]
) -> None:
    with page.expect_response("**/session/left") as left:  # the warning's script asks how long is left
        sign_in(demo, page)
    assert left.value.json()["signed_in"] is True
    name = page.get_by_role("heading", level=1).inner_text()
    secret = page.locator("main").inner_text().splitlines()[-1]
    assert name and secret
    end(demo, page)
    nothing_left(page, secret)
