"""A race between processes: what the contracts of shared stores run. Light to import, since each starts from nothing."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import BrokenBarrierError
from typing import Any, TypeAlias

__all__ = ["Opener", "race_processes"]

Opener: TypeAlias = Callable[[], AbstractContextManager[Any]]
"""Opens the store in another process: something that pickles (a function of a module, `functools.partial` of one)."""

_PATIENCE = 180.0


def race_processes(opener: Opener, work: Callable[..., Any], *arguments: Any, count: int = 4) -> list[Any]:
    """Run ``work(store, wait, number, *arguments)`` in so many new processes; their results in order.

    Args:
        opener: enters each process's own store.
        work: pickles, as ``opener`` does. Its ``wait()`` returns in all processes at one moment.

    Raises:
        AssertionError: a process failed; with what it said.
    """
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(count), context.Queue()
    processes = [
        context.Process(target=_run, args=(number, opener, work, arguments, barrier, results), daemon=True)
        for number in range(count)
    ]
    try:
        for process in processes:
            process.start()
        reports = dict(results.get(timeout=_PATIENCE) for _ in processes)
        for process in processes:
            process.join(_PATIENCE)
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()
                process.join()
        results.close()
        results.join_thread()
    failures = {number: error for number, (error, _) in reports.items() if error}
    if failures:
        raise AssertionError(f"processes failed: {failures}")
    return [reports[number][1] for number in range(count)]


def _run(  # noqa: PLR0917 - the arguments of a process
    number: int,
    opener: Opener,
    work: Callable[..., Any],
    arguments: tuple[Any, ...],
    barrier: Any,
    results: Any,
) -> None:
    def wait() -> None:
        barrier.wait(_PATIENCE)

    try:
        with opener() as store:
            results.put((number, (None, work(store, wait, number, *arguments))))
    except BrokenBarrierError:
        results.put((number, ("another process failed first", None)))
    except Exception as error:  # noqa: BLE001 - carried to the test's own process
        barrier.abort()
        results.put((number, (repr(error), None)))
