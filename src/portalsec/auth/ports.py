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

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from portalsec.auth.posture import DevicePosture
from portalsec.auth.proof import Proof
from portalsec.errors import ConfigurationError
from portalsec.events import Source

__all__ = [
    "Account",
    "AccountStore",
    "BreachSource",
    "CodeSender",
    "Contact",
    "ContactStore",
    "Created",
    "DeviceStore",
    "Flow",
    "FlowStore",
    "Incident",
    "IncidentStore",
    "KnownDevice",
    "LoadedSession",
    "Mac",
    "Message",
    "Notice",
    "NoticeStore",
    "Notifier",
    "Passkey",
    "PasskeyStore",
    "PasswordHistoryStore",
    "Pepper",
    "Phone",
    "RecoveryCode",
    "RecoveryCodeStore",
    "Sealer",
    "SessionRecord",
    "SessionStore",
    "SignInWatch",
    "Take",
    "ThrottleStore",
    "TotpDevice",
    "TotpStore",
]


_ADDRESS = re.compile(r"[!#-'*+\-/-9=?A-Z^-~.]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?\Z")
_MESSAGE_ID = re.compile(r"<[A-Za-z0-9._-]{1,200}@[A-Za-z0-9.-]{1,100}>\Z")
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,2}\Z")


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


class Pepper(Protocol):
    """A keyed hash of passwords whose keys rotate; `portalsec.crypto.prf.KeysetPepper` satisfies it."""

    @property
    def primary_id(self) -> int:
        """The id, below 2**32, of the key that new hashes are made under."""
        ...

    def tag(self, key_id: int, data: bytes) -> bytes | None:
        """32 bytes under the key of this id, or None where no enabled key has it."""
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
        must_change: why the next sign-in must choose a new password (see `portalsec.auth.new_password`), or None.
        password_changed_at: when the password was last chosen, or None where that is not known; a rehash is no change.
        password_mailed: it was chosen through a mailed reset, and nobody who knows it has shown a factor other than that
            mailbox yet: beside a mailed code it proves nothing more.
        signed_in_at: the newest full sign-in, or None before the first.
        created_at: when it was created, or None where that is not known.
    """

    # What a log line must never show stays out of every repr: a traceback with locals prints them.
    id: str
    login: str = field(repr=False)
    password_hash: str | None = field(repr=False)
    disabled: bool = False
    reference: str | None = None
    must_change: str | None = None
    password_changed_at: datetime | None = None
    password_mailed: bool = False
    signed_in_at: datetime | None = None
    created_at: datetime | None = None


class AccountStore(Protocol):
    """Accounts by opaque id and by canonical login."""

    def create(self, account: Account, *, now: datetime) -> bool:
        """Insert; False where the id or the login is taken. One winner among concurrent creates of one login."""
        ...

    def get(self, account_id: str) -> Account | None: ...

    def by_login(self, login: str) -> Account | None:
        """Look up by canonical login."""
        ...

    def set_password(
        self,
        account_id: str,
        new_hash: str | None,
        *,
        expected: str | None,
        changed_at: datetime | None = None,
        mailed: bool = False,
    ) -> bool:
        """Replace the hash only where it still is ``expected``; False otherwise (someone changed it meanwhile).

        With ``changed_at`` it is a password newly chosen (or taken away, where ``new_hash`` is None): the moment is
        kept, ``must_change`` is cleared and ``password_mailed`` becomes ``mailed``, in the same write. Without, it is the
        same password hashed anew, and ``mailed`` says nothing.
        """
        ...

    def password_proven(self, account_id: str, *, expected: str) -> bool:
        """Clear ``password_mailed`` only where the hash still is ``expected``; whether that changed it."""
        ...

    def require_change(self, account_id: str, reason: str) -> bool:
        """Set ``must_change``; whether the account exists."""
        ...

    def signed_in(self, account_id: str, *, at: datetime) -> bool:
        """Move ``signed_in_at`` forward, never back; whether it moved."""
        ...

    def page(self, *, after: str | None, limit: int) -> Sequence[Account]:
        """Accounts in the order of their ids, those past ``after`` first; for reports and housekeeping."""
        ...

    def set_disabled(self, account_id: str, disabled: bool) -> bool:
        """True where the state changed."""
        ...


class PasswordHistoryStore(Protocol):
    """Hashes of passwords that an account had before, so that none comes back.

    Two kinds, each trimmed by itself: those that their owner changed, and compromised ones, which ordinary changes never
    push out.
    """

    def add(
        self, account_id: str, password_hash: str, *, at: datetime, keep: int, compromised: bool = False
    ) -> None:
        """Remember a hash that is being retired and forget all but the ``keep`` newest of this kind.

        The same hash is kept once, and once compromised stays so.
        """
        ...

    def of_account(self, account_id: str) -> Sequence[str]:
        """Of both kinds, newest first."""
        ...

    def forget(self, account_id: str) -> int:
        """Forget all of them; the number forgotten."""
        ...


class BreachSource(Protocol):
    """Passwords that attackers have. Safe for concurrent use.

    Attributes:
        name: of the source in the audit log ("bundled", "range").
        local: whether it answers from this machine, within a millisecond. Only such are asked at every key press.
    """

    @property
    def name(self) -> str: ...

    @property
    def local(self) -> bool: ...

    def contains(self, password: str) -> bool:
        """Whether the whole password is listed. It comes in NFC, at most 1024 bytes long, and is kept nowhere.

        Raises:
            BreachSourceUnavailable: it cannot say. The text holds nothing of the password.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """An e-mail address of an account. Mail goes to ``address`` as it is stored here, never to what a visitor typed.

    Attributes:
        id: opaque.
        account_id: whose it is. Two accounts may have one address (a mother and her child).
        address: canonical (see `portalsec.auth.contacts.canonical_email`); sealed at rest.
        verified_at: when its owner showed that mail to it arrives, or None.
        created_at: when it was added.
    """

    id: str
    account_id: str
    address: str = field(repr=False)
    verified_at: datetime | None
    created_at: datetime


class ContactStore(Protocol):
    """Addresses by account and, through a keyed hash, by address."""

    def add(self, contact: Contact) -> bool:
        """Insert; False where the id is taken or the account has this address already."""
        ...

    def of_account(self, account_id: str) -> Sequence[Contact]:
        """Oldest first."""
        ...

    def by_address(self, address: str) -> Sequence[Contact]:
        """Of every account that has it, verified or not, oldest first."""
        ...

    def verify(self, account_id: str, contact_id: str, *, at: datetime) -> bool:
        """Set ``verified_at`` where it is this account's and unverified. One winner."""
        ...

    def remove(self, account_id: str, contact_id: str) -> bool:
        """Delete where it is this account's; whether anything was deleted."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownDevice:
    """A browser that completed a sign-in of this account. It is no factor: it has a budget of its own.

    Attributes:
        id: opaque; stays when the secret rotates.
        account_id: whose it is.
        digest: SHA-256 of the secret in its cookie.
        previous: the digest before the last rotation; whoever shows that one has a copy of an old cookie.
        label: what its owner sees ("Firefox / Windows").
        created_at, used_at: first and newest full sign-in.
        address: prefix of the newest address, or None.
        trusted_until: until when its owner trusts it (see `portalsec.auth.trust`), or None.
        trusted_setup: fingerprint of the account's password and factors when it was trusted; under another it is not.
    """

    id: str
    account_id: str
    digest: bytes = field(repr=False)
    previous: bytes | None = field(repr=False)
    label: str
    created_at: datetime
    used_at: datetime
    address: str | None = None
    trusted_until: datetime | None = None
    trusted_setup: bytes | None = field(default=None, repr=False)


class DeviceStore(Protocol):
    """Known devices by the digest of their secret."""

    def add(self, device: KnownDevice) -> bool:
        """Insert; False where the id or the digest is taken."""
        ...

    def find(self, digest: bytes) -> KnownDevice | None:
        """The device whose ``digest`` or ``previous`` this is."""
        ...

    def rotate(
        self, device_id: str, *, expected: bytes, digest: bytes, at: datetime, address: str | None
    ) -> bool:
        """Where its digest still is ``expected``: that becomes ``previous``, ``digest`` takes its place. One winner."""
        ...

    def trust(self, account_id: str, device_id: str, *, until: datetime | None, setup: bytes | None) -> bool:
        """Set ``trusted_until`` and ``trusted_setup`` where it is this account's; whether it is."""
        ...

    def of_account(self, account_id: str) -> Sequence[KnownDevice]:
        """Newest use first."""
        ...

    def revoke(self, account_id: str, device_id: str) -> bool:
        """Delete where it is this account's; whether anything was deleted."""
        ...

    def revoke_all(self, account_id: str) -> int:
        """Delete all of the account's; the number deleted."""
        ...

    def purge(self, *, used_until: datetime) -> int:
        """Remove those unused since; the number removed."""
        ...


# -- notices ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that happened to an account, which its owner can see, and may get by mail.

    Also a request for mail by somebody who is nobody yet (a forgotten password): ``account_id`` is None then, and it
    goes once it has been worked on. So a known and an unknown name cost a request the same one row.

    Attributes:
        id: opaque.
        account_id: whose it is, or None.
        kind: see `portalsec.auth.notices.NoticeKind`.
        at: when it happened.
        code: what the mail and the signed-in page both show, so that one can be checked against the other.
        data: details (browser, address prefix, a request's name), at most 4 KiB. They come sealed, bound to the id; a
            store keeps them as opaque bytes.
        due_at: when mail is due, or None where none is (any more).
        mailed_at: when it was handed to the notifier, or None.
        attempts: how often delivery was tried.
        disavowed_at: when the owner said that it was not them, or None.
    """

    id: str
    account_id: str | None
    kind: str
    at: datetime
    code: str
    data: bytes = field(repr=False)
    due_at: datetime | None = None
    mailed_at: datetime | None = None
    attempts: int = 0
    disavowed_at: datetime | None = None


class NoticeStore(Protocol):
    """Notices by account and by when their mail is due."""

    def put(self, notice: Notice) -> bool:
        """Insert; False where the id is taken."""
        ...

    def get(self, notice_id: str) -> Notice | None: ...

    def of_account(self, account_id: str, *, limit: int, before: datetime | None = None) -> Sequence[Notice]:
        """Newest first; only those older than ``before``, where it is given."""
        ...

    def claim(self, *, now: datetime, lease: timedelta, limit: int) -> Sequence[Notice]:
        """Due notices, oldest due first, each to one caller: ``attempts`` is raised and ``due_at`` moved to now + lease.

        So mail of a worker that died is due again after the lease.
        """
        ...

    def mailed(self, notice_id: str, *, at: datetime) -> bool:
        """Set ``mailed_at`` and clear ``due_at``; whether it was due still."""
        ...

    def withdraw(self, notice_id: str) -> bool:
        """Clear ``due_at`` of one that was never tried; whether mail was due."""
        ...

    def postpone(self, notice_id: str, *, attempts: int, due_at: datetime | None) -> bool:
        """After a delivery that failed: set ``due_at`` (None gives up), where it is due still and ``attempts`` is as given.

        So a worker whose claim ran out does not move what another one claimed since. Whether it was set.
        """
        ...

    def remove(self, notice_id: str) -> bool:
        """Delete; whether it was there."""
        ...

    def disavow(self, account_id: str, notice_id: str, *, at: datetime) -> bool:
        """Set ``disavowed_at`` where it is this account's and not disavowed. One winner."""
        ...

    def purge(self, *, until: datetime) -> int:
        """Remove those of that moment and before, whether mailed or not; the number removed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One mail to one address. An object that exists has no header in it that a visitor could have written.

    Attributes:
        to: one address in ASCII, as a `Contact` holds it.
        subject: one line, at most 200 characters.
        text, html: the same letter twice.
        message_id: the same for every delivery of one letter to one address, so that mail systems drop a second copy.
        language: "en", "es".
    """

    to: str = field(repr=False)
    subject: str
    text: str = field(repr=False)
    html: str = field(repr=False)
    message_id: str
    language: str

    def __post_init__(self) -> None:
        # CR, LF and what else ends a header line; commas and brackets, which would make two recipients of one.
        if not _ADDRESS.match(self.to):
            raise ConfigurationError("Message: to is one address in ASCII")
        if not self.subject.strip() or len(self.subject) > 200 or not self.subject.isprintable():
            raise ConfigurationError("Message: subject is one printable line of at most 200 characters")
        if not _MESSAGE_ID.match(self.message_id):
            raise ConfigurationError("Message: message_id is <left@right> in ASCII")
        if not _LANGUAGE.match(self.language):
            raise ConfigurationError("Message: language is a tag such as en or es-MX")


class Notifier(Protocol):
    """Hands one mail to whoever delivers it. Safe for concurrent use; bounded in time (seconds, not minutes)."""

    def send(self, message: Message) -> None:
        """Return once the mail was accepted.

        Raises:
            MailRefused: it never will be (an address that does not exist): another try is of no use.
            StoreError: it was not accepted; try again later. No error's text, cause or context holds the address.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Phone:
    """A number of an account. Keeping and verifying numbers is the application's part.

    Attributes:
        id: opaque.
        account_id: whose it is.
        number: as the sender takes it.
        verified_at: when its owner showed that messages to it arrive, or None: no code goes to it then.
    """

    id: str
    account_id: str
    number: str = field(repr=False)
    verified_at: datetime | None


class CodeSender(Protocol):
    """Knows an account's numbers and sends them text (SMS). Safe for concurrent use; bounded in time (seconds)."""

    def phones(self, account_id: str) -> Sequence[Phone]:
        """The account's, verified or not."""
        ...

    def send(self, phone: Phone, text: str) -> None:
        """Return once the message was accepted. It holds a code: keep it in no log.

        Raises:
            StoreError: it was not accepted. No error's text, cause or context holds the number or the text.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """What the owner of an account, or an officer, looks into.

    Attributes:
        id: opaque.
        account_id: whose account.
        notice_id: the notice that was disavowed, or None where somebody else opened it.
        since: from when on things may have been done by a stranger.
        opened_at: when it was opened.
        closed_at: when an officer closed it, or None.
        data: a summary, at most 64 KiB. It comes sealed, bound to the id; a store keeps it as opaque bytes.
    """

    id: str
    account_id: str
    notice_id: str | None
    since: datetime
    opened_at: datetime
    closed_at: datetime | None = None
    data: bytes = field(default=b"", repr=False)


class IncidentStore(Protocol):
    """Incidents."""

    def open(self, incident: Incident) -> bool:
        """Insert; False where the id is taken or the notice has one already."""
        ...

    def get(self, incident_id: str) -> Incident | None: ...

    def of_account(self, account_id: str) -> Sequence[Incident]:
        """Newest first."""
        ...

    def unclosed(self, *, limit: int) -> Sequence[Incident]:
        """Oldest first."""
        ...

    def close(self, incident_id: str, *, at: datetime) -> bool:
        """Set ``closed_at`` where it is open. One winner."""
        ...


class SignInWatch(Protocol):
    """Who is told of sign-ins, so that the owner can be: see `portalsec.auth.notices`.

    `portalsec.auth.signin.SignIn` calls it, after the fact is recorded in the audit log and never before. What it
    raises ends the sign-in: no session is left behind.
    """

    def pending(self, account: Account, *, source: Source) -> str | None:
        """The password was right and a second factor is asked for. The id of a notice that is due unless withdrawn."""
        ...

    def completed(
        self,
        account: Account,
        *,
        source: Source,
        new_device: bool,
        notice: str | None,
        folded: Sequence[str] = (),
    ) -> None:
        """A session was opened.

        Args:
            new_device: whether this browser had no known device of this account.
            notice: what `pending` returned for this sign-in: it is to be withdrawn.
            folded: what it returned for sign-ins of this account that this browser left for this one: these too.
        """
        ...

    def locked(self, account: Account | None, *, source: Source) -> None:
        """A name's budget was just used up: called once a window, and for a name of nobody with None, at equal work."""
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
        level: how many windows in a row before this one were used up (0 where ``longest`` is not given).
    """

    ok: bool
    window: int
    used: int
    resets_at: datetime
    level: int = 0


class ThrottleStore(Protocol):
    """Counters with a fixed window that starts at the first take.

    Loss of the store's memory forgets attempts; it never invents them. A taken unit that is not given back stays
    taken (a process that dies between take and settle has used its attempt).
    """

    def take(
        self,
        key: str,
        *,
        limit: int,
        window: timedelta,
        now: datetime,
        longest: timedelta | None = None,
        heals: timedelta | None = None,
    ) -> Take:
        """Take one unit if fewer than ``limit`` are in use in the current window, else ``ok=False``.

        At most ``limit`` concurrent takes in one window are ok. A window that has ended by ``now`` starts anew. A
        ``now`` before the window's start (a clock set back) counts as inside it.

        With ``longest`` the budget escalates: a window that starts after one in which all ``limit`` units were in use
        is twice as long as that one, at most ``longest``, unless more than ``heals`` (``longest`` where None) has
        passed since that one's end; then, and after a window that was not used up, it is ``window`` long again.
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
        algorithm, digits, period: how its codes are made (an imported one may differ from the portal's own).
        drift: how many steps its clock was ahead of ours (behind: below zero) when a code was last accepted.
        failures: wrong codes tested in a row, without a right one between.
        used_at: when a code was last accepted, or None.
        removed_at: when its owner removed it: it is no factor any more, and can be restored for a day. None otherwise.
    """

    id: str
    account_id: str
    label: str
    sealed_secret: bytes = field(repr=False)
    confirmed: bool
    last_step: int
    created_at: datetime
    algorithm: str = "SHA1"
    digits: int = 6
    period: int = 30
    drift: int = 0
    failures: int = 0
    used_at: datetime | None = None
    removed_at: datetime | None = None


class TotpStore(Protocol):
    """TOTP devices; `advance` is the one write that decides whether a code is new. Removed devices are out of reach
    of every verb but `removed`, `restore` and `purge_removed`."""

    def add(self, device: TotpDevice) -> None:
        """Insert; an unconfirmed device takes the place of any other unconfirmed device of the account.

        An id that another device has is a `portalsec.errors.StoreError`; that device stays as it is.
        """
        ...

    def devices(self, account_id: str) -> Sequence[TotpDevice]:
        """All devices that are not removed, oldest first."""
        ...

    def confirm(self, account_id: str, device_id: str, step: int) -> bool:
        """Mark as confirmed with ``last_step = step`` and ``failures = 0`` where it is this account's and unconfirmed.

        One winner.
        """
        ...

    def try_(self, account_id: str, device_id: str, *, cap: int, weight: int = 1) -> bool:
        """Add ``weight`` to ``failures`` where it is below ``cap``, before a code is tested; whether it was.

        Of any number of concurrent calls with weight 1, at most ``cap`` in a row are let through. For confirmed devices
        and others.
        """
        ...

    def untry(self, account_id: str, device_id: str, *, weight: int = 1) -> None:
        """Take ``weight`` from ``failures`` (never below zero): the code was not tested, or was another device's."""
        ...

    def advance(
        self, account_id: str, device_id: str, step: int, *, drift: int = 0, at: datetime | None = None
    ) -> bool:
        """Set ``last_step = step`` where the device is this account's, confirmed and ``last_step < step``.

        With it, in the one conditional write: ``failures = 0``, ``drift``, ``used_at = at`` (None leaves it). Of any
        number of concurrent calls with one step, exactly one returns True.
        """
        ...

    def rename(self, account_id: str, device_id: str, label: str) -> bool:
        """Where it is this account's; whether it is."""
        ...

    def remove(self, account_id: str, device_id: str, *, at: datetime | None = None) -> bool:
        """Set ``removed_at`` where it is this account's, confirmed and not removed; without ``at``, or where it is
        unconfirmed, delete it. Whether there was one."""
        ...

    def removed(self, account_id: str) -> Sequence[TotpDevice]:
        """Those that were removed and not purged yet."""
        ...

    def restore(self, account_id: str, device_id: str, *, since: datetime) -> bool:
        """Clear ``removed_at`` where it is later than ``since``, however many the account has. One winner."""
        ...

    def purge_removed(self, *, until: datetime) -> int:
        """Delete those removed at that moment or before; the number deleted."""
        ...


# -- recovery codes ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryCode:
    """A look-up secret (SP 800-63B-4 section 3.1.2) as a keyed hash.

    Attributes:
        account_id: whose it is.
        digest: keyed hash of the code, bound to the account.
        key_id: the key of that hash.
        created_at: when the set was made.
        used_at: when it was spent, or None.
    """

    account_id: str
    digest: bytes = field(repr=False)
    key_id: int
    created_at: datetime
    used_at: datetime | None = None


class RecoveryCodeStore(Protocol):
    """One set of recovery codes an account."""

    def replace(self, account_id: str, codes: Sequence[RecoveryCode]) -> int:
        """Put this set in the place of all the account has, in one step; how many were there, spent or not."""
        ...

    def of_account(self, account_id: str) -> Sequence[RecoveryCode]:
        """Spent ones too."""
        ...

    def spend(self, account_id: str, digests: Sequence[bytes], *, at: datetime) -> RecoveryCode | None:
        """Set ``used_at`` of the unspent code whose digest is one of these, and return it as it is now; None where
        there is none. Of any number of concurrent calls with one code, exactly one gets it."""
        ...

    def unspend(self, account_id: str, digest: bytes) -> bool:
        """Clear ``used_at``: what the code was spent for could not be recorded. Whether it was spent."""
        ...

    def remove(self, account_id: str) -> int:
        """Delete the set; how many there were."""
        ...


# -- passkeys ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Passkey:
    """A public-key credential (WebAuthn Level 3, "credential record").

    Attributes:
        id: opaque; pages and logs name it by this.
        account_id: whose it is.
        credential_id: as the authenticator made it, 1 to 1023 bytes; belongs to one account in the whole portal.
        user_handle: what the authenticator knows the account by: random, never the account's id or name.
        public_key: COSE key.
        algorithm: its COSE algorithm, the only one its signatures are checked with.
        sign_count: newest accepted, or 0.
        label: the owner's name for it.
        aaguid: the authenticator's make, as a UUID in text; zeros where it does not say.
        transports: as the browser named them, for the next request's hints.
        backup_eligible: it may be copied to other devices (a synced passkey); never changes.
        backed_up: it is copied, as of the newest use.
        user_verified: whether its user was ever verified.
        attested: whether its make was proven by an attestation that we verified.
        discoverable: whether it can sign in without a name being typed; None where the browser did not say.
        created_at, used_at: registration and newest use.
        suspect_at: when its counter went backwards (a copy may exist), or None.
        disabled_at: from when on it is no factor (policy on a suspected copy), or None.
        removed_at: when its owner removed it; it can be restored for a day. None otherwise.
        seal: what vouches for all of it that never changes (`portalsec.auth.passkeys.records`); without one it signs
            nobody in. Up to 200 bytes.
    """

    id: str
    account_id: str
    credential_id: bytes = field(repr=False)
    user_handle: bytes = field(repr=False)
    public_key: bytes = field(repr=False)
    algorithm: int
    sign_count: int
    label: str
    aaguid: str
    transports: tuple[str, ...]
    backup_eligible: bool
    backed_up: bool
    user_verified: bool
    attested: bool
    discoverable: bool | None
    created_at: datetime
    used_at: datetime | None = None
    suspect_at: datetime | None = None
    disabled_at: datetime | None = None
    removed_at: datetime | None = None
    seal: bytes | None = field(default=None, repr=False)


class PasskeyStore(Protocol):
    """Passkeys by account and by credential id. Removed ones are out of reach of every verb but `add`, which never
    gives their credential id to anybody else, `removed`, `restore` and `purge_removed`."""

    def add(self, passkey: Passkey, *, at_most: int) -> bool:
        """Insert; False where the id or the credential id is taken by anybody, or the account has ``at_most``."""
        ...

    def of_account(self, account_id: str) -> Sequence[Passkey]:
        """Those not removed, oldest first; disabled ones too."""
        ...

    def by_credential_id(self, credential_id: bytes) -> Passkey | None: ...

    def advance(
        self,
        account_id: str,
        passkey_id: str,
        *,
        expected: int,
        sign_count: int,
        backed_up: bool,
        user_verified: bool,
        at: datetime,
    ) -> bool:
        """After a verified use: where it is this account's, not disabled and its ``sign_count`` still is ``expected``,
        set the new one (never a lower one), ``backed_up``, ``user_verified`` (never back to False) and ``used_at``.
        False, and nothing is set, where the new count is not above ``expected`` and not both are zero: see `suspect`.

        Of concurrent uses with one ``expected`` and a counter that counts, one wins; where both counts are zero (an
        authenticator without a counter) every call wins.
        """
        ...

    def suspect(self, account_id: str, passkey_id: str, *, at: datetime, disable: bool) -> bool:
        """Set ``suspect_at`` where it is not set; with ``disable``, both it and ``disabled_at`` where that one is not.

        The counter stays, and so does an earlier ``suspect_at``. One winner.
        """
        ...

    def rename(self, account_id: str, passkey_id: str, label: str) -> bool:
        """Where it is this account's; whether it is."""
        ...

    def remove(self, account_id: str, passkey_id: str, *, at: datetime | None = None) -> bool:
        """Set ``removed_at``; without ``at`` delete it. Whether it was there, and this account's."""
        ...

    def removed(self, account_id: str) -> Sequence[Passkey]:
        """Those that were removed and not purged yet."""
        ...

    def restore(self, account_id: str, passkey_id: str, *, since: datetime) -> bool:
        """Clear ``removed_at`` where it is later than ``since``, however many the account has. One winner."""
        ...

    def purge_removed(self, *, until: datetime) -> int:
        """Delete those removed at that moment or before; the number deleted."""
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
        proofs: what was shown, oldest first; nothing is taken for proven that is not here.
        level: assurance level of the proofs when it was opened or stepped up (SP 800-63B-4), 0 to 3.
        phishing_resistant: whether one of them is.
        idle, absolute: limits of this session, tightened when it was opened; None where the portal's own are all. Both
            are measured at each check.
        shared: its user said that others use the computer.
        rested_at: when idleness ended it; one factor can resume it. None while it lives.
        anomaly: what changed under it (see `portalsec.auth.anomalies`) until a step-up settled that, or None.
        impersonator: the account of who acts here in the owner's name, or None.
        behind: the digest of that person's own session, without which this one is over; None without an impersonator.
        posture: what an app said about its device; advisory.
        jkt: thumbprint (RFC 7638) of the key that its token is bound to, without whose proof nobody uses it; None for a
            cookie of a browser.
        place: a coarse place that the application found for the address ("Oslo, Norway"), or None.
        address: where it was opened from, or None.
        networks: other networks from which a factor was shown in it since, the newest first, at most 4.
        user_agent: of the browser that opened it, at most 256 characters, or None.
    """

    digest: bytes = field(repr=False)
    account_id: str
    epoch: int
    created_at: datetime
    last_seen_at: datetime
    proofs: tuple[Proof, ...]
    level: int = 1
    phishing_resistant: bool = False
    idle: timedelta | None = None
    absolute: timedelta | None = None
    shared: bool = False
    rested_at: datetime | None = None
    anomaly: str | None = None
    impersonator: str | None = None
    behind: bytes | None = field(default=None, repr=False)
    posture: DevicePosture | None = None
    jkt: str | None = None
    place: str | None = None
    address: str | None = None
    networks: tuple[str, ...] = ()
    user_agent: str | None = None

    @property
    def factors(self) -> tuple[str, ...]:
        """Kinds of factor that were proven, each once, in order ("password", "totp")."""
        return tuple(dict.fromkeys(proof.factor.value for proof in self.proofs))

    @property
    def proven_at(self) -> datetime:
        """When the newest factor was proven; when it was opened where there is none."""
        return max((proof.at for proof in self.proofs), default=self.created_at)


class LoadedSession(NamedTuple):
    """A session and the account's epoch as of the same read. A tuple, since one is made for every request."""

    record: SessionRecord
    current_epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """What `SessionStore.create` did.

    Attributes:
        opened: whether the session is there now.
        ended: sessions of the same account that had to make room for it.
        full: it was not opened because the account has as many as it may, and none is to be ended for it.
    """

    opened: bool
    ended: tuple[SessionRecord, ...] = ()
    full: bool = False

    def __bool__(self) -> bool:
        return self.opened


class SessionStore(Protocol):
    """Sessions by digest, and one epoch an account. A session that rests is there like any other: it is loaded, listed
    and counted; only `touch` does not wake it."""

    def epoch(self, account_id: str) -> int:
        """The account's epoch; 0 before the first `end_all`."""
        ...

    def create(self, record: SessionRecord, *, cap: int | None = None, end_oldest: bool = True) -> Created:
        """Insert where the digest is new and ``record.epoch`` is the account's epoch still.

        With ``cap`` the account has at most so many sessions afterwards, this one included, whatever runs at the same
        moment: those unused the longest are deleted for it, or, without ``end_oldest``, this one is not opened. Sessions
        with an ``impersonator`` take none of its owner's places, and are not deleted for one.
        """
        ...

    def replace(self, old: bytes, record: SessionRecord) -> bool:
        """Delete the session ``old`` and insert this one, in one step, where ``old`` is there, of the same account, and
        the epoch of both is the account's still, and the digest is new. One winner; otherwise nothing changes."""
        ...

    def load(self, digest: bytes) -> LoadedSession | None:
        """One read gives the session and the current epoch."""
        ...

    def touch(self, digest: bytes, *, last_seen_at: datetime) -> bool:
        """Move ``last_seen_at`` forward, never back, where it does not rest; whether the session exists and moved."""
        ...

    def rest(self, digest: bytes, *, at: datetime) -> bool:
        """Set ``rested_at`` where it is not set. One winner."""
        ...

    def flag(self, digest: bytes, anomaly: str, *, expected: str | None) -> bool:
        """Set ``anomaly`` where it still is ``expected``. One winner."""
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
        """The account's sessions of the current epoch, newest first; those that rest too."""
        ...

    def purge(self, *, created_until: datetime) -> int:
        """Remove sessions opened at or before a moment; the number removed. Housekeeping: limits never depend on it."""
        ...
