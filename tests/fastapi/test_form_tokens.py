"""Forms carry a value of their session (SP 800-63B-4, 5.1): put in by the adapter, asked for by it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse

from portalsec.errors import Reason
from portalsec.fastapi import read_form
from portalsec.fastapi.form_tokens import FORM_FIELD, FORM_HEADER, fits, form_token, held, with_tokens
from portalsec.web import LINK_COOKIE, PENDING_COOKIE, SESSION_COOKIE
from tests.fastapi.support import BASE, PASSWORD, Site, make_site

FORM = '<form action="/note" method="post"><button>Keep</button></form>'


async def show(_: Request) -> Response:
    return HTMLResponse(f"<main>{FORM}</main>")


async def streamed(_: Request) -> Response:
    return StreamingResponse(iter(["<main>", FORM, "</main>"]), media_type="text/html; charset=utf-8")


async def source(_: Request) -> Response:
    return PlainTextResponse(FORM)


async def keep(request: Request) -> Response:
    return PlainTextResponse(repr(dict(await read_form(request))))


@pytest.fixture
def site() -> Iterator[Site]:
    with make_site() as made:
        for path, function in (("/note", show), ("/streamed", streamed), ("/source", source)):
            made.app.add_route(path, function, methods=["GET"])
        made.app.add_route("/note", keep, methods=["POST"])
        made.account("ada")
        made.account("kim")
        yield made


def value_in(page: str) -> str | None:
    found = re.search(rf'method="post"><input type="hidden" name="{FORM_FIELD}" value="([\w-]+)">', page)
    return None if found is None else found[1]


def signed_in(site: Site, login: str = "ada") -> Any:
    browser = site.client()
    site.sign_in(browser, login)
    return browser


def test_a_page_s_forms_have_the_value_and_the_post_is_taken_with_it(site: Site) -> None:
    browser = signed_in(site)
    answer = browser.get("/note")
    value = value_in(answer.text)
    assert value is not None
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert browser.request("HEAD", "/note").headers["content-length"] == answer.headers["content-length"]
    assert value != value_in(browser.get("/note").text), "each page has another"
    assert value_in(browser.get("/streamed").text)
    assert FORM_FIELD not in browser.get("/source").text
    kept = browser.post("/note", {"text": "x", FORM_FIELD: value}, form_token=False)
    assert (kept.status_code, kept.text) == (200, "{'text': 'x'}")
    assert (
        browser.post("/note", {"text": "x"}, form_token=False, headers={FORM_HEADER: value}).status_code
        == 200
    )


def test_5_1_e_a_post_without_the_session_s_own_value_is_refused_and_recorded(site: Site) -> None:
    browser, other = signed_in(site), signed_in(site, "kim")
    theirs = value_in(other.get("/note").text)
    before = value_in(browser.get("/note").text)
    site.sign_in(browser, "ada")  # another session
    for value, why in (
        (None, "missing"),
        ("", "wrong"),
        (theirs, "wrong"),
        (before, "wrong"),
        ("é" * 64, "wrong"),
    ):
        site.events.clear()
        fields = {"text": "x"} | ({} if value is None else {FORM_FIELD: value})
        assert browser.post("/note", fields, form_token=False).status_code == 403
        (event,) = site.events
        assert (event.reason, event.details["form"]) == (Reason.CROSS_SITE, why)
    assert browser.post("/note", {"text": "x"}).status_code == 200


def test_who_holds_no_session_and_no_sign_in_needs_none(site: Site) -> None:
    browser = site.client()
    assert value_in(browser.get("/note").text) is None
    assert browser.post("/note", {"text": "x"}).status_code == 200


def test_5_1_e_the_steps_of_a_sign_in_are_tied_to_it(site: Site) -> None:
    browser = site.client()
    browser.post("/sign-in", {"login": "ada", "password": PASSWORD})
    assert PENDING_COOKIE in browser.cookies
    code = {"code": site.code("ada")}
    assert browser.post("/sign-in/code", code, form_token=False).status_code == 403
    # A form that begins anew is older than the cookie: the page of a sign-in that somebody came back to.
    again = browser.post("/sign-in", {"login": "ada", "password": PASSWORD}, form_token=False)
    assert again.status_code == 303
    assert browser.post("/sign-in/code", code).status_code == 303
    assert SESSION_COOKIE in browser.cookies


def test_a_form_that_is_older_than_the_session_s_id_is_shown_anew(site: Site) -> None:
    browser = signed_in(site)
    from_here = {"referer": f"{BASE}/note?page=2"}
    answer = browser.post("/note", {"text": "x"}, headers=from_here, form_token=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/note?page=2")
    for headers in (
        {"referer": f"{BASE}.evil.example/note"},
        {"referer": "https://evil.example/"},
        {"referer": f"{BASE}/note", "origin": BASE},  # a browser that does not say where it came from
    ):
        assert browser.post("/note", {"text": "x"}, headers=headers, form_token=False).status_code == 403
    answer = browser.post(
        "/note", {"text": "x"}, headers={"referer": f"{BASE}//evil.example"}, form_token=False
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_the_value_is_of_one_cookie_and_says_nothing_of_it() -> None:
    value = form_token("secret")
    assert len(value) == 64
    assert fits(value, ["other", "secret"])
    for wrong in (value[:-1], value[::-1], "", None, 7, "A" * 64, value + "="):
        assert not fits(wrong, ["secret"])
    assert not fits(value, ["other"])
    assert not fits(value, [])
    sent = f"{PENDING_COOKIE}=p; {LINK_COOKIE}=l; {SESSION_COOKIE}=s"
    assert held(sent) == ["s", "p", "l"]
    assert held(sent, [f"{SESSION_COOKIE}=new; Path=/", f"{PENDING_COOKIE}=; Max-Age=0"]) == ["new", "l"]
    assert held(f"{SESSION_COOKIE}=s; {SESSION_COOKIE}=t") == []
    assert held(None) == []


@pytest.mark.parametrize(
    ("tag", "put"),
    [
        ("<form method=post>", True),
        ("<FORM METHOD='POST' action='/a?b=>'>", True),
        ('<form action="next" data-x=">" method="post">', True),
        (f'<form method="post" action="{BASE}/note">', True),
        (f'<form method="post" action="{BASE}.evil.example/note">', False),
        ('<form method="get">', False),
        ("<form>", False),
        ("<formula method=post>", False),
        ('<form method="post" action="https://evil.example/">', False),
        ('<form method="post" action="//evil.example/">', False),
        ('<form method="post" action="/\\evil.example">', False),
        (r'<form method="post" action="\\evil.example">', False),
    ],
)
def test_forms_that_post_here_get_it_and_no_others(tag: str, put: bool) -> None:
    page = with_tokens(f"<p>é</p>{tag}".encode(), "secret", base_url=BASE).decode()
    assert page.startswith(f"<p>é</p>{tag}")
    assert (FORM_FIELD in page) is put
