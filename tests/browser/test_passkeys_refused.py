"""What a browser is made to send and the server refuses: from a frame, without verification, of another person.

Each test reads which step refused in the audit log, and then lets the same page go on the right way.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route as Path

from portalsec.audit.record import decode
from portalsec.events import Event
from tests.browser.serving import served
from tests.browser.test_walk import heading, tab_to
from tests.browser.virtual_keys import (
    NO_AUTOFILL,
    Contexts,
    Key,
    button,
    home,
    new_page,
    register,
    unb64,
)
from tests.examples.support import Demo

pytestmark = pytest.mark.browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Frame, Page, Route

REFUSED = "This passkey was not accepted. Try again, or sign in another way."
CANCELLED = "Nothing was sent. Try again whenever you like."
UP, UV = 1, 4  # flags of authenticator data (WebAuthn Level 3 section 6.1)


class Log:
    """The audit log from here on."""

    def __init__(self, demo: Demo) -> None:
        self._audit = demo.site.portal.audit
        self._audit.integrate()
        self._from = self._audit.store.size()

    def refused(self) -> list[tuple[str | None, str, str]]:
        """Whose passkey was asked for, for what, and the step that refused. Nobody may have been signed in."""
        self._audit.integrate()
        records = [decode(each.body) for each in self._audit.store.read(self._from, self._audit.store.size())]
        names = {each.name for each in records}
        assert Event.AUTH_LOGIN.value not in names
        return [
            (
                None if each.resource is None else each.resource.id,
                str(each.details["purpose"]),
                str(each.details["check"]),
            )
            for each in records
            if each.name == Event.AUTH_PASSKEY_REFUSED.value
        ]


def asks_with(where: Page | BrowserContext, **changed: object) -> None:
    """The page's script gets other options than those the server gave, as a script that was meddled with would."""

    def answer(route: Route) -> None:
        got = route.fetch()
        given = got.json()
        assert set(changed) <= set(given["options"])
        given["options"].update(changed)
        route.fulfill(response=got, json=given)

    where.route("**/sign-in/passkey/begin", answer)


def posted(page: Page, press: Callable[[], None]) -> tuple[int, dict[str, Any]]:
    """The status of the server's answer, and the response that the browser posted."""
    with page.expect_response(
        lambda got: got.request.method == "POST" and got.url.endswith("/sign-in/passkey")
    ) as got:
        press()
    sent = json.loads(got.value.request.post_data_json["response"])
    return got.value.status, sent["response"] | {"id": sent["id"]}


def signed_out(demo: Demo, page: Page) -> bool:
    answer = page.request.get(f"{demo.how.base_url}/account", max_redirects=0)
    return answer.status == 401


# -- in a frame of another origin ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def outside(demo: Demo) -> Iterator[str]:
    """The origin of a page that frames the portal's sign-in: the same host, so that cookies travel, on another port."""

    async def framing(request: Request) -> HTMLResponse:
        return HTMLResponse(
            f'<title>F</title><iframe src="{demo.how.base_url}/sign-in" allow="publickey-credentials-get *"></iframe>'
        )

    listening = socket.create_server(("127.0.0.1", 0))
    with served(Starlette(routes=[Path("/", framing)]), listening):
        yield f"http://localhost:{listening.getsockname()[1]}"


def frame_of(page: Page, outside: str) -> Frame:
    page.goto(outside)  # until all is loaded, frames and their scripts too
    (frame,) = page.main_frame.child_frames
    return frame


def test_atk_23_the_portal_s_pages_stand_in_no_frame(demo: Demo, chromium: Browser, outside: str) -> None:
    made = chromium.new_context()  # not one whose console has to be empty
    page = made.new_page()
    with page.expect_console_message(lambda told: "frame-ancestors" in told.text):
        frame = frame_of(page, outside)
    assert frame.get_by_label("User name").count() == 0
    made.close()


def test_atk_23_from_a_frame_the_script_asks_nothing_and_the_server_takes_nothing(
    demo: Demo, context: Contexts, passkey: Key, outside: str
) -> None:
    from playwright.sync_api import expect

    made = context()
    made.add_init_script(NO_AUTOFILL)
    guarded = True

    def framed(route: Route) -> None:
        got = route.fetch()
        headers = {name: value for name, value in got.headers.items() if name != "x-frame-options"}
        policy = headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        headers["content-security-policy"] = policy.replace("frame-ancestors 'none'", "frame-ancestors *")
        route.fulfill(response=got, headers=headers)

    def script(route: Route) -> None:
        got = route.fetch()
        assert " && top === self" in got.text()
        route.fulfill(
            response=got, body=got.text() if guarded else got.text().replace(" && top === self", "")
        )

    made.route("**/sign-in", framed)
    made.route("**/portalsec/passkeys.js", script)
    page = made.new_page()
    Key(page).put(passkey.credentials()[0])

    frame = frame_of(page, outside)
    assert frame.get_by_label("User name").is_visible()
    assert frame.locator("button[data-passkey]").is_hidden()

    # A script without that care: the browser asks, the authenticator answers, the answer is sent.
    guarded = False
    frame = frame_of(page, outside)
    log = Log(demo)
    status, sent = posted(page, frame.get_by_role("button", name="Sign in with a passkey").click)
    client = json.loads(unb64(sent["clientDataJSON"]))
    assert (client["origin"], client["crossOrigin"]) == (demo.how.base_url, True)
    assert client.get("topOrigin", outside) == outside
    assert status == 401
    expect(frame.locator("#passkey-says")).to_have_text(REFUSED)
    assert log.refused() == [(None, "passkey.sign-in", "A-crossOrigin")]
    assert signed_out(demo, page)

    # The same page, the same script and the same authenticator, in no frame.
    page.goto(f"{demo.how.base_url}/sign-in")
    button(page).click()
    home(demo, page)


# -- an answer that is not right -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "check", "flags"),
    [("isBadUV", "A-uv", UP), ("isBadUP", "A-up", UV), ("isBogusSignature", "A-sig", UP | UV)],
)
def test_key_05_atk_19_an_answer_without_verification_presence_or_signature_is_refused_by_the_server(
    demo: Demo, context: Contexts, passkey: Key, wrong: str, check: str, flags: int
) -> None:
    from playwright.sync_api import expect

    page, key = new_page(demo, context, passkey)
    # Asked for what the server asks, the browser itself would drop an answer without verification.
    asks_with(page, userVerification="preferred")
    key.override(**{wrong: True})
    log = Log(demo)
    status, sent = posted(page, button(page).click)
    assert unb64(sent["authenticatorData"])[32] & (UP | UV) == flags
    assert status == 401
    expect(page.locator("#passkey-says")).to_have_text(REFUSED)
    assert log.refused() == [(None, "passkey.sign-in", check)]
    assert signed_out(demo, page)
    key.override()
    button(page).click()
    home(demo, page)


# -- another person's passkey --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def doctors(demo: Demo, chromium: Browser) -> Iterator[Key]:
    made = chromium.new_context()
    yield register(demo, made.new_page(), "doctor")
    made.close()


@pytest.mark.parametrize("way", ["second", "by name"])
def test_key_08_another_persons_passkey_finishes_no_sign_in(
    demo: Demo, context: Contexts, passkey: Key, doctors: Key, way: str
) -> None:
    from playwright.sync_api import expect

    portal = demo.site.portal
    account, owner = map(portal.stores.accounts.by_login, ("doctor", "patient"))
    assert account
    assert owner
    page, key = new_page(demo, context, passkey)
    page.get_by_label("User name").fill("doctor")
    pressed, purpose = button(page), "passkey.sign-in"
    if way == "second":
        page.get_by_label("Password", exact=True).fill(demo.logins["doctor"].password)
        page.get_by_role("button", name="Continue").click()
        page.wait_for_url("**/sign-in/passkey?*")
        pressed, purpose = page.get_by_role("button", name="Use my passkey"), "passkey.second"
    asks_with(page, allowCredentials=[])  # whichever the authenticator has: the patient's
    log = Log(demo)
    before = [len(portal.sessions.of_account(each.id)) for each in (account, owner)]
    status, sent = posted(page, pressed.click)
    assert unb64(sent["id"]) == unb64(passkey.credentials()[0]["credentialId"])
    assert status == 401
    expect(page.locator("#passkey-says")).to_have_text(REFUSED)
    assert log.refused() == [(account.id, purpose, "A-allow")]
    assert signed_out(demo, page)
    assert [len(portal.sessions.of_account(each.id)) for each in (account, owner)] == before
    # The doctor's own goes on where that failed.
    page.unroute("**/sign-in/passkey/begin")
    key.put(doctors.credentials()[0])
    pressed.click()
    home(demo, page)
    expect(page.get_by_role("navigation").get_by_role("link", name="My patients")).to_be_visible()


# -- what is heard of it -------------------------------------------------------------------------------------------


class Heard:
    """What the browser tells assistive technology (CDP's accessibility tree)."""

    def __init__(self, page: Page) -> None:
        self._cdp = page.context.new_cdp_session(page)
        self._cdp.send("Accessibility.enable")

    def now(self) -> tuple[list[tuple[str, str]], tuple[str, str]]:
        """Each status: how it is announced, and its text. And the focus: role and name."""
        nodes = self._cdp.send("Accessibility.getFullAXTree")["nodes"]
        by_id = {each["nodeId"]: each for each in nodes}

        def value(node: dict[str, Any], name: str) -> str:
            return str(node.get(name, {}).get("value", ""))

        def property(node: dict[str, Any], name: str) -> object:
            found = (each["value"]["value"] for each in node.get("properties", ()) if each["name"] == name)
            return next(found, None)

        def text(node: dict[str, Any]) -> str:
            if value(node, "role") == "StaticText":
                return value(node, "name")
            return "".join(text(by_id[child]) for child in node["childIds"] if child in by_id)

        statuses = [
            (str(property(node, "live")), text(node)) for node in nodes if value(node, "role") == "status"
        ]
        focused = [
            node for node in nodes if property(node, "focused") and value(node, "role") != "RootWebArea"
        ]
        (focus,) = focused
        return statuses, (value(focus, "role"), value(focus, "name"))


def test_by_keyboard_alone_a_refusal_is_heard_and_the_focus_stays_where_it_can_go_on(
    demo: Demo, context: Contexts, passkey: Key
) -> None:
    from playwright.sync_api import expect

    page, key = new_page(demo, context, passkey)
    heard, says = Heard(page), page.locator("#passkey-says")
    name = "Sign in with a passkey"
    tab_to(page, name)
    assert heard.now() == ([("polite", "")], ("button", name))  # there before it says anything

    key.override(isBogusSignature=True)
    log = Log(demo)
    page.keyboard.press("Enter")
    expect(says).to_have_text(REFUSED)
    expect(button(page)).to_have_attribute("aria-busy", "false")
    assert heard.now() == ([("polite", REFUSED)], ("button", name))
    assert [check for *_, check in log.refused()] == ["A-sig"]

    key.override()
    key.present(False)
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    tab_to(page, "Cancel", limit=1)
    assert heard.now() == ([("polite", "Follow what your browser asks.")], ("button", "Cancel"))
    page.keyboard.press("Enter")
    expect(says).to_have_text(CANCELLED)
    expect(button(page)).to_be_focused()
    assert heard.now() == ([("polite", CANCELLED)], ("button", name))

    key.present(True)
    page.keyboard.press("Enter")
    home(demo, page)
    assert heading(page)
