"""The bundled list: made again it has the same bytes, it answers right for the lists it was made of, and it is fair.

The full counts are in `tests/soak/test_breached.py`.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from portalsec.auth._breach_format import key_of, unpack
from portalsec.auth._fuse import make_fuse
from portalsec.auth.breached import Bundled
from portalsec.auth.password_policy import PasswordPolicy
from portalsec.auth.strength import is_common
from tests.auth import bundled_list

WORDS = [word for word in FREQUENCY_LISTS["english_wikipedia"] if 3 <= len(word) <= 9 and word.isalpha()][
    :7776
]


@pytest.fixture(scope="module")
def bundled() -> Bundled:
    return Bundled()


@pytest.fixture(scope="module")
def texts() -> set[str]:
    return bundled_list.entries()


@pytest.fixture(scope="module")
def keys(texts: set[str]) -> list[int]:
    return sorted(map(key_of, bundled_list.written(texts)))


def phrases(count: int) -> list[str]:
    """Four random words each, as a passphrase generator would give them, with the usual joints."""
    choose = random.Random(42)
    return [choose.choice(("", " ", "-", ".", "_")).join(choose.choices(WORDS, k=4)) for _ in range(count)]


def test_it_is_what_the_generator_makes_of_the_lists(keys: list[int]) -> None:
    data = bundled_list.PATH.read_bytes()
    # All of the candidates, and of the filters the first one.
    with memoryview(data) as view:
        header, shards = unpack(view)
    assert header.entries == len(keys)
    assert sum(each.entries for each in shards) == len(keys)
    first = [key for key in keys if key >> (64 - header.shard_bits) == 0]
    fuse = make_fuse(first, header.bits)
    assert (fuse.seed, fuse.segments, fuse.segment_log2) == (
        shards[0].seed,
        shards[0].segments,
        shards[0].segment_log2,
    )
    assert fuse.cells == data[shards[0].offset : shards[0].offset + shards[0].size]


def test_every_entry_is_found(bundled: Bundled, texts: set[str], keys: list[int]) -> None:
    assert all(map(bundled.contains_key, keys))
    assert all(map(bundled.contains, sorted(texts)[::10]))


def test_what_only_makes_a_listed_one_longer_counts_for_nothing(bundled: Bundled) -> None:
    for text in ("Monday2024!!!!!!!!!", "welcome1welcome1wel", "TESTtestTESTtest123!", "qwerty777777777777"):
        assert bundled.contains(text), text
    for text in (
        "lanternorbit!!!!!!!",
        "lanternlantern4829157",
        "J7#kq!pZ2&vNr5x!!!!!",
        "password4829157304",
        "",
    ):
        assert not bundled.contains(text), text


def test_it_is_small_and_whole(bundled: Bundled) -> None:
    assert bundled.verify().size < 5 << 20
    assert bundled.local
    assert bundled.name == "bundled"
    assert bundled.false_positive_rate < 1e-7


def test_it_knows_zxcvbns_and_djangos_lists_in_any_case(bundled: Bundled) -> None:
    listed = bundled_list.listed()
    assert len(listed) > 40_000
    for word in listed:
        assert bundled.contains(word)
    for word in listed[::20]:
        assert bundled.contains(word.upper())
        assert bundled.contains(word.title())
    assert all(is_common(word) and bundled.contains(word) for word in FREQUENCY_LISTS["passwords"])


def test_at_every_minimum_length_three_thousand_entries_match(texts: set[str]) -> None:
    lengths = Counter(map(len, texts))
    for least in range(8, 21):
        # Of exactly that length, too, so that nobody gets by with one character more than asked for.
        assert lengths[least] >= 3000
        assert sum(count for length, count in lengths.items() if length >= least) >= 3000


def test_shipped_lists_alone_would_be_of_no_use_at_fifteen_characters() -> None:
    """Why there are rules: see issue 4."""
    assert sum(len(word) >= 15 for word in FREQUENCY_LISTS["passwords"]) < 50


@pytest.mark.parametrize(
    "guess",
    [
        "passwordpassword",
        "Password123456789",
        "1qaz2wsx3edc4rfv",
        "qwertyuiopasdfghjkl",
        "patientportal2026",
        "Welcome to the portal",
        "correcthorsebatterystaple",
        "ILOVEYOUiloveyou",
        "bienvenidobienvenido",
        "aaaaaaaaaaaaaaaaaaaa",
        "February2024!!!",
        "September2024!!",
        "Summer2024Winter2024",
        "Password123!Password123!",
        "passwordpassword1",
        "qwerty12345678901",
        "Qwerty1234567890!@#$",
        "iloveyoujessica",
        "ILoveMyFamily2024!",
        "LetMeInToMyAccount1!",
        "WelcomeToMyHouse2024",
        "DragonMonkey123",
        "P@ssw0rd2024!!!",
        "W3lcome123456789",
        "Michael1985!!!!",
        "DiosEsMiPastor2024!!",
    ],
)
def test_what_people_choose_when_fifteen_characters_are_asked_for(bundled: Bundled, guess: str) -> None:
    assert len(guess) >= PasswordPolicy.NIST_800_63B_4.min_length, "the length alone would let it through"
    assert bundled.contains(guess)


def test_random_phrases_of_four_words_are_not_refused(bundled: Bundled) -> None:
    count = 100_000
    assert sum(map(bundled.contains, phrases(count))) < count / 100_000


def test_others_are_refused_as_rarely_as_the_file_says(bundled: Bundled) -> None:
    choose = random.Random(7)
    wrong = sum(bundled.contains_key(choose.getrandbits(64)) for _ in range(100_000))
    assert wrong <= 1


def test_a_key_is_the_beginning_of_the_published_hash() -> None:
    assert key_of("password") == 0x5BAA61E4C9B93F3F
