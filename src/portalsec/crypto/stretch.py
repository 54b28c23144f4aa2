"""`Argon2Cost`: what a slow blind index spends on each value. `portalsec.auth` has its own, for passwords."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import ClassVar

from portalsec.errors import ConfigurationError, StoreError

__all__ = ["Argon2Cost", "Stretcher"]

_TAG = 32
_MOST_MEMORY = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Argon2Cost:
    """argon2id (RFC 9106, version 0x13) with a tag of 32 bytes.

    Attributes:
        time_cost: passes over the memory, 1 to 16.
        memory_kib: 8 MiB to 1 GiB, in KiB.
        parallelism: lanes, 1 to 16.
        at_once: how many computations one index runs at once, 1 to 16; the others wait. Bounds its memory to
            ``at_once * memory_kib``. Not part of what is hashed, as the three others are.
    """

    time_cost: int
    memory_kib: int
    parallelism: int
    at_once: int = 1

    OWASP_2025: ClassVar[Argon2Cost]
    """19 MiB, 2 passes, 1 lane (OWASP Password Storage Cheat Sheet)."""
    RFC_9106_LOW_MEMORY: ClassVar[Argon2Cost]
    """64 MiB, 3 passes, 4 lanes (RFC 9106 section 4, second choice)."""

    def __post_init__(self) -> None:
        for what, value, least, most in (
            ("time_cost", self.time_cost, 1, 16),
            ("memory_kib", self.memory_kib, 8 * 1024, _MOST_MEMORY),
            ("parallelism", self.parallelism, 1, 16),
            ("at_once", self.at_once, 1, 16),
        ):
            if type(value) is not int or not least <= value <= most:
                raise ConfigurationError(f"Argon2Cost: {what} is a number from {least} to {most}")

    @property
    def id(self) -> str:
        """How it stands in the id of an index."""
        return f"{self.memory_kib},{self.time_cost},{self.parallelism}"


Argon2Cost.OWASP_2025 = Argon2Cost(time_cost=2, memory_kib=19 * 1024, parallelism=1)
Argon2Cost.RFC_9106_LOW_MEMORY = Argon2Cost(time_cost=3, memory_kib=64 * 1024, parallelism=4)


class Stretcher:
    """Runs argon2id at one cost, at most ``at_once`` at a time."""

    __slots__ = ("_cost", "_running")

    def __init__(self, cost: Argon2Cost) -> None:
        self._cost = cost
        self._running = (os.getpid(), threading.BoundedSemaphore(cost.at_once))

    def __call__(self, data: bytes, salt: bytes) -> bytes:
        """32 bytes. Raises `StoreError` where there is no memory to hash with."""
        from argon2 import exceptions, low_level

        if (
            self._running[0] != os.getpid()
        ):  # a fork while another thread hashed would leave it taken for ever
            self._running = (os.getpid(), threading.BoundedSemaphore(self._cost.at_once))
        try:
            with self._running[1]:
                return low_level.hash_secret_raw(
                    data,
                    salt,
                    time_cost=self._cost.time_cost,
                    memory_cost=self._cost.memory_kib,
                    parallelism=self._cost.parallelism,
                    hash_len=_TAG,
                    type=low_level.Type.ID,
                )
        except exceptions.HashingError:
            pass  # outside the handler: its frames hold the value
        raise StoreError("argon2id could not hash a value of a blind index: is there memory?")
