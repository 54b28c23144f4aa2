"""The contract of `portalsec.auth.ports.NoticeStore`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import pytest

from portalsec.auth.ports import Notice, NoticeStore
from portalsec.testing.contracts.base import MICROSECOND, NOW, StoreContract, winners

__all__ = ["NoticeStoreContract"]

_LEASE = timedelta(minutes=10)
_MANY = 50


def _notice(
    number: int = 1, *, account: str | None = "account-1", due_at: datetime | None = NOW, at: datetime = NOW
) -> Notice:
    return Notice(
        id=f"notice-{number:04}",
        account_id=account,
        kind="new_device",
        at=at + number * MICROSECOND,
        code=f"K7QF-{number:04}",
        data=b"details of %d" % number,
        due_at=due_at,
    )


def _claimed(notice: Notice, *, now: datetime = NOW) -> Notice:
    return replace(notice, attempts=notice.attempts + 1, due_at=now + _LEASE)


class NoticeStoreContract(StoreContract):
    """Inherit it and provide ``store``: an empty `NoticeStore`."""

    @pytest.fixture
    def store(self) -> NoticeStore:
        raise NotImplementedError("provide a fixture `store` that returns an empty NoticeStore")

    @pytest.mark.parametrize(
        "notice",
        [
            _notice(),
            replace(_notice(), account_id=None, kind="request.reset"),
            replace(_notice(), data=b""),
            replace(_notice(), data=bytes(range(256)) * 16),  # the promised 4 KiB
            replace(
                _notice(),
                due_at=None,
                mailed_at=NOW + 2 * MICROSECOND,
                attempts=3,
                disavowed_at=NOW + 3 * MICROSECOND,
                account_id="{zoë}",
            ),
        ],
        ids=["plain", "of nobody", "no data", "4 KiB", "mailed and disavowed"],
    )
    def test_a_notice_comes_back_as_it_was_put(self, store: NoticeStore, notice: Notice) -> None:
        assert store.put(notice)
        assert store.get(notice.id) == notice
        if notice.account_id is not None:
            assert list(store.of_account(notice.account_id, limit=10)) == [notice]

    def test_an_id_is_taken_once_and_what_is_unknown_is_none(self, store: NoticeStore) -> None:
        assert store.put(_notice())
        assert not store.put(replace(_notice(), account_id="account-2", data=b"other"))
        assert store.get(_notice().id) == _notice()
        assert store.get("notice-9999") is None
        assert list(store.of_account("account-2", limit=10)) == []

    def test_an_accounts_notices_come_newest_first_and_in_pages(self, store: NoticeStore) -> None:
        for number in (2, 5, 1, 4, 3):
            store.put(_notice(number))
        store.put(_notice(6, account="account-2"))
        store.put(_notice(7, account=None))
        first = list(store.of_account("account-1", limit=2))
        assert first == [_notice(5), _notice(4)]
        assert list(store.of_account("account-1", limit=10, before=first[-1].at)) == [
            _notice(3),
            _notice(2),
            _notice(1),
        ]
        assert list(store.of_account("account-1", limit=10, before=_notice(1).at)) == []

    def test_what_is_due_is_claimed_oldest_first_and_once(self, store: NoticeStore) -> None:
        late, now, early = (
            _notice(1, due_at=NOW - MICROSECOND),
            _notice(2, due_at=NOW),
            _notice(3, due_at=NOW - timedelta(days=1)),
        )
        not_yet, never = _notice(4, due_at=NOW + MICROSECOND), _notice(5, due_at=None)
        for notice in (late, now, early, not_yet, never):
            store.put(notice)
        assert list(store.claim(now=NOW, lease=_LEASE, limit=2)) == [_claimed(early), _claimed(late)]
        assert list(store.claim(now=NOW, lease=_LEASE, limit=10)) == [_claimed(now)]
        assert list(store.claim(now=NOW, lease=_LEASE, limit=10)) == []
        assert store.get(not_yet.id) == not_yet
        assert store.get(never.id) == never
        assert store.get(early.id) == _claimed(early)

    def test_a_claim_that_nobody_finished_is_due_again_after_the_lease(self, store: NoticeStore) -> None:
        store.put(_notice())
        store.claim(now=NOW, lease=_LEASE, limit=10)
        assert list(store.claim(now=NOW + _LEASE - MICROSECOND, lease=_LEASE, limit=10)) == []
        again = NOW + _LEASE
        assert list(store.claim(now=again, lease=_LEASE, limit=10)) == [
            _claimed(_claimed(_notice()), now=again)
        ]

    def test_what_was_mailed_is_due_no_more(self, store: NoticeStore) -> None:
        store.put(_notice())
        store.claim(now=NOW, lease=_LEASE, limit=10)
        assert store.mailed(_notice().id, at=NOW)
        assert not store.mailed(_notice().id, at=NOW + MICROSECOND)
        assert store.get(_notice().id) == replace(_notice(), attempts=1, mailed_at=NOW, due_at=None)
        assert list(store.claim(now=NOW + 9 * _LEASE, lease=_LEASE, limit=10)) == []
        assert not store.mailed("notice-9999", at=NOW)

    def test_mail_is_withdrawn_before_it_was_tried(self, store: NoticeStore) -> None:
        for number in (1, 2):
            store.put(_notice(number))
        store.put(_notice(3, due_at=None))
        assert store.withdraw(_notice(1).id)
        assert not store.withdraw(_notice(1).id)
        assert [each.id for each in store.claim(now=NOW, lease=_LEASE, limit=10)] == [_notice(2).id]
        assert not store.withdraw(_notice(2).id), "it was tried"
        assert not store.withdraw(_notice(3).id), "none was due"
        assert not store.withdraw("notice-9999")
        assert store.get(_notice(1).id) == replace(_notice(1), due_at=None)
        assert not store.mailed(_notice(1).id, at=NOW)

    def test_a_delivery_that_failed_is_postponed_by_who_claimed_it_last(self, store: NoticeStore) -> None:
        store.put(_notice())
        store.claim(now=NOW, lease=_LEASE, limit=1)
        later = NOW + timedelta(hours=1)
        assert not store.postpone(_notice().id, attempts=0, due_at=later)
        assert not store.postpone("notice-9999", attempts=1, due_at=later)
        assert store.postpone(_notice().id, attempts=1, due_at=later)
        assert store.get(_notice().id) == replace(_notice(), attempts=1, due_at=later)
        assert list(store.claim(now=later - MICROSECOND, lease=_LEASE, limit=1)) == []
        assert len(store.claim(now=later, lease=_LEASE, limit=1)) == 1
        assert not store.postpone(_notice().id, attempts=1, due_at=NOW), "another claimed it since"
        assert store.postpone(_notice().id, attempts=2, due_at=None)
        assert store.get(_notice().id) == replace(_notice(), attempts=2, due_at=None)
        assert not store.postpone(_notice().id, attempts=2, due_at=later), "what was given up is over"

    def test_a_notice_is_removed_once(self, store: NoticeStore) -> None:
        store.put(_notice(1))
        store.put(_notice(2))
        assert store.remove(_notice(1).id)
        assert not store.remove(_notice(1).id)
        assert store.get(_notice(1).id) is None
        assert [each.id for each in store.claim(now=NOW, lease=_LEASE, limit=10)] == [_notice(2).id]

    def test_a_notice_is_disavowed_once_and_by_its_own_account(self, store: NoticeStore) -> None:
        store.put(_notice())
        assert not store.disavow("account-2", _notice().id, at=NOW)
        assert not store.disavow("account-1", "notice-9999", at=NOW)
        assert store.disavow("account-1", _notice().id, at=NOW)
        assert not store.disavow("account-1", _notice().id, at=NOW + MICROSECOND)
        assert store.get(_notice().id) == replace(_notice(), disavowed_at=NOW)

    def test_purge_removes_what_is_old_whether_mailed_or_not(self, store: NoticeStore) -> None:
        old = [_notice(1), _notice(2, due_at=None), _notice(3, account=None)]
        new = _notice(4)
        for notice in [*old, new]:
            store.put(notice)
        assert store.purge(until=_notice(3).at) == 3
        assert store.purge(until=_notice(3).at) == 0
        assert [store.get(notice.id) for notice in old] == [None] * 3
        assert store.get(new.id) == new

    def test_race_of_claims_gives_each_notice_to_one(self, store: NoticeStore) -> None:
        for turn in self.rounds():
            numbers = range(turn * 1000, turn * 1000 + 24)
            for number in numbers:
                store.put(_notice(number))
            batches = self.race(partial(store.claim, now=NOW, lease=_LEASE, limit=3))
            given = [notice.id for batch in batches for notice in batch]
            assert len(given) == len(set(given)), "a notice was given to two workers"
            while more := store.claim(now=NOW, lease=_LEASE, limit=10):
                given += [notice.id for notice in more]  # what the losers of a race may have left
            assert sorted(given) == [_notice(number).id for number in numbers]

    def test_race_of_fifty_for_one_notice_has_one_winner(self, store: NoticeStore) -> None:
        store.put(_notice())
        claims = [partial(store.claim, now=NOW, lease=_LEASE, limit=1) for _ in range(_MANY)]
        assert winners(self.race(*claims)) == 1
        assert store.get(_notice().id) == _claimed(_notice())

    def test_race_of_claim_and_withdrawal_has_one_winner(self, store: NoticeStore) -> None:
        for turn in self.rounds():
            notice = _notice(turn)
            store.put(notice)
            claimed, withdrawn = self.race(
                partial[object](store.claim, now=NOW, lease=_LEASE, limit=1),
                partial[object](store.withdraw, notice.id),
            )
            assert bool(claimed) is not withdrawn
            store.remove(notice.id)

    def test_race_of_disavowals_has_one_winner(self, store: NoticeStore) -> None:
        for turn in self.rounds():
            store.put(_notice(turn))
            assert winners(self.race(partial(store.disavow, "account-1", _notice(turn).id, at=NOW))) == 1

    def test_race_of_removals_has_one_winner(self, store: NoticeStore) -> None:
        for turn in self.rounds():
            store.put(_notice(turn))
            assert winners(self.race(partial(store.remove, _notice(turn).id))) == 1

    def test_verbs_neither_wait_for_nor_roll_back_with_the_callers_open_write(
        self, store: NoticeStore, open_write: AbstractContextManager[object]
    ) -> None:
        for number in (1, 2, 3):
            store.put(_notice(number, due_at=NOW + number * MICROSECOND))
        with open_write:
            assert store.put(_notice(4, due_at=None))
            (claimed,) = store.claim(now=NOW + MICROSECOND, lease=_LEASE, limit=10)
            assert store.postpone(claimed.id, attempts=1, due_at=NOW)
            assert store.mailed(claimed.id, at=NOW)
            assert store.withdraw(_notice(2).id)
            assert store.remove(_notice(3).id)
            assert store.disavow("account-1", _notice(4).id, at=NOW)
        assert list(store.of_account("account-1", limit=10)) == [
            replace(_notice(4, due_at=None), disavowed_at=NOW),
            replace(_notice(2), due_at=None),
            replace(_notice(1), due_at=None, mailed_at=NOW, attempts=1),
        ]

    def test_a_backend_that_cannot_answer_is_a_store_error(self, failing_store: NoticeStore) -> None:
        self.assert_all_fail(
            [
                lambda: failing_store.put(_notice()),
                lambda: failing_store.get("notice-0001"),
                lambda: failing_store.of_account("account-1", limit=10),
                lambda: failing_store.claim(now=NOW, lease=_LEASE, limit=10),
                lambda: failing_store.mailed("notice-0001", at=NOW),
                lambda: failing_store.withdraw("notice-0001"),
                lambda: failing_store.postpone("notice-0001", attempts=1, due_at=NOW),
                lambda: failing_store.remove("notice-0001"),
                lambda: failing_store.disavow("account-1", "notice-0001", at=NOW),
                lambda: failing_store.purge(until=NOW),
            ]
        )
