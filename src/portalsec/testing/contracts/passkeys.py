"""The contract of `portalsec.auth.ports.PasskeyStore`."""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from functools import partial

import pytest

from portalsec.auth.ports import Passkey, PasskeyStore
from portalsec.testing.contracts.base import MICROSECOND, NOW, THREADS, StoreContract, winners

__all__ = ["PasskeyStoreContract"]

_MANY = 99


def _bytes(text: str, length: int = 32) -> bytes:
    return hashlib.shake_256(text.encode()).digest(length)


def _passkey(number: int = 1, *, account: str = "account-1") -> Passkey:
    return Passkey(
        id=f"passkey-{number}",
        account_id=account,
        credential_id=_bytes(f"credential {number}"),
        user_handle=_bytes(account, 64),
        public_key=_bytes(f"key {number}", 77),
        algorithm=-7,
        sign_count=0,
        label=f"Zoë's key {number}",
        aaguid="00000000-0000-0000-0000-000000000000",
        transports=("usb", "nfc"),
        backup_eligible=False,
        backed_up=False,
        user_verified=False,
        attested=False,
        discoverable=None,
        created_at=NOW + number * MICROSECOND,
    )


class PasskeyStoreContract(StoreContract):
    """Inherit it and provide ``store``: an empty `PasskeyStore`."""

    @pytest.fixture
    def store(self) -> PasskeyStore:
        raise NotImplementedError("provide a fixture `store` that returns an empty PasskeyStore")

    def test_every_field_comes_back_as_it_went_in(self, store: PasskeyStore) -> None:
        full = replace(
            _passkey(1, account="{zoë}"),
            credential_id=_bytes("the longest there is", 1023),
            public_key=_bytes("an RSA or ML-DSA key is long", 2000),
            algorithm=-65535,
            sign_count=2**32 - 1,
            label="Clé 病院",
            aaguid="ea9b8d66-4d01-1d21-3ce4-b6b48cb575d4",
            transports=(),
            backup_eligible=True,
            backed_up=True,
            user_verified=True,
            attested=True,
            discoverable=True,
            used_at=NOW + MICROSECOND,
            suspect_at=NOW + 2 * MICROSECOND,
            disabled_at=NOW + 3 * MICROSECOND,
            seal=_bytes("a seal of the longest name", 200),
        )
        short = replace(_passkey(2), credential_id=b"\0", discoverable=False, seal=b"\0")
        for passkey in (full, short, _passkey(3)):
            assert store.add(passkey, at_most=_MANY)
            assert store.by_credential_id(passkey.credential_id) == passkey
        assert list(store.of_account("{zoë}")) == [full]
        assert list(store.of_account("account-1")) == [short, _passkey(3)]
        assert store.by_credential_id(b"unknown") is None
        assert list(store.of_account("account-9")) == []

    def test_passkeys_are_listed_oldest_first(self, store: PasskeyStore) -> None:
        for number, age in ((1, 0), (2, -5), (3, 5)):
            store.add(replace(_passkey(number), created_at=NOW + age * MICROSECOND), at_most=_MANY)
        listed = [passkey.id for passkey in store.of_account("account-1")]
        assert listed == ["passkey-2", "passkey-1", "passkey-3"]

    def test_an_id_and_a_credential_id_are_taken_once(self, store: PasskeyStore) -> None:
        assert store.add(_passkey(1), at_most=_MANY)
        for account in ("account-1", "account-2"):
            same_id = replace(_passkey(2, account=account), id="passkey-1")
            same_credential = replace(_passkey(2, account=account), credential_id=_passkey(1).credential_id)
            assert not store.add(same_id, at_most=_MANY)
            assert not store.add(same_credential, at_most=_MANY)
        assert list(store.of_account("account-1")) == [_passkey(1)]
        assert list(store.of_account("account-2")) == []

    def test_an_account_has_at_most_so_many(self, store: PasskeyStore) -> None:
        assert not store.add(_passkey(1), at_most=0)
        for number in (1, 2):
            assert store.add(_passkey(number), at_most=2)
        assert not store.add(_passkey(3), at_most=2)
        assert store.add(_passkey(4, account="account-2"), at_most=2)
        store.remove("account-1", "passkey-1", at=NOW)
        assert store.add(_passkey(3), at_most=2)

    def test_a_use_advances_the_counter(self, store: PasskeyStore) -> None:
        store.add(_passkey(), at_most=_MANY)
        used = NOW + 9 * MICROSECOND
        for account, passkey_id, expected in (
            ("account-2", "passkey-1", 0),
            ("account-1", "passkey-2", 0),
            ("account-1", "passkey-1", 4),
        ):
            assert not self._use(store, expected, 5, account=account, passkey_id=passkey_id)
        assert list(store.of_account("account-1")) == [_passkey()]
        assert self._use(store, 0, 5, backed_up=True, user_verified=True, at=used)
        kept = replace(_passkey(), sign_count=5, backed_up=True, user_verified=True, used_at=used)
        assert list(store.of_account("account-1")) == [kept]
        assert not self._use(store, 0, 6), "that count was used"
        assert self._use(store, 5, 2**32 - 1, at=used + MICROSECOND)
        kept = replace(kept, sign_count=2**32 - 1, backed_up=False, used_at=used + MICROSECOND)
        assert list(store.of_account("account-1")) == [kept]

    def test_a_counter_never_goes_back_and_never_stands(self, store: PasskeyStore) -> None:
        passkey = replace(_passkey(), sign_count=7)
        store.add(passkey, at_most=_MANY)
        for count in (7, 6, 0):
            assert not self._use(store, 7, count)
            assert not self._use(store, count, count)
        assert list(store.of_account("account-1")) == [passkey]

    def test_an_authenticator_without_a_counter_is_used_again_and_again(self, store: PasskeyStore) -> None:
        store.add(_passkey(), at_most=_MANY)
        for _ in range(2):
            assert self._use(store, 0, 0, user_verified=True)
        assert store.of_account("account-1")[0].user_verified

    def test_a_suspected_copy_is_noted_once_and_the_counter_stays(self, store: PasskeyStore) -> None:
        store.add(replace(_passkey(), sign_count=7), at_most=_MANY)
        assert not store.suspect("account-2", "passkey-1", at=NOW, disable=True)
        assert not store.suspect("account-1", "passkey-2", at=NOW, disable=True)
        assert store.suspect("account-1", "passkey-1", at=NOW, disable=False)
        assert not store.suspect("account-1", "passkey-1", at=NOW + MICROSECOND, disable=False)
        suspected = replace(_passkey(), sign_count=7, suspect_at=NOW)
        assert list(store.of_account("account-1")) == [suspected]
        assert self._use(store, 7, 8), "suspected and not disabled: it is a factor still"

    def test_a_disabled_passkey_is_listed_and_never_used(self, store: PasskeyStore) -> None:
        later = NOW + MICROSECOND
        for number in (1, 2):
            store.add(_passkey(number), at_most=_MANY)
        assert store.suspect("account-1", "passkey-1", at=NOW, disable=False)
        assert store.suspect("account-1", "passkey-1", at=later, disable=True)
        assert store.suspect("account-1", "passkey-2", at=later, disable=True)
        for number in (1, 2):
            assert not store.suspect("account-1", f"passkey-{number}", at=later, disable=True)
            assert not store.suspect("account-1", f"passkey-{number}", at=later, disable=False)
            assert not self._use(store, 0, 1, passkey_id=f"passkey-{number}")
            assert not self._use(store, 0, 0, passkey_id=f"passkey-{number}")
        disabled = [
            replace(_passkey(1), suspect_at=NOW, disabled_at=later),
            replace(_passkey(2), suspect_at=later, disabled_at=later),
        ]
        assert list(store.of_account("account-1")) == disabled
        assert store.by_credential_id(_passkey(2).credential_id) == disabled[1]

    def test_a_passkey_is_renamed_by_its_owner(self, store: PasskeyStore) -> None:
        store.add(_passkey(), at_most=_MANY)
        assert not store.rename("account-2", "passkey-1", "stolen")
        assert not store.rename("account-1", "passkey-2", "none")
        assert store.rename("account-1", "passkey-1", "Ключ")
        assert list(store.of_account("account-1")) == [replace(_passkey(), label="Ключ")]

    def test_a_passkey_is_deleted_by_its_owner_alone(self, store: PasskeyStore) -> None:
        for number in (1, 2):
            store.add(_passkey(number), at_most=_MANY)
        assert not store.remove("account-2", "passkey-1")
        assert store.remove("account-1", "passkey-1")
        assert not store.remove("account-1", "passkey-1")
        assert list(store.of_account("account-1")) == [_passkey(2)]
        assert list(store.removed("account-1")) == []
        assert store.by_credential_id(_passkey(1).credential_id) is None
        assert store.add(_passkey(1, account="account-2"), at_most=_MANY), "nobody has it any more"

    def test_a_removed_passkey_is_out_of_reach_until_it_is_restored(self, store: PasskeyStore) -> None:
        for number in (1, 2):
            store.add(_passkey(number), at_most=_MANY)
        assert not store.remove("account-2", "passkey-1", at=NOW)
        assert store.remove("account-1", "passkey-1", at=NOW)
        assert not store.remove("account-1", "passkey-1", at=NOW + MICROSECOND)
        assert not store.remove("account-1", "passkey-1")
        assert not self._use(store, 0, 1)
        assert not store.suspect("account-1", "passkey-1", at=NOW, disable=True)
        assert not store.rename("account-1", "passkey-1", "other")
        assert store.by_credential_id(_passkey(1).credential_id) is None
        gone = replace(_passkey(1), removed_at=NOW)
        assert list(store.removed("account-1")) == [gone]
        assert list(store.removed("account-2")) == []
        assert list(store.of_account("account-1")) == [_passkey(2)]
        assert not store.restore("account-2", "passkey-1", since=NOW - MICROSECOND)
        assert not store.restore("account-1", "passkey-1", since=NOW)
        assert not store.restore("account-1", "passkey-2", since=NOW - MICROSECOND)
        assert store.restore("account-1", "passkey-1", since=NOW - MICROSECOND)
        assert not store.restore("account-1", "passkey-1", since=NOW - MICROSECOND)
        assert list(store.of_account("account-1")) == [_passkey(1), _passkey(2)]
        assert list(store.removed("account-1")) == []

    def test_a_removed_passkey_comes_back_however_many_there_are(self, store: PasskeyStore) -> None:
        """Who filled the owner's list must not keep the owner's own out; limits are for callers, and for `add`."""
        store.add(_passkey(1), at_most=1)
        store.remove("account-1", "passkey-1", at=NOW)
        assert store.add(_passkey(2), at_most=1)
        assert store.restore("account-1", "passkey-1", since=NOW - MICROSECOND)
        assert len(store.of_account("account-1")) == 2
        assert not store.add(_passkey(3), at_most=2)

    def test_the_credential_id_of_a_removed_passkey_is_nobody_elses(self, store: PasskeyStore) -> None:
        store.add(_passkey(1), at_most=_MANY)
        store.remove("account-1", "passkey-1", at=NOW)
        for account in ("account-1", "account-2"):
            again = replace(_passkey(2, account=account), credential_id=_passkey(1).credential_id)
            assert not store.add(again, at_most=_MANY)
            assert not store.add(replace(again, credential_id=b"new", id="passkey-1"), at_most=_MANY)
        assert list(store.of_account("account-2")) == []
        assert store.restore("account-1", "passkey-1", since=NOW - MICROSECOND)

    def test_purging_deletes_what_was_removed_by_then(self, store: PasskeyStore) -> None:
        for number in (1, 2, 3):
            store.add(_passkey(number), at_most=_MANY)
        for number in (1, 2):
            store.remove("account-1", f"passkey-{number}", at=NOW + number * MICROSECOND)
        assert store.purge_removed(until=NOW + MICROSECOND) == 1
        assert store.purge_removed(until=NOW + MICROSECOND) == 0
        assert [passkey.id for passkey in store.removed("account-1")] == ["passkey-2"]
        assert not store.restore("account-1", "passkey-1", since=NOW - MICROSECOND)
        assert list(store.of_account("account-1")) == [_passkey(3)]

    def test_race_for_one_count_has_one_winner(self, store: PasskeyStore) -> None:
        store.add(_passkey(), at_most=_MANY)
        for turn in self.rounds(5, soak=300):
            results = self.race(partial(self._use, store, turn, turn + 1))
            assert winners(results) == 1
            assert store.of_account("account-1")[0].sign_count == turn + 1

    def test_fifty_threads_with_one_count_have_one_winner(self, store: PasskeyStore) -> None:
        store.add(_passkey(), at_most=_MANY)
        for turn in self.rounds(1, soak=50):
            assert winners(self.race(*[partial(self._use, store, turn, turn + 1)] * 50)) == 1

    def test_race_of_different_counts_has_one_winner_whose_count_stays(self, store: PasskeyStore) -> None:
        store.add(_passkey(), at_most=_MANY)
        held = 0
        for _ in self.rounds():
            counts = [held + number + 1 for number in range(THREADS)]
            results = self.race(*(partial(self._use, store, held, count) for count in counts))
            assert winners(results) == 1
            held = counts[results.index(True)]
            assert store.of_account("account-1")[0].sign_count == held

    def test_race_of_one_credential_id_has_one_winner(self, store: PasskeyStore) -> None:
        for turn in self.rounds():
            rivals = [
                replace(
                    _passkey(turn * 100 + number, account=f"account-{number % 2}"),
                    credential_id=_bytes(f"turn {turn}"),
                )
                for number in range(THREADS)
            ]
            assert winners(self.race(*(partial(store.add, rival, at_most=10**6) for rival in rivals))) == 1

    def test_race_of_registrations_never_passes_the_limit(self, store: PasskeyStore) -> None:
        for turn in self.rounds():
            account = f"account-{turn}"
            rivals = [_passkey(turn * 100 + number, account=account) for number in range(THREADS)]
            assert winners(self.race(*(partial(store.add, rival, at_most=3) for rival in rivals))) == 3
            assert len(store.of_account(account)) == 3

    def test_race_of_suspicions_has_one_winner(self, store: PasskeyStore) -> None:
        for turn in self.rounds():
            store.add(_passkey(turn), at_most=10**6)
            suspect = partial(store.suspect, "account-1", f"passkey-{turn}", at=NOW, disable=True)
            assert winners(self.race(suspect)) == 1

    def test_race_of_removals_and_of_restorations_has_one_winner(self, store: PasskeyStore) -> None:
        store.add(_passkey(), at_most=_MANY)
        for _ in self.rounds():
            assert winners(self.race(partial(store.remove, "account-1", "passkey-1", at=NOW))) == 1
            restored = self.race(partial(store.restore, "account-1", "passkey-1", since=NOW - MICROSECOND))
            assert winners(restored) == 1

    def test_verbs_neither_wait_for_nor_roll_back_with_the_callers_open_write(
        self, store: PasskeyStore, open_write: AbstractContextManager[object]
    ) -> None:
        store.add(_passkey(1), at_most=_MANY)
        with open_write:
            assert store.add(_passkey(2), at_most=_MANY)
            assert self._use(store, 0, 1)
            assert store.rename("account-1", "passkey-1", "named")
            assert store.suspect("account-1", "passkey-1", at=NOW, disable=False)
            assert store.remove("account-1", "passkey-2", at=NOW)
            assert store.restore("account-1", "passkey-2", since=NOW - MICROSECOND)
            assert store.remove("account-1", "passkey-2", at=NOW)
            assert store.purge_removed(until=NOW) == 1
        kept = replace(_passkey(1), sign_count=1, label="named", used_at=NOW, suspect_at=NOW)
        assert list(store.of_account("account-1")) == [kept]
        assert list(store.removed("account-1")) == []

    def test_a_backend_that_cannot_answer_is_a_store_error(self, failing_store: PasskeyStore) -> None:
        self.assert_all_fail(
            [
                lambda: failing_store.add(_passkey(), at_most=_MANY),
                lambda: failing_store.of_account("account-1"),
                lambda: failing_store.by_credential_id(b"id"),
                lambda: self._use(failing_store, 0, 1),
                lambda: failing_store.suspect("account-1", "passkey-1", at=NOW, disable=True),
                lambda: failing_store.suspect("account-1", "passkey-1", at=NOW, disable=False),
                lambda: failing_store.rename("account-1", "passkey-1", "label"),
                lambda: failing_store.remove("account-1", "passkey-1"),
                lambda: failing_store.remove("account-1", "passkey-1", at=NOW),
                lambda: failing_store.removed("account-1"),
                lambda: failing_store.restore("account-1", "passkey-1", since=NOW),
                lambda: failing_store.purge_removed(until=NOW),
            ]
        )

    def _use(
        self,
        store: PasskeyStore,
        expected: int,
        sign_count: int,
        *,
        account: str = "account-1",
        passkey_id: str = "passkey-1",
        backed_up: bool = False,
        user_verified: bool = False,
        at: datetime = NOW,
    ) -> bool:
        return store.advance(
            account,
            passkey_id,
            expected=expected,
            sign_count=sign_count,
            backed_up=backed_up,
            user_verified=user_verified,
            at=at,
        )
