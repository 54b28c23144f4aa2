"""Every subject's key under the promoted wrapping key, while people are written, read and erased."""

from __future__ import annotations

import itertools

import pytest

from portalsec.crypto import Keyring, Keyset
from portalsec.crypto._psk1 import names_key
from portalsec.crypto.cells import Change
from portalsec.crypto.subject_cells import RewrapSubjectKeys, SubjectKeyCells, rewrapping, rewrapping_all
from portalsec.crypto.subjects import SubjectKeys
from portalsec.errors import SubjectErased
from portalsec.events import SYSTEM
from portalsec.stores.memory import MemorySubjectKeys
from portalsec.testing import CapturedEvents, FrozenClock

PEOPLE = [f"patient-{number:02}" for number in range(23)]


class World:
    """A keyring whose wrapping key is promoted half-way, and 23 people with one cell each."""

    def __init__(self) -> None:
        self.store = MemorySubjectKeys()
        self.current = Keyset.generate("XAES_256_GCM")
        self.ring = Keyring(lambda: {"phi": self.current})
        self.keys = self.process()
        self.cells = {who: self.keys.writing(who).encrypt(b"value", b"place") for who in PEOPLE}
        self.old = self.keys.wrapping_prefix

    def process(self) -> SubjectKeys:
        return SubjectKeys(
            self.store, keys=self.ring["phi"], clock=FrozenClock(), emit=CapturedEvents(), cached=2
        )

    def promote(self) -> None:
        grown = self.current.add("AES256_GCM")
        self.current = grown.promote(grown.info()[-1].id)
        self.ring.reload()

    def readable(self, *, erased: tuple[str, ...] = ()) -> None:
        """Everybody's cell opens, but of those who were erased; nobody's own key has changed."""
        fresh = self.process()
        for who, cell in self.cells.items():
            if who in erased:
                with pytest.raises(SubjectErased):
                    fresh.reading(who)
            else:
                assert fresh.reading(who).decrypt(cell, b"place") == b"value"

    def under(self, prefix: bytes) -> list[str]:
        living = self.store.page("subject", after=None, limit=1000)
        return [key.subject for key in living if names_key(key.wrapped or b"", prefix)]

    def without_the_old_key(self) -> None:
        self.current = self.current.disable(int.from_bytes(self.old[1:], "big"))
        self.ring.reload()


@pytest.fixture
def world() -> World:
    return World()


def test_after_a_run_the_old_wrapping_key_is_not_needed(world):
    world.promote()
    *_, last = rewrapping(world.keys, batch=5).run()
    assert (last.total, last.done, last.changed, last.failed) == (23, 23, 23, 0)
    assert world.under(world.old) == []
    world.without_the_old_key()
    world.readable()


def test_nothing_is_done_where_nothing_was_promoted(world):
    before = dict(world.store._keys)
    *_, last = rewrapping(world.keys).run()
    assert last.changed == 0
    assert world.store._keys == before


def test_a_run_that_was_stopped_goes_on_where_it_was(world):
    world.promote()
    first = next(rewrapping(world.keys, batch=5).run())
    assert len(world.under(world.old)) == 18
    *_, last = rewrapping(world.keys, batch=5).run(first.cursor)
    assert (last.done, last.changed) == (23, 23)
    assert world.under(world.old) == []


def test_who_is_erased_meanwhile_stays_erased(world):
    world.promote()
    run = rewrapping(world.keys, batch=5).run()
    next(run)
    world.keys.shred("patient-00", actor=SYSTEM)
    world.keys.shred("patient-20", actor=SYSTEM)
    *_, last = run
    assert last.failed == 0
    world.without_the_old_key()
    world.readable(erased=("patient-00", "patient-20"))


def test_who_is_erased_between_reading_and_writing_stays_erased(world):
    world.promote()

    class Slow(MemorySubjectKeys):
        def rewrap(self, purpose, changes):
            if changes and self.get(purpose, "patient-03").erased_at is None:
                world.keys.shred("patient-03", actor=SYSTEM)
            return super().rewrap(purpose, changes)

    world.store.__class__ = Slow
    *_, last = rewrapping(world.keys, batch=5).run()
    assert (last.changed, last.kept, last.failed) == (22, 1, 0)
    world.without_the_old_key()
    world.readable(erased=("patient-03",))


def test_a_key_that_does_not_open_is_listed_and_left_alone(world):
    world.promote()
    keys = world.store._keys
    place, other = ("subject", "patient-03"), ("subject", "patient-04")
    keys[place] = type(keys[place])(
        purpose="subject",
        subject="patient-03",
        key_id=keys[other].key_id,
        commitment=keys[other].commitment,
        wrapped=keys[other].wrapped,
        created_at=keys[other].created_at,
    )
    edited = keys[place]
    progress = list(rewrapping(world.keys, batch=5).run())
    failures = list(itertools.chain.from_iterable(step.failures for step in progress))
    assert [(failure.key, failure.reason) for failure in failures] == [(("patient-03",), "not_authentic")]
    assert keys[place] is edited
    assert progress[-1].changed == 22


def test_two_runs_at_once_do_no_harm(world):
    world.promote()
    runs = [rewrapping(world.keys, batch=5).run(), rewrapping(world.process(), batch=3).run()]
    for _ in itertools.zip_longest(*runs):
        pass
    world.without_the_old_key()
    world.readable()


def test_a_wrapping_key_of_a_key_service_is_always_rewrapped():
    class Remote:
        def __init__(self) -> None:
            self._aead = Keyset.generate("AES256_GCM").aead()

        def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes:
            return b"vault:v1:" + self._aead.encrypt(plaintext, associated_data)

        def decrypt(self, ciphertext: bytes, associated_data: bytes) -> bytes:
            return self._aead.decrypt(ciphertext[9:], associated_data)

    keys = SubjectKeys(MemorySubjectKeys(), keys=Remote(), clock=FrozenClock(), emit=CapturedEvents())
    keys.writing("patient-1")
    *_, last = rewrapping(keys).run()
    assert (last.changed, last.failed) == (1, 0)
    assert keys.reading("patient-1")


def test_the_source_tells_keys_by_their_wrapping_key(world):
    source = SubjectKeyCells(world.keys)
    world.promote()
    new = world.keys.wrapping_prefix
    next(rewrapping(world.keys, batch=5).run())
    assert source.count() == 23
    assert list(source.tally("wrapped", [{new}, {world.old}])) == [5, 18, 0]
    assert list(source.tally("wrapped", [])) == [23]
    assert RewrapSubjectKeys(world.keys).under() == new.hex()


def test_the_source_reads_who_is_still_there_and_swaps_what_still_stands(world):
    source = SubjectKeyCells(world.keys)
    world.keys.shred("patient-01", actor=SYSTEM)
    rows = source.read([("patient-00",), ("patient-01",), ("nobody",)])
    assert [row.key for row in rows] == [("patient-00",)]
    (row,) = rows
    assert "hidden" in repr(row)
    changes = [Change(row, (b"new", None)), Change(row, (b"newer", None))]
    assert list(source.swap(changes)) == [True, False]
    assert world.store.get("subject", "patient-00").wrapped == b"new"


def test_what_remains_is_counted_by_the_wrapping_key(world):
    old = int.from_bytes(world.old[1:], "big")
    assert [(each.current, each.left) for each in rewrapping(world.keys).remaining()] == [(23, 0)]
    world.promote()
    next(rewrapping(world.keys, batch=5).run())
    (found,) = rewrapping(world.keys).remaining()
    assert (found.current, dict(found.older), found.unknown) == (5, {old: 18}, 0)
    stranger = SubjectKeys(world.store, keys=Keyset.generate(), clock=FrozenClock(), emit=CapturedEvents())
    stranger.writing("stranger")
    list(rewrapping(world.keys).run())
    (found,) = rewrapping(world.keys).remaining()
    assert (found.current, dict(found.older), found.unknown) == (23, {}, 1), "nobody may take that for done"


def test_every_purpose_is_rewrapped_and_keys_of_other_keysets_are_passed_over(world):
    named = {"clock": FrozenClock(), "emit": CapturedEvents()}
    notes = SubjectKeys(world.store, keys=world.ring["phi"], purpose="notes", **named)
    notes.writing("patient-00")
    cell = notes.writing("patient-01").encrypt(b"value", b"place")
    elsewhere = SubjectKeys(world.store, keys=Keyset.generate(), purpose="notes", **named)
    elsewhere.writing("patient-99")
    untouched = world.store.get("notes", "patient-99")
    world.promote()
    assert {name: run.remaining()[0].left for name, run in rewrapping_all(world.keys).items()} == {
        "subject": 23,
        "notes": 2,
    }
    for name, changed in (("subject", 23), ("notes", 2)):
        *_, last = rewrapping_all(world.keys)[name].run()
        assert (last.changed, last.failed) == (changed, 0)
    assert not any(run.remaining()[0].left for run in rewrapping_all(world.keys).values())
    assert world.store.get("notes", "patient-99") == untouched
    world.without_the_old_key()
    fresh = SubjectKeys(world.store, keys=world.ring["phi"], purpose="notes", **named)
    assert fresh.reading("patient-01").decrypt(cell, b"place") == b"value"
