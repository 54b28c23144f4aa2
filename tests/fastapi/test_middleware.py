"""The layer around the application: address, origin, size, headers, and errors as pages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest
from starlette.datastructures import Headers
from starlette.responses import FileResponse, PlainTextResponse, StreamingResponse
from starlette.types import Message

from portalsec.errors import (
    AuditUnavailable,
    Denied,
    PortalsecError,
    Reason,
    StoreError,
    SubjectErased,
    Tampered,
)
from portalsec.events import Outcome
from portalsec.fastapi import refusal_of
from portalsec.web import security_headers
from tests.fastapi.asgi import FORM
from tests.fastapi.support import BASE, Site

HEADERS = security_headers(https=True)


def route(site: Site, path: str, result: Callable[[], Any], method: str = "GET") -> list[str]:
    """A route that does ``result``; the list grows by one for each time it was reached."""
    reached: list[str] = []

    async def handler() -> Any:
        reached.append(path)
        return result()

    site.app.add_api_route(path, handler, methods=[method], response_model=None)
    return reached


def raising(error: Exception) -> Callable[[], Any]:
    def result() -> Any:
        raise error

    return result


# -- headers ----------------------------------------------------------------------------------------------------


def test_every_answer_has_the_headers(site: Site) -> None:
    route(site, "/closed", raising(Denied(Reason.NO_GRANT)))
    route(site, "/down", raising(StoreError("down")))
    client = site.client()
    answers = [client.get(p) for p in ("/sign-in", "/nowhere", "/closed", "/down", "/whoami")]
    answers.append(client.post("/sign-in", {"login": "x"}, same_site=False))  # refused before the application
    answers.append(client.get("/sign-in", headers={"Host": "evil.example"}))
    assert [a.status_code for a in answers] == [200, 404, 403, 503, 401, 403, 307]
    for answer in answers:
        for name, value in HEADERS.items():
            assert answer.headers[name] == value, name


def test_only_static_files_may_be_kept(site: Site) -> None:
    route(
        site, "/static/portal.css", lambda: PlainTextResponse("css", headers={"Cache-Control": "max-age=9"})
    )
    route(
        site, "/record", lambda: PlainTextResponse("record", headers={"Cache-Control": "public, max-age=9"})
    )
    client = site.client()
    assert client.get("/static/portal.css").headers["cache-control"] == "no-cache"
    assert client.get("/record").headers["cache-control"] == "no-store"


# -- host -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8000", "evil.example", "portal.example.evil", "portal.example:8443", ""]
)
def test_another_host_is_sent_to_the_portals_own(site: Site, host: str) -> None:
    answer = site.client().get("/sign-in?next=/a%26b", headers={"Host": host})
    assert answer.status_code == 307
    assert answer.headers["location"] == f"{BASE}/sign-in?next=/a%26b"


@pytest.mark.parametrize("path", ["//evil.example/x", "/\\evil.example", "/%2F%2Fevil.example"])
def test_the_redirect_never_leaves_the_portal(site: Site, path: str) -> None:
    answer = site.client().get(path, headers={"Host": "127.0.0.1"})
    assert answer.headers["location"].startswith(f"{BASE}/")


@pytest.mark.parametrize(
    "target", [b"@evil.example/", b".evil.example/", b"evil.example", b"*", b":80@evil.example/", b""]
)
@pytest.mark.parametrize("host", [b"127.0.0.1", b"portal.example"])
def test_rec_07_a_target_that_is_no_path_is_refused_and_never_part_of_a_redirect(
    site: Site, target: bytes, host: bytes
) -> None:
    # "https://portal.example" + "@evil.example/" is an address on evil.example
    answer = site.client().raw("GET", target, b"", [(b"host", host)])
    assert answer.status_code == 400
    assert "location" not in answer.headers


def test_a_server_that_gives_no_raw_path_is_redirected_too(site: Site) -> None:
    sent: list[Message] = []

    async def run() -> None:
        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": "/a b", "query_string": b"x=1", "raw_path": None}
        await site.app({**scope, "headers": [(b"host", b"evil.example")], "client": None}, receive, send)

    site.loop.call(run)
    assert (sent[0]["status"], Headers(raw=sent[0]["headers"])["location"]) == (307, f"{BASE}/a%20b?x=1")


def test_atk_34_a_post_for_another_host_is_refused(site: Site) -> None:
    reached = route(site, "/change", lambda: None, "POST")
    answer = site.client().post("/change", headers={"Host": "evil.example"})
    assert (answer.status_code, reached) == (421, [])


# -- HEAD -------------------------------------------------------------------------------------------------------


def test_head_is_answered_wherever_get_is_with_the_same_headers_and_no_body(site: Site) -> None:
    """RFC 9110 section 9.3.2."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"half"
        yield b"and half"

    route(site, "/stream", lambda: StreamingResponse(pieces()))
    route(site, "/file", lambda: FileResponse(__file__))
    route(site, "/closed", raising(Denied(Reason.NO_GRANT)))
    client = site.client()
    for path in ("/sign-in", "/session/left", "/whoami", "/stream", "/file", "/closed", "/nowhere"):
        get, head = client.get(path), client.request("HEAD", path)
        assert (head.status_code, head.content) == (get.status_code, b""), path
        assert get.content
        assert head.headers.get("content-type") == get.headers.get("content-type")
        assert head.headers.get("content-length") == get.headers.get("content-length") or path == "/closed"
        assert head.headers["content-security-policy"]
    assert client.request("HEAD", "/session/stay").status_code == 405


def test_head_shows_nothing_that_get_would_not_and_is_recorded(site: Site) -> None:
    doctor = site.account("doctor", "clinician")
    site.relations.facts.add(("care_team", doctor, "p1"))
    client = site.client()
    assert client.request("HEAD", "/records/p1").status_code == 401
    site.sign_in(client, "doctor")
    assert client.request("HEAD", "/records/p2").status_code == 403
    site.events.clear()
    assert client.request("HEAD", "/records/p1").status_code == 200
    assert site.events.names == ["record.read"]


# -- origin -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": BASE}, False),
        ({"Origin": BASE}, True),
        ({"Origin": "null"}, False),
        ({"Origin": "http://portal.example"}, False),
        ({"Origin": "https://portal.example.evil"}, False),
        ({}, False),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "BREW"])
def test_atk_46_a_change_that_another_site_caused_does_not_happen(
    site: Site, headers: dict[str, str], passes: bool, method: str
) -> None:
    reached = route(site, "/change", lambda: PlainTextResponse("done"), method)
    site.events.clear()
    answer = site.client().request(method, "/change", headers=headers)
    assert (answer.status_code, bool(reached)) == ((200, True) if passes else (403, False))
    if not passes:
        (event,) = site.events
        assert (event.name, event.outcome, event.reason) == (
            "system.request_refused",
            Outcome.DENIED,
            Reason.CROSS_SITE,
        )


def test_a_link_from_another_site_may_be_followed(site: Site) -> None:
    assert site.client().get("/sign-in", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


# -- size and shape ---------------------------------------------------------------------------------------------


def test_a_large_body_is_refused_before_a_byte_is_read(site: Site) -> None:
    headers = {"Content-Length": "10000000", "Content-Type": FORM}
    assert site.client().post("/sign-in", content=b"", headers=headers).status_code == 413


def test_a_body_that_grows_past_the_limit_is_cut_off(site: Site) -> None:
    chunks = [b"login=" + b"x" * 1024] * 100
    answer = site.client().post("/sign-in", content=chunks, headers={"Content-Type": FORM})
    assert answer.status_code == 413


def test_pwd_05_a_body_at_the_limit_is_read_and_its_password_refused_before_hashing(site: Site) -> None:
    rest = 64 * 1024 - len(b"login=x&password=")
    for more, status in ((0, 400), (1, 413)):
        content = b"login=x&password=" + b"y" * (rest + more)
        answer = site.client().post("/sign-in", content=content, headers={"Content-Type": FORM})
        assert answer.status_code == status


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "\xb2", "1, 1", ""])
def test_a_strange_content_length_is_refused(site: Site, length: str) -> None:
    assert site.client().post("/sign-in", headers={"Content-Length": length}).status_code == 400


def test_a_content_length_past_all_numbers_is_too_large(site: Site) -> None:
    assert site.client().post("/sign-in", headers={"Content-Length": "9" * 5000}).status_code == 413


@pytest.mark.parametrize("path", ["/%00", "/sign-in%0d%0aSet-Cookie:x", "/static/%00", "/%7f"])
def test_control_characters_in_a_path_are_refused(site: Site, path: str) -> None:
    assert site.client().get(path).status_code == 400


def test_a_websocket_is_closed(site: Site) -> None:
    sent: list[Message] = []

    async def run() -> None:
        async def receive() -> Message:
            return {"type": "websocket.connect"}

        async def send(message: Message) -> None:
            sent.append(message)

        await site.app({"type": "websocket", "path": "/sign-in", "headers": []}, receive, send)

    site.loop.call(run)
    assert sent == [{"type": "websocket.close", "code": 1008}]


# -- errors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "wait"),
    [
        (Denied(Reason.SESSION_MISSING), 401, None),
        (Denied(Reason.NO_GRANT), 403, None),
        (Denied(Reason.THROTTLED, retry_after=timedelta(seconds=89.5)), 429, "90"),
        (Denied(Reason.MALFORMED), 400, None),
        (StoreError("the database at /secret/path is down"), 503, "30"),
        (AuditUnavailable("no ack"), 503, "30"),
        (SubjectErased("gone"), 410, None),
    ],
)
def test_an_error_becomes_a_page_that_says_nothing(
    site: Site, error: PortalsecError, status: int, wait: str | None
) -> None:
    route(site, "/page", raising(error))
    answer = site.client().get("/page")
    assert answer.status_code == status
    assert answer.headers.get("retry-after") == wait
    assert answer.text.startswith(f"refused {status} ")
    assert "secret" not in answer.text
    assert refusal_of(error).status == status


@pytest.mark.parametrize("error", [Tampered("row 7 was changed"), ZeroDivisionError("division by zero")])
def test_an_error_of_our_own_is_a_calm_page_and_the_servers_to_log(site: Site, error: Exception) -> None:
    route(site, "/page", raising(error))
    answer = site.client(show_errors=False).get("/page")
    assert answer.status_code == 500
    assert answer.text.startswith("refused 500")
    assert answer.headers["cache-control"] == "no-store"
    with pytest.raises(type(error)):
        site.client().get("/page")


def test_an_error_after_the_answer_began_is_not_hidden(site: Site) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise StoreError("down")

    route(site, "/page", lambda: StreamingResponse(broken()))
    with pytest.raises(StoreError):
        site.client().get("/page")


def test_atk_41_no_page_while_the_log_cannot_acknowledge(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    doctor = site.account("doctor", "clinician")
    site.relations.facts.add(("care_team", doctor, "p1"))
    client = site.client()
    site.sign_in(client, "doctor")
    assert client.get("/records/p1").status_code == 200

    def broken(entries: object) -> None:
        raise StoreError("disk full")

    monkeypatch.setattr(site.portal.stores.audit, "append", broken)
    answer = client.get("/records/p1")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    assert "record p1" not in answer.text
    # Nor does anybody get in.
    other = site.client()
    first = other.post("/sign-in", {"login": "doctor", "password": "wrong"})
    assert first.status_code == 503
    assert "set-cookie" not in first.headers
    # A refusal before any account is known needs its record too.
    assert other.post("/sign-in", same_site=False).status_code == 503


def test_atk_12_a_late_answer_to_an_older_cookie_signs_nobody_out(site: Site) -> None:
    site.account("doctor")
    client = site.client()
    site.sign_in(client, "doctor")
    old = client.cookies["__Host-portalsec"]
    site.sign_in(client, "doctor")
    late = client.get("/whoami", headers={"Cookie": f"__Host-portalsec={old}"})
    assert late.status_code == 401
    assert late.set_cookies() == {}
    assert client.get("/whoami").status_code == 200


def test_the_page_has_the_number_that_the_log_has(site: Site) -> None:
    site.account("doctor", "clinician")
    client = site.client()
    site.sign_in(client, "doctor")
    answer = client.get("/records/p1")
    assert answer.text == f"refused 403 {site.events.last.source.request_id}"
