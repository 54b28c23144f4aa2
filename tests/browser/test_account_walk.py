"""Through the pages about one's own account in a real browser: forgotten, guessed at, copied, secured."""

from __future__ import annotations

import email
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from email.message import Message
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.test_walk import STRUCTURE, heading, sign_in, tab_to
from tests.examples.support import Demo

pytestmark = pytest.mark.browser

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

Contexts = Callable[..., "BrowserContext"]

LINK = "Choose a new password ["  # and the mail's code: another subject begins with the same words


def mails(demo: Demo, login: str, subject: str = "") -> list[Message]:
    """What an account got under subjects that begin so, in the order of the files that the demo writes."""
    demo.site.portal.courier.deliver()
    read = [
        email.message_from_bytes(path.read_bytes()) for path in sorted((demo.folder / "mail").glob("*.eml"))
    ]
    return [
        each
        for each in read
        if each["To"] == f"{login}@mail.example" and str(each["Subject"]).startswith(subject)
    ]


def link_in(demo: Demo, login: str, subject: str) -> tuple[str, str]:
    """The one link of the newest mail whose subject begins so, and the mail's code."""
    mail = mails(demo, login, subject)[-1]
    plain = next(part for part in mail.walk() if part.get_content_type() == "text/plain")
    text = bytes(plain.get_payload(decode=True)).decode("utf-8")
    (link,) = set(re.findall(r"https?://\S+", text))
    assert link.startswith(demo.how.base_url + "/")
    code = re.search(r"\[(\w{4}-\w{4})\]", str(mail["Subject"]))
    assert code
    return link, code[1]


def look(page: Page) -> None:
    page.wait_for_load_state("load")  # or the style sheet may still be on its way
    complaints: list[str] = page.evaluate(STRUCTURE)
    assert complaints == [], page.url


def choose(demo: Demo, page: Page, login: str, password: str, button: str = "Save the password") -> None:
    page.get_by_label("New password", exact=True).fill(password)
    page.get_by_role("button", name=button).click()
    demo.logins[login] = replace(demo.logins[login], password=password)


def finish(demo: Demo, page: Page, login: str) -> None:
    page.get_by_label("Code from your authenticator app").fill(demo.code(demo.logins[login].uri))
    page.get_by_role("main").get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{demo.how.base_url}/")
    demo.clock.advance(timedelta(seconds=30))


# -- a forgotten password -------------------------------------------------------------------------------------------


def test_forgotten_asked_for_by_mail_chosen_with_the_meter_and_signed_in(
    demo: Demo, context: Contexts
) -> None:
    from playwright.sync_api import expect

    page = context(390, 844).new_page()
    page.goto(f"{demo.how.base_url}/sign-in")
    page.get_by_role("link", name="Forgot your password?").click()
    look(page)
    page.get_by_role("button", name="Send me a link").click()
    expect(page.get_by_role("alert")).to_be_focused()
    page.get_by_label("User name or e-mail address").fill("parent@mail.example")
    page.get_by_role("button", name="Send me a link").click()
    assert heading(page) == "Look into your mail"
    look(page)

    link, code = link_in(demo, "parent", LINK)
    answer = page.goto(link)
    assert answer
    assert answer.headers["referrer-policy"] == "no-referrer"
    look(page)
    page.get_by_role("button", name="Go on").click()
    page.wait_for_url("**/password/new")  # the token is in no address any more

    field = page.get_by_label("New password", exact=True)
    expect(field).to_have_attribute("autocomplete", "new-password")
    says = page.get_by_role("status")
    field.press_sequentially("password1")
    expect(says).to_contain_text("Very weak")
    expect(says).to_contain_text("lists that attackers try first")
    expect(field).to_have_accessible_description(re.compile("lists that attackers try first"))
    look(page)
    field.fill("")
    field.press_sequentially("harbour violin 42 candle")
    expect(says).to_have_text("Strong")
    page.get_by_role("button", name="Show password").click()
    expect(field).to_have_attribute("type", "text")
    choose(demo, page, "parent", "harbour violin 42 candle")
    assert heading(page) == "Enter your code"
    finish(demo, page, "parent")

    # The mail can be checked against the page, under the code that both show.
    page.goto(f"{demo.how.base_url}/account/messages")
    expect(page.get_by_role("main")).to_contain_text(code)
    look(page)
    page.goto(link)
    page.get_by_role("button", name="Go on").click()
    assert heading(page) == "This link does not work any more"
    look(page)


def test_without_scripts_everything_works_as_well(demo: Demo, context: Contexts) -> None:
    from playwright.sync_api import expect

    page = context(390, 844, java_script_enabled=False).new_page()
    page.goto(f"{demo.how.base_url}/password/forgot")
    page.get_by_label("User name or e-mail address").fill("doctor")
    page.get_by_role("button", name="Send me a link").click()
    page.goto(link_in(demo, "doctor", LINK)[0])
    page.get_by_role("button", name="Go on").click()
    choose(demo, page, "doctor", "lantern pickle 7 orchard wool")
    finish(demo, page, "doctor")
    page.goto(f"{demo.how.base_url}/account/secure")
    page.get_by_role("button", name="Sign out everywhere else").click()
    expect(page.get_by_text("Done: you are signed in here")).to_be_visible()


# -- this was not me -------------------------------------------------------------------------------------------------


def test_a_sign_in_that_was_not_the_owners_from_the_mail_to_the_privacy_officer(
    demo: Demo, context: Contexts
) -> None:
    from playwright.sync_api import expect

    thief = context().new_page()
    sign_in(demo, thief, "patient")
    thief.goto(f"{demo.how.base_url}/record")
    assert heading(thief) == "My record"

    link, code = link_in(demo, "patient", "New sign-in to your account")
    owner = context(390, 844).new_page()
    owner.goto(link)
    assert heading(owner) == "Was this not you?"
    expect(owner.get_by_role("main")).to_contain_text(code)
    look(owner)
    thief.reload()
    assert heading(thief) == "My record"  # opening the link did nothing
    owner.get_by_role("button", name="This was not me: protect my account").click()
    assert heading(owner) == "Your account is protected"
    look(owner)
    thief.reload()
    assert heading(thief) == "Please sign in"

    owner.get_by_role("link", name="Choose a new password").click()
    choose(demo, owner, "patient", "meadow trombone 31 glacier")
    finish(demo, owner, "patient")
    owner.goto(f"{demo.how.base_url}/account/secure")
    look(owner)
    owner.get_by_role("link", name="What was opened").click()
    assert heading(owner) == "What was opened"
    expect(owner.get_by_role("main")).to_contain_text("Read a health record")
    look(owner)

    officer = context().new_page()
    sign_in(demo, officer, "privacy")
    officer.get_by_role("navigation").get_by_role("link", name="Incidents").click()
    look(officer)
    officer.get_by_role("link", name="Look into the incident").click()
    expect(officer.get_by_role("main")).to_contain_text("Read a health record")
    look(officer)
    officer.get_by_role("button", name="I have looked into it: close").click()
    expect(officer.get_by_text("None is open.")).to_be_visible()
    owner.goto(f"{demo.how.base_url}/account/secure")
    expect(owner.get_by_role("main")).to_contain_text("has looked into it")


# -- secure my account -----------------------------------------------------------------------------------------------


def test_secure_my_account_with_the_keyboard_alone(demo: Demo, context: Contexts) -> None:
    from playwright.sync_api import expect

    elsewhere = context().new_page()
    sign_in(demo, elsewhere, "parent")
    page = context().new_page()
    sign_in(demo, page, "parent")
    tab_to(page, "My account")
    page.keyboard.press("Enter")
    page.wait_for_url("**/account")
    tab_to(page, "Secure my account")
    page.keyboard.press("Enter")
    page.wait_for_url("**/account/secure")
    tab_to(page, "Sign out everywhere else")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Done: you are signed in here, and nowhere else.")).to_be_focused()
    elsewhere.goto(f"{demo.how.base_url}/family")
    assert heading(elsewhere) == "Please sign in"
    tab_to(page, "Change my password")
    page.keyboard.press("Enter")
    page.wait_for_url("**/account/password")
    tab_to(page, "current")
    page.keyboard.type(demo.logins["parent"].password)
    tab_to(page, "password")
    page.keyboard.type("copper umbrella 58 thistle")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Your password is changed")).to_be_visible()
    demo.logins["parent"] = replace(demo.logins["parent"], password="copper umbrella 58 thistle")
    page.goto(f"{demo.how.base_url}/account/activity")
    expect(page.get_by_role("main")).to_contain_text("Your password was changed")


def test_an_address_is_added_and_confirmed(demo: Demo, context: Contexts) -> None:
    from playwright.sync_api import expect

    page = context(390, 844).new_page()
    sign_in(demo, page, "parent")
    page.goto(f"{demo.how.base_url}/account/email")
    page.get_by_label("E-mail address").fill("second@mail.example")
    page.get_by_label("Your present password").fill(demo.logins["parent"].password)
    page.get_by_role("button", name="Send a link there").click()
    expect(page.get_by_text("Not confirmed yet")).to_be_visible()
    look(page)
    page.goto(link_in(demo, "second", "Is this your e-mail address?")[0])
    page.get_by_role("button", name="Yes, this is my address").click()
    assert heading(page) == "Your address is confirmed"
    look(page)
    page.get_by_role("link", name="Your e-mail addresses").click()
    expect(page.get_by_text("Confirmed", exact=True)).to_have_count(2)
    page.get_by_role("link", name="Remove second@mail.example").click()
    look(page)
    page.get_by_label("Your present password").fill(demo.logins["parent"].password)
    page.get_by_role("button", name="Remove this address").click()
    expect(page.get_by_text("Confirmed", exact=True)).to_have_count(1)


# -- a new password at the door, a lost second key ---------------------------------------------------------------------


def test_a_new_password_that_the_sign_in_asks_for(demo: Demo, context: Contexts) -> None:
    from portalsec.events import SYSTEM, Source

    portal = demo.site.portal
    account = portal.stores.accounts.by_login("doctor")
    assert account
    portal.password_change.require(account.id, "breached", actor=SYSTEM, source=Source())
    page = context(390, 844).new_page()
    page.goto(f"{demo.how.base_url}/sign-in?next=/patients")
    page.get_by_label("User name").fill("doctor")
    page.get_by_label("Password", exact=True).fill(demo.logins["doctor"].password)
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("Code from your authenticator app").fill(demo.code(demo.logins["doctor"].uri))
    page.get_by_role("main").get_by_role("button", name="Sign in").click()
    assert heading(page) == "A new password, please"
    look(page)
    choose(demo, page, "doctor", "saddle quartz 19 mitten", "Save and sign in")
    page.wait_for_url("**/patients")
    demo.clock.advance(timedelta(seconds=30))


def test_a_lost_second_key_takes_two_people_at_the_desk(demo: Demo, context: Contexts) -> None:
    from playwright.sync_api import expect

    desk, colleague = context(390, 844).new_page(), context().new_page()
    sign_in(demo, desk, "desk")
    desk.get_by_role("navigation").get_by_role("link", name="Lost second key").click()
    desk.get_by_role("button", name="Ask a colleague to agree").click()
    expect(desk.get_by_role("alert")).to_be_focused()
    look(desk)
    desk.get_by_label("Their user name").fill("doctor")
    desk.get_by_label("I have looked at an identity document").check()
    desk.get_by_role("button", name="Ask a colleague to agree").click()
    expect(desk.get_by_text("A colleague at the front desk has to agree.")).to_be_visible()
    look(desk)
    desk.get_by_role("button", name="Agree: take the second key").click()
    expect(desk.get_by_role("alert")).to_contain_text("a colleague has to agree")
    sign_in(demo, colleague, "desk2")
    colleague.goto(f"{demo.how.base_url}/support")
    before = len(mails(demo, "doctor", LINK))
    colleague.get_by_role("button", name="Agree: take the second key").click()
    expect(colleague.get_by_text("The old key and the password are off the account")).to_be_visible()
    look(colleague)
    page = context().new_page()
    page.goto(f"{demo.how.base_url}/sign-in")
    page.get_by_label("User name").fill("doctor")
    page.get_by_label("Password", exact=True).fill(demo.logins["doctor"].password)
    page.get_by_role("button", name="Continue").click()
    assert heading(page) != "Set up your second key"  # the mailbox and a new password come first
    while len(mails(demo, "doctor", LINK)) == before:  # the demo's own courier may have it in hand
        page.wait_for_timeout(100)
    link, _ = link_in(demo, "doctor", LINK)
    page.goto(link)
    page.get_by_role("button", name="Go on").click()
    page.wait_for_url("**/password/new")
    choose(demo, page, "doctor", "copper violin 63 meadow")
    page.wait_for_url("**/sign-in/set-up*")
    assert heading(page) == "Set up your second key"


# -- every page, small and large, light and dark -----------------------------------------------------------------------

PAGES = (
    "/account", "/account/secure", "/account/password", "/account/email", "/account/messages",
    "/account/activity", "/account/devices", "/account/close", "/account/factor",
)  # fmt: skip
OPEN = (
    "/password/forgot",
    "/password/link?token=x",
    "/password/new",
    "/unlock",
    "/unlock/link?token=x",
    "/not-me",
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_every_account_page_has_its_structure(demo: Demo, context: Contexts, width: int, scheme: str) -> None:
    page = context(width, 844, color_scheme=scheme).new_page()
    for path in OPEN:
        page.goto(demo.how.base_url + path)
        look(page)
    sign_in(demo, page, "patient")
    demo.site.portal.courier.deliver()
    for path in PAGES:
        page.goto(demo.how.base_url + path)
        look(page)
    page.goto(f"{demo.how.base_url}/account/password")
    page.get_by_role("button", name="Change my password").click()
    look(page)


def test_closing_an_account_is_the_end_of_it(demo: Demo, context: Contexts) -> None:
    page = context(390, 844).new_page()
    sign_in(demo, page, "patient")
    page.goto(f"{demo.how.base_url}/account")
    page.get_by_role("link", name="Close my account").click()
    page.get_by_label("Your present password").fill(demo.logins["patient"].password)
    page.get_by_role("button", name="Close my account").click()
    assert heading(page) == "Your account is closed"
    look(page)
    assert [cookie["name"] for cookie in page.context.cookies()] == []
    assert Path(demo.folder / "mail").stat().st_mode & 0o077 == 0
