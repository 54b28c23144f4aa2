"""Makes the list that comes with portalsec: ``python -m tests.auth.bundled_list`` writes it anew.

Out of zxcvbn's and Django's lists of common passwords, and the rules of `portalsec.auth.candidates`. Deterministic: the
same lists and rules give the same bytes, and `tests/auth/test_bundled.py` compares them with the file.
"""

from __future__ import annotations

import gzip
from array import array
from collections.abc import Iterator
from pathlib import Path

from django.contrib.auth.password_validation import CommonPasswordValidator
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from portalsec.auth import breached
from portalsec.auth._breach_format import fold, key_of
from portalsec.auth.breached_build import Built, build_breach_file
from portalsec.auth.candidates import expand, repeated, walks, with_endings

PATH = Path(breached.__file__).parent / "data" / "common.breach"
BITS = 24
LABEL = "zxcvbn's and Django's lists, and what people make of it"

SHORTEST = 4  # characters: shorter entries are of the lists themselves alone

# What stands on the pages of portals, in English and Spanish.
PORTAL_WORDS = (
    *(
        "patient",
        "patients",
        "portal",
        "health",
        "healthy",
        "healthcare",
        "clinic",
        "hospital",
        "doctor",
        "doctors",
    ),
    *("nurse", "medical", "medicine", "care", "welcome", "account", "records", "office", "admin", "login"),
    *("paciente", "salud", "clinica", "medico", "doctora", "bienvenido", "cuenta"),
)
PHRASES = (
    "correct horse battery staple",
    "let me in",
    "open sesame",
    "i love you",
    "i love you so much",
    "my password",
    "my password is password",
    "this is my password",
    "this is a password",
    "the password is password",
    "password is password",
    "change me please",
    "change me now",
    "change this password",
    "i forgot my password",
    "no password needed",
    "my patient portal",
    "my health portal",
    "patient portal password",
    "health portal password",
    "welcome to the portal",
    "the quick brown fox",
    "the quick brown fox jumps",
    "the quick brown fox jumps over the lazy dog",
    "to be or not to be",
    "to be or not to be that is the question",
    "once upon a time",
    "may the force be with you",
    "in the beginning",
    "hello my name is",
    "mary had a little lamb",
    "twinkle twinkle little star",
    "happy birthday to you",
    "te quiero mucho",
    "te amo mucho",
    "mi contraseña",
    "esta es mi contraseña",
)
_ENDINGS = (
    *(
        "1",
        "2",
        "3",
        "7",
        "8",
        "9",
        "01",
        "10",
        "11",
        "12",
        "13",
        "21",
        "22",
        "23",
        "69",
        "99",
        "00",
        "88",
        "77",
    ),
    *(
        "123",
        "1234",
        "12345",
        "123456",
        "321",
        "111",
        "007",
        "123!",
        "1234!",
        "!",
        "!!",
        "1!",
        ".",
        "?",
        "*",
        "@1",
    ),
    *(
        "2018",
        "2019",
        "2020",
        "2021",
        "2022",
        "2023",
        "2024",
        "2025",
        "2026",
        "2024!",
        "2025!",
        "2026!",
        "@123",
    ),
)
_MANY = 400  # of the commonest words get every ending
_SOME = 3000  # get the commonest ones
_NAMES = 1000
_ENGLISH = 10_000


def listed() -> list[str]:
    """Both lists of passwords, each in its order, folded."""
    with gzip.open(CommonPasswordValidator().DEFAULT_PASSWORD_LIST_PATH, "rt", encoding="utf-8") as file:
        django = [line.strip() for line in file]
    return list(dict.fromkeys(fold(word) for word in (*FREQUENCY_LISTS["passwords"], *django) if word))


def entries() -> Iterator[str]:
    """Every entry, folded, some more than once."""
    for text in _entries():
        yield fold(text)


def _entries() -> Iterator[str]:
    common = listed()
    yield from common
    words = [word for word in common if word.isalpha() and len(word) >= SHORTEST]
    names = [
        word
        for kind in ("male_names", "female_names", "surnames")
        for word in FREQUENCY_LISTS[kind][:_NAMES]
        if len(word) >= SHORTEST
    ]
    english = [word for word in FREQUENCY_LISTS["english_wikipedia"] if word.isalpha()]
    for kind, found in FREQUENCY_LISTS.items():
        if kind != "passwords":
            yield from (word for word in found if len(word) >= 8)
    for word in common:
        if len(word) >= SHORTEST:
            yield from (word * times for times in range(2, 6) if len(word) * times <= 24)
    for word in (*names, *english[:_ENGLISH]):
        if len(word) >= SHORTEST:
            yield word * 2
    for word in dict.fromkeys((*words[:_SOME], *names, *PORTAL_WORDS)):
        yield from (word + ending for ending in _ENDINGS)
    for word in dict.fromkeys((*words[:_MANY], *PORTAL_WORDS)):
        yield from with_endings(word)
        yield from repeated(word, 24)
    for word in PORTAL_WORDS:
        yield from expand([word])
        for other in PORTAL_WORDS:
            if other != word:
                for joint in ("", " ", "-"):
                    pair = word + joint + other
                    yield from (pair, *(pair + ending for ending in _ENDINGS))
    for phrase in PHRASES:
        for joint in ("", " ", "-", "_", "."):
            text = phrase.replace(" ", joint)
            yield from (text, *(text + ending for ending in _ENDINGS))
    yield from walks()


def make(out: Path) -> Built:
    keys = array("Q", map(key_of, set(entries())))
    return build_breach_file([keys], out, bits=BITS, folded=True, label=LABEL)


if __name__ == "__main__":
    made = make(PATH)
    print(f"{made.entries:,} entries, {made.size:,} bytes")
