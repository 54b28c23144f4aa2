"""Recovery codes: 120 bits, shown once, kept as keyed hashes, spent once, void with their key."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.auth.recovery_codes import (
    FEW_LEFT,
    RecoveryCodes,
    RecoveryCodeSet,
    _grouped,
    _written,
    normalise_recovery_code,
)
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.prf import KeyedHash, KeysetPepper
from portalsec.errors import AuditUnavailable, Denied, Reason, StoreError
from portalsec.events import Source
from portalsec.stores.memory import MemoryRecoveryCodes
from portalsec.testing import CapturedEvents, FrozenClock
from tests.auth.world import Recorder

KEYS = Keyset.generate("HMAC_SHA256_PRF")
SHAPE = re.compile(r"(?:[0-9A-HJKMNP-TV-Z]{4}-){5}[0-9A-HJKMNP-TV-Z]{4}\Z")


class Setting:
    def __init__(self, keys: Any = KEYS) -> None:
        self.clock, self.events, self.calls = FrozenClock(), CapturedEvents(), list[str]()
        self.backing = MemoryRecoveryCodes()
        self.store: Any = Recorder("codes", self.backing, self.calls)
        self.with_keys(keys)

    def with_keys(self, keys: Any, emit: Any = None) -> None:
        self.codes = RecoveryCodes(
            store=self.store, mac=KeysetPepper(keys), clock=self.clock, emit=emit or self.events
        )

    def make(self, account: str = "robin") -> list[str]:
        return texts(self.codes.make(account))

    def refused(self, typed: Any, account: str = "robin") -> Reason:
        with pytest.raises(Denied) as refusal:
            self.codes.verify(account, typed)
        return refusal.value.reason


class Counted:
    """A keyed hash that writes down each use."""

    primary_id = KEYS.primary_id

    def __init__(self, tag: Any, calls: list[str]) -> None:
        self._tag, self._calls = tag, calls

    def tag(self, key_id: int, data: bytes) -> bytes | None:
        self._calls.append("hash")
        return self._tag(key_id, data)


def texts(made: RecoveryCodeSet) -> list[str]:
    return [code.reveal() for code in made.codes]


@pytest.fixture
def setting() -> Setting:
    return Setting()


def test_a_set_is_ten_codes_of_120_bits_that_read_well(setting: Setting) -> None:
    made = setting.codes.make("robin")
    codes = texts(made)
    assert len(codes) == len(set(codes)) == 10
    assert all(SHAPE.match(code) for code in codes)
    assert made.sheet().reveal() == "\n".join(codes) + "\n"
    assert (made.created_at, setting.codes.made_at("robin")) == (setting.clock(), setting.clock())
    assert not any(code in repr(made) for code in codes)


@given(st.binary(min_size=15, max_size=15))
def test_every_value_has_a_code_of_its_own(data: bytes) -> None:
    code = _written(data)
    assert len(code) == 24
    digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    assert sum(digits.index(char) << 5 * (23 - at) for at, char in enumerate(code)) == int.from_bytes(
        data, "big"
    )
    assert normalise_recovery_code(_grouped(code)) == code


@given(st.binary(min_size=15, max_size=15), st.randoms(use_true_random=False))
def test_spellings_of_one_code_come_out_equal(data: bytes, rng: Any) -> None:
    code = _written(data)
    looks = {"0": "0Oo\uff10", "1": "1IiLl"}
    typed = "".join(
        rng.choice(looks.get(char, char + char.lower())) + rng.choice(["", "", " ", "-", "\u2013", "\u00a0"])
        for char in code
    )
    assert normalise_recovery_code(f"\t{typed}\n") == code


@pytest.mark.parametrize(
    "typed",
    [None, 7, True, b"0" * 24, ["0" * 24], "", "0" * 23, "0" * 25, "0" * 200, "U" * 24, "ı" * 24, "ß" * 12, "\ud800" * 24],
)  # fmt: skip
def test_what_is_no_code_is_malformed(typed: Any, setting: Setting) -> None:
    setting.make()
    setting.calls.clear()
    assert setting.refused(typed) is Reason.MALFORMED
    assert setting.calls == []


@given(st.one_of(st.text(max_size=140), st.integers(), st.binary(), st.lists(st.text())))
def test_normalising_gives_a_code_or_refuses(typed: Any) -> None:
    try:
        code = normalise_recovery_code(typed)
    except Denied as refused:
        assert refused.reason is Reason.MALFORMED
        return
    assert SHAPE.match(_grouped(code))


def test_each_is_spent_once_and_recorded(setting: Setting) -> None:
    first, second, *_ = setting.make()
    setting.clock.advance(timedelta(days=3))
    source = Source(address="192.0.2.9")
    evidence = setting.codes.verify("robin", first.lower().replace("-", " "), source=source, session="s")
    assert (evidence.factor.value, evidence.account_id, evidence.at) == (
        "recovery_code",
        "robin",
        setting.clock(),
    )
    assert evidence.proof.authenticator is None
    assert setting.refused(first) is Reason.WRONG_CODE
    setting.codes.verify("robin", second)
    assert setting.codes.left("robin") == 8
    made, used, again = setting.events
    assert (made.name, dict(made.details)) == ("auth.recovery_codes_made", {"made": 10, "before": 0})
    assert (used.name, used.source, used.session, dict(used.details)) == (
        "auth.recovery_code_used",
        source,
        "s",
        {"left": 9},
    )
    assert dict(again.details) == {"left": 8}
    assert not any(code in repr(setting.events) for code in (first, second, first.replace("-", "")))


def test_a_new_set_voids_the_one_before(setting: Setting) -> None:
    old, new = setting.make(), setting.make()
    assert {setting.refused(code) for code in old} == {Reason.WRONG_CODE}
    setting.codes.verify("robin", new[0])
    assert setting.codes.remove("robin") == 10
    assert setting.refused(new[1]) is Reason.WRONG_CODE
    assert (setting.codes.left("robin"), setting.codes.made_at("robin")) == (0, None)


def test_few_are_left_before_none_are(setting: Setting) -> None:
    codes = setting.make()
    for left in range(9, -1, -1):
        setting.codes.verify("robin", codes[left])
        assert setting.codes.left("robin") == left
    assert 0 < FEW_LEFT < 10


def test_an_account_without_codes_costs_what_one_with_codes_costs(setting: Setting) -> None:
    code, *_ = setting.make("kim")
    spent, *rest = setting.make("robin")
    setting.codes.verify("robin", spent)
    hashed = setting.codes._mac.tag
    setting.codes._mac = Counted(hashed, setting.calls)  # type: ignore[assignment]
    work = []
    for account in ("robin", "nobody", "kim"):
        setting.calls.clear()
        assert setting.refused(code if account != "kim" else rest[0], account) is Reason.WRONG_CODE
        work.append(tuple(setting.calls))
    assert set(work) == {("codes.of_account", "hash", "codes.spend")}


# -- at rest ------------------------------------------------------------------------------------------------------


def test_the_store_has_keyed_hashes_bound_to_the_account(setting: Setting) -> None:
    codes = setting.make()
    held = setting.backing.of_account("robin")
    assert {len(each.digest) for each in held} == {32}
    assert {each.key_id for each in held} == {KEYS.primary_id}
    plain = b"".join(code.replace("-", "").encode() for code in codes)
    assert not any(each.digest in plain or each.digest.hex() in repr(held) for each in held)
    # Copied into another's row, or under the same key for another purpose, a digest opens nothing.
    from dataclasses import replace

    setting.backing.replace("mallory", [replace(each, account_id="mallory") for each in held])
    assert {setting.refused(code, "mallory") for code in codes} == {Reason.WRONG_CODE}
    keyed = KeyedHash(KEYS)
    assert not {each.digest for each in held} & {
        keyed("psrc1", b"robin" + code.replace("-", "").encode()) for code in codes
    }


def test_newest_writes_all_read_and_a_disabled_key_voids(setting: Setting) -> None:
    old = setting.make()
    both = KEYS.add("HMAC_SHA256_PRF")
    rotated = both.promote(both.info()[-1].id)
    setting.with_keys(rotated)
    assert setting.codes.left("robin") == 10
    setting.codes.verify("robin", old[0])
    new = setting.make("kim")
    assert {each.key_id for each in setting.backing.of_account("kim")} == {rotated.primary_id}
    setting.with_keys(rotated.disable(KEYS.primary_id))
    assert setting.refused(old[1]) is Reason.WRONG_CODE
    assert setting.codes.left("robin") == 0
    setting.codes.verify("kim", new[0])


# -- what fails ---------------------------------------------------------------------------------------------------


def test_what_cannot_be_recorded_spends_nothing(setting: Setting) -> None:
    code, *_ = setting.make()

    def down(event: Any) -> None:
        raise AuditUnavailable("the log is full")

    setting.with_keys(KEYS, emit=down)
    with pytest.raises(AuditUnavailable):
        setting.codes.verify("robin", code)
    with pytest.raises(AuditUnavailable):
        setting.codes.make("kim")
    setting.with_keys(KEYS)
    assert setting.codes.left("robin") == 10
    setting.codes.verify("robin", code)


def test_a_spent_code_can_be_given_back_by_whoever_could_not_use_it(setting: Setting) -> None:
    code, other, *_ = setting.make()
    setting.codes.verify("robin", code)
    setting.codes.unspend("robin", other)
    setting.codes.unspend("kim", code)
    assert setting.codes.left("robin") == 9
    setting.codes.unspend("robin", code)
    setting.codes.verify("robin", code)


def test_a_store_that_is_down_says_nothing_of_the_code(setting: Setting) -> None:
    code, *_ = setting.make()
    setting.store.failing["spend"] = StoreError("the database is gone")
    for typed in (code, "0" * 24):
        with pytest.raises(StoreError) as failed:
            setting.codes.verify("robin", typed)
        assert typed not in str(failed.value)
