"""The contract of `portalsec.auth.ports.IncidentStore`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial

import pytest

from portalsec.auth.ports import Incident, IncidentStore
from portalsec.testing.contracts.base import MICROSECOND, NOW, THREADS, StoreContract, winners

__all__ = ["IncidentStoreContract"]


def _incident(number: int = 1, *, account: str = "account-1") -> Incident:
    return Incident(
        id=f"incident-{number}",
        account_id=account,
        notice_id=f"notice-{number}",
        since=NOW - number * MICROSECOND,
        opened_at=NOW + number * MICROSECOND,
        data=b"summary of %d" % number,
    )


class IncidentStoreContract(StoreContract):
    """Inherit it and provide ``store``: an empty `IncidentStore`."""

    @pytest.fixture
    def store(self) -> IncidentStore:
        raise NotImplementedError("provide a fixture `store` that returns an empty IncidentStore")

    @pytest.mark.parametrize(
        "incident",
        [
            _incident(),
            replace(_incident(), notice_id=None, data=b""),
            replace(_incident(), closed_at=NOW, account_id="{zoë}"),
            replace(_incident(), data=bytes(range(256)) * 256),  # the promised 64 KiB
        ],
        ids=["plain", "of no notice", "closed", "64 KiB"],
    )
    def test_an_incident_comes_back_as_it_was_opened(self, store: IncidentStore, incident: Incident) -> None:
        assert store.open(incident)
        assert store.get(incident.id) == incident
        assert list(store.of_account(incident.account_id)) == [incident]

    def test_what_is_unknown_is_none(self, store: IncidentStore) -> None:
        store.open(_incident())
        assert store.get("incident-9") is None
        assert list(store.of_account("account-9")) == []

    def test_an_id_is_taken_once_and_a_notice_opens_one_incident(self, store: IncidentStore) -> None:
        assert store.open(_incident(1))
        assert not store.open(replace(_incident(2), id="incident-1"))
        assert not store.open(replace(_incident(2), notice_id="notice-1"))
        assert list(store.of_account("account-1")) == [_incident(1)]
        for number in (3, 4):
            assert store.open(replace(_incident(number), notice_id=None)), "many may be of no notice"

    def test_an_accounts_incidents_come_newest_first(self, store: IncidentStore) -> None:
        for number in (2, 3, 1):
            store.open(_incident(number))
        store.open(_incident(4, account="account-2"))
        assert list(store.of_account("account-1")) == [_incident(3), _incident(2), _incident(1)]

    def test_what_is_unclosed_comes_oldest_first(self, store: IncidentStore) -> None:
        for number in (3, 1, 2):
            store.open(_incident(number, account=f"account-{number}"))
        assert [incident.id for incident in store.unclosed(limit=2)] == ["incident-1", "incident-2"]
        assert store.close("incident-1", at=NOW)
        assert [incident.id for incident in store.unclosed(limit=9)] == ["incident-2", "incident-3"]

    def test_an_incident_is_closed_once(self, store: IncidentStore) -> None:
        store.open(_incident())
        assert not store.close("incident-9", at=NOW)
        assert store.close("incident-1", at=NOW)
        assert not store.close("incident-1", at=NOW + MICROSECOND)
        assert store.get("incident-1") == replace(_incident(), closed_at=NOW)
        assert not store.open(replace(_incident(2), notice_id="notice-1")), "closed, the notice still has one"

    def test_race_of_openings_for_one_notice_has_one_winner(self, store: IncidentStore) -> None:
        for turn in self.rounds():
            rivals = [replace(_incident(turn * 100 + n), notice_id=f"wanted-{turn}") for n in range(THREADS)]
            results = self.race(*(partial(store.open, rival) for rival in rivals))
            assert winners(results) == 1
            assert [rival.id for rival in rivals if store.get(rival.id)] == [rivals[results.index(True)].id]

    def test_race_of_closings_has_one_winner(self, store: IncidentStore) -> None:
        for turn in self.rounds():
            store.open(_incident(turn))
            assert winners(self.race(partial(store.close, f"incident-{turn}", at=NOW))) == 1

    def test_verbs_neither_wait_for_nor_roll_back_with_the_callers_open_write(
        self, store: IncidentStore, open_write: AbstractContextManager[object]
    ) -> None:
        store.open(_incident(1))
        with open_write:
            assert store.open(_incident(2))
            assert store.close("incident-1", at=NOW)
        assert list(store.of_account("account-1")) == [_incident(2), replace(_incident(1), closed_at=NOW)]

    def test_a_backend_that_cannot_answer_is_a_store_error(self, failing_store: IncidentStore) -> None:
        self.assert_all_fail(
            [
                lambda: failing_store.open(_incident()),
                lambda: failing_store.get("incident-1"),
                lambda: failing_store.of_account("account-1"),
                lambda: failing_store.unclosed(limit=10),
                lambda: failing_store.close("incident-1", at=NOW),
            ]
        )
