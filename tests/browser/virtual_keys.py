"""Virtual authenticators (CDP), and the ways of people who have one, on the example portal.

A virtual authenticator answers an autofill at once, without anybody choosing: only the tests of autofill let it be asked.
"""

from __future__ import annotations

import itertools
from base64 import urlsafe_b64decode
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tests.browser.test_walk import sign_in
from tests.examples.support import Demo

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, CDPSession, Page

Contexts = Callable[..., "BrowserContext"]
NO_AUTOFILL = (
    "if (window.PublicKeyCredential) PublicKeyCredential.isConditionalMediationAvailable = async () => false"
)
_COUNTS = itertools.count(100, 100)


class Key:
    """A virtual authenticator of one page."""

    def __init__(self, page: Page, **options: Any) -> None:
        self.cdp: CDPSession = page.context.new_cdp_session(page)
        self.cdp.send("WebAuthn.enable", {"enableUI": False})
        given = {
            "protocol": "ctap2",
            "ctap2Version": "ctap2_1",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
            **options,
        }
        made = self.cdp.send("WebAuthn.addVirtualAuthenticator", {"options": given})
        self.id: str = made["authenticatorId"]

    def credentials(self) -> list[dict[str, Any]]:
        found = self.cdp.send("WebAuthn.getCredentials", {"authenticatorId": self.id})
        return list(found["credentials"])

    def put(self, credential: dict[str, Any]) -> None:
        """A copy of another's, whose counter goes on from where any copy may have been: else it would be a clone."""
        credential = {**credential, "signCount": next(_COUNTS)}
        self.cdp.send("WebAuthn.addCredential", {"authenticatorId": self.id, "credential": credential})

    def verified(self, yes: bool) -> None:
        self.cdp.send("WebAuthn.setUserVerified", {"authenticatorId": self.id, "isUserVerified": yes})

    def override(self, **bits: bool) -> None:
        """isBogusSignature, isBadUV, isBadUP: what it answers from now on; those not given are as they should be."""
        self.cdp.send("WebAuthn.setResponseOverrideBits", {"authenticatorId": self.id, **bits})

    def remove(self) -> None:
        self.cdp.send("WebAuthn.removeVirtualAuthenticator", {"authenticatorId": self.id})

    def present(self, yes: bool) -> None:
        self.cdp.send("WebAuthn.setAutomaticPresenceSimulation", {"authenticatorId": self.id, "enabled": yes})


def unb64(text: str) -> bytes:
    """CDP writes base64, pages base64url."""
    return urlsafe_b64decode(
        text.replace("+", "-").replace("/", "_").rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
    )


def says(page: Page) -> str:
    return page.locator("#passkey-says").inner_text()


def step_up(demo: Demo, page: Page, login: str) -> None:
    page.goto(f"{demo.how.base_url}/account/step-up?next=/account/factors/passkey")
    page.get_by_label("Code from your authenticator app").fill(demo.code(demo.logins[login].uri))
    page.get_by_role("button", name="Go on").click()
    page.wait_for_url("**/account/factors/passkey")
    demo.clock.advance(timedelta(seconds=30))


def register(demo: Demo, page: Page, login: str) -> Key:
    """``login`` signs in, shows a code again, and adds a passkey."""
    key = Key(page)
    sign_in(demo, page, login)
    step_up(demo, page, login)
    add(page)
    return key


def add(page: Page) -> None:
    with page.expect_response("**/account/passkeys/add") as answer:
        page.locator("button[data-passkey=create]").click()
    assert answer.value.ok, says(page)
    page.wait_for_url(lambda url: not url.endswith("/account/factors/passkey"))


def new_page(demo: Demo, context: Contexts, key: Key | None = None, **options: Any) -> tuple[Page, Key]:
    """Another browser, whose authenticator has what ``key`` has."""
    made = context()
    made.add_init_script(NO_AUTOFILL)
    page = made.new_page()
    other = Key(page, **options)
    for credential in key.credentials() if key else ():
        other.put(credential)
    page.goto(f"{demo.how.base_url}/sign-in")
    return page, other


def button(page: Page) -> Any:
    return page.get_by_role("button", name="Sign in with a passkey")


def home(demo: Demo, page: Page) -> None:
    page.wait_for_url(f"{demo.how.base_url}/", timeout=60_000)
    demo.clock.advance(timedelta(seconds=30))
