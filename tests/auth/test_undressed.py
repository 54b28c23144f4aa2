"""What is refused because it is one word, or a person's own words, dressed up; and what is not."""

from __future__ import annotations

import random
import sys
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from portalsec.auth.breached import Bundled, repeated_unit
from portalsec.auth.password_policy import PasswordPolicy
from portalsec.auth.strength import own_words
from portalsec.auth.undressed import is_dressed_up, is_own

ABOUT = ["mgarcia", "María García López", "maria.garcia84@mail.example", "1984-02-03"]
NIST = PasswordPolicy.NIST_800_63B_4.with_words(["Hill Clinic"])
FIBONACCI = "0"
for _before, _after in [("0", "01")]:
    while len(_after) < 256:
        _before, _after = _after, _after + _before
    FIBONACCI = _after[:256]


@pytest.mark.parametrize(
    "password",
    [
        "password        ", "P@ssw0rd12345678", "$unshine2024!", "ｐａｓｓｗｏｒｄ１２３４５６７８", "pаsswordpаssword",
        "pass\u200bword12345678", "password20242025", "password, password", "password and password", "lantern!!!!2024",
        "1234 5678 9012 3456", "123-456-789-0123", "01/01/1990/01/01", "7351946284", "0123456789abcdef",
        "Aa1234567890123", "ABCDabcd12341234", "aa11bb22cc33dd44", "deadbeefdeadbeef", "!QAZ2wsx#EDC4rfv", "poiuytrewqlkjhgf",
        "1234567890-=qwer", "йцукенгшщзхъфыва", "пароль1234567890", "españa1234567890", "espana12", "contraseña 2024",
        "teamomimamá12345", "dios es amor 123", "unodostrescuatro", "mustang196419641", "Winter2024/2025!", "MondayTuesday123",
        "myhealthrecord12", "ihavenopassword1", "mom12345", "Trustno1!!!!",
    ],
)  # fmt: skip
def test_one_word_is_one_word_whatever_is_put_around_it(password: str) -> None:
    assert is_dressed_up(password)
    assert [problem.id for problem in NIST.check_password(password, with_second_factor=True)] == ["common"]


@pytest.mark.parametrize(
    "password",
    [
        "3febrero1984", "febrero1984maria", "airamgarcia1984", "MGL19840203MGL", "hillclinicpatient", "myhillclinic2024",
        "GarciaFamily2024!", "mariasgarcia2020", "contraseñamaria1", "m4r1a.g4rc1a.1984", "maria!garcía!1984",
    ],
)  # fmt: skip
def test_own_words_with_little_around_them(password: str) -> None:
    assert [
        problem.id for problem in NIST.check_password(password, about=ABOUT, with_second_factor=True)
    ] in (
        ["personal"],
        ["common"],
    )


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("Łukasz Wołek", "lukasz wolek 1984"), ("Søren Kjær", "sorenkjaer1984!"), ("Søren Kjær", "soerenkjaer1984"),
        ("Jürgen Strauß", "juergenstrauss1"), ("Đorđe Petrović", "djordjepetrovic"), ("Đorđe Petrović", "dordepetrovic12"),
        ("Bo Li", "boliboliboliboli"), ("Jo Ng", "jo.ng.jo.ng.jo.ng"), ("Æsa Þórsdóttir", "aesathorsdottir"),
        ("İbrahim Işık", "ibrahimisik1984"), ("Иван Петров", "иванпетров1984"), ("김민수", "김민수1984"),
        ("Anna-Maria Theresia Charlotte von und zu Guttenberg", "guttenberg19840"),
    ],
)  # fmt: skip
def test_names_in_every_spelling(name: str, password: str) -> None:
    assert is_own(password, own_words([name]))


def test_a_person_of_many_words_does_not_crowd_out_the_portal_s() -> None:
    many = [f"quillon{number}" for number in range(200)]
    for about in ([], many):
        found = NIST.check_password("HillClinic2026!", about=about, with_second_factor=True)
        assert [problem.id for problem in found] == ["personal"]


@pytest.mark.parametrize(
    "password",
    [
        "lantern orbit velvet cactus", "my green bicycle sings on tuesdays", "Tr7$kq!vN2xz", "gX4m9Qw2LpZt8", "k9#Wv!pQ",
        "3vG$n8xR", "a quiet river under glass bridges", "tres gatos comen pan azul en Lima", "zebra-lamp-soup",
        "Wombat.Trumpet.Ocean7", "2 ducks + 1 goose = 3 birds", "ich esse gerne Kirschkuchen", "dog car sun hat",
        "私は毎朝緑茶を飲んで散歩します今日も", "нельзя объять необъятное слон", "🐘🍕🎈🚲🌵🐙🎻⚓🍋🧦🪁🐌🌙🔑🎲",
        "mariposa ventana queso", "clinic visits bore my turtle", "hill of clinics and purple otters",
        "the maria celeste sailed past midnight", "garcia marquez wrote cien anos", "7351946284539264",
    ],
)  # fmt: skip
def test_good_passwords_are_not_refused(password: str) -> None:
    assert NIST.check_password(password, about=ABOUT, with_second_factor=True) == ()


def test_random_phrases_are_not_refused() -> None:
    """As many as a test has time for."""
    chance, words = random.Random(4), FREQUENCY_LISTS["english_wikipedia"][:8000]
    own = own_words([*ABOUT, "Hill Clinic"])
    for _ in range(1000):
        phrase = chance.choice([" ", "", "-"]).join(chance.sample(words, 4))
        assert not is_dressed_up(phrase) or len(phrase) < 15, phrase
        assert not is_own(phrase, own) or len(phrase) < 15, phrase


def lines(ask: Any, text: str) -> int:
    """How many lines of Python it takes: what a clock would say, but the same on every machine."""
    count = 0

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        ask(text)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(
    "unit",
    ["a", "ab", "1a", "4@", "1984", "password", "my", "lantern4", "a1", FIBONACCI, "@4a$5!", "İ", "\ufdfa"],
)
def test_four_times_the_length_is_about_four_times_the_work(unit: str) -> None:
    words = own_words(["a" * size for size in range(3, 41)])
    for ask in (is_dressed_up, lambda text: is_own(text, words), Bundled().contains):
        short, long = ((unit * 300)[: size - 1] + "b" for size in (64, 256))
        assert lines(ask, long) <= 6 * max(lines(ask, short), 1000)
        assert lines(ask, long) <= 60_000


@given(st.text(alphabet="ab0", min_size=1, max_size=40))
def test_what_repeats_is_the_shortest_that_does(text: str) -> None:
    size = next(size for size in range(1, len(text) + 1) if text.startswith(text[size:]))
    assert repeated_unit(text) == text[:size]


@given(st.text(min_size=1, max_size=80), st.lists(st.text(min_size=1, max_size=12), max_size=5))
def test_any_text_has_an_answer(text: str, words: list[str]) -> None:
    is_dressed_up(text)
    assert not is_own(text, [])
    is_own(text, own_words(words))
