"""The contract of `portalsec.auth.ports.SessionStore`."""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import pytest

from portalsec.auth.ports import LoadedSession, SessionRecord, SessionStore
from portalsec.auth.proof import Factor, Proof
from portalsec.testing.contracts.base import MICROSECOND, NOW, THREADS, StoreContract, winners

__all__ = ["SessionStoreContract"]


def _session(
    number: int = 1, *, account: str = "account-1", epoch: int = 0, at: datetime = NOW
) -> SessionRecord:
    return SessionRecord(
        digest=hashlib.sha256(b"session %d" % number).digest(),
        account_id=account,
        epoch=epoch,
        created_at=at,
        last_seen_at=at,
        proofs=(
            Proof(factor=Factor.PASSWORD, at=at),
            Proof(factor=Factor.TOTP, at=at, authenticator="totp-1"),
        ),
        level=2,
        address="2001:db8::1",
        user_agent="Mozilla/5.0 (Zoë's browser)",
    )


class SessionStoreContract(StoreContract):
    """Inherit it and provide ``store``: an empty `SessionStore`."""

    @pytest.fixture
    def store(self) -> SessionStore:
        raise NotImplementedError("provide a fixture `store` that returns an empty SessionStore")

    def test_a_session_is_loaded_as_it_was_created_with_the_accounts_epoch(self, store: SessionStore) -> None:
        full = _session(1)
        bare = replace(_session(2), address=None, user_agent=None, proofs=())
        for record in (full, bare):
            assert store.create(record)
            assert store.load(record.digest) == LoadedSession(record=record, current_epoch=0)

    def test_an_unknown_session_is_none(self, store: SessionStore) -> None:
        store.create(_session(1))
        assert store.load(_session(2).digest) is None
        assert not store.touch(_session(2).digest, last_seen_at=NOW + MICROSECOND)
        assert not store.end(_session(2).digest)

    def test_a_known_digest_is_refused_and_leaves_the_first_session_alone(self, store: SessionStore) -> None:
        assert store.create(_session())
        assert not store.create(replace(_session(), account_id="account-2"))
        assert store.load(_session().digest) == LoadedSession(record=_session(), current_epoch=0)
        assert list(store.of_account("account-2")) == []

    def test_a_session_of_another_epoch_is_not_created(self, store: SessionStore) -> None:
        assert not store.create(_session(1, epoch=1))
        assert store.end_all("account-1") == 1
        assert not store.create(_session(1, epoch=0))
        assert not store.create(_session(1, epoch=2))
        assert store.load(_session(1).digest) is None
        assert store.create(_session(1, epoch=1))
        assert store.load(_session(1).digest) == LoadedSession(record=_session(1, epoch=1), current_epoch=1)

    def test_an_account_starts_at_epoch_zero_and_end_all_raises_it(self, store: SessionStore) -> None:
        assert store.epoch("account-1") == 0
        assert [store.end_all("account-1") for _ in range(3)] == [1, 2, 3]
        assert store.epoch("account-1") == 3
        assert store.epoch("account-2") == 0

    def test_end_all_ends_the_accounts_sessions_alone(self, store: SessionStore) -> None:
        for number in (1, 2):
            store.create(_session(number))
        store.create(_session(3, account="account-2"))
        store.end_all("account-1")
        assert store.load(_session(1).digest) is None
        assert store.load(_session(2).digest) is None
        assert list(store.of_account("account-1")) == []
        assert store.load(_session(3).digest) is not None

    def test_touch_moves_forward_and_never_back(self, store: SessionStore) -> None:
        store.create(_session())
        later = NOW + MICROSECOND
        assert store.touch(_session().digest, last_seen_at=later)
        for stale in (later, NOW, NOW - timedelta(days=1)):
            assert not store.touch(_session().digest, last_seen_at=stale)
        loaded = store.load(_session().digest)
        assert loaded == LoadedSession(record=replace(_session(), last_seen_at=later), current_epoch=0)

    def test_touch_moves_one_session(self, store: SessionStore) -> None:
        for number in (1, 2):
            store.create(_session(number))
        store.touch(_session(1).digest, last_seen_at=NOW + MICROSECOND)
        assert store.load(_session(2).digest) == LoadedSession(record=_session(2), current_epoch=0)

    def test_a_session_ends_once(self, store: SessionStore) -> None:
        for number in (1, 2):
            store.create(_session(number))
        assert store.end(_session(1).digest)
        assert not store.end(_session(1).digest)
        assert store.load(_session(1).digest) is None
        assert store.load(_session(2).digest) is not None
        assert not store.touch(_session(1).digest, last_seen_at=NOW + timedelta(days=1))

    def test_an_accounts_sessions_are_listed_newest_first(self, store: SessionStore) -> None:
        records = [_session(n, at=NOW + timedelta(minutes=m)) for n, m in ((1, 5), (2, 20), (3, 0))]
        for record in records:
            store.create(record)
        store.create(_session(4, account="account-2"))
        assert list(store.of_account("account-1")) == [records[1], records[0], records[2]]
        assert list(store.of_account("nobody")) == []

    def test_race_of_creates_with_one_digest_has_one_winner(self, store: SessionStore) -> None:
        for turn in self.rounds():
            assert winners(self.race(partial(store.create, _session(turn)))) == 1

    def test_race_of_ends_has_one_winner(self, store: SessionStore) -> None:
        for turn in self.rounds():
            store.create(_session(turn))
            assert winners(self.race(partial(store.end, _session(turn).digest))) == 1

    def test_race_of_touches_keeps_the_newest(self, store: SessionStore) -> None:
        for turn in self.rounds():
            record = _session(turn)
            store.create(record)
            moments = [NOW + timedelta(seconds=n + 1) for n in range(THREADS)]
            self.race(*(partial(store.touch, record.digest, last_seen_at=m) for m in moments))
            assert store.load(record.digest) == LoadedSession(
                record=replace(record, last_seen_at=moments[-1]), current_epoch=0
            )

    def test_race_of_end_all_counts_every_call(self, store: SessionStore) -> None:
        for turn in self.rounds():
            epochs = self.race(partial(store.end_all, f"account-{turn}"))
            assert sorted(epochs) == list(range(1, THREADS + 1))

    def test_race_of_sign_in_and_end_all_leaves_no_session_of_the_old_epoch(
        self, store: SessionStore
    ) -> None:
        for turn in self.rounds(8):
            account = f"account-{turn}"
            # An account whose epoch was raised before, and one that is new to the store.
            epoch = store.end_all(account) if turn % 2 else 0
            records = [_session(turn * 100 + n, account=account, epoch=epoch) for n in range(THREADS - 1)]
            self.race(
                *(partial(store.create, record) for record in records),
                partial(store.end_all, account),
            )
            assert store.epoch(account) == epoch + 1
            assert list(store.of_account(account)) == []
            for record in records:
                loaded = store.load(record.digest)
                assert loaded is None or loaded.record.epoch < loaded.current_epoch

    def test_verbs_neither_wait_for_nor_roll_back_with_the_callers_open_write(
        self, store: SessionStore, open_write: AbstractContextManager[object]
    ) -> None:
        store.create(_session(1))
        store.create(_session(2))
        store.create(_session(3, account="account-2"))
        with open_write:
            assert store.create(_session(4))
            assert store.touch(_session(1).digest, last_seen_at=NOW + MICROSECOND)
            assert store.end(_session(2).digest)
            assert store.end_all("account-2") == 1
        assert store.load(_session(4).digest) is not None
        touched = store.load(_session(1).digest)
        assert touched is not None and touched.record.last_seen_at == NOW + MICROSECOND
        assert store.load(_session(2).digest) is None
        assert store.load(_session(3).digest) is None
        assert store.epoch("account-2") == 1

    def test_purge_removes_what_was_opened_until_a_moment(self, store: SessionStore) -> None:
        edge, later = _session(1, at=NOW), _session(2, at=NOW + MICROSECOND)
        for record in (edge, later):
            assert store.create(record)
        assert store.purge(created_until=NOW) == 1
        assert store.purge(created_until=NOW) == 0
        assert store.load(edge.digest) is None
        assert store.load(later.digest) is not None

    def test_a_backend_that_cannot_answer_is_a_store_error(self, failing_store: SessionStore) -> None:
        digest = _session().digest
        self.assert_all_fail(
            [
                lambda: failing_store.epoch("account-1"),
                lambda: failing_store.create(_session()),
                lambda: failing_store.load(digest),
                lambda: failing_store.touch(digest, last_seen_at=NOW),
                lambda: failing_store.end(digest),
                lambda: failing_store.end_all("account-1"),
                lambda: failing_store.of_account("account-1"),
                lambda: failing_store.purge(created_until=NOW),
            ]
        )
