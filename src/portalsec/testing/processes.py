"""A race between processes: what the contracts of shared stores run. Light to import, since each starts from nothing."""

from __future__ import annotations

import atexit
import multiprocessing
from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import BrokenBarrierError, Lock
from typing import Any, Final, TypeAlias

__all__ = ["Opener", "race_processes"]

Opener: TypeAlias = Callable[[], AbstractContextManager[Any]]
"""Opens the store in another process: something that pickles (a function of a module, `functools.partial` of one)."""

_PATIENCE = 180.0
_USUAL = 4


class _Runners:
    """Processes that wait for races. Starting them takes seconds; a race takes a fraction of one."""

    def __init__(self, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._barrier = context.Barrier(count)  # kept: it goes with its last holder
        self._pipes, self._processes = [], []
        for number in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(number, theirs, self._barrier), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def race(self, job: tuple[Opener, Callable[..., Any], tuple[Any, ...]]) -> list[tuple[str | None, Any]]:
        """What each says: an error or None, and what it came to."""
        for pipe in self._pipes:
            pipe.send(job)
        reports: list[tuple[str | None, Any]] = []
        for pipe in self._pipes:
            try:
                reports.append(pipe.recv() if pipe.poll(_PATIENCE) else ("it says nothing", None))
            except EOFError:
                reports.append(("it is gone", None))
        return reports

    def close(self) -> None:
        for pipe in self._pipes:
            pipe.close()  # which a process takes for the end
        for process in self._processes:
            process.join(5)
            if process.is_alive():
                process.kill()
                process.join()


_kept: Final[dict[int, _Runners]] = {}
_one_at_a_time = Lock()


def race_processes(
    opener: Opener, work: Callable[..., Any], *arguments: Any, count: int = _USUAL
) -> list[Any]:
    """Run ``work(store, wait, number, *arguments)`` in so many other processes; their results in order.

    The usual four are started once and wait for the next race; they end with this process. Safe for concurrent use: one
    race at a time.

    Args:
        opener: enters each process's own store, anew for each race.
        work: pickles, as ``opener`` does. Its ``wait()`` returns in all processes at one moment.

    Raises:
        AssertionError: a process failed; with what it said.
    """
    with _one_at_a_time:
        runners = _kept.pop(count, None) or _Runners(count)
        try:
            reports = runners.race((opener, work, arguments))
            failures = {number: error for number, (error, _) in enumerate(reports) if error}
            if count == _USUAL and not failures:
                _kept[count] = runners
        finally:
            if _kept.get(count) is not runners:  # after a failure nothing is sure of them
                runners.close()
    if failures:
        raise AssertionError(f"processes failed: {failures}")
    return [result for _, result in reports]


@atexit.register
def _end() -> None:
    while _kept:
        _kept.popitem()[1].close()


def _serve(number: int, pipe: Any, barrier: Any) -> None:
    """One process, until its pipe is closed."""
    while True:
        try:
            opener, work, arguments = pipe.recv()
        except EOFError:
            return
        pipe.send(_run(number, opener, work, arguments, barrier))


def _run(
    number: int, opener: Opener, work: Callable[..., Any], arguments: tuple[Any, ...], barrier: Any
) -> tuple[str | None, Any]:
    def wait() -> None:
        barrier.wait(_PATIENCE)

    try:
        with opener() as store:
            return None, work(store, wait, number, *arguments)
    except BrokenBarrierError:
        return "another process failed first", None
    except Exception as error:  # noqa: BLE001 - carried to the test's own process
        barrier.abort()
        return repr(error), None
