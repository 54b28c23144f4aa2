"""The row of password hashing: what portalsec adds to the hash itself."""

from __future__ import annotations

from collections.abc import Iterator

import argon2

from bench.harness import Row
from portalsec.auth.passwords import Argon2Parameters, Passwords


def rows() -> Iterator[Row]:
    yield argon2_verify()


def argon2_verify() -> Row:
    """Text and length guards, NFC, the account, the semaphore and reading the stored hash, over the hash itself."""
    ours = Argon2Parameters.OWASP_2025
    passwords = Passwords(parameters=ours)
    bare = argon2.PasswordHasher(
        time_cost=ours.time_cost,
        memory_cost=ours.memory_kib,
        parallelism=ours.parallelism,
        hash_len=ours.hash_len,
        salt_len=ours.salt_len,
    )
    password = "correct horse battery staple"
    stored, theirs = passwords.hash(password, account_id="account-1"), bare.hash(password)
    return Row(
        "auth.argon2.verify",
        lambda: passwords.verify(stored, password, account_id="account-1"),
        lambda: bare.verify(theirs, password),
        1,
        unit="ms",
    )
