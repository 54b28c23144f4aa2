"""passkeys.js and the endpoints behind it in a real browser with virtual authenticators (CDP), on the example portal."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.browser.test_walk import STRUCTURE, heading, tab_to
from tests.browser.virtual_keys import (
    NO_AUTOFILL,
    Contexts,
    Key,
    add,
    button,
    home,
    new_page,
    register,
    says,
    unb64,
)
from tests.examples.support import Demo

pytestmark = pytest.mark.browser


def test_it_is_registered_under_a_step_up_and_listed(demo: Demo, passkey: Key) -> None:
    account = demo.site.portal.stores.accounts.by_login("patient")
    assert account
    (held,) = demo.site.portal.passkeys.of_account(account.id)  # type: ignore[union-attr]
    assert held.user_verified
    assert held.discoverable
    assert len(passkey.credentials()) == 1


def test_a_passkey_alone_signs_in(demo: Demo, context: Contexts, passkey: Key) -> None:
    page, _ = new_page(demo, context, passkey)
    button(page).click()
    home(demo, page)
    page.goto(f"{demo.how.base_url}/record")
    assert heading(page) == "My record"


def test_by_name_too(demo: Demo, context: Contexts, passkey: Key) -> None:
    page, _ = new_page(demo, context, passkey)
    page.get_by_label("User name").fill("patient")
    with page.expect_request(
        lambda asked: asked.url.endswith("/sign-in/passkey/begin") and '"patient"' in (asked.post_data or "")
    ):
        button(page).click()
    home(demo, page)


def test_after_a_password_it_is_the_second_factor(demo: Demo, context: Contexts, passkey: Key) -> None:
    page, _ = new_page(demo, context, passkey)
    page.get_by_label("User name").fill("patient")
    page.get_by_label("Password", exact=True).fill(demo.logins["patient"].password)
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url("**/sign-in/passkey?*")
    assert heading(page) == "Use your passkey"
    assert page.evaluate(STRUCTURE) == []
    # The other way leads to the code.
    assert page.get_by_role("link", name="Use a code from my authenticator app").is_visible()
    page.get_by_role("button", name="Use my passkey").click()
    home(demo, page)


def test_at_a_step_up_passkey_and_code_stand_side_by_side_and_either_goes_on(
    demo: Demo, context: Contexts, passkey: Key
) -> None:
    page, _ = new_page(demo, context, passkey)
    button(page).click()
    home(demo, page)
    at = f"{demo.how.base_url}/account/factors/totp"
    for way in ("passkey", "code"):
        page.goto(at)
        assert heading(page) == "Confirm that it is you"
        code = page.get_by_label("Code from your authenticator app")
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate(STRUCTURE) == []
            assert page.get_by_role("button", name="Use my passkey").is_visible() and code.is_visible()
            assert page.get_by_label("Your present password").count() == 0
        if way == "passkey":
            page.get_by_role("button", name="Use my passkey").click()
        else:
            code.fill(demo.code(demo.logins["patient"].uri))
            page.get_by_role("button", name="Go on").click()
        page.wait_for_url(at)
        assert heading(page) == "Add an authenticator app"
        demo.clock.advance(timedelta(minutes=5))


def test_autofill_is_asked_for_and_the_button_takes_over(demo: Demo, context: Contexts, passkey: Key) -> None:
    made = context()
    made.add_init_script(
        "if (window.PublicKeyCredential) {"
        "window.asked = []; const real = navigator.credentials.get.bind(navigator.credentials);"
        "PublicKeyCredential.isConditionalMediationAvailable = async () => true;"
        "navigator.credentials.get = (o) => { asked.push([o.mediation ?? '', o.publicKey.allowCredentials.length]);"
        " return o.mediation ? new Promise((_, no) => o.signal.addEventListener('abort', () => no(o.signal.reason)))"
        " : real(o); }; }"
    )
    page = made.new_page()
    key = Key(page)
    key.put(passkey.credentials()[0])
    page.goto(f"{demo.how.base_url}/sign-in")
    page.wait_for_function("() => asked.length === 1")
    assert page.evaluate("asked[0]") == ["conditional", 0]
    assert page.get_by_label("User name").get_attribute("autocomplete") == "username webauthn"
    assert says(page) == ""  # nobody asked for anything yet
    # "This is a shared computer" goes along at the beginning, so it begins anew.
    with page.expect_request(lambda asked: '"shared"' in (asked.post_data or "")):
        page.get_by_label("This is a shared computer").check()
    page.wait_for_function("() => asked.length === 2")
    button(page).click()
    home(demo, page)


def test_a_passkey_that_autofill_offers_signs_in(demo: Demo, context: Contexts, passkey: Key) -> None:
    page = context().new_page()
    key = Key(page)
    key.put(passkey.credentials()[0])
    page.goto(f"{demo.how.base_url}/sign-in")
    home(demo, page)  # the virtual authenticator chose


def test_key_05_without_user_verification_the_browser_itself_sends_nothing(
    demo: Demo, context: Contexts, passkey: Key
) -> None:
    from playwright.sync_api import expect

    page, key = new_page(demo, context, passkey)
    key.verified(False)
    button(page).click()
    expect(page.locator("#passkey-says")).to_have_text("Nothing was sent. Try again whenever you like.")
    assert page.url == f"{demo.how.base_url}/sign-in"


def test_cancelled_by_the_visitor_the_page_says_so_and_the_focus_stays(
    demo: Demo, context: Contexts, passkey: Key
) -> None:
    from playwright.sync_api import expect

    page, key = new_page(demo, context, passkey)
    key.present(False)
    button(page).click()
    expect(page.locator("#passkey-says")).to_have_text("Follow what your browser asks.")
    expect(button(page)).to_have_attribute("aria-busy", "true")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#passkey-says")).to_have_text("Nothing was sent. Try again whenever you like.")
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
    expect(button(page)).to_be_focused()
    key.present(True)
    button(page).click()
    home(demo, page)


def test_without_an_authenticator_the_page_ends_the_wait_itself(demo: Demo, context: Contexts) -> None:
    from playwright.sync_api import expect

    page = context().new_page()
    page.clock.install()
    page.add_init_script(NO_AUTOFILL)
    page.add_init_script(
        "if (navigator.credentials) navigator.credentials.get = () => { window.called = true; return new Promise(() => {}); }"
    )
    page.goto(f"{demo.how.base_url}/sign-in")
    with page.expect_response("**/sign-in/passkey/begin"):
        button(page).click()
    expect(page.locator("#passkey-says")).to_have_text("Follow what your browser asks.")
    page.wait_for_function("() => window.called")
    page.clock.fast_forward("10:00")
    expect(page.locator("#passkey-says")).to_contain_text("Nothing answered.")
    expect(button(page)).to_have_attribute("aria-busy", "false")


def test_key_08_another_accounts_passkey_is_no_second_factor(
    demo: Demo, context: Contexts, passkey: Key
) -> None:
    from playwright.sync_api import expect

    page, _ = new_page(demo, context, passkey)
    page.get_by_label("User name").fill("doctor")
    page.get_by_label("Password", exact=True).fill(demo.logins["doctor"].password)
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url("**/sign-in/code")
    answer = page.evaluate(
        """async () => { const r = await fetch('/sign-in/passkey/begin', {method: 'POST', headers:
        {'Content-Type': 'application/json'}, body: JSON.stringify({second: 'yes'})}); return [r.status, await r.json()]; }"""
    )
    assert answer[0] in (400, 401, 403)
    assert "options" not in answer[1]
    # By the doctor's name, with the patient's passkey in the browser: nothing fits, and nobody is signed in.
    page.goto(f"{demo.how.base_url}/sign-in")
    page.get_by_label("User name").fill("doctor")
    with page.expect_response("**/sign-in/passkey/begin") as begun:
        button(page).click()
    assert len(begun.value.json()["options"]["allowCredentials"]) in range(1, 5)  # made up
    # For a security key the browser waits, for a device of its own it says at once that there is none.
    silent = page.get_by_text("Nothing was sent. Try again whenever you like.")
    cancel = page.get_by_role("button", name="Cancel")
    expect(cancel.or_(silent)).to_be_visible()
    if cancel.is_visible():
        cancel.click()
    expect(silent).to_be_visible()
    assert page.goto(f"{demo.how.base_url}/account").status == 401  # type: ignore[union-attr]


def test_a_keyboard_is_enough(demo: Demo, context: Contexts, passkey: Key) -> None:
    page, _ = new_page(demo, context, passkey)
    tab_to(page, "Sign in with a passkey")
    page.keyboard.press("Enter")
    home(demo, page)


def test_without_scripts_there_is_no_button_and_the_password_works(demo: Demo, context: Contexts) -> None:
    page = context(java_script_enabled=False).new_page()
    page.goto(f"{demo.how.base_url}/sign-in")
    assert page.locator("button[data-passkey]").is_hidden()
    assert page.get_by_role("button", name="Continue").is_visible()


def test_after_a_removal_the_browser_is_told_which_are_left_and_forgets_the_other(
    demo: Demo, context: Contexts
) -> None:
    from playwright.sync_api import expect

    made = context()
    made.add_init_script(NO_AUTOFILL)
    made.add_init_script(
        "if (window.PublicKeyCredential?.signalAllAcceptedCredentials) {"
        "window.told = []; const real = PublicKeyCredential.signalAllAcceptedCredentials.bind(PublicKeyCredential);"
        "PublicKeyCredential.signalAllAcceptedCredentials = async (all) => { await real(all); told.push(all); }; }"
    )
    page = made.new_page()
    first = register(demo, page, "parent")
    (lost,) = first.credentials()
    first.remove()
    second = Key(page)
    page.goto(f"{demo.how.base_url}/account/factors/passkey")
    page.get_by_label("A name for it").fill("The one that stays")
    add(page)
    (kept,) = second.credentials()
    first = Key(page, transport="usb")
    first.put(lost)

    account = demo.site.portal.stores.accounts.by_login("parent")
    assert account
    passkeys = demo.site.portal.passkeys
    assert passkeys
    held = {each.label: each for each in passkeys.of_account(account.id)}
    stays = held.pop("The one that stays")
    (goes,) = held.values()
    assert unb64(lost["credentialId"]) == goes.credential_id
    assert unb64(kept["credentialId"]) == stays.credential_id

    def told() -> tuple[str, bytes, set[bytes]]:
        page.wait_for_function("() => told.length === 1")
        call = page.evaluate("told[0]")
        ids = {unb64(each) for each in call["allAcceptedCredentialIds"]}
        return call["rpId"], unb64(call["userId"]), ids

    page.goto(f"{demo.how.base_url}/account/factors")
    assert told() == ("localhost", stays.user_handle, {goes.credential_id, stays.credential_id})
    assert (len(first.credentials()), len(second.credentials())) == (1, 1)
    page.get_by_role("link", name=f"Remove {goes.label}").click()
    page.get_by_role("button", name="Remove it").click()
    page.wait_for_url("**/account/factors?done=removed")
    expect(page.get_by_role("status")).to_be_focused()
    assert told() == ("localhost", stays.user_handle, {stays.credential_id})
    assert (len(first.credentials()), len(second.credentials())) == (0, 1)


def test_after_an_idle_end_a_passkey_goes_on_where_it_was(
    demo: Demo, context: Contexts, passkey: Key
) -> None:
    page, _ = new_page(demo, context, passkey)
    button(page).click()
    home(demo, page)
    demo.clock.advance(timedelta(minutes=20))
    page.goto(f"{demo.how.base_url}/record?from=mail")
    page.get_by_role("link", name="Sign in").click()
    assert heading(page) == "Go on where you were"
    page.get_by_role("button", name="Use my passkey").click()
    page.wait_for_url(f"{demo.how.base_url}/record?from=mail")
