"""Folding of names, for the normaliser `portalsec.crypto.normalise.name`; what it does is said there."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["fold_name"]

# Apostrophes, primes, turned commas (okina, ayn, hamza in transliteration), and the accents people type for them.
_APOSTROPHES = "'`´\u2018\u2019\u201a\u201b\u2032\u2035\u02b9\u02bb\u02bc\u02bd\u02be\u02bf\u02c8\u02ca\u02cb\uff07\uff40"

_SPELLED = str.maketrans(
    {
        **dict.fromkeys(_APOSTROPHES),
        "æ": "ae",
        "œ": "oe",
        "ø": "o",
        "ł": "l",
        "đ": "d",
        "ð": "d",
        "þ": "th",
        "ħ": "h",
        "ŋ": "ng",
        "ı": "i",
        "\u0640": None,  # Arabic tatweel: a stroke that stretches a word
    }
)

# What an accent that stands alone is taken apart into, such as the one typed for an apostrophe.
_FREE_ACCENT = re.compile(" [\u0300-\u036f]+")

# Accents and points that a search does without. Marks of other scripts are vowels (Indic, Thai) or letters (kana).
_DROPPED_MARKS = (
    (0x0300, 0x036F),
    (0x0483, 0x0487),  # Cyrillic
    (0x0591, 0x05C7),  # Hebrew
    (0x0610, 0x061A),  # Arabic
    (0x064B, 0x065F),
    (0x0670, 0x0670),
    (0x06D6, 0x06ED),
    (0x08D3, 0x08FF),
    (0x180B, 0x180F),  # variation selectors
    (0x1AB0, 0x1AFF),
    (0x1DC0, 0x1DFF),
    (0x20D0, 0x20FF),
    (0xFE00, 0xFE0F),  # variation selectors
    (0xFE20, 0xFE2F),
    (0xE0100, 0xE01EF),  # variation selectors
)


def fold_name(text: str) -> str:
    """The name as it is searched for; "" where nothing is left."""
    text = text.translate(_SPELLED)
    # Taking apart can bring out capitals and apostrophes, and case folding what can be taken apart: again until stable.
    while (folded := _once(text)) != text:
        text = folded
    return text


def _once(text: str) -> str:
    bare = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold()).translate(_SPELLED)
    kept = "".join(map(_kept, _FREE_ACCENT.sub("", bare)))
    return unicodedata.normalize("NFC", " ".join(kept.split()))


def _kept(char: str) -> str:
    if char.isascii():
        return char if char.isalnum() else " "
    category = unicodedata.category(char)
    if category[0] in "LN" or category in ("Cn", "Cs"):
        return char  # unknown to this Python, or refused where it is encoded
    if category[0] == "M":
        return "" if any(first <= ord(char) <= last for first, last in _DROPPED_MARKS) else char
    return "" if category == "Cf" else " "
