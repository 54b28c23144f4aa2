from __future__ import annotations

import ast
import string

import pytest

from portalsec.auth.password_policy import PasswordPolicy, PasswordReport, Problem
from portalsec.auth.words import CATALOGUES, LANGUAGES, language_of, say
from tests.support import ROOT

ENGLISH = CATALOGUES["en"]


def parameters(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None}


def ids_in_use() -> set[str]:
    """Every id that the source names: of problems and of advice."""
    found = {f"score_{score}" for score in range(5)} | {
        f"needs_{kind}" for kind in ("letter", "digit", "symbol")
    }
    for name in ("password_policy.py", "new_password.py"):
        tree = ast.parse((ROOT / "src" / "portalsec" / "auth" / name).read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Problem":
                found |= {
                    each.value
                    for each in ast.walk(node.args[0])
                    if isinstance(each, ast.Constant) and isinstance(each.value, str)
                }
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and node.value.startswith("advice_")
            ):
                found.add(node.value)
    return found - {"needs_"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_catalogue_has_the_same_ids_with_the_same_parameters(language: str) -> None:
    catalogue = CATALOGUES[language]
    assert list(catalogue) == list(ENGLISH)
    for id, sentence in catalogue.items():
        assert parameters(sentence) == parameters(ENGLISH[id])


def test_every_id_that_is_used_has_a_sentence_and_no_sentence_is_idle() -> None:
    assert set(ENGLISH) == ids_in_use()


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_say_what_to_do(language: str) -> None:
    for id, sentence in CATALOGUES[language].items():
        assert "  " not in sentence
        assert sentence == sentence.strip()
        if not id.startswith("score_"):
            assert sentence.endswith(".")
            assert sentence.count("{") == len(parameters(sentence))
    assert len(set(CATALOGUES[language].values())) == len(ENGLISH)


def test_the_languages_differ() -> None:
    assert all(CATALOGUES["es"][id] != sentence for id, sentence in ENGLISH.items())


def test_a_language_is_found_by_its_tag_and_english_is_the_rest() -> None:
    problem = Problem("too_short", {"least": 15, "length": 3})
    assert say(problem) == problem.text
    assert say(problem, "es") == say(problem, "es-MX") == say(problem, "ES_419")
    assert say(problem, "es").startswith("Use al menos 15 caracteres; esta contraseña tiene 3.")
    for unknown in ("de", "", "e", "english", "../es", "es" * 1000):
        assert say(problem, unknown) == problem.text
    assert [language_of(tag) for tag in ("es-ES", "en-GB", "pt")] == ["es", "en", "en"]


def test_an_id_without_a_sentence_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        say(Problem("no_such_thing"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_pwd_11_no_sentence_holds_the_password(language: str) -> None:
    policies = [
        PasswordPolicy.NIST_800_63B_4,
        PasswordPolicy.PATIENT_ADVICE_12,
        PasswordPolicy(min_length=4, min_length_with_second_factor=4, max_length=64, min_guesses_log10=20.0),
    ]
    for password in (
        "zorbi",
        "{least}",
        "iloveyou",
        "zorbina1984",
        "qqqqqqqqqqqqqq",
        "\N{CACTUS}" * 9,
        "x" * 300,
        "tab\tulator",
    ):
        for policy in policies:
            report: PasswordReport = policy.report(password, about=("zorbina",), with_second_factor=True)
            for each in (*report.problems, *report.advice):
                assert password not in say(each, language)
                assert all(isinstance(value, int) for value in each.params.values())
                assert set(each.params) == parameters(ENGLISH[each.id])
