"""The contract of `portalsec.auth.ports.PasswordHistoryStore`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import partial

import pytest

from portalsec.auth.ports import PasswordHistoryStore
from portalsec.testing.contracts.base import MICROSECOND, NOW, THREADS, StoreContract

__all__ = ["PasswordHistoryStoreContract"]


def _hash(number: int) -> str:
    return f"$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ${number:08}"


class PasswordHistoryStoreContract(StoreContract):
    """Inherit it and provide ``store``: an empty `PasswordHistoryStore`."""

    @pytest.fixture
    def store(self) -> PasswordHistoryStore:
        raise NotImplementedError("provide a fixture `store` that returns an empty PasswordHistoryStore")

    def test_hashes_come_back_newest_first_each_account_its_own(self, store: PasswordHistoryStore) -> None:
        for number in range(3):
            store.add("account-1", _hash(number), at=NOW + number * MICROSECOND, keep=10)
        store.add("account-2", _hash(1), at=NOW, keep=10)
        assert list(store.of_account("account-1")) == [_hash(2), _hash(1), _hash(0)]
        assert list(store.of_account("account-2")) == [_hash(1)]
        assert list(store.of_account("account-3")) == []

    def test_of_two_at_one_moment_the_later_call_is_the_newer(self, store: PasswordHistoryStore) -> None:
        for number in range(3):
            store.add("account-1", _hash(number), at=NOW, keep=2)
        assert list(store.of_account("account-1")) == [_hash(2), _hash(1)]

    def test_the_newest_are_kept_and_no_more(self, store: PasswordHistoryStore) -> None:
        store.add("account-2", _hash(7), at=NOW, keep=1)
        for number in range(6):
            store.add("account-1", _hash(number), at=NOW + number * MICROSECOND, keep=4)
        assert list(store.of_account("account-1")) == [_hash(5), _hash(4), _hash(3), _hash(2)]
        store.add("account-1", _hash(6), at=NOW + 6 * MICROSECOND, keep=2)
        assert list(store.of_account("account-1")) == [_hash(6), _hash(5)]
        store.add("account-1", _hash(7), at=NOW + 7 * MICROSECOND, keep=0)
        assert list(store.of_account("account-1")) == []
        assert list(store.of_account("account-2")) == [_hash(7)]

    def test_compromised_ones_and_the_others_are_trimmed_each_by_themselves(
        self, store: PasswordHistoryStore
    ) -> None:
        store.add("account-1", _hash(0), at=NOW, keep=2, compromised=True)
        store.add("account-2", _hash(9), at=NOW, keep=2)
        for number in range(1, 5):
            store.add("account-1", _hash(number), at=NOW + number * MICROSECOND, keep=1)
        assert list(store.of_account("account-1")) == [_hash(4), _hash(0)]
        for number in (5, 6):
            store.add("account-1", _hash(number), at=NOW + number * MICROSECOND, keep=2, compromised=True)
        assert list(store.of_account("account-1")) == [_hash(6), _hash(5), _hash(4)]
        assert list(store.of_account("account-2")) == [_hash(9)]

    def test_what_is_compromised_stays_so(self, store: PasswordHistoryStore) -> None:
        store.add("account-1", _hash(0), at=NOW, keep=5, compromised=True)
        store.add("account-1", _hash(1), at=NOW, keep=5)
        store.add("account-1", _hash(0), at=NOW + MICROSECOND, keep=5)
        store.add("account-1", _hash(1), at=NOW + 2 * MICROSECOND, keep=5, compromised=True)
        store.add("account-1", _hash(2), at=NOW + 3 * MICROSECOND, keep=0)
        assert list(store.of_account("account-1")) == [_hash(1), _hash(0)]

    def test_the_same_hash_is_kept_once_where_it_was_last(self, store: PasswordHistoryStore) -> None:
        for number in (1, 2, 1):
            store.add("account-1", _hash(number), at=NOW, keep=5)
        assert list(store.of_account("account-1")) == [_hash(1), _hash(2)]

    def test_a_long_hash_comes_back_whole(self, store: PasswordHistoryStore) -> None:
        long = "$ps1$nfc,b,0a1b2c3d$" + "w" * 700
        store.add("account-1", long, at=NOW, keep=5)
        store.add("account-1", f"{long}x", at=NOW, keep=5)
        assert list(store.of_account("account-1")) == [f"{long}x", long]

    def test_forgetting_says_how_many_and_takes_one_account(self, store: PasswordHistoryStore) -> None:
        for number in range(3):
            store.add("account-1", _hash(number), at=NOW, keep=5)
        store.add("account-2", _hash(1), at=NOW, keep=5)
        assert store.forget("account-1") == 3
        assert store.forget("account-1") == 0
        assert list(store.of_account("account-1")) == []
        assert list(store.of_account("account-2")) == [_hash(1)]

    def test_race_of_different_hashes_keeps_as_many_as_it_was_told(self, store: PasswordHistoryStore) -> None:
        for turn in self.rounds():
            account = f"account-{turn}"
            self.race(
                *(
                    partial(store.add, account, _hash(n), at=NOW + n * MICROSECOND, keep=5)
                    for n in range(THREADS)
                )
            )
            assert list(store.of_account(account)) == [_hash(n) for n in (7, 6, 5, 4, 3)]

    def test_race_of_one_hash_keeps_it_once(self, store: PasswordHistoryStore) -> None:
        for turn in self.rounds():
            account = f"account-{turn}"
            self.race(partial(store.add, account, _hash(1), at=NOW, keep=5))
            assert list(store.of_account(account)) == [_hash(1)]

    def test_verbs_neither_wait_for_nor_roll_back_with_the_callers_open_write(
        self, store: PasswordHistoryStore, open_write: AbstractContextManager[object]
    ) -> None:
        store.add("account-2", _hash(1), at=NOW, keep=5)
        with open_write:
            store.add("account-1", _hash(1), at=NOW, keep=5)
            assert store.forget("account-2") == 1
        assert list(store.of_account("account-1")) == [_hash(1)]
        assert list(store.of_account("account-2")) == []

    def test_a_backend_that_cannot_answer_is_a_store_error(self, failing_store: PasswordHistoryStore) -> None:
        self.assert_all_fail(
            [
                lambda: failing_store.add("account-1", _hash(1), at=NOW, keep=5),
                lambda: failing_store.of_account("account-1"),
                lambda: failing_store.forget("account-1"),
            ]
        )
