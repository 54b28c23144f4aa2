"""The contract of `portalsec.auth.ports.FlowStore`."""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import pytest

from portalsec.auth.ports import Flow, FlowStore
from portalsec.testing.contracts.base import MICROSECOND, NOW, StoreContract, winners

__all__ = ["FlowStoreContract"]

_LIFE = timedelta(minutes=10)


def _flow(number: int = 1, *, account: str | None = "account-1", expires_at: datetime = NOW + _LIFE) -> Flow:
    return Flow(
        digest=hashlib.sha256(b"token %d" % number).digest(),
        purpose="signin",
        account_id=account,
        data=b"data of %d" % number,
        expires_at=expires_at,
    )


class FlowStoreContract(StoreContract):
    """Inherit it and provide ``store``: an empty `FlowStore`."""

    @pytest.fixture
    def store(self) -> FlowStore:
        raise NotImplementedError("provide a fixture `store` that returns an empty FlowStore")

    @pytest.mark.parametrize(
        "flow",
        [
            _flow(),
            _flow(account=None),
            replace(_flow(), data=b""),
            replace(_flow(), data=bytes(range(256)) * 16),  # the promised 4 KiB
            replace(_flow(), attempts=3, purpose="invitation", account_id="{zoë}"),
        ],
        ids=["plain", "of nobody", "no data", "4 KiB", "tried before"],
    )
    def test_a_flow_is_consumed_as_it_was_put_and_once(self, store: FlowStore, flow: Flow) -> None:
        assert store.put(flow)
        assert store.consume(flow.digest, flow.purpose, now=NOW) == flow
        assert store.consume(flow.digest, flow.purpose, now=NOW) is None

    def test_a_known_digest_is_refused_and_leaves_the_first_flow_alone(self, store: FlowStore) -> None:
        assert store.put(_flow())
        assert not store.put(replace(_flow(), data=b"other", account_id="account-2"))
        assert store.drop_account("account-2") == 0
        assert store.consume(_flow().digest, "signin", now=NOW) == _flow()

    def test_an_unknown_flow_is_none(self, store: FlowStore) -> None:
        assert store.attempt(_flow().digest, "signin", limit=5, now=NOW) is None
        assert store.consume(_flow().digest, "signin", now=NOW) is None

    def test_under_another_purpose_a_flow_is_unknown_and_untouched(self, store: FlowStore) -> None:
        flow = _flow()
        store.put(flow)
        assert store.attempt(flow.digest, "invitation", limit=1, now=NOW) is None
        assert store.attempt(flow.digest, "invitation", limit=0, now=NOW + _LIFE) is None
        assert store.consume(flow.digest, "invitation", now=NOW) is None
        assert store.consume(flow.digest, "signin", now=NOW) == flow

    def test_attempts_are_counted_up_to_the_limit(self, store: FlowStore) -> None:
        flow = _flow()
        store.put(flow)
        for count in (1, 2, 3):
            assert store.attempt(flow.digest, "signin", limit=3, now=NOW) == replace(flow, attempts=count)
        assert store.consume(flow.digest, "signin", now=NOW) == replace(flow, attempts=3)

    def test_a_refused_attempt_past_the_limit_removes_the_flow(self, store: FlowStore) -> None:
        flow = _flow()
        store.put(flow)
        assert store.attempt(flow.digest, "signin", limit=1, now=NOW) is not None
        assert store.attempt(flow.digest, "signin", limit=1, now=NOW) is None
        assert store.attempt(flow.digest, "signin", limit=100, now=NOW) is None
        assert store.consume(flow.digest, "signin", now=NOW) is None
        assert store.put(flow)

    def test_attempts_put_with_the_flow_count(self, store: FlowStore) -> None:
        flow = replace(_flow(), attempts=4)
        store.put(flow)
        assert store.attempt(flow.digest, "signin", limit=5, now=NOW) == replace(flow, attempts=5)
        assert store.attempt(flow.digest, "signin", limit=5, now=NOW) is None

    def test_a_flow_lives_until_the_moment_it_expires(self, store: FlowStore) -> None:
        flow = _flow()
        last = flow.expires_at - MICROSECOND
        store.put(flow)
        assert store.attempt(flow.digest, "signin", limit=5, now=last) is not None
        assert store.consume(flow.digest, "signin", now=last) is not None
        store.put(flow)
        assert store.consume(flow.digest, "signin", now=flow.expires_at) is None

    @pytest.mark.parametrize("verb", ["attempt", "consume"])
    def test_a_call_that_finds_the_flow_expired_removes_it(self, store: FlowStore, verb: str) -> None:
        flow = _flow()
        store.put(flow)
        if verb == "attempt":
            assert store.attempt(flow.digest, "signin", limit=5, now=flow.expires_at) is None
        else:
            assert store.consume(flow.digest, "signin", now=flow.expires_at) is None
        assert store.consume(flow.digest, "signin", now=NOW) is None
        assert store.put(flow)

    def test_dropping_an_account_removes_its_flows_alone(self, store: FlowStore) -> None:
        mine = [_flow(1), replace(_flow(2), purpose="invitation")]
        kept = [_flow(3, account="account-2"), _flow(4, account=None)]
        for flow in mine + kept:
            store.put(flow)
        assert store.drop_account("account-1") == 2
        assert [store.consume(flow.digest, flow.purpose, now=NOW) for flow in mine] == [None, None]
        assert [store.consume(flow.digest, flow.purpose, now=NOW) for flow in kept] == kept
        assert store.drop_account("account-1") == 0

    def test_dropping_counts_only_what_was_there(self, store: FlowStore) -> None:
        store.put(_flow(1))
        store.put(_flow(2))
        store.consume(_flow(1).digest, "signin", now=NOW)
        assert store.drop_account("account-1") == 1
        assert store.drop_account("nobody") == 0

    def test_a_flow_put_after_a_drop_lives_until_the_next(self, store: FlowStore) -> None:
        store.put(_flow(1))
        store.drop_account("account-1")
        assert store.put(_flow(1))
        assert store.attempt(_flow(1).digest, "signin", limit=5, now=NOW) is not None
        assert store.drop_account("account-1") == 1

    def test_purge_removes_what_has_expired(self, store: FlowStore) -> None:
        expired = [_flow(1, expires_at=NOW), _flow(2, account=None, expires_at=NOW - timedelta(days=1))]
        live = _flow(3, expires_at=NOW + MICROSECOND)
        for flow in [*expired, live]:
            store.put(flow)
        assert store.purge(now=NOW) == 2
        assert store.purge(now=NOW) == 0
        assert all(store.put(flow) for flow in expired)
        assert store.consume(live.digest, "signin", now=NOW) == live

    @pytest.mark.parametrize("limit", [1, 3])
    def test_race_of_attempts_gives_the_flow_exactly_limit_times(self, store: FlowStore, limit: int) -> None:
        for turn in self.rounds():
            flow = _flow(turn)
            store.put(flow)
            results = self.race(partial(store.attempt, flow.digest, "signin", limit=limit, now=NOW))
            given = [result.attempts for result in results if result is not None]
            assert sorted(given) == list(range(1, limit + 1))
            assert store.consume(flow.digest, "signin", now=NOW) is None

    def test_race_of_consumes_has_one_winner(self, store: FlowStore) -> None:
        for turn in self.rounds():
            flow = _flow(turn)
            store.put(flow)
            results = self.race(partial(store.consume, flow.digest, "signin", now=NOW))
            assert winners(results) == 1
            assert flow in results

    def test_race_of_puts_has_one_winner(self, store: FlowStore) -> None:
        for turn in self.rounds():
            assert winners(self.race(partial(store.put, _flow(turn)))) == 1

    def test_race_of_consume_and_drop_has_one_winner(self, store: FlowStore) -> None:
        for turn in self.rounds():
            flow = _flow(turn)
            store.put(flow)
            consumed, dropped = self.race(
                partial[Flow | int | None](store.consume, flow.digest, "signin", now=NOW),
                partial[Flow | int | None](store.drop_account, "account-1"),
            )
            assert (consumed, dropped) in [(flow, 0), (None, 1)]

    def test_verbs_neither_wait_for_nor_roll_back_with_the_callers_open_write(
        self, store: FlowStore, open_write: AbstractContextManager[object]
    ) -> None:
        tried, used, dropped = _flow(1), _flow(2), _flow(3, account="account-2")
        for flow in (tried, used, dropped):
            store.put(flow)
        with open_write:
            assert store.put(_flow(4))
            assert store.attempt(tried.digest, "signin", limit=5, now=NOW) is not None
            assert store.consume(used.digest, "signin", now=NOW) == used
            assert store.drop_account("account-2") == 1
        assert not store.put(_flow(4))
        assert store.consume(tried.digest, "signin", now=NOW) == replace(tried, attempts=1)
        assert store.consume(used.digest, "signin", now=NOW) is None
        assert store.consume(dropped.digest, "signin", now=NOW) is None

    def test_a_backend_that_cannot_answer_is_a_store_error(self, failing_store: FlowStore) -> None:
        digest = _flow().digest
        self.assert_all_fail(
            [
                lambda: failing_store.put(_flow()),
                lambda: failing_store.put(_flow(account=None)),
                lambda: failing_store.attempt(digest, "signin", limit=5, now=NOW),
                lambda: failing_store.consume(digest, "signin", now=NOW),
                lambda: failing_store.drop_account("account-1"),
                lambda: failing_store.purge(now=NOW),
            ]
        )
