"""How many guesses a password would take: zxcvbn's estimate, right under threads and bounded in work.

The Python package keeps the user's words in a module global (two threads get each other's answers), raises past 72
characters, and its work grows faster than the square of the length. So this module calls the package's matchers and
its scorer, but looks words up itself, in one table for all of the package's lists and one for each call's own words;
finds repeats itself (the package's finder goes back to the global); limits the number of "leet" alphabets tried; and
scores at most two windows of 40 characters. Whatever the length, that is a few milliseconds.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any, TypeAlias

from zxcvbn import matching, scoring
from zxcvbn.frequency_lists import FREQUENCY_LISTS

__all__ = ["Estimate", "estimate_strength", "is_common", "is_expected", "is_listed", "own_words"]

WINDOW = 40  # characters scored at a time
_ENOUGH = 20  # powers of ten that no policy asks more than
_MAX_WORDS = 100
_MOST_OF_A_WORD = 256  # characters
_MAX_OWN_AT_ONE_PLACE = 4
_LONGEST_DATE = 10
_SHORT_UNIT = 4
_MAX_ALPHABETS = 16

# Every list's word, with the names of its lists and its rank in each, in the package's order. Built once and never
# written to: the package's own tables are globals that anyone's call may change.
_Ranks: TypeAlias = tuple[tuple[str, int], ...]


def _all_ranks() -> Mapping[str, _Ranks]:
    found: dict[str, _Ranks] = {}
    for name, listed in FREQUENCY_LISTS.items():
        # As the package has it: of a word that is listed twice, the later rank counts.
        for word, rank in {word: rank for rank, word in enumerate(listed, 1)}.items():
            found[word] = (*found.get(word, ()), (name, rank))
    return found


_RANKS = _all_ranks()
_LONGEST = max(map(len, _RANKS))
_HEAD = 4  # so many first characters tell whether any word begins here; most text that is random stops there
_HEADS = frozenset(word[:_HEAD] for word in _RANKS if len(word) >= _HEAD)
_COMMON = frozenset(FREQUENCY_LISTS["passwords"])
_ISO_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})\Z", re.ASCII)
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


def is_listed(word: str) -> bool:
    """Whether the lower-case text is a word of any of zxcvbn's lists: passwords, names, English."""
    return word in _RANKS


def is_expected(text: str) -> bool:
    """Whether the whole text is one of those that need no list: a date, a run of the alphabet or of digits, or one of
    up to four characters, or a common password, over and over. At any length; the work is linear.
    """
    if len(text) <= _LONGEST_DATE and any(
        (match["i"], match["j"]) == (0, len(text) - 1) for match in matching.date_match(text)
    ):
        return True
    if len({ord(after) - ord(before) for before, after in pairwise(text)} | {1, -1}) == 2:
        return True
    unit = text[: (text + text).find(text, 1)]  # what repeats; the whole where nothing does
    return len(unit) < len(text) and (len(unit) <= _SHORT_UNIT or is_common(unit))


def estimate_strength(password: str, words: Iterable[str] = ()) -> Estimate:
    """Estimate ``password``, counting ``words`` (names, birth date, the portal's own) among the likeliest guesses.

    The first 40 characters are scored, and of a longer password whose beginning is weak also the last 40; the better
    counts, since whoever guesses the whole guesses each part. The rest is not looked at. Pure: the same input gives the same answer in every thread.
    """
    if not password:
        return Estimate(guesses_log10=0.0, patterns=(), personal=False)
    own = {word: rank for rank, word in enumerate(own_words(words), 1)}
    best = _score(password[:WINDOW], own)
    if len(password) > WINDOW and best["guesses_log10"] < _ENOUGH:
        # A strong end is not lost behind a weak beginning.
        best = max(best, _score(password[-WINDOW:], own), key=lambda found: found["guesses"])
    return Estimate(
        guesses_log10=float(best["guesses_log10"]),
        patterns=tuple(match["pattern"] for match in best["sequence"]),
        personal=any(match.get("dictionary_name") == "user_inputs" for match in best["sequence"]),
    )


def own_words(words: Iterable[str]) -> list[str]:
    """Lower case, whole and split at what is no letter or digit, three characters or more, no repetition.

    A date as "1984-02-03" is also given as people write it: 03021984, 02031984, and with two digits of the year.
    """
    found: dict[str, None] = {}
    for word in words:
        text = unicodedata.normalize("NFC", word[:_MOST_OF_A_WORD]).lower()
        parts = [part for part in re.split(r"[\W_]+", text) if part]
        # Split before it is cut: the last name of a long line counts too.
        initials = "".join(part[0] for part in parts)
        for whole in (text, *parts, "".join(parts), initials, *_dates(text)):
            part = whole[:WINDOW]
            if len(part) >= 3:
                found.setdefault(part)
            if len(found) >= _MAX_WORDS:
                return list(found)
    return list(found)


def _dates(text: str) -> tuple[str, ...]:
    match = _ISO_DATE.match(text)
    if not match:
        return ()
    year, month, day = match.groups()
    return tuple(
        written
        for years in (year, year[2:])
        for written in (day + month + years, month + day + years, years + month + day)
    )


def _score(text: str, own: Mapping[str, int]) -> Mapping[str, Any]:
    result: Mapping[str, Any] = scoring.most_guessable_match_sequence(text, _matches(text, own))
    return result


def _matches(text: str, own: Mapping[str, int]) -> Sequence[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = [*_words(text, own), *_reversed_words(text, own)]
    for matcher in (
        matching.spatial_match,
        matching.sequence_match,
        matching.regex_match,
        matching.date_match,
    ):
        found.extend(matcher(text))
    found.extend(_leet_words(text, own))
    found.extend(_repeats(text, own))
    return sorted(found, key=_place)


def _place(match: Mapping[str, Any]) -> tuple[int, int]:
    return match["i"], match["j"]


def _words(text: str, own: Mapping[str, int]) -> list[dict[str, Any]]:
    """Every part that is a word of a list or one of the person's own; as `zxcvbn.matching.dictionary_match`."""
    lower = text.lower()
    found: list[dict[str, Any]] = []
    longest = max(_LONGEST, max(map(len, own), default=0))
    heads = {word[:_HEAD] for word in own}
    for start in range(len(lower)):
        head = lower[start : start + _HEAD]
        reach = longest if head in _HEADS or head in heads else _HEAD - 1
        mine = _own_ends(lower, start, own) if own else ()
        for end in range(start + 1, min(len(lower), start + reach) + 1):
            word = lower[start:end]
            ranks = _RANKS.get(word, ())
            if end in mine:
                ranks = (*ranks, ("user_inputs", own[word]))
            if not ranks:
                continue
            found.extend(
                {
                    "pattern": "dictionary",
                    "i": start,
                    "j": end - 1,
                    "token": text[start:end],
                    "matched_word": word,
                    "rank": rank,
                    "dictionary_name": name,
                    "reversed": False,
                    "l33t": False,
                }
                for name, rank in ranks
            )
    return found


def _own_ends(lower: str, start: int, own: Mapping[str, int]) -> frozenset[int]:
    """Where the longest few of the own words that begin here end. With all of a hundred names of one letter, what is
    made of them would have so many readings that scoring takes ten times as long.
    """
    ends: list[int] = []
    for end in range(len(lower), start, -1):
        if lower[start:end] in own:
            ends.append(end)
            if len(ends) == _MAX_OWN_AT_ONE_PLACE:
                break
    return frozenset(ends)


def _reversed_words(text: str, own: Mapping[str, int]) -> list[dict[str, Any]]:
    """As `zxcvbn.matching.reverse_dictionary_match`."""
    found = _words(text[::-1], own)
    last = len(text) - 1
    for match in found:
        match.update(token=match["token"][::-1], reversed=True, i=last - match["j"], j=last - match["i"])
    return sorted(found, key=_place)


def _leet_words(text: str, own: Mapping[str, int]) -> list[dict[str, Any]]:
    """Words with signs in place of letters; as `zxcvbn.matching.l33t_match`."""
    found: list[dict[str, Any]] = []
    for signs in matching.enumerate_l33t_subs(_bounded_leet(text)):
        if not signs:
            break
        for match in _words(matching.translate(text, signs), own):
            token = text[match["i"] : match["j"] + 1]
            if len(token) < 2 or token.lower() == match["matched_word"]:
                continue  # nothing was replaced in it
            used = {sign: letter for sign, letter in signs.items() if sign in token}
            found.append({**match, "l33t": True, "token": token, "sub": used})
    return sorted(found, key=_place)


def _bounded_leet(text: str) -> Mapping[str, Sequence[str]]:
    """The package's table, cut to one sign a letter where the text's signs would give too many alphabets to try.

    Every combination is tried against every dictionary, so a text of such signs costs hundreds of times a normal one.
    """
    table: Mapping[str, Sequence[str]] = matching.relevant_l33t_subtable(text, matching.L33T_TABLE)
    if prod(len(signs) for signs in table.values()) <= _MAX_ALPHABETS:
        return table
    return {letter: signs[:1] for letter, signs in table.items()}


def _repeats(text: str, own: Mapping[str, int]) -> list[Mapping[str, Any]]:
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
        scored = _score(base, own)
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
