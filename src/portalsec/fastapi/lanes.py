"""Lanes from the event loop into threads: one for password hashing, one for new passwords, one for everything else.

On a shared pool a burst of sign-ins takes every thread for the length of its hashes, and every other page waits.
The hashing lane is its own limiter: the burst waits for itself. Choosing a password hashes too, but first asks a service
that may be silent: in the hashing lane nobody could sign in meanwhile, on the shared pool every page would wait. So it
has a limiter of its own; `portalsec.auth.passwords.Passwords` bounds how many hashes run at once wherever they come from.

What asks stores, as every request does, has threads of its own: the application's slow endpoints keep nobody from being
checked, and the way there and back is half as long as anyio's, which visits the event loop twice before it leaves it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from typing import TypeVar
from weakref import WeakKeyDictionary

from anyio import CancelScope, CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

from portalsec.errors import ConfigurationError

__all__ = ["Lanes"]

T = TypeVar("T")
_STORES = 40  # threads that ask stores, of each event loop; as many as the framework's own pool has
_CHOOSING = 8  # new passwords at once: most of their time may be a service's answer


class Lanes:
    """The hops of one application. Safe for use from any number of event loops.

    A call that was begun is waited for even when the visitor hangs up: a sign-in that is abandoned half way must
    still count.
    """

    def __init__(self, *, hashing: int | None = None) -> None:
        """``hashing`` is how many hashes run at once; by default one less than the cores, and at least one."""
        if hashing is None:
            hashing = max(1, (os.cpu_count() or 1) - 1)
        if hashing < 1:
            raise ConfigurationError(f"hashing={hashing}: at least one hash must be able to run")
        self._places = hashing
        self._pools: WeakKeyDictionary[asyncio.AbstractEventLoop, ThreadPoolExecutor] = WeakKeyDictionary()
        self._hashing: RunVar[CapacityLimiter] = RunVar("portalsec-hashing")
        self._choosing: RunVar[CapacityLimiter] = RunVar("portalsec-choosing")

    async def offload(self, operation: Callable[[], T]) -> T:
        """One operation that asks stores, on threads of this lane."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # trio
            return await to_thread.run_sync(operation)
        held = self._pool(loop).submit(copy_context().run, operation)
        woken = loop.create_future()
        held.add_done_callback(lambda _: _wake(loop, woken))
        with CancelScope(shield=True):
            await woken
        try:
            return held.result()
        finally:
            del held  # an error whose traceback leads back to itself would wait for the garbage collector

    async def hashing(self, operation: Callable[[], T]) -> T:
        """One operation that hashes a password, and asks no service, in its own lane."""
        return await _limited(operation, self._hashing, self._places)

    async def choosing(self, operation: Callable[[], T]) -> T:
        """One operation that takes a new password, and may ask whether it has leaked, in its own lane."""
        return await _limited(operation, self._choosing, _CHOOSING)

    def _pool(self, loop: asyncio.AbstractEventLoop) -> ThreadPoolExecutor:
        pool = self._pools.get(loop)
        if pool is None:
            pool = self._pools[loop] = ThreadPoolExecutor(_STORES, thread_name_prefix="portalsec")
        return pool


def _wake(loop: asyncio.AbstractEventLoop, woken: asyncio.Future[None]) -> None:
    """From the thread. Where the loop is closed by now, nobody waits any more."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(_settle, woken)


def _settle(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)


async def _limited(operation: Callable[[], T], held: RunVar[CapacityLimiter], places: int) -> T:
    try:
        limiter = held.get()
    except LookupError:  # the first of this event loop
        limiter = CapacityLimiter(places)
        held.set(limiter)
    return await to_thread.run_sync(operation, limiter=limiter)
