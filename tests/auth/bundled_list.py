"""Makes the list that comes with portalsec: ``python -m tests.auth.bundled_list`` writes it anew.

Out of zxcvbn's and Django's lists of common passwords, and the rules of `portalsec.auth.candidates`. Deterministic: the
same lists and rules give the same bytes, and `tests/auth/test_bundled.py` compares them with the file.
"""

from __future__ import annotations

import gzip
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from django.contrib.auth.password_validation import CommonPasswordValidator
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from portalsec.auth import breached
from portalsec.auth._breach_format import fold, key_of
from portalsec.auth.breached import shorter
from portalsec.auth.breached_build import Built, build_breach_file
from portalsec.auth.candidates import expand, leet, repeated, walks, with_endings
from tests.auth.bundled_words import (
    BELOVED,
    BRANDS,
    CALENDAR,
    PHRASES,
    PORTAL_WORDS,
    SEASONS,
    SHORT_MONTHS,
    WALKS,
    split,
)

PATH = Path(breached.__file__).parent / "data" / "common.breach"
BITS = 24
LABEL = "zxcvbn's and Django's lists, and what people make of it"

SHORTEST = 4  # characters: shorter entries are of the lists themselves alone

LONGEST = 32  # characters of what the rules make: who writes more has usually written a sentence

_DIGITS = "12345678901234567890"
_RUNS = tuple(_DIGITS[:length] for length in range(1, 21))
_RECENT = tuple(map(str, range(2018, 2028)))
_LATELY = ("2023", "2024", "2025", "2026")
_LIVED = tuple(map(str, range(1940, 2031)))
_FEW = ("", "1", "12", "123", "1234", "!", "1!", "123!")
_USUAL = split(
    """
    1 2 3 7 8 9 01 10 11 12 13 21 22 23 69 99 00 88 77 123 1234 12345 123456 1234567 12345678 123456789 321 111 007
    ! !! 1! 123! 1234! . ? * @1 @123 2018 2019 2020 2021 2022 2023 2024 2025 2026 2024! 2025! 2026!
    """
)  # for thousands of words
_ENDINGS = (
    split(
        """
    0 4 5 6 02 03 14 15 16 17 18 19 20 24 25 26 1234567890 777 123123 !!! 12! 12345! 123456! .. ... # $ @ @12 @1234
    @12345 !1 !12 !123 !@# !@#$ 1!! 12!! 123!! #1 !1234 2015 2016 2017 2027 2023! 2024!! 2025!! 2026!! @2024 @2025 @2026
    """
    )
    + _USUAL
)  # for hundreds
_LONG_ENDINGS = tuple(
    dict.fromkeys(
        (
            *_ENDINGS,
            *_RUNS,
            *(
                run + sign
                for run in _RUNS[2:10]
                for sign in ("!", "!!", "!!!", ".", "?", "*", "#", "@", "!@#", "!@#$")
            ),
            *(sign + run for run in _RUNS[2:10] for sign in "@!#-_."),
            *(sign * times for sign in "!.*1" for times in range(2, 9)),
            *(
                year + sign
                for year in _RECENT
                for sign in ("!", "!!", "!!!", "!!!!", "1", "!1", ".", "@", "#", "$")
            ),
            *(
                year + more
                for year in _LATELY
                for more in ("12", "123", "1234", "!@#", "123!", "01", "!!!!!")
            ),
            *(year * 2 + sign for year in _RECENT for sign in ("", "!")),
            *(sign + year + more for year in _RECENT for sign in "@!#-" for more in ("", "!", "!!")),
            *(
                "abc",
                "abc123",
                "qwerty",
                "qwerty1",
                "qwerty123",
                "!@#$%",
                "!@#$%^",
                "1q2w3e",
                "rocks",
                "sucks",
            ),
        )
    )
)  # for what is tried first, so that no length gets by
_MANY = 250  # of the commonest words get every ending of candidates
_SOME = 3000  # get the usual ones
_TWICE = 400  # are written twice with something between or behind
_PAIRED = 400  # are joined with each other
_NAMES = 1000
_ENGLISH = 10_000


def listed() -> list[str]:
    """Both lists of passwords, each in its order, folded."""
    with gzip.open(CommonPasswordValidator().DEFAULT_PASSWORD_LIST_PATH, "rt", encoding="utf-8") as file:
        django = [line.strip() for line in file]
    return list(dict.fromkeys(fold(word) for word in (*FREQUENCY_LISTS["passwords"], *django) if word))


def entries() -> set[str]:
    """Everything that is to be refused, folded."""
    return {fold(text) for text in _entries() if len(text) <= LONGEST} | set(listed())


def written(texts: set[str]) -> set[str]:
    """Those that the file must hold: without those that a look-up finds by a shorter one."""
    kept: set[str] = set()
    for text in sorted(texts, key=len):
        if kept.isdisjoint(shorter(text)):
            kept.add(text)
    return kept


def _entries() -> Iterator[str]:
    common = listed()
    words = [word for word in common if word.isalpha() and len(word) >= SHORTEST]
    male, female, surnames = (
        [word for word in FREQUENCY_LISTS[kind][:_NAMES] if len(word) >= SHORTEST]
        for kind in ("male_names", "female_names", "surnames")
    )
    names = [*male, *female, *surnames]
    first_names = [name for both in zip(male[:100], female[:100], strict=True) for name in both]
    english = [word for word in FREQUENCY_LISTS["english_wikipedia"] if word.isalpha()]
    yield from common
    for kind, found in FREQUENCY_LISTS.items():
        if kind != "passwords":
            yield from (word for word in found if len(word) >= 8)
    for word in (*names, *english[:_ENGLISH]):
        if len(word) >= SHORTEST:
            yield word * 2
    yield from _joined(dict.fromkeys((*words[:_SOME], *names, *PORTAL_WORDS)), _USUAL)
    for word in dict.fromkeys((*words[:_MANY], *PORTAL_WORDS)):
        yield from with_endings(word)
        yield from repeated(word, 24)
    for word in PORTAL_WORDS:
        yield from expand([word])
    yield from _joined((*words[:_MANY], *BRANDS, *PORTAL_WORDS, *first_names[:60]), _LONG_ENDINGS)
    yield from _joined((*words[:_SOME], *first_names), _ENDINGS)
    yield from (word + year for word in (*words[:_MANY], *BRANDS, *first_names) for year in _LIVED)
    yield from _spelled((*words[:150], *BRANDS, *PORTAL_WORDS), _USUAL)
    yield from _spelled(("password", "welcome", "letmein", "iloveyou", "pass", "admin"), _LONG_ENDINGS)
    for word in dict.fromkeys((*words[:_TWICE], *BRANDS, *PORTAL_WORDS, *first_names)):
        yield from _twice(word)
    for word in (
        "password",
        "welcome",
        "letmein",
        "test",
        "temp",
        "admin",
        "pass",
        "p@ssword",
        "p@ssw0rd",
        "passw0rd",
        "p@$$w0rd",
    ):
        yield from _twice(word, _LONG_ENDINGS)
    yield from _pairs(dict.fromkeys((*words[:_PAIRED], *PORTAL_WORDS)), ("123",))
    yield from _pairs(dict.fromkeys(("password", "pass", "welcome", "my", *PORTAL_WORDS)), _USUAL)
    for first in dict.fromkeys(("my", "new", "the", "password", *words[:40], *BRANDS[:20])):
        yield from _joined((first + second for second in ("password", "pass", *words[:60])), _FEW)
    yield from _dates()
    yield from _sentences(first_names)
    yield from _runs_on(words[:40])
    yield from walks()


def _joined(starts: Iterable[str], endings: Sequence[str]) -> Iterator[str]:
    for start in starts:
        yield start
        yield from (start + ending for ending in endings)


def _spelled(words: Iterable[str], endings: Sequence[str]) -> Iterator[str]:
    """With signs for letters."""
    for word in dict.fromkeys(words):
        yield from _joined((spelled for spelled in leet(word) if spelled != word), endings)


def _pairs(words: Iterable[str], endings: Sequence[str]) -> Iterator[str]:
    given = list(words)
    yield from _joined((first + second for first in given for second in given if first != second), endings)


def _twice(
    word: str, endings: Sequence[str] = ("1", "12", "123", "1234", "!", "123!", "2024", "2025", "2026")
) -> Iterator[str]:
    """Word, ending, word, ending; and as much of the second word as fits, as people do who count characters."""
    yield from _joined((word * 2,), _USUAL)
    for ending in endings:
        once = word + ending
        yield from (once + word, once * 2, once * 2 + "!", once * 2 + "1", once * 3, word * 3 + ending)
    yield from (
        (word * 2)[:length] for length in (12, 14, 15, 16, 18, 20) if len(word) + 3 < length < 2 * len(word)
    )


def _dates() -> Iterator[str]:
    """Months, days and seasons with years and endings, twice, and with a day of the month."""
    for word in dict.fromkeys((*SEASONS, *CALENDAR, *SHORT_MONTHS)):
        yield from _joined((word,), _LONG_ENDINGS)
        yield from (word + year + sign for year in _LIVED for sign in ("", "!", "!!", "1"))
        yield from (year + word + sign for year in _RECENT for sign in ("", "!"))
        yield from (word + f"{year:02}" + sign for year in range(100) for sign in ("", "!", "!!"))
    for word in (*SEASONS, *CALENDAR):
        yield from _twice(word, (*_RECENT, "24", "25", "26", "2024!", "2025!", "2026!"))
        yield from (spelled + ending for spelled in leet(word) for ending in _USUAL)
    for season in SEASONS[:5]:
        for other in (*SEASONS[:5], "time", "break", "vacation", "love", "sun", "fun", "rocks"):
            yield from _joined((season + other,), _LONG_ENDINGS)
            for year in _RECENT:
                yield from _joined((season + year + other + year, season + other + year), _FEW)
    for number, month in enumerate(CALENDAR[:12], 1):
        for day in range(1, 32):
            yield from (f"{month}{day}{year}" for year in _LIVED)
            for start in {f"{month}{day}", f"{month}{day:02}"}:
                yield from (start + sign for sign in ("", "!", "!!", "!!!"))
                yield from (start + year + sign for year in _LATELY for sign in ("", "!", "!!", "!!!"))
        yield from (f"{month}01{number:02}{year}" for year in _LIVED)


def _sentences(names: Sequence[str]) -> Iterator[str]:
    for phrase in dict.fromkeys(PHRASES):
        text = phrase.replace(" ", "")
        yield from _joined((text,), _ENDINGS)
        yield text * 2
        yield from (
            text + ending for ending in (*_RUNS, "2024!!!", "2025!!!", "2026!!!", "20242024", "123!!!")
        )
        yield from (text + "!" * times for times in range(1, 6))
        for joint in (" ", "-", "_", "."):
            yield from _joined((phrase.replace(" ", joint),), ("!", ".", "1", "123"))
        for spelled in leet(text)[:4]:
            yield from (spelled + ending for ending in ("", "1", "!", "123"))
    loved = [*BELOVED, *names]
    for start in ("ilove", "iloveyou", "ilovemy", "love", "iheart"):
        yield from _joined((start + word for word in loved), (*_FEW, "2024", "2025", "2026", "12345", "!!"))
    for word in names:
        yield from _joined((f"mynameis{word}", f"hellomynameis{word}"), _FEW)
    for word in ("iloveyou", "letmein", "welcome", "changeme", "fuckyou", "teamo", "tequiero"):
        yield from _joined((word, word * 2, word * 3), _LONG_ENDINGS)


def _runs_on(words: Sequence[str]) -> Iterator[str]:
    """Walks over the keyboard that go on with others, or with digits, a year or a common word."""
    for walk in WALKS:
        yield from _joined((walk,), _LONG_ENDINGS)
        yield from _joined((walk * 3,), _FEW)
        yield from _twice(walk)
        for run in (*_RUNS[2:], "0987654321", "987654321", "!@#$%^&*()", "!@#$%^", "!@#$", "!@#"):
            yield from (
                run + walk,
                run + walk + "!",
                walk + run,
                walk + run + "!",
                walk + run + walk,
                walk + run + walk + run,
            )
        for other in WALKS:
            yield from _joined((walk + other,), ("!", "1"))
        for word in words:
            yield from (walk + word, word + walk, word + walk + "!")


def make(out: Path) -> Built:
    keys = array("Q", map(key_of, written(entries())))
    return build_breach_file([keys], out, bits=BITS, folded=True, label=LABEL)


if __name__ == "__main__":
    made = make(PATH)
    print(f"{made.entries:,} entries, {made.size:,} bytes")
