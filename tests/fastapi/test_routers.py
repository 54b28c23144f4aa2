"""The way to a session and out of it, over HTTP."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta

import pytest

from portalsec.errors import Denied, Reason
from portalsec.events import Source
from portalsec.fastapi import account_router
from portalsec.testing.authenticator import SoftAuthenticator
from tests.fastapi.account_site import Views
from tests.fastapi.asgi import Answer, Browser
from tests.fastapi.support import PASSWORD, Site, make_site

SESSION, PENDING = "__Host-portalsec", "__Host-portalsec-pending"
DEVICE = "__Host-portalsec-device"


@pytest.fixture
def browser(site: Site) -> Iterator[Browser]:
    site.account("ada")
    yield site.client()


def flags(line: str) -> set[str]:
    return {part.strip() for part in line.split(";")[1:]}


# -- the straight way -------------------------------------------------------------------------------------------


def test_password_then_code_then_a_session(site: Site, browser: Browser) -> None:
    first = browser.post("/sign-in", {"login": "ada", "password": PASSWORD, "next": "/records/p1"})
    assert (first.status_code, first.headers["location"]) == (303, "/sign-in/code?next=/records/p1")
    assert set(first.set_cookies()) == {PENDING}
    assert browser.get("/sign-in/code?next=/records/p1").text == "code next=/records/p1 denied=False"
    second = browser.post("/sign-in/code", {"code": site.code("ada"), "next": "/records/p1"})
    assert (second.status_code, second.headers["location"]) == (303, "/records/p1")
    assert set(browser.cookies) == {SESSION, DEVICE}
    assert browser.get("/whoami").status_code == 200


def test_ses_08_the_cookies_are_for_this_host_and_no_script(site: Site, browser: Browser) -> None:
    first = browser.post("/sign-in", {"login": "ada", "password": PASSWORD})
    second = browser.post("/sign-in/code", {"code": site.code("ada")})
    for line in (first.set_cookies()[PENDING], second.set_cookies()[SESSION]):
        assert flags(line) == {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"}


def test_sign_out_ends_the_session_and_clears_the_browser(site: Site, browser: Browser) -> None:
    site.sign_in(browser, "ada")
    token = browser.cookies[SESSION]
    answer = browser.post("/sign-out")
    assert (answer.text, answer.headers["cache-control"]) == ("signed-out", "no-store")
    # The known device's cookie stays: it opens nothing.
    assert answer.headers["clear-site-data"] == '"cache", "storage"'
    assert set(browser.cookies) == {DEVICE}
    # ATK-13: the cookie is worth nothing any more.
    assert browser.get("/whoami", headers={"Cookie": f"{SESSION}={token}"}).status_code == 401
    assert site.events.named("auth.logout")


def test_sign_out_without_a_session_is_no_error(site: Site) -> None:
    assert site.client().post("/sign-out").text == "signed-out"


# -- set-up -----------------------------------------------------------------------------------------------------


@pytest.fixture
def new(site: Site) -> Browser:
    """A browser whose owner has a password and no second factor yet."""
    site.portal.accounts.create(login="newcomer", password=PASSWORD)
    browser = site.client()
    first = browser.post("/sign-in", {"login": "newcomer", "password": PASSWORD})
    assert first.headers["location"] == "/sign-in/set-up"
    return browser


def secret_of(answer: Answer) -> str:
    found = re.search(r"secret=(\w+)", answer.text)
    assert found
    return found[1]


def test_without_the_account_pages_no_way_is_offered_that_leads_to_them(site: Site, browser: Browser) -> None:
    ada = site.portal.stores.accounts.by_login("ada")
    site.portal.recovery_codes.make(ada.id, source=Source())
    first = browser.post("/sign-in", {"login": "ada", "password": PASSWORD})
    assert first.headers["location"] == "/sign-in/code"
    assert browser.get("/sign-in/other").status_code == 404
    assert browser.get("/sign-in/code?or=recovery_code").text == "code next=/ denied=False"
    assert browser.get("/sign-in/set-up?or=passkey_enrolment").text == "set-up"
    # They are looked for at each request: the order of the routers is the application's.
    site.app.include_router(account_router(site.ps, Views()))
    again = browser.post("/sign-in", {"login": "ada", "password": PASSWORD})
    assert again.headers["location"] == "/sign-in/code?or=recovery_code"
    assert "other=/sign-in/recovery-code?or=totp" in browser.get(again.headers["location"]).text


def test_whose_only_way_has_no_page_is_told_at_the_sign_in_and_sent_to_none(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    portal = site.portal
    keeper = portal.accounts.create(login="keeper", password=PASSWORD)
    options = portal.passkeys.begin_registration(b"x" * 32, keeper)
    response = SoftAuthenticator().create(options.json, origin=portal.base_url)
    portal.passkeys.complete_registration(b"x" * 32, keeper.id, response, label="Key", source=Source())
    browser = site.client()
    told = browser.post("/sign-in", {"login": "keeper", "password": PASSWORD, "next": "/records/p1"})
    assert (told.status_code, told.text) == (401, "sign-in next=/records/p1 denied=True")
    assert not browser.cookies and "/sign-in/passkey," in caplog.text and "keeper" not in caplog.text
    assert browser.get("/whoami").status_code == 401
    site.app.include_router(account_router(site.ps, Views()))
    again = browser.post("/sign-in", {"login": "keeper", "password": PASSWORD})
    assert again.headers["location"] == "/sign-in/passkey"


def test_a_set_up_that_another_browser_overtook_starts_over_and_signs_in_with_what_was_set_up(
    site: Site, new: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.secrets["newcomer"] = secret_of(new.post("/sign-in/set-up"))

    def ended(*args: object, **kwargs: object) -> None:
        raise Denied(Reason.SESSION_REVOKED)

    with monkeypatch.context() as patched:  # the other browser's set-up, between the factor and the session
        patched.setattr(site.portal.sessions, "open_through", ended)
        over = new.post("/sign-in/set-up/confirm", {"code": site.code("newcomer"), "next": "/records/p1"})
    assert (over.status_code, over.text) == (401, "sign-in next=/records/p1 denied=True")
    assert not new.cookies
    site.next_step()
    site.sign_in(new, "newcomer")
    assert new.get("/whoami").status_code == 200


def test_set_up_then_a_session(site: Site, new: Browser) -> None:
    assert new.get("/sign-in/set-up").text == "set-up"
    site.secrets["newcomer"] = secret_of(new.post("/sign-in/set-up"))
    answer = new.post("/sign-in/set-up/confirm", {"code": site.code("newcomer")})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert set(new.cookies) == {SESSION, DEVICE}


def test_a_wrong_first_code_keeps_the_secret_and_does_not_show_it_again(site: Site, new: Browser) -> None:
    site.secrets["newcomer"] = secret_of(new.post("/sign-in/set-up"))
    wrong = new.post("/sign-in/set-up/confirm", {"code": "000000"})
    assert (wrong.status_code, wrong.text) == (401, "set-up-code secret=none denied=True")
    answer = new.post("/sign-in/set-up/confirm", {"code": site.code("newcomer")})
    assert answer.status_code == 303


def test_mfa_18_the_secret_is_not_to_be_had_by_get_or_after_it_was_confirmed(
    site: Site, new: Browser
) -> None:
    assert "secret" not in new.get("/sign-in/set-up").text
    again = new.get("/sign-in/set-up/confirm?next=/records/p1")
    assert (again.status_code, again.headers["location"]) == (303, "/sign-in/set-up?next=/records/p1")
    site.secrets["newcomer"] = secret_of(new.post("/sign-in/set-up"))
    pending = new.cookies[PENDING]
    assert new.post("/sign-in/set-up/confirm", {"code": site.code("newcomer")}).status_code == 303
    for cookies in ({PENDING: pending}, {SESSION: new.cookies[SESSION]}, {}):
        other = site.client()
        other.cookies = dict(cookies)
        answer = other.post("/sign-in/set-up")
        assert answer.status_code == 401
        assert "secret" not in answer.text


def test_mfa_08_guessing_while_setting_up_is_limited(site: Site, new: Browser) -> None:
    new.post("/sign-in/set-up")
    statuses = [new.post("/sign-in/set-up/confirm", {"code": f"00000{n}"}).status_code for n in range(7)]
    assert statuses[:5] == [401] * 5
    assert PENDING not in new.cookies
    assert site.events.named("auth.mfa_enrolled") == []


# -- refusals ---------------------------------------------------------------------------------------------------


def test_byp_06_a_pending_sign_in_opens_nothing(site: Site, browser: Browser) -> None:
    browser.post("/sign-in", {"login": "ada", "password": PASSWORD})
    pending = browser.cookies[PENDING]
    assert browser.get("/whoami").status_code == 401
    assert browser.get("/whoami", headers={"Cookie": f"{SESSION}={pending}"}).status_code == 401


def test_mfa_12_a_code_without_a_password_step_is_refused(site: Site, browser: Browser) -> None:
    answer = browser.post("/sign-in/code", {"code": site.code("ada"), "login": "ada"})
    assert (answer.status_code, answer.text) == (401, "sign-in next=/ denied=True")
    assert browser.get("/sign-in/code").headers["location"] == "/sign-in"


def test_mfa_01_a_code_works_once(site: Site, browser: Browser) -> None:
    browser.post("/sign-in", {"login": "ada", "password": PASSWORD})
    code = site.code("ada")
    assert browser.post("/sign-in/code", {"code": code}).status_code == 303
    second = site.client()
    second.post("/sign-in", {"login": "ada", "password": PASSWORD})
    answer = second.post("/sign-in/code", {"code": code})
    assert (answer.status_code, answer.text) == (401, "code next=/ denied=True")
    assert SESSION not in second.cookies


@pytest.mark.parametrize("code", ["", "x", "12345", "٣" * 10_000, "é", "123456\x00", "1" * 60_000])
def test_mfa_11_any_code_is_a_clean_refusal(site: Site, browser: Browser, code: str) -> None:
    browser.post("/sign-in", {"login": "ada", "password": PASSWORD})
    assert browser.post("/sign-in/code", {"code": code}).status_code in {400, 401, 413}
    assert SESSION not in browser.cookies


def test_atk_16_no_answer_tells_whether_an_account_exists(site: Site, browser: Browser) -> None:
    disabled = site.account("disabled")
    from portalsec.events import SYSTEM, Source

    site.portal.accounts.disable(disabled, actor=SYSTEM, source=Source())
    answers = [
        site.client().post("/sign-in", {"login": login, "password": password})
        for login, password in (
            ("ada", "wrong"),
            ("nobody", "wrong"),
            ("disabled", PASSWORD),
            ("disabled", "wrong"),
        )
    ]
    faces = {(a.status_code, a.content, tuple(sorted(a.headers.items()))) for a in answers}
    assert len(faces) == 1
    assert answers[0].status_code == 401


def test_loc_09_a_locked_name_answers_as_ever(site: Site, browser: Browser) -> None:
    answers = [browser.post("/sign-in", {"login": "ada", "password": "wrong"}) for _ in range(10)]
    for password in (PASSWORD, "wrong", PASSWORD):
        answers.append(browser.post("/sign-in", {"login": "ada", "password": password}))
    answers.append(browser.post("/sign-in", {"login": "nobody", "password": "wrong"}))
    assert len({(a.status_code, a.content, tuple(sorted(a.headers.items()))) for a in answers}) == 1
    assert answers[0].status_code == 401
    assert "retry-after" not in answers[0].headers
    assert browser.cookies == {}
    assert [event.reason for event in site.events.named("auth.login_failed")][-2] is Reason.ACCOUNT_LOCKED


def test_an_address_that_tried_too_often_is_told_how_long_to_wait(site: Site, browser: Browser) -> None:
    for number in range(100):
        answer = browser.post("/sign-in", {"login": f"name{number}", "password": "wrong"})
        assert answer.status_code == 401
    last = browser.post("/sign-in", {"login": "ada", "password": PASSWORD})
    assert last.status_code == 429
    assert 0 < int(last.headers["retry-after"]) <= 3600
    assert browser.cookies == {}


def test_a_browser_that_signed_in_keeps_a_budget_of_its_own(site: Site, browser: Browser) -> None:
    site.sign_in(browser, "ada")
    device = browser.cookies[DEVICE]
    for _ in range(12):
        site.client().post("/sign-in", {"login": "ada", "password": "wrong"})
    stranger = site.client()
    assert stranger.post("/sign-in", {"login": "ada", "password": PASSWORD}).status_code == 401
    browser.post("/sign-out")
    assert browser.cookies == {DEVICE: device}
    site.clock.advance(timedelta(seconds=60))
    site.sign_in(browser, "ada")
    assert browser.cookies[DEVICE] != device  # it is a new one at each sign-in


def test_a_shared_computer_is_not_remembered(site: Site, browser: Browser) -> None:
    browser.post("/sign-in", {"login": "ada", "password": PASSWORD, "shared": "yes"})
    browser.post("/sign-in/code", {"code": site.code("ada")})
    assert set(browser.cookies) == {SESSION}
    assert '"cookies"' in browser.post("/sign-out").headers["clear-site-data"]


def test_the_devices_cookie_lives_for_400_days_and_no_script_reads_it(site: Site, browser: Browser) -> None:
    browser.post("/sign-in", {"login": "ada", "password": PASSWORD})
    answer = browser.post("/sign-in/code", {"code": site.code("ada")})
    (cookie,) = [text for text in answer.headers.getlist("set-cookie") if text.startswith(DEVICE + "=")]
    attributes = cookie.partition("; ")[2]
    assert attributes == "Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=34560000"


def test_mfa_10_the_last_wrong_code_ends_the_pending_sign_in(site: Site, browser: Browser) -> None:
    browser.post("/sign-in", {"login": "ada", "password": PASSWORD})
    for _ in range(6):
        last = browser.post("/sign-in/code", {"code": "000000"})
    assert last.status_code in {401, 429}
    assert browser.post("/sign-in/code", {"code": site.code("ada")}).status_code in {401, 429}
    assert SESSION not in browser.cookies


def test_byp_07_nothing_of_one_sign_in_carries_over_to_the_next(site: Site, browser: Browser) -> None:
    site.account("bob")
    browser.post("/sign-in", {"login": "ada", "password": PASSWORD})
    of_ada = browser.cookies[PENDING]
    browser.post("/sign-in", {"login": "bob", "password": PASSWORD})
    browser.cookies[PENDING] = of_ada
    assert browser.post("/sign-in/code", {"code": site.code("ada")}).status_code == 401
    assert SESSION not in browser.cookies


def test_byp_08_nothing_pending_survives_a_sign_out(site: Site, browser: Browser) -> None:
    browser.post("/sign-in", {"login": "ada", "password": PASSWORD})
    pending = browser.cookies[PENDING]
    browser.post("/sign-out")
    browser.cookies[PENDING] = pending
    assert browser.post("/sign-in/code", {"code": site.code("ada")}).status_code == 401


def test_atk_11_a_planted_session_id_is_not_adopted(site: Site, browser: Browser) -> None:
    browser.cookies[SESSION] = "x" * 43
    site.sign_in(browser, "ada")
    assert browser.cookies[SESSION] != "x" * 43
    assert browser.get("/whoami", headers={"Cookie": f"{SESSION}={'x' * 43}"}).status_code == 401


def test_signing_in_over_a_session_ends_the_older_one(site: Site, browser: Browser) -> None:
    site.sign_in(browser, "ada")
    old = browser.cookies[SESSION]
    site.account("bob")
    site.sign_in(browser, "bob")
    assert browser.get("/whoami", headers={"Cookie": f"{SESSION}={old}"}).status_code == 401
    assert browser.get("/whoami").status_code == 200


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "///evil",
        "/\t/evil",
        "javascript:x",
        "",
        "/é",
    ],
)
def test_rec_07_the_next_page_is_always_the_portals_own(site: Site, browser: Browser, target: str) -> None:
    first = browser.post("/sign-in", {"login": "ada", "password": PASSWORD, "next": target})
    assert first.headers["location"] == "/sign-in/code"
    second = browser.post("/sign-in/code", {"code": site.code("ada"), "next": target})
    assert second.headers["location"] == "/"


def test_the_next_page_keeps_its_query_through_the_second_factor(site: Site, browser: Browser) -> None:
    target = "/audit?before=5&x=a%20b+c"
    first = browser.post("/sign-in", {"login": "ada", "password": PASSWORD, "next": target})
    page = browser.get(first.headers["location"])
    assert page.text == f"code next={target} denied=False"


# -- how long is left -------------------------------------------------------------------------------------------


def left(browser: Browser, method: str, path: str) -> dict[str, object]:
    answer = browser.request(method, path, same_site=True)
    assert answer.status_code == 200
    result: dict[str, object] = json.loads(answer.content)
    return result


def test_atk_15_asking_how_long_is_left_is_not_activity(site: Site, browser: Browser) -> None:
    site.sign_in(browser, "ada")
    browser.get("/whoami")
    for minute in range(1, 15):
        site.clock.advance(timedelta(minutes=1))
        said = left(browser, "GET", "/session/left")
        assert said["left"] == said["idle"] == 900.0 - 60 * minute
        assert (said["signed_in"], said["can_stay"], said["warn"]) == (True, True, 120.0)
    site.clock.advance(timedelta(minutes=1))
    answer = browser.get("/session/left")
    assert (answer.status_code, json.loads(answer.content)) == (401, {"signed_in": False})
    # The server ended it; asking again, and a page, find nothing.
    assert browser.get("/whoami").status_code == 401
    assert [event.reason for event in site.events.named("auth.session_ended")] == ["session_idle"]


def test_staying_is_activity(site: Site, browser: Browser) -> None:
    site.sign_in(browser, "ada")
    for _ in range(5):
        site.clock.advance(timedelta(minutes=14))
        assert left(browser, "POST", "/session/stay")["left"] == 900.0


def test_staying_needs_the_portals_own_page(site: Site, browser: Browser) -> None:
    site.sign_in(browser, "ada")
    assert browser.request("POST", "/session/stay").status_code == 403


def test_near_the_absolute_limit_the_page_is_told_that_staying_does_not_help() -> None:
    from portalsec.auth.sessions import SessionPolicy

    policy = SessionPolicy(
        idle=timedelta(minutes=10), absolute=timedelta(minutes=15), warn_before=timedelta(minutes=1)
    )
    with make_site(sessions=policy) as site:
        site.account("ada")
        browser = site.client()
        site.sign_in(browser, "ada")
        site.clock.advance(timedelta(minutes=8))
        said = left(browser, "POST", "/session/stay")
        assert said["can_stay"] is False
        assert said["left"] == 6.5 * 60  # the sign-in's own half minute counts


def test_without_a_session_nothing_is_left(site: Site) -> None:
    answer = site.client().get("/session/left")
    assert (answer.status_code, json.loads(answer.content)) == (401, {"signed_in": False})
