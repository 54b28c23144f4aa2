"""Threads that ask stores for one event loop: a call's way to one of them and back.

`ThreadPoolExecutor` does more for a call than the way itself takes: a future with its condition, locks, a semaphore; and
some of that after it woke the event loop, which then waits for the interpreter. Here whatever is counted is counted on the
event loop, so nothing is locked.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any, TypeVar
from weakref import finalize

from anyio import CancelScope

__all__ = ["Threads"]

T = TypeVar("T")


class Threads:
    """At most ``most`` threads, begun when a call finds none free; they end with this object, or with the process.

    For the thread of one event loop.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._under_way = 0
        self._work: SimpleQueue[_Call | None] = SimpleQueue()
        self._begun: list[threading.Thread] = []
        finalize(self, _end, self._work, self._begun)

    async def run(self, operation: Callable[[], T]) -> T:
        """What it returns or raises. Once begun it is waited for, even when the visitor hangs up."""
        call = _Call(self, operation)
        if self._under_way >= len(self._begun) < self._most:
            # A daemon, or `_end` would come too late: the interpreter waits for all others first.
            thread = threading.Thread(target=_serve, args=(self._work,), name="portalsec-stores", daemon=True)
            thread.start()
            self._begun.append(thread)
        self._under_way += 1
        self._work.put(call)
        with CancelScope(shield=True):
            await call.woken
        failed, call.failed = call.failed, None
        try:
            if failed is not None:
                raise failed
            found: T = call.found
            return found
        finally:
            del failed  # an error whose traceback leads back to itself would wait for the garbage collector

    def free(self) -> None:
        """One call less is under way."""
        self._under_way -= 1


class _Call:
    __slots__ = ("_context", "_loop", "_operation", "_threads", "failed", "found", "woken")

    def __init__(self, threads: Threads, operation: Callable[[], Any]) -> None:
        self._threads, self._operation, self._context = threads, operation, copy_context()
        self._loop = asyncio.get_running_loop()
        self.woken = self._loop.create_future()
        self.found: Any = None
        self.failed: BaseException | None = None

    def run(self) -> None:
        """In a thread."""
        try:
            self.found = self._context.run(self._operation)
        except BaseException as error:  # noqa: BLE001 - it goes to whoever asked
            self.failed = error
        try:
            self._loop.call_soon_threadsafe(self._settle)
        except RuntimeError:  # the loop is closed: nobody waits any more
            self.failed = None

    def _settle(self) -> None:
        """On the event loop."""
        self._threads.free()
        if self.woken.done():  # cancelled
            self.failed = None
        else:
            self.woken.set_result(None)


def _serve(work: SimpleQueue[_Call | None]) -> None:
    while (call := work.get()) is not None:
        call.run()
        del call  # it would be held on to until the next one


def _end(work: SimpleQueue[_Call | None], begun: list[threading.Thread]) -> None:
    for _ in begun:
        work.put(None)
    if not threading.main_thread().is_alive():  # the process ends, and what was begun must still count
        for thread in begun:
            if thread is not threading.current_thread():
                thread.join()
