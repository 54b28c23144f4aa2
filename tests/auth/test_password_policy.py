from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from portalsec.auth.password_policy import PasswordPolicy, PasswordRefused, Problem
from portalsec.errors import ConfigurationError, Denied, Reason

NIST = PasswordPolicy.NIST_800_63B_4


def ids(
    password: object, *, about: tuple[str, ...] = (), second: bool = True, policy: PasswordPolicy = NIST
) -> list[str]:
    return [problem.id for problem in policy.check_password(password, about=about, with_second_factor=second)]


def test_lengths_of_800_63b_4() -> None:
    assert ids("J7#kq!p") == ["too_short"]
    assert ids("J7#kq!pZ") == []
    assert ids("J7#kq!pZ2&vNr5", second=False) == ["too_short"]
    assert ids("J7#kq!pZ2&vNr5x", second=False) == []
    assert ids("J7#kq!pZ2&vN r5" * 4 + "wxyz") == []  # 64
    assert ids("J7#kq!pZ2&vNr5x0" * 16) == []
    assert ids("J7#kq!pZ2&vNr5x0" * 16 + "!") == ["too_long"]


def test_length_is_counted_in_code_points_of_nfc() -> None:
    assert ids("e\u0301" * 7) == ["too_short"]  # 14 code points as typed, 7 in NFC
    assert ids("žáňčšťďř") == []


def test_any_printable_characters_will_do_and_none_are_demanded() -> None:
    for password in (
        "lantern orbit velvet cactus",
        "словарь облако ветер",
        "ひまわりと雨の音を聞く",
        "🦉🌵🚲🎻🧭🪁🧦🪴🥁",
    ):
        assert ids(password) == []


@pytest.mark.parametrize("password", ["password", "PASSWORD", "iloveyou", "Football", "1234567890"])
def test_common_passwords_are_refused(password: str) -> None:
    assert ids(password) == ["common"]


@pytest.mark.parametrize(
    "password", ["passwordpassword", "aaaaaaaaaaaaaaaa", "qwertyuiopasdfgh", "abcdefghijklmnop", "1984-02-03"]
)
def test_guessable_passwords_are_refused_where_that_is_asked_for_and_advised_against_elsewhere(
    password: str,
) -> None:
    assert ids(password, policy=replace(NIST, min_guesses_log10=6.0)) == ["guessable"]
    # SP 800-63B-4 3.1.1.1: no other rule than the blocklist; `NewPasswords` asks the lists of leaked ones.
    assert ids(password) == []
    report = NIST.report(password, with_second_factor=True)
    assert (report.problems, report.score <= 1) == ((), True)
    assert report.advice


@pytest.mark.parametrize(
    "password",
    [
        "zorbina1984",
        "Zorbina.Quell",
        "quellzorbina",
        "HillClinic!",
        "hillclinic2026",
        "quell1984zorbina",
        "Zorbina:19840203",
    ],
)
def test_the_persons_and_the_portals_words_are_refused(password: str) -> None:
    policy = NIST.with_words(["Hill Clinic", "hillclinic"])
    assert ids(password, about=("Zorbina Quell", "1984-02-03"), policy=policy) == ["personal"]


def test_a_listed_password_is_refused_in_any_case() -> None:
    policy = PasswordPolicy(
        min_length=15,
        min_length_with_second_factor=8,
        max_length=64,
        min_guesses_log10=6,
        blocklist=frozenset({"Lantern Orbit Velvet"}),
    )
    assert ids("lantern orbit velvet", policy=policy) == ["common"]
    assert ids("lantern orbit velvet!", policy=policy) == []


def test_texts_say_what_to_do_and_never_repeat_the_password() -> None:
    for password in ("shorty", "iloveyou", "zorbina1", "aaaaaaaaaa", "x" * 300):
        for problem in NIST.check_password(password, about=("zorbina",), with_second_factor=True):
            assert password not in problem.text
            assert problem.text.endswith(".")
            assert "  " not in problem.text


@pytest.mark.parametrize("password", [None, 12345678, b"bytes bytes", ["x"], "", "x" * 5000])
def test_malformed_passwords_are_refused_before_scoring(
    password: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    import portalsec.auth.strength as strength

    def never(*args: Any) -> Any:
        raise AssertionError("scored")

    monkeypatch.setattr(strength, "estimate_strength", never)
    with pytest.raises(Denied) as refusal:
        ids(password)
    assert refusal.value.reason is Reason.MALFORMED
    assert ids("tooshrt") == ["too_short"]
    assert ids("y" * 300) == ["too_long"]


def test_password_refused_carries_its_problems_and_the_common_face() -> None:
    refusal = PasswordRefused([Problem("too_short", {"least": 8, "length": 3})])
    assert refusal.reason is Reason.PASSWORD_REFUSED
    assert refusal.problems == (Problem("too_short", {"least": 8, "length": 3}),)
    assert str(refusal) == str(Denied(Reason.WRONG_PASSWORD))


@pytest.mark.parametrize(
    "change",
    [
        {"min_length": 7},
        {"min_length_with_second_factor": 0},
        {"max_length": 32},
        {"max_length": 4096},
        {"min_guesses_log10": -1},
    ],
)
def test_policies_that_make_no_sense_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="PasswordPolicy"):
        replace(NIST, **change)
