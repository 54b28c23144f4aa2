"""The contract of `portalsec.crypto.ports.SubjectKeyStore`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import pytest

from portalsec.crypto.ports import Rewrap, SubjectKey, SubjectKeyStore
from portalsec.testing.contracts.base import MICROSECOND, NOW, THREADS, StoreContract, winners

__all__ = ["SubjectKeyStoreContract"]

_PURPOSE = "subject"


def _moment(seconds: int = 1) -> datetime:
    return NOW + timedelta(seconds=seconds)


def _key(subject: str = "patient-1", number: int = 1, *, purpose: str = _PURPOSE) -> SubjectKey:
    return SubjectKey(
        purpose=purpose,
        subject=subject,
        key_id=2**32 - number,
        commitment=bytes(range(32)),
        wrapped=bytes(range(256)) + number.to_bytes(4, "big"),
        created_at=NOW + number * MICROSECOND,
    )


def _tombstone(key: SubjectKey, seconds: int = 1) -> SubjectKey:
    return replace(key, wrapped=None, erased_at=_moment(seconds))


def _at(seconds: int = 1) -> SubjectKey:
    """The tombstone of somebody who never had a key."""
    moment = _moment(seconds)
    return SubjectKey(
        purpose=_PURPOSE,
        subject="patient-1",
        key_id=None,
        commitment=None,
        wrapped=None,
        created_at=moment,
        erased_at=moment,
    )


class SubjectKeyStoreContract(StoreContract):
    """Inherit it and provide ``store``: an empty `SubjectKeyStore`."""

    @pytest.fixture
    def store(self) -> SubjectKeyStore:
        raise NotImplementedError("provide a fixture `store` that returns an empty SubjectKeyStore")

    def erase(self, store: SubjectKeyStore, subject: str = "patient-1", seconds: int = 1) -> bool:
        return store.erase(_PURPOSE, subject, now=_moment(seconds)).won

    # -- one case a verb --------------------------------------------------------------------------------------

    def test_a_key_is_read_as_it_was_made(self, store: SubjectKeyStore) -> None:
        assert store.get(_PURPOSE, "patient-1") is None
        assert store.get_or_create(_key()) == _key()
        assert store.get(_PURPOSE, "patient-1") == _key()

    def test_the_first_key_of_a_subject_stays(self, store: SubjectKeyStore) -> None:
        store.get_or_create(_key())
        assert store.get_or_create(_key(number=2)) == _key()
        assert store.get(_PURPOSE, "patient-1") == _key()

    def test_purposes_and_subjects_are_compared_exactly(self, store: SubjectKeyStore) -> None:
        store.get_or_create(_key())
        for purpose, subject in (
            (_PURPOSE, "PATIENT-1"),
            (_PURPOSE, "patient-1 "),
            (_PURPOSE, "patient-_"),
            (_PURPOSE, "patient-%"),
            ("Subject", "patient-1"),
            ("notes", "patient-1"),
        ):
            assert store.get(purpose, subject) is None
        composed, decomposed = "Zo\u00eb", "Zoe\u0308"
        assert store.get_or_create(_key(composed, 3)) == _key(composed, 3)
        assert store.get_or_create(_key(decomposed, 4)) == _key(decomposed, 4)

    def test_many_are_read_as_one_by_one(self, store: SubjectKeyStore) -> None:
        subjects = [
            f"patient-{number}" for number in range(1203)
        ]  # more than a database takes in one statement
        there = {subject: store.get_or_create(_key(subject)) for subject in subjects[::50]}
        store.get_or_create(_key(subjects[1], purpose="notes"))
        self.erase(store, subjects[50])
        self.erase(store, subjects[7])
        there[subjects[50]] = _tombstone(_key(subjects[50]))
        there[subjects[7]] = replace(_at(), subject=subjects[7])
        asked = [*subjects, subjects[0], "PATIENT-0", "patient-0 ", "patient-%"]
        assert dict(store.get_many(_PURPOSE, asked)) == there
        assert dict(store.get_many(_PURPOSE, subjects[100:101])) == {subjects[100]: there[subjects[100]]}
        assert dict(store.get_many(_PURPOSE, [])) == {}
        assert dict(store.get_many("nothing", asked)) == {}

    def test_purposes_are_those_of_which_a_key_lives(self, store: SubjectKeyStore) -> None:
        assert list(store.purposes()) == []
        for number in (1, 2):
            store.get_or_create(_key(f"patient-{number}"))
            store.get_or_create(_key(f"patient-{number}", purpose="notes"))
        self.erase(store, "patient-1")
        assert sorted(store.purposes()) == ["notes", _PURPOSE]
        self.erase(store, "patient-2")
        assert list(store.purposes()) == ["notes"]

    def test_an_erased_key_leaves_a_tombstone_with_its_facts(self, store: SubjectKeyStore) -> None:
        store.get_or_create(_key())
        erased = store.erase(_PURPOSE, "patient-1", now=_moment())
        assert erased.won
        assert erased.key == _tombstone(_key())
        assert store.get(_PURPOSE, "patient-1") == _tombstone(_key())

    def test_erased_is_final(self, store: SubjectKeyStore) -> None:
        store.get_or_create(_key())
        self.erase(store)
        assert store.get_or_create(_key(number=2)) == _tombstone(_key())
        assert store.get_or_create(_key()) == _tombstone(_key())
        wrapped = _key().wrapped or b""
        assert list(
            store.rewrap(_PURPOSE, [Rewrap(subject="patient-1", expected=wrapped, wrapped=b"new")])
        ) == [False]
        assert store.get(_PURPOSE, "patient-1") == _tombstone(_key())

    def test_a_second_erasure_gets_the_first_one_s_tombstone(self, store: SubjectKeyStore) -> None:
        store.get_or_create(_key())
        assert self.erase(store, seconds=1)
        again = store.erase(_PURPOSE, "patient-1", now=_moment(9))
        assert not again.won
        assert again.key == _tombstone(_key(), 1)

    def test_a_subject_without_a_key_gets_a_tombstone_too(self, store: SubjectKeyStore) -> None:
        assert self.erase(store)
        assert store.get(_PURPOSE, "patient-1") == _at()
        assert store.get_or_create(_key()) == _at()
        assert not self.erase(store, seconds=5)

    def test_erasing_touches_one_subject_and_one_purpose(self, store: SubjectKeyStore) -> None:
        others = [_key("patient-2"), _key(purpose="notes")]
        for key in (_key(), *others):
            store.get_or_create(key)
        self.erase(store)
        assert [store.get(key.purpose, key.subject) for key in others] == others

    def test_a_key_is_rewrapped_where_it_is_what_was_expected(self, store: SubjectKeyStore) -> None:
        for number in (1, 2, 3):
            store.get_or_create(_key(f"patient-{number}", number))
        changes = [
            Rewrap(subject="patient-3", expected=_key("patient-3", 3).wrapped or b"", wrapped=b"three"),
            Rewrap(subject="patient-1", expected=b"another", wrapped=b"one"),
            Rewrap(subject="patient-9", expected=b"", wrapped=b"nine"),
            Rewrap(subject="patient-2", expected=_key("patient-2", 2).wrapped or b"", wrapped=b"two"),
        ]
        assert list(store.rewrap(_PURPOSE, changes)) == [True, False, False, True]
        assert store.get(_PURPOSE, "patient-1") == _key("patient-1", 1)
        assert store.get(_PURPOSE, "patient-2") == replace(_key("patient-2", 2), wrapped=b"two")
        assert store.get(_PURPOSE, "patient-3") == replace(_key("patient-3", 3), wrapped=b"three")
        assert store.get(_PURPOSE, "patient-9") is None
        assert list(store.rewrap("notes", changes)) == [False] * 4
        assert list(store.rewrap(_PURPOSE, [])) == []

    def test_pages_hold_each_living_key_once(self, store: SubjectKeyStore) -> None:
        subjects = {f"patient-{number}" for number in range(23)} | {"Patient-1", "ü", "-", "10", "9"}
        for subject in subjects:
            store.get_or_create(_key(subject))
        store.get_or_create(_key("other", purpose="notes"))
        self.erase(store, "patient-7")
        self.erase(store, "never had one")
        found: list[str] = []
        after: str | None = None
        while page := store.page(_PURPOSE, after=after, limit=5):
            assert len(page) <= 5
            assert all(key == _key(key.subject) for key in page)
            found += [key.subject for key in page]
            after = found[-1]
        assert sorted(found) == sorted(subjects - {"patient-7"})
        assert store.count(_PURPOSE) == len(found)
        assert store.count("notes") == 1
        assert store.count("nothing") == 0

    # -- races ------------------------------------------------------------------------------------------------

    def test_race_of_first_writers_makes_one_key(self, store: SubjectKeyStore) -> None:
        for turn in self.rounds():
            subject = f"patient-{turn}"
            rivals = [_key(subject, number) for number in range(THREADS)]
            results = self.race(*(partial(store.get_or_create, rival) for rival in rivals))
            assert len(set(results)) == 1, "somebody was given a key that the store does not keep"
            assert results[0] in rivals
            assert store.get(_PURPOSE, subject) == results[0]

    def test_race_of_erasures_has_one_winner(self, store: SubjectKeyStore) -> None:
        for turn in self.rounds():
            subject = f"patient-{turn}"
            if turn % 2:
                store.get_or_create(_key(subject))
            calls = [
                partial(store.erase, _PURPOSE, subject, now=NOW + number * MICROSECOND)
                for number in range(THREADS)
            ]
            results = self.race(*calls)
            assert winners([erased.won for erased in results]) == 1
            assert len({erased.key for erased in results}) == 1
            assert store.get(_PURPOSE, subject) == results[0].key

    def test_race_of_an_erasure_and_first_writers_never_brings_a_key_back(
        self, store: SubjectKeyStore
    ) -> None:
        for turn in self.rounds(9):
            subject = f"patient-{turn}"
            if turn % 3 == 2:
                store.get_or_create(_key(subject))

            def write(number: int, subject: str = subject) -> bool:
                store.get_or_create(_key(subject, number))
                return False

            def erase(subject: str = subject) -> bool:
                return self.erase(store, subject)

            writers = [partial(write, number) for number in range(THREADS - 1)]
            place = turn % THREADS
            results = self.race(*writers[:place], erase, *writers[place:])
            assert results[place], "the only erasure is the one that made the tombstone"
            after = store.get(_PURPOSE, subject)
            assert after is not None
            assert after.wrapped is None
            assert after.erased_at is not None
            assert store.get_or_create(_key(subject)) == after

    def test_race_of_an_erasure_and_rewraps_never_brings_a_key_back(self, store: SubjectKeyStore) -> None:
        for turn in self.rounds(9):
            subjects = [f"patient-{turn}-{number}" for number in range(3)]
            for subject in subjects:
                store.get_or_create(_key(subject))
            changes = [
                Rewrap(subject=subject, expected=_key(subject).wrapped or b"", wrapped=b"under the new key")
                for subject in subjects
            ]

            def rewrap(changes: list[Rewrap] = changes) -> tuple[bool, ...]:
                return tuple(store.rewrap(_PURPOSE, changes))

            def erase(subject: str = subjects[1]) -> tuple[bool, ...]:
                return (self.erase(store, subject),)

            place = turn % 4
            calls = [rewrap, rewrap, rewrap]
            results = self.race(*calls[:place], erase, *calls[place:])
            assert results.pop(place) == (True,)
            for at in (0, 2):
                assert winners([result[at] for result in results]) == 1
            after = store.get(_PURPOSE, subjects[1])
            assert after is not None
            assert after.wrapped is None
            assert after.erased_at is not None

    def test_race_of_rewraps_in_any_order_has_one_winner_a_key(self, store: SubjectKeyStore) -> None:
        for turn in self.rounds():
            subjects = [f"patient-{turn}-{number}" for number in range(5)]
            for subject in subjects:
                store.get_or_create(_key(subject))

            def rewrap(number: int, subjects: list[str] = subjects) -> list[bool]:
                order = subjects if number % 2 else subjects[::-1]
                changes = [
                    Rewrap(subject=s, expected=_key(s).wrapped or b"", wrapped=b"%d" % number) for s in order
                ]
                done = list(store.rewrap(_PURPOSE, changes))
                return done if number % 2 else done[::-1]

            results = self.race(*(partial(rewrap, number) for number in range(THREADS)))
            for at, subject in enumerate(subjects):
                (number,) = (number for number, done in enumerate(results) if done[at])
                assert store.get(_PURPOSE, subject) == replace(_key(subject), wrapped=b"%d" % number)

    # -- the caller's transaction, and failure -----------------------------------------------------------------

    def test_verbs_neither_wait_for_nor_roll_back_with_the_callers_open_write(
        self, store: SubjectKeyStore, open_write: AbstractContextManager[object]
    ) -> None:
        for number in (1, 2):
            store.get_or_create(_key(f"patient-{number}", number))
        with open_write:
            store.get_or_create(_key("patient-3", 3))
            assert self.erase(store, "patient-1")
            expected = _key("patient-2", 2).wrapped or b""
            change = Rewrap(subject="patient-2", expected=expected, wrapped=b"two")
            assert list(store.rewrap(_PURPOSE, [change])) == [True]
        assert store.get(_PURPOSE, "patient-3") == _key("patient-3", 3)
        assert store.get(_PURPOSE, "patient-1") == _tombstone(_key("patient-1", 1))
        assert store.get(_PURPOSE, "patient-2") == replace(_key("patient-2", 2), wrapped=b"two")

    def test_an_erasure_is_seen_by_the_next_reader_on_any_thread(self, store: SubjectKeyStore) -> None:
        store.get_or_create(_key())
        assert set(self.race(lambda: store.get(_PURPOSE, "patient-1"))) == {_key()}
        self.erase(store)
        assert set(self.race(lambda: store.get(_PURPOSE, "patient-1"))) == {_tombstone(_key())}
        asked = self.race(lambda: store.get_many(_PURPOSE, ["patient-1"])["patient-1"])
        assert set(asked) == {_tombstone(_key())}

    def test_a_backend_that_cannot_answer_is_a_store_error(self, failing_store: SubjectKeyStore) -> None:
        change = Rewrap(subject="patient-1", expected=b"", wrapped=b"")
        self.assert_all_fail(
            [
                lambda: failing_store.get(_PURPOSE, "patient-1"),
                lambda: failing_store.get_many(_PURPOSE, ["patient-1"]),
                lambda: failing_store.get_or_create(_key()),
                lambda: failing_store.erase(_PURPOSE, "patient-1", now=NOW),
                lambda: failing_store.rewrap(_PURPOSE, [change]),
                lambda: failing_store.page(_PURPOSE, after=None, limit=5),
                lambda: failing_store.count(_PURPOSE),
                failing_store.purposes,
            ]
        )
