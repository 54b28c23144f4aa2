"""The words of mails, a file for each language. A test holds all of them to the same kinds and parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from portalsec.auth.notice_words import en, es
from portalsec.auth.notices import NoticeKind
from portalsec.errors import ConfigurationError

__all__ = ["CATALOGUES", "Catalogue", "catalogue"]

_PARAMETERS = frozenset({"portal", "when", "code", "browser", "place"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """One language.

    Attributes:
        letters: for each kind of `NoticeKind` a subject and what happened, with what follows from it.
        phrases: what all letters share; see `portalsec.auth.notice_words.en`.
        months: January to December.
        moment: how a moment is written, of ``day``, ``month``, ``year`` and ``time``.
    """

    letters: Mapping[str, tuple[str, str]]
    phrases: Mapping[str, str]
    months: tuple[str, ...]
    moment: str

    def __post_init__(self) -> None:
        if set(self.letters) != {kind.value for kind in NoticeKind}:
            odd = sorted(set(self.letters) ^ {kind.value for kind in NoticeKind})
            raise ConfigurationError(f"Catalogue: letters must have each kind of NoticeKind; look at {odd}")
        if set(self.phrases) != set(en.PHRASES) or len(self.months) != 12:
            raise ConfigurationError("Catalogue: phrases and months must be those of notice_words.en")
        # Tried once here, so that a word in braces is found while the portal is built and not when mail is due.
        known = dict.fromkeys(_PARAMETERS, "x")
        for text in (*(part for pair in self.letters.values() for part in pair), *self.phrases.values()):
            try:
                text.format_map(known)
            except (KeyError, ValueError, IndexError, AttributeError):
                known = {}
            if not known:
                raise ConfigurationError(
                    f"Catalogue: {text[:60]!r} has braces that are none of {sorted(_PARAMETERS)}"
                )

    def replaced(self, letters: Mapping[str, tuple[str, str]] = MappingProxyType({})) -> Catalogue:
        """The same with some letters in the application's own words: ``{"dormant": (subject, text)}``."""
        return Catalogue(
            letters={**self.letters, **letters},
            phrases=self.phrases,
            months=self.months,
            moment=self.moment,
        )


CATALOGUES: Mapping[str, Catalogue] = MappingProxyType(
    {
        language: Catalogue(
            letters=words.LETTERS, phrases=words.PHRASES, months=words.MONTHS, moment=words.MOMENT
        )
        for language, words in (("en", en), ("es", es))
    }
)


def catalogue(
    catalogues: Mapping[str, Catalogue], language: str | None, default: str
) -> tuple[str, Catalogue]:
    """The catalogue of a language tag (``es-MX`` is Spanish), or the default's, with its language."""
    for wanted in (language or "", (language or "").partition("-")[0], default):
        if wanted in catalogues:
            return wanted, catalogues[wanted]
    raise ConfigurationError(f"[notices] language is {default!r}, which no catalogue has")
