"""passkeys.js's endpoints over FastAPI: a question that a page asks by itself takes nothing from another tab."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from portalsec.auth.passkeys import PasskeyPolicy
from portalsec.events import Source
from portalsec.testing.authenticator import SoftAuthenticator
from portalsec.web import PASSKEY_COOKIE, PENDING_COOKIE, SESSION_COOKIE
from tests.fastapi.account_site import PASSWORD, AccountSite, account_site
from tests.fastapi.support import BASE
from tests.fastapi.test_resume import scripted, shown

BEGIN, FINISH = "/sign-in/passkey/begin", "/sign-in/passkey"


@pytest.fixture
def site() -> Iterator[AccountSite]:
    with account_site() as made:
        yield made


@pytest.fixture
def key(site: AccountSite) -> SoftAuthenticator:
    """Ada's."""
    return key_of(site, "ada")


def key_of(site: AccountSite, login: str) -> SoftAuthenticator:
    key, account_id = SoftAuthenticator(), site.person(login)
    account, passkeys = site.portal.stores.accounts.get(account_id), site.portal.passkeys
    options = passkeys.begin_registration(b"x" * 32, account)
    made = key.create(options.json, origin=BASE)
    passkeys.complete_registration(b"x" * 32, account_id, made, label="key", source=Source())
    return key


def test_whoever_must_set_a_factor_up_may_choose_which(site: AccountSite) -> None:
    site.portal.accounts.create(login="new", password=PASSWORD)
    browser = site.client()
    first = browser.post("/sign-in", {"login": "new", "password": PASSWORD, "next": "/records/p1"})
    totp = "/sign-in/set-up?next=/records/p1&or=passkey_enrolment"
    assert first.headers["location"] == totp
    passkey = browser.get(totp).text.partition("other=")[2]
    assert passkey == "/sign-in/passkey/set-up?next=/records/p1&or=totp_enrolment"
    page = shown(browser.get(passkey))
    assert (page["page"], page["other"]) == ("passkey_set_up", totp)
    assert browser.get("/sign-in/set-up?or=email_code").text == "set-up"  # what is shown is nothing to set up


def test_autofill_leaves_another_tab_s_sign_in_alone(site: AccountSite, key: SoftAuthenticator) -> None:
    browser = site.client()
    browser.post("/sign-in", {"login": "ada", "password": PASSWORD})
    pending = browser.cookies[PENDING_COOKIE]
    asked = scripted(browser, BEGIN, login="", autofill="yes")
    assert set(asked.set_cookies()) == {PASSKEY_COOKIE}
    assert browser.cookies[PENDING_COOKIE] == pending
    # An answer that is refused is no end of it either, whatever it was about.
    for response in ("{}", "{}"):
        refused = scripted(browser, FINISH, response=response)
        assert PENDING_COOKIE not in refused.set_cookies()
    assert browser.post("/sign-in/code", {"code": site.site.code("ada")}).status_code == 303
    assert browser.get("/whoami").status_code == 200


def test_a_passkey_from_autofill_takes_the_place_of_what_was_under_way(
    site: AccountSite, key: SoftAuthenticator
) -> None:
    browser = site.client()
    browser.post("/sign-in", {"login": "ada", "password": PASSWORD})
    pending = browser.cookies[PENDING_COOKIE]
    options = shown(scripted(browser, BEGIN, login="", autofill="yes"))["options"]
    done = scripted(browser, FINISH, response=key.get(options, origin=BASE), next="/records/p1")
    assert shown(done) == {"go": "/records/p1"}
    assert SESSION_COOKIE in browser.cookies
    assert not {PENDING_COOKIE, PASSKEY_COOKIE} & set(browser.cookies)
    late = {"cookie": f"{PENDING_COOKIE}={pending}"}
    assert browser.post("/sign-in/code", {"code": site.site.code("ada")}, headers=late).status_code == 401


def test_the_button_of_the_second_factor_goes_on_beside_autofill_in_another_tab(
    site: AccountSite, key: SoftAuthenticator
) -> None:
    browser = site.client()
    browser.post("/sign-in", {"login": "ada", "password": PASSWORD})
    options = shown(scripted(browser, BEGIN, second="yes"))["options"]
    scripted(browser, BEGIN, login="", autofill="yes")
    done = scripted(browser, FINISH, second="yes", response=key.get(options, origin=BASE))
    assert shown(done) == {"go": "/"}


def test_a_tossed_passkey_cookie_is_refused(site: AccountSite, key: SoftAuthenticator) -> None:
    browser = site.client()
    twice = {"cookie": f"{PASSKEY_COOKIE}=a; {PASSKEY_COOKIE}=b", "content-type": "application/json"}
    answer = browser.request("POST", BEGIN, content=b"{}", headers=twice, same_site=True)
    assert answer.status_code == 401


def test_related_origins_are_told_where_there_are_any(site: AccountSite) -> None:
    assert site.client().get("/.well-known/webauthn").status_code == 404
    related = ("https://clinic.example", "https://portal.elsewhere.example")
    policy = replace(PasskeyPolicy.for_page(BASE), related_origins=related)
    with account_site(passkeys=policy) as other:
        told = other.client().get("/.well-known/webauthn")
        assert (told.headers["content-type"], shown(told)) == ("application/json", {"origins": list(related)})
