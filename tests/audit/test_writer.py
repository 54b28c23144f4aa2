from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from portalsec.audit.log import Receipt
from portalsec.audit.ports import Entry, StoredCheckpoint
from portalsec.audit.record import decode
from portalsec.audit.writer import AuditWriter, Batch
from portalsec.errors import AuditUnavailable, ConfigurationError, StoreError, Tampered
from portalsec.events import Event, Outcome, SecurityEvent
from portalsec.testing import SequentialIds
from tests.audit.support import VERIFIER, OpenStore, make_log, read_event

HOUR = timedelta(hours=1)
PATIENCE = 20  # seconds until a test that hangs fails instead


class Gate(OpenStore):
    """A store whose next append waits until the test opens the gate."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.entered = threading.Event()
        self.open = threading.Event()
        self.open.set()
        self.failure: Exception | None = None
        self.checkpoint_failure: Exception | None = None

    def append(self, entries: Sequence[Entry]) -> None:
        self.entered.set()
        assert self.open.wait(PATIENCE)
        self.batches.append(len(entries))
        if self.failure is not None:
            raise self.failure
        super().append(entries)

    def save_checkpoint(self, checkpoint: StoredCheckpoint) -> bool:
        if self.checkpoint_failure is not None:
            raise self.checkpoint_failure
        return super().save_checkpoint(checkpoint)


class Outcomes(list[Any]):
    """An `OnDurable` that can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()

    def __call__(self, outcome: Receipt | BaseException) -> None:
        with self._changed:
            self.append(outcome)
            self._changed.notify_all()

    def wait(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self) >= count, PATIENCE)


def make(store: OpenStore, *, interval: timedelta = HOUR, **changes: Any) -> AuditWriter:
    log = changes.pop("log", None) or make_log(store)
    return AuditWriter(log, checkpoint_interval=interval, **changes)


def test_an_event_is_durable_before_its_callback() -> None:
    store = OpenStore()
    seen: list[tuple[int, Any]] = []
    writer = make(store)
    writer.submit(read_event(), lambda outcome: seen.append((store.calls.count("append"), outcome)))
    writer.close()
    ((appended, receipt),) = seen
    assert appended == 1
    assert isinstance(receipt, Receipt)
    assert receipt.id in store.rows[0].body.decode()


def test_what_waits_during_one_write_shares_the_next() -> None:
    store, outcomes = Gate(), Outcomes()
    writer = make(store)
    store.open.clear()
    writer.submit(read_event(), outcomes)
    assert store.entered.wait(PATIENCE)
    for _ in range(64):
        writer.submit(read_event(), outcomes)
    store.open.set()
    outcomes.wait(65)
    writer.close()
    assert store.batches == [1, 64]
    assert len({outcome.id for outcome in outcomes}) == 65


def test_a_batch_is_bounded() -> None:
    store, outcomes = Gate(), Outcomes()
    writer = make(store, max_batch=10)
    store.open.clear()
    writer.submit(read_event(), outcomes)
    assert store.entered.wait(PATIENCE)
    for _ in range(25):
        writer.submit(read_event(), outcomes)
    store.open.set()
    writer.close()
    assert store.batches == [1, 10, 10, 5]


def test_one_call_wakes_a_whole_batch() -> None:
    store, outcomes = Gate(), Outcomes()
    batches: list[int] = []

    def wake(batch: Batch) -> None:
        batches.append(len(batch))
        for on_durable, outcome in batch:
            on_durable(outcome)

    writer = make(store, on_batch=wake)
    store.open.clear()
    writer.submit(read_event(), outcomes)
    assert store.entered.wait(PATIENCE)
    for _ in range(30):
        writer.submit(read_event(), outcomes)
    store.open.set()
    writer.close()
    assert batches == [1, 30]
    assert len(outcomes) == 31


def test_a_failed_write_reaches_every_waiter_of_the_batch_and_the_lane_goes_on() -> None:
    store, outcomes = Gate(), Outcomes()
    writer = make(store)
    store.failure = StoreError("disk full")
    writer.submit(read_event(), outcomes)
    outcomes.wait(1)
    assert isinstance(outcomes[0], AuditUnavailable)
    store.failure = RuntimeError("a bug in the store")
    writer.submit(read_event(), outcomes)
    outcomes.wait(2)
    assert isinstance(outcomes[1], AuditUnavailable)
    assert isinstance(outcomes[1].__cause__, RuntimeError)
    store.failure = None
    writer.submit(read_event(), outcomes)
    writer.close()
    assert isinstance(outcomes[2], Receipt)
    assert store.size() == 1


def test_record_waits_and_raises_its_own_error() -> None:
    store = Gate()
    writer = make(store)
    receipt = writer.record(read_event())
    store.failure = StoreError("disk full")
    with pytest.raises(AuditUnavailable) as caught:
        writer.emit(read_event())
    assert isinstance(caught.value.__cause__, AuditUnavailable)
    store.failure = None
    writer.close()
    assert receipt.id in store.rows[0].body.decode()


def test_a_store_that_never_answers_is_audit_unavailable() -> None:
    store = Gate()
    writer = make(store, timeout=timedelta(milliseconds=10))
    store.open.clear()
    with pytest.raises(AuditUnavailable, match="in time"):
        writer.record(read_event())
    store.open.set()
    writer.close()


def test_a_lane_too_far_behind_refuses() -> None:
    store, outcomes = Gate(), Outcomes()
    writer = make(store, max_waiting=3)
    store.open.clear()
    writer.submit(read_event(), outcomes)
    assert store.entered.wait(PATIENCE)
    for _ in range(3):
        writer.submit(read_event(), outcomes)
    with pytest.raises(AuditUnavailable, match="too far behind"):
        writer.submit(read_event(), outcomes)
    store.open.set()
    writer.close()
    assert len(outcomes) == 4


def test_an_event_that_breaks_a_rule_is_the_callers_and_stops_nobody() -> None:
    store, outcomes = OpenStore(), Outcomes()
    writer = make(store)
    with pytest.raises(ConfigurationError):
        writer.submit(SecurityEvent(name="no.such"), outcomes)
    writer.submit(read_event(), outcomes)
    writer.close()
    assert len(outcomes) == 1


def test_a_callback_that_fails_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    store, outcomes = OpenStore(), Outcomes()
    writer = make(store)

    def bad(outcome: object) -> None:
        raise RuntimeError("mine")

    writer.submit(read_event(), bad)
    writer.submit(read_event(), outcomes)
    writer.close()
    assert len(outcomes) == 1
    assert "callback of the audit writer failed" in caplog.text


def test_a_hook_that_fails_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    store, outcomes = OpenStore(), Outcomes()
    writer = make(store)

    called = threading.Event()

    def closed(batch: Batch) -> None:
        called.set()
        raise RuntimeError("Event loop is closed")

    healthy, writer.on_batch = writer.on_batch, closed
    writer.submit(read_event(), outcomes)
    assert called.wait(PATIENCE)
    writer.on_batch = healthy
    writer.submit(read_event(), outcomes)
    writer.close()
    assert len(outcomes) == 1
    assert "hook of the audit writer failed" in caplog.text


# -- checkpoints --------------------------------------------------------------------------------------------------


class Ticks:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_at_most_one_checkpoint_in_an_interval_and_only_for_news() -> None:
    store, ticks = OpenStore(), Ticks()
    writer = make(store, interval=timedelta(seconds=10), monotonic=ticks)
    for _ in range(5):
        writer.record(read_event())
    ticks.now += 9.9
    writer.record(read_event())
    writer.close()
    # The first event at once, the last at the end; nothing between, where the interval had not passed.
    assert len(store.notes) == 2
    assert store.notes[-1].size == 6


def test_one_checkpoint_in_each_interval_that_passes() -> None:
    ticks, kept = Ticks(), threading.Semaphore(0)
    saved_at: list[float] = []

    class Told(OpenStore):
        def save_checkpoint(self, checkpoint: StoredCheckpoint) -> bool:
            saved_at.append(ticks.now)
            kept.release()
            return super().save_checkpoint(checkpoint)

    writer = make(Told(), interval=timedelta(seconds=10), monotonic=ticks)
    for _ in range(3):
        writer.record(read_event())
        assert kept.acquire(timeout=PATIENCE)
        ticks.now += 5
        writer.record(read_event())
        writer.record(read_event())
        ticks.now += 5
    writer.close()
    *periodic, _at_close = saved_at
    assert len(periodic) >= 3
    assert all(after - before >= 10 for before, after in itertools.pairwise(periodic))


def test_close_drains_and_signs_everything() -> None:
    store, outcomes = Gate(), Outcomes()
    writer = make(store)
    store.open.clear()
    for _ in range(100):
        writer.submit(read_event(), outcomes)
    closing = threading.Thread(target=writer.close)
    closing.start()
    store.open.set()
    closing.join(PATIENCE)
    assert not closing.is_alive()
    assert len(outcomes) == 100
    assert VERIFIER.verify(store.notes[-1].note).size == 100


def test_after_close_nothing_is_taken() -> None:
    writer = make(OpenStore())
    writer.close()
    writer.close()
    with pytest.raises(AuditUnavailable, match="closed"):
        writer.emit(read_event())


def test_close_without_an_event_writes_nothing() -> None:
    store = OpenStore()
    make(store).close()
    assert store.calls == []


def test_a_checkpoint_that_fails_is_tried_again_and_told_at_close() -> None:
    store = Gate()
    store.checkpoint_failure = StoreError("disk full")
    writer = make(store)
    writer.record(read_event())
    with pytest.raises(StoreError, match="disk full"):
        writer.close()
    # The event is durable all the same, and so is that it was not signed.
    assert store.size() + len(store.waiting) == 2

    store = Gate()
    store.checkpoint_failure = StoreError("disk full")
    writer = make(store)
    writer.record(read_event())
    writer.record(read_event())
    store.checkpoint_failure = None
    writer.close()
    assert writer.problem is None
    assert store.notes[-1].size in (2, 3)  # with the event that says so, if the first try came that early


def test_auz_07_a_tampered_log_is_told_and_never_signed() -> None:
    store = OpenStore()
    log = make_log(store)
    log.record(read_event())
    log.checkpoint()
    del store.rows[0]
    writer = make(store, interval=timedelta(0), log=make_log(store, new_id=SequentialIds(start=50)))
    writer.record(read_event())
    writer.record(read_event())
    with pytest.raises(Tampered):
        writer.close()
    assert isinstance(writer.problem, Tampered)
    assert len(store.notes) == 1
    assert "record" not in str(writer.problem)


class Signed(OpenStore):
    """Counts what is signed, and has a row that no store of ours would write for as long as ``hurt`` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.hurt = False
        self.tried = threading.Semaphore(0)
        self.kept = threading.Semaphore(0)

    def integrate(self) -> int:
        self.tried.release()
        if self.hurt:
            raise Tampered("A waiting audit entry is not what was written.")
        return super().integrate()

    def save_checkpoint(self, checkpoint: StoredCheckpoint) -> bool:
        kept = super().save_checkpoint(checkpoint)
        self.kept.release()
        return kept


def names(store: OpenStore) -> list[str]:
    bodies = [row.body for row in store.rows.values()] + [entry.body for entry in store.waiting]
    return [decode(body).name for body in bodies]


def test_auz_07_a_moment_of_damage_does_not_end_signing() -> None:
    store = Signed()
    writer = make(store, interval=timedelta(milliseconds=1))
    writer.record(read_event())
    assert store.kept.acquire(timeout=PATIENCE)
    store.hurt = True
    while store.tried.acquire(blocking=False):
        pass
    writer.record(read_event())
    for _ in range(3):  # without another event to wake it
        assert store.tried.acquire(timeout=PATIENCE)
    assert isinstance(writer.problem, Tampered)
    store.hurt = False
    assert store.kept.acquire(timeout=PATIENCE)
    writer.close()
    assert writer.problem is None
    assert VERIFIER.verify(store.notes[-1].note).size == store.size() == 3


def test_auz_07_that_signing_stopped_is_recorded_once_in_the_log_itself() -> None:
    store = Signed()
    writer = make(store, interval=timedelta(milliseconds=1))
    store.hurt = True
    for _ in range(4):
        writer.record(read_event())
        assert store.tried.acquire(timeout=PATIENCE)
    store.hurt = False
    assert store.kept.acquire(timeout=PATIENCE)
    store.hurt = True  # a second time is a second event
    writer.record(read_event())
    with pytest.raises(Tampered):
        writer.close()
    store.hurt = False
    store.integrate()
    assert names(store).count(Event.SYSTEM_CONTROL_FAILED) == 2
    record = next(decode(row.body) for row in store.rows.values() if b"control_failed" in row.body)
    assert record.outcome is Outcome.ERROR
    assert record.actor.type == "system"
    assert record.resource is not None
    assert record.resource.type == "audit"


def test_a_log_that_cannot_be_written_stops_no_thread_over_its_own_alarm() -> None:
    store, outcomes = Gate(), Outcomes()
    writer = make(store, interval=timedelta(milliseconds=1))
    store.checkpoint_failure = StoreError("disk full")
    store.open.clear()
    writer.submit(read_event(), outcomes)
    assert store.entered.wait(PATIENCE)
    store.open.set()
    outcomes.wait(1)
    store.failure = StoreError("disk full")
    writer.submit(read_event(), outcomes)
    outcomes.wait(2)
    store.failure = None
    writer.submit(read_event(), outcomes)
    outcomes.wait(3)
    with pytest.raises(StoreError):
        writer.close()
    assert isinstance(outcomes[2], Receipt)


def test_a_damaged_log_is_not_read_again_and_again() -> None:
    """Each try may read the whole log: they grow apart, up to five minutes."""
    store, ticks = Signed(), Ticks()
    store.hurt = True
    writer = make(store, interval=timedelta(seconds=10), monotonic=ticks)
    writer._news = True  # without its thread: no test can tell when that one looks
    gaps = []
    for _ in range(8):
        writer._checkpoint()
        gaps.append(writer._until_due())
    store.hurt = False
    writer._checkpoint()
    assert writer._until_due() is None
    assert gaps == [10, 20, 40, 80, 160, 300, 300, 300]


def test_an_unexpected_failure_of_a_checkpoint_does_not_end_the_lane() -> None:
    store, outcomes = Gate(), Outcomes()
    store.checkpoint_failure = RuntimeError("a bug")
    writer = make(store, interval=timedelta(0))
    for _ in range(3):
        writer.record(read_event())
    with pytest.raises(RuntimeError):
        writer.close()
    assert store.size() == 4  # three, and that signing failed
    assert not outcomes


# -- threads and forks --------------------------------------------------------------------------------------------


def test_many_threads_each_get_their_own_receipt() -> None:
    store = OpenStore()
    writer = make(store)
    ids: list[str] = []

    def work() -> None:
        ids.extend(writer.record(read_event()).id for _ in range(25))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    writer.close()
    assert len(set(ids)) == 200
    assert store.size() == store.notes[-1].size == 200


def test_after_a_fork_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child has neither the thread nor a connection of its own; a lock held at the fork never opens."""
    writer = make(OpenStore())
    writer.record(read_event())
    here = os.getpid()
    with writer._changed:  # as if another thread had held it when the process forked
        monkeypatch.setattr(os, "getpid", lambda: here + 1)
        with pytest.raises(ConfigurationError, match="build the portal in each worker process"):
            writer.emit(read_event())
        writer.close()  # in the child: nothing to do, and nothing to wait for
        monkeypatch.undo()
    writer.close()


def test_the_thread_does_not_keep_a_process_alive() -> None:
    writer = make(OpenStore())
    writer.record(read_event())
    assert writer._thread is not None
    assert writer._thread.daemon
    writer.close()
    assert not writer._thread.is_alive()


@pytest.mark.parametrize(
    "changes",
    [
        {"interval": timedelta(seconds=-1)},
        {"timeout": timedelta(0)},
        {"max_batch": 0},
        {"max_waiting": 0},
    ],
)
def test_settings_that_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        make(OpenStore(), **changes)
