from __future__ import annotations

import string
from datetime import timedelta
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec import web
from portalsec.errors import ConfigurationError, Denied, Reason

BASE = "https://portal.example"


# -- cookies ------------------------------------------------------------------------------------------------------


def test_a_cookie_is_found_among_others() -> None:
    header = f"a=1; {web.SESSION_COOKIE}=tok; b=2"
    assert web.cookie_value(header, web.SESSION_COOKIE) == "tok"
    assert web.cookie_value(header, web.PENDING_COOKIE) is None
    assert web.cookie_value(None, web.SESSION_COOKIE) is None


def test_atk_37_a_tossed_second_cookie_of_the_same_name_is_refused() -> None:
    with pytest.raises(Denied) as caught:
        web.cookie_value(f"{web.SESSION_COOKIE}=evil; {web.SESSION_COOKIE}=mine", web.SESSION_COOKIE)
    assert caught.value.reason is Reason.SESSION_DUPLICATE_COOKIE


# A browser lets a sibling sub-domain set these (they do not begin with "__Host-"), and sends them along. Readers that
# strip Unicode's white space, or ignore case, take them for ours.
SHADOWS = {
    "no-break space": "\xa0{}",
    "next line": "\x85{}",
    "behind the name": "{}\xa0",
    "information separator": "\x1f{}",
    "form feed": "\x0c{}",
    "UTF-8 en quad, read as Latin-1": "\u2000{}".encode().decode("latin-1"),
    "UTF-8 no-break space, read as Latin-1": "\xa0{}".encode().decode("latin-1"),
    "UTF-8 byte order mark, read as Latin-1": "\ufeff{}".encode().decode("latin-1"),
    "already read as UTF-8": "\u2000{}",
    "undecodable byte, replaced": "\ufffd{}",
}


@pytest.mark.parametrize("shape", [*SHADOWS.values()], ids=[*SHADOWS])
@pytest.mark.parametrize("name", [web.SESSION_COOKIE, web.PENDING_COOKIE])
def test_atk_37_a_name_that_only_looks_like_ours_is_neither_used_nor_overlooked(
    name: str, shape: str
) -> None:
    shadow = shape.format(name)
    for header in (
        f"{shadow}=evil",
        f"{name}=mine; {shadow}=evil",
        f"{shadow}=evil; {name}=mine",
        f"a=1;\t{shadow}\t=evil",
    ):
        with pytest.raises(Denied) as caught:
            web.cookie_value(header, name)
        assert caught.value.reason is Reason.SESSION_DUPLICATE_COOKIE


@pytest.mark.parametrize("shadow", ["__host-portalsec", "__HOST-PORTALSEC", "__Host-PortalSec"])
def test_atk_37_a_name_in_another_case_is_a_duplicate(shadow: str) -> None:
    # Older browsers do not see the prefix in it, so anybody may have set it.
    for header in (f"{shadow}=evil", f"{web.SESSION_COOKIE}=mine; {shadow}=evil"):
        with pytest.raises(Denied) as caught:
            web.cookie_value(header, web.SESSION_COOKIE)
        assert caught.value.reason is Reason.SESSION_DUPLICATE_COOKIE


@pytest.mark.parametrize("header", [" {}=tok", "\t{} = tok \t", "a=1;{}=tok;", ";; {}=tok; é=1; {}x=2; {}"])
def test_white_space_of_http_around_a_cookie_is_none_of_it(header: str) -> None:
    assert web.cookie_value(header.replace("{}", web.SESSION_COOKIE), web.SESSION_COOKIE) == "tok"


def test_a_value_is_taken_as_it_came() -> None:
    assert web.cookie_value(f"{web.SESSION_COOKIE}=\xa0tok", web.SESSION_COOKIE) == "\xa0tok"
    assert web.cookie_value(f'{web.SESSION_COOKIE}="tok"', web.SESSION_COOKIE) == '"tok"'


pieces = st.sampled_from(
    [web.SESSION_COOKIE, web.SESSION_COOKIE.lower(), "=", ";", " ", "\t", "\xa0", "\u2000", "tok"]
)


@given(st.one_of(st.text(max_size=200), st.lists(pieces, max_size=12).map("".join)))
def test_no_cookie_header_raises_anything_but_denied(header: str) -> None:
    """And what is found stands in the header under exactly our name, which no other reader finds another value for."""
    try:
        found = web.cookie_value(header, web.SESSION_COOKIE)
    except Denied:
        assert web.SESSION_COOKIE.lower() in header.lower()
        return
    strict = [part.partition("=") for part in header.split(";")]
    ours = [
        value.strip(" \t") for name, sign, value in strict if sign and name.strip(" \t") == web.SESSION_COOKIE
    ]
    loose = [
        value for name, sign, value in strict if sign and name.strip().lower() == web.SESSION_COOKIE.lower()
    ]
    assert ours == ([] if found is None else [found])
    assert len(loose) == len(ours)


def test_ses_08_cookies_are_host_bound_secure_and_not_for_scripts() -> None:
    value = web.set_cookie(web.SESSION_COOKIE, "abc")
    name, _, rest = value.partition("=")
    assert name.startswith("__Host-")
    attributes = {part.strip().lower() for part in rest.split(";")[1:]}
    assert attributes == {"path=/", "secure", "httponly", "samesite=lax"}  # no Domain: the prefix demands it
    assert web.set_cookie("__Host-x", "a", max_age=timedelta(minutes=2)).endswith("Max-Age=120")
    assert "Max-Age=0" in web.clear_cookie(web.SESSION_COOKIE)


@pytest.mark.parametrize("value", ["", "a b", "a;b", "a\r\nSet-Cookie: x=y", 'a"b', "é", "a,b"])
def test_a_cookie_value_cannot_carry_a_second_header(value: str) -> None:
    with pytest.raises(ConfigurationError):
        web.set_cookie("__Host-x", value)


# -- same site ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "same-origin", "origin": "null"},
        {"origin": "https://portal.example"},
        {"origin": "https://PORTAL.example:443"},
        {"dpop": "a proof"},  # no browser: every one says one of the two
    ],
)
def test_the_portals_own_forms_pass(headers: dict[str, str]) -> None:
    web.check_same_site("POST", headers, base_url=BASE)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "cross-site", "origin": BASE},
        {"sec-fetch-site": "same-site", "origin": BASE},
        {"sec-fetch-site": "none"},
        {"origin": "null"},
        {"origin": "http://portal.example"},
        {"origin": "https://portal.example.evil"},
        {"origin": "https://evil-portal.example"},
        {"origin": "https://portal.example:8443"},
        {"origin": "https://sub.portal.example"},
        {"origin": "https://portal.example:notaport"},
        {"dpop": "a proof", "sec-fetch-site": "cross-site"},
        {"dpop": "a proof", "origin": "https://evil.example"},
        {"dpop": "a proof", "cookie": "a=b"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "post", "MADEUP"])
def test_atk_46_another_sites_request_is_refused(headers: dict[str, str], method: str) -> None:
    with pytest.raises(Denied) as caught:
        web.check_same_site(method, headers, base_url=BASE)
    assert caught.value.reason is Reason.CROSS_SITE


def test_reading_needs_no_origin() -> None:
    for method in ("GET", "HEAD", "OPTIONS"):
        web.check_same_site(method, {"sec-fetch-site": "cross-site"}, base_url=BASE)


# -- redirects ----------------------------------------------------------------------------------------------------

EVIL = [
    "\\\\evil.test", "///evil.test", "//evil.test", "/\\evil.test", "\\/evil.test", "https:evil.test",
    "https://evil.test", "http:///evil.test", "/\t/evil.test", "/\n/evil.test", "\t//evil.test", "/\r\n/evil",
    "user@evil.test", "javascript:alert(1)", "evil.test", "", " /x", "/x y", "/\u2028x", "/é",
    "/" + "a" * 3000, None, 7, b"/x", ["/x"],
]  # fmt: skip


@pytest.mark.parametrize("target", EVIL)
def test_rec_07_a_next_that_leaves_the_portal_is_not_followed(target: object) -> None:
    assert web.safe_next(target, default="/home") == "/home"


def test_a_plain_path_is_followed() -> None:
    assert web.safe_next("/record/1?tab=2#x") == "/record/1?tab=2#x"


@given(st.text(alphabet=string.printable + "éｅ\u2028", max_size=40))
def test_rec_07_whatever_is_followed_stays_on_the_origin(target: str) -> None:
    # What browsers do first (WHATWG URL): strip, drop tab and newline, read \ as /.
    seen = "".join(c for c in web.safe_next(target).strip() if c not in "\t\r\n").replace("\\", "/")
    assert urlsplit(urljoin(BASE, seen)).netloc == "portal.example"


# -- addresses ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "forwarded", "hops", "expected"),
    [
        ("203.0.113.9", "1.1.1.1", 0, "203.0.113.9"),  # no proxy declared: no header is believed
        ("10.0.0.1", "203.0.113.9", 1, "203.0.113.9"),
        (
            "10.0.0.1",
            "6.6.6.6, 203.0.113.9",
            1,
            "203.0.113.9",
        ),  # the left part is the visitor's own invention
        ("10.0.0.1", "6.6.6.6, 203.0.113.9, 10.0.0.2", 2, "203.0.113.9"),
        ("10.0.0.1", None, 1, None),
        ("10.0.0.1", "203.0.113.9", 2, None),
        ("10.0.0.1", "garbage", 1, None),
        ("10.0.0.1", "203.0.113.9:4711", 1, "203.0.113.9"),
        ("10.0.0.1", "[2001:db8::1]:4711", 1, "2001:db8::1"),
        ("::ffff:203.0.113.9", None, 0, "203.0.113.9"),
        ("2001:0DB8:0::1", None, 0, "2001:db8::1"),
        ("fe80::1%eth0", None, 0, "fe80::1"),
        (None, None, 0, None),
        ("testclient", None, 0, None),
    ],
)
def test_loc_03_only_declared_proxies_are_believed(
    peer: str | None, forwarded: str | None, hops: int, expected: str | None
) -> None:
    assert web.client_address(peer, forwarded, hops=hops) == expected


@given(
    st.one_of(st.none(), st.text(max_size=60)), st.one_of(st.none(), st.text(max_size=100)), st.integers(0, 5)
)
def test_no_address_header_raises(peer: str | None, forwarded: str | None, hops: int) -> None:
    web.client_address(peer, forwarded, hops=hops)


# -- answers ------------------------------------------------------------------------------------------------------


def test_every_sign_in_failure_has_one_status() -> None:
    failures = [
        Reason.UNKNOWN_ACCOUNT,
        Reason.WRONG_PASSWORD,
        Reason.ACCOUNT_DISABLED,
        Reason.WRONG_CODE,
        Reason.PASSKEY_REFUSED,
    ]
    failures += [Reason.PASSKEY_REFUSED, Reason.FACTOR_DISABLED]
    assert {web.status_of(Denied(reason)) for reason in failures} == {401}
    assert web.status_of(Denied(Reason.THROTTLED)) == 429
    assert web.status_of(Denied(Reason.NO_GRANT)) == 403
    assert all(400 <= web.status_of(Denied(reason)) < 500 for reason in Reason)


def test_retry_after_is_whole_seconds_rounded_up() -> None:
    assert web.retry_after_seconds(timedelta(milliseconds=1)) == "1"
    assert web.retry_after_seconds(timedelta(seconds=61, microseconds=1)) == "62"
    assert web.retry_after_seconds(timedelta(0)) == "1"
    assert web.retry_after_seconds(None) is None


def test_pages_are_not_kept_framed_or_scripted_from_elsewhere() -> None:
    headers = web.security_headers(https=True)
    assert headers["Cache-Control"] == "no-store"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "Strict-Transport-Security" in headers
    assert "Strict-Transport-Security" not in web.security_headers(https=False)
    assert '"cache"' in web.logout_headers()["Clear-Site-Data"]


@pytest.mark.parametrize(
    ("headers", "reads"),
    [
        ({}, False),
        ({"accept": "*/*"}, False),
        ({"accept": "text/html,application/xhtml+xml,*/*;q=0.8", "sec-fetch-mode": "navigate"}, False),
        ({"accept": "application/json", "sec-fetch-mode": "navigate"}, False),
        ({"accept": "text/html, application/json", "sec-fetch-mode": "cors"}, False),
        ({"accept": "application/problem+json"}, True),
        ({"accept": "*/*", "sec-fetch-mode": "cors"}, True),
        ({"content-type": "Application/JSON; charset=utf-8"}, True),
        ({"content-type": "application/x-www-form-urlencoded"}, False),
        ({"dpop": "x", "accept": "*/*"}, True),
    ],
)
def test_who_reads_json(headers: dict[str, str], reads: bool) -> None:
    assert web.wants_json(headers) is reads
