"""The contract of `portalsec.auth.ports.RecoveryCodeStore`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial

import pytest

from portalsec.auth.ports import RecoveryCode, RecoveryCodeStore
from portalsec.testing.contracts.base import MICROSECOND, NOW, THREADS, StoreContract, winners

__all__ = ["RecoveryCodeStoreContract"]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _codes(name: str = "set", *, account: str = "account-1", count: int = 3) -> list[RecoveryCode]:
    return [
        RecoveryCode(
            account_id=account,
            digest=_digest(f"{account} {name} {number}"),
            key_id=2**32 - 1 - number,
            created_at=NOW,
        )
        for number in range(count)
    ]


def _same(found: Sequence[RecoveryCode], expected: Sequence[RecoveryCode]) -> bool:
    """In whatever order."""
    return sorted(found, key=lambda code: code.digest) == sorted(expected, key=lambda code: code.digest)


class RecoveryCodeStoreContract(StoreContract):
    """Inherit it and provide ``store``: an empty `RecoveryCodeStore`."""

    @pytest.fixture
    def store(self) -> RecoveryCodeStore:
        raise NotImplementedError("provide a fixture `store` that returns an empty RecoveryCodeStore")

    def test_a_set_comes_back_as_it_went_in(self, store: RecoveryCodeStore) -> None:
        first, *rest = _codes()
        codes = [replace(first, used_at=NOW + MICROSECOND), *rest]
        assert list(store.of_account("account-1")) == []
        assert store.replace("account-1", codes) == 0
        assert _same(store.of_account("account-1"), codes)
        assert list(store.of_account("account-2")) == []

    def test_a_new_set_takes_the_place_of_the_whole_old_one(self, store: RecoveryCodeStore) -> None:
        others = _codes(account="account-2")
        store.replace("account-1", _codes("old"))
        store.replace("account-2", others)
        store.spend("account-1", [_codes("old")[0].digest], at=NOW)
        assert store.replace("account-1", _codes("new", count=5)) == 3
        assert _same(store.of_account("account-1"), _codes("new", count=5))
        assert store.spend("account-1", [_codes("old")[1].digest], at=NOW) is None
        assert _same(store.of_account("account-2"), others)

    def test_a_code_is_spent_once_by_its_owner(self, store: RecoveryCodeStore) -> None:
        first, *rest = codes = _codes()
        store.replace("account-1", codes)
        assert store.spend("account-2", [first.digest], at=NOW) is None
        assert store.spend("account-1", [_digest("unknown")], at=NOW) is None
        assert store.spend("account-1", [], at=NOW) is None
        assert _same(store.of_account("account-1"), codes)
        spent = replace(first, used_at=NOW + MICROSECOND)
        # Under each key that is read, the code has a digest: one of them is stored.
        digests = [_digest("under another key"), first.digest]
        assert store.spend("account-1", digests, at=NOW + MICROSECOND) == spent
        assert store.spend("account-1", digests, at=NOW + 2 * MICROSECOND) is None
        assert _same(store.of_account("account-1"), [spent, *rest])

    def test_what_was_spent_for_nothing_can_be_given_back(self, store: RecoveryCodeStore) -> None:
        first, *_ = codes = _codes()
        store.replace("account-1", codes)
        assert not store.unspend("account-1", first.digest)
        store.spend("account-1", [first.digest], at=NOW)
        assert not store.unspend("account-2", first.digest)
        assert not store.unspend("account-1", _digest("unknown"))
        assert store.unspend("account-1", first.digest)
        assert not store.unspend("account-1", first.digest)
        assert _same(store.of_account("account-1"), codes)
        assert store.spend("account-1", [first.digest], at=NOW) == replace(first, used_at=NOW)

    def test_a_set_is_removed_with_all_of_it(self, store: RecoveryCodeStore) -> None:
        store.replace("account-1", _codes())
        store.replace("account-2", _codes(account="account-2"))
        assert store.remove("account-1") == 3
        assert store.remove("account-1") == 0
        assert list(store.of_account("account-1")) == []
        assert store.spend("account-1", [_codes()[0].digest], at=NOW) is None
        assert _same(store.of_account("account-2"), _codes(account="account-2"))

    def test_race_for_one_code_has_one_winner(self, store: RecoveryCodeStore) -> None:
        codes = _codes(count=len(self.rounds(5, soak=300)))
        store.replace("account-1", codes)
        for code in codes:
            results = self.race(partial(store.spend, "account-1", [code.digest], at=NOW))
            assert [each for each in results if each is not None] == [replace(code, used_at=NOW)]

    def test_fifty_threads_with_one_code_have_one_winner(self, store: RecoveryCodeStore) -> None:
        codes = _codes(count=len(self.rounds(1, soak=50)))
        store.replace("account-1", codes)
        for code in codes:
            spend = partial(store.spend, "account-1", [code.digest, _digest("under another key")], at=NOW)
            assert winners(self.race(*[spend] * 50)) == 1

    def test_race_of_different_codes_spends_each(self, store: RecoveryCodeStore) -> None:
        for turn in self.rounds():
            codes = _codes(f"turn {turn}", count=THREADS)
            store.replace("account-1", codes)
            results = self.race(*(partial(store.spend, "account-1", [c.digest], at=NOW) for c in codes))
            assert results == [replace(code, used_at=NOW) for code in codes]

    def test_race_of_new_sets_leaves_one_whole_set(self, store: RecoveryCodeStore) -> None:
        before = 0
        for turn in self.rounds():
            rivals = [_codes(f"{turn} {number}") for number in range(THREADS)]
            replaced = self.race(*(partial(store.replace, "account-1", rival) for rival in rivals))
            assert sorted(replaced) == sorted([before, *[3] * (THREADS - 1)])
            assert any(_same(store.of_account("account-1"), rival) for rival in rivals)
            before = 3

    def test_race_of_a_code_and_a_new_set_leaves_no_old_code(self, store: RecoveryCodeStore) -> None:
        for turn in self.rounds():
            old, new = _codes(f"old {turn}"), _codes(f"new {turn}")
            store.replace("account-1", old)
            self.race(
                partial[RecoveryCode | int | None](store.spend, "account-1", [old[0].digest], at=NOW),
                partial[RecoveryCode | int | None](store.replace, "account-1", new),
            )
            assert _same(store.of_account("account-1"), new)

    def test_race_to_give_back_has_one_winner(self, store: RecoveryCodeStore) -> None:
        first, *_ = codes = _codes()
        store.replace("account-1", codes)
        for _ in self.rounds():
            store.spend("account-1", [first.digest], at=NOW)
            assert winners(self.race(partial(store.unspend, "account-1", first.digest))) == 1

    def test_verbs_neither_wait_for_nor_roll_back_with_the_callers_open_write(
        self, store: RecoveryCodeStore, open_write: AbstractContextManager[object]
    ) -> None:
        first, second, third = codes = _codes()
        store.replace("account-2", _codes(account="account-2"))
        with open_write:
            assert store.replace("account-1", codes) == 0
            assert store.spend("account-1", [first.digest], at=NOW)
            assert store.spend("account-1", [second.digest], at=NOW)
            assert store.unspend("account-1", second.digest)
            assert store.remove("account-2") == 3
        assert _same(store.of_account("account-1"), [replace(first, used_at=NOW), second, third])
        assert list(store.of_account("account-2")) == []

    def test_a_backend_that_cannot_answer_is_a_store_error(self, failing_store: RecoveryCodeStore) -> None:
        digest = _codes()[0].digest
        self.assert_all_fail(
            [
                lambda: failing_store.replace("account-1", _codes()),
                lambda: failing_store.of_account("account-1"),
                lambda: failing_store.spend("account-1", [digest], at=NOW),
                lambda: failing_store.unspend("account-1", digest),
                lambda: failing_store.remove("account-1"),
            ]
        )
