"""What people make of words when more characters are asked for than they have words in mind.

The rules are those that guessing programs try first: a word twice, a year or digits behind or before it, a sign at the
end, capitals, digits for letters, and walks over the keyboard. Pure and deterministic: the same words give the same
candidates in the same order. Nothing here is random, and no year depends on the clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

__all__ = ["LONGEST", "expand", "leet", "repeated", "walks", "with_endings"]

LONGEST = 64  # characters: no longer candidate is given

_YEARS = tuple(str(year) for year in range(1940, 2040))
_SHORT_YEARS = tuple(f"{number:02}" for number in range(100))
_DIGITS = (
    *"0123456789",
    "007",
    "111",
    "123",
    "1234",
    "12345",
    "123456",
    "1234567",
    "12345678",
    "123456789",
    "1234567890",
    "321",
    "4321",
    "54321",
    "654321",
    "666",
    "777",
    "000",
    "123123",
    "112233",
    "1q2w3e",
    "1q2w3e4r",
    "abc",
    "abc123",
    "qwe",
    "qwerty",
)
_SIGNS = (
    "!",
    ".",
    "?",
    "*",
    "@",
    "#",
    "$",
    "-",
    "_",
    "+",
    "!!",
    "!!!",
    "...",
    "@1",
    "#1",
    "1!",
    "12!",
    "123!",
    "1234!",
)
_FEW = ("!", ".", "1", "12", "123", "1234", "123!", "!!", "2024", "2025", "2026")
_JOINTS = ("", " ", "-", "_", ".")
_LEET = str.maketrans({"a": "4", "e": "3", "i": "1", "o": "0", "s": "5", "t": "7"})
_SIGN_LEET = str.maketrans({"a": "@", "e": "3", "i": "!", "o": "0", "s": "$"})
_LEETS = (
    str.maketrans({"a": "@", "o": "0"}),
    _LEET,
    _SIGN_LEET,
    str.maketrans({"o": "0"}),
    str.maketrans({"a": "@"}),
    str.maketrans({"e": "3"}),
    str.maketrans({"s": "$"}),
    str.maketrans({"e": "3", "o": "0"}),
    str.maketrans({"a": "@", "s": "$", "o": "0"}),
    str.maketrans({"i": "1"}),
)

# Lines that fingers follow; every part of each, forwards and backwards, is a walk.
_COLUMNS = ("1qaz", "2wsx", "3edc", "4rfv", "5tgb", "6yhn", "7ujm", "8ik,", "9ol.", "0p;/")
_LINES = (
    "12345678901234567890",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
    "qwertyuiop[]asdfghjkl;'zxcvbnm,./",
    "1234567890qwertyuiopasdfghjklzxcvbnm",
    "1q2w3e4r5t6y7u8i9o0p",
    "q1w2e3r4t5y6u7i8o9p0",
    "qawsedrftgyhujikolp",
    "qazwsxedcrfvtgbyhnujmikolp",
    "zaqxswcdevfrbgtnhymjukilop",
    "a1s2d3f4g5h6j7k8l9",
    "abcdefghijklmnopqrstuvwxyzabcdefghij",
    "a1b2c3d4e5f6g7h8i9j0",
    "1a2b3c4d5e6f7g8h9i0j",
    "1122334455667788990011",
    "112233445566aabbccddeeff",
    "!@#$%^&*()_+",
    "147258369147258369147258",
    "".join(_COLUMNS),
    "".join(column[::-1] for column in _COLUMNS),
    "".join(column if number % 2 else column[::-1] for number, column in enumerate(_COLUMNS)),
    "".join(column if not number % 2 else column[::-1] for number, column in enumerate(_COLUMNS)),
)
_WALK = range(6, 25)


def expand(words: Iterable[str]) -> Iterator[str]:
    """What people make of these words, and the keyboard walks; about 5,000 candidates a word, none given twice.

    Args:
        words: of the portal, of a person, of a list. Phrases are taken whole, without their spaces, and apart; pairs
            of words are joined; blank ones count for nothing. With many words the pairs are their square: give few.
    """
    given = list(dict.fromkeys(text for word in words if (text := " ".join(word.split()).lower())))
    singles = list(dict.fromkeys(part for text in given for part in text.split() if len(part) > 2))
    phrases = [text for text in given if " " in text]
    wholes = dict.fromkeys((*given, *(phrase.replace(" ", "") for phrase in phrases), *singles))
    seen: set[str] = set()
    for candidate in _all(list(wholes), singles):
        if len(candidate) <= LONGEST and candidate not in seen:
            seen.add(candidate)
            yield candidate


def _all(words: Sequence[str], singles: Sequence[str]) -> Iterator[str]:
    for word in words:
        for base in _cased(word):
            yield from with_endings(base)
        for base in _with_signs_for_letters(word):
            yield base
            yield from (base + ending for endings in (_DIGITS, _SIGNS, _YEARS) for ending in endings)
        for base in repeated(word, LONGEST):
            yield from (base, *(base + ending for ending in _FEW))
        for walk in ("1qaz2wsx", "qwerty", "qwertz", "azerty", "asdfgh", "zxcvbn"):
            yield from (word + walk, walk + word)
    for first in singles:
        for second in singles:
            if first != second:
                for joint in _JOINTS:
                    for pair in _cased(first + joint + second):
                        yield pair
                        yield from (pair + sign for sign in _SIGNS)
                        yield from (pair + digits for digits in _DIGITS)
                        yield from (pair + year for year in _YEARS)
    yield from walks()


def repeated(word: str, longest: int) -> Iterator[str]:
    """The word two to six times in a row, with and without a sign between."""
    for joint in _JOINTS:
        for times in range(2, 7):
            text = joint.join([word] * times)
            if len(text) <= longest:
                yield text
                if not joint and text[0].isalpha():
                    yield (word[:1].upper() + word[1:]) * times
    yield word + word[::-1]


def with_endings(base: str) -> Iterator[str]:
    """The text itself, and with what is put behind or before it: years, digits, signs, years and a sign."""
    yield base
    for endings in (_DIGITS, _SIGNS, _YEARS, _SHORT_YEARS):
        for ending in endings:
            yield base + ending
    for year in _YEARS:
        yield base + year + "!"
        yield base + "@" + year
        yield year + base
    for digits in _DIGITS:
        yield digits + base
        yield base + digits + "!"


def walks() -> Iterator[str]:
    """Keyboard walks, rows of the alphabet and of digits, and one sign or a few over and over: 6 to 24 characters."""
    for line in _LINES:
        for way in (line, line[::-1]):
            for length in _WALK:
                for start in range(len(way) - length + 1):
                    yield way[start : start + length]
    for line in _LINES:
        for length in range(2, 13):
            for start in (0, 1) if length > 3 else (0,):
                part = line[start : start + length]
                yield from (part * times for times in range(2, 13) if len(part) * times in _WALK)
    for sign in "0123456789abcdefghijklmnopqrstuvwxyz!@#$%*.-_ ":
        yield from (sign * length for length in _WALK)


def leet(word: str) -> tuple[str, ...]:
    """The word with digits and signs for some of its letters, or for all that have one; no spelling twice."""
    return tuple(dict.fromkeys(word.translate(table) for table in _LEETS))


def _with_signs_for_letters(word: str) -> Iterator[str]:
    yield from dict.fromkeys(cased for spelled in leet(word) for cased in _cased(spelled))


def _cased(text: str) -> Iterator[str]:
    yield from dict.fromkeys((text, text[:1].upper() + text[1:], text.upper(), text.title()))
