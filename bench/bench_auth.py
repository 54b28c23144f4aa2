"""Rows of auth: what portalsec adds to a password hash, and what a session check costs every request."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import timedelta

import argon2

from bench.harness import Row
from portalsec._encoding import new_token
from portalsec.auth.passwords import Argon2Parameters, Passwords
from portalsec.auth.ports import SessionRecord
from portalsec.auth.proof import Factor, Proof
from portalsec.auth.sessions import Required, SessionPolicy, Sessions
from portalsec.clock import system_clock
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.prf import KeyedHash
from portalsec.events import SecurityEvent, Source
from portalsec.stores.memory import MemorySessions


def rows() -> Iterator[Row]:
    yield argon2_verify()
    yield session_check()


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


def session_check() -> Row:
    """The whole check over the store in memory: shape, digest, limits, the keyed reference for the log."""
    store = MemorySessions()
    token = new_token()
    now = system_clock()
    store.create(
        SessionRecord(
            digest=hashlib.sha256(token.encode("ascii")).digest(),
            account_id="account-1",
            epoch=0,
            created_at=now,
            last_seen_at=now,
            proofs=(Proof(factor=Factor.PASSWORD, at=now), Proof(factor=Factor.TOTP, at=now)),
            level=2,
        )
    )

    def emit(event: SecurityEvent) -> None:
        raise AssertionError(f"a live session emits nothing, yet: {event.name}")

    sessions = Sessions(
        store=store,
        policy=SessionPolicy(idle=timedelta(hours=1), absolute=timedelta(hours=12)),
        required=Required(level=2),
        clock=system_clock,
        mac=KeyedHash(Keyset.generate("HMAC_SHA256_PRF")),
        emit=emit,
    )
    source = Source(address="192.0.2.1")
    text = token.encode("ascii")
    return Row(
        "auth.session.check",
        lambda: sessions.check(token, source=source),
        lambda: hashlib.sha256(text).digest(),
        100,
    )
