"""Addresses in one spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.auth.dpop.uri import normalised


@pytest.mark.parametrize(
    ("uri", "same"),
    [
        # RFC 3986 sections 6.2.2.1, 6.2.2.2, 6.2.2.3 and 6.2.3
        ("HTTP://www.EXAMPLE.com/", "http://www.example.com/"),
        ("http://example.com/%7euser/%c3%a9", "http://example.com/~user/%C3%A9"),
        ("http://example.com/a/b/c/./../../g", "http://example.com/a/g"),
        ("http://example.com", "http://example.com/"),
        ("http://example.com:", "http://example.com/"),
        ("http://example.com:80/", "http://example.com/"),
        ("https://example.com:443/", "https://example.com/"),
        # RFC 3986 section 3.3: what a segment may hold as it is
        ("https://example.com/%21%24%26%27%28%29%2a%2B%2c%3b%3d%3A%40", "https://example.com/!$&'()*+,;=:@"),
        # what RFC 9449 section 4.3 leaves out
        ("https://example.com/a?b=/../c#d?e", "https://example.com/a"),
        ("https://example.com?b", "https://example.com/"),
        ("https://example.com/a#?b", "https://example.com/a"),
        # section 5.2.4, of absolute paths
        ("https://example.com/..", "https://example.com/"),
        ("https://example.com/a/..", "https://example.com/"),
        ("https://example.com/a/.", "https://example.com/a/"),
        ("https://example.com/a/%2E%2e/b", "https://example.com/b"),
        ("https://example.com/a//../b", "https://example.com/a/b"),
        ("https://example.com/..a/.b", "https://example.com/..a/.b"),
        ("https://[2001:DB8::1]:8443/", "https://[2001:db8::1]:8443/"),
        # not the same
        ("https://example.com:80/", "https://example.com:80/"),
        ("https://example.com/A", "https://example.com/A"),
        ("https://example.com/a%2fb", "https://example.com/a%2Fb"),
        ("https://example.com/%23%25%3F%5b%22", "https://example.com/%23%25%3F%5B%22"),
        ("https://example.com/a/", "https://example.com/a/"),
        ("https://example.com//", "https://example.com//"),
    ],
    ids=range(24),
)
def test_spellings_of_one_address_are_one(uri: str, same: str) -> None:
    assert normalised(uri) == same
    assert normalised(same) == same


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "/path",
        "//example.com/",
        "ftp://example.com/",
        "https:///path",
        "https:example.com",
        "https://user@example.com/",
        "https://user:x@example.com/",
        "https://example.com\\@evil.example/",
        "https://example.com/a b",
        "https://example.com/a\n",
        "https://example.com/\n",
        "https://example.com/%",
        "https://example.com/%2",
        "https://example.com/%zz",
        "https://ex\u00e4mple.com/",
        "https://\u212aexample.com/",
        "https://example.com:http/",
        "https://example.com/" + "a" * 2048,
    ],
    ids=range(19),
)
def test_what_is_no_address_is_none(uri: str) -> None:
    assert normalised(uri) is None


@given(st.text(st.sampled_from("ab./%23DeE=~?#:"), max_size=30))
def test_one_spelling_is_final(path: str) -> None:
    once = normalised(f"https://example.com/{path}")
    assert once is None or normalised(once) == once
