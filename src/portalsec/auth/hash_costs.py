"""What a password hash costs: argon2id's parameters, never below the OWASP floor for new hashes, and costs as text.

As text, which settings and reports have: ``m=65536,t=3,p=4`` for new hashes; in ``[passwords] older`` either
``argon2id:m=65536,t=3,p=4`` or the cost of another system's hash (see `portalsec.auth.legacy_hashes`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from portalsec.auth._stored_hash import MAX_LANES, MAX_MEMORY_KIB, MAX_TIME
from portalsec.auth.legacy_hashes import LegacyCost
from portalsec.errors import ConfigurationError

__all__ = [
    "OWASP_FLOOR",
    "Argon2Parameters",
    "Cost",
    "OlderArgon2",
    "cost_of_text",
    "cost_text",
    "parameters_of_text",
]

OWASP_FLOOR = ((47104, 1), (19456, 2), (12288, 3), (9216, 4), (7168, 5))
"""OWASP Password Storage Cheat Sheet, argon2id: (memory in KiB, passes); each row is as hard as the others."""
_ARGON2 = re.compile(r"m=([1-9][0-9]{0,9}),t=([1-9][0-9]{0,5}),p=([1-9][0-9]{0,5})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Argon2Parameters:
    """Cost of argon2id (RFC 9106 section 3.1).

    Attributes:
        time_cost: passes over the memory.
        memory_kib: memory of one hash in KiB.
        parallelism: lanes.
        hash_len: bytes of the tag.
        salt_len: bytes of the salt.
    """

    time_cost: int
    memory_kib: int
    parallelism: int
    hash_len: int = 32
    salt_len: int = 16

    RFC_9106_LOW_MEMORY: ClassVar[Argon2Parameters]
    """RFC 9106 section 4, second recommended option: t=3, 64 MiB, p=4."""
    RFC_9106_HIGH_MEMORY: ClassVar[Argon2Parameters]
    """RFC 9106 section 4, first recommended option: t=1, 2 GiB, p=4."""
    OWASP_2025: ClassVar[Argon2Parameters]
    """OWASP Password Storage Cheat Sheet: t=2, 19 MiB, p=1."""

    def __post_init__(self) -> None:
        self._check_shape()
        if not any(self.memory_kib >= memory and self.time_cost >= time for memory, time in OWASP_FLOOR):
            raise ConfigurationError(
                f"argon2id with t={self.time_cost}, m={self.memory_kib} KiB is below the OWASP floor: "
                "use Argon2Parameters.OWASP_2025 or more"
            )

    def _check_shape(self) -> None:
        if not (1 <= self.time_cost <= MAX_TIME and 1 <= self.parallelism <= MAX_LANES):
            raise ConfigurationError(
                f"argon2id: time_cost and parallelism go from 1 to {MAX_TIME} and {MAX_LANES}"
            )
        if not 8 * self.parallelism <= self.memory_kib <= MAX_MEMORY_KIB:
            raise ConfigurationError(
                f"argon2id: memory_kib goes from 8 for each lane to {MAX_MEMORY_KIB} (RFC 9106 section 3.1)"
            )
        if not (16 <= self.hash_len <= 64 and 16 <= self.salt_len <= 64):
            raise ConfigurationError("argon2id: hash_len and salt_len go from 16 to 64 bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class OlderArgon2(Argon2Parameters):
    """What stored hashes still have, also below today's floor: for ``older`` of `Passwords`, never for new hashes."""

    def __post_init__(self) -> None:
        self._check_shape()


Argon2Parameters.RFC_9106_LOW_MEMORY = Argon2Parameters(time_cost=3, memory_kib=64 * 1024, parallelism=4)
Argon2Parameters.RFC_9106_HIGH_MEMORY = Argon2Parameters(
    time_cost=1, memory_kib=2 * 1024 * 1024, parallelism=4
)
Argon2Parameters.OWASP_2025 = Argon2Parameters(time_cost=2, memory_kib=19 * 1024, parallelism=1)


Cost: TypeAlias = Argon2Parameters | LegacyCost
"""What a stored hash may still cost: argon2id with other parameters, or another system's hash inside."""


def parameters_of_text(text: str) -> Argon2Parameters:
    """The name of a preset, or ``m=65536,t=3,p=4``; `ConfigurationError` for anything else, or below the floor."""
    if text in PRESETS:
        return PRESETS[text]
    return Argon2Parameters(**_numbers(text))


def cost_of_text(text: str) -> Cost:
    """The inverse of `cost_text`; `ConfigurationError` for anything else."""
    name, _, rest = text.partition(":")
    return OlderArgon2(**_numbers(rest)) if name == "argon2id" else LegacyCost.from_text(text)


def cost_text(cost: Cost) -> str:
    """As ``[passwords] older`` has it."""
    if isinstance(cost, LegacyCost):
        return str(cost)
    return f"argon2id:m={cost.memory_kib},t={cost.time_cost},p={cost.parallelism}"


def _numbers(text: str) -> dict[str, int]:
    match = _ARGON2.fullmatch(text)
    if match is None:
        raise ConfigurationError(
            f'argon2id: write its cost as "m=65536,t=3,p=4", or choose one of {", ".join(PRESETS)}'
        )
    return {"memory_kib": int(match[1]), "time_cost": int(match[2]), "parallelism": int(match[3])}


PRESETS: Mapping[str, Argon2Parameters] = {
    name: getattr(Argon2Parameters, name)
    for name in ("RFC_9106_LOW_MEMORY", "RFC_9106_HIGH_MEMORY", "OWASP_2025")
}
"""By name, as ``[passwords] hashing`` has it."""
