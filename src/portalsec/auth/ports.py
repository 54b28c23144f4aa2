"""What auth asks of the world: stores whose verbs decide their races, and three small callables.

Promises that every store of this module keeps, and that `portalsec.testing`'s contracts check:

* **Atomic.** Each verb is one atomic step. Of any number of concurrent calls that compete for one thing, exactly
  one is told that it won; verbs that return ``bool`` return who won.
* **Own transaction.** A verb commits before it returns and does not take part in a transaction that the caller
  holds open: a refused request that rolls back must not roll back the attempt that was counted.
* **Durable.** What a verb returned survives a crash of the process (SQL stores) or the loss that the store's own
  documentation states (Redis, memory).
* **No clock.** Time is an argument; a store never reads a clock, so two workers cannot disagree about it.
* **Failure.** A store that cannot answer raises `portalsec.errors.StoreError` with the driver's error as cause.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

__all__ = [
    "Account",
    "AccountStore",
    "Flow",
    "FlowStore",
    "LoadedSession",
    "Mac",
    "Sealer",
    "SessionRecord",
    "SessionStore",
    "Take",
    "ThrottleStore",
    "TotpDevice",
    "TotpStore",
]


class Sealer(Protocol):
    """Authenticated encryption bound to a place; `portalsec.crypto` satisfies it."""

    def seal(self, plaintext: bytes, *, table: str, column: str, row: str) -> bytes:
        """Encrypt; the result opens only under the same table, column and row."""
        ...

    def open(self, ciphertext: bytes, *, table: str, column: str, row: str) -> bytes:
        """Decrypt. Raises `portalsec.errors.DecryptionError`, one error for every cause."""
        ...


class Mac(Protocol):
    """A keyed hash: what is looked up or referred to without being readable in a store or log."""

    def __call__(self, purpose: str, data: bytes) -> bytes:
        """32 bytes to store; different purposes are unrelated."""
        ...

    def all(self, purpose: str, data: bytes) -> tuple[bytes, ...]:
        """What may have been stored: the hash under every key that is read, that of the call first."""
        ...


# -- accounts ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One account.

    Attributes:
        id: opaque, never reused.
        login: canonical sign-in name (see `portalsec.auth.account.canonical_login`).
        password_hash: PHC string, or None where the account has no password.
        disabled: a disabled account never gets a session.
        reference: who this account is in the application's own data (a patient's id, say), or None.
    """

    # What a log line must never show stays out of every repr: a traceback with locals prints them.
    id: str
    login: str = field(repr=False)
    password_hash: str | None = field(repr=False)
    disabled: bool = False
    reference: str | None = None


class AccountStore(Protocol):
    """Accounts by opaque id and by canonical login."""

    def create(self, account: Account, *, now: datetime) -> bool:
        """Insert; False where the id or the login is taken. One winner among concurrent creates of one login."""
        ...

    def get(self, account_id: str) -> Account | None: ...

    def by_login(self, login: str) -> Account | None:
        """Look up by canonical login."""
        ...

    def set_password(self, account_id: str, new_hash: str, *, expected: str | None) -> bool:
        """Replace the hash only where it still is ``expected``; False otherwise (someone changed it meanwhile)."""
        ...

    def set_disabled(self, account_id: str, disabled: bool) -> bool:
        """True where the state changed."""
        ...


# -- throttle ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """The answer to `ThrottleStore.take`.

    Attributes:
        ok: whether a unit of the budget was taken.
        window: start of the window it was taken from, as microseconds since 1970; names the unit for `give_back`.
        used: units now in use in that window.
        resets_at: when the window ends.
    """

    ok: bool
    window: int
    used: int
    resets_at: datetime


class ThrottleStore(Protocol):
    """Counters with a fixed window that starts at the first take.

    Loss of the store's memory forgets attempts; it never invents them. A taken unit that is not given back stays
    taken (a process that dies between take and settle has used its attempt).
    """

    def take(self, key: str, *, limit: int, window: timedelta, now: datetime) -> Take:
        """Take one unit if fewer than ``limit`` are in use in the current window, else ``ok=False``.

        At most ``limit`` concurrent takes in one window are ok. A window that has ended by ``now`` starts anew. A
        ``now`` before the window's start (a clock set back) counts as inside it.
        """
        ...

    def give_back(self, key: str, *, window: int) -> None:
        """Return one unit if the window is still the one it was taken from; never below zero."""
        ...

    def clear(self, key: str) -> None:
        """Forget the counter."""
        ...


# -- short-lived state ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Short-lived single-use state: a pending sign-in, an invitation.

    Attributes:
        digest: SHA-256 of the token that the visitor holds; the store never sees the token.
        purpose: what it is for; a flow of one purpose is unknown under another.
        account_id: whose it is, or None (an invitation has no account yet).
        data: opaque bytes, at most 4 KiB.
        expires_at: from this moment on it is unknown.
        attempts: how often it was tried.
    """

    digest: bytes
    purpose: str
    account_id: str | None
    data: bytes = field(repr=False)
    expires_at: datetime
    attempts: int = 0


class FlowStore(Protocol):
    """Flows by digest and purpose."""

    def put(self, flow: Flow) -> bool:
        """Insert with its attempts; False where the digest exists."""
        ...

    def attempt(self, digest: bytes, purpose: str, *, limit: int, now: datetime) -> Flow | None:
        """Count one attempt and return the flow as counted; None if unknown, expired or ``limit`` was reached.

        At most ``limit`` concurrent attempts get the flow. A refused attempt past the limit, and any call that
        finds the flow expired, removes it.
        """
        ...

    def consume(self, digest: bytes, purpose: str, *, now: datetime) -> Flow | None:
        """Remove and return it; None if unknown or expired. Exactly one concurrent caller gets it."""
        ...

    def drop_account(self, account_id: str) -> int:
        """Remove every flow of the account; the number removed."""
        ...

    def purge(self, *, now: datetime) -> int:
        """Remove what has expired; the number removed. Housekeeping only: expiry never depends on it."""
        ...


# -- TOTP -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TotpDevice:
    """A TOTP authenticator.

    Attributes:
        id: opaque.
        account_id: whose it is.
        label: the owner's name for it.
        sealed_secret: the seed under a `Sealer`, bound to the account and the device.
        confirmed: whether a first code proved that the owner has it; only confirmed devices count as a factor.
        last_step: the newest time step that was accepted (RFC 6238 section 5.2); -1 before the first.
        created_at: when it was enrolled.
    """

    id: str
    account_id: str
    label: str
    sealed_secret: bytes = field(repr=False)
    confirmed: bool
    last_step: int
    created_at: datetime


class TotpStore(Protocol):
    """TOTP devices; `advance` is the one write that decides whether a code is new."""

    def add(self, device: TotpDevice) -> None:
        """Insert an unconfirmed device in place of any other unconfirmed device of the account.

        An id that another device has is a `portalsec.errors.StoreError`; that device stays as it is.
        """
        ...

    def devices(self, account_id: str) -> Sequence[TotpDevice]:
        """All devices, oldest first."""
        ...

    def confirm(self, account_id: str, device_id: str, step: int) -> bool:
        """Mark as confirmed with ``last_step = step`` where it is this account's and unconfirmed. One winner."""
        ...

    def advance(self, account_id: str, device_id: str, step: int) -> bool:
        """Set ``last_step = step`` where the device is this account's, confirmed and ``last_step < step``.

        One conditional write; of any number of concurrent calls with one step, exactly one returns True.
        """
        ...

    def remove(self, account_id: str, device_id: str) -> bool:
        """Delete where it is this account's; whether anything was deleted."""
        ...


# -- sessions ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """A session at rest.

    Attributes:
        digest: SHA-256 of the session id; the store never sees the id.
        account_id: whose it is.
        epoch: the account's epoch when it was opened; a session of an older epoch is dead.
        created_at: when it was opened; the absolute limit counts from here.
        last_seen_at: the last request that counted as activity.
        factors: kinds of factor that were proven, in order ("password", "totp").
        proven_at: when the newest factor was proven.
        address: where it was opened from, or None.
        user_agent: of the browser that opened it, at most 256 characters, or None.
    """

    digest: bytes = field(repr=False)
    account_id: str
    epoch: int
    created_at: datetime
    last_seen_at: datetime
    factors: tuple[str, ...]
    proven_at: datetime
    address: str | None = None
    user_agent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSession:
    """A session and the account's epoch as of the same read."""

    record: SessionRecord
    current_epoch: int


class SessionStore(Protocol):
    """Sessions by digest, and one epoch an account."""

    def epoch(self, account_id: str) -> int:
        """The account's epoch; 0 before the first `end_all`."""
        ...

    def create(self, record: SessionRecord) -> bool:
        """Insert where the digest is new and ``record.epoch`` is the account's epoch still; whether it was."""
        ...

    def load(self, digest: bytes) -> LoadedSession | None:
        """One read gives the session and the current epoch."""
        ...

    def touch(self, digest: bytes, *, last_seen_at: datetime) -> bool:
        """Move ``last_seen_at`` forward, never back; whether the session exists and moved."""
        ...

    def end(self, digest: bytes) -> bool:
        """Delete; True for the one caller that ended it."""
        ...

    def end_all(self, account_id: str) -> int:
        """Raise the account's epoch by one, delete its sessions, return the new epoch.

        Effective for every later `load` and `create` on any worker, whatever they held before.
        """
        ...

    def of_account(self, account_id: str) -> Sequence[SessionRecord]:
        """The account's sessions of the current epoch, newest first."""
        ...

    def purge(self, *, created_until: datetime) -> int:
        """Remove sessions opened at or before a moment; the number removed. Housekeeping: limits never depend on it."""
        ...
