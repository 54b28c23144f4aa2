"""Sentences about new passwords, in more than one language: each has an id and says what to do.

A catalogue is a module with one mapping, ``SENTENCES``, from id to sentence. ``{name}`` stands for a parameter. All
catalogues have the same ids with the same parameters, and no parameter ever holds a password.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from portalsec.auth.words import en, es

__all__ = ["LANGUAGES", "language_of", "say"]

CATALOGUES: Mapping[str, Mapping[str, str]] = MappingProxyType({"en": en.SENTENCES, "es": es.SENTENCES})
LANGUAGES = tuple(CATALOGUES)


class Sayable(Protocol):
    """Something with an id and parameters: `portalsec.auth.password_policy.Problem`."""

    @property
    def id(self) -> str: ...

    @property
    def params(self) -> Mapping[str, int]: ...


def language_of(tag: str) -> str:
    """The catalogue for a language tag: "es-MX" is "es", and what is not there is "en"."""
    primary = tag[:8].replace("_", "-").partition("-")[0].lower()
    return primary if primary in CATALOGUES else "en"


def say(problem: Sayable, language: str = "en") -> str:
    """The sentence for a problem or a piece of advice.

    Args:
        problem: what is to be said.
        language: a language tag such as "es" or "es-MX"; English where there is no catalogue for it.

    Raises:
        KeyError: no catalogue has this id. Ids are a closed list, which the tests hold both catalogues to.
    """
    return CATALOGUES[language_of(language)][problem.id].format_map(problem.params)
