"""The vendored standards' rows on new passwords, shown one by one: each test is named by the row's id."""

from __future__ import annotations

import random
import string
import unicodedata
from dataclasses import fields, replace

import pytest
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from portalsec.auth.breached import Bundled
from portalsec.auth.new_password import NewPasswords
from portalsec.auth.password_policy import PasswordPolicy, PasswordRefused
from portalsec.auth.passwords import Passwords
from portalsec.auth.words import LANGUAGES, say
from portalsec.errors import BreachSourceUnavailable, Denied
from portalsec.stores.memory import MemoryPasswordHistory
from portalsec.testing import CapturedEvents
from portalsec.testing.hashing import CHEAP_ARGON2
from tests.auth.world import SOURCE

NIST, ASVS = PasswordPolicy.NIST_800_63B_4, PasswordPolicy.OWASP_ASVS_5_0
LISTED = "thequickbrownfox"  # of the list that comes with portalsec, and of no rule
GOOD = "lantern orbit velvet cactus"
PASSWORDS = Passwords(parameters=CHEAP_ARGON2, concurrency=4)


@pytest.fixture(scope="module")
def bundled() -> Bundled:
    return Bundled()


def gate(*sources: object, policy: PasswordPolicy = NIST) -> NewPasswords:
    return NewPasswords(
        policy=policy,
        sources=sources,  # type: ignore[arg-type]
        passwords=PASSWORDS,
        history=MemoryPasswordHistory(),
        emit=CapturedEvents(),
    )


def ids(password: str, *sources: object, policy: PasswordPolicy = NIST, second: bool = True) -> list[str]:
    """What speaks against it, through the gate; empty where it was hashed."""
    try:
        hashed = gate(*sources, policy=policy).prepare(
            "account-1",
            password,
            about=("Zorbina Quell",),
            with_second_factor=second,
            current=None,
            source=SOURCE,
        )
    except PasswordRefused as refusal:
        return [problem.id for problem in refusal.problems]
    PASSWORDS.verify(hashed, password, account_id="account-1")
    return []


# -- NIST SP 800-63B-4 ------------------------------------------------------------------------------------------


def test_3_1_1_1_a_listed_choice_means_another_and_there_is_no_other_rule(bundled: Bundled) -> None:
    assert ids(LISTED, bundled, second=False) == ["breached"]
    assert ids("iloveyou") == ["common"]
    assert (NIST.kinds, NIST.min_guesses_log10, NIST.max_age) == ((), None, None)
    weak = "kx7bq1997kx7bq1997"  # the estimate says so; no list does
    assert ids(weak, bundled, second=False) == []


@pytest.mark.parametrize("policy", [NIST, ASVS])
def test_3_1_1_2_1a_fifteen_characters_alone(policy: PasswordPolicy) -> None:
    assert ids("J7#kq!pZ2&vNr5", policy=policy, second=False) == ["too_short"]
    assert ids("J7#kq!pZ2&vNr5x", policy=policy, second=False) == []


@pytest.mark.parametrize("policy", [NIST, ASVS])
def test_3_1_1_2_1b_eight_characters_with_another_factor(policy: PasswordPolicy) -> None:
    assert ids("J7#kq!p", policy=policy) == ["too_short"]
    assert ids("J7#kq!pZ", policy=policy) == []


def test_3_1_1_2_2_64_characters_and_more_are_accepted() -> None:
    generator = random.Random(64)
    for length in (64, 65, 128, 256):
        assert ids("".join(generator.choice(string.ascii_letters) for _ in range(length))) == []


def test_3_1_1_2_3_every_printable_ascii_character_and_the_space(bundled: Bundled) -> None:
    for number in range(0x20, 0x7F):
        assert ids(f"lantern{chr(number)}orbit{chr(number)}velvet", bundled, second=False) == []


def test_3_1_1_2_4a_unicode_is_accepted(bundled: Bundled) -> None:
    for password in (
        "словарь облако ветер",
        "ひまわりと雨の音を聞く夜は長い",
        "قنديل مدار مخمل صبار",
        "🦉🌵🚲🎻🧭🪁🧦🪴🥁🦉🌵🚲🎻🧭🪁🧵",
    ):
        assert ids(password, bundled, second=False) == []


def test_3_1_1_2_4b_one_code_point_is_one_character() -> None:
    assert ids("🦉🌵🚲🎻🧭🪁🧦") == ["too_short"]  # 28 bytes
    assert ids("🦉🌵🚲🎻🧭🪁🧦🪴") == []
    assert gate().report("é" * 3, with_second_factor=True).length == 3


def test_3_1_1_2_5_no_kinds_of_characters_are_asked_for(bundled: Bundled) -> None:
    for password in (
        "lanternorbitvelvet",
        "LANTERNORBITVELVET",
        "482915730468127395",
        "}]{*&^%$~|<>?/:;=",
        GOOD,
    ):
        assert ids(password, bundled, second=False) == []


def test_3_1_1_2_6a_passwords_do_not_expire_unless_somebody_asks_for_it() -> None:
    assert NIST.max_age is None
    assert ASVS.max_age is None


def test_3_1_1_2_9b_the_whole_password_is_verified() -> None:
    long = "lantern orbit velvet cactus harbour pickle saturn mitten " * 4
    hashed = PASSWORDS.hash(long, account_id="account-1")
    PASSWORDS.verify(hashed, long, account_id="account-1")
    for other in (long[:-1], long[:72], long + "x", long.upper(), long[:100] + "X" + long[101:]):
        with pytest.raises(Denied):
            PASSWORDS.verify(hashed, other, account_id="account-1")


def test_3_1_1_2_nfc_comes_before_hashing_and_only_stable_strings_are_taken() -> None:
    composed, apart = "caf\u00e9 orbit velvet", "cafe\u0301 orbit velvet"
    PASSWORDS.verify(PASSWORDS.hash(apart, account_id="a"), composed, account_id="a")
    ligature = "\ufb01nal orbit velvet"  # NFKC would make it "fi"
    with pytest.raises(Denied):
        PASSWORDS.verify(PASSWORDS.hash(ligature, account_id="a"), "final orbit velvet", account_id="a")
    assert unicodedata.category("\ufdd0") == "Cn"
    assert ids("lantern orbit \ufdd0 velvet") == ["unprintable"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_3_1_1_2_advise_people_hear_that_keyboards_differ(language: str) -> None:
    advice = gate().report("caf\u00e9 orbit velvet moon", with_second_factor=True).advice
    assert [each.id for each in advice] == ["advice_other_keyboards"]
    assert ("keyboard" if language == "en" else "teclados") in say(advice[0], language)
    assert gate().report(GOOD, with_second_factor=True).advice == ()


def test_3_1_1_2_bl_a_common_expected_and_compromised_ones_are_refused(bundled: Bundled) -> None:
    clinic = NIST.with_words(["Hill Clinic"])
    assert ids("baseball", bundled) == ["common"]
    assert ids("HillClinic2026!", bundled, policy=clinic) == ["personal"]
    assert ids("Zorbina1984", bundled) == ["personal"]

    class Leaked:
        name, local = "leaked", False

        def contains(self, password: str) -> bool:
            return password == GOOD

    assert ids(GOOD, bundled, Leaked()) == ["breached"]


def test_3_1_1_2_bl_b_the_whole_password_is_compared(bundled: Bundled) -> None:
    clinic = NIST.with_words(["Hill Clinic"])
    for password in (
        "my password is a marmalade uprising", "the hill clinic has a green submarine", "zorbina saddles seven moons",
    ):  # fmt: skip
        assert ids(password, bundled, policy=clinic, second=False) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_3_1_1_2_bl_c_the_reason_is_said(language: str) -> None:
    for password in ("iloveyou", "zorbina1984"):
        [problem] = NIST.check_password(password, about=("zorbina",), with_second_factor=True)
        assert len(say(problem, language)) > 40


def test_3_1_1_2_bl_d_the_list_is_larger_than_what_the_throttle_lets_through(bundled: Bundled) -> None:
    """SP 800-63B-4 3.2.2 lets 100 failures through; ASVS asks for 3,000 of the policy's length."""
    for words in (["Hill Clinic"], []):
        first = [word for word in FREQUENCY_LISTS["passwords"] if len(word) >= 8][:3000]
        assert len(first) == 3000
        policy = NIST.with_words(words)
        assert [word for word in first if not ids_cheaply(word, bundled, policy)] == []


def ids_cheaply(password: str, bundled: Bundled, policy: PasswordPolicy) -> bool:
    return bool(policy.check_password(password, with_second_factor=True)) or bundled.contains(password)


def test_3_1_1_2_guid_people_are_told_how_to_do_better() -> None:
    report = gate().report("password2024", with_second_factor=True)
    assert [each.id for each in report.advice] == ["advice_dictionary"]
    assert report.score <= 1
    assert gate().report(GOOD, with_second_factor=True).score == 4


# -- OWASP ASVS 5.0 ---------------------------------------------------------------------------------------------


def test_v6_2_1_never_under_8_and_15_where_it_is_alone() -> None:
    assert ASVS.min_length_with_second_factor >= 8
    assert ASVS.min_length >= 15
    assert ids("J7#kq!p", policy=ASVS) == ["too_short"]


@pytest.mark.parametrize("least", range(8, 21))
def test_v6_2_4_three_thousand_common_ones_of_every_length_are_refused(least: int, bundled: Bundled) -> None:
    """The commonest passwords, and those doubled until they are long enough; tests/auth/test_bundled.py has the rest."""
    policy = replace(ASVS, min_length=least, min_length_with_second_factor=least)
    common = dict.fromkeys(
        word * times
        for word in FREQUENCY_LISTS["passwords"]
        for times in range(1, 6)
        if len(word) >= 4 and least <= len(word) * times <= 24
    )
    first = [word for word, _ in zip(common, range(3000), strict=False)]
    assert len(first) == 3000
    assert [word for word in first if not ids_cheaply(word, bundled, policy)] == []


def test_v6_2_5_any_mix_of_characters(bundled: Bundled) -> None:
    assert ASVS.kinds == ()
    for password in ("lanternorbitvelvet", "482915730468127395", "}]{*&^%$~|<>?/:;="):
        assert ids(password, bundled, policy=ASVS, second=False) == []


def test_v6_2_8_what_was_typed_is_verified_exactly() -> None:
    hashed = PASSWORDS.hash("Lantern Orbit Velvet ", account_id="a")
    PASSWORDS.verify(hashed, "Lantern Orbit Velvet ", account_id="a")
    for other in ("Lantern Orbit Velvet", "lantern orbit velvet ", " Lantern Orbit Velvet "):
        with pytest.raises(Denied):
            PASSWORDS.verify(hashed, other, account_id="a")


def test_v6_2_9_64_characters_at_least() -> None:
    assert ASVS.max_length >= 64
    assert ids("lantern orbit velvet cactus harbour pickle saturn mitten moonshot", policy=ASVS) == []


def test_v6_2_10_no_password_expires() -> None:
    assert ASVS.max_age is None
    assert {each.default for each in fields(PasswordPolicy) if each.name == "max_age"} == {None}


def test_v6_2_11_the_context_words_are_used_where_a_password_is_set() -> None:
    policy = ASVS.with_words(["Riverside", "Hill Clinic"])
    for password in ("Riverside2026!!", "r1vers1de-r1vers1de", "hill.clinic.1999", "RiversideHillClinic"):
        assert ids(password, policy=policy) == ["personal"]


def test_v6_2_12_new_ones_are_checked_against_breached_ones_and_an_outage_is_no_secret(
    bundled: Bundled,
) -> None:
    class Down:
        name, local = "range", False

        def contains(self, password: str) -> bool:
            raise BreachSourceUnavailable("no answer")

    events = CapturedEvents()
    new = NewPasswords(
        policy=ASVS,
        sources=(bundled, Down()),
        passwords=PASSWORDS,
        history=MemoryPasswordHistory(),
        emit=events,
    )
    for password in (LISTED, GOOD):
        try:
            new.prepare("account-1", password, with_second_factor=True, current=None, source=SOURCE)
        except PasswordRefused as refusal:
            assert (password, refusal.problems[0].id) == (LISTED, "breached")
        else:
            assert password == GOOD
    assert events.names == ["system.control_failed"]
