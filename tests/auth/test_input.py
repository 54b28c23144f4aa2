from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec._encoding import new_token
from portalsec.auth._input import canonical_login, password_text, token_text
from portalsec.errors import Denied, Reason


@pytest.mark.parametrize("value", [None, 7, b"bytes", ["a"], {"a": 1}, "", "x" * 1025, "é" * 513, "a\ud800b"])
def test_a_password_that_is_not_bounded_text_is_malformed(value: object) -> None:
    with pytest.raises(Denied) as refusal:
        password_text(value)
    assert refusal.value.reason is Reason.MALFORMED


def test_a_password_of_1024_bytes_is_accepted() -> None:
    assert password_text("é" * 512) == "é" * 512


@given(
    st.text(min_size=1, max_size=100).filter(lambda text: not any(0xD800 <= ord(c) < 0xE000 for c in text))
)
def test_composed_and_decomposed_spellings_are_one_password(text: str) -> None:
    assert password_text(unicodedata.normalize("NFC", text)) == password_text(
        unicodedata.normalize("NFD", text)
    )


def test_compatibility_characters_stay_different() -> None:
    # NFC, not NFKC: full-width letters are other characters than the ones they resemble.
    assert password_text("ｐａｓｓ") != password_text("pass")


@pytest.mark.parametrize("spelling", ["Admin", "admin ", "  ADMIN\t", "ａｄｍｉｎ", "ＡＤＭＩＮ"])
def test_spellings_of_one_login_come_out_equal(spelling: str) -> None:
    assert canonical_login(spelling) == "admin"


def test_a_mail_address_is_folded() -> None:
    assert canonical_login("Robin.Ward@Example.ORG") == "robin.ward@example.org"


@pytest.mark.parametrize(
    "value",
    [
        None,
        5,
        b"admin",
        ["admin"],
        "",
        "  ",
        "ab",
        "x" * 255,
        "ﷺ" * 30,
        "ad\nmin",
        "ad\x00min",
        "ad\u200bmin",
        "ad\u202emin",
        "ad\ud800min",
        "\u0301\u0302\u0303",
        "\u20dd\u0301\u20e3",
        "---",
        "...@...",
    ],
)
def test_a_login_that_is_short_long_or_invisible_is_malformed(value: object) -> None:
    with pytest.raises(Denied) as refusal:
        canonical_login(value)
    assert refusal.value.reason is Reason.MALFORMED


@given(st.text(max_size=60))
def test_canonical_login_is_idempotent_and_bounded(text: str) -> None:
    try:
        once = canonical_login(text)
    except Denied:
        return
    assert canonical_login(once) == once
    assert 3 <= len(once) <= 254
    assert once == once.strip() == once.casefold() == unicodedata.normalize("NFKC", once)


@given(st.text(min_size=3, max_size=40))
def test_case_and_form_do_not_make_a_second_login(text: str) -> None:
    try:
        once = canonical_login(text)
    except Denied:
        return
    for other in (text.casefold(), unicodedata.normalize("NFD", text), f" {text} "):
        assert canonical_login(other) == once


def test_only_the_shape_of_our_tokens_passes() -> None:
    token = new_token()
    assert token_text(token) == token
    for value in (
        None,
        1,
        b"x" * 43,
        [token],
        token[:-1],
        token + "A",
        token + "\n",
        "é" + token[1:],
        "٣" + token[1:],
    ):
        assert token_text(value) is None


def test_atk_40_no_refusal_has_the_typed_password_in_its_context() -> None:
    with pytest.raises(Denied) as refusal:
        password_text("my secret passwd\ud800")
    assert refusal.value.__context__ is None and refusal.value.__cause__ is None
