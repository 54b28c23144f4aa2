"""Whether a whole password is what people make of certain words: their own name, their birth date, the portal's name.

`portalsec.auth.candidates` lists what people make of words, about 5,000 candidates each and more for each pair. Here
the question is asked backwards, which takes microseconds for any number of words: is anything left of the password
without them? A word somewhere in a longer password is no reason to refuse it (SP 800-63B-4 section 3.1.1.2 compares
whole passwords, not substrings).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from portalsec.auth.strength import is_common

__all__ = ["made_of"]

_LITTLE = 4  # fewer letters and digits than these are as good as nothing
_DATE = 8  # up to so many digits are a year or a date, whosever it is
_BACKWARDS = 4  # shorter words are not looked for backwards
# Signs that stand for letters, each pair folded to one: what is written 1 may be an i or an l.
_LEET = str.maketrans("4@8(361!|l0$5+7", "aabcegiiiiosstt")


def made_of(text: str, words: Iterable[str]) -> bool:
    """Whether the whole text is made of the words, in any order and spelling, and little else.

    Args:
        text: the password in NFC.
        words: from `portalsec.auth.strength.own_words`: lower case, three characters or more.
    """
    plain = text.lower()
    rest = _fold(plain)
    folded = {_fold(word) for word in words}
    folded |= {word[::-1] for word in folded if len(word) >= _BACKWARDS}
    for word in sorted(folded, key=lambda word: (-len(word), word)):
        rest = rest.replace(
            word, "\0" * len(word)
        )  # NUL is in no password that got this far, and keeps the places
    if "\0" not in rest:
        return False
    left = "".join(
        char for char, covered in zip(plain, rest, strict=True) if covered != "\0" and char.isalnum()
    )
    return len(left) < _LITTLE or (len(left) <= _DATE and left.isdigit()) or is_common(left)


def _fold(text: str) -> str:
    """Signs as the letters that they stand for, letters without accents; as many characters as before."""
    return "".join(map(_bare, text)).translate(_LEET)


def _bare(char: str) -> str:
    if char.isascii():
        return char
    parts = unicodedata.normalize("NFD", char)
    # A Korean syllable falls into letters, which must all count.
    return parts[0] if len(parts) > 1 and unicodedata.combining(parts[1]) else char
