"""Through the portal as people go: with a mouse, with a keyboard alone, on a phone, and while away from the desk."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.session_site import WAKE
from tests.examples.support import Demo
from tests.support import totp_now

pytestmark = pytest.mark.browser

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

Contexts = Callable[..., "BrowserContext"]
STRUCTURE = (Path(__file__).parent / "structure.js").read_text("utf-8")
PASSWORD = "orbit marzipan kettle 9 walrus"


def sign_in(demo: Demo, page: Page, login: str) -> None:
    account = demo.logins[login]
    page.goto(f"{demo.how.base_url}/sign-in")
    page.get_by_label("User name").fill(login)
    page.get_by_label("Password", exact=True).fill(account.password)
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("Code from your authenticator app").fill(demo.code(account.uri))
    page.get_by_role("main").get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{demo.how.base_url}/")
    demo.clock.advance(timedelta(seconds=30))


def heading(page: Page) -> str:
    return page.locator("h1").inner_text()


# -- the walk of the issue --------------------------------------------------------------------------------------


def test_from_the_activation_code_to_who_has_seen_my_record(demo: Demo, context: Contexts) -> None:
    from playwright.sync_api import expect

    page = context(390, 844).new_page()
    page.goto(demo.how.base_url)
    page.get_by_role("link", name="I have an activation code").click()
    assert demo.activation
    page.get_by_label("Activation code").fill(demo.activation)
    page.get_by_label("User name").fill("newcomer")
    page.get_by_label("Password", exact=True).fill("password123")
    page.get_by_role("button", name="Make my account").click()

    # Told why, in plain words; the summary has the focus, and the input is linked to its error.
    summary = page.get_by_role("alert")
    expect(summary).to_be_focused()
    expect(summary).to_contain_text("lists that attackers try first")
    field = page.get_by_label("Password", exact=True)
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_accessible_description(
        "At least 8 characters. A few words that do not belong together work well. This password is on the lists that attackers try first. Choose one that nobody else uses: a few words that do not belong together."
    )
    expect(field).to_have_value("")
    expect(page.get_by_label("Activation code")).to_have_value(demo.activation)
    summary.get_by_role("link").click()
    expect(field).to_be_focused()

    # A password can be looked at, and is hidden again before it is sent.
    field.fill(PASSWORD)
    page.get_by_role("button", name="Show password").click()
    expect(field).to_have_attribute("type", "text")
    page.get_by_role("button", name="Make my account").click()

    # The second key: the page that a GET gives has no secret.
    assert heading(page) == "Set up your second key"
    assert page.locator("svg").count() == 0
    page.get_by_role("button", name="Show the QR code").click()
    drawn = page.locator(".qr svg").bounding_box()
    assert drawn
    assert drawn["width"] == drawn["height"]
    assert 150 <= drawn["width"] <= 330  # large enough for a camera, small enough for a phone
    key = page.locator("#key").inner_text().replace(" ", "")
    page.get_by_label("The six digits").fill("000000")
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_role("alert")).to_contain_text("not accepted")
    assert page.locator(".qr").count() == 0
    page.get_by_label("The six digits").fill(totp_now(key, demo.clock()))
    page.get_by_role("button", name="Confirm").click()
    page.wait_for_url(f"{demo.how.base_url}/")

    page.get_by_role("main").get_by_role("link", name="My record", exact=True).click()
    assert heading(page) == "My record"
    newcomer = demo.patient_of("newcomer")
    expect(page.get_by_role("main")).to_contain_text(newcomer.name)
    expect(page.get_by_role("main")).to_contain_text(newcomer.phone)
    page.get_by_role("link", name="Who has seen my record").click()
    expect(page.get_by_role("main")).to_contain_text("Read the record.")


def test_a_clinician_is_refused_anothers_patient_the_patient_and_the_officer_see_it(
    demo: Demo, context: Contexts
) -> None:
    from playwright.sync_api import expect

    mine = {patient.id for patient in demo.patients_of_doctor()}
    stranger = next(p for p in demo.people.patients if p.id not in mine)

    doctor = context().new_page()
    sign_in(demo, doctor, "doctor")
    doctor.get_by_role("navigation").get_by_role("link", name="My patients").click()
    own = doctor.locator(".card a").first
    name = own.inner_text()
    own.click()
    assert heading(doctor) == f"Record of {name}"
    answer = doctor.goto(f"{demo.how.base_url}/patients/{stranger.id}")
    assert answer
    assert answer.status == 403
    assert heading(doctor) == "This is not yours to open"
    assert stranger.family not in doctor.content()

    officer = context().new_page()
    sign_in(demo, officer, "privacy")
    officer.get_by_role("navigation").get_by_role("link", name="Audit log").click()
    expect(officer.get_by_role("heading", name="The log verifies")).to_be_visible()
    refused = officer.get_by_role("row").filter(has_text="access.denied").first
    expect(refused).to_contain_text("no_grant")
    expect(refused).to_contain_text("Clinician")

    patient = context().new_page()
    sign_in(demo, patient, "patient")
    patient.goto(f"{demo.how.base_url}/record/seen")
    expect(patient.get_by_role("main")).to_contain_text("Every look at your record")


# -- idle -------------------------------------------------------------------------------------------------------


def test_the_page_warns_before_the_idle_end_and_stays_when_asked(demo: Demo, context: Contexts) -> None:
    from playwright.sync_api import expect

    page = context().new_page()
    page.clock.install()
    sign_in(demo, page, "patient")
    with page.expect_response("**/session/left"):
        page.goto(f"{demo.how.base_url}/record")
    dialog = page.get_by_role("dialog", name="Are you still there?")
    expect(dialog).to_be_hidden()

    # 13 of 15 minutes: the page's own timer asks the server and warns.
    demo.clock.advance(timedelta(minutes=13))
    with page.expect_response("**/session/left"):
        page.clock.fast_forward("13:00")
    expect(dialog).to_be_visible()
    expect(dialog).to_contain_text("You will be signed out in 2 minutes, and at ")
    stay = dialog.get_by_role("button", name="Stay signed in")
    expect(stay).to_be_focused()
    page.clock.run_for(60_000)
    expect(dialog).to_contain_text("in 60 seconds")
    expect(dialog.get_by_role("status")).to_have_text("You will be signed out in 60 seconds.")

    # The keyboard alone: Enter on the focused button is activity, and the server counts from here.
    demo.clock.advance(timedelta(minutes=1))
    with page.expect_response("**/session/stay"):
        page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    demo.clock.advance(timedelta(minutes=12))
    page.reload()
    assert heading(page) == "My record"


def test_the_server_ends_the_session_and_the_page_clears_itself(demo: Demo, context: Contexts) -> None:
    from playwright.sync_api import expect

    page = context().new_page()
    sign_in(demo, page, "patient")
    page.goto(f"{demo.how.base_url}/record")
    name = demo.patient_of("patient").name
    expect(page.get_by_role("main")).to_contain_text(name)
    demo.clock.advance(timedelta(minutes=15))
    page.evaluate(WAKE)  # as when the computer wakes
    page.wait_for_url("**/signed-out*")
    assert heading(page) == "You were signed out"

    # ATK-38: neither the back button nor the address shows the record again.
    page.go_back()
    expect(page.get_by_role("heading", level=1)).not_to_have_text("My record")
    assert name not in page.content()
    answer = page.goto(f"{demo.how.base_url}/record")
    assert answer
    assert answer.status == 401
    assert name not in page.content()


def test_atk_15_a_page_left_open_does_not_keep_the_session_alive(demo: Demo, context: Contexts) -> None:
    page = context().new_page()
    sign_in(demo, page, "patient")
    with page.expect_response("**/session/left"):
        page.goto(f"{demo.how.base_url}/record")
    for _ in range(14):
        demo.clock.advance(timedelta(minutes=1))
        with page.expect_response("**/session/left") as asked:
            page.evaluate(WAKE)
        assert asked.value.status == 200
    demo.clock.advance(timedelta(minutes=1))
    page.evaluate(WAKE)
    page.wait_for_url("**/signed-out*")


def test_atk_38_after_signing_out_the_back_button_shows_no_record(demo: Demo, context: Contexts) -> None:
    from playwright.sync_api import expect

    page = context().new_page()
    sign_in(demo, page, "patient")
    page.goto(f"{demo.how.base_url}/record")
    name = demo.patient_of("patient").name
    page.get_by_role("button", name="Sign out", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("You are signed out")
    # What knows the browser again stays, and opens nothing.
    assert [cookie["name"] for cookie in page.context.cookies()] == ["__Host-portalsec-device"]
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Please sign in")
    assert name not in page.content()


def test_no_script_of_a_page_can_read_the_session(demo: Demo, context: Contexts) -> None:
    page = context().new_page()
    sign_in(demo, page, "patient")
    assert page.evaluate("document.cookie") == ""
    cookies = {cookie["name"]: cookie for cookie in page.context.cookies()}
    # The last is of the question that the sign-in page asked of the browser's passkeys.
    names = {"__Host-portalsec", "__Host-portalsec-device"}
    assert names <= set(cookies) <= {*names, "__Host-portalsec-passkey"}
    for cookie in cookies.values():
        assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Lax")


# -- the keyboard alone -----------------------------------------------------------------------------------------


def focused(page: Page) -> str:
    text: str = page.evaluate("(document.activeElement.innerText || document.activeElement.id).trim()")
    return text


def visible_focus(page: Page) -> bool:
    """Whether the focused control, or the card around it, has an outline."""
    seen: bool = page.evaluate(
        "[document.activeElement, document.activeElement.closest('.card')].some("
        "e => e && getComputedStyle(e).outlineStyle !== 'none' && parseFloat(getComputedStyle(e).outlineWidth) >= 2)"
    )
    return seen


def tab_to(page: Page, name: str, limit: int = 30) -> None:
    for _ in range(limit):
        page.keyboard.press("Tab")
        assert visible_focus(page), f"the focus on {focused(page)!r} cannot be seen"
        if focused(page) == name:
            return
    raise AssertionError(f"{name!r} is not reached with the Tab key")


def test_a_keyboard_is_enough(demo: Demo, context: Contexts) -> None:
    page = context().new_page()
    page.goto(demo.how.base_url)
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to content"
    page.keyboard.press("Enter")
    tab_to(page, "Sign in")
    page.keyboard.press("Enter")
    page.wait_for_url("**/sign-in")
    account = demo.logins["patient"]
    tab_to(page, "login")
    page.keyboard.type("patient")
    tab_to(page, "password")
    page.keyboard.type(account.password)
    page.keyboard.press("Enter")
    page.wait_for_url("**/sign-in/code")
    tab_to(page, "code")
    page.keyboard.type(demo.code(account.uri))
    page.keyboard.press("Enter")
    page.wait_for_url(f"{demo.how.base_url}/")
    demo.clock.advance(timedelta(seconds=30))
    tab_to(page, "My record")
    page.keyboard.press("Enter")
    page.wait_for_url("**/record")
    tab_to(page, "Who has seen my record")
    page.keyboard.press("Enter")
    page.wait_for_url("**/record/seen")
    tab_to(page, "Sign out")
    page.keyboard.press("Enter")
    page.wait_for_url("**/sign-out")
    assert heading(page) == "You are signed out"


def test_an_erasure_by_keyboard(demo: Demo, context: Contexts) -> None:
    """Found by phone number, looked at once more, refused for a wrong name, and done."""
    from playwright.sync_api import expect

    patient = next(p for p in demo.people.patients if p.name == "Barnabas Mockford")
    page = context(390, 844).new_page()
    sign_in(demo, page, "privacy")
    tab_to(page, "Erase a person")
    page.keyboard.press("Enter")
    page.wait_for_url("**/erase")
    tab_to(page, "q")
    page.keyboard.type("+1 212 555 0131")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="1 found")).to_be_visible()
    tab_to(page, "Go on")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/erase/{patient.id}")
    assert heading(page) == f"Erase {patient.name}?"
    tab_to(page, "confirm")
    page.keyboard.type("Barnabas")
    page.keyboard.press("Enter")

    # Nothing is destroyed by a half-typed name: the summary says so, and leads to the field.
    summary = page.get_by_role("alert")
    expect(summary).to_be_focused()
    field = page.get_by_label("Type the person’s name to confirm")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_accessible_description(
        f"As it stands above: {patient.name} Type the name exactly as it stands above."
    )
    assert demo.site.clinic.patient(patient.id) == patient
    tab_to(page, "Type the name exactly as it stands above.")
    page.keyboard.press("Enter")
    expect(field).to_be_focused()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type(patient.name)
    tab_to(page, "Erase for good")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Erased", exact=True)).to_be_visible()
    # The receipt has the focus, so that a screen reader begins with it, and it may be looked up again.
    expect(page.get_by_role("region", name="Receipt")).to_be_focused()
    page.reload()
    expect(page.get_by_text("Fingerprint of the key")).to_be_visible()


# -- every page, small and large, light and dark ----------------------------------------------------------------

OPEN = ("/", "/sign-in", "/activate", "/signed-out", "/nowhere", "/record")
CLOSED = {
    "patient": ("/", "/record", "/record/seen", "/account", "/patients/x"),
    "parent": ("/family",),
    "doctor": ("/patients",),
    "desk": ("/desk",),
    "privacy": ("/audit", "/erase"),
}
# Each look at the pages of an erasure erases somebody else.
ERASED = {
    (360, "dark"): "Thaddeus Inventado",
    (1280, "light"): "Philippa Fictorova",
}


# Each width and each scheme once: the colours do not depend on the width.
@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1280, "light")])
def test_every_page_has_its_structure(demo: Demo, context: Contexts, width: int, scheme: str) -> None:
    found: dict[str, list[str]] = {}

    def look(page: Page, name: str) -> None:
        complaints: list[str] = page.evaluate(STRUCTURE)
        if complaints:
            found[name] = complaints

    page = context(width, 740, color_scheme=scheme).new_page()
    for path in OPEN:
        page.goto(demo.how.base_url + path)
        look(page, path)
    page.goto(f"{demo.how.base_url}/activate")
    with page.expect_navigation():
        page.get_by_role("button", name="Make my account").click()
    look(page, "/activate with errors")
    for login, paths in CLOSED.items():
        page = context(width, 740, color_scheme=scheme).new_page()
        sign_in(demo, page, login)
        for path in paths:
            page.goto(demo.how.base_url + path)
            look(page, f"{login} {path}")
        if login == "desk":
            page.get_by_label("Name, phone or record number").fill("mock")
            with page.expect_navigation():
                page.get_by_role("button", name="Search").click()
            look(page, "desk found")
            with page.expect_navigation():
                page.get_by_role("button", name="Issue an activation code").first.click()
            look(page, "desk code")
        if login == "privacy":
            name = ERASED[width, scheme]
            page.goto(f"{demo.how.base_url}/erase")
            page.get_by_label("Name, phone or record number").fill(name)
            with page.expect_navigation():
                page.get_by_role("button", name="Search").click()
            look(page, "erase found")
            with page.expect_navigation():
                page.get_by_role("link", name=f"Go on to erase {name}").click()
            look(page, "erase asked")
            with page.expect_navigation():
                page.get_by_role("button", name="Erase for good").click()
            look(page, "erase asked with errors")
            page.get_by_label("Type the person’s name to confirm").fill(name)
            with page.expect_navigation():
                page.get_by_role("button", name="Erase for good").click()
            look(page, "erase receipt")
    page = context(width, 740, color_scheme=scheme).new_page()
    sign_in(demo, page, "doctor")
    page.goto(f"{demo.how.base_url}/patients")
    look(page, "list with somebody who was erased")
    assert page.get_by_text("Erased patient").count() >= 1
    assert found == {}
