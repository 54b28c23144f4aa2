"""Whether a password is one well-known word, or a person's own words, dressed up to look like more.

Lists hold what people choose and not every way to make it longer. Here the question is asked backwards: signs are taken
for the letters that they stand for, letters without accents, digits and signs put aside, and what is left is read as
words. Where that is one well-known word with little around it, a walk over the keyboard, or a date or telephone number
alone, whoever guesses has it soon, however long it is. The work grows with the length alone, and texts of many letters are left at once.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import pairwise

from portalsec.auth._plain_words import COMMON, FILLERS
from portalsec.auth.breached import repeated_unit
from portalsec.auth.strength import is_common, is_listed

__all__ = ["is_dressed_up", "is_own", "plain"]

_MOST_LETTERS = 64  # a word with little around it has fewer
_MOST_DIGITS = 8  # two years, or a date
_MOST_SIGNS = 2  # or one for each five characters
_RANDOM_DIGITS = (
    11  # a date or a telephone number has fewer; more may be anything (no rule on kinds of character)
)
_UNIT = 8  # what repeats and is no longer than this is no password
_LONGEST = 20
_MOST_CHARACTERS = 1024
_SHORTEST = 3
_WORD = 3  # cost of one well-known word
_NEVER = 1_000

_LETTERS = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "ß": "ss", "æ": "ae", "œ": "oe", "ı": "i", "þ": "th", "ð": "d", "ħ": "h"}
)
_WRITTEN_OUT = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe", "đ": "dj"})
# Letters of other scripts that look like ours, for texts that mix both.
_LOOK_ALIKE = str.maketrans("аеорсухіјѕԁһӏοανε", "aeopcyxijsdhloave")
_LEETS = (
    str.maketrans("4@83(69!1|05$72", "aabecggiiiosst" + "z"),
    str.maketrans("4@83(69!1|05$72", "aabecggillosst" + "z"),
)
_SHIFTED = str.maketrans('!@#$%^&*()_+{}:"<>?', "1234567890-=[];',./")
_LINES = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "1234567890-=",
    "qwertyuiop[]",
    "asdfghjkl;'",
    "zxcvbnm,./",
    "qwertzuiop",
    "azertyuiop",
    "qsdfghjklm",
    "yxcvbnm",
    "wxcvbn",
    "абвгдежзийклмнопрстуфхцчшщъыьэюя",
    "йцукенгшщзхъ",
    "фывапролджэ",
    "ячсмитьбю",
    *("1qaz", "2wsx", "3edc", "4rfv", "5tgb", "6yhn", "7ujm", "8ik,", "9ol.", "0p;/"),
    *("147", "258", "369", "159", "357"),
)


def _steps() -> dict[str, frozenset[int]]:
    found: dict[str, set[int]] = {}
    for number, line in enumerate(_LINES, 1):
        for before, after in pairwise(line):
            found.setdefault(before + after, set()).add(number)
            found.setdefault(after + before, set()).add(-number)
    return {pair: frozenset(ways) for pair, ways in found.items()}


_STEPS = _steps()
_PIECES = re.compile(r"[^\W\d_]+|\d+")
_NO_LETTERS_BEFORE = re.compile(r"\A[\W\d_]+")
_SAME = frozenset({0})


def is_dressed_up(text: str) -> bool:
    """Whether the text is one well-known word, or less, and what people put around it.

    Args:
        text: the password in NFC.
    """
    low = _low(text)
    flat = "".join(filter(str.isalnum, low))
    if flat.isdigit() and len(flat) < _RANDOM_DIGITS:
        return True
    for whole in filter(None, dict.fromkeys((low, flat))):
        unit = repeated_unit(whole)
        if len(unit) <= _UNIT and 2 * len(unit) <= len(whole):
            return True
        little = min(2, len(whole) // 6)
        if any(
            _loose(way, limit=little) <= little for way in dict.fromkeys((whole, whole.translate(_SHIFTED)))
        ):
            return True
        if is_common(unit) or (whole[::2] == whole[1::2] and is_common(whole[::2])):
            return True
    if is_common(low.strip(_signs(low))):
        return True
    limit = _WORD + 2
    return any(_cost(pieces, frozenset(), loose=_NEVER, limit=limit)[0] <= limit for pieces in _readings(low))


def is_own(text: str, words: Iterable[str]) -> bool:
    """Whether the text is made of these words and little else: less than four letters more, or one well-known word.

    Args:
        text: the password in NFC.
        words: from `portalsec.auth.strength.own_words`.
    """
    own = frozenset(form for word in words for form in _forms(word))
    low = _low(text)
    for pieces in _readings(low):
        cost, used = _cost(pieces, own, loose=1, limit=_WORD)
        if used and cost <= _WORD:
            return True
    return False


def plain(text: str) -> str:
    """Lower case, one form for what looks the same, no accents, nothing invisible."""
    low = _low(text).translate(_LETTERS)
    if low.isascii():
        return low
    bare = "".join(char for char in unicodedata.normalize("NFKD", low) if unicodedata.category(char) != "Mn")
    return unicodedata.normalize("NFC", bare)


def _low(text: str) -> str:
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFKC", text).lower()
    if len(folded) > _MOST_CHARACTERS:
        folded = text.lower()  # one Arabic character is eighteen in that form
    return "".join(char for char in folded if unicodedata.category(char) != "Cf")


def _signs(text: str) -> str:
    return "".join({char for char in text if not char.isalnum()}) or " "


def _core(text: str) -> str:
    """Without the digits and signs at its end. Looked for from the end, so that many inside cost nothing."""
    size = len(text)
    while size and not text[size - 1].isalpha():
        size -= 1
    return text[:size]


def _forms(word: str) -> set[str]:
    low = _low(word)
    forms = {low} if low.isascii() else {plain(low), plain(low.translate(_WRITTEN_OUT))}
    forms = {form for form in forms if form.isalnum()}
    return forms | {form[::-1] for form in forms if len(form) > _SHORTEST}


def _readings(low: str) -> Iterator[list[str]]:
    """The text as pieces of letters and of digits, in each way that it may have been meant; nothing twice in one."""
    bare = plain(low)
    texts = [bare]
    if not bare.isascii():
        texts.append(bare.translate(_LOOK_ALIKE))
    if not bare.isalpha():
        core = _core(bare)
        for table in _LEETS:
            for dressed in (core, _NO_LETTERS_BEFORE.sub("", core), bare.rstrip("0123456789")):
                texts.append(dressed.translate(table))
    seen: set[tuple[str, ...]] = set()
    for text in dict.fromkeys(texts):
        signs = len(re.sub(r"(.)\1+", r"\1", re.sub(r"\w|\s", "", text)))
        if signs > max(_MOST_SIGNS, len(low) // 5):
            continue
        joined = re.sub(r"[\W_]+", "", text)
        for split in (text, joined):
            pieces = tuple(dict.fromkeys(_PIECES.findall(split)))
            if pieces not in seen and any(
                len(piece) >= _SHORTEST and not piece.isdigit() for piece in pieces
            ):
                seen.add(pieces)
                yield list(pieces)


def _cost(pieces: list[str], own: frozenset[str], *, loose: int, limit: int) -> tuple[int, bool]:
    """What it takes to say the pieces in words, and whether one of the person's own is among them.

    Beyond ``limit`` it is not worked out.
    """
    digits = [piece for piece in pieces if piece.isdigit()]
    letters = [(piece, repeated_unit(piece)) for piece in pieces if not piece.isdigit()]
    numbers = [piece for piece in digits if piece not in own]
    used = len(numbers) < len(digits)
    if sum(map(len, numbers)) > _MOST_DIGITS and _loose("".join(numbers), limit=_WORD) > _WORD:
        return _NEVER, used
    if sum(len(unit) for _, unit in letters) > _MOST_LETTERS:
        return _NEVER, used
    total = 0
    for piece, unit in letters:
        # The whole too, where what it repeats begins or ends in the middle of a word.
        wholes = {unit, piece} if len(piece) <= _MOST_LETTERS else {unit}
        cost, without = min(_read(each, own, loose, limit) for each in wholes)
        total, used = total + cost, used or not without
        if total > limit:
            break
    return total, used


def _read(text: str, own: frozenset[str], loose: int, limit: int) -> tuple[int, bool]:
    """The least cost of the text as words, and whether that is without any of the person's own."""
    best: list[tuple[int, bool]] = [(0, True)]
    longest = max(_LONGEST, max(map(len, own), default=0))
    last = 0  # where words within the limit ended
    for end in range(1, len(text) + 1):
        if end - last > longest:
            return _NEVER, True
        found = (best[end - 1][0] + loose, best[end - 1][1])
        for start in range(max(0, end - longest), end):
            before, without = best[start]
            if before > limit:
                continue
            word = text[start:end]
            if word in own:
                found = min(found, (before, False))
            elif word in FILLERS:
                found = min(found, (before + (1 if len(word) > 1 else 2), without))
            elif end - start >= _SHORTEST and before + _WORD < found[0] and _known(word):
                # Nearly any three letters are in some list, with little words around them too.
                found = min(found, (before + _WORD + (end - start == _SHORTEST), without))
        best.append(found)
        if found[0] <= limit:
            last = end
    return best[-1]


def _known(word: str) -> bool:
    return word in COMMON or is_listed(word)


def _loose(text: str, *, limit: int) -> int:
    """How many characters are in no run of three or more that follows the alphabet, the digits or the keyboard.

    Beyond ``limit`` they are not counted.
    """
    loose, start = 0, 0
    while start < len(text) and loose <= limit:
        end, ways = start + 1, None
        while end < len(text):
            before, after = text[end - 1], text[end]
            step = _SAME if before == after else _STEPS.get(before + after, frozenset())
            ways = step if ways is None else ways & step
            if not ways:
                break
            end += 1
        if end - start < _SHORTEST:
            loose, end = loose + 1, start + 1
        start = end
    return loose
