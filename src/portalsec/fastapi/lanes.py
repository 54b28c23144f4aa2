"""Two lanes from the event loop into threads: one for password hashing, one for everything else.

On a shared pool a burst of sign-ins takes every thread for the length of its hashes, and every other page waits.
The hashing lane is its own limiter: the burst waits for itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

from portalsec.errors import ConfigurationError

__all__ = ["Lanes"]

T = TypeVar("T")


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
        self._hashing: RunVar[CapacityLimiter] = RunVar("portalsec-hashing")

    async def offload(self, operation: Callable[[], T]) -> T:
        """One operation that asks stores, on the framework's own pool."""
        return await to_thread.run_sync(operation)

    async def hashing(self, operation: Callable[[], T]) -> T:
        """One operation that hashes a password, in its own lane."""
        try:
            limiter = self._hashing.get()
        except LookupError:  # the first hash of this event loop
            limiter = CapacityLimiter(self._places)
            self._hashing.set(limiter)
        return await to_thread.run_sync(operation, limiter=limiter)
