"""`Passwords`: the account's id and the pepper in a hash, wrapped hashes, and the same work whatever an account has."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from argon2 import PasswordHasher, low_level
from hypothesis import given, settings
from hypothesis import strategies as st

from portalsec.auth import legacy_hashes
from portalsec.auth._stored_hash import parse
from portalsec.auth.hash_costs import Argon2Parameters, OlderArgon2
from portalsec.auth.legacy_hashes import LegacyCost
from portalsec.auth.passwords import Passwords
from portalsec.crypto.keyring import Keyring
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.prf import KeysetPepper
from portalsec.errors import ConfigurationError, Denied, Reason, StoreError, Tampered
from portalsec.testing.hashing import CHEAP_ARGON2

RIGHT = "lantern orbit velvet cactus"
MD5, PBKDF2 = LegacyCost("md5"), LegacyCost("pbkdf2_sha256", (1000,))
OLD_MD5 = "md5$salt$" + hashlib.md5(b"salt" + RIGHT.encode()).hexdigest()
OLD_PBKDF2 = "pbkdf2:sha256:1000$salt$" + hashlib.pbkdf2_hmac("sha256", RIGHT.encode(), b"salt", 1000).hex()
BELOW = OlderArgon2(memory_kib=16, time_cost=2, parallelism=1)
_TWO_PASSES = replace(CHEAP_ARGON2, memory_kib=16, time_cost=2)  # portalsec's own, of the same cost
IDS = st.text(st.characters(codec="utf-8"), max_size=20)


def passwords(pepper: Any = None, older: tuple[Any, ...] = (), **options: Any) -> Passwords:
    if isinstance(pepper, Keyset):
        pepper = KeysetPepper(pepper)
    return Passwords(**{"parameters": CHEAP_ARGON2, "concurrency": 2, **options}, pepper=pepper, older=older)


def refused(
    mine: Passwords, stored: str | None, password: object = RIGHT, account_id: str | None = "1"
) -> Reason:
    with pytest.raises(Denied) as refusal:
        mine.verify(stored, password, account_id=account_id)
    return refusal.value.reason


def bare(password: str = RIGHT) -> str:
    """As other systems store argon2id, made by argon2-cffi itself."""
    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(password)


# -- the account --------------------------------------------------------------------------------------------------


def test_two_accounts_hashes_that_are_swapped_verify_for_neither() -> None:
    mine = passwords()
    one, other = mine.hash(RIGHT, account_id="1"), mine.hash(RIGHT, account_id="2")
    mine.verify(one, RIGHT, account_id="1")
    assert refused(mine, one, account_id="2") is Reason.WRONG_PASSWORD
    assert refused(mine, other, account_id="1") is Reason.WRONG_PASSWORD
    assert refused(mine, one, account_id=None) is Reason.WRONG_PASSWORD


def test_wrapped_hashes_are_bound_as_well() -> None:
    mine = passwords(older=(MD5,))
    one = mine.wrap(OLD_MD5, account_id="1")
    mine.verify(one, RIGHT, account_id="1")
    assert refused(mine, one, account_id="2") is Reason.WRONG_PASSWORD


@settings(max_examples=60, deadline=None)
@given(IDS, IDS, st.booleans())
def test_no_id_is_another_ones_beginning(one: str, other: str, peppered: bool) -> None:
    mine = passwords(Keyset.generate("HMAC_SHA256_PRF") if peppered else None)
    stored = mine.hash(RIGHT, account_id=one)
    if one == other:
        mine.verify(stored, RIGHT, account_id=other)
    else:
        assert refused(mine, stored, account_id=other) is Reason.WRONG_PASSWORD
        moved = other[len(one) :] if other.startswith(one) else ""
        if moved:
            assert refused(mine, mine.hash(moved + RIGHT, account_id=one), account_id=other)


def test_pwd_11_a_bare_argon2id_is_another_systems_and_verifies_only_once_it_is_wrapped() -> None:
    """It is bound to nobody, has no pepper, costs what it says, and was made of the password as typed."""
    typed = unicodedata.normalize("NFD", "contraseña de niño")
    stored = bare(typed)
    mine = passwords(older=(LegacyCost("phc_argon2id", (19, 8, 1, 1, 32)),))
    for spelled in (stored, "argon2" + stored):
        with pytest.raises(Tampered):
            mine.verify(spelled, typed, account_id="1")
        assert not mine.describe(spelled).verifies
        assert mine.verify(mine.wrap(spelled, account_id="1"), typed, account_id="1").rehash_due
    with pytest.raises(ConfigurationError, match="phc_argon2id:v=19,m=8,t=1,p=1,l=32"):
        passwords().wrap(stored, account_id="1")


def test_a_hash_of_today_is_not_due() -> None:
    mine = passwords()
    assert not mine.verify(mine.hash(RIGHT, account_id="1"), RIGHT, account_id="1").rehash_due


def test_every_preset_fits_into_128_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(low_level, "hash_secret_raw", lambda *args, **kwargs: bytes(32))
    for preset in ("RFC_9106_LOW_MEMORY", "RFC_9106_HIGH_MEMORY", "OWASP_2025"):
        mine = passwords(
            Keyset.generate("HMAC_SHA256_PRF"), parameters=getattr(Argon2Parameters, preset), concurrency=1
        )
        assert len("portalsec" + mine.hash(RIGHT, account_id="1")) <= 128


# -- the pepper ---------------------------------------------------------------------------------------------------


def test_a_pepper_is_named_in_the_hash_and_nothing_verifies_without_it() -> None:
    keys = Keyset.generate("HMAC_SHA256_PRF")
    mine = passwords(keys)
    stored = mine.hash(RIGHT, account_id="1")
    assert stored.startswith(f"$ps1$nfc,{keys.primary_id:08x},b$argon2id$")
    assert not mine.verify(stored, RIGHT, account_id="1").rehash_due
    assert refused(mine, stored, RIGHT + "x") is Reason.WRONG_PASSWORD
    for without in (passwords(), passwords(Keyset.generate("HMAC_SHA256_PRF"))):
        with pytest.raises(Tampered):
            without.verify(stored, RIGHT, account_id="1")
    # A thief who takes the mark out has a hash that no password has.
    assert refused(passwords(), stored.replace(f",{keys.primary_id:08x}", "")) is Reason.WRONG_PASSWORD


def test_the_pepper_is_hmac_over_what_argon2_would_have_got() -> None:
    keys = Keyset.generate("HMAC_SHA256_PRF")
    held = parse(passwords(keys).hash(RIGHT, account_id="1"))
    parts = (b"portalsec password 1", b"1", RIGHT.encode())
    keyed = keys.prf().compute(b"".join(len(part).to_bytes(4, "big") + part for part in parts), 32)
    assert held.tag == low_level.hash_secret_raw(keyed, held.salt, 1, 8, 1, 32, low_level.Type.ID)


def test_keys_rotate_and_a_disabled_one_verifies_nothing() -> None:
    first = Keyset.generate("HMAC_SHA256_PRF")
    unpeppered, old = passwords().hash(RIGHT, account_id="1"), passwords(first).hash(RIGHT, account_id="1")
    wrapped = passwords(first, older=(MD5,)).wrap(OLD_MD5, account_id="1")
    both = first.add("HMAC_SHA256_PRF")
    both = both.promote(both.info()[-1].id)
    rotated = passwords(both, older=(MD5,))
    for stored in (unpeppered, old, wrapped):
        assert rotated.verify(stored, RIGHT, account_id="1").rehash_due
    new = rotated.hash(RIGHT, account_id="1")
    assert not rotated.verify(new, RIGHT, account_id="1").rehash_due
    later = passwords(both.disable(first.primary_id), older=(MD5,))
    later.verify(new, RIGHT, account_id="1")
    later.verify(unpeppered, RIGHT, account_id="1")
    for stored in (old, wrapped):
        assert not later.describe(stored).verifies
        with pytest.raises(Tampered) as error:
            later.verify(stored, RIGHT, account_id="1")
        assert stored[-20:] not in str(error.value)


def test_a_pepper_of_a_keyring_follows_its_reload() -> None:
    current = {"pepper": Keyset.generate("HMAC_SHA256_PRF")}
    ring = Keyring(lambda: dict(current))
    mine = passwords(KeysetPepper(ring["pepper"]))
    old = mine.hash(RIGHT, account_id="1")
    more = current["pepper"].add("HMAC_SHA256_PRF")
    current["pepper"] = more.promote(more.info()[-1].id)
    ring.reload()
    assert mine.verify(old, RIGHT, account_id="1").rehash_due
    assert not mine.verify(mine.hash(RIGHT, account_id="1"), RIGHT, account_id="1").rehash_due


def test_keys_that_change_under_a_hash_are_the_plumbings_fault() -> None:
    class Changing:
        primary_id = 1

        def tag(self, key_id: int, data: bytes) -> bytes | None:
            return None

    with pytest.raises(StoreError):
        passwords(Changing()).hash(RIGHT, account_id="1")


# -- wrapped hashes -----------------------------------------------------------------------------------------------


def test_a_cost_that_is_not_listed_is_not_wrapped_and_the_setting_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r'"pbkdf2_sha256:i=1000" to \[passwords\] older') as error:
        passwords(older=(MD5,)).wrap(OLD_PBKDF2, account_id="1")
    assert OLD_PBKDF2[-20:] not in str(error.value)


def test_what_is_portalsecs_already_is_not_wrapped_again() -> None:
    mine = passwords(older=(MD5,))
    for stored in (mine.hash(RIGHT, account_id="1"), mine.wrap(OLD_MD5, account_id="1")):
        with pytest.raises(ConfigurationError):
            mine.wrap(stored, account_id="1")
    with pytest.raises(ConfigurationError):
        mine.wrap(OLD_MD5, account_id="1", form="nfd")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("form", "hashed", "right", "wrong"),
    [
        ("raw", "cafe\u0301", ["cafe\u0301"], ["caf\u00e9"]),
        ("raw", "caf\u00e9", ["caf\u00e9"], ["cafe\u0301"]),
        ("nfc", "caf\u00e9", ["caf\u00e9", "cafe\u0301"], ["cafe", "ｃafé"]),
        ("nfkc", "caf\u00e9", ["caf\u00e9", "cafe\u0301", "ｃaf\u00e9"], ["cafe"]),
    ],
)
def test_the_inner_hash_gets_the_form_that_the_other_system_took(
    form: Any, hashed: str, right: list[str], wrong: list[str]
) -> None:
    stored = "md5$$" + hashlib.md5(hashed.encode()).hexdigest()
    mine = passwords(older=(MD5,))
    wrapped = mine.wrap(stored, account_id="1", form=form)
    assert wrapped.startswith(f"$ps1${form},b,w$md5$")
    for typed in right:
        assert mine.verify(wrapped, typed, account_id="1").rehash_due
    for typed in wrong:
        assert refused(mine, wrapped, typed) is Reason.WRONG_PASSWORD


def test_a_wrapped_hash_verifies_also_where_its_cost_was_taken_out_of_the_list() -> None:
    wrapped = passwords(older=(MD5,)).wrap(OLD_MD5, account_id="1")
    passwords().verify(wrapped, RIGHT, account_id="1")
    assert not passwords().describe(wrapped).listed


# -- equal work ---------------------------------------------------------------------------------------------------


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Counter[Any]:
    """Each computation of argon2id or of an inner hash, by what it costs."""
    seen: Counter[Any] = Counter()
    argon2, inner = low_level.hash_secret_raw, legacy_hashes.compute

    def outer(secret: bytes, salt: bytes, **cost: Any) -> bytes:
        seen[cost["memory_cost"], cost["time_cost"], cost["parallelism"], cost["hash_len"], len(salt)] += 1
        return argon2(secret, salt, **cost)

    def compute(cost: LegacyCost, text: str, salt: bytes | None) -> bytes | None:
        seen[cost] += 1
        return inner(cost, text, salt)

    monkeypatch.setattr(low_level, "hash_secret_raw", outer)
    monkeypatch.setattr(legacy_hashes, "compute", compute)
    return seen


def test_every_account_costs_every_listed_hash_once(work: Counter[Any]) -> None:
    keys = Keyset.generate("HMAC_SHA256_PRF")
    older = (BELOW, MD5, PBKDF2, MD5, BELOW)
    mine = passwords(keys, older=older)
    held: dict[str, str | None] = {
        "unknown": None,
        "today": mine.hash(RIGHT, account_id="1"),
        "no pepper": passwords().hash(RIGHT, account_id="1"),
        "older parameters": passwords(parameters=_TWO_PASSES).hash(RIGHT, account_id="1"),
        "md5": mine.wrap(OLD_MD5, account_id="1"),
        "pbkdf2": mine.wrap(OLD_PBKDF2, account_id="1"),
    }
    done = {}
    for name, stored in held.items():
        for password in (RIGHT, "wrong", "x" * 100):
            work.clear()
            if password == RIGHT and stored is not None:
                mine.verify(stored, password, account_id="1")
            else:
                refused(mine, stored, password)
            done[name, password] = dict(work)
    assert done["unknown", RIGHT] == {
        (8, 1, 1, 32, 16): 1,
        (16, 2, 1, 32, 16): 1,
        MD5: 1,
        PBKDF2: 1,
    }
    assert len({repr(sorted(each.items(), key=repr)) for each in done.values()}) == 1


def test_parameters_that_are_not_listed_take_the_place_of_todays(work: Counter[Any]) -> None:
    stored = passwords(parameters=_TWO_PASSES).hash(RIGHT, account_id="1")
    work.clear()
    assert passwords().verify(stored, RIGHT, account_id="1").rehash_due
    assert sum(work.values()) == 1


def test_a_key_that_is_not_enabled_costs_what_a_damaged_hash_does(work: Counter[Any]) -> None:
    stored = passwords(Keyset.generate("HMAC_SHA256_PRF")).hash(RIGHT, account_id="1")
    work.clear()
    for mine in (passwords(), passwords(Keyset.generate("HMAC_SHA256_PRF"))):
        for each in (stored, stored[:-1], "", OLD_MD5, bare()):
            with pytest.raises(Tampered):
                mine.verify(each, RIGHT, account_id="1")
    assert not work  # so that the caller does it all, with None


# -- what may be shown --------------------------------------------------------------------------------------------


def test_describe() -> None:
    keys = Keyset.generate("HMAC_SHA256_PRF")
    mine = passwords(keys, older=(MD5, BELOW))

    def shown(stored: str, describe: Callable[..., Any] = mine.describe) -> tuple[object, ...]:
        info = describe(stored)
        return (
            info.scheme, info.parameters, info.wrapped, info.bound, info.pepper,
            info.verifies, info.current, info.listed,
        )  # fmt: skip

    key = f"{keys.primary_id:08x}"
    assert shown(mine.hash(RIGHT, account_id="1")) == (
        "argon2id", "m=8,t=1,p=1", False, True, key, True, True, True,
    )  # fmt: skip
    assert shown(bare()) == (
        "phc_argon2id", "v=19,m=8,t=1,p=1,l=32", False, False, None, False, False, False,
    )  # fmt: skip
    assert shown(mine.wrap(OLD_MD5, account_id="1")) == ("md5", "", True, True, key, True, False, True)
    assert shown(passwords(older=(PBKDF2,)).wrap(OLD_PBKDF2, account_id="1")) == (
        "pbkdf2_sha256", "i=1000", True, True, None, True, False, False,
    )  # fmt: skip
    assert shown(OLD_PBKDF2) == ("pbkdf2_sha256", "i=1000", False, False, None, False, False, False)
    for unknown in ("", "!", "x" * 5000, "$ps1$nfc,b"):
        assert shown(unknown) == ("unknown", "", False, False, None, False, False, False)
    assert shown(mine.hash(RIGHT, account_id="1"), passwords().describe)[5] is False
    assert mine.describe("0" * 32, scheme="md5").scheme == "md5"


def test_where_a_pepper_is_required_a_hash_without_one_is_tampering() -> None:
    """Whoever can write the table makes a hash of a password of their own; without the key it opens nothing."""
    keys = Keyset.generate("HMAC_SHA256_PRF")
    forged = passwords().hash(RIGHT, account_id="1")
    wrapped = passwords(older=(MD5,)).wrap(OLD_MD5, account_id="1")
    passwords(keys).verify(forged, RIGHT, account_id="1")
    strict = passwords(keys, older=(MD5,), require_pepper=True)
    for stored in (forged, wrapped):
        assert not strict.describe(stored).verifies
        with pytest.raises(Tampered, match="require_pepper"):
            strict.verify(stored, RIGHT, account_id="1")
    strict.verify(strict.hash(RIGHT, account_id="1"), RIGHT, account_id="1")
    with pytest.raises(ConfigurationError, match="portalsec keys new pepper"):
        passwords(require_pepper=True)


@pytest.mark.parametrize(
    "stored",
    [
        "$ps1$nfc,b$argon2id$v=19$m=4194304,t=64,p=64$" + "A" * 22 + "$" + "A" * 43,
        "$ps1$raw,b,w$phpass:r=24$MDEyMzQ1Njc$argon2id$v=19$m=8,t=1,p=1$" + "A" * 22 + "$" + "A" * 43,
        "$ps1$raw,b,w$bcrypt:r=20$MDEyMzQ1Njc$argon2id$v=19$m=8,t=1,p=1$" + "A" * 22 + "$" + "A" * 43,
    ],
)
def test_a_stored_cost_out_of_all_proportion_is_tampering_and_is_not_computed(
    work: Counter[Any], stored: str
) -> None:
    mine = passwords(older=(MD5,))
    work.clear()
    with pytest.raises(Tampered, match="far more work"):
        mine.verify(stored, RIGHT, account_id="1")
    assert not work and not mine.describe(stored).verifies


def test_the_presets_are_not_out_of_proportion_of_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(low_level, "hash_secret_raw", lambda *args, **kwargs: bytes(32))
    presets = [getattr(Argon2Parameters, name) for name in ("RFC_9106_HIGH_MEMORY", "OWASP_2025")]
    for one, other in (presets, presets[::-1]):
        stored = passwords(parameters=one).hash(RIGHT, account_id="1")
        assert passwords(parameters=other).verify(stored, RIGHT, account_id="1").rehash_due


def test_a_cost_that_cannot_be_computed_here_fails_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*args: Any, **options: Any) -> bytes:
        raise MemoryError

    monkeypatch.setattr(hashlib, "scrypt", none)
    with pytest.raises(ConfigurationError, match="scrypt:n=16384,r=8,p=1"):
        passwords(older=(LegacyCost("scrypt", (16384, 8, 1)),))


def test_older_parameters_are_not_for_new_hashes() -> None:
    with pytest.raises(ConfigurationError):
        passwords(parameters=BELOW)
