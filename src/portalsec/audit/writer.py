"""The writer lane: one thread that makes events durable, many at a time.

A disk acknowledges a few thousand times a second, whoever asks; so whoever waits while one batch is being written
shares the next one. The thread also signs the periodic checkpoint, between two batches.

Callbacks run on the writer's thread. An adapter for an event loop sets `AuditWriter.on_batch` and wakes all of a
batch's waiters by one call into its loop.

Signing is tried again for as long as it fails, at growing distances: an operator may mend what was damaged, and a
moment of damage must not leave everything after it unsigned. The log itself refuses to sign over a real change.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeAlias

from portalsec.audit.log import AuditLog, Prepared, Receipt
from portalsec.errors import AuditUnavailable, ConfigurationError, PortalsecError, StoreError
from portalsec.events import SYSTEM, Event, Outcome, ResourceRef, SecurityEvent

__all__ = ["AuditWriter", "Batch", "OnDurable"]

OnDurable: TypeAlias = Callable[[Receipt | BaseException], None]
"""Told the receipt when the event is durable, or the error when that is not known."""

Batch: TypeAlias = Sequence[tuple[OnDurable, Receipt | BaseException]]

_log = logging.getLogger("portalsec.audit")

# Each try may read the whole log again, so tries grow apart; and stay well within the time after which verification
# calls entries unsigned for too long (`portalsec.audit.verify.UNSIGNED_LIMIT`).
_SOONEST = 0.1
_LATEST = 300.0

_NOT_SIGNED = SecurityEvent(
    name=Event.SYSTEM_CONTROL_FAILED,
    outcome=Outcome.ERROR,
    actor=SYSTEM,
    resource=ResourceRef(type="audit"),
    details={"control": "checkpoint"},
)


def _call_each(batch: Batch) -> None:
    for on_durable, outcome in batch:
        try:
            on_durable(outcome)
        except Exception:  # noqa: BLE001
            # One waiter's bug must not keep the others waiting, nor end the thread.
            _log.exception("a callback of the audit writer failed")


class AuditWriter:
    """One lane into one `AuditLog`. Safe for threads; not across a fork: build it in the process that uses it.

    Args:
        log: where to.
        checkpoint_interval: a checkpoint is signed at most this often, and only while there is news.
        on_batch: hands outcomes to their waiters; by default each callback is called in turn.
        max_batch: events of one append.
        max_waiting: more than this and `submit` refuses, since a store that far behind is not acknowledging.
        timeout: how long `record` and `emit` wait.
        monotonic: seconds that never run backwards; replaced in tests.
    """

    def __init__(
        self,
        log: AuditLog,
        *,
        checkpoint_interval: timedelta,
        on_batch: Callable[[Batch], None] = _call_each,
        max_batch: int = 256,
        max_waiting: int = 10_000,
        timeout: timedelta = timedelta(seconds=10),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if checkpoint_interval < timedelta(0) or timeout <= timedelta(0) or max_batch < 1 or max_waiting < 1:
            raise ConfigurationError(
                "the audit writer's interval, timeout and limits are durations and counts above zero"
            )
        self.on_batch = on_batch
        self._log = log
        self._interval = checkpoint_interval.total_seconds()
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._timeout = timeout.total_seconds()
        self._monotonic = monotonic
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Prepared, OnDurable]] = deque()
        self._closing = False
        self._news = False
        self._last_checkpoint: float | None = None
        self._problem: Exception | None = None
        self._failures = 0  # checkpoints in a row that could not be signed
        self._thread: threading.Thread | None = None

    @property
    def log(self) -> AuditLog:
        return self._log

    @property
    def problem(self) -> Exception | None:
        """Why the last checkpoint could not be signed, or None. It is tried again, also after `Tampered`."""
        return self._problem

    def submit(self, event: SecurityEvent, on_durable: OnDurable) -> None:
        """Queue ``event``. ``on_durable`` is called exactly once if and only if this returns.

        Raises:
            ConfigurationError: the event breaks a rule, or this process was forked after the writer was built.
            AuditUnavailable: the writer is closed or too far behind.
        """
        # Before any lock: a lock that another thread held at the fork stays locked in the child for ever. And a
        # database connection that crossed a fork is two writers on one handle.
        if os.getpid() != self._pid:
            raise ConfigurationError(
                "this audit writer was built before a fork and has no thread here: build the portal in each worker "
                "process (for gunicorn, without --preload or in post_fork)"
            )
        prepared = self._log.prepare(event)
        with self._changed:
            if self._closing:
                raise AuditUnavailable("The audit writer is closed.")
            if len(self._waiting) >= self._max_waiting:
                raise AuditUnavailable("The audit writer is too far behind.")
            self._waiting.append((prepared, on_durable))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="portalsec-audit", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def record(self, event: SecurityEvent) -> Receipt:
        """`submit` and wait; for threads. Never call it on an event loop's thread.

        Raises:
            AuditUnavailable: not known to be durable within ``timeout``.
        """
        done = threading.Event()
        outcomes: list[Receipt | BaseException] = []

        def settle(outcome: Receipt | BaseException) -> None:
            outcomes.append(outcome)
            done.set()

        self.submit(event, settle)
        if not done.wait(self._timeout):
            raise AuditUnavailable("The audit log did not acknowledge in time.")
        outcome = outcomes[0]
        if isinstance(outcome, BaseException):
            # One error is shared by the whole batch; each thread raises its own.
            raise AuditUnavailable(str(outcome)) from outcome
        return outcome

    def emit(self, event: SecurityEvent) -> None:
        """`record` in the shape of `portalsec.typing.Emit`."""
        self.record(event)

    def close(self) -> None:
        """Write what is waiting, sign a last checkpoint, end the thread. A second call does nothing.

        Raises:
            StoreError, Tampered: the last checkpoint could not be signed; the events themselves are durable.
        """
        if os.getpid() != self._pid:
            return
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        if self._problem is not None:
            raise self._problem

    # -- the thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closing and not self._due():
                    self._changed.wait(self._until_due())
                batch = [self._waiting.popleft() for _ in range(min(self._max_batch, len(self._waiting)))]
                ending = self._closing and not batch
            if batch:
                self._write(batch)
            if self._due() or (ending and self._news):
                self._checkpoint()
            if ending:
                return

    def _write(self, batch: list[tuple[Prepared, OnDurable]]) -> None:
        failure: BaseException | None = None
        try:
            self._log.commit([prepared for prepared, _ in batch])
            self._news = True
        except StoreError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - a store's bug: refuse the batch, keep the lane open
            failure = AuditUnavailable("The audit store failed.")
            failure.__cause__ = error
        outcomes = [(on_durable, failure or prepared.receipt) for prepared, on_durable in batch]
        try:
            self.on_batch(outcomes)
        except Exception:  # noqa: BLE001
            # A loop that is gone has no waiters left; calling them from here could settle some of them twice.
            _log.exception("the hook of the audit writer failed")

    def _until_due(self) -> float | None:
        """Seconds until the next checkpoint, or None while there is no news."""
        if not self._news:
            return None
        if self._last_checkpoint is None:
            return 0.0
        return max(0.0, self._last_checkpoint + self._distance() - self._monotonic())

    def _distance(self) -> float:
        if not self._failures:
            return self._interval
        apart = max(self._interval, _SOONEST) * 2.0 ** min(self._failures - 1, 20)
        return min(apart, max(self._interval, _LATEST))

    def _due(self) -> bool:
        return self._until_due() == 0.0

    def _checkpoint(self) -> None:
        self._last_checkpoint = self._monotonic()
        try:
            self._log.checkpoint()
        except PortalsecError as error:
            self._problem = error
            _log.error("the audit log could not sign a checkpoint: %s", error)
        except Exception as error:  # noqa: BLE001 - logged, kept as the problem, raised by close
            self._problem = error
            _log.exception("the audit log could not sign a checkpoint")
        else:
            self._problem, self._failures, self._news = None, 0, False
            return
        self._failures += 1
        if self._failures == 1:
            self._record_failure()

    def _record_failure(self) -> None:
        """Say in the log itself, once, that from here on nothing was signed for a while."""
        try:
            self._log.commit([self._log.prepare(_NOT_SIGNED)])
        except Exception:  # noqa: BLE001 - a log that takes no entry either was logged and is the `problem`
            _log.exception("the audit log could not record that signing stopped")
