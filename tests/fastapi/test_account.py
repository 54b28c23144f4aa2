"""The account's pages over HTTP: the ways through, and what nobody can make them do."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib.resources import files
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from portalsec.account_pages import AccountPages
from portalsec.auth.ports import Contact
from portalsec.auth.signin import SignInPolicy
from portalsec.errors import ConfigurationError
from portalsec.events import SYSTEM, Event, Source
from portalsec.fastapi import Portalsec, account_router
from portalsec.web import DEVICE_COOKIE, LINK_COOKIE, SESSION_COOKIE
from tests.auth.world import code_of
from tests.fastapi.account_site import NEW, PASSWORD, AccountSite, Views, account_site
from tests.fastapi.asgi import Answer, Browser, Loop
from tests.fastapi.support import BASE

_SOURCE = Source()


@pytest.fixture
def world() -> Iterator[AccountSite]:
    with account_site() as made:
        yield made


def page(answer: Answer) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(answer.text)
    return read


def landed(world: AccountSite, address: str) -> Browser:
    """A browser that asked for a link, opened it and pressed the button."""
    client = world.client()
    assert page(client.post("/password/forgot", {"name": address}))["page"] == "forgot_sent"
    token = world.token(address)
    answer = client.post("/password/link", {"token": token})
    assert answer.headers["location"] == "/password/new", answer.text
    return client


# -- a forgotten password -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", ["robin", "robin@mail.example", " Robin "])
def test_a_forgotten_password_by_name_or_address(world: AccountSite, typed: str) -> None:
    world.person("robin")
    client = world.client()
    client.post("/password/forgot", {"name": typed})
    link = world.link("robin@mail.example")
    assert link.startswith("/password/link?token=")
    shown = client.get(link)
    assert page(shown)["page"] == "reset_link"
    gone = client.post("/password/link", {"token": page(shown)["token"]})
    assert gone.headers["location"] == "/password/new"
    assert page(client.get("/password/new"))["least"] == 8
    chosen = client.post("/password/new", {"password": NEW})
    assert (chosen.status_code, chosen.headers["location"]) == (303, "/sign-in/code")
    assert LINK_COOKIE not in client.cookies
    done = client.post("/sign-in/code", {"code": world.site.code("robin")})
    assert done.headers["location"] == "/"
    assert SESSION_COOKIE in client.cookies
    assert client.get("/whoami").status_code == 200


def test_atk_36_a_reset_opens_no_session_without_the_second_factor(world: AccountSite) -> None:
    world.person("robin")
    client = landed(world, "robin@mail.example")
    client.post("/password/new", {"password": NEW})
    assert SESSION_COOKIE not in client.cookies
    assert client.get("/whoami").status_code == 401


def test_a_refused_password_says_why_in_the_visitors_language_and_may_be_tried_again(
    world: AccountSite,
) -> None:
    world.person("robin")
    client = landed(world, "robin@mail.example")
    refused = client.post(
        "/password/new", {"password": "short"}, headers={"accept-language": "es-MX,en;q=0.5"}
    )
    assert refused.status_code == 400
    assert page(refused)["page"] == "new_password"
    assert page(refused)["errors"] == ["too_short"]
    assert client.post("/password/new", {"password": NEW}).status_code == 303


def test_a_link_works_once_and_not_without_one(world: AccountSite) -> None:
    world.person("robin")
    client = world.client()
    client.post("/password/forgot", {"name": "robin"})
    token = world.token("robin@mail.example")
    assert client.post("/password/link", {"token": token}).status_code == 303
    for again in (token, token[:-1], token + "A", "", "x" * 5000):
        answer = world.client().post("/password/link", {"token": again})
        assert (answer.status_code, page(answer)["what"]) == (400, "reset")
    assert page(world.client().post("/password/link"))["page"] == "link_dead"
    assert page(world.client().get("/password/new"))["page"] == "link_dead"
    assert page(world.client().post("/password/new", {"password": NEW}))["page"] == "link_dead"


# -- ATK-33: the token in the address --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ask", "field", "value"),
    [
        ("/password/forgot", "name", "robin"),
        ("/unlock", "name", "robin"),
        ("/register", "email", "robin2@mail.example"),
    ],
)
def test_atk_33_a_link_that_a_mail_scanner_opens_is_good_still(
    world: AccountSite, ask: str, field: str, value: str
) -> None:
    world.person("robin")
    assert world.client().post(ask, {field: value}).status_code == 200
    link = world.link("robin@mail.example" if field == "name" else value)
    before = world.site.events.names
    for method in ("GET", "HEAD", "GET"):
        answer = world.client().request(method, link)
        assert answer.status_code == 200
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers.getlist("set-cookie") == []
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert world.site.events.names == before
    path, _, token = link.partition("?token=")
    used = world.client().post(path, {"token": token})
    assert used.status_code in (200, 303)
    if "location" in used.headers:
        assert "token" not in used.headers["location"]
    assert token not in used.text
    assert token not in "".join(used.headers.getlist("set-cookie"))
    assert page(world.client().post(path, {"token": token}))["page"] == "link_dead"


def test_rec_11_no_token_is_given_for_a_plain_get_and_none_is_taken_from_another_site(
    world: AccountSite,
) -> None:
    world.person("robin")
    world.client().post("/password/forgot", {"name": "robin"})
    token = world.token("robin@mail.example")
    assert world.client().get(f"/password/link?token={token}").headers.getlist("set-cookie") == []
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}, {}):
        stranger = world.client().post("/password/link", {"token": token}, headers=headers, same_site=False)
        assert stranger.status_code == 403
    assert world.client().post("/password/link", {"token": token}).status_code == 303


# -- ATK-34: hosts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"x-forwarded-host": "evil.example"},
        {"forwarded": "host=evil.example"},
        {"x-original-host": "evil.example", "x-host": "evil.example"},
        {"referer": "https://evil.example/"},
        {"x-forwarded-proto": "ftp", "x-forwarded-port": "6666"},
    ],
)
def test_atk_34_a_mail_links_to_the_one_configured_address(
    world: AccountSite, headers: dict[str, str]
) -> None:
    world.person("robin")
    assert world.client().post("/password/forgot", {"name": "robin"}, headers=headers).status_code == 200
    world.deliver()
    mail = world.mail[-1]
    links = re.findall(r"https?://[^\s\"<>]+", mail.text + mail.html)
    assert links
    assert all(link.startswith("https://portal.example/password/link?token=") for link in links)


@pytest.mark.parametrize("host", ["evil.example", "portal.example.evil.example", "portal.example:444"])
def test_atk_34_a_request_for_another_host_asks_for_nothing(world: AccountSite, host: str) -> None:
    world.person("robin")
    answer = world.client().post("/password/forgot", {"name": "robin"}, headers={"host": host})
    assert answer.status_code == 421
    world.deliver()
    assert world.mail == []


@pytest.mark.parametrize(
    "of", ["https://evil.example", "https://portal.example", "//evil.example", "evil.example"]
)
def test_atk_34_a_target_in_absolute_form_asks_for_nothing(world: AccountSite, of: str) -> None:
    """RFC 9112 section 3.2.2: such a target names a host of its own. It is no path, so no page is reached by it."""
    world.person("robin")
    headers = [
        (b"host", b"portal.example"), (b"sec-fetch-site", b"same-origin"),
        (b"content-type", b"application/x-www-form-urlencoded"),
    ]  # fmt: skip
    target = f"{of}/password/forgot".encode()
    answer = world.client().raw("POST", target, b"", headers, b"name=robin")
    assert answer.status_code in (400, 404)
    assert b"evil.example" not in answer.content + repr(answer.headers.raw).encode()
    world.deliver()
    assert world.mail == []


def test_atk_34_whatever_a_server_makes_of_an_absolute_target_a_mail_links_to_the_portal(
    world: AccountSite,
) -> None:
    world.person("robin")
    body = b"name=robin"
    with listening(world.site.app) as port, socket.create_connection(("127.0.0.1", port), 10) as wire:
        wire.sendall(
            b"POST http://evil.example/password/forgot HTTP/1.1\r\nHost: portal.example\r\n"
            b"Sec-Fetch-Site: same-origin\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body)
        )
        answer = b"".join(iter(lambda: wire.recv(65_536), b""))
    assert answer.split(b" ", 2)[1] in (b"200", b"400"), answer[:200]
    assert b"evil.example" not in answer
    world.deliver()
    assert all("evil.example" not in mail.text + mail.html for mail in world.mail)
    assert all("https://portal.example/password/link?token=" in mail.text for mail in world.mail)


@contextmanager
def listening(app: ASGIApp) -> Iterator[int]:
    """The port of a real server."""
    held = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="critical", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [held]})
    thread.start()
    try:
        yield held.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        held.close()


# -- ATK-16: who is here ----------------------------------------------------------------------------------------------

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def face(answer: Answer, *typed: str) -> tuple[int, list[tuple[str, str]], str]:
    """Everything of an answer that a stranger sees, less what they typed themselves and the request's number."""
    text = _ID.sub("<id>", answer.text)
    for word in typed:
        text = text.replace(word, "<typed>")
    return answer.status_code, sorted(answer.headers.items()), text


def cast(world: AccountSite) -> list[str]:
    """One login of each kind that must look like the others, all as long as one another."""
    world.person("known1")
    world.portal.accounts.disable(world.person("disab1"), actor=SYSTEM, source=_SOURCE)
    world.person("locked")
    passwordless = world.person("nopass")
    store = world.portal.stores.accounts
    held = store.get(passwordless)
    assert store.set_password(passwordless, None, expected=held.password_hash)
    for _ in range(40):
        world.client().post("/sign-in", {"login": "locked", "password": "wrong wrong wrong"})
        world.site.clock.advance(timedelta(seconds=1))
    world.site.clock.advance(timedelta(minutes=5))
    return ["known1", "disab1", "locked", "nopass", "nobody"]


def test_atk_16_a_failed_sign_in_has_one_face(world: AccountSite) -> None:
    faces = {
        login: face(
            world.client().post("/sign-in", {"login": login, "password": "a wrong pass phrase"}), login
        )
        for login in cast(world)
    }
    assert len({repr(each) for each in faces.values()}) == 1, faces
    assert faces["known1"][0] == 401


def test_loc_09_the_locked_answer_is_the_same_for_the_right_password(world: AccountSite) -> None:
    cast(world)
    right = world.client().post("/sign-in", {"login": "locked", "password": PASSWORD})
    wrong = world.client().post("/sign-in", {"login": "locked", "password": "a wrong pass phrase"})
    nobody = world.client().post("/sign-in", {"login": "nobody", "password": PASSWORD})
    assert face(right, "locked") == face(wrong, "locked") == face(nobody, "nobody")
    assert "retry-after" not in right.headers


@pytest.mark.parametrize("path", ["/password/forgot", "/unlock"])
def test_atk_16_asking_for_a_link_has_one_face(world: AccountSite, path: str) -> None:
    names = cast(world)
    names += [f"{name}@mail.example" for name in names]
    faces = {name: face(world.client().post(path, {"name": name}), name) for name in names}
    assert len({repr(each) for each in faces.values()}) == 1, faces
    assert faces["known1"][0] == 200


def test_atk_16_pwd_04_registering_has_one_face(world: AccountSite) -> None:
    cast(world)
    addresses = ["known1@mail.example", "disab1@mail.example", "newone@mail.example"]
    faces = {each: face(world.client().post("/register", {"email": each}), each) for each in addresses}
    assert len({repr(each) for each in faces.values()}) == 1, faces


def test_a_dead_link_has_one_face_whatever_it_was(world: AccountSite) -> None:
    world.person("robin")
    client = world.client()
    client.post("/password/forgot", {"name": "robin"})
    used = world.token("robin@mail.example")
    client.post("/password/link", {"token": used})
    never = used[:-4] + "AAAA"
    faces = [face(world.client().post("/password/link", {"token": each})) for each in (used, never, "x")]
    assert faces[0] == faces[1] == faces[2]


# -- REC-07, REC-08: where to go afterwards ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "next",
    [
        "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "https:evil.example",
        "http:///evil.example", "https://portal.example@evil.example/", "/\t/evil.example", "/\n/evil.example",
        "%09//evil.example", "javascript:alert(1)", "/%0d%0aSet-Cookie:x=1", "/\x00", "/a b",
    ],
)  # fmt: skip
def test_rec_07_a_forced_change_leads_to_no_other_site(world: AccountSite, next: str) -> None:
    account = world.person("robin")
    world.portal.password_change.require(account, "breached", actor=SYSTEM, source=_SOURCE)
    client = world.client()
    client.post("/sign-in", {"login": "robin", "password": PASSWORD})
    third = client.post("/sign-in/code", {"code": world.site.code("robin")})
    assert third.headers["location"] == "/sign-in/new-password"
    answer = client.post("/sign-in/new-password", {"password": NEW, "next": next})
    if answer.status_code == 400:
        return  # NUL: no form has one
    assert answer.status_code == 303
    assert answer.headers["location"] in ("/", "/%0d%0aSet-Cookie:x=1")


def test_rec_08_no_redirect_follows_a_referer(world: AccountSite) -> None:
    world.person("robin")
    evil = {"referer": "https://evil.example/phish"}
    client = world.client()
    for method, path in (
        ("GET", "/account/password"),
        ("GET", "/sign-in/new-password"),
        ("GET", "/password/new"),
    ):
        answer = client.request(method, path, headers=evil)
        assert "evil.example" not in answer.text + repr(answer.headers.raw)
    signed_in = world.signed_in("robin")
    moved = signed_in.post("/account/password", {"current": PASSWORD, "password": NEW}, headers=evil)
    assert moved.headers["location"] == "/account/password?changed=yes"


# -- sizes and shapes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/sign-in", "/password/new", "/password/strength", "/account/password"])
def test_atk_30_ten_megabytes_are_refused_before_they_are_read(world: AccountSite, path: str) -> None:
    world.person("robin")
    client = world.signed_in("robin")

    big = client.request(
        "POST",
        path,
        content=b"",
        headers={
            "content-type": "application/x-www-form-urlencoded",
            "content-length": str(10_000_000),
            "cookie": "; ".join(f"{k}={v}" for k, v in client.cookies.items()),
        },
        same_site=True,
    )
    assert big.status_code == 413


@pytest.mark.parametrize(
    "path", ["/sign-in", "/password/new", "/password/strength", "/account/password", "/not-me"]
)
def test_atk_30_a_body_that_declares_no_length_is_read_up_to_the_limit_and_no_further(
    world: AccountSite, path: str
) -> None:
    world.person("robin")
    client = world.signed_in("robin")
    read = 0

    def body() -> Iterator[bytes]:
        nonlocal read
        for piece in (b"password=", *[b"a" * 8192] * 1300):  # ten megabytes
            read += len(piece)
            yield piece

    kind = "application/json" if path == "/password/strength" else "application/x-www-form-urlencoded"
    headers = {"content-type": kind, "transfer-encoding": "chunked"}
    big = client.request("POST", path, content=body(), headers=headers, same_site=True)
    assert big.status_code == 413
    assert 65_536 < read <= 65_536 + 8192
    assert client.get("/whoami").status_code == 200


@pytest.mark.parametrize("size", [1025, 40_000])
def test_pwd_05_a_long_password_is_a_plain_refusal_on_every_form(world: AccountSite, size: int) -> None:
    world.person("robin")
    client = world.signed_in("robin")
    long = "a" * size
    for answer in (
        client.post("/account/password", {"current": PASSWORD, "password": long}),
        client.post("/account/password", {"current": long, "password": NEW}),
        landed(world, "robin@mail.example").post("/password/new", {"password": long}),
    ):
        assert answer.status_code == 400
        assert long not in answer.text
    assert client.get("/whoami").status_code == 200


# -- LOC over HTTP ----------------------------------------------------------------------------------------------------


def test_loc_03_no_header_makes_another_visitor_of_one(world: AccountSite) -> None:
    statuses = []
    for number in range(60):
        forged = {
            "x-forwarded-for": f"203.0.113.{number}, 10.0.0.{number}",
            "x-real-ip": f"203.0.113.{number}",
        }
        statuses.append(
            world.client().post("/password/forgot", {"name": f"name{number}"}, headers=forged).status_code
        )
    assert 429 in statuses
    assert statuses[statuses.index(429) :] == [429] * (60 - statuses.index(429))


def test_loc_13_nobodys_mailbox_is_filled(world: AccountSite) -> None:
    world.person("robin")
    sent = 0
    for _ in range(30):
        for name in ("robin", "robin@mail.example", "ROBIN@mail.example"):
            world.client().post("/password/forgot", {"name": name})
            world.client().post("/unlock", {"name": name})
        world.deliver()
        sent = len(world.mail.to("robin@mail.example"))
        world.site.clock.advance(timedelta(minutes=1))
    assert 1 <= sent <= 12


# -- the meter --------------------------------------------------------------------------------------------------------


def ask_meter(client: Browser, value: object, **headers: str) -> Answer:
    return client.request(
        "POST",
        "/password/strength",
        content=value if isinstance(value, bytes) else json.dumps(value).encode(),
        headers={"content-type": "application/json", **headers},
        same_site=True,
    )


def test_the_meter_is_the_server(world: AccountSite) -> None:
    weak = page(ask_meter(world.client(), {"password": "password"}))
    assert weak["score"] <= 1
    assert weak["problems"]
    strong = page(ask_meter(world.client(), {"password": NEW}))
    assert (strong["score"], strong["problems"]) == (4, [])
    spanish = page(ask_meter(world.client(), {"password": "password"}, **{"accept-language": "es"}))
    assert spanish["words"] != weak["words"]
    assert spanish["problems"] != weak["problems"]


def test_the_meter_is_kept_by_nobody(world: AccountSite) -> None:
    before = world.site.events.names
    answer = ask_meter(world.client(), {"password": NEW})
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers.getlist("set-cookie") == []
    assert NEW not in answer.text
    assert world.site.events.names == before


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b'"x"', b"{", b'{"password": 5}', b'{"password": "a", "password": "b"}', b"[" * 5000,
     b'{"password": null}', b"\xff"],
)  # fmt: skip
def test_a_malformed_question_of_the_meter_is_refused(world: AccountSite, body: bytes) -> None:
    assert ask_meter(world.client(), body).status_code == 400
    assert ask_meter(world.client(), b"password=x", **{"content-type": "text/plain"}).status_code == 400


def test_the_meter_has_a_budget_that_is_its_own(world: AccountSite) -> None:
    world.person("robin")
    client = world.client()
    answers = [ask_meter(client, {"password": f"{NEW}{n}"}) for n in range(1500)]
    over = [answer for answer in answers if answer.status_code == 429]
    assert over
    assert over[0].headers["retry-after"]
    assert page(over[0])["score"] is None
    world.site.sign_in(client, "robin")  # a busy meter locks nobody out


def test_the_meters_script_comes_from_the_package(world: AccountSite) -> None:
    answer = world.client().get("/portalsec/meter.js")
    assert answer.content == files("portalsec").joinpath("browser", "meter.js").read_bytes()
    assert "javascript" in answer.headers["content-type"]
    assert answer.headers["cache-control"] == "no-cache"


# -- signed in --------------------------------------------------------------------------------------------------------

CLOSED = [
    "/account/password", "/account/email", "/account/messages", "/account/activity", "/account/devices",
    "/account/secure", "/account/close", "/account/incident",
]  # fmt: skip


@pytest.mark.parametrize("path", CLOSED)
def test_no_session_no_page(world: AccountSite, path: str) -> None:
    assert world.client().get(path).status_code == 401
    if path != "/account/messages":
        assert world.client().post(path, {"current": PASSWORD}).status_code in (401, 405)


def test_sharing_one_change_of_password_ends_the_others(world: AccountSite) -> None:
    world.person("robin")
    here, there = world.signed_in("robin"), world.signed_in("robin")
    old = here.cookies[SESSION_COOKIE]
    wrong = here.post("/account/password", {"current": "not my password", "password": NEW})
    assert (wrong.status_code, page(wrong)["errors"]) == (400, ["wrong_current"])
    empty = here.post("/account/password", {"current": "", "password": ""})
    assert page(empty)["errors"] == ["missing_current", "missing_password"]
    done = here.post("/account/password", {"current": PASSWORD, "password": NEW})
    assert done.headers["location"] == "/account/password?changed=yes"
    assert page(here.get(done.headers["location"]))["changed"] is True
    assert here.cookies[SESSION_COOKIE] != old
    assert here.get("/whoami").status_code == 200
    assert there.get("/whoami").status_code == 401
    here.cookies[SESSION_COOKIE] = old
    assert here.get("/whoami").status_code == 401


def test_an_address_is_added_confirmed_and_removed(world: AccountSite) -> None:
    world.person("robin")
    client = world.signed_in("robin")
    assert page(client.post("/account/email", {"do": "add", "email": "", "current": ""}))["errors"] == [
        "missing_email", "missing_current",
    ]  # fmt: skip
    bad = client.post("/account/email", {"do": "add", "email": "a@b@c", "current": PASSWORD})
    assert (bad.status_code, page(bad)["errors"]) == (400, ["email_refused"])
    added = client.post("/account/email", {"do": "add", "email": "second@mail.example", "current": PASSWORD})
    assert added.headers["location"] == "/account/email?done=sent"
    path, _, token = world.link("second@mail.example").partition("?token=")
    assert path == "/account/email/link"
    assert page(client.get(f"{path}?token={token}"))["page"] == "email_link"
    assert page(client.post(path, {"token": token}))["page"] == "email_confirmed"
    assert client.get("/whoami").status_code == 200  # this session went on under a new id
    contacts = world.portal.contacts.of_account(client.get("/whoami").text)
    assert [each.verified_at is not None for each in contacts] == [True, True]
    gone = client.post("/account/email", {"do": "remove", "contact": contacts[0].id, "current": PASSWORD})
    assert gone.headers["location"] == "/account/email?done=removed"
    last = client.post("/account/email", {"do": "remove", "contact": contacts[1].id, "current": PASSWORD})
    assert page(last)["errors"] == ["address_kept"]


def test_one_cannot_touch_anothers_address_device_or_notice(world: AccountSite) -> None:
    other = world.person("other1")
    world.signed_in("other1")
    world.person("robin")
    client = world.signed_in("robin")
    contact = world.portal.contacts.of_account(other)[0]
    device = world.portal.devices.of_account(other)[0]
    notice = world.portal.notices.of_account(other)[0]
    theirs = client.post("/account/email", {"do": "remove", "contact": contact.id, "current": PASSWORD})
    nobodys = client.post("/account/email", {"do": "remove", "contact": "no-such-one", "current": PASSWORD})
    assert page(theirs)["errors"] == page(nobodys)["errors"] == ["address_kept"]
    assert (theirs.status_code, theirs.text) == (nobodys.status_code, nobodys.text)
    client.post("/account/devices", {"device": device.id})
    assert client.post("/account/not-me", {"notice": notice.id, "current": PASSWORD}).status_code == 400
    assert list(world.portal.contacts.of_account(other)) == [contact]
    assert list(world.portal.devices.of_account(other)) == [device]
    assert list(world.portal.notices.of_account(other)) == [notice]
    assert world.portal.incidents.of_account(other) == ()
    assert page(client.get(f"/account/email?remove={contact.id}"))["removing"] is None


def test_a_second_factor_is_added_in_a_session() -> None:
    with account_site(sign_in=SignInPolicy(second_factor="optional")) as world:
        account = world.portal.accounts.create(login="robin", password=PASSWORD).id
        here, there = world.client(), world.client()
        for browser in (here, there):
            assert browser.post("/sign-in", {"login": "robin", "password": PASSWORD}).status_code == 303
        assert page(here.get("/account/factor")) == {"page": "factor", "errors": [], "factors": []}
        assert page(here.post("/account/factor"))["errors"] == ["missing_current"]
        wrong = here.post("/account/factor", {"current": NEW})
        assert (wrong.status_code, page(wrong)["errors"]) == (400, ["wrong_current"])
        assert page(here.post("/account/factor/confirm", {"code": "123456"}))["errors"] == ["begin_again"]
        shown = page(here.post("/account/factor", {"current": PASSWORD}))
        assert shown["page"] == "factor_code" and shown["qr"].startswith("<svg")
        key = shown["key"].replace(" ", "")
        code = code_of(key, world.site.clock())
        other = "000000" if code != "000000" else "111111"
        mistyped = here.post("/account/factor/confirm", {"code": other})
        assert (mistyped.status_code, page(mistyped)["errors"]) == (400, ["wrong_code"])
        assert (page(mistyped)["qr"], page(mistyped)["key"]) == ("", "")
        assert page(there.post("/account/factor/confirm", {"code": code}))["errors"] == ["begin_again"]
        done = here.post("/account/factor/confirm", {"code": code})
        assert done.headers["location"] == "/account/secure?done=factor"
        walk = page(here.get(done.headers["location"]))
        assert (walk["factor_added"], walk["factors"]) == (True, ["Authenticator app"])
        assert there.get("/whoami").status_code == 401
        assert world.portal.totp.enrolled(account)
        again = here.post("/account/factor", {"current": PASSWORD})
        assert (page(again)["errors"], page(again)["factors"]) == (["factor_there"], ["Authenticator app"])
        assert key not in repr(vars(world.portal.stores.totp)) + here.get("/account/factor").text


def test_who_disavows_sees_which_addresses_are_gone_and_which_are_left(world: AccountSite) -> None:
    account = world.person("robin")
    (mine,) = world.portal.contacts.of_account(account)
    world.site.clock.advance(timedelta(days=30))
    now = world.site.clock()
    for which, verified in (("verified", now), ("typed", None)):
        world.portal.stores.contacts.add(
            Contact(
                id=f"{which}-lately",
                account_id=account,
                address=f"{which}@evil.example",
                verified_at=verified,
                created_at=now,
            )
        )
    client = world.signed_in("robin")
    notice = world.portal.notices.of_account(account)[0]
    shown = page(client.post("/account/not-me", {"notice": notice.id, "current": PASSWORD}))
    assert (shown["page"], shown["choose"]) == ("disavowed", True)
    assert all(name in "".join(shown["removed"]) for name in ("verified-lately", "typed-lately"))
    assert len(shown["kept"]) == 1 and mine.id in shown["kept"][0]
    assert page(client.get("/password/new"))["page"] == "new_password"


def test_devices_are_listed_and_forgotten(world: AccountSite) -> None:
    account = world.person("robin")
    client = world.client()
    client.post("/sign-in", {"login": "robin", "password": PASSWORD})
    line = client.post("/sign-in/code", {"code": world.site.code("robin")}).set_cookies()[DEVICE_COOKIE]
    world.site.next_step()
    assert line.endswith("; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=34560000")
    assert "here=True" in client.get("/account/devices").text
    device = world.portal.devices.of_account(account)[0]
    assert client.post("/account/devices", {"device": device.id}).headers["location"].endswith("removed=yes")
    assert world.portal.devices.of_account(account) == ()
    world.signed_in("robin")
    client.post("/account/devices", {"device": "all"})
    assert world.portal.devices.of_account(account) == ()


def test_a_shared_computer_is_not_remembered(world: AccountSite) -> None:
    account = world.person("robin")
    client = world.client()
    client.post("/sign-in", {"login": "robin", "password": PASSWORD, "shared": "yes"})
    client.post("/sign-in/code", {"code": world.site.code("robin")})
    assert SESSION_COOKIE in client.cookies
    assert DEVICE_COOKIE not in client.cookies
    assert world.portal.devices.of_account(account) == ()


def test_signing_out_everywhere_else_keeps_this_browser(world: AccountSite) -> None:
    account = world.person("robin")
    here, there = world.signed_in("robin"), world.signed_in("robin")
    done = here.post("/account/secure")
    assert done.headers["location"] == "/account/secure?done=signed-out"
    assert page(here.get(done.headers["location"]))["signed_out"] is True
    assert there.get("/whoami").status_code == 401
    assert world.portal.devices.of_account(account) == ()


def test_closing_asks_for_the_password_and_ends_everything(world: AccountSite) -> None:
    world.person("robin")
    here, there = world.signed_in("robin"), world.signed_in("robin")
    assert page(here.post("/account/close", {"current": "wrong one here"}))["errors"] == ["wrong_current"]
    closed = here.post("/account/close", {"current": PASSWORD})
    assert page(closed)["page"] == "closed"
    assert closed.headers["clear-site-data"]
    assert SESSION_COOKIE not in here.cookies
    assert there.get("/whoami").status_code == 401
    assert world.client().post("/sign-in", {"login": "robin", "password": PASSWORD}).status_code == 401


# -- "this wasn't me" --------------------------------------------------------------------------------------------------


def test_from_the_mail_of_a_new_device_to_an_incident(world: AccountSite) -> None:
    account = world.person("robin")
    thief = world.signed_in("robin")
    link = world.link("robin@mail.example")
    assert link.startswith("/not-me?token=")
    owner = world.client()
    looked = owner.get(link)
    assert page(looked)["page"] == "not_me"
    assert thief.get("/whoami").status_code == 200  # looking changed nothing
    token = link.partition("token=")[2]
    pressed = owner.post("/not-me", {"token": token})
    assert page(pressed)["page"] == "disavowed"
    assert thief.get("/whoami").status_code == 401
    assert world.client().post("/sign-in", {"login": "robin", "password": PASSWORD}).status_code == 401
    assert page(owner.get("/password/new"))["page"] == "new_password"
    assert owner.post("/password/new", {"password": NEW}).headers["location"] == "/sign-in/code"
    world.site.next_step()
    assert owner.post("/sign-in/code", {"code": world.site.code("robin")}).status_code == 303
    world.site.next_step()
    incident = world.portal.incidents.of_account(account)[0]
    shown = page(owner.get(f"/account/incident?id={incident.id}"))
    assert any(Event.AUTH_LOGIN in line for line in shown["lines"])
    assert page(owner.post("/not-me", {"token": token}))["page"] == "link_dead"
    world.person("other1")
    assert world.signed_in("other1").get(f"/account/incident?id={incident.id}").status_code == 403


def test_this_wasnt_me_from_the_signed_in_page(world: AccountSite) -> None:
    account = world.person("robin")
    owner, thief = world.signed_in("robin"), world.signed_in("robin")
    notice = world.portal.notices.of_account(account)[0]
    asked = page(owner.get(f"/account/activity?notice={notice.id}"))
    assert notice.id in asked["disavowing"] and asked["errors"] == []
    assert page(owner.get("/account/activity?notice=no-such-one"))["disavowing"] is None
    for typed, said in (("", "missing_current"), ("wrong one here", "wrong_current")):
        again = owner.post("/account/not-me", {"notice": notice.id, "current": typed})
        assert (again.status_code, page(again)["errors"]) == (400, [said])
        assert (page(again)["page"], notice.id in page(again)["disavowing"]) == ("activity", True)
    assert thief.get("/whoami").status_code == 200
    assert owner.get("/password/new").status_code != 200  # nothing that chooses a password
    done = owner.post("/account/not-me", {"notice": notice.id, "current": PASSWORD})
    assert page(done)["page"] == "disavowed"
    assert owner.get("/whoami").status_code == 401
    assert thief.get("/whoami").status_code == 401
    assert owner.post("/password/new", {"password": NEW}).status_code == 303


def test_mails_stand_on_the_page_of_messages_under_their_code(world: AccountSite) -> None:
    world.person("robin")
    client = world.signed_in("robin")
    world.deliver()
    code = re.search(r"\[([0-9A-Z]{4}-[0-9A-Z]{4})\]", world.mail[-1].subject)
    assert code
    assert code[1] in client.get("/account/messages").text
    assert code[1] in client.get("/account/activity").text
    assert page(client.get("/account/messages?before=1"))["notices"] == []


# -- registration -------------------------------------------------------------------------------------------------------


def test_registration_from_the_address_to_the_second_factor(world: AccountSite) -> None:
    client = world.client()
    assert page(client.post("/register", {"email": "new@mail.example"}))["page"] == "register_sent"
    token = world.token("new@mail.example")
    assert client.post("/register/link", {"token": token}).headers["location"] == "/register/new"
    world.person("taken1")
    taken = client.post("/register/new", {"login": "taken1", "password": NEW})
    assert page(taken)["errors"] == ["login_taken"]
    assert page(client.post("/register/new", {"login": "", "password": ""}))["errors"] == [
        "missing_login", "missing_password",
    ]  # fmt: skip
    made = client.post("/register/new", {"login": "newcomer", "password": NEW})
    assert made.headers["location"] == "/sign-in/set-up?or=passkey_enrolment"


def test_a_portal_that_is_not_open_has_no_registration_at_all() -> None:
    from portalsec.auth.links import RecoveryPolicy

    with account_site(recovery=RecoveryPolicy()) as closed:
        for path in ("/register", "/register/link", "/register/new"):
            assert closed.client().get(path).status_code == 404
            assert closed.client().post(path, {"email": "new@mail.example"}).status_code in (404, 405)


def test_a_resting_account_wakes_up_by_mail(world: AccountSite) -> None:
    cast(world)
    client = world.client()
    assert client.post("/sign-in", {"login": "locked", "password": PASSWORD}).status_code == 401
    client.post("/unlock", {"name": "locked"})
    token = world.token("locked@mail.example")
    assert page(client.post("/unlock/link", {"token": token}))["page"] == "unlocked"
    assert client.post("/sign-in", {"login": "locked", "password": PASSWORD}).status_code == 303


def test_an_application_in_one_language_gets_sentences_in_it(world: AccountSite) -> None:
    routes = AccountPages(world.portal, languages=("en",))
    app = FastAPI()
    app.include_router(account_router(Portalsec(world.portal), Views(), operations=routes))
    loop = Loop()
    try:
        browser = Browser(app, loop, base=BASE)
        answer = ask_meter(browser, {"password": "password"}, **{"accept-language": "es"})
    finally:
        loop.close()
    assert (answer.status_code, "contraseña" in answer.text) == (200, False)
    with pytest.raises(ConfigurationError, match="languages"):
        AccountPages(world.portal, languages=("tlh",))
    with pytest.raises(ConfigurationError, match="languages"):
        AccountPages(world.portal, languages=())
