"""Both languages say the same things, and an application can say them its own way."""

from __future__ import annotations

import string
from types import MappingProxyType

import pytest

from portalsec.auth.notice_words import CATALOGUES, Catalogue, catalogue
from portalsec.auth.notices import NoticeKind
from portalsec.errors import ConfigurationError


def parameters(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("language", sorted(CATALOGUES))
def test_every_kind_has_words_with_the_parameters_of_the_english_ones(language: str) -> None:
    words, english = CATALOGUES[language], CATALOGUES["en"]
    assert list(words.letters) == [kind.value for kind in NoticeKind]
    for kind, pair in words.letters.items():
        for said, model in zip(pair, english.letters[kind], strict=True):
            assert said.strip() and parameters(said) == parameters(model), kind
        assert len(pair[0]) <= 80, f"the subject of {kind} is too long for a telephone"
    assert {key: parameters(text) for key, text in words.phrases.items()} == {
        key: parameters(text) for key, text in english.phrases.items()
    }


@pytest.mark.parametrize("language", sorted(set(CATALOGUES) - {"en"}))
def test_no_sentence_is_left_in_english(language: str) -> None:
    english = CATALOGUES["en"]
    for kind, pair in CATALOGUES[language].letters.items():
        assert not set(pair) & set(english.letters[kind]), kind
    assert not set(CATALOGUES[language].phrases.values()) & set(english.phrases.values())
    assert not set(CATALOGUES[language].months) & (set(english.months))


def test_an_application_replaces_one_letter_and_keeps_the_others() -> None:
    own = CATALOGUES["en"].replaced({"dormant": ("Still there?", "Sign in to keep {portal}.")})
    assert own.letters["dormant"][0] == "Still there?"
    assert own.letters["locked"] == CATALOGUES["en"].letters["locked"]


@pytest.mark.parametrize(
    "letters",
    [
        {"dormant": ("x", "{password}")},
        {"dormant": ("x", "{")},
        {"dormant": ("x", "{portal.__class__.y}")},
        {"dormant": ("x", "{0}")},
        {"no_such_kind": ("x", "y")},
    ],
)
def test_words_that_cannot_be_filled_in_are_found_before_mail_is_due(
    letters: dict[str, tuple[str, str]],
) -> None:
    with pytest.raises(ConfigurationError, match="Catalogue"):
        CATALOGUES["en"].replaced(letters)


def test_a_catalogue_without_a_phrase_is_refused() -> None:
    english = CATALOGUES["en"]
    with pytest.raises(ConfigurationError, match="phrases"):
        Catalogue(letters=english.letters, phrases={}, months=english.months, moment=english.moment)


def test_the_language_is_the_nearest_that_there_is() -> None:
    assert catalogue(CATALOGUES, "es-MX", "en")[0] == "es"
    assert catalogue(CATALOGUES, "fr", "es")[0] == "es"
    assert catalogue(CATALOGUES, None, "en")[0] == "en"
    assert catalogue(CATALOGUES, "../../etc", "en")[0] == "en"
    with pytest.raises(ConfigurationError, match="language"):
        catalogue(MappingProxyType({}), None, "en")
