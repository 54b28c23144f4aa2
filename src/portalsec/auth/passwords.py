"""Password hashing: argon2id (RFC 9106), bounded in parallelism and memory."""

from __future__ import annotations

import base64
import os
import re
import secrets
import threading
from dataclasses import dataclass
from typing import ClassVar

from argon2 import exceptions, low_level

from portalsec.auth._input import password_text
from portalsec.errors import ConfigurationError, Denied, Reason, StoreError, Tampered

__all__ = ["Argon2Parameters", "Passwords", "Verified"]

# OWASP Password Storage Cheat Sheet, argon2id: (memory in KiB, passes); each row is as hard as the others.
_OWASP_FLOOR = ((47104, 1), (19456, 2), (12288, 3), (9216, 4), (7168, 5))
# A hash at rest that asks for more than this was not written by us and would stall the process.
_MAX_MEMORY_KIB, _MAX_TIME, _MAX_LANES = 4 * 1024 * 1024, 64, 64
_PHC = re.compile(
    r"\$argon2id\$v=19\$m=([1-9][0-9]{0,9}),t=([1-9][0-9]{0,5}),p=([1-9][0-9]{0,5})"
    r"\$([A-Za-z0-9+/]{11,128})\$([A-Za-z0-9+/]{16,128})",
    re.ASCII,
)


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
        if not any(self.memory_kib >= memory and self.time_cost >= time for memory, time in _OWASP_FLOOR):
            raise ConfigurationError(
                f"argon2id with t={self.time_cost}, m={self.memory_kib} KiB is below the OWASP floor: "
                "use Argon2Parameters.OWASP_2025 or more"
            )

    def _check_shape(self) -> None:
        if not (1 <= self.time_cost <= _MAX_TIME and 1 <= self.parallelism <= _MAX_LANES):
            raise ConfigurationError(
                f"argon2id: time_cost and parallelism go from 1 to {_MAX_TIME} and {_MAX_LANES}"
            )
        if not 8 * self.parallelism <= self.memory_kib <= _MAX_MEMORY_KIB:
            raise ConfigurationError(
                f"argon2id: memory_kib goes from 8 for each lane to {_MAX_MEMORY_KIB} (RFC 9106 section 3.1)"
            )
        if not (16 <= self.hash_len <= 64 and 16 <= self.salt_len <= 64):
            raise ConfigurationError("argon2id: hash_len and salt_len go from 16 to 64 bytes")


Argon2Parameters.RFC_9106_LOW_MEMORY = Argon2Parameters(time_cost=3, memory_kib=64 * 1024, parallelism=4)
Argon2Parameters.RFC_9106_HIGH_MEMORY = Argon2Parameters(
    time_cost=1, memory_kib=2 * 1024 * 1024, parallelism=4
)
Argon2Parameters.OWASP_2025 = Argon2Parameters(time_cost=2, memory_kib=19 * 1024, parallelism=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A password was right.

    Attributes:
        rehash_due: the stored hash was made with other parameters than today's; hash the password anew and store it.
    """

    rehash_due: bool


class Passwords:
    """Hashes and verifies passwords.

    Safe for concurrent use. At most ``concurrency`` hashes run at once, whatever the number of threads: that bounds
    memory (``concurrency`` times ``memory_kib``) and leaves a core for everything else.

    Args:
        parameters: of every new hash; stored hashes keep theirs until the next sign-in.
        concurrency: by default one less than the number of cores, at least one.
    """

    def __init__(
        self, *, parameters: Argon2Parameters = Argon2Parameters.OWASP_2025, concurrency: int | None = None
    ) -> None:
        if concurrency is None:
            concurrency = max(1, (os.cpu_count() or 1) - 1)
        if concurrency < 1:
            raise ConfigurationError("Passwords: concurrency must be at least 1")
        self.parameters = parameters
        self.concurrency = concurrency
        self._running = threading.BoundedSemaphore(concurrency)
        # What an unknown account is verified against: the same parameters, and a tag that no password has (a random
        # one is as good as a computed one, and costs no hash at start).
        self._dummy = _phc(
            parameters, secrets.token_bytes(parameters.salt_len), secrets.token_bytes(parameters.hash_len)
        )

    def hash(self, password: object, *, account_id: str) -> str:
        """Hash a new password; the result is a PHC string with its parameters and salt.

        Args:
            password: as typed.
            account_id: whose it is.

        Raises:
            Denied: MALFORMED (see `verify`).
            StoreError: there was no memory to hash with.
        """
        raw = password_text(password).encode("utf-8")
        chosen = self.parameters
        with self._running:
            try:
                encoded = low_level.hash_secret(
                    raw,
                    secrets.token_bytes(chosen.salt_len),
                    time_cost=chosen.time_cost,
                    memory_cost=chosen.memory_kib,
                    parallelism=chosen.parallelism,
                    hash_len=chosen.hash_len,
                    type=low_level.Type.ID,
                )
            except exceptions.HashingError as error:
                raise StoreError("argon2id could not hash") from error
        return encoded.decode("ascii")

    def verify(self, stored: str | None, password: object, *, account_id: str | None) -> Verified:
        """Check a password against a stored hash, or against none at the same cost.

        Args:
            stored: PHC string; None where the account is unknown or has no password. None does the work of one
                hash with today's parameters, so that time does not tell who exists.
            password: as typed.
            account_id: whose hash it is; None where the account is unknown.

        Raises:
            Denied: MALFORMED (not text, empty, over 1024 bytes; nothing was hashed), UNKNOWN_ACCOUNT (``stored`` is
                None), WRONG_PASSWORD.
            Tampered: ``stored`` is not a hash that portalsec wrote.
            StoreError: there was no memory to hash with.
        """
        raw = password_text(password).encode("utf-8")
        if stored is None:
            self._matches(self._dummy, raw)
            raise Denied(Reason.UNKNOWN_ACCOUNT)
        parameters = _parse(stored)
        if not self._matches(stored, raw):
            raise Denied(Reason.WRONG_PASSWORD)
        mine = self.parameters
        return Verified(
            rehash_due=parameters
            != (mine.time_cost, mine.memory_kib, mine.parallelism, mine.hash_len, mine.salt_len)
        )

    def _matches(self, stored: str, raw: bytes) -> bool:
        with self._running:
            try:
                return low_level.verify_secret(stored.encode("ascii"), raw, low_level.Type.ID)
            except exceptions.VerifyMismatchError:
                return False
            except exceptions.VerificationError as error:
                if "allocat" in str(error):
                    raise StoreError("argon2id could not get its memory") from error
                raise Tampered("a stored password hash is damaged") from None


def _parse(stored: str) -> tuple[int, int, int, int, int]:
    """Time, memory, lanes, tag bytes, salt bytes. Refuses what would be unsafe to hand to argon2."""
    match = _PHC.fullmatch(stored)
    if match is None:
        # Also the blank hash: an empty column must never verify.
        raise Tampered("a stored password hash is damaged")
    memory, time, lanes = (int(match[group]) for group in (1, 2, 3))
    if memory > _MAX_MEMORY_KIB or time > _MAX_TIME or lanes > _MAX_LANES:
        raise Tampered("a stored password hash asks for more work than portalsec ever does")
    return time, memory, lanes, len(match[5]) * 3 // 4, len(match[4]) * 3 // 4


def _phc(parameters: Argon2Parameters, salt: bytes, tag: bytes) -> str:
    def text(data: bytes) -> str:
        return base64.b64encode(data).rstrip(b"=").decode("ascii")

    return (
        f"$argon2id$v=19$m={parameters.memory_kib},t={parameters.time_cost},p={parameters.parallelism}"
        f"${text(salt)}${text(tag)}"
    )
