"""The contract of `portalsec.audit.ports.AuditStore`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial

import pytest

from portalsec.audit.ports import AuditStore, Entry, StoredCheckpoint, StoredEntry
from portalsec.testing.contracts.base import THREADS, StoreContract, winners

__all__ = ["AuditStoreContract"]


def _entry(number: int, *subjects: str) -> Entry:
    body = b'{"v":1,"id":"event-%d","name":"Zo\xc3\xab\\n"}' % number
    return Entry(
        id=f"event-{number}", body=body, leaf=hashlib.sha256(b"\0" + body).digest(), subjects=subjects
    )


def _placed(index: int, entry: Entry) -> StoredEntry:
    return StoredEntry(index=index, body=entry.body, leaf=entry.leaf)


def _fill(store: AuditStore, entries: Sequence[Entry]) -> None:
    store.append(entries)
    store.integrate()


class AuditStoreContract(StoreContract):
    """Inherit it and provide ``store``: an empty `AuditStore`."""

    @pytest.fixture
    def store(self) -> AuditStore:
        raise NotImplementedError("provide a fixture `store` that returns an empty AuditStore")

    def test_an_empty_log_is_empty(self, store: AuditStore) -> None:
        assert store.size() == 0
        assert store.integrate() == 0
        assert list(store.read(0, 10)) == []
        assert list(store.staged()) == []
        assert list(store.newest(limit=10)) == []
        assert list(store.of_subject("anyone", limit=10)) == []
        assert list(store.subject_index(0, 10)) == []
        assert list(store.checkpoints()) == []
        assert list(store.intrusions()) == []

    def test_an_appended_entry_is_staged_until_it_is_placed(self, store: AuditStore) -> None:
        entries = [_entry(1, "s1", "s2"), _entry(2)]
        store.append(entries)
        assert list(store.staged()) == entries
        assert store.size() == 0
        assert list(store.read(0, 10)) == []
        assert store.integrate() == 2
        assert list(store.staged()) == []
        assert store.size() == 2

    def test_entries_keep_their_bytes_and_the_order_of_their_appends(self, store: AuditStore) -> None:
        entries = [_entry(number) for number in (5, 3, 9, 1, 7)]
        for entry in entries[:2]:
            store.append([entry])
        store.append(entries[2:])
        assert store.integrate() == 5
        assert list(store.read(0, 5)) == [_placed(index, entry) for index, entry in enumerate(entries)]

    def test_any_bytes_are_kept(self, store: AuditStore) -> None:
        entry = replace(_entry(1), body=bytes(range(256)) * 64, leaf=bytes(range(32)))
        _fill(store, [entry])
        assert list(store.read(0, 1)) == [_placed(0, entry)]

    def test_appending_nothing_is_nothing(self, store: AuditStore) -> None:
        store.append([])
        assert store.integrate() == 0

    def test_an_index_never_changes(self, store: AuditStore) -> None:
        _fill(store, [_entry(2), _entry(1)])
        before = list(store.read(0, 2))
        _fill(store, [_entry(0)])
        assert list(store.read(0, 2)) == before
        assert list(store.read(2, 3)) == [_placed(2, _entry(0))]
        assert store.integrate() == 3

    def test_a_known_id_is_ignored_wherever_the_first_one_is(self, store: AuditStore) -> None:
        other = replace(_entry(2), id="event-1")
        store.append([_entry(1, "s1"), other])
        store.append([other, _entry(3)])
        assert list(store.staged()) == [_entry(1, "s1"), _entry(3)]
        store.integrate()
        store.append([other, replace(_entry(3), subjects=("s9",)), _entry(4)])
        assert store.integrate() == 3
        assert list(store.staged()) == []
        assert [stored.body for stored in store.read(0, 9)] == [_entry(n).body for n in (1, 3, 4)]
        assert list(store.of_subject("s9", limit=10)) == []

    def test_more_entries_than_any_batch_are_placed_in_one_call(self, store: AuditStore) -> None:
        entries = [_entry(number, f"s{number % 7}") for number in range(2500)]
        store.append(entries)
        assert store.integrate() == 2500
        assert [stored.body for stored in store.read(0, 2500)] == [entry.body for entry in entries]

    def test_reading_is_by_half_open_range(self, store: AuditStore) -> None:
        _fill(store, [_entry(number) for number in range(5)])
        assert [stored.index for stored in store.read(1, 3)] == [1, 2]
        assert [stored.index for stored in store.read(3, 99)] == [3, 4]
        assert list(store.read(5, 99)) == []
        assert list(store.read(3, 3)) == []
        assert list(store.read(3, 1)) == []

    def test_nothing_lies_before_the_first(self, store: AuditStore) -> None:
        _fill(store, [_entry(number, "s") for number in range(3)])
        assert list(store.read(-(2**62), 0)) == []
        assert [stored.index for stored in store.read(-2, 2)] == [0, 1]
        assert list(store.newest(limit=9, before=-1)) == []
        assert list(store.of_subject("s", limit=9, before=-1)) == []
        assert list(store.subject_index(-(2**62), 0)) == []

    def test_the_newest_come_first_and_in_pages(self, store: AuditStore) -> None:
        entries = [_entry(number) for number in range(5)]
        _fill(store, entries)
        assert list(store.newest(limit=2)) == [_placed(4, entries[4]), _placed(3, entries[3])]
        assert [stored.index for stored in store.newest(limit=2, before=3)] == [2, 1]
        assert [stored.index for stored in store.newest(limit=9, before=2)] == [1, 0]
        assert list(store.newest(limit=9, before=0)) == []
        assert list(store.newest(limit=0)) == []

    def test_a_subject_finds_its_own_entries_newest_first(self, store: AuditStore) -> None:
        entries = [_entry(0, "a", "b"), _entry(1, "b"), _entry(2), _entry(3, "a"), _entry(4, "a", "b")]
        _fill(store, entries)
        assert list(store.of_subject("a", limit=2)) == [_placed(4, entries[4]), _placed(3, entries[3])]
        assert [stored.index for stored in store.of_subject("a", limit=9, before=4)] == [3, 0]
        assert [stored.index for stored in store.of_subject("b", limit=9)] == [4, 1, 0]
        assert list(store.of_subject("A", limit=9)) == []
        assert list(store.of_subject("%", limit=9)) == []

    def test_the_subject_index_lists_each_pair_once(self, store: AuditStore) -> None:
        _fill(store, [_entry(0, "b", "a", "b"), _entry(1), _entry(2, "a"), _entry(3, "c")])
        assert sorted(store.subject_index(0, 4)) == [(0, "a"), (0, "b"), (2, "a"), (3, "c")]
        assert sorted(store.subject_index(1, 3)) == [(2, "a")]

    def test_checkpoints_only_grow(self, store: AuditStore) -> None:
        note = "portal.example/audit\n5\nroot=\n\n— portal.example/audit c2ln\n"
        assert store.save_checkpoint(StoredCheckpoint(size=5, note=note))
        assert not store.save_checkpoint(StoredCheckpoint(size=5, note="another"))
        assert not store.save_checkpoint(StoredCheckpoint(size=4, note="older"))
        assert store.save_checkpoint(StoredCheckpoint(size=7, note="newer"))
        assert list(store.checkpoints()) == [
            StoredCheckpoint(size=5, note=note),
            StoredCheckpoint(size=7, note="newer"),
        ]

    def test_race_of_appends_loses_nothing_and_leaves_no_gap(self, store: AuditStore) -> None:
        for turn in self.rounds(soak=50):
            base = turn * 1000
            batches = [[_entry(base + n * 10 + k, "s") for k in range(3)] for n in range(THREADS)]
            self.race(*(partial(store.append, batch) for batch in batches))
            size = store.integrate()
            assert size == (turn + 1) * THREADS * 3
            placed = list(store.read(size - THREADS * 3, size))
            assert [stored.index for stored in placed] == list(range(size - THREADS * 3, size))
            bodies = [stored.body for stored in placed]
            assert sorted(bodies) == sorted(entry.body for batch in batches for entry in batch)
            for batch in batches:
                first = bodies.index(batch[0].body)
                assert bodies.index(batch[1].body) > first
                assert bodies.index(batch[2].body) > bodies.index(batch[1].body)

    def test_race_of_appends_with_one_id_stores_it_once(self, store: AuditStore) -> None:
        for turn in self.rounds(soak=50):
            self.race(partial(store.append, [_entry(turn)]))
            assert store.integrate() == turn + 1

    def test_race_of_integrators_gives_every_entry_one_index(self, store: AuditStore) -> None:
        for turn in self.rounds(soak=50):
            entries = [_entry(turn * 1000 + n, "s") for n in range(40)]
            store.append(entries)
            sizes = self.race(store.integrate)
            assert set(sizes) == {(turn + 1) * 40}, "an entry appended before the call has its index after it"
            placed = store.read(turn * 40, (turn + 1) * 40)
            assert [stored.body for stored in placed] == [entry.body for entry in entries]

    def test_race_of_appends_and_integrators_places_what_was_acknowledged(self, store: AuditStore) -> None:
        def append_and_place(number: int) -> bool:
            entry = _entry(number)
            store.append([entry])
            size = store.integrate()
            return entry.body in {stored.body for stored in store.read(0, size)}

        for turn in self.rounds(soak=50):
            numbers = range(turn * 100, turn * 100 + THREADS)
            assert all(self.race(*(partial(append_and_place, n) for n in numbers)))
            placed = store.read(0, 10_000)
            assert [stored.index for stored in placed] == list(range((turn + 1) * THREADS))
            assert len({stored.body for stored in placed}) == (turn + 1) * THREADS

    def test_race_of_checkpoints_of_one_size_has_one_winner(self, store: AuditStore) -> None:
        for turn in self.rounds():
            size = turn + 1
            results = self.race(
                *(
                    partial(store.save_checkpoint, StoredCheckpoint(size=size, note=f"of {n}"))
                    for n in range(THREADS)
                )
            )
            assert winners(results) == 1
            assert store.checkpoints()[-1] == StoredCheckpoint(size=size, note=f"of {results.index(True)}")

    def test_verbs_neither_wait_for_nor_roll_back_with_the_callers_open_write(
        self, store: AuditStore, open_write: AbstractContextManager[object]
    ) -> None:
        with open_write:
            store.append([_entry(1, "s")])
            assert store.integrate() == 1
            assert store.save_checkpoint(StoredCheckpoint(size=1, note="one"))
            store.append([_entry(2, "s")])
        assert list(store.staged()) == [_entry(2, "s")]
        assert list(store.of_subject("s", limit=9)) == [_placed(0, _entry(1))]
        assert list(store.checkpoints()) == [StoredCheckpoint(size=1, note="one")]

    def test_a_backend_that_cannot_answer_is_a_store_error(self, failing_store: AuditStore) -> None:
        self.assert_all_fail(
            [
                lambda: failing_store.append([_entry(1)]),
                failing_store.integrate,
                failing_store.size,
                lambda: failing_store.read(0, 1),
                failing_store.staged,
                lambda: failing_store.newest(limit=1),
                lambda: failing_store.of_subject("s", limit=1),
                lambda: list(failing_store.subject_index(0, 1)),
                lambda: failing_store.save_checkpoint(StoredCheckpoint(size=1, note="one")),
                failing_store.checkpoints,
                failing_store.intrusions,
            ]
        )
