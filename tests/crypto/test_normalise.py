"""Normalisers of blind indexes: what they fold, what they keep, and that they fold it once and for all."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portalsec.crypto.blind_index import BlindIndex
from portalsec.crypto.codec import codec_for
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.normalise import (
    Normaliser,
    bucket,
    digits,
    email,
    exact,
    name,
    parts,
    phone,
    prefix,
    year,
)
from portalsec.errors import ConfigurationError
from tests.support import stable

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
PHONES = [
    phone(),
    phone(41),
    phone("+1"),
    phone(39),
    phone(36),
    phone(7),
    phone(49, trunk="0", international="00"),
]


def again(normaliser, value):
    """What it makes of a value, and of what it made."""
    once = normaliser.apply(value)
    return once, once if once is None else normaliser.apply(once)


# -- names ------------------------------------------------------------------------------------------------------

SAME_NAMES = [
    ("Zoë", "ZOE", "Zoe\u0308", "  zoë "),
    ("O'Brien", "O’Brien", "OBrien", "o`brien", "O´Brien", "Oʼbrien"),
    ("Müller", "MULLER", "Mu\u0308ller"),
    ("Ægir", "AEGIR", "æGIR"),
    ("İrem", "irem", "IREM", "ırem"),
    ("Strauß", "STRAUSS", "strauẞ"),
    ("Anna-Maria", "anna maria", "Anna‐Maria", "Anna–Maria", "Anna\u00a0 Maria", "ANNA.MARIA", "Anna\tMaria"),
    ("Łukasz Đorđe Øyvind Þór Œuvre", "lukasz dorde oyvind thor oeuvre"),
    ("ＡＤＡ", "ada", "Ａda"),
    ("Ἀθηνᾶ", "ΑΘΗΝΑ"),
    ("Фёдор", "ФЕДОР"),
    ("Σοφοσ", "ΣΟΦΟΣ", "σοφος"),
    ("أحمد", "احمد", "أَحْمَد", "احـــمد"),
    ("שָׁלוֹם", "שלום"),
    ("山田 太郎", "山田　太郎", "山田・太郎"),
    ("ﾔﾏﾀﾞ", "ヤマダ"),
    ("김철수", unicodedata.normalize("NFD", "김철수")),
    ("ﬁona", "FIONA"),
    ("Nguyễn", "NGUYEN"),
    ("Ada\u200d\u200eLove\u00adlace", "adalovelace"),
]


@pytest.mark.parametrize("spellings", SAME_NAMES, ids=lambda spellings: spellings[0])
def test_one_name_in_many_spellings(spellings):
    assert len({name(spelling) for spelling in spellings}) == 1


def test_names_that_are_different_stay_different():
    names = [
        "Müller",
        "Mueller",
        "Möller",
        "Anna Maria",
        "Annamaria",
        "Maria Anna",
        "か",
        "が",
        "ヤマタ",
        "ヤマダ",
    ]
    names += [
        "김철수",
        "김칠수",
        "山田",
        "山本",
        "हिन्दी",
        "हन्द",
        "สมชาย",
        "สมชย",
        "احمد",
        "محمد",
        "Ⅲ. x",
        "x",
        "Li",
        "Lee",
    ]
    assert len({name(one) for one in names}) == len(names)


@pytest.mark.parametrize("nothing", ["", " ", "-", "'", "…", "´", "\u200d", "\u0301"])
def test_a_name_without_a_letter_is_nothing(nothing):
    assert name(nothing) is None


@given(texts)
@example("ᾳ\u0345")
@example("\u0130\u0307")
@example("ŉ")
@example("﷐\U000e0100")
def test_a_name_is_folded_once(text):
    once, twice = again(name, text)
    assert once == twice


@given(texts)
def test_a_name_in_another_form_or_case_is_the_same(text):
    folded = name(text)
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert name(unicodedata.normalize(form, text)) == folded
    assert name(text.casefold()) == folded
    assert name(f" {text}\n") == folded


@given(st.text(st.characters(max_codepoint=0x24F, exclude_categories=["Cs"]), max_size=20))
def test_the_case_of_a_latin_name_does_not_matter(text):
    assert name(text.upper()) == name(text.lower()) == name(text)


@given(st.lists(st.text("abcåéñ", min_size=1, max_size=5), min_size=1, max_size=4), st.data())
def test_what_stands_between_names_does_not_matter(words, data):
    between = st.sampled_from([" ", "-", "  ", "\u2010", ", ", ".", "\u00a0", " - "])
    spelled = words[0] + "".join(data.draw(between) + word for word in words[1:])
    assert name(spelled) == name(" ".join(words))


def test_every_single_character_is_folded_once_in_every_form():
    for code in [*range(0xD800), *range(0xE000, 0x30000, 3), *range(0xE0000, 0xE0200)]:
        once, twice = again(name, chr(code))
        assert once == twice, hex(code)
        assert name.apply(unicodedata.normalize("NFD", chr(code))) == once, hex(code)


# -- e-mail -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spellings",
    [
        ("ada@example.org", " Ada@EXAMPLE.org. ", "ADA@example.ORG", "ada＠example.org", "ada@example。org"),
        ("x@müller.example", "x@MÜLLER.example", "X@xn--mller-kva.example", "x@mu\u0308ller.example"),
        ("x@straße.example", "x@xn--strae-oqa.example", "x@STRAẞE.example"),
        ("zoë@example.org", "ZOË@example.org", "zoe\u0308@example.org"),
        ('"a@b"@example.org', '"A@B"@example.org'),
    ],
    ids=lambda spellings: spellings[0],
)
def test_one_address_in_many_spellings(spellings):
    assert len({email(spelling) for spelling in spellings}) == 1
    assert email(spellings[0]) is not None


def test_addresses_that_are_different_stay_different():
    addresses = [
        "a.da@example.org",
        "ada@example.org",
        "ada+x@example.org",
        "ada@example.com",
        "x@straße.example",
    ]
    addresses += ["x@strasse.example", "ada@mail.example.org", "äda@example.org"]
    assert len({email(address) for address in addresses}) == len(addresses)


@pytest.mark.parametrize(
    "domain", ["müller", "straße", "例え", "한국", "βόλος", "пример", "मिसाल", "xn--a-b"]
)
def test_a_domain_label_is_what_the_idna_library_writes(domain):
    idna = pytest.importorskip("idna")
    ours = email(f"x@{domain}.example").decode()
    if domain.startswith("xn--"):
        assert ours == f"x@{domain}.example"
    else:
        assert ours == f"x@{idna.encode(domain + '.example', uts46=True).decode()}"


@pytest.mark.parametrize("nothing", ["", "none", "@example.org", "ada@", "ada@.", " @ ", "@"])
def test_what_is_no_address_is_nothing(nothing):
    assert email(nothing) is None


@given(st.tuples(texts, texts).map("@".join))
@example("\u1e9e@\u1e9e")
@example("a@ .b")
@example("a@b\u3002")
@example("a@b.\u00a0.")
def test_an_address_is_folded_once(text):
    once, twice = again(email, text)
    assert once == twice


@given(st.emails())
def test_the_case_of_an_address_does_not_matter(address):
    assert email(address.upper()) == email(address.lower()) == email(address) is not None


# -- phones -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spelling",
    [
        "+41 79 123 45 67",
        "+41791234567",
        "0041 79 123-45-67",
        "00 41 (0)79 123.45.67",
        "+41 (0) 79 123 45 67",
        "+41 079 123 45 67",
        "079 123 45 67",
        "(079) 123 45 67",
        "079/1234567",
        "79 123 45 67",
        "＋41 79 123 45 67",
        "(+41) 79 123 45 67",
        "tel:+41-79-123-45-67",
        "079 123 45 67 (work)",
        "079 123 45 67 ext. 12",
        "079 123 45 67;12",
        "٠٧٩ ١٢٣ ٤٥ ٦٧",
        "Mobile: 079 123 45 67",
        "\u202a079 123 45 67\u202c",
    ],
)
def test_one_number_in_many_spellings(spelling):
    assert phone(41)(spelling) == b"+41791234567"


def test_other_countries():
    assert (
        phone(1)("(212) 555-0100")
        == phone(1)("1-212-555-0100")
        == phone(41)("+1 212 555 0100")
        == b"+12125550100"
    )
    assert phone(1)("011 41 79 123 45 67") == b"+41791234567"
    assert phone(39)("06 1234 5678") == phone(41)("+39 06 1234 5678") == b"+390612345678"
    assert phone(7)("8 812 123-45-67") == phone(7)("+7 812 123-45-67") == b"+78121234567"
    assert phone(36)("06 1 234 5678") == phone(41)("+36 1 234 5678") == b"+3612345678"
    assert phone(81, international="010")("010 41 79 123 45 67") == b"+41791234567"


def test_without_a_country_a_national_number_stays_as_it_is():
    assert phone()("079 123 45 67") == b"0791234567"
    assert phone()("+41 79 123 45 67") == phone()("0041791234567") == b"+41791234567"


@pytest.mark.parametrize(
    "nothing", ["", "n/a", "unknown", "+", "00", "000", "079 123 45 67 / 044 555 66 77", "1" * 16]
)
@pytest.mark.parametrize("normaliser", [phone(), phone(41)], ids=["", "41"])
def test_what_is_no_number_is_nothing(nothing, normaliser):
    assert normaliser(nothing) is None


@pytest.mark.parametrize("normaliser", PHONES, ids=range(len(PHONES)))
@given(text=texts | st.text("0123456789+() -/x", max_size=25))
@example("+410079")
@example("+0041")
@example("00 00 41")
@example("(0)")
@example("0(0)1")
@example("+1 1")
@example("0606 1")
def test_a_number_is_folded_once(normaliser, text):
    once, twice = again(normaliser, text)
    assert once == twice


@given(st.from_regex(r"[1-9][0-9]{4,9}", fullmatch=True), st.data())
def test_how_a_number_is_grouped_does_not_matter(number, data):
    gaps = st.sampled_from(["", " ", "-", ".", "/", " / ", "\u00a0"])
    grouped = "".join(digit + data.draw(gaps) for digit in number)
    assert (
        phone(49)(f"+49 {grouped}")
        == phone(49)(f"0{grouped}")
        == phone()(f"+49{number}")
        == b"+49" + number.encode()
    )


def test_the_country_is_not_part_of_the_id():
    assert {one.id for one in PHONES} == {"phone/1"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"default_country": "CH"},
        {"default_country": ""},
        {"default_country": 0},
        {"default_country": "0041"},
        {"trunk": "x"},
        {"international": "+"},
        {"international": "00000"},
    ],
)
def test_a_country_is_a_calling_code(wrong):
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        phone(**wrong)


# -- digits, exact, year ----------------------------------------------------------------------------------------


@given(texts)
def test_digits_keeps_the_digits(text):
    once, twice = again(digits, text)
    assert once == twice
    assert (once or "") == "".join(str(unicodedata.decimal(c)) for c in text if c.isdecimal())


def test_digits():
    assert digits("078-05-1120") == digits("٠٧٨ ٠٥ ١١٢٠") == b"078051120"
    assert digits("no") is None


VALUES = ["", "Zoë", b"", b"\xff", True, 0, 1, -129, Decimal("1.50"), date(1815, 12, 10), UUID(int=7)]
VALUES += [
    datetime(1815, 12, 10, tzinfo=UTC),
    datetime(1815, 12, 10, 1, tzinfo=timezone(timedelta(hours=1))),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_exact_is_the_cell_s_encoding_after_its_type(value):
    codec = codec_for(type(value))
    assert exact(value) == codec.tag + codec.encode(value)


def test_exact_folds_nothing():
    assert len({exact(value) for value in VALUES}) == len(VALUES)
    assert exact("a") != exact("A") != exact(" A")


def test_exact_takes_the_children_of_its_types():
    class Text(str):
        pass

    assert exact(Text("x")) == exact("x")


def test_year():
    assert year(date(1815, 12, 10)) == year(1815) == b"1815"
    assert year(datetime(1815, 1, 1, tzinfo=timezone(timedelta(hours=2)))) == b"1815"
    assert year(7) == b"0007"
    for none in (0, 10000):
        with pytest.raises(ValueError, match="1 to 9999"):
            year(none)


# -- combined ---------------------------------------------------------------------------------------------------


def test_prefix():
    first = prefix(name, 3)
    assert first("Lovelace") == first("LÖVE") == first("l'ov") == b"lov"
    assert first("Li") == b"li" != first("Lin")
    assert first("-") is None
    assert prefix(exact, 2)("Ada") == b"Ad"
    assert (first.id, prefix(exact, 2).id) == ("prefix/1(name/1,3)", "prefix/1(exact/1,2)")


@given(texts, st.integers(1, 8))
def test_a_prefix_finds_what_begins_so(text, n):
    whole = name.apply(text)
    if whole is not None and len(whole) >= n:
        assert prefix(name, n)(text) == prefix(name, n)(whole[:n])


@pytest.mark.parametrize("n", [0, 65, True, "3", 2.0])
def test_a_prefix_has_a_length(n):
    with pytest.raises(ConfigurationError, match="1 to 64"):
        prefix(name, n)


def test_a_prefix_is_of_text():
    with pytest.raises(TypeError, match="makes bytes"):
        prefix(parts(name, year), 3)(("Ada", 1815))


def test_bucket():
    ages = bucket([18, 65])
    assert [ages(age) for age in (-5, 17, 18, 64, 65, 200)] == [b"0", b"0", b"1", b"1", b"2", b"2"]
    assert ages(Decimal("17.99")) == b"0"
    assert ages.id == "bucket/1(18e0,65e0)" == bucket([Decimal("18.0"), Decimal("65")]).id
    born = bucket([date(1950, 1, 1), date(2000, 1, 1)])
    assert [born(day) for day in (date(1949, 12, 31), date(1950, 1, 1), date(2026, 1, 1))] == [
        b"0",
        b"1",
        b"2",
    ]
    assert born.id == "bucket/1(1950-01-01,2000-01-01)"


numbers = st.integers() | st.decimals(allow_nan=False, allow_infinity=False)


@given(st.sets(numbers, min_size=1).map(sorted), numbers, numbers, numbers)
def test_a_range_is_covered_by_its_buckets(edges, low, value, high):
    buckets = bucket(edges)
    searched = {buckets(one) for one in buckets.covering(low, high)}
    if low <= value <= high:
        assert buckets(value) in searched
    if low > high:
        assert not searched
    # No bucket is searched that has nothing of the range.
    assert searched <= {b"%d" % n for n in range(int(buckets(low)), int(buckets(high)) + 1)}


@given(st.sets(numbers, min_size=1).map(sorted), st.sets(numbers, min_size=1).map(sorted))
def test_buckets_of_other_edges_have_another_id(one, other):
    assert (bucket(one).id == bucket(other).id) is (one == other)


@pytest.mark.parametrize(
    "edges",
    [
        [],
        [2, 1],
        [1, 1],
        [1.5],
        ["a"],
        [True],
        [1, date(2000, 1, 1)],
        [Decimal("NaN")],
        [datetime(2000, 1, 1)],
    ],
    ids=repr,
)
def test_edges_are_sorted_and_of_one_kind(edges):
    with pytest.raises(ConfigurationError, match="edges"):
        bucket(edges)


def test_parts():
    both = parts(name, year)
    assert (
        both(("Ada", date(1815, 12, 10))) == both(("ADA", 1815)) == b"\x00\x00\x00\x03ada\x00\x00\x00\x041815"
    )
    assert both.id == "parts/1(name/1,year/1)"
    assert both(("-", 1815)) is both(("Ada", None)) is both((None, None)) is None
    assert parts(exact, exact)(("ab", "c")) != parts(exact, exact)(("a", "bc"))
    with pytest.raises(ConfigurationError, match="two"):
        parts(name)
    for wrong in ("Ada", ("Ada",), ["Ada", 1815], ("Ada", 1815, 1)):
        with pytest.raises(TypeError, match="tuple of 2"):
            both(wrong)


# -- what is refused --------------------------------------------------------------------------------------------

SECRET = "Ada-\ud800-1815"


@pytest.mark.parametrize(
    "normaliser", [exact, name, email, prefix(name, 60), prefix(exact, 60)], ids=lambda one: one.id
)
def test_half_a_surrogate_pair_is_refused_without_the_value(normaliser):
    text = SECRET if normaliser is not email else f"{SECRET}@{SECRET}"
    with pytest.raises(ValueError, match="surrogate") as caught:
        normaliser(text)
    assert not isinstance(caught.value, UnicodeError)
    assert caught.value.__context__ is None
    assert "1815" not in str(caught.value)


@pytest.mark.parametrize(
    "normaliser", [digits, email, name, phone(41), prefix(name, 3)], ids=lambda one: one.id
)
@pytest.mark.parametrize("value", [b"1815", 1815, None, 18.15, ["1815"]], ids=repr)
def test_text_is_text(normaliser, value):
    with pytest.raises(TypeError, match="takes text") as caught:
        normaliser(value)
    assert "18" not in str(caught.value)


@pytest.mark.parametrize(
    ("normaliser", "value"),
    [
        *((exact, value) for value in (18.15, ["1815"], {"a": 1815}, object())),
        *((year, value) for value in ("1815", 18.15, True, None)),
        *((bucket([1]), value) for value in ("1815", 18.15, True, date(1815, 1, 1), Decimal("NaN"))),
        *((bucket([date(1, 1, 1)]), value) for value in (1815, datetime(1815, 1, 1))),
    ],
    ids=stable,
)
def test_another_type_is_refused_without_the_value(normaliser, value):
    with pytest.raises(TypeError, match="this index takes") as caught:
        normaliser(value)
    assert "1815" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_an_application_s_own():
    mine = Normaliser("acme-mrn/1", lambda value: value.removeprefix("MRN") or None)
    assert (mine("MRN12"), mine("MRN")) == (b"12", None)
    assert prefix(mine, 1)("MRN12") == b"1"
    for wrong in ("", "x", "X/1", "a/b/1", "x/1,y/1", "/1", "x/", "é/1"):
        with pytest.raises(ConfigurationError, match="acme-mrn/1"):
            Normaliser(wrong, str)


LONG = [
    "(" * 20_000,
    "1" + "(   " * 20_000,
    "a@" + "".join(chr(0x4E00 + place) for place in range(5000)),
    "a" + "\u0301\u0316" * 20_000,
    "\ufdfa" * 20_000,
    "1" * 1025,
]


@pytest.mark.parametrize("value", LONG, ids=range(len(LONG)))
@pytest.mark.parametrize("normaliser", [digits, email, name, phone(41), prefix(name, 3)])
def test_what_is_too_long_to_fold_is_refused_without_it(normaliser, value):
    tags = BlindIndex(
        Keyset.generate("HMAC_SHA256_PRF"), table="t", column="c", bits=64, normalise=normaliser
    )
    compound = parts(normaliser, exact)
    for refuse in (normaliser, tags.tag, tags.tags, lambda value: compound((value, "x"))):
        with pytest.raises(ValueError, match="at most 1024 characters") as caught:
            refuse(value)
        assert value[:20] not in str(caught.value)


def test_a_domain_is_no_longer_than_domains_are():
    assert email("a@" + "é." * 127 + "x") is not None
    with pytest.raises(ValueError, match="at most 255 characters"):
        email("a@" + "é" * 256)


def test_a_text_of_any_length_has_a_prefix_and_is_itself():
    assert prefix(exact, 3)("x" * 100_000) == b"xxx"
    assert exact("x" * 100_000) == b"s" + b"x" * 100_000


def first_number(text):
    """How the start of a number was found before it was linear."""
    found = re.search(r"\+?[^\w+]*\d", text)
    return found and (found.start(), found[0][0] == "+")


@given(st.text(alphabet="+( -0a1\u0663_;", max_size=12))
def test_the_start_of_a_number_is_found_as_before(text):
    found = first_number(text)
    number = phone(41)(text)
    if found is None:
        assert number is None
    elif found[1] and number:
        assert number.startswith(b"+")
