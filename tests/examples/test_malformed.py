"""Whatever is sent, nothing answers with a 500."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.examples.support import Demo, make_demo
from tests.fastapi.asgi import FORM, Browser

SESSION, PENDING = b"__Host-portalsec", b"__Host-portalsec-pending"

PATHS = [
    "/", "/sign-in", "/sign-in/code", "/sign-in/set-up", "/sign-in/set-up/confirm", "/sign-out", "/session/left",
    "/session/stay", "/activate", "/signed-out", "/record", "/record/seen", "/family", "/family/x", "/family/x/seen",
    "/patients", "/patients/x", "/desk", "/desk/search", "/desk/invite", "/audit", "/erase", "/erase/x", "/account",
    "/account/sign-out-everywhere", "/static/portal.css", "/static/", "/static/x",
]  # fmt: skip

segment = st.one_of(
    st.sampled_from(
        [b"..", b"%2e%2e", b"%00", b"%", b"%zz", b"%ff", b"%2F", b"\xff", b"a" * 3000, b"%0a", b";", b"//"]
    ),
    st.binary(max_size=12).map(lambda raw: raw.replace(b"?", b"").replace(b"#", b"")),
)
paths = st.builds(
    lambda start, rest: start.encode() + b"".join(b"/" + part for part in rest),
    st.sampled_from(PATHS),
    st.lists(segment, max_size=2),
)
queries = st.one_of(
    st.just(b""),
    st.binary(max_size=40),
    st.sampled_from([b"before=-1", b"before=%FF", b"next=//e", b"before=" + b"9" * 50, b"verify"]),
)
methods = st.sampled_from(
    ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "BREW", "get", "é", ""]
)
names = st.sampled_from(
    [b"cookie", b"content-type", b"content-length", b"user-agent", b"x-forwarded-for", b"accept", b"range",
     b"if-none-match", b"if-modified-since", b"transfer-encoding", b"origin", b"referer", b"expect", b"x-strange"]
)  # fmt: skip
values = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [SESSION + b"=", SESSION + b"=x; " + SESSION + b"=y", PENDING + b"=" + b"x" * 43, PENDING + b"=\xff", b";;;==",
         FORM.encode(), FORM.encode() + b"; charset=utf-7", b"multipart/form-data; boundary=", b"application/json",
         b"bytes=0-1,5-", b"bytes=-", b"W/\"", b"chunked", b"Thu, 99 Foo 2026", b"\"" * 50]
    ),
)  # fmt: skip
headers = st.lists(st.tuples(names, values), max_size=5)
fields = st.sampled_from(
    [b"login", b"password", b"code", b"next", b"invitation", b"q", b"patient", b"%FF", b""]
)
bodies = st.one_of(
    st.binary(max_size=80),
    st.lists(
        st.tuples(fields, st.one_of(st.binary(max_size=30), st.just(b"%F0%9F%92%A9" * 500), st.just(b"%00"))),
        max_size=6,
    ).map(lambda pairs: b"&".join(name + b"=" + value for name, value in pairs)),
    st.just(b"login=" + b"x" * 70_000),
)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with make_demo(
        tmp_path_factory.mktemp("portal") / "data",
        # Wide lanes: what is tried here is the shape of requests, not how many there are.
        PORTALSEC__THROTTLE__ADDRESS="99999/1s",
        PORTALSEC__THROTTLE__INVITATION="99999/1s",
    ) as made:
        yield made


@pytest.fixture(scope="module")
def browsers(demo: Demo) -> dict[str, Browser]:
    return {"nobody": demo.browser()} | {login: demo.as_(login) for login in demo.logins}


def check(
    browser: Browser, method: str, path: bytes, query: bytes, extra: list[tuple[bytes, bytes]], body: bytes
) -> None:
    sent = [(b"host", b"portal.example"), (b"sec-fetch-site", b"same-origin")]
    names = {name for name, _ in extra}
    if browser.cookies and b"cookie" not in names:
        sent.append((b"cookie", "; ".join(f"{k}={v}" for k, v in browser.cookies.items()).encode()))
    if b"content-type" not in names:
        sent.append((b"content-type", FORM.encode()))
    answer = browser.raw(method, path, query, sent + extra, body)
    assert answer.status_code != 500
    assert 200 <= answer.status_code < 600
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "Traceback" not in answer.content.decode("utf-8", "replace")


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    who=st.sampled_from(["nobody", "patient", "parent", "doctor", "desk", "privacy"]),
    method=methods,
    path=paths,
    query=queries,
    extra=headers,
    body=bodies,
)
@example(who="nobody", method="GET", path=b"/static/%00", query=b"", extra=[], body=b"")
@example(who="nobody", method="GET", path=b"/static/" + b"a" * 3000, query=b"", extra=[], body=b"")
@example(
    who="patient", method="GET", path=b"/record", query=b"", extra=[(b"cookie", SESSION + b"=\xff")], body=b""
)
@example(who="privacy", method="GET", path=b"/audit", query=b"before=" + b"9" * 30, extra=[], body=b"")
@example(who="privacy", method="GET", path=b"/audit", query=b"before=0", extra=[], body=b"")
@example(who="doctor", method="GET", path=b"/patients/%ff%fe", query=b"", extra=[], body=b"")
@example(who="doctor", method="GET", path=b"/patients/" + b"a" * 20_000, query=b"", extra=[], body=b"")
@example(
    who="desk", method="POST", path=b"/desk/invite", query=b"", extra=[], body=b"patient=" + b"a" * 20_000
)
@example(
    who="nobody",
    method="POST",
    path=b"/activate",
    query=b"",
    extra=[],
    body=b"invitation=%F0%9F%92%A9&login=%00&password=x",
)
@example(
    who="nobody",
    method="POST",
    path=b"/sign-in",
    query=b"",
    extra=[],
    body=b"login=%ED%A0%80&password=%ED%A0%80",
)
def test_no_request_is_answered_with_a_500(
    browsers: dict[str, Browser],
    who: str,
    method: str,
    path: bytes,
    query: bytes,
    extra: list[tuple[bytes, bytes]],
    body: bytes,
) -> None:
    check(browsers[who], method, path, query, extra, body)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    page=st.sampled_from(
        ["/sign-in", "/activate", "/sign-in/code", "/desk/search", "/desk/invite", "/erase", "/erase/x"]
    ),
    form=st.dictionaries(
        st.sampled_from(["login", "password", "code", "next", "invitation", "q", "patient", "confirm"]),
        st.text(max_size=80),
        max_size=5,
    ),
)
def test_any_text_in_any_field_is_a_page(
    browsers: dict[str, Browser], page: str, form: dict[str, str]
) -> None:
    # A form's text cannot hold half a character; what could is refused above as it stands on the wire.
    form = {name: text.encode("utf-8", "replace").decode() for name, text in form.items()}
    whose = {"/desk": "desk", "/eras": "privacy"}
    browser = browsers[whose.get(page[:5], "nobody")]
    answer = browser.post(page, form)
    assert answer.status_code != 500
