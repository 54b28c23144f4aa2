"""Signing in and out through the views."""

from __future__ import annotations

import re
import sys
import threading
from dataclasses import replace
from datetime import timedelta

import pyotp
import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.signals import got_request_exception
from django.db import connections
from django.http import HttpRequest
from django.test import Client
from django.views.debug import ExceptionReporter

from portalsec.django import models
from portalsec.django.sessions import SessionStore
from portalsec.errors import Denied, Reason, StoreError
from portalsec.web import DEVICE_COOKIE, SESSION_COOKIE
from tests.django.browser import PASSWORD, cookie, password_step, pending, signed_in, someone, who
from tests.django.project import World


def test_both_factors_open_a_session_and_the_cookie_is_one_that_no_other_site_can_set(
    client: Client, world: World
) -> None:
    person = someone(world)
    first = password_step(client, person, next="/records/1?tab=a&b")
    assert (first.status_code, first["Location"]) == (303, "/sign-in/code?next=/records/1?tab=a%26b")
    assert who(client) == ""
    second = client.post("/sign-in/code", {"code": person.code(), "next": "/records/1?tab=a&b"})
    assert (second.status_code, second["Location"]) == (303, "/records/1?tab=a&b")
    kept = second.cookies[SESSION_COOKIE]
    assert (kept["secure"], kept["httponly"], kept["path"], kept["domain"]) == (True, True, "/", "")
    assert (kept["samesite"], kept["max-age"], kept["expires"]) == ("Lax", "", "")
    assert second.cookies["__Host-portalsec-pending"]["max-age"] == 0
    assert who(client) == "olivia"
    assert world.events.names[-3:] == ["auth.password_verified", "auth.login", "auth.device_added"]


def test_an_account_without_a_second_factor_enrols_one_at_the_door(client: Client, world: World) -> None:
    world.portal.accounts.create(login="newcomer", password=PASSWORD)
    first = client.post("/sign-in", {"login": "newcomer", "password": PASSWORD})
    assert first["Location"] == "/sign-in/set-up?or=passkey_enrolment"
    beginning = client.get(first["Location"]).content.decode()
    assert "<svg" not in beginning
    other = "/sign-in/passkey/set-up?or=totp_enrolment"
    assert f'<a href="{other}">Set up a passkey instead' in beginning
    assert f'<a href="{first["Location"]}">' in client.get(other).content.decode()
    assert '<input type="hidden" name="or" value="passkey_enrolment">' in beginning
    page = client.post("/sign-in/set-up").content.decode()
    assert "<svg" in page
    seed = re.search(r'class="secret">([A-Z2-7 ]+)<', page)
    assert seed is not None
    wrong = client.post("/sign-in/set-up/confirm", {"code": "000000"})
    assert wrong.status_code == 401
    assert "<svg" not in wrong.content.decode()
    code = pyotp.TOTP(seed[1].replace(" ", "")).at(world.clock())
    assert client.post("/sign-in/set-up/confirm", {"code": code}).status_code == 303
    assert who(client) == "newcomer"


def test_a_set_up_that_another_browser_overtook_starts_over(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.portal.accounts.create(login="newcomer", password=PASSWORD)
    client.post("/sign-in", {"login": "newcomer", "password": PASSWORD})
    page = client.post("/sign-in/set-up").content.decode()
    seed = re.findall(r'class="secret">([A-Z2-7 ]+)<', page)[0].replace(" ", "")

    def ended(*args: object, **kwargs: object) -> None:
        raise Denied(Reason.SESSION_REVOKED)

    with monkeypatch.context() as patched:
        patched.setattr(world.portal.sessions, "open_through", ended)
        over = client.post("/sign-in/set-up/confirm", {"code": pyotp.TOTP(seed).at(world.clock())})
    assert over.status_code == 401 and "That sign-in is over. Please start again." in over.content.decode()
    assert over.cookies["__Host-portalsec-pending"]["max-age"] == 0


def test_a_refused_set_up_leads_to_the_other_way_still(client: Client, world: World) -> None:
    account = world.portal.accounts.create(login="newcomer", password=PASSWORD)
    client.post("/sign-in", {"login": "newcomer", "password": PASSWORD})
    begun = world.portal.totp.begin(
        account.id, "newcomer"
    )  # by another browser of the owner's, a moment before
    code = pyotp.TOTP(begun.secret.reveal()).at(world.clock())
    world.portal.totp.confirm(account.id, begun.device_id, code)
    refused = client.post("/sign-in/set-up", {"or": "passkey_enrolment", "next": "/whoami"})
    page = refused.content.decode()
    assert refused.status_code in (401, 403) and "Please sign in again" in page
    other = "/sign-in/passkey/set-up?next=/whoami&amp;or=totp_enrolment"
    assert f'<a href="{other}">Set up a passkey instead' in page
    assert '<input type="hidden" name="or" value="passkey_enrolment">' in page


def test_atk_16_every_failure_has_one_face(client: Client, world: World) -> None:
    person = someone(world)
    disabled = someone(world, "disabled")
    get_user_model().objects.filter(username="disabled").update(is_active=False)
    get_user_model().objects.create_user("bare")  # no password
    faces = set()
    for login, password in [
        (person.login, "wrong wrong wrong wrong"),
        (disabled.login, PASSWORD),
        ("bare", PASSWORD),
        ("nobody", PASSWORD),
    ]:
        response = client.post("/sign-in", {"login": login, "password": password})
        text = response.content.decode().replace(login, "LOGIN")
        faces.add((response.status_code, re.sub(r'csrfmiddlewaretoken" value="[^"]+"', "", text)))
        assert pending(client) == ""
    assert len(faces) == 1
    assert faces.pop()[0] == 401


def test_loc_09_a_locked_name_answers_as_ever(client: Client, world: World) -> None:
    person = someone(world)
    answers = [password_step(client, person, "wrong wrong wrong wrong") for _ in range(10)]
    answers.append(password_step(client, person))
    texts = {re.sub(r'csrfmiddlewaretoken" value="[^"]+"', "", a.content.decode()) for a in answers}
    assert len(texts) == 1
    assert {(a.status_code, a.has_header("Retry-After")) for a in answers} == {(401, False)}


def test_an_address_that_tried_too_often_is_told_how_long_to_wait(client: Client, world: World) -> None:
    person = someone(world)
    for number in range(100):
        response = client.post("/sign-in", {"login": f"name{number}", "password": "wrong wrong wrong"})
        assert response.status_code == 401
    refused = password_step(client, person)
    assert refused.status_code == 429
    assert refused["Retry-After"] == "3600"


def test_a_browser_that_signed_in_keeps_a_budget_of_its_own(client: Client, world: World) -> None:
    person = someone(world)
    signed_in(client, person)
    device = client.cookies[DEVICE_COOKIE]
    assert (device["max-age"], device["httponly"], device["secure"]) == (34560000, True, True)
    gone = client.post("/sign-out")
    assert gone["Clear-Site-Data"] == '"cache", "storage"'
    stranger = Client(headers={"host": "portal.example"})
    for _ in range(10):
        password_step(stranger, person, "wrong wrong wrong wrong")
    assert password_step(stranger, person).status_code == 401
    world.clock.advance(timedelta(seconds=60))
    signed_in(client, person)
    assert client.cookies[DEVICE_COOKIE].value != device.value


def test_a_shared_computer_is_not_remembered(client: Client, world: World) -> None:
    person = someone(world)
    assert 'name="shared"' in client.get("/sign-in").content.decode()
    client.post("/sign-in", {"login": person.login, "password": PASSWORD, "shared": "yes"})
    assert client.post("/sign-in/code", {"code": person.code()}).status_code == 303
    assert DEVICE_COOKIE not in client.cookies
    assert client.post("/sign-out")["Clear-Site-Data"] == '"cache", "cookies", "storage"'


def test_atk_13_a_copied_cookie_is_worth_nothing_after_sign_out(client: Client, world: World) -> None:
    copied = signed_in(client, someone(world))
    gone = client.post("/sign-out")
    assert gone.status_code == 200
    assert gone["Clear-Site-Data"] == '"cache", "storage"'
    assert cookie(client) == ""
    assert world.events.names[-1] == "auth.logout"
    thief = Client(headers={"host": "portal.example"})
    thief.cookies[SESSION_COOKIE] = copied
    assert who(thief) == ""
    assert world.events.last.name == "auth.session_refused"


def test_signing_in_over_a_session_ends_the_older_one(client: Client, world: World) -> None:
    old = signed_in(client, someone(world))
    other = someone(world, "second")
    signed_in(client, other)
    assert who(client) == "second"
    thief = Client(headers={"host": "portal.example"})
    thief.cookies[SESSION_COOKIE] = old
    assert who(thief) == ""


def test_byp_06_a_pending_sign_in_is_anonymous_everywhere(client: Client, world: World) -> None:
    person = someone(world, "olivia", "clinician")
    world.relations.facts.add(("care_team", person.id, "p1"))
    password_step(client, person)
    assert pending(client) != ""
    assert who(client) == ""
    assert client.get("/records/p1").status_code == 401
    assert client.get("/admin/").status_code == 302
    # ... and the pending token is no session, wherever it is sent
    client.cookies[SESSION_COOKIE] = pending(client)
    assert who(client) == ""


def test_byp_01_a_session_from_before_the_second_factor_stays_anonymous(client: Client, world: World) -> None:
    person = someone(world)
    client.get("/keep?value=before")
    before = cookie(client)
    password_step(client, person)
    early = Client(headers={"host": "portal.example"})
    early.cookies[SESSION_COOKIE] = before
    client.post("/sign-in/code", {"code": person.code()})
    assert who(client) == "olivia"
    assert cookie(client) != before
    assert who(early) == ""
    # nothing of the visitor's session went along, and its key is gone
    assert client.get("/whoami").json()["kept"] == {}
    assert early.get("/whoami").json()["kept"] == {}


def test_byp_07_a_half_finished_sign_in_leaves_nothing_for_the_next_person(
    client: Client, world: World
) -> None:
    first, second = someone(world, "first"), someone(world, "second")
    password_step(client, first)
    stale = pending(client)
    password_step(client, second)
    client.cookies["__Host-portalsec-pending"] = stale
    assert client.post("/sign-in/code", {"code": first.code()}).status_code == 401
    assert who(client) == ""


def test_byp_08_a_pending_sign_in_does_not_outlive_a_sign_out(client: Client, world: World) -> None:
    person = someone(world)
    password_step(client, person)
    stale = pending(client)
    client.post("/sign-out")
    client.cookies["__Host-portalsec-pending"] = stale
    assert client.post("/sign-in/code", {"code": person.code()}).status_code == 401


def test_mfa_01_one_code_opens_one_session(client: Client, world: World) -> None:
    person = someone(world)
    signed_in(client, person)
    again = Client(headers={"host": "portal.example"})
    password_step(again, person)
    assert again.post("/sign-in/code", {"code": person.code()}).status_code == 401


def test_mfa_10_the_last_wrong_code_ends_the_pending_sign_in(client: Client, world: World) -> None:
    person = someone(world)
    password_step(client, person)
    for _ in range(5):
        refused = client.post("/sign-in/code", {"code": "000000"})
        assert refused.status_code == 401
    assert "start again" in refused.content.decode()
    assert refused.cookies["__Host-portalsec-pending"]["max-age"] == 0


@pytest.mark.parametrize(
    "target", ["//evil.example", "/\\evil.example", "https:evil.example", "/\tx", "javascript:x"]
)
def test_rec_07_a_redirect_stays_in_the_portal(client: Client, world: World, target: str) -> None:
    person = someone(world)
    password_step(client, person, next=target)
    assert client.post("/sign-in/code", {"code": person.code(), "next": target})["Location"] == "/"


def test_atk_46_a_sign_in_that_another_site_posts_is_refused_and_recorded(world: World) -> None:
    person = someone(world)
    browser = Client(enforce_csrf_checks=True, headers={"host": "portal.example"})
    token = re.search(r'value="([^"]+)"', browser.get("/sign-in", secure=True).content.decode())
    assert token is not None
    form = {"login": person.login, "password": PASSWORD, "csrfmiddlewaretoken": token[1]}

    def post(**headers: str) -> int:
        return browser.post("/sign-in", form, secure=True, headers=headers).status_code

    origin = "https://portal.example"
    assert post(**{"Origin": origin, "Sec-Fetch-Site": "cross-site"}) == 403
    assert world.events.last.name == "system.request_refused"
    assert post(Origin="https://evil.example") == 403
    assert post(**{"Origin": origin, "Sec-Fetch-Site": "same-origin"}) == 303
    del form["csrfmiddlewaretoken"]
    assert post(**{"Origin": origin, "Sec-Fetch-Site": "same-origin"}) == 403


@pytest.mark.parametrize(
    "path",
    ["/sign-in", "/sign-in/code", "/sign-in/set-up", "/sign-in/set-up/confirm", "/sign-out", "/session/stay"],
)
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "application/x-www-form-urlencoded"),
        (b"login=a&login=b&code=1&code=2", "application/x-www-form-urlencoded"),
        (b"login=%00%ff&password=%ed%a0%80&code=%00", "application/x-www-form-urlencoded"),
        (b"code=" + "１２３４５６".encode() + b"&next=%0d%0a", "application/x-www-form-urlencoded"),
        (b"login=" + b"a" * 100_000, "application/x-www-form-urlencoded"),
        (b'{"login": {"a": []}, "code": 123456}', "application/json"),
        (b"--x\r\nnonsense", "multipart/form-data; boundary=x"),
        (b"\xff\xfe", "text/plain; charset=nonsense"),
        (b"login=x", "application/x-www-form-urlencoded; charset=utf-16"),
        (b"&".join(b"f%d=1" % n for n in range(2000)), "application/x-www-form-urlencoded"),
    ],
)
def test_mfa_11_a_malformed_request_is_never_a_500(
    client: Client, world: World, path: str, body: bytes, kind: str
) -> None:
    client.cookies["__Host-portalsec-pending"] = "n\xff\x80nsense" if "code" in path else "x" * 43
    client.cookies[SESSION_COOKIE] = "ü" * 43
    client.raise_request_exception = False
    response = client.generic("POST", path, body, content_type=kind)
    assert response.status_code < 500, response.content[:500]
    assert who(client) == ""


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(client: Client, world: World, method: str) -> None:
    assert client.generic(method, "/sign-in").status_code == 405


def test_atk_02_a_refused_request_that_rolls_back_keeps_its_counted_attempt(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)
    person = someone(world)
    for _ in range(10):
        refused = client.post("/own-sign-in", {"login": person.login, "password": "wrong wrong wrong"})
        assert refused.status_code == 401
    assert not Group.objects.exists()  # the application's own write was rolled back
    assert client.post("/own-sign-in", {"login": person.login, "password": PASSWORD}).status_code == 401
    # ... and portalsec's own views count in the same budget, outside of any transaction
    assert password_step(client, person).status_code == 401


def test_the_views_sign_in_under_atomic_requests(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)
    signed_in(client, someone(world))
    assert who(client) == "olivia"
    assert client.get("/refuses").status_code == 403
    assert not Group.objects.exists()


def test_pages_need_no_style_or_script_from_elsewhere_and_no_inline_one(client: Client, world: World) -> None:
    person = someone(world)
    password_step(client, person)
    for path in ("/sign-in", "/sign-in/code", "/sign-in/set-up"):
        text = client.get(path).content.decode()
        assert not re.search(r'<style|\sstyle="|<script(?! src="/portalsec/)|\son\w+="|https?://', text)
        assert '<html lang="en">' in text


def test_mfa_05_one_code_from_many_browsers_at_once_opens_one_session(client: Client, world: World) -> None:
    person = someone(world)
    browsers = [Client(headers={"host": "portal.example"}) for _ in range(8)]
    for browser in browsers:
        password_step(browser, person)
    code, start = person.code(), threading.Barrier(len(browsers))
    statuses: list[int] = []

    def submit(browser: Client) -> None:
        try:
            start.wait(30)
            statuses.append(browser.post("/sign-in/code", {"code": code}).status_code)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=submit, args=(browser,)) for browser in browsers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert statuses.count(303) == 1
    assert set(statuses) <= {303, 401, 429}
    assert len(world.portal.stores.sessions.of_account(person.id)) == 1
    assert sum(who(browser) == "olivia" for browser in browsers) == 1


def test_atk_40_an_error_report_holds_no_password_code_or_key(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports: list[str] = []

    def report(request: HttpRequest, **kwargs: object) -> None:
        # What Django mails to the ADMINS.
        made = ExceptionReporter(request, *sys.exc_info())  # type: ignore[arg-type]
        reports.extend([made.get_traceback_text(), made.get_traceback_html()])

    def bug(*args: object, **kwargs: object) -> None:
        raise RuntimeError("a bug in the middle of a sign-in")

    client.raise_request_exception = False
    person = someone(world)
    got_request_exception.connect(report)
    try:
        with monkeypatch.context() as broken:
            broken.setattr(world.portal.passwords, "verify", bug)
            assert password_step(client, person).status_code == 500
        password_step(client, person)
        token = pending(client)
        with monkeypatch.context() as broken:
            broken.setattr(type(world.portal.totp), "verify", bug)
            assert client.post("/sign-in/code", {"code": person.code()}).status_code == 500
    finally:
        got_request_exception.disconnect(report)
    assert who(client) == ""  # BYP-02 as well: an error half way leaves nobody signed in
    assert len(reports) == 4
    for text in reports:
        assert "a bug in the middle" in text
        for secret in (PASSWORD, person.seed, token):
            assert secret not in text
        # By itself: within an address, an id or a token its six digits may stand by chance.
        assert not re.search(rf"(?<!\w){person.code()}(?!\w)", text)


@pytest.mark.parametrize(
    ("store", "verb"),
    [
        ("throttle", "take"),
        ("throttle", "give_back"),
        ("throttle", "clear"),
        ("accounts", "by_login"),
        ("accounts", "get"),
        ("totp", "devices"),
        ("totp", "advance"),
        ("flows", "put"),
        ("flows", "attempt"),
        ("flows", "consume"),
        ("sessions", "epoch"),
        ("sessions", "create"),
    ],
)
def test_atk_41_a_store_that_fails_anywhere_in_a_sign_in_lets_nobody_in(
    client: Client, world: World, store: str, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = someone(world)
    failed = []

    def fail(*args: object, **kwargs: object) -> None:
        failed.append(verb)
        raise StoreError("down")

    with monkeypatch.context() as broken:
        broken.setattr(getattr(world.portal.stores, store), verb, fail)
        first = password_step(client, person)
        last = first if first.status_code != 303 else client.post("/sign-in/code", {"code": person.code()})
    assert failed
    assert last.status_code == 503
    assert cookie(client) == ""
    assert who(client) == ""
    assert not models.Session.objects.exists()


def test_atk_41_session_data_that_cannot_be_kept_opens_no_session(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise StoreError("down")

    person = someone(world)
    password_step(client, person)
    with monkeypatch.context() as broken:
        broken.setattr(SessionStore, "save", fail)
        assert client.post("/sign-in/code", {"code": person.code()}).status_code == 503
    assert who(client) == ""
    assert not models.Session.objects.exists()


def test_head_is_answered_wherever_get_is(client: Client, world: World) -> None:
    """RFC 9110 section 9.3.2."""
    for signed in (False, True):
        for path in ("/sign-in", "/sign-in/code", "/session/left", "/signed-out", "/whoami", "/records/p1"):
            get, head = client.get(path), client.head(path)
            assert (head.status_code, head.content) == (get.status_code, b""), path
        if not signed:
            signed_in(client, someone(world))


def test_the_package_s_own_pages_have_the_passkey_button_the_guard_and_the_warning(
    client: Client, world: World
) -> None:
    page = client.get("/sign-in").content.decode()
    assert 'autocomplete="username webauthn"' in page
    assert 'data-send="login next shared trust" data-autofill' in page
    assert '<script src="/portalsec/passkeys.js" defer>' in page
    # A page of nobody's is asked for anew when the browser shows it again, and has no session to warn of.
    assert '<script src="/portalsec/guard.js"></script>' in page
    assert "<dialog" not in page
    person = someone(world)
    signed_in(client, person)
    own = client.get("/account/secure").content.decode()
    name = client.get("/session/left").json()["who"]
    assert f'<script src="/portalsec/guard.js" data-who="{name}"></script>' in own
    assert f'<dialog data-session data-who="{name}"' in own
    for script in ("session", "kept"):
        assert f'<script src="/portalsec/{script}.js" defer>' in own
    assert "<dialog" not in client.post("/sign-out").content.decode()


def test_without_passkeys_the_sign_in_page_offers_none(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world, "portal", replace(world.portal, passkeys=None))
    page = client.get("/sign-in").content.decode()
    assert "passkey" not in page
    assert "webauthn" not in page
