"""How many guesses a password would take: zxcvbn's estimate, right under threads and bounded in work.

The Python package keeps the user's words in a module global (two threads get each other's answers), raises past 72
characters, and its work grows faster than the square of the length. So this module calls the package's matchers and
its scorer with a dictionary of its own for each call, finds repeats itself (the package's finder goes back to the
global), limits the number of "leet" alphabets tried, and scores at most two windows of 40 characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from zxcvbn import matching, scoring
from zxcvbn.frequency_lists import FREQUENCY_LISTS

__all__ = ["Estimate", "estimate_strength", "is_common", "own_words"]

WINDOW = 40  # characters scored at a time
_MAX_WORDS = 100
_MAX_ALPHABETS = 16

# Built once and never written to. The package's own table is a global that anyone's call may change.
_DICTIONARIES: Mapping[str, Mapping[str, int]] = {
    name: {word: rank for rank, word in enumerate(words, 1)} for name, words in FREQUENCY_LISTS.items()
}
_COMMON = _DICTIONARIES["passwords"]
_REPEAT_GREEDY = re.compile(r"(.+)\1+")
_REPEAT_LAZY = re.compile(r"(.+?)\1+")
_REPEAT_UNIT = re.compile(r"(.+?)\1+\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The estimate.

    Attributes:
        guesses_log10: of the number of guesses an attacker who knows the usual habits would need.
        patterns: what the password is made of, as zxcvbn names it ("dictionary", "repeat", "sequence", "spatial",
            "date", "regex", "bruteforce"), in order.
        personal: whether one of the given words is a part of it.
    """

    guesses_log10: float
    patterns: tuple[str, ...]
    personal: bool


def is_common(text: str) -> bool:
    """Whether the whole text is one of zxcvbn's 30,000 most used passwords, whatever the case of its letters."""
    return text.casefold() in _COMMON or text.lower() in _COMMON


def estimate_strength(password: str, words: Iterable[str] = ()) -> Estimate:
    """Estimate ``password``, counting ``words`` (names, birth date, the portal's own) among the likeliest guesses.

    The first 40 characters are scored, and of a longer password also the last 40; the better counts, since whoever
    guesses the whole guesses each part. Pure: the same input gives the same answer in every thread.
    """
    if not password:
        return Estimate(guesses_log10=0.0, patterns=(), personal=False)
    own = {word: rank for rank, word in enumerate(own_words(words), 1)}
    dictionaries = {**_DICTIONARIES, "user_inputs": own}
    windows = [password[:WINDOW]]
    if len(password) > WINDOW:
        windows.append(password[-WINDOW:])
    best = max((_score(window, dictionaries) for window in windows), key=lambda found: found["guesses"])
    return Estimate(
        guesses_log10=float(best["guesses_log10"]),
        patterns=tuple(match["pattern"] for match in best["sequence"]),
        personal=any(match.get("dictionary_name") == "user_inputs" for match in best["sequence"]),
    )


def own_words(words: Iterable[str]) -> list[str]:
    """Lower case, whole and split at what is no letter or digit, three characters or more, no repetition."""
    found: dict[str, None] = {}
    for word in words:
        text = word[:WINDOW].lower()
        parts = re.split(r"[\W_]+", text)
        for part in (text, *parts, "".join(parts)):
            if len(part) >= 3:
                found.setdefault(part)
            if len(found) >= _MAX_WORDS:
                return list(found)
    return list(found)


def _score(text: str, dictionaries: Mapping[str, Mapping[str, int]]) -> Mapping[str, Any]:
    result: Mapping[str, Any] = scoring.most_guessable_match_sequence(text, _matches(text, dictionaries))
    return result


def _matches(text: str, dictionaries: Mapping[str, Mapping[str, int]]) -> Sequence[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for matcher in (
        matching.dictionary_match,
        matching.reverse_dictionary_match,
        matching.spatial_match,
        matching.sequence_match,
        matching.regex_match,
        matching.date_match,
    ):
        found.extend(matcher(text, _ranked_dictionaries=dictionaries))
    found.extend(
        matching.l33t_match(text, _ranked_dictionaries=dictionaries, _l33t_table=_bounded_leet(text))
    )
    found.extend(_repeats(text, dictionaries))
    return sorted(found, key=lambda match: (match["i"], match["j"]))


def _bounded_leet(text: str) -> Mapping[str, Sequence[str]]:
    """The package's table, cut to one sign a letter where the text's signs would give too many alphabets to try.

    Every combination is tried against every dictionary, so a text of such signs costs hundreds of times a normal one.
    """
    table: Mapping[str, Sequence[str]] = matching.relevant_l33t_subtable(text, matching.L33T_TABLE)
    if prod(len(signs) for signs in table.values()) <= _MAX_ALPHABETS:
        return table
    return {letter: signs[:1] for letter, signs in table.items()}


def _repeats(text: str, dictionaries: Mapping[str, Mapping[str, int]]) -> list[Mapping[str, Any]]:
    """Repeated parts ("aaa", "annaanna"), each scored by what is repeated."""
    found: list[Mapping[str, Any]] = []
    start = 0
    while start < len(text):
        greedy, lazy = _REPEAT_GREEDY.search(text, start), _REPEAT_LAZY.search(text, start)
        if greedy is None or lazy is None:
            break
        if len(greedy[0]) > len(lazy[0]):
            # "aabaab" is twice "aab", not "aa" and more; what is repeated may itself be a repetition.
            match, unit = greedy, _REPEAT_UNIT.match(greedy[0])
        else:
            match, unit = lazy, lazy
        base = (unit or match)[1]
        scored = _score(base, dictionaries)
        found.append(
            {
                "pattern": "repeat",
                "i": match.start(),
                "j": match.end() - 1,
                "token": match[0],
                "base_token": base,
                "base_guesses": scored["guesses"],
                "base_matches": scored["sequence"],
                "repeat_count": len(match[0]) / len(base),
            }
        )
        start = match.end()
    return found
