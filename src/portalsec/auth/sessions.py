"""Sessions that the server ends: idle and absolute limits, epochs, opaque ids."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import ClassVar, TypeAlias

from portalsec._encoding import new_token
from portalsec.auth._door import require_door
from portalsec.auth._input import token_text
from portalsec.auth.assurance import level, phishing_resistant
from portalsec.auth.ports import Mac, SessionRecord, SessionStore
from portalsec.auth.posture import DevicePosture
from portalsec.auth.proof import Proof
from portalsec.clock import Clock
from portalsec.errors import ConfigurationError, Denied, Reason
from portalsec.events import ANONYMOUS, SYSTEM, Actor, Event, Outcome, ResourceRef, SecurityEvent, Source
from portalsec.secret import Secret
from portalsec.typing import Emit

__all__ = [
    "Active",
    "ActiveSession",
    "Ended",
    "NewSession",
    "Required",
    "SessionPolicy",
    "Sessions",
    "evaluate",
]

_ZERO = timedelta(0)
_TOUCH_EVERY = timedelta(seconds=1)
_MAX_USER_AGENT = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPolicy:
    """When a session ends.

    Attributes:
        idle: after this long without a request that counts as activity.
        absolute: after this long in any case.
        warn_before: how long before the idle end the page should warn.
        clock_tolerance: how far two servers' clocks may differ. A time further in the future than this ends the
            session, since a clock that was set back would otherwise lengthen it.
    """

    idle: timedelta
    absolute: timedelta
    warn_before: timedelta = timedelta(0)
    clock_tolerance: timedelta = timedelta(seconds=5)

    HIPAA_CLINIC: ClassVar[SessionPolicy]
    """15 minutes idle, 12 hours in all: automatic logoff (45 CFR 164.312(a)(2)(iii)) as clinics usually set it."""
    KIOSK: ClassVar[SessionPolicy]
    """2 minutes idle, 30 minutes in all: a shared screen in a waiting room."""

    def __post_init__(self) -> None:
        if self.idle < timedelta(seconds=1):
            raise ConfigurationError("SessionPolicy: idle must be one second or longer")
        if self.idle > self.absolute:
            raise ConfigurationError(
                "SessionPolicy: idle is longer than absolute: shorten idle or lengthen absolute"
            )
        if not timedelta(0) <= self.warn_before < self.idle:
            raise ConfigurationError("SessionPolicy: warn_before must be shorter than idle")
        if not timedelta(0) <= self.clock_tolerance <= timedelta(minutes=1):
            raise ConfigurationError("SessionPolicy: clock_tolerance goes from 0 to one minute")


SessionPolicy.HIPAA_CLINIC = SessionPolicy(
    idle=timedelta(minutes=15), absolute=timedelta(hours=12), warn_before=timedelta(minutes=2)
)
SessionPolicy.KIOSK = SessionPolicy(
    idle=timedelta(minutes=2), absolute=timedelta(minutes=30), warn_before=timedelta(seconds=30)
)


# -- kernel -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Active:
    """The session lives; what is left of each limit, more than zero."""

    idle_left: timedelta
    absolute_left: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The session is over."""

    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Required:
    """What every session must have reached, by the portal's sign-in policy. One opened when less was asked is over."""

    level: int = 0
    phishing_resistant: bool = False


ANYTHING = Required()

Standing: TypeAlias = Active | Ended


def evaluate(
    record: SessionRecord,
    now: datetime,
    policy: SessionPolicy,
    current_epoch: int,
    required: Required = ANYTHING,
) -> Standing:
    """Whether a session lives at ``now``. Pure; a session is over exactly at a limit, not after it.

    It is measured against what holds now: an epoch that moved on (SESSION_REVOKED), an assurance that is ``required``
    and was never reached (EVIDENCE_MISSING), limits of the policy and its own, whichever is shorter. Times that are missing, naive, in the future or in the wrong order end
    it (SESSION_CLOCK).
    """
    if record.epoch != current_epoch:
        return Ended(reason=Reason.SESSION_REVOKED)
    if record.level < required.level or (required.phishing_resistant and not record.phishing_resistant):
        return Ended(reason=Reason.EVIDENCE_MISSING)
    created, seen, latest = record.created_at, record.last_seen_at, now + policy.clock_tolerance
    try:
        # An aware time compares with aware times only, so whatever is none raises; a naive clock would hide that.
        possible = now.utcoffset() is not None and created <= seen <= latest
        for proof in record.proofs:
            possible = possible and proof.at <= latest
    except TypeError:
        possible = False
    if not possible:
        return Ended(reason=Reason.SESSION_CLOCK)
    absolute, idle = policy.absolute, policy.idle
    if record.absolute is not None and record.absolute < absolute:
        absolute = record.absolute
    if record.idle is not None and record.idle < idle:
        idle = record.idle
    absolute_left = absolute - (now - created) if created < now else absolute
    if absolute_left <= _ZERO:
        return Ended(reason=Reason.SESSION_EXPIRED)
    idle_left = idle - (now - seen) if seen < now else idle
    if idle_left <= _ZERO or record.rested_at is not None:
        return Ended(reason=Reason.SESSION_IDLE)
    return Active(
        idle_left=idle_left if idle_left < absolute_left else absolute_left, absolute_left=absolute_left
    )


# -- service ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """A session that was just opened; the token goes into the browser's cookie and nowhere else."""

    token: Secret[str]
    account_id: str
    reference: str
    absolute_until: datetime

    @property
    def digest(self) -> bytes:
        """The store's key."""
        return hashlib.sha256(self.token.reveal().encode("ascii")).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveSession:
    """A live session.

    Attributes:
        record: the session as the store holds it.
        left: what is left of each limit, as of this check.
    """

    # Few fields and the rest on demand: this is made for every request.
    record: SessionRecord
    left: Active
    _refer: Callable[[bytes], str] = field(compare=False)

    @property
    def account_id(self) -> str:
        """Whose it is."""
        return self.record.account_id

    @property
    def factors(self) -> tuple[str, ...]:
        """Kinds of factor that were proven, in order."""
        return self.record.factors

    @property
    def idle_left(self) -> timedelta:
        """Time left without activity, as of this check."""
        return self.left.idle_left

    @property
    def absolute_left(self) -> timedelta:
        """Time left in any case, as of this check."""
        return self.left.absolute_left

    @property
    def digest(self) -> bytes:
        """The store's key."""
        return self.record.digest

    @property
    def created_at(self) -> datetime:
        """When it was opened."""
        return self.record.created_at

    @property
    def proven_at(self) -> datetime:
        """When the newest factor was proven."""
        return self.record.proven_at

    @property
    def reference(self) -> str:
        """A keyed reference for logs and pages; the id cannot be found from it. Made when asked for."""
        return self._refer(self.record.digest)

    def __repr__(self) -> str:
        # Without the address and the browser, which the record has.
        return f"ActiveSession(account_id={self.account_id!r}, factors={self.factors!r}, idle_left={self.idle_left!r})"


class Sessions:
    """Checks, ends and lists sessions. Opening one is `SignIn`'s alone.

    Safe for concurrent use. The id in the browser has 256 bits; the store holds its SHA-256. Nothing is cached: a
    session that was ended on any worker is dead at the next check on every worker.

    Args:
        required: what every session must have reached. One that was opened when less was asked ends at its next check
            with EVIDENCE_MISSING.
    """

    def __init__(
        self,
        *,
        store: SessionStore,
        policy: SessionPolicy,
        required: Required = ANYTHING,
        clock: Clock,
        mac: Mac,
        emit: Emit,
    ) -> None:
        self._store = store
        self._required = required
        self._clock = clock
        self._mac = mac
        self._emit = emit
        self.policy = policy

    def check(self, token: object, *, source: Source, passive: bool = False) -> ActiveSession:
        """The live session of a token. Ends it in the store where a limit was passed.

        Args:
            token: the cookie's value.
            source: where the request came from.
            passive: the request does not count as activity (a page that asks how long is left).

        Raises:
            Denied: SESSION_MISSING, SESSION_UNKNOWN, SESSION_IDLE, SESSION_EXPIRED, SESSION_CLOCK,
                SESSION_REVOKED, or EVIDENCE_MISSING (the policy now asks for a factor that it never proved).
            StoreError: the store could not answer; nobody is let in.
        """
        if token is None or token == "":
            raise Denied(Reason.SESSION_MISSING)
        digest = _digest(token)
        loaded = self._store.load(digest) if digest is not None else None
        if digest is None or loaded is None:
            # Never adopted: an id that we did not make opens nothing, so planting one gains nothing (fixation).
            self._emit(
                SecurityEvent(
                    name=Event.AUTH_SESSION_REFUSED,
                    outcome=Outcome.DENIED,
                    actor=ANONYMOUS,
                    reason=Reason.SESSION_UNKNOWN,
                    source=source,
                )
            )
            raise Denied(Reason.SESSION_UNKNOWN)
        record = loaded.record
        # The clock is read after the store, so that another thread's newer `last_seen_at` is not in the future.
        now = self._clock()
        standing = evaluate(record, now, self.policy, loaded.current_epoch, self._required)
        if isinstance(standing, Ended):
            self._end_for(record, standing.reason, source)
            raise Denied(standing.reason)
        if not passive and now - record.last_seen_at >= _TOUCH_EVERY:
            moved = self._store.touch(digest, last_seen_at=now)
            if not moved and self._store.load(digest) is None:  # ended while we looked
                raise Denied(Reason.SESSION_UNKNOWN)
            standing = Active(
                idle_left=min(self.policy.idle, standing.absolute_left), absolute_left=standing.absolute_left
            )
        return ActiveSession(record=record, left=standing, _refer=self._reference)

    def end(self, token: object, *, source: Source, actor: Actor) -> None:
        """End one session; an unknown token is no error. Recorded as revoked by ``actor``."""
        self._end(token, Event.AUTH_SESSION_REVOKED, source=source, actor=actor)

    def end_all(self, account_id: str, *, source: Source, actor: Actor, why: str | None = None) -> int:
        """End every session of the account, and every sign-in that is under way; returns the new epoch.

        Effective at the next check on any worker. ``why`` goes into the record. Called through `Endings.apply`, which
        ends along what else the reason ends.
        """
        ended = len(self._store.of_account(account_id))
        epoch = self._store.end_all(account_id)
        if ended:
            self._emit(
                SecurityEvent(
                    name=Event.AUTH_SESSION_REVOKED,
                    actor=actor,
                    resource=ResourceRef(type="account", id=account_id, count=ended),
                    reason=Reason.SESSION_REVOKED,
                    source=source,
                    details={"why": why} if why else {},
                )
            )
        return epoch

    def end_others(
        self, account_id: str, *, keep: bytes | None, source: Source, actor: Actor, why: str | None = None
    ) -> NewSession | None:
        """End every session of the account; the one whose digest is ``keep`` goes on under a new id.

        The old id is dead as all the others are. What the session is stays: when it was opened, so that the absolute
        limit does not move, its last activity, its factors.

        Returns:
            The session under its new id; None without ``keep``, or where that session was not alive any more.
        """
        record = None if keep is None else self._take(account_id, keep)
        epoch = self.end_all(account_id, source=source, actor=actor, why=why)
        if record is None or epoch != record.epoch + 1:
            return None  # somebody else ended the account's sessions meanwhile, this one included
        token = new_token()
        digest = hashlib.sha256(token.encode("ascii")).digest()
        if not self._store.create(replace(record, digest=digest, epoch=epoch)).opened:
            return None
        return NewSession(
            token=Secret(token),
            account_id=account_id,
            reference=self._reference(digest),
            absolute_until=record.created_at + self.policy.absolute,
        )

    def of_account(self, account_id: str) -> Sequence[SessionRecord]:
        """The account's sessions of the current epoch, newest first, for the owner's list."""
        return self._store.of_account(account_id)

    def epoch(self, account_id: str) -> int:
        """The account's epoch: read it before the evidence for a session is collected."""
        return self._store.epoch(account_id)

    def logout(self, token: object, *, source: Source) -> None:
        """End one session because its holder asked; an unknown token is no error. Called through `SignIn.logout`."""
        self._end(token, Event.AUTH_LOGOUT, source=source, actor=None)

    def open_through(
        self,
        door: object,
        *,
        account_id: str,
        epoch: int,
        proofs: Sequence[Proof],
        source: Source,
        shared: bool = False,
        place: str | None = None,
        posture: DevicePosture | None = None,
    ) -> NewSession:
        """For `SignIn` alone: anything else has no ``door`` and gets a `TypeError`.

        Raises:
            Denied: SESSION_REVOKED where the account's epoch is no longer ``epoch``.
        """
        require_door(door, "a session")
        token = new_token()
        digest = hashlib.sha256(token.encode("ascii")).digest()
        now = self._clock()
        opened = self._store.create(
            SessionRecord(
                digest=digest,
                account_id=account_id,
                epoch=epoch,
                created_at=now,
                last_seen_at=now,
                proofs=tuple(proofs),
                level=level(proofs),
                phishing_resistant=phishing_resistant(proofs),
                shared=shared,
                place=place,
                posture=posture,
                address=source.address,
                user_agent=source.user_agent[:_MAX_USER_AGENT] if source.user_agent else None,
            )
        )
        if not opened.opened:
            raise Denied(Reason.SESSION_REVOKED)
        return NewSession(
            token=Secret(token),
            account_id=account_id,
            reference=self._reference(digest),
            absolute_until=now + self.policy.absolute,
        )

    def discard(self, session: NewSession) -> None:
        """Take back a session whose opening could not be completed; silent."""
        self._store.end(session.digest)

    def _take(self, account_id: str, digest: bytes) -> SessionRecord | None:
        """End a live session and return what it was; None where it was not alive, or another request took it."""
        loaded = self._store.load(digest)
        if loaded is None or loaded.record.account_id != account_id:
            return None
        standing = evaluate(loaded.record, self._clock(), self.policy, loaded.current_epoch, self._required)
        alive = isinstance(standing, Active) and self._store.end(digest)
        return loaded.record if alive else None

    def _end(self, token: object, name: str, *, source: Source, actor: Actor | None) -> None:
        digest = _digest(token)
        loaded = self._store.load(digest) if digest is not None else None
        if digest is None or loaded is None or not self._store.end(digest):
            return
        account_id = loaded.record.account_id
        self._emit(
            SecurityEvent(
                name=name,
                actor=actor or Actor(type="user", id=account_id),
                resource=ResourceRef(type="account", id=account_id),
                source=source,
                session=self._reference(digest),
            )
        )

    def _end_for(self, record: SessionRecord, reason: Reason, source: Source) -> None:
        if not self._store.end(record.digest):
            return  # another request ended and recorded it
        # By a decision (an ended account, a stricter policy), or by time.
        revoked = reason in (Reason.SESSION_REVOKED, Reason.EVIDENCE_MISSING)
        self._emit(
            SecurityEvent(
                name=Event.AUTH_SESSION_REVOKED if revoked else Event.AUTH_SESSION_ENDED,
                actor=SYSTEM,
                resource=ResourceRef(type="account", id=record.account_id),
                reason=reason,
                source=source,
                session=self._reference(record.digest),
            )
        )

    def _reference(self, digest: bytes) -> str:
        return self._mac("session", digest)[:16].hex()


def _digest(token: object) -> bytes | None:
    text = token_text(token)
    return None if text is None else hashlib.sha256(text.encode("ascii")).digest()
