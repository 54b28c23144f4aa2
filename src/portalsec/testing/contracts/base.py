"""What the contracts share: races, the open write of the application, and the failing backend."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from portalsec.errors import StoreError
from portalsec.testing.processes import Opener

__all__ = ["MICROSECOND", "NOW", "THREADS", "StoreContract"]

T = TypeVar("T")

THREADS = 8
NOW = datetime(2026, 3, 2, 9, 0, 0, 123456, tzinfo=UTC)  # microseconds that a careless store would round away
MICROSECOND = timedelta(microseconds=1)
_PATIENCE = 60.0


class StoreContract:
    """The base of every contract; its package's docstring says what an inheritor provides."""

    @pytest.fixture
    def open_write(self) -> AbstractContextManager[object]:
        """An open write transaction of the application; nothing is open by default."""
        return nullcontext()

    @pytest.fixture
    def failing_store(self) -> Any:
        """The store over a backend that cannot answer."""
        pytest.skip("this store has no backend that could fail")

    @pytest.fixture
    def in_processes(self) -> Opener:
        """Opens the same store in another process: see `portalsec.testing.processes.Opener`."""
        pytest.skip("this store says no way to be opened in another process (`in_processes`)")

    def release(self) -> None:
        """Called at the end of every racing thread."""

    def rounds(self, few: int = 3, *, soak: int = 200) -> range:
        """How often a race is run: ``few`` times, or ``soak`` times under ``PORTALSEC_SOAK=1``."""
        return range(soak if os.environ.get("PORTALSEC_SOAK") == "1" else few)

    def race(self, *calls: Callable[[], T]) -> list[T]:
        """Start the calls in one thread each, at one moment; their results in the order of the calls.

        With a single call it is made from eight threads. An exception in a thread fails the test.
        """
        racers = list(calls) * (THREADS if len(calls) == 1 else 1)
        barrier = threading.Barrier(len(racers))
        results: dict[int, T] = {}
        errors: list[BaseException] = []

        def run(number: int, call: Callable[[], T]) -> None:
            try:
                barrier.wait(_PATIENCE)
                results[number] = call()
            except BaseException as error:  # noqa: BLE001 - carried to the test's own thread
                errors.append(error)
            finally:
                self.release()

        threads = [
            threading.Thread(target=run, args=(number, call), daemon=True)
            for number, call in enumerate(racers)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(_PATIENCE)
            assert not thread.is_alive(), "a racing thread never came back: the store waits for itself"
        if errors:
            raise errors[0]
        return [results[number] for number in range(len(racers))]

    def assert_all_fail(self, calls: Iterable[Callable[[], object]]) -> None:
        """Every call raises `StoreError` with the driver's error as its cause."""
        for call in calls:
            with pytest.raises(StoreError) as caught:
                call()
            assert caught.value.__cause__ is not None, "the driver's error must be attached as the cause"


def winners(results: Sequence[object]) -> int:
    """How many of the racers were told that they won."""
    return sum(1 for result in results if result)
