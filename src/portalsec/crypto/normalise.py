"""Normalisers of blind indexes: which values count as the same when they are searched for.

A normaliser is a pure function from a value to text (or bytes), with an id that is part of what is hashed: another
normaliser, or another version of one, gives another index. None is the answer to a value in which nothing is left to
search for, such as a phone number without a digit: it has no tag, so that it is stored as NULL in the index and found
by nobody, instead of meeting all other such values. None of them raises with the value in the message. Text of more
than 1024 characters, and a domain of more than 255, is refused (`ValueError`) by all that fold: it is no name, number or
address, and folding is not linear.

All are idempotent: what they return, they return again. What each folds together is said in its docstring; two
values that fold together are found together, and are told apart after decryption.

Folding is Unicode's, of the Unicode version of the running Python (`unicodedata.unidata_version`). A letter that this
version does not know yet is taken as it is, and may fold otherwise under a later Python: rebuild the index then.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any, TypeAlias

from portalsec._encoding import length_prefixed
from portalsec.crypto._names import fold_name
from portalsec.crypto.codec import codec_for
from portalsec.errors import ConfigurationError

__all__ = [
    "Bucket",
    "Normaliser",
    "bucket",
    "digits",
    "email",
    "exact",
    "name",
    "parts",
    "phone",
    "prefix",
    "year",
]

_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}/[0-9]{1,4}", re.ASCII)

_LONGEST = 1024
_LONGEST_DOMAIN = 255  # RFC 5321 section 4.5.3.1.2

Edge: TypeAlias = int | Decimal | date


@dataclass(frozen=True, slots=True)
class Normaliser:
    """A named, versioned function from a value to what is searched for.

    Applications may declare their own, ``Normaliser("acme-mrn/1", function)``: pure, idempotent, and of another id
    whenever it answers otherwise. The built-in ones combine others in ids with parentheses.

    Attributes:
        id: "name/version", in lower case. Part of the index's tags.
        apply: value to text, bytes, or None where nothing is left to search for. `TypeError` for another type.
    """

    id: str
    apply: Callable[[Any], str | bytes | None]

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id.partition("(")[0]):
            raise ConfigurationError(
                f"a normaliser's id is a name and a version in lower case, as in 'acme-mrn/1', not {self.id!r}"
            )

    def __call__(self, value: Any) -> bytes | None:
        """What is hashed. Raises `ValueError`, without the value, for text that has no encoding."""
        result = self.apply(value)
        if result is None or isinstance(result, bytes):
            return result
        try:
            return str.encode(result)
        except UnicodeEncodeError:
            pass  # outside the handler: the error of the codec holds the text
        raise ValueError("the value has half a surrogate pair and cannot be encoded")


def _exact(value: Any) -> bytes:
    if isinstance(value, str):
        try:
            return b"s" + str.encode(value)
        except UnicodeEncodeError:
            pass
        raise ValueError("the value has half a surrogate pair and cannot be encoded")
    for kind in (bool, int, Decimal, datetime, date, bytes):  # bool before int, datetime before date
        if isinstance(value, kind):
            codec = codec_for(kind)
            break
    else:
        try:
            codec = codec_for(type(value))
        except ConfigurationError:
            raise _wrong("str, bytes, bool, int, Decimal, date, datetime or UUID", value) from None
    return codec.tag + codec.encode(value)


exact = Normaliser("exact/1", _exact)
"""Nothing is folded: the type byte and the canonical encoding of the value, as in a cell.

"" is a value like any other, 1.50 is not 1.5, and one instant in two offsets is two values.
"""


def _digits(value: Any) -> str | None:
    return _decimal(_text(value)) or None


digits = Normaliser("digits/1", _digits)
"""The decimal digits of a text, in any script, as 0 to 9; everything else is dropped: "078-05-1120" is "078051120".

For numbers that are written with spaces, dots and hyphens; not for identifiers with letters, nor for phone numbers.
None where there is no digit.
"""


def _email(value: Any) -> str | None:
    local, at, domain = unicodedata.normalize("NFKC", _text(value).strip()).strip().rpartition("@")
    if len(domain) > _LONGEST_DOMAIN:
        raise ValueError(f"an e-mail domain has at most {_LONGEST_DOMAIN} characters")
    domain = ".".join(map(_label, re.split(r"[.\u3002]", domain)))
    local, domain = _caseless(local).strip(), domain.strip(". ")
    return f"{local}@{domain}" if at and local and domain else None


email = Normaliser("email/1", _email)
"""An e-mail address: surrounding space dropped, local part and domain NFKC and case folded, the domain in IDNA's ASCII
form (RFC 5890; "müller.example" is "xn--mller-kva.example"), a final dot of the domain dropped.

Mail systems may tell "Ada@" from "ada@" (RFC 5321 section 2.4); none does, and people write both. Dots and "+tag" of the
local part stay: what they mean is the provider's affair. It is no check: an address that cannot exist is folded too.
None where there is no "@", or nothing on one side of it.
"""


def phone(
    default_country: str | int | None = None, *, trunk: str | None = None, international: str | None = None
) -> Normaliser:
    """A phone number in the shape of E.164: "+" and at most 15 digits.

    "+41 79 123 45 67", "0041 (0)79 123-45-67" and, with ``default_country=41``, "079 123 45 67" are one number. Everything
    from a letter, ";" or "#" after the first digit (an extension, a remark) is left out.

    It knows no numbering plans (the library `phonenumbers` does, and may stand in a `Normaliser` of your own): it does
    not know whether a number exists, or a country code that is written without "+", and without a default country a
    number that is written nationally keeps its digits as they are and does not meet its international form. The
    arguments are not part of the index's id, since they do not change what a complete number becomes.

    None where there is no digit, or more than 15: two numbers in one box are not searched for.

    Args:
        default_country: country calling code of numbers that are written without one: 41, "41" or "+41"; not "CH".
        trunk: what is dialled before a national number and is no part of it. Where not given: "1" in country 1, "8" in 7,
            "06" in 36, none in 39, 225 and 242 (where the 0 belongs to the number), "0" elsewhere.
        international: what is dialled for another country. Where not given: "011" in country 1, "00" elsewhere.
    """
    country = str(default_country).removeprefix("+") if default_country is not None else ""
    if default_country is not None and not re.fullmatch(r"[1-9][0-9]{0,2}", country, re.ASCII):
        raise ConfigurationError(
            f"phone(default_country={default_country!r}): give the country's calling code, such as 41, not its name"
        )
    trunk = _TRUNK.get(country, "0") if trunk is None else trunk
    international = _INTERNATIONAL.get(country, "00") if international is None else international
    for what, dialled in (("trunk", trunk), ("international", international)):
        if not re.fullmatch(r"[0-9]{0,4}", dialled, re.ASCII):
            raise ConfigurationError(f"phone({what}={dialled!r}): give the digits that are dialled")

    def apply(value: Any) -> str | None:
        number = _phone(_text(value), country, trunk, international)
        return number if number and 0 < len(number.lstrip("+")) <= 15 else None

    return Normaliser("phone/1", apply)


_TRUNK = {"1": "1", "7": "8", "36": "06", "39": "", "225": "", "242": ""}
_INTERNATIONAL = {"1": "011"}
_WORD_OR_PLUS = re.compile(r"[\w+]")
_BRACKETED_TRUNK = re.compile(r"\(\s*+0++\s*+\)")


def _phone(text: str, country: str, trunk: str, international: str) -> str | None:
    text = unicodedata.normalize("NFKC", text)
    digit = re.search(r"\d", text)
    if digit is None:
        return None
    begin = digit.start()
    while begin and not _WORD_OR_PLUS.match(text, begin - 1):
        begin -= 1
    plus = begin > 0 and text[begin - 1] == "+"
    said = re.split(r"[^\W\d_]|[;#]", text[begin:], maxsplit=1)[0]
    if not plus and international and _decimal(said).startswith(international):
        plus = True
        number = _decimal(_BRACKETED_TRUNK.sub("", said))
        number = number.removeprefix(international)
    else:
        number = _decimal(_BRACKETED_TRUNK.sub("", said) if plus else said)
    if plus:
        number = number.lstrip("0")  # no country code begins with 0
        if trunk == "0" and country and number.startswith(country + "0"):
            number = country + number.removeprefix(country).lstrip("0")  # "+41 079 ..."
        return f"+{number}" if number else None
    if not country:
        return number or None
    if trunk:
        number = number.lstrip("0") if trunk == "0" else number.removeprefix(trunk)
    return f"+{country}{number}" if number else None


def _name(value: Any) -> str | None:
    return fold_name(_text(value)) or None


name = Normaliser("name/1", _name)
"""A person's name as people look for it: "Zoë" is "ZOE", "O’Brien" is "OBrien", "Anna-Maria" is "Anna Maria".

- Compatibility forms and case are folded (NFKC, casefold): "ＡＤＡ" is "ada", "Strauß" is "STRAUSS", "İ" and "ı" are "i".
- Accents and points are dropped, in Latin, Greek, Cyrillic, Hebrew and Arabic; so are apostrophes, and the characters
  that nobody sees. Vowel signs of Indic and Thai writing, the marks of kana and the syllables of Hangul stay.
- Letters that Unicode does not take apart are spelled out: æ ae, œ oe, ø o, ł l, đ and ð d, þ th, ħ h, ŋ ng.
- Hyphens, dots, commas and other signs are a space; spaces are collapsed.

"Müller" is "Muller" and not "Mueller"; the order of names is kept; nothing is transliterated, and a nickname is another
name. None where no letter or digit is left.
"""


def _year(value: Any) -> str | None:
    if isinstance(value, date):
        return f"{value.year:04d}"
    if isinstance(value, int) and not isinstance(value, bool):
        if not 1 <= value <= 9999:
            raise ValueError("a year is from 1 to 9999")
        return f"{value:04d}"
    raise _wrong("a date, a datetime or a year as an int", value)


year = Normaliser("year/1", _year)
"""The year of a date, of a datetime (where its own offset puts it), or a year itself, as a number.

As an index by itself it has a hundred values or so: see `BlindIndex.plan`. It is meant for `parts`.
"""


def prefix(inner: Normaliser, n: int) -> Normaliser:
    """The first ``n`` characters (code points) of what ``inner`` makes of a text, for "begins with".

    A search finds what begins with the first ``n`` characters of the text that is searched for; what is shorter than
    ``n`` is found by itself only. Of a text that ends in a space after ``n`` characters, the space is dropped. The fewer characters, the fewer values there are, and the more each tag says.
    """
    if type(n) is not int or not 1 <= n <= 64:
        raise ConfigurationError(f"prefix(n={n!r}): give a number of characters from 1 to 64")

    def apply(value: Any) -> str | None:
        text = _whole(value) if inner is exact else inner.apply(value)
        if text is None:
            return None
        if not isinstance(text, str):
            raise TypeError(f"prefix needs a normaliser that makes text, and {inner.id} makes bytes")
        return text[:n] if inner is exact else text[:n].rstrip()

    return Normaliser(f"prefix/1({inner.id},{n})", apply)


@dataclass(frozen=True, slots=True)
class Bucket(Normaliser):
    """See `bucket`."""

    edges: tuple[Edge, ...]

    def covering(self, low: Edge, high: Edge) -> list[Edge]:
        """One value out of each bucket that has values from ``low`` to ``high``, both included.

        Search for all of them, and drop what lies outside after decryption.
        """
        if not low <= high:  # type: ignore[operator]
            return []
        return [low, *(edge for edge in self.edges if low < edge <= high)]  # type: ignore[operator]


def bucket(edges: Sequence[Edge]) -> Bucket:
    """Numbers (int, Decimal) or dates in ranges: each edge begins a new one.

    ``bucket([18, 65])`` has three: below 18, from 18 to 64, from 65. `Bucket.covering` serves a search for a range. The
    edges are part of the index's id: others need a rebuild.

    Raises:
        ConfigurationError: no edges, unsorted ones, or of other types.
    """
    chosen = tuple(edges)
    if not chosen or not _sortable(chosen) or any(a >= b for a, b in pairwise(chosen)):  # type: ignore[operator]
        raise ConfigurationError(
            "bucket(edges=): give at least one edge, all ints and Decimals or all dates, from low to high, none twice"
        )
    dates = isinstance(chosen[0], date)

    def apply(value: Any) -> str:
        if dates is not isinstance(value, date) or not _sortable((value,)):
            raise _wrong("a date" if dates else "an int or a finite Decimal", value)
        return str(bisect_right(chosen, value))

    # An edge is its value, whatever its type and its trailing zeros: so are comparisons.
    ids = ",".join(edge.isoformat() if isinstance(edge, date) else _number(edge) for edge in chosen)
    return Bucket(f"bucket/1({ids})", apply, chosen)


def _sortable(values: Sequence[object]) -> bool:
    """All plain dates, or all numbers: what compares with each other."""
    if all(isinstance(value, date) and not isinstance(value, datetime) for value in values):
        return True
    return all(
        (isinstance(value, int) and not isinstance(value, bool))
        or (isinstance(value, Decimal) and value.is_finite())
        for value in values
    )


def _number(value: int | Decimal) -> str:
    sign, figures, exponent = Decimal(value).as_tuple()
    text = "".join(map(str, figures)).lstrip("0")
    bare = text.rstrip("0")
    return f"{'-' if sign and bare else ''}{bare or 0}e{int(exponent) + len(text) - len(bare) if bare else 0}"


def parts(*inner: Normaliser) -> Normaliser:
    """Several values at once, for a compound index: ``parts(name, year)`` takes ``("Ada Lovelace", date(1815, 12, 10))``.

    A compound says less about each of its values than an index of each. None where one of them is None or has nothing
    to search for: such a row is not found by this index.
    """
    if len(inner) < 2:
        raise ConfigurationError("parts() combines two normalisers or more")

    def apply(value: Any) -> bytes | None:
        if not isinstance(value, tuple) or len(value) != len(inner):
            raise TypeError(f"a compound index takes a tuple of {len(inner)} values")
        each = [None if item is None else how(item) for how, item in zip(inner, value, strict=True)]
        return None if None in each else length_prefixed(*each)  # type: ignore[arg-type]

    return Normaliser(f"parts/1({','.join(how.id for how in inner)})", apply)


def _whole(value: object) -> str:
    if not isinstance(value, str):
        raise _wrong("text", value)
    return value


def _text(value: object) -> str:
    if len(text := _whole(value)) > _LONGEST:
        raise ValueError(f"this index takes text of at most {_LONGEST} characters")
    return text


def _wrong(wanted: str, value: object) -> TypeError:
    return TypeError(f"this index takes {wanted}, not {type(value).__name__}")


def _decimal(text: str) -> str:
    """Its decimal digits, of any script, as ASCII."""
    return "".join(
        str(unicodedata.decimal(char)) for char in text if unicodedata.decimal(char, None) is not None
    )


def _caseless(text: str) -> str:
    """NFKC and case folded, until nothing changes: either can undo the other."""
    while (folded := unicodedata.normalize("NFKC", text.casefold())) != text:
        text = folded
    return text


# IDNA 2008 tells these from what case folding makes of them (UTS 46 calls them deviation characters).
_DEVIATIONS = {"ß", "ς", "\u200c", "\u200d"}


def _label(label: str) -> str:
    """One label of a domain as UTS 46 and Punycode write it: lower case, "xn--" where it is not ASCII."""
    while (folded := unicodedata.normalize("NFKC", "".join(map(_lower, label)))) != label:
        label = folded
    label = label.strip()
    if label.isascii():
        return label
    try:
        return "xn--" + label.encode("punycode").decode("ascii")
    except UnicodeError:
        pass
    raise ValueError("the value has half a surrogate pair and cannot be encoded")


def _lower(char: str) -> str:
    return char if char in _DEVIATIONS else "ß" if char == "ẞ" else char.casefold()
