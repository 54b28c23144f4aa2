"""`SubjectKeys`: remembered and forgotten, erased for good, and told to the audit log in the right order."""

from __future__ import annotations

import copy
import os
import threading
import traceback
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from portalsec.crypto import Keyring, Keyset
from portalsec.crypto.ports import Erased, SubjectKey
from portalsec.crypto.subjects import ShredReceipt, SubjectKeys
from portalsec.errors import (
    AuditUnavailable,
    ConfigurationError,
    DecryptionError,
    StoreError,
    SubjectErased,
)
from portalsec.events import SYSTEM, Actor, Event, SecurityEvent, Source
from portalsec.stores.memory import MemorySubjectKeys
from portalsec.testing import CapturedEvents, FrozenClock
from portalsec.testing.contracts import StoreContract

KEYS = Keyset.generate("AES256_GCM")
ADMIN = Actor(type="user", id="account-7", role="privacy officer")
AT = Source(address="192.0.2.7")


class Counting(MemorySubjectKeys):
    """A store that counts how often it is asked, and can be stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None
        self.broken = False

    def get_many(self, purpose, subjects):
        self.asked += 1
        if self.broken:
            raise StoreError("the database did not answer")
        found = super().get_many(purpose, subjects)
        self.after()
        return found

    def get(self, purpose: str, subject: str) -> SubjectKey | None:
        self.asked += 1
        if self.broken:
            raise StoreError("the database did not answer")
        self.before()
        found = super().get(purpose, subject)
        self.after()
        return found


class World:
    """One process: a store that others may share, a stopwatch, and a list of events."""

    def __init__(self, store: MemorySubjectKeys | None = None, **named) -> None:
        self.store = store if store is not None else Counting()
        self.now = 1000.0
        self.clock = FrozenClock()
        self.events = CapturedEvents()
        self.emit: Callable[[SecurityEvent], None] = self.events
        self.keys = SubjectKeys(
            self.store,
            **{
                "keys": KEYS,
                "clock": self.clock,
                "emit": lambda event: self.emit(event),
                "elapsed": lambda: self.now,
                **named,
            },
        )

    def shred(self, subject: str = "patient-1") -> ShredReceipt:
        return self.keys.shred(subject, actor=ADMIN, source=AT)

    def opens(self, cell: bytes, subject: str = "patient-1") -> bool:
        try:
            return self.keys.reading(subject).decrypt(cell, b"place") == b"value"
        except SubjectErased:
            return False

    def seal(self, subject: str = "patient-1") -> bytes:
        return self.keys.writing(subject).encrypt(b"value", b"place")


@pytest.fixture
def world() -> World:
    return World()


# -- one key a person ---------------------------------------------------------------------------------------------


def test_what_is_written_is_read(world):
    assert world.opens(world.seal())


def test_a_value_does_not_open_under_another_person_s_key(world):
    cell = world.seal("patient-1")
    world.seal("patient-2")
    with pytest.raises(DecryptionError) as caught:
        world.keys.reading("patient-2").decrypt(cell, b"place")
    assert caught.value.reason == "unknown_key"


def test_reading_makes_no_key(world):
    with pytest.raises(DecryptionError) as caught:
        world.keys.reading("patient-1")
    assert caught.value.reason == "unknown_key"
    assert world.store.get("subject", "patient-1") is None
    assert caught.value.__context__ is None


def test_another_process_has_the_same_key():
    one = World()
    other = World(one.store)
    assert other.opens(one.seal())
    assert one.opens(other.seal())


def test_purposes_have_keys_of_their_own():
    one = World()
    notes = World(one.store, purpose="notes")
    notes.seal()
    with pytest.raises(DecryptionError):
        notes.opens(one.seal())
    notes.shred()
    assert one.opens(one.seal())


def test_race_of_first_writers_in_many_processes_writes_under_one_key():
    for turn in range(5):
        store, subject = MemorySubjectKeys(), f"patient-{turn}"
        worlds = [World(store) for _ in range(8)]
        cells = StoreContract().race(*(lambda w=w, s=subject: w.seal(s) for w in worlds))
        assert all(world.opens(cell, subject) for world in worlds for cell in cells)


@pytest.mark.parametrize(
    ("subject", "error"), [("", ValueError), (7, TypeError), (None, TypeError), ([], TypeError)]
)
def test_an_id_that_is_none_is_refused(world, subject, error):
    for verb in (world.keys.writing, world.keys.reading, world.keys.receipt, world.shred):
        with pytest.raises(error):
            verb(subject)
    assert not world.events


# -- what a hostile store hands out -------------------------------------------------------------------------------


def test_a_store_that_hands_out_another_person_s_key(world):
    cell = world.seal("patient-1")
    world.seal("patient-2")
    fresh = World(world.store)
    world.store._keys["subject", "patient-1"], world.store._keys["subject", "patient-2"] = (
        world.store._keys["subject", "patient-2"],
        world.store._keys["subject", "patient-1"],
    )
    for subject in ("patient-1", "patient-2"):
        for verb in (fresh.keys.writing, fresh.keys.reading):
            with pytest.raises(DecryptionError) as caught:
                verb(subject)
            assert caught.value.reason == "not_authentic"
    assert world.opens(cell)


@pytest.mark.parametrize("change", ["commitment", "purpose", "truncated", "key_id", "nothing"])
def test_a_store_that_hands_out_an_edited_row(world, change):
    world.seal("patient-1")
    row = world.store._keys["subject", "patient-1"]
    World(world.store, purpose="notes").seal("patient-1")
    edited = {
        "commitment": replace(row, commitment=bytes(32)),
        "purpose": world.store._keys["notes", "patient-1"],
        "truncated": replace(row, wrapped=row.wrapped[:-1]),
        "key_id": replace(row, key_id=row.key_id ^ 1),
        "nothing": replace(row, wrapped=None),
    }
    world.store._keys["subject", "patient-1"] = edited[change]
    for verb in (World(world.store).keys.writing, World(world.store).keys.reading):
        with pytest.raises(DecryptionError):
            verb("patient-1")


# -- remembering --------------------------------------------------------------------------------------------------


def test_a_key_in_use_asks_the_store_once_a_minute(world):
    cell = world.seal()
    asked = world.store.asked
    for _ in range(59):
        world.now += 1
        assert world.opens(cell)
        world.seal()
    assert world.store.asked == asked
    world.now += 1
    assert world.opens(cell)
    assert world.store.asked == asked + 1


def test_remember_nothing_asks_each_time():
    world = World(remember=timedelta(0))
    world.seal()
    asked = world.store.asked
    world.seal()
    world.seal()
    assert world.store.asked == asked + 2


def test_the_age_of_an_answer_counts_from_the_question():
    """The key was erased elsewhere while a slow store was answering: the answer is as old as the question."""
    world = World()
    world.seal()
    slow = World(world.store)

    def wait() -> None:
        slow.now += 50

    world.store.before = wait
    slow.seal()
    world.store.before = lambda: None
    asked = world.store.asked
    slow.now += 11
    slow.seal()
    assert world.store.asked == asked + 1


def test_no_more_keys_are_remembered_than_allowed():
    world = World(cached=10)
    for number in range(100):
        world.seal(f"patient-{number}")
        assert len(world.keys._hot) + len(world.keys._cold) <= 10


def test_the_last_used_half_is_remembered():
    world = World(cached=10)
    for number in range(8):
        world.seal(f"patient-{number}")
    asked = world.store.asked
    for number in (3, 4, 5, 6, 7):
        world.seal(f"patient-{number}")
    assert world.store.asked == asked
    for number in range(50):  # one that is in use stays, whatever passes by
        world.seal(f"visitor-{number}")
        asked = world.store.asked
        world.seal("patient-7")
        assert world.store.asked == asked


def test_a_list_of_people_costs_one_look_at_the_store():
    world = World()
    people = [f"patient-{number}" for number in range(100)]
    cells = {who: world.seal(who) for who in people}
    fresh = World(world.store)
    fresh.seal(people[3])
    asked = fresh.store.asked
    fresh.keys.preload([*people, people[0], "nobody"])
    assert fresh.store.asked == asked + 1
    assert all(fresh.opens(cells[who], who) for who in people)
    fresh.keys.preload(people)  # all are remembered
    assert fresh.store.asked == asked + 1
    with pytest.raises(DecryptionError):
        fresh.keys.reading("nobody")
    assert ("subject", "nobody") not in fresh.store._keys
    fresh.now += 60
    fresh.keys.preload(people[:2])
    fresh.seal(people[0])
    assert fresh.store.asked == asked + 3


def test_preload_leaves_what_is_wrong_to_the_use():
    world = World()
    cell, other, edited = (world.seal(who) for who in ("patient-1", "patient-2", "patient-3"))
    world.shred("patient-2")
    key = world.store._keys["subject", "patient-3"]
    world.store._keys["subject", "patient-3"] = replace(key, commitment=bytes(32))
    fresh = World(world.store)
    fresh.keys.preload(["patient-1", "patient-2", "patient-3"])
    assert fresh.opens(cell) and not fresh.opens(other, "patient-2")
    with pytest.raises(DecryptionError):
        fresh.keys.reading("patient-3").decrypt(edited, b"place")
    for ids, error in (("patient-1", TypeError), ([7], TypeError), ([""], ValueError)):
        with pytest.raises(error):
            fresh.keys.preload(ids)
    world.store.broken = True
    with pytest.raises(StoreError):
        fresh.keys.preload(["patient-4"])


def test_preload_remembers_no_more_than_is_allowed_and_nothing_of_what_it_asked_for_is_pushed_out():
    people = [f"patient-{number}" for number in range(30)]
    store = World().store
    for who in people:
        World(store).seal(who)
    for used in range(12):  # whatever was remembered before
        world = World(store, cached=10)
        for who in people[:used]:
            world.seal(who)
        world.keys.preload(people[3:20])
        assert len(world.keys._hot) + len(world.keys._cold) <= 10
        asked = store.asked
        for who in people[3:8]:
            world.keys.reading(who)
        assert store.asked == asked
    forgetful = World(store, remember=timedelta(0))
    forgetful.keys.preload(people)
    assert not forgetful.keys._hot


def test_a_shredding_while_many_are_fetched_is_not_undone():
    world = World()
    cell = world.seal("patient-1")
    fresh = World(world.store)
    world.store.after = lambda: (setattr(world.store, "after", lambda: None), fresh.shred("patient-1"))
    fresh.keys.preload(["patient-1", "patient-2"])
    assert not fresh.opens(cell)


def test_a_failing_store_is_a_failure_and_what_is_remembered_still_works(world):
    cell = world.seal()
    world.store.broken = True
    assert world.opens(cell)
    for verb in (world.keys.writing, world.keys.reading):
        with pytest.raises(StoreError):
            verb("patient-2")
    world.now += 61
    with pytest.raises(StoreError):
        world.opens(cell)


# -- erasure ------------------------------------------------------------------------------------------------------


def test_erased_at_once_in_this_process(world):
    cell = world.seal()
    world.shred()
    for verb in (world.keys.writing, world.keys.reading):
        with pytest.raises(SubjectErased) as caught:
            verb("patient-1")
        assert "patient-1" not in str(caught.value)
    assert not world.opens(cell)


def test_erased_in_other_processes_within_remember():
    here = World()
    there = World(here.store)
    cell = here.seal()
    assert there.opens(cell)
    here.shred()
    there.now += 59
    assert there.opens(cell), "a key is remembered: the documentation says so"
    there.now += 1
    assert not there.opens(cell)
    with pytest.raises(SubjectErased):
        there.seal()


def test_a_thread_that_holds_the_cipher_may_finish(world):
    """Documented, since it cannot be otherwise: a value that is being read while its key dies is read."""
    cell = world.seal()
    cipher = world.keys.reading("patient-1")
    world.shred()
    assert cipher.decrypt(cell, b"place") == b"value"


def test_a_key_that_was_read_just_before_the_shredding_is_not_remembered_after_it(world):
    """Between the store's answer and its being kept, the person is erased: the answer must not come back to life."""
    cell = world.seal()
    world.now += 61
    reached, go_on, results = threading.Event(), threading.Event(), []

    def stop() -> None:
        world.store.after = lambda: None
        reached.set()
        go_on.wait(30)

    world.store.after = stop
    thread = threading.Thread(target=lambda: results.append(world.opens(cell)))
    thread.start()
    assert reached.wait(30)
    world.shred()
    go_on.set()
    thread.join(30)
    assert results == [False]
    assert "patient-1" not in world.keys._hot
    assert not world.opens(cell)


def test_an_erased_person_gets_no_new_key(world):
    world.seal()
    world.shred()
    for _ in range(3):
        with pytest.raises(SubjectErased):
            world.seal()
    with pytest.raises(SubjectErased):
        World(world.store).seal()


def test_a_person_without_a_key_is_erased_too(world):
    receipt = world.shred()
    assert (receipt.key_id, receipt.fingerprint, receipt.already_erased) == (None, None, False)
    with pytest.raises(SubjectErased):
        world.seal()
    assert world.shred().already_erased


def test_the_receipt_says_which_key_and_when(world):
    cell = world.seal()
    stored = world.store.get("subject", "patient-1")
    receipt = world.shred()
    assert receipt == ShredReceipt(
        purpose="subject",
        subject="patient-1",
        erased_at=world.clock(),
        key_id=int.from_bytes(cell[1:5], "big"),
        fingerprint=stored.commitment.hex(),
        already_erased=False,
    )
    with pytest.raises(FrozenInstanceError):
        receipt.subject = "patient-2"
    assert "wrapped" not in repr(receipt)


def test_a_second_call_returns_the_first_one_s_receipt(world):
    world.seal()
    assert world.keys.receipt("patient-1") is None
    assert world.keys.receipt("nobody") is None
    first = world.shred()
    world.clock.advance(timedelta(days=30))
    again = replace(first, already_erased=True)
    assert world.shred() == again
    assert World(world.store).shred() == again
    assert world.keys.receipt("patient-1") == again


# -- the audit log ------------------------------------------------------------------------------------------------


def test_the_log_is_told_before_and_after(world):
    world.seal()
    erased_at = []

    def emit(event: SecurityEvent) -> None:
        erased_at.append(world.store.get("subject", "patient-1").erased_at)
        world.events.append(event)

    world.emit = emit
    receipt = world.shred()
    assert world.events.names == ["subject.erasure_begun", "subject.erased"]
    assert erased_at == [None, receipt.erased_at]
    begun, erased = world.events
    for event in (begun, erased):
        assert (event.actor, event.source, event.subjects) == (ADMIN, AT, ("patient-1",))
        assert event.details["key_id"] == receipt.key_id
        assert event.details["fingerprint"] == receipt.fingerprint
        assert event.details["purpose"] == "subject"
    assert erased.details["erased_at"] == receipt.erased_at.isoformat()
    assert erased.details["already_erased"] is False


def test_a_second_call_is_recorded_as_such(world):
    world.seal()
    world.shred()
    world.events.clear()
    world.shred()
    assert world.events.names == ["subject.erased"]
    assert world.events.last.details["already_erased"] is True


def unavailable(name: Event) -> Callable[[SecurityEvent], None]:
    def emit(event: SecurityEvent) -> None:
        if event.name == name:
            raise AuditUnavailable("the audit log did not acknowledge")

    return emit


def test_nothing_is_erased_where_the_log_does_not_acknowledge_the_beginning(world):
    cell = world.seal()
    world.emit = unavailable(Event.SUBJECT_ERASURE_BEGUN)
    with pytest.raises(AuditUnavailable):
        world.shred()
    assert world.opens(cell)
    assert world.keys.receipt("patient-1") is None


def test_where_the_log_does_not_acknowledge_the_end_it_is_erased_and_told_by_the_next_call(world):
    cell = world.seal()
    world.emit = unavailable(Event.SUBJECT_ERASED)
    with pytest.raises(AuditUnavailable):
        world.shred()
    assert not world.opens(cell)
    world.clock.advance(timedelta(hours=1))
    world.emit = world.events
    receipt = world.shred()
    assert receipt.erased_at == world.clock() - timedelta(hours=1)
    assert world.events.names == ["subject.erased"]
    assert world.events.last.details["fingerprint"] == receipt.fingerprint is not None


@pytest.mark.parametrize("done", [True, False])
def test_where_the_store_s_answer_is_lost_the_key_is_forgotten_and_the_next_call_settles_it(world, done):
    world.seal()

    class Lost(Counting):
        def erase(self, purpose, subject, *, now) -> Erased:
            if done:
                super().erase(purpose, subject, now=now)
            raise StoreError("the connection broke")

    store, world.store.__class__ = world.store.__class__, Lost
    with pytest.raises(StoreError):
        world.shred()
    assert "patient-1" not in world.keys._hot
    assert world.events.names == ["subject.erasure_begun"]
    world.store.__class__ = store
    assert world.shred().already_erased is done


def test_race_of_shreddings_has_one_that_did_it(world):
    for turn in range(5):
        subject = f"patient-{turn}"
        world.seal(subject)
        receipts = StoreContract().race(lambda subject=subject: world.shred(subject))
        assert sum(not receipt.already_erased for receipt in receipts) == 1
        assert len({replace(receipt, already_erased=True) for receipt in receipts}) == 1


def test_race_of_writers_and_a_shredding_leaves_nothing_that_opens(world):
    for turn in range(20):
        subject = f"patient-{turn}"
        if turn % 2:
            world.seal(subject)

        def write(subject=subject) -> bytes | None:
            try:
                return world.seal(subject)
            except SubjectErased:
                return None

        results = StoreContract().race(
            *[write] * 4, lambda subject=subject: world.shred(subject), *[write] * 3
        )
        cells = [result for result in results if isinstance(result, bytes)]
        assert not any(world.opens(cell, subject) for cell in cells)
        assert subject not in world.keys._hot
        assert subject not in world.keys._cold


# -- wrapping keys ------------------------------------------------------------------------------------------------


def test_the_wrapping_keys_may_be_a_name_of_a_keyring_that_is_loaded_later():
    ring = Keyring()
    world = World(keys=ring["phi"])
    with pytest.raises(ConfigurationError, match="not loaded"):
        world.seal()
    assert world.store.get("subject", "patient-1") is None
    ring.load(lambda: {"phi": KEYS})
    assert World(world.store).opens(world.seal())


def test_a_promoted_wrapping_key_wraps_what_comes_and_old_keys_still_open():
    current = [KEYS]
    ring = Keyring(lambda: {"phi": current[0]})
    world = World(keys=ring["phi"], remember=timedelta(0))
    cell = world.seal()
    old = world.store.get("subject", "patient-1").wrapped
    assert not world.keys.needs_rewrap(old)
    grown = KEYS.add("AES256_GCM")
    current[0] = grown.promote(grown.info()[-1].id)
    ring.reload()
    assert world.opens(cell)
    assert world.keys.needs_rewrap(old)
    world.seal("patient-2")
    assert not world.keys.needs_rewrap(world.store.get("subject", "patient-2").wrapped)


@pytest.mark.parametrize(
    "named", [{"cached": 1}, {"remember": timedelta(hours=2)}, {"remember": -timedelta(1)}, {"purpose": ""}]
)
def test_settings_that_make_no_sense(named):
    with pytest.raises(ConfigurationError):
        World(**named)


def test_keys_that_are_not_for_encryption():
    with pytest.raises(ConfigurationError):
        World(keys=Keyset.generate("HMAC_SHA256_PRF"))


# -- nothing shows ------------------------------------------------------------------------------------------------


def test_no_key_shows(world):
    world.seal()
    stored = world.store.get("subject", "patient-1")
    assert repr(world.keys) == "SubjectKeys(hidden)"
    with pytest.raises(TypeError):
        copy.copy(world.keys)
    assert str(stored.wrapped) not in repr(stored)
    world.store._keys["subject", "patient-1"] = replace(stored, wrapped=stored.wrapped[:-1])
    with pytest.raises(DecryptionError) as caught:
        World(world.store).seal()
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=False).format())
    assert stored.wrapped.hex() not in shown
    assert caught.value.__context__ is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_while_the_lock_is_held_does_not_hang_the_child(world):
    world.seal()
    with world.keys._lock:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                world.seal("patient-2")
                code = 0
            finally:
                os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


# -- all of it at once, against a model ---------------------------------------------------------------------------

_PEOPLE = st.sampled_from(["ann", "bob", "cat"])


class Erasures(RuleBasedStateMachine):
    """Two processes over one store: nothing that opens after `remember` is of somebody who was erased."""

    def __init__(self) -> None:
        super().__init__()
        self.here = World(cached=2)
        self.there = World(self.here.store, cached=2)
        self.cells: list[tuple[str, bytes]] = []
        self.erased: dict[str, float] = {}

    @rule(who=_PEOPLE, other=st.booleans())
    def write(self, who: str, other: bool) -> None:
        world = self.there if other else self.here
        try:
            cell = world.seal(who)
        except SubjectErased:
            assert who in self.erased
            return
        if who in self.erased:
            assert world is self.there
            assert world.now - self.erased[who] < 60
        else:
            self.cells.append((who, cell))

    @rule(who=_PEOPLE)
    def shred(self, who: str) -> None:
        receipt = self.here.shred(who)
        assert receipt.already_erased == (who in self.erased)
        self.erased.setdefault(who, self.here.now)

    @rule(seconds=st.integers(1, 61))
    def wait(self, seconds: int) -> None:
        self.here.now = self.there.now = self.here.now + seconds

    @invariant()
    def what_opens_is_alive(self) -> None:
        for who, cell in self.cells[-5:]:
            assert self.here.opens(cell, who) == (who not in self.erased)
            if who not in self.erased or self.there.now - self.erased[who] >= 60:
                assert self.there.opens(cell, who) == (who not in self.erased)


TestErasures = Erasures.TestCase
TestErasures.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def test_the_system_itself_may_shred(world):
    assert world.keys.shred("patient-1", actor=SYSTEM).key_id is None
    assert world.events.last.actor == SYSTEM
