"""What people make of words: what every guessing program tries is there, once, in one order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portalsec.auth.candidates import LONGEST, expand, repeated, walks, with_endings


@pytest.mark.parametrize(
    "guess",
    [
        "riverside",
        "Riverside",
        "RIVERSIDE",
        "riversideriverside",
        "RiversideRiverside",
        "riverside-riverside",
        "riverside2026",
        "Riverside1984!",
        "riverside@2025",
        "2024riverside",
        "riverside84",
        "riverside123",
        "riverside123!",
        "123riverside",
        "riverside!",
        "r1v3r51d3",
        "r1v3r51d3123",
        "Riverside1qaz2wsx",
        "riversideedisrevir",
        "clinic",
        "riversideclinic",
        "Riverside Clinic",
        "clinic-riverside",
        "riversideclinic2026",
        "RIVERSIDECLINIC!",
        "1qaz2wsx3edc4rfv",
        "qwertyuiopasdfgh",
        "zaq1xsw2cde3vfr4",
        "1q2w3e4r5t6y7u8i",
        "aaaaaaaaaaaaaaa",
        "123456789012345",
        "abcdefghijklmno",
        "qwertyqwertyqwerty",
    ],
)
def test_what_a_guesser_would_try(guess: str) -> None:
    assert guess.lower() in {text.lower() for text in expand(["Riverside clinic"])}


def test_capitals_are_kept_where_case_is_to_matter() -> None:
    found = set(expand(["riverside"]))
    assert {"Riverside2026", "RIVERSIDE2026", "R1v3r51d3!"} <= found


@settings(max_examples=20)
@given(st.lists(st.text(max_size=80), max_size=3))
def test_nothing_twice_nothing_long_and_always_the_same(words: list[str]) -> None:
    found = list(expand(words))
    assert len(set(found)) == len(found)
    assert max(map(len, found)) <= LONGEST
    assert found == list(expand(words))


def test_how_many_a_word_gives() -> None:
    none = sum(1 for _ in expand(["", "  "]))
    assert none == len(set(walks()))
    one = sum(1 for _ in expand(["riverside"])) - none
    assert 3000 < one < 6000
    assert sum(1 for _ in expand(["riverside"] * 50)) == one + none


def test_it_does_not_wait_for_all_words_before_the_first() -> None:
    def words() -> list[str]:
        return [f"word{number}" for number in range(100)]

    assert next(expand(words())) == "word0"


def test_rules_for_who_wants_one_alone() -> None:
    assert {"tigertiger", "tiger tiger", "TigerTiger", "tigerregit"} <= set(repeated("tiger", 24))
    assert max(map(len, repeated("tiger", 24))) <= 24
    assert {"tiger", "tiger1999", "tiger99", "tiger1999!"} <= set(with_endings("tiger"))
    assert {len(walk) for walk in walks()} == set(range(6, 25))
