"""The contract of `portalsec.auth.ports.AccountStore`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial

import pytest

from portalsec.auth.ports import Account, AccountStore
from portalsec.testing.contracts.base import MICROSECOND, NOW, THREADS, StoreContract, winners

__all__ = ["AccountStoreContract"]

_HASH = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g"
_OTHER = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$b3RoZXJoYXNo"


def _account(number: int = 1, *, login: str | None = None, password_hash: str | None = _HASH) -> Account:
    return Account(
        id=f"account-{number}",
        login=login or f"person{number}@example.org",
        password_hash=password_hash,
        reference=f"patient-{number}",
        created_at=NOW,
    )


class AccountStoreContract(StoreContract):
    """Inherit it and provide ``store``: an empty `AccountStore`."""

    @pytest.fixture
    def store(self) -> AccountStore:
        raise NotImplementedError("provide a fixture `store` that returns an empty AccountStore")

    @pytest.fixture
    def rotating(self, store: AccountStore) -> Sequence[AccountStore]:
        """The same empty accounts as three workers have them while a key is rotated, if names are found by a key.

        With the old key; with both, of which the old one writes; with both, of which the new one writes. A store
        without such a key is the same to all of them.
        """
        return (store, store, store)

    def test_an_account_is_found_by_id_and_by_login_as_it_was_created(self, store: AccountStore) -> None:
        plain = _account(1)
        bare = Account(
            id="account-2", login="zoë müller 病院@example.org", password_hash=None, created_at=NOW
        )
        disabled = replace(_account(3), disabled=True)
        for account in (plain, bare, disabled):
            assert store.create(account, now=NOW)
            assert store.get(account.id) == account
            assert store.by_login(account.login) == account

    def test_a_long_hash_comes_back_whole(self, store: AccountStore) -> None:
        long = _account(password_hash="$ps1$nfc,b,0a1b2c3d$" + "w" * 700)
        assert store.create(long, now=NOW)
        assert store.get(long.id) == store.by_login(long.login) == long
        longer = f"{long.password_hash}x"
        assert not store.set_password(long.id, "new", expected=longer)
        assert store.set_password(long.id, longer, expected=long.password_hash)
        assert store.get(long.id) == replace(long, password_hash=longer)
        assert not store.set_password(long.id, "new", expected=long.password_hash)
        assert store.set_password(long.id, _HASH, expected=longer)
        assert store.get(long.id) == _account()

    def test_the_moments_of_an_account_are_kept(self, store: AccountStore) -> None:
        moved = replace(
            _account(1),
            must_change="temporary",
            password_changed_at=NOW - 3 * MICROSECOND,
            signed_in_at=NOW - 2 * MICROSECOND,
            created_at=NOW - 4 * MICROSECOND,
        )
        assert store.create(moved, now=NOW)
        assert store.get("account-1") == store.by_login(moved.login) == moved
        assert store.create(replace(_account(2), created_at=None), now=NOW)
        assert store.get("account-2") == _account(2), "without a moment of its own it is created now"

    def test_a_password_that_is_chosen_clears_what_must_change_and_a_rehash_does_not(
        self, store: AccountStore
    ) -> None:
        store.create(replace(_account(), must_change="expired"), now=NOW)
        later = NOW + MICROSECOND
        assert store.set_password("account-1", _OTHER, expected=_HASH)
        assert store.get("account-1") == replace(_account(password_hash=_OTHER), must_change="expired")
        assert not store.set_password("account-1", _HASH, expected=_HASH, changed_at=later)
        assert store.get("account-1") == replace(_account(password_hash=_OTHER), must_change="expired")
        assert store.set_password("account-1", _HASH, expected=_OTHER, changed_at=later)
        assert store.get("account-1") == replace(_account(), password_changed_at=later)

    def test_a_password_that_was_set_by_mail_is_so_until_it_is_proven_or_another_is_chosen(
        self, store: AccountStore
    ) -> None:
        store.create(_account(1), now=NOW)
        store.create(replace(_account(2), password_mailed=True), now=NOW)
        mailed = replace(_account(password_hash=_OTHER), password_changed_at=NOW, password_mailed=True)
        assert not store.password_proven("account-1", expected=_HASH)
        assert store.set_password("account-1", _OTHER, expected=_HASH, changed_at=NOW, mailed=True)
        assert store.get("account-1") == mailed
        assert store.set_password("account-1", _HASH, expected=_OTHER), "the same one, hashed anew"
        assert store.get("account-1") == replace(mailed, password_hash=_HASH)
        assert not store.password_proven("account-1", expected=_OTHER), "somebody chose another meanwhile"
        assert not store.password_proven("account-9", expected=_HASH)
        assert store.password_proven("account-1", expected=_HASH)
        assert not store.password_proven("account-1", expected=_HASH)
        assert store.get("account-1") == replace(_account(), password_changed_at=NOW)
        assert store.get("account-2") == replace(_account(2), password_mailed=True)
        assert store.set_password("account-2", _OTHER, expected=_HASH, changed_at=NOW)
        assert store.get("account-2") == replace(_account(2, password_hash=_OTHER), password_changed_at=NOW)

    def test_a_password_can_be_taken_away(self, store: AccountStore) -> None:
        store.create(_account(), now=NOW)
        assert not store.set_password("account-1", None, expected=_OTHER, changed_at=NOW)
        assert store.set_password("account-1", None, expected=_HASH, changed_at=NOW)
        assert store.get("account-1") == replace(_account(password_hash=None), password_changed_at=NOW)
        assert store.set_password("account-1", _OTHER, expected=None)
        assert store.get("account-1") == replace(_account(password_hash=_OTHER), password_changed_at=NOW)

    def test_a_change_is_required_with_a_reason(self, store: AccountStore) -> None:
        store.create(_account(1), now=NOW)
        store.create(_account(2), now=NOW)
        assert store.require_change("account-1", "disavowed")
        assert store.get("account-1") == replace(_account(1), must_change="disavowed")
        assert store.require_change("account-1", "expired")
        assert store.get("account-1") == replace(_account(1), must_change="expired")
        assert store.get("account-2") == _account(2)
        assert not store.require_change("account-9", "expired")

    def test_the_newest_sign_in_moves_forward_alone(self, store: AccountStore) -> None:
        store.create(_account(), now=NOW)
        assert store.signed_in("account-1", at=NOW)
        assert not store.signed_in("account-1", at=NOW)
        assert not store.signed_in("account-1", at=NOW - MICROSECOND)
        assert store.get("account-1") == replace(_account(), signed_in_at=NOW)
        assert store.signed_in("account-1", at=NOW + MICROSECOND)
        assert store.get("account-1") == replace(_account(), signed_in_at=NOW + MICROSECOND)
        assert not store.signed_in("account-9", at=NOW)

    def test_pages_hold_every_account_once_in_one_order(self, store: AccountStore) -> None:
        accounts = [_account(number) for number in range(1, 8)]
        for account in accounts:
            store.create(account, now=NOW)
        whole = list(store.page(after=None, limit=100))
        assert {account.id: account for account in whole} == {account.id: account for account in accounts}
        assert len(whole) == len(accounts)
        paged: list[Account] = []
        while page := store.page(after=paged[-1].id if paged else None, limit=3):
            assert len(page) <= 3
            paged += page
        assert paged == whole

    def test_what_is_unknown_is_none(self, store: AccountStore) -> None:
        store.create(_account(), now=NOW)
        assert store.get("account-9") is None
        assert store.by_login("person9@example.org") is None

    @pytest.mark.parametrize(
        "near", ["PERSON1@example.org", "person1@example.or", "person%", "person1@example.org "]
    )
    def test_a_login_is_matched_exactly(self, store: AccountStore, near: str) -> None:
        store.create(_account(), now=NOW)
        assert store.by_login(near) is None

    def test_a_taken_login_or_id_is_refused_and_leaves_the_first_account_alone(
        self, store: AccountStore
    ) -> None:
        first = _account(1)
        assert store.create(first, now=NOW)
        assert not store.create(_account(2, login=first.login), now=NOW)
        assert not store.create(replace(_account(3, password_hash=_OTHER), id=first.id), now=NOW)
        assert store.get(first.id) == first
        assert store.by_login(first.login) == first
        assert store.get("account-2") is None
        assert store.by_login("person3@example.org") is None

    def test_a_password_is_replaced_only_where_it_is_the_expected_one(self, store: AccountStore) -> None:
        store.create(_account(), now=NOW)
        assert not store.set_password("account-1", "new", expected=_OTHER)
        assert not store.set_password("account-1", "new", expected=None)
        assert store.get("account-1") == _account()
        assert store.set_password("account-1", _OTHER, expected=_HASH)
        assert store.get("account-1") == _account(password_hash=_OTHER)
        assert not store.set_password("account-1", "new", expected=_HASH)

    def test_a_first_password_expects_none(self, store: AccountStore) -> None:
        store.create(_account(password_hash=None), now=NOW)
        assert not store.set_password("account-1", _HASH, expected="")
        assert store.set_password("account-1", _HASH, expected=None)
        assert not store.set_password("account-1", _OTHER, expected=None)
        assert store.get("account-1") == _account()

    def test_an_unknown_account_gets_no_password(self, store: AccountStore) -> None:
        store.create(_account(), now=NOW)
        assert not store.set_password("account-9", _OTHER, expected=_HASH)
        assert not store.set_password("account-9", _OTHER, expected=None)
        assert store.get("account-1") == _account()

    def test_disabling_says_whether_the_state_changed(self, store: AccountStore) -> None:
        store.create(_account(1), now=NOW)
        store.create(_account(2), now=NOW)
        assert not store.set_disabled("account-1", False)
        assert store.set_disabled("account-1", True)
        assert not store.set_disabled("account-1", True)
        assert store.get("account-1") == replace(_account(1), disabled=True)
        assert store.get("account-2") == _account(2)
        assert store.set_disabled("account-1", False)
        assert store.get("account-1") == _account(1)
        assert not store.set_disabled("account-9", True)

    def test_race_of_creates_for_one_login_has_one_winner(self, store: AccountStore) -> None:
        for turn in self.rounds():
            rivals = [_account(turn * 100 + n, login=f"wanted{turn}@example.org") for n in range(THREADS)]
            results = self.race(*(partial(store.create, rival, now=NOW) for rival in rivals))
            assert winners(results) == 1
            won = rivals[results.index(True)]
            assert store.by_login(won.login) == won
            assert [store.get(rival.id) for rival in rivals if rival is not won] == [None] * (THREADS - 1)

    def test_a_rotation_of_the_key_loses_no_account_and_frees_no_name(
        self, rotating: Sequence[AccountStore]
    ) -> None:
        for place, writer in enumerate(rotating):
            account = _account(place)
            assert writer.create(account, now=NOW)
            # Whoever has loaded the keys so far finds it: the old key's owner does not read the new one.
            for reader in rotating if place < 2 else rotating[1:]:
                assert reader.by_login(account.login) == account
                assert reader.get(account.id) == account
                assert not reader.create(_account(place + 100, login=account.login), now=NOW)
                assert reader.get(f"account-{place + 100}") is None

    def test_race_of_creates_for_one_login_under_two_keys_has_one_winner(
        self, rotating: Sequence[AccountStore]
    ) -> None:
        workers = rotating[1:]
        for turn in self.rounds():
            rivals = [_account(turn * 100 + n, login=f"wanted{turn}@example.org") for n in range(THREADS)]
            results = self.race(
                *(partial(workers[number % 2].create, rival, now=NOW) for number, rival in enumerate(rivals))
            )
            assert winners(results) == 1
            won = rivals[results.index(True)]
            for worker in workers:
                assert worker.by_login(won.login) == won
                assert [worker.get(rival.id) for rival in rivals if rival is not won] == [None] * (
                    THREADS - 1
                )

    def test_race_of_password_changes_has_one_winner(self, store: AccountStore) -> None:
        for turn in self.rounds():
            account = _account(turn)
            store.create(account, now=NOW)
            results = self.race(
                *(
                    partial(store.set_password, account.id, f"{_OTHER}{n}", expected=_HASH)
                    for n in range(THREADS)
                )
            )
            assert winners(results) == 1
            assert store.get(account.id) == replace(account, password_hash=f"{_OTHER}{results.index(True)}")

    def test_race_of_a_proven_password_and_another_reset_leaves_the_reset_unproven(
        self, store: AccountStore
    ) -> None:
        for turn in self.rounds():
            account = replace(_account(turn), password_mailed=True)
            store.create(account, now=NOW)
            reset = partial(
                store.set_password, account.id, _OTHER, expected=_HASH, changed_at=NOW, mailed=True
            )
            proven = [partial(store.password_proven, account.id, expected=_HASH)] * (THREADS - 1)
            results = self.race(reset, *proven)
            assert results[0] is True and winners(results[1:]) <= 1
            assert store.get(account.id) == replace(account, password_hash=_OTHER, password_changed_at=NOW)

    def test_race_of_disabling_has_one_winner(self, store: AccountStore) -> None:
        for turn in self.rounds():
            store.create(_account(turn), now=NOW)
            assert winners(self.race(partial(store.set_disabled, f"account-{turn}", True))) == 1

    def test_race_of_sign_ins_keeps_the_newest(self, store: AccountStore) -> None:
        store.create(_account(), now=NOW)
        for turn in self.rounds():
            moments = [NOW + (turn * THREADS + number) * MICROSECOND for number in range(THREADS)]
            results = self.race(*(partial(store.signed_in, "account-1", at=moment) for moment in moments))
            assert results[-1], "the newest is newer than whatever came before it"
            assert store.get("account-1") == replace(_account(), signed_in_at=moments[-1])

    def test_verbs_neither_wait_for_nor_roll_back_with_the_callers_open_write(
        self, store: AccountStore, open_write: AbstractContextManager[object]
    ) -> None:
        with open_write:
            assert store.create(_account(), now=NOW)
            assert store.set_password("account-1", _OTHER, expected=_HASH)
            assert store.set_disabled("account-1", True)
            assert store.require_change("account-1", "expired")
            assert store.signed_in("account-1", at=NOW)
        assert store.get("account-1") == replace(
            _account(password_hash=_OTHER), disabled=True, must_change="expired", signed_in_at=NOW
        )

    def test_a_backend_that_cannot_answer_is_a_store_error(self, failing_store: AccountStore) -> None:
        self.assert_all_fail(
            [
                lambda: failing_store.create(_account(), now=NOW),
                lambda: failing_store.get("account-1"),
                lambda: failing_store.by_login("person1@example.org"),
                lambda: failing_store.set_password("account-1", _OTHER, expected=_HASH),
                lambda: failing_store.set_password("account-1", None, expected=_OTHER, changed_at=NOW),
                lambda: failing_store.password_proven("account-1", expected=_OTHER),
                lambda: failing_store.require_change("account-1", "expired"),
                lambda: failing_store.signed_in("account-1", at=NOW),
                lambda: failing_store.page(after=None, limit=10),
                lambda: failing_store.page(after="account-1", limit=10),
                lambda: failing_store.set_disabled("account-1", True),
            ]
        )
