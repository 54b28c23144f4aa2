from __future__ import annotations

import os
import random
import string
from collections.abc import Mapping
from typing import Any

import pytest
import zxcvbn
from hypothesis import given, settings
from hypothesis import strategies as st
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from portalsec.auth import strength
from portalsec.auth.strength import WINDOW, estimate_strength, is_common
from tests.auth.world import together
from tests.measured import SOAK

SAMPLES = [
    "password", "P@ssw0rd", "correct horse battery staple", "qwertyuiop[]", "annaanna", "aabaab", "abcabcabcabc",
    "aaaaaaaaaaaa", "1984-02-03", "mary 1984-02-03", "zxcvbn", "drowssap", "abcdefgh9876", "J7#kq!pZ2&vN",
    "lantern orbit velvet cactus", "ünïcödé wörds", "x", "hunter2hunter2", "2017qwerty2017",
]  # fmt: skip


@pytest.mark.parametrize("password", SAMPLES)
@pytest.mark.parametrize(
    "words", [(), ("mary", "lantern")]
)  # zxcvbn does not look at words inside repetitions
def test_agrees_with_zxcvbn_where_zxcvbn_is_right(password: str, words: tuple[str, ...]) -> None:
    theirs = zxcvbn.zxcvbn(password, user_inputs=list(words))
    assert estimate_strength(password, words).guesses_log10 == pytest.approx(float(theirs["guesses_log10"]))


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=string.ascii_letters + string.digits + "!? -", min_size=1, max_size=20))
def test_agrees_with_zxcvbn_on_anything(password: str) -> None:
    theirs = zxcvbn.zxcvbn(password)
    assert estimate_strength(password).guesses_log10 == pytest.approx(float(theirs["guesses_log10"]))


def test_a_persons_words_count_also_inside_repetitions() -> None:
    without = estimate_strength("zorbinazorbina").guesses_log10
    assert estimate_strength("zorbinazorbina", ["Zorbina"]).guesses_log10 < without - 2


def test_words_are_split_and_folded() -> None:
    found = estimate_strength("zorbina2024", ["Zorbina.Quell@example.org"])
    assert found.personal
    assert not estimate_strength("zorbina2024").personal


def test_nothing_is_left_behind_for_the_next_caller() -> None:
    before = estimate_strength("zorbina quell").guesses_log10
    estimate_strength("zorbina quell", ["zorbina", "quell"])
    assert estimate_strength("zorbina quell").guesses_log10 == before


def test_other_callers_of_the_package_do_not_change_our_answers() -> None:
    before = estimate_strength("zorbinazorbina quell").guesses_log10
    zxcvbn.zxcvbn("x", user_inputs=["zorbina", "quell", "zorbinazorbina"])
    assert estimate_strength("zorbinazorbina quell").guesses_log10 == before


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts whose every part is looked up: nearly all of the work."""
    texts: list[str] = []
    real = strength._words

    def count(text: str, own: Mapping[str, int]) -> Any:
        texts.append(text)
        return real(text, own)

    monkeypatch.setattr(strength, "_words", count)
    return texts


@pytest.mark.parametrize("length", [41, 72, 73, 200, 256, 1024, 100_000])
@pytest.mark.parametrize(
    "alphabet", [string.printable[:90], string.digits, "ab", "a", "4@8({[<3691!|17$5+%20x", "é🦉"]
)
def test_atk_30_every_length_is_scored_in_two_windows_at_most(
    length: int, alphabet: str, looked_up: list[str]
) -> None:
    generator = random.Random(7)
    password = "".join(generator.choice(alphabet) for _ in range(length))
    estimate_strength(password)
    assert max(map(len, looked_up)) <= WINDOW
    # Two windows: forwards, backwards and the leet alphabets; repeated parts are shorter at each turn.
    assert sum(map(len, looked_up)) <= 2 * WINDOW * (2 + 16) * 2
    beginning = estimate_strength(password[:WINDOW]).guesses_log10
    assert estimate_strength(password).guesses_log10 >= beginning


def test_a_strong_beginning_is_enough(looked_up: list[str]) -> None:
    password = "J7#kq!pZ2&vNr5xw" * 3 + "lantern orbit velvet cactus harbour pickle"
    estimate_strength(password)
    assert looked_up[0] == password[:WINDOW]
    assert password[-WINDOW:] not in looked_up


def test_leet_alphabets_are_bounded(looked_up: list[str]) -> None:
    estimate_strength("4@8({[<3691!|17$5+%20x4@8({[<3691!|17$5+")
    assert len(looked_up) <= 40


def test_a_strong_end_is_not_lost_behind_a_weak_beginning() -> None:
    assert estimate_strength("a" * 40).guesses_log10 < 4
    assert estimate_strength("a" * 40 + "J7#kq!pZ2&vNr5").guesses_log10 > 10


def test_the_empty_password_needs_no_guess() -> None:
    assert estimate_strength("").guesses_log10 == 0


def test_common_passwords_are_known_in_any_case() -> None:
    for word in FREQUENCY_LISTS["passwords"][:2000]:
        assert is_common(word)
        assert is_common(word.upper())
    assert not is_common("lantern orbit velvet cactus")


NAMES = ["zorbina", "quellith", "marnover", "tiselpho", "wendrick", "ossaline", "prudmore", "calvetti"]
SOAKED = os.environ.get(SOAK) == "1"


def test_atk_43_threads_get_their_own_answers() -> None:
    """Eight threads, each with words of its own; 100,000 answers under PORTALSEC_SOAK=1."""
    rounds = 100_000 // (8 * len(NAMES)) + 1 if SOAKED else 10
    expected = {
        (name, own): estimate_strength(f"{name} 4711", [own]).guesses_log10 for name in NAMES for own in NAMES
    }
    for name in NAMES:  # the words do matter
        assert expected[name, name] < min(expected[name, own] for own in NAMES if own != name) - 2

    def work(number: int) -> int:
        own = NAMES[number]
        return sum(
            estimate_strength(f"{name} 4711", [own]).guesses_log10 != expected[name, own]
            for _ in range(rounds)
            for name in NAMES
        )

    assert together(8, work) == [0] * 8
