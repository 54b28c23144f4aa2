"""Abuse of stored passwords: other systems' hashes, other people's hashes, odd passwords. Each test names its case."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from typing import Any

import bcrypt
import pytest
from argon2 import low_level

from portalsec.auth import _input, legacy_hashes
from portalsec.auth.legacy_hashes import LegacyCost, read
from portalsec.auth.passwords import Passwords
from portalsec.auth.ports import Account
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.prf import KeysetPepper
from portalsec.errors import Denied, Reason, Tampered
from portalsec.events import Event
from portalsec.testing.hashing import CHEAP_ARGON2
from tests.auth.test_legacy_hashes import SYSTEMS
from tests.auth.world import OTHER_PASSWORD, PASSWORD, SOURCE, World, tight

MD5 = LegacyCost("md5")
LOOSE = {"account": 10_000, "address": 10_000}


def imported(stored: str, *, password_form: Any = "raw", **world: Any) -> tuple[World, Account]:
    """A portal that has taken over one account with a hash of another system, wrapped at import."""
    here = World(older=(read(stored).cost,), lanes=tight(**LOOSE), **world)
    wrapped = here.passwords.wrap(stored, account_id="old-1", form=password_form)
    account = Account(id="old-1", login="wren", password_hash=wrapped)
    here.account_store.create(account, now=here.clock())
    return here, account


def refused(world: World, password: object, login: str = "wren") -> Reason:
    with pytest.raises(Denied) as refusal:
        world.sign_in.start(login, password, source=SOURCE)
    return refusal.value.reason


def stored_of(world: World, account: Account) -> str:
    stored = world.backing.accounts.get(account.id).password_hash
    assert stored is not None
    return str(stored)


# -- upgrades -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("system", SYSTEMS)
def test_an_imported_hash_signs_in_once_and_is_portalsecs_own_afterwards(system: str) -> None:
    world, account = imported(
        SYSTEMS[system](PASSWORD), pepper=KeysetPepper(Keyset.generate("HMAC_SHA256_PRF"))
    )
    assert refused(world, OTHER_PASSWORD) is Reason.WRONG_PASSWORD
    assert not world.events.named(Event.AUTH_PASSWORD_REHASHED)
    assert world.sign_in.start("wren", PASSWORD, source=SOURCE).next == ("totp_enrolment",)
    assert len(world.events.named(Event.AUTH_PASSWORD_REHASHED)) == 1
    info = world.passwords.describe(stored_of(world, account))
    assert (info.scheme, info.current, info.wrapped) == ("argon2id", True, False)
    before = stored_of(world, account)
    world.sign_in.start("wren", PASSWORD, source=SOURCE)
    assert stored_of(world, account) == before
    assert refused(world, OTHER_PASSWORD) is Reason.WRONG_PASSWORD


def test_a_raw_hash_of_another_system_never_signs_in_and_somebody_is_told() -> None:
    world = World(older=(MD5,))
    stored = SYSTEMS["django md5"](PASSWORD)
    world.account_store.create(Account(id="old-1", login="wren", password_hash=stored), now=world.clock())
    refused(world, PASSWORD)
    assert world.events.last.details["control"] == "password_hash"
    assert stored not in str(world.events.last)


def test_two_accounts_hashes_that_were_swapped_sign_in_nobody() -> None:
    world = World(lanes=tight(**LOOSE))
    robin = world.person("robin")
    wren = world.person("wren", password=OTHER_PASSWORD)
    mine, others = stored_of(world, robin), stored_of(world, wren)
    store = world.backing.accounts
    assert store.set_password(robin.id, others, expected=mine)
    assert store.set_password(wren.id, mine, expected=others)
    for login in ("robin", "wren"):
        for password in (PASSWORD, OTHER_PASSWORD):
            assert refused(world, password, login) is Reason.WRONG_PASSWORD


def test_pwd_02_unknown_disabled_passwordless_and_imported_accounts_cost_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work: Counter[str] = Counter()
    argon2, inner = low_level.hash_secret_raw, legacy_hashes.compute

    def outer(*args: Any, **kwargs: Any) -> bytes:
        work["argon2id"] += 1
        return argon2(*args, **kwargs)

    def compute(cost: LegacyCost, *args: Any) -> bytes | None:
        work[str(cost)] += 1
        return inner(cost, *args)

    world, _ = imported(SYSTEMS["bcrypt"](PASSWORD))
    known = world.person("known")
    world.person("disabled")
    world.backing.accounts.set_disabled(world.backing.accounts.by_login("disabled").id, True)
    held = {
        "passkey": None,
        "raw": SYSTEMS["bcrypt"](PASSWORD),
        "blank": "",
        "swapped": stored_of(world, known),
        "lost-key": Passwords(
            parameters=CHEAP_ARGON2, pepper=KeysetPepper(Keyset.generate("HMAC_SHA256_PRF"))
        ).hash(PASSWORD, account_id="id-lost-key"),
    }
    for login, stored in held.items():
        world.account_store.create(
            Account(id=f"id-{login}", login=login, password_hash=stored), now=world.clock()
        )
    monkeypatch.setattr(low_level, "hash_secret_raw", outer)
    monkeypatch.setattr(legacy_hashes, "compute", compute)
    done = {}
    for login in ("unknown", "known", "disabled", "wren", *held):
        work.clear()
        world.calls.clear()
        events = len(world.events)
        refused(world, "x" * 100, login)
        done[login] = (dict(work), list(world.calls), len(world.events) - events)
    assert done["unknown"][0] == {"argon2id": 1, "bcrypt:r=4": 1}
    assert {login: each for login, each in done.items() if each != done["unknown"]} == {}


# -- the cases ----------------------------------------------------------------------------------------------------


def test_pwd_01_passwords_that_differ_after_byte_72_are_different() -> None:
    begin = ("lantern orbit velvet cactus " * 3)[:72]
    first, second = begin + "1", begin + "2"
    world = World(lanes=tight(**LOOSE))
    world.person("robin", password=first)
    assert refused(world, second, "robin") is Reason.WRONG_PASSWORD
    assert refused(world, begin, "robin") is Reason.WRONG_PASSWORD
    # A system that cut at byte 72 when it hashed: nobody signs in with anything longer than what it looked at.
    world, _ = imported(bcrypt.hashpw(first.encode()[:72], bcrypt.gensalt(4)).decode())
    for password in (first, second, begin + "x", begin + "x" * 900):
        assert refused(world, password) is Reason.WRONG_PASSWORD
    world.sign_in.start("wren", begin, source=SOURCE)
    # Once it is portalsec's own, what was beyond byte 72 counts.
    for password in (first, second):
        assert refused(world, password) is Reason.WRONG_PASSWORD


@pytest.mark.parametrize("size", [1025, 1_000_000])
def test_pwd_05_long_passwords_reach_no_hash_of_any_system(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, _ = imported(SYSTEMS["bcrypt"](PASSWORD))

    def never(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a password over the limit was hashed")

    monkeypatch.setattr(legacy_hashes, "compute", never)
    monkeypatch.setattr(low_level, "hash_secret_raw", never)
    assert refused(world, "x" * size) is Reason.MALFORMED


@pytest.mark.parametrize("password", [None, 12345678, True, b"bytes", ["x"], {"x": 1}, "a\ud800b"])
def test_pwd_06_what_is_no_text_reaches_no_hash_of_any_system(
    password: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, _ = imported(SYSTEMS["django md5"](PASSWORD))
    monkeypatch.setattr(legacy_hashes, "compute", lambda *args: pytest.fail("it was hashed"))
    assert refused(world, password) is Reason.MALFORMED


@pytest.mark.parametrize("chosen", ["NFC", "NFD"])
@pytest.mark.parametrize("typed", ["NFC", "NFD"])
def test_pwd_07_one_password_typed_on_two_systems(chosen: str, typed: str) -> None:
    password = "caf\u00e9 \ud55c\uae00 lantern orbit"
    world = World()
    world.person("robin", password=unicodedata.normalize(chosen, password))
    step = world.sign_in.start("robin", unicodedata.normalize(typed, password), source=SOURCE)
    assert step.next == ("totp",)


@pytest.mark.parametrize(
    "stored",
    [
        "",
        " ",
        "\0",
        "!",
        "None",
        "null",
        "$ps1$",
        "$ps1$nfc,b",
        "$argon2id$",
        "md5$$",
        "{SSHA}",
        "{CLEARTEXT}x",
    ],
)
def test_pwd_10_a_blank_or_unusable_hash_matches_nothing(stored: str) -> None:
    world = World(older=(MD5,), lanes=tight(**LOOSE))
    world.account_store.create(Account(id="b", login="blank", password_hash=stored), now=world.clock())
    for password in ("", " ", "!", "None", "null", "x", stored or "x", PASSWORD):
        refused(world, password, "blank")
    with pytest.raises(Tampered):
        world.passwords.wrap(stored, account_id="b") if not stored.startswith("$ps1$") else _parse(stored)


def _parse(stored: str) -> None:
    from portalsec.auth._stored_hash import parse

    parse(stored)


def test_pwd_10_an_empty_digest_is_never_wrapped() -> None:
    """md5 of nothing, as systems stored it for people without a password, opens to no password that can be typed."""
    world, _ = imported("md5$$" + hashlib.md5(b"").hexdigest())
    for password in ("", " ", "\0", "x"):
        refused(world, password)


@pytest.mark.parametrize(
    "system", ["django md5", "django sha1", "django bcrypt_sha256", "passlib bcrypt_sha256 v1"]
)
def test_pwd_12_a_digest_that_leaked_elsewhere_is_no_password(system: str) -> None:
    """Neither where a hash of another system is inside, nor where that system hashed a digest before bcrypt."""
    raw = SYSTEMS[system](PASSWORD)
    world, _ = imported(raw)
    leaked = [read(raw).digest]
    leaked += [hashlib.new(name, PASSWORD.encode()).digest() for name in ("md5", "sha1", "sha256")]
    for digest in leaked:
        for spelled in (digest.hex(), digest.hex().upper(), digest.decode("latin-1")):
            assert refused(world, spelled) is Reason.WRONG_PASSWORD
    world.sign_in.start("wren", PASSWORD, source=SOURCE)


def test_pwd_12_the_peppers_output_is_no_password_either() -> None:
    keys = Keyset.generate("HMAC_SHA256_PRF")
    peppered = Passwords(parameters=CHEAP_ARGON2, pepper=KeysetPepper(keys))
    stored = peppered.hash(PASSWORD, account_id="1")
    parts = (b"portalsec password 1", b"1", PASSWORD.encode())
    keyed = keys.prf().compute(b"".join(len(part).to_bytes(4, "big") + part for part in parts), 32)
    plain = Passwords(parameters=CHEAP_ARGON2)
    without = stored.replace(f",{keys.primary_id:08x}", "")
    for spelled in (keyed.hex(), keyed.decode("latin-1")):
        with pytest.raises(Denied):
            plain.verify(without, spelled, account_id="1")


def test_pwd_13_no_salt_is_constant_and_none_is_empty() -> None:
    mine = Passwords(parameters=CHEAP_ARGON2, older=(MD5,))
    raw = "md5$$" + hashlib.md5(PASSWORD.encode()).hexdigest()
    made = [mine.hash(PASSWORD, account_id="1") for _ in range(50)]
    made += [mine.wrap(raw, account_id="1") for _ in range(50)]
    salts = {stored.split("$")[-2] for stored in made}
    assert len(salts) == 100
    assert {len(salt) for salt in salts} == {22}
    # Two instances share no salt either, nor what an unknown account is measured against.
    assert mine._dummy_salt != Passwords(parameters=CHEAP_ARGON2)._dummy_salt
    head, salt, tag = made[0].rpartition("$")[0].rpartition("$")[0], "", made[0].rpartition("$")[2]
    for broken in (f"{head}${salt}${tag}", f"{head}$AAAA${tag}"):
        with pytest.raises(Tampered):
            mine.verify(broken, PASSWORD, account_id="1")


@pytest.mark.parametrize(
    ("form", "at_the_old_system", "typed", "same"),
    [
        ("raw", "cafe\u0301 lantern orbit", "cafe\u0301 lantern orbit", True),
        ("raw", "cafe\u0301 lantern orbit", "caf\u00e9 lantern orbit", False),
        ("nfc", "caf\u00e9 lantern orbit", "cafe\u0301 lantern orbit", True),
        (
            "nfc",
            "\ud55c\uae00 lantern orbit",
            unicodedata.normalize("NFD", "\ud55c\uae00 lantern orbit"),
            True,
        ),
        ("nfkc", "lantern orbit", "\uff4cantern orbit", True),
        ("nfc", "lantern orbit", "\uff4cantern orbit", False),
        ("nfc", "heart \u2764 lantern orbit", "heart \u2764\ufe0f lantern orbit", False),
        ("nfc", "istanbul lantern orbit", "\u0130stanbul lantern orbit", False),
    ],
)
def test_atk_29_a_legacy_hash_verifies_in_its_recorded_form_and_is_upgraded_to_nfc(
    form: str, at_the_old_system: str, typed: str, same: bool
) -> None:
    world, account = imported(SYSTEMS["django pbkdf2_sha256"](at_the_old_system), password_form=form)
    if not same:
        assert refused(world, typed) is Reason.WRONG_PASSWORD
        return
    world.sign_in.start("wren", typed, source=SOURCE)
    assert stored_of(world, account).startswith("$ps1$nfc,")
    for again in ("NFC", "NFD"):
        world.sign_in.start("wren", unicodedata.normalize(again, typed), source=SOURCE)


@pytest.mark.parametrize(
    "password", ["x" * 10_000, "x" * 10_000_000, "\u0301\u0323" * 20_000, "\u00e9" * 513, "\U0001f989" * 257]
)
def test_atk_30_long_passwords_are_neither_normalised_nor_hashed_for_a_wrapped_hash(
    password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    from portalsec.auth import passwords as module

    world, account = imported(SYSTEMS["bcrypt"](PASSWORD), password_form="nfkc")
    stored = stored_of(world, account)

    def never(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("work was done on a password over the limit")

    monkeypatch.setattr(_input, "unicodedata", SimpleNamespace(normalize=never))
    monkeypatch.setattr(module, "unicodedata", SimpleNamespace(normalize=never))
    monkeypatch.setattr(legacy_hashes, "compute", never)
    monkeypatch.setattr(low_level, "hash_secret_raw", never)
    with pytest.raises(Denied) as refusal:
        world.passwords.verify(stored, password, account_id=account.id)
    assert refusal.value.reason is Reason.MALFORMED


@pytest.mark.parametrize("system", ["bcrypt", "django bcrypt", "passlib sha512_crypt", "passlib phpass"])
@pytest.mark.parametrize("password", ["x" * 73, "x" * 72 + "\0", "\u00e9" * 37, "x" * 1024, "\0" * 73])
def test_atk_31_over_72_bytes_against_a_legacy_hash_is_a_plain_refusal(system: str, password: str) -> None:
    world, _ = imported(SYSTEMS[system](PASSWORD))
    face = refused(world, OTHER_PASSWORD)
    assert refused(world, password) is face is Reason.WRONG_PASSWORD
