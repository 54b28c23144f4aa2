"""Argon2id parameters that cost next to nothing, for tests: never for real passwords."""

from __future__ import annotations

from dataclasses import dataclass

from portalsec.auth.passwords import Argon2Parameters

__all__ = ["CHEAP_ARGON2"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _BelowTheFloor(Argon2Parameters):
    def __post_init__(self) -> None:
        self._check_shape()


CHEAP_ARGON2: Argon2Parameters = _BelowTheFloor(time_cost=1, memory_kib=8, parallelism=1)
"""One pass over 8 KiB: well under a millisecond. `Argon2Parameters` itself refuses it."""
