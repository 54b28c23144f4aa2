"""Encodings: injective or canonical, whatever goes in."""

from __future__ import annotations

import base64
import string
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec import _encoding
from portalsec._encoding import b64url, length_prefixed, new_token, unb64url, uuid7

ALPHABET = string.ascii_letters + string.digits + "-_"


@given(st.binary(max_size=100))
def test_base64url_comes_back(data: bytes) -> None:
    text = b64url(data)
    assert set(text) <= set(ALPHABET)
    assert text == base64.urlsafe_b64encode(data).decode().rstrip("=")
    assert unb64url(text) == data


@given(st.text(alphabet=ALPHABET, max_size=12))
def test_one_spelling_only_of_any_bytes(text: str) -> None:
    # Two texts for one token would let a used one in again under another spelling.
    try:
        data = unb64url(text)
    except ValueError:
        return
    assert b64url(data) == text


@given(st.text(max_size=12))
def test_any_text_is_read_or_refused_with_one_error(text: str) -> None:
    try:
        assert b64url(unb64url(text)) == text
    except ValueError as error:
        assert str(error) in ("not base64url", "not canonical base64url")


@pytest.mark.parametrize(
    "text", ["AA==", "AB", "AAA=", "A", "A+", "A/", "AA\n", " AA", "A A", "ＡＡ", "AAAAA", "é"]
)
def test_loose_spellings_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="base64url"):
        unb64url(text)


_parts = st.lists(st.binary(max_size=6), max_size=4)


@given(_parts, _parts)
def test_different_tuples_never_give_the_same_bytes(a: list[bytes], b: list[bytes]) -> None:
    assert (length_prefixed(*a) == length_prefixed(*b)) is (a == b)


@given(_parts)
def test_the_parts_can_be_read_back(parts: list[bytes]) -> None:
    data, read = length_prefixed(*parts), []
    while data:
        size = int.from_bytes(data[:4], "big")
        read.append(data[4 : 4 + size])
        data = data[4 + size :]
    assert read == parts


def test_where_one_part_ends_matters() -> None:
    assert length_prefixed(b"ab", b"c") != length_prefixed(b"a", b"bc") != length_prefixed(b"abc")
    assert length_prefixed() != length_prefixed(b"") != length_prefixed(b"", b"")


def test_a_token_has_256_bits_of_the_operating_system(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(unb64url(new_token())) == 32
    assert len(new_token()) == 43
    assert len({new_token() for _ in range(200)}) == 200
    asked: list[int] = []

    def token_bytes(size: int) -> bytes:
        asked.append(size)
        return b"\x01" * size

    monkeypatch.setattr(_encoding.secrets, "token_bytes", token_bytes)
    assert new_token() == b64url(b"\x01" * 32)
    assert asked == [32]


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_a_uuid7_has_the_layout_of_rfc_9562(millis: int, random: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_encoding.time, "time_ns", lambda: millis * 1_000_000 + 999_999)
        patch.setattr(_encoding.secrets, "token_bytes", lambda size: random[:size])
        text = uuid7()
    value = uuid.UUID(text)
    assert str(value) == text
    assert value.version == 7
    assert value.variant == uuid.RFC_4122
    assert value.int >> 80 == millis
    # The 74 bits that are neither time, version nor variant are those of the operating system, each once.
    rest = (value.int >> 64 & 0xFFF) << 62 | value.int & (2**62 - 1)
    assert rest == int.from_bytes(random, "big") >> 68 << 62 & (2**74 - 1) | (
        int.from_bytes(random, "big") & (2**62 - 1)
    )


@given(st.lists(st.integers(0, 2**47), min_size=2, max_size=8, unique=True))
def test_uuid7s_sort_by_millisecond(moments: list[int]) -> None:
    def at(millis: int) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_encoding.time, "time_ns", lambda: millis * 1_000_000)
            return uuid7()

    ids = {millis: at(millis) for millis in moments}
    assert [ids[millis] for millis in sorted(moments)] == sorted(ids.values())


def test_uuid7s_of_one_moment_differ() -> None:
    assert len({uuid7() for _ in range(1000)}) == 1000
