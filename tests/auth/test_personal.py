from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.auth.candidates import expand, walks
from portalsec.auth.personal import made_of
from portalsec.auth.strength import own_words

OWN = own_words(["Zorbina Quell", "zorbina@example.org", "1984-02-03", "Hill Clinic", "Ñuñoa"])


@pytest.mark.parametrize("words", [["zorbina"], ["Hill Clinic"], ["zorbina", "quell"]])
def test_nothing_that_people_make_of_words_gets_past(words: list[str]) -> None:
    """The same rules as those of the shipped list, asked backwards. Walks have no word in them: the list has them."""
    own, keys = own_words(words), set(walks())
    made = [candidate for candidate in expand(words) if candidate not in keys]
    assert len(made) > 4000  # 4,108 of a single word
    assert [candidate for candidate in made if not made_of(candidate, own)] == []


@pytest.mark.parametrize(
    "password",
    [
        "Zorbina.Quell.1984", "Z0rb1n4Qu3ll!!", "anibroz1984", "quellzorbina0302", "HillClinic2026!", "h1ll-cl1n1c-h1ll",
        "03021984zorbina", "zorbinamonkey", "840203-quell", "nunoa-nunoa-2026", "ÑUÑOA1984...",
    ],
)  # fmt: skip
def test_whole_passwords_of_own_words(password: str) -> None:
    assert made_of(password, OWN)


@pytest.mark.parametrize(
    "password",
    [
        "lantern orbit velvet cactus", "zorbina saddles the moon", "my hill clinic is a submarine", "J7#kq!pZ2&vNr5x",
        "quell the marmalade uprising", "6135550199 zorbina 77", "김치찌개와 노란 우산", "12345678901234",
    ],
)  # fmt: skip
def test_a_word_somewhere_in_a_longer_password_is_no_reason(password: str) -> None:
    assert not made_of(password, OWN)


def test_a_date_is_known_as_people_write_it() -> None:
    for written in ("19840203", "03021984", "02031984", "030284", "020384", "840203"):
        assert written in OWN


def test_korean_names_are_compared_whole() -> None:
    own = own_words(["김민수"])
    assert made_of("김민수1984", own)
    assert not made_of("강물소1984", own)  # the same first letters of the same three syllables


@given(st.text(min_size=1, max_size=60), st.lists(st.text(min_size=3, max_size=12), max_size=5))
def test_any_text_and_words_have_an_answer(text: str, words: list[str]) -> None:
    clean = text.replace("\0", "")
    assert made_of(clean, []) is False
    made_of(clean, own_words(words))
