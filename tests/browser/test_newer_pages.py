"""Pages of second keys in a real browser: a link by mail, and with the keyboard alone an import, recovery codes, other ways
past the second step, and a browser that is trusted and then is not."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

import pyotp
import pytest

from tests.auth.test_importing import SEVERAL
from tests.auth.test_otpauth import TEXT
from tests.browser.serving import served
from tests.browser.test_account_walk import link_in, look, mails
from tests.browser.test_walk import heading, tab_to
from tests.examples.support import Demo, make_demo

pytestmark = pytest.mark.browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

Contexts = Callable[..., "BrowserContext"]

SETTINGS = """
[sign_in]
second_factor = "optional"
factors = ["password", "totp", "passkey", "recovery_code", "email_code"]
mail_link = true
trust_browsers = "30d"
"""
SUBJECT = "Your link to sign in"


@pytest.fixture(scope="module")
def demo(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A portal with every way in that the demo leaves off."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    base = f"http://localhost:{listening.getsockname()[1]}"
    folder = tmp_path_factory.mktemp("portal") / "data"
    with make_demo(folder, base=base, settings=SETTINGS) as made, served(made.app, listening):
        yield made


def there(page: Page, title: str) -> None:
    """On the page of this heading, whole: its answer is here, and its scripts have run. It is looked at in both widths."""
    from playwright.sync_api import expect

    expect(page.locator("h1")).to_have_text(title)
    page.wait_for_load_state("load")
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 844})
        look(page)


def press(page: Page, name: str, title: str) -> None:
    """Reach it with the Tab key, press Enter, and be on the next page."""
    tab_to(page, name, limit=60)
    page.keyboard.press("Enter")
    there(page, title)


def type_into(page: Page, name: str, text: str) -> None:
    tab_to(page, name, limit=60)
    page.keyboard.insert_text(text)


def to_the_second_step(demo: Demo, page: Page, login: str, *, trust: bool = False) -> None:
    page.goto(f"{demo.how.base_url}/sign-in")
    there(page, "Sign in")
    type_into(page, "login", login)
    type_into(page, "password", demo.logins[login].password)
    if trust:
        tab_to(page, "trust")
        page.keyboard.press("Space")
    page.keyboard.press("Enter")
    there(page, "Enter your code")


def code(demo: Demo, login: str) -> str:
    """The next one, which no page has seen."""
    demo.clock.advance(timedelta(seconds=30))
    return demo.code(demo.logins[login].uri)


def test_a_link_by_mail_signs_in_the_browser_that_asked_and_no_other(demo: Demo, context: Contexts) -> None:
    stores = demo.site.portal.stores
    account = stores.accounts.by_login("parent")
    assert account
    for device in stores.totp.devices(
        account.id
    ):  # a link opens what one factor opens, or leads on to a passkey
        assert stores.totp.remove(account.id, device.id)
    page, elsewhere = context(390, 844).new_page(), context().new_page()
    page.goto(f"{demo.how.base_url}/sign-in")
    page.get_by_role("link", name="Sign in by mail").click()
    there(page, "Sign in by mail")
    page.get_by_label("User name or e-mail address").fill("parent@mail.example")
    page.get_by_role("button", name="Send me a link").click()
    there(page, "Look into your mail")
    while not mails(demo, "parent", SUBJECT):  # the demo's own courier may have it in hand
        page.wait_for_timeout(50)
    link, _ = link_in(demo, "parent", SUBJECT)
    for visitor in (elsewhere, page):
        answer = visitor.goto(link)
        assert answer and answer.headers["referrer-policy"] == "no-referrer"
        there(visitor, "Sign in")
        visitor.get_by_role("main").get_by_role("button", name="Sign in").click()
        if visitor is elsewhere:
            there(visitor, "This link does not work any more")
    page.wait_for_url(f"{demo.how.base_url}/")
    page.get_by_role("button", name="Sign out").wait_for()
    elsewhere.goto(demo.how.base_url)
    assert elsewhere.get_by_role("button", name="Sign out").count() == 0


def test_the_pages_of_second_keys_with_the_keyboard_alone(demo: Demo, context: Contexts) -> None:
    from playwright.sync_api import expect

    page = context(390, 844).new_page()
    to_the_second_step(demo, page, "patient")
    type_into(page, "code", code(demo, "patient"))
    page.keyboard.press("Enter")
    page.wait_for_url(f"{demo.how.base_url}/")

    # Bringing authenticators along.
    page.goto(f"{demo.how.base_url}/account/factors")
    there(page, "Your second keys")
    press(page, "Bring one you have", "Confirm that it is you")
    type_into(page, "code", code(demo, "patient"))
    page.keyboard.press("Enter")
    there(page, "Bring an authenticator")
    expect(page.get_by_label("The address in its QR code")).to_have_attribute("autocomplete", "off")
    type_into(page, "pasted", f"otpauth://totp/x?secret={TEXT}1")
    tab_to(page, "Read it")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_focused()
    there(page, "Bring an authenticator")
    field = page.get_by_label("The address in its QR code")
    expect(field).to_have_value("")
    expect(field).to_have_accessible_description("It begins with otpauth:// or otpauth-migration://. We never show it again. The secret in this address is not base32: export it again.")  # fmt: skip
    assert TEXT not in page.content()
    type_into(page, "pasted", SEVERAL)
    press(page, "Read it", "Confirm with a code")
    group = page.get_by_role("group", name="Which one is the code from?")
    expect(group.get_by_role("radio")).to_have_count(3)
    tab_to(page, "entry", limit=60)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    expect(group.get_by_role("radio", name="Hill Clinic: robin")).to_be_checked()
    type_into(page, "code", pyotp.TOTP(TEXT).at(demo.clock()))
    page.keyboard.press("Enter")
    there(page, "Your recovery codes")
    assert TEXT not in page.content()
    press(page, "I have kept them: go on", "Confirm with a code")
    expect(group.get_by_role("radio")).to_have_count(2)
    press(page, "Leave out what is not confirmed", "Your second keys")
    expect(page.get_by_role("main")).to_contain_text("Hill Clinic: robin")

    # New recovery codes: what was confirmed just now was a step-up.
    press(page, "Make recovery codes", "Make recovery codes")
    press(page, "Show ten new codes", "Your recovery codes")
    spare = page.locator(".codes code").first.inner_text()
    tab_to(page, "Print")
    tab_to(page, "Keep as a file")

    # Another way past the second step, and a browser that is trusted.
    page.context.clear_cookies()
    to_the_second_step(demo, page, "patient", trust=True)
    press(page, "Use another way", "Confirm that it is you")
    press(page, "Use one of my recovery codes", "A recovery code")
    type_into(page, "code", spare)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{demo.how.base_url}/")
    page.goto(f"{demo.how.base_url}/account/devices")
    there(page, "Your devices")
    expect(page.get_by_text("Trusted", exact=True)).to_be_visible()
    tab_to(page, "Trust it no longer", limit=60)
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").filter(has_text="Trusted no longer")).to_be_focused()
    there(page, "Your devices")
    assert heading(page) == "Your devices"
