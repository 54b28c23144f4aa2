"""Sessions that the server ends: opaque ids, checked, rotated, resumed, listed and ended."""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from portalsec._encoding import new_token
from portalsec.auth._door import require_door
from portalsec.auth._input import token_text
from portalsec.auth.active_session import ActiveSession, NewSession, holder_of
from portalsec.auth.anomalies import anomaly, networks_shown
from portalsec.auth.assurance import level, phishing_resistant
from portalsec.auth.holder import Holder
from portalsec.auth.ports import Created, LoadedSession, Mac, SessionRecord, SessionStore
from portalsec.auth.posture import DevicePosture
from portalsec.auth.proof import Factor, Proof
from portalsec.auth.session_list import ListedSession, listed
from portalsec.auth.session_policy import Limits, SessionPolicy, SessionRule
from portalsec.auth.session_standing import ANYTHING, Active, Ended, Required, evaluate, may_rest, measured
from portalsec.clock import Clock
from portalsec.errors import Denied, Reason, Tampered
from portalsec.events import ANONYMOUS, SYSTEM, Actor, Event, Outcome, ResourceRef, SecurityEvent, Source
from portalsec.secret import Secret
from portalsec.typing import Emit

__all__ = [
    "Active",
    "ActiveSession",
    "Ended",
    "Limits",
    "ListedSession",
    "NewSession",
    "Required",
    "SessionPolicy",
    "SessionRule",
    "Sessions",
    "evaluate",
]

_TOUCH_EVERY = timedelta(seconds=1)
_MAX_USER_AGENT = 256
_MAX_PLACE = 128
_log = logging.getLogger("portalsec.sessions")
_sha256 = hashlib.sha256
_ANY_TIME = datetime(1970, 1, 1, tzinfo=UTC)


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
        place_of: Callable[[Source], str | None] | None = None,
    ) -> None:
        """``place_of``: a coarse place ("Oslo, Norway") for the owner's list of sessions, as the application knows it of an
        address. It is a hint: where it raises or says nothing, there is none, and nobody is kept out.
        """
        self._store = store
        self._place_of = place_of
        self._required = required
        self._clock = clock
        self._mac = mac
        self._emit = emit
        self.policy = policy

    def check(
        self,
        token: object,
        *,
        source: Source,
        passive: bool = False,
        stepping_up: bool = False,
        holder: Holder | None = None,
    ) -> ActiveSession:
        """The live session of a token. Ends it in the store, or lets it rest, where a limit was passed.

        Args:
            token: the cookie's value.
            source: where the request came from.
            passive: the request does not count as activity (a page that asks how long is left).
            stepping_up: the request shows a factor, or asks how to: it goes through where the session must show one.
            holder: the key that the request has a proof of; None for a cookie. A session that is bound to a key goes with
                that key alone, and one that is bound to none goes with none.

        Raises:
            Denied: SESSION_MISSING, SESSION_UNKNOWN, SESSION_IDLE (see `resumable`), SESSION_EXPIRED, SESSION_CLOCK,
                SESSION_REVOKED, EVIDENCE_MISSING (the policy now asks for more than it ever proved), DPOP_REFUSED (the
                key is not the session's, or its proof was used before), or STEP_UP_REQUIRED (it suddenly comes from elsewhere: see `portalsec.auth.anomalies`).
            StoreError: the store could not answer; nobody is let in.
        """
        if token is None or token == "":
            raise Denied(Reason.SESSION_MISSING)
        digest = _digest(token)
        try:
            loaded = None if digest is None else self._store.load(digest)
        except Tampered:
            loaded = None if digest is None else self._load(digest)
        if digest is None or loaded is None:
            self._refuse_unknown(source)
            raise Denied(Reason.SESSION_UNKNOWN)
        record = loaded.record
        # The clock is read after the store, so that another thread's newer `last_seen_at` is not in the future.
        now = self._clock()
        found = measured(record, now, self.policy, loaded.current_epoch, self._required)
        if not isinstance(found, tuple):
            self._end_for(record, found, source, now)
            raise Denied(found)
        idle_left, absolute_left = found
        if record.behind is not None and not self._stands(record.behind, record.impersonator, now):
            self._end_for(record, Reason.SESSION_REVOKED, source, now)
            raise Denied(Reason.SESSION_REVOKED)
        if record.jkt is not None or holder is not None:
            # Before anything is written: a thief of the token alone neither keeps it alive nor makes it look strange.
            self._held(record, holder, source)
        if record.anomaly or source.user_agent != record.user_agent or source.address != record.address:
            record = self._watched(record, source)
            if not stepping_up and self.policy.anomalies.asks(record.anomaly):
                raise Denied(Reason.STEP_UP_REQUIRED)
        if not passive and now - record.last_seen_at >= _TOUCH_EVERY:
            moved = self._store.touch(digest, last_seen_at=now)
            if not moved and self._gone(digest):  # ended while we looked
                raise Denied(Reason.SESSION_UNKNOWN)
            idle_left = min(self._idle(record), absolute_left)
        return ActiveSession(
            record=record, idle_left=idle_left, absolute_left=absolute_left, _refer=self._reference
        )

    def resumable(self, token: object, *, source: Source) -> SessionRecord:
        """The session of a token that idleness ended and that one factor of its account can resume.

        For `SignIn.resume`, which looks at the factor and calls `resume_through`, and for the page that asks for it.

        Raises:
            Denied: SESSION_MISSING, SESSION_UNKNOWN, FLOW_UNKNOWN (it lives: nothing is to be resumed), EVIDENCE_MISSING
                (it comes from elsewhere: the whole sign-in is asked for), or whatever else ended it for good.
        """
        if token is None or token == "":
            raise Denied(Reason.SESSION_MISSING)
        digest = _digest(token)
        loaded = None if digest is None else self._load(digest)
        if loaded is None:
            self._refuse_unknown(source)
            raise Denied(Reason.SESSION_UNKNOWN)
        record, now = loaded.record, self._clock()
        standing = evaluate(record, now, self.policy, loaded.current_epoch, self._required)
        if isinstance(standing, Active):
            raise Denied(Reason.FLOW_UNKNOWN)
        self._end_for(record, standing.reason, source, now)
        if standing.reason is not Reason.SESSION_IDLE or not may_rest(record, self.policy):
            raise Denied(standing.reason)
        if self.policy.anomalies.asks(self._found(record, source)):
            raise Denied(Reason.EVIDENCE_MISSING)
        return record

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
        again = replace(record, digest=digest, epoch=epoch)
        return self._new(token, again) if self._store.create(again).opened else None

    def of_account(self, account_id: str) -> Sequence[SessionRecord]:
        """The account's sessions of the current epoch, newest first, as the store holds them; ended ones too."""
        return self._store.of_account(account_id)

    def listed(self, account_id: str, *, current: ActiveSession | None = None) -> tuple[ListedSession, ...]:
        """What the owner sees: the account's sessions that live or rest, the newest use first."""
        now, own = self._clock(), self._store.of_account(account_id)
        lasting = [
            record
            for record in own
            if isinstance(found := evaluate(record, now, self.policy, record.epoch, self._required), Active)
            or (found.reason is Reason.SESSION_IDLE and may_rest(record, self.policy))
        ]
        return listed(lasting, refer=self._reference, current=None if current is None else current.digest)

    def end_one(self, account_id: str, reference: object, *, source: Source, actor: Actor) -> bool:
        """End the account's session of this reference, at once and on every worker; whether there was one."""
        for record in self._store.of_account(account_id):
            known = [digest[:16].hex() for digest in self._mac.all("session", record.digest)]
            if reference in known and self._store.end(record.digest):
                self._tell(
                    Event.AUTH_SESSION_REVOKED, record, source, actor=actor, reason=Reason.SESSION_REVOKED
                )
                return True
        return False

    def epoch(self, account_id: str) -> int:
        """The account's epoch: read it before the evidence for a session is collected."""
        return self._store.epoch(account_id)

    def logout(self, token: object, *, source: Source, jkt: str | None = None) -> None:
        """End one session because its holder asked; an unknown token is no error. Called through `SignIn.logout`.

        One that is bound to a key is its holder's to end: without ``jkt``, its thumbprint, a token opens and ends nothing.
        Of one in which support acts, their own behind it ends too, as in `Impersonation.leave`.
        """
        digest = _digest(token)
        loaded = None if digest is None else self._load(digest)
        if loaded is not None and loaded.record.jkt == jkt:
            self._end(token, Event.AUTH_LOGOUT, source=source, actor=None)
            if loaded.record.impersonator is not None:
                self._end_behind(loaded.record, source)

    def open_through(
        self,
        door: object,
        *,
        account_id: str,
        epoch: int,
        proofs: Sequence[Proof],
        source: Source,
        shared: bool = False,
        roles: Iterable[str] = (),
        posture: DevicePosture | None = None,
    ) -> NewSession:
        """For `SignIn` alone: anything else has no ``door`` and gets a `TypeError`.

        Args:
            epoch: the account's, as it was before the first of the proofs.
            proofs: what was shown.
            shared: the user said that others use the computer.
            roles: of the account now; with the assurance of the proofs they choose the rules of the policy.
            posture: what an app said about its device.

        Raises:
            Denied: SESSION_REVOKED where the account's epoch is no longer ``epoch``; SESSION_LIMIT where the account has
                as many sessions as it may, and the policy lets none of them go.
        """
        require_door(door, "a session")
        reached, now, token = level(proofs), self._clock(), new_token()
        limits = self.policy.limits(roles=roles, level=reached, shared=shared)
        record = SessionRecord(
            digest=_hashed(token),
            account_id=account_id,
            epoch=epoch,
            created_at=now,
            last_seen_at=now,
            proofs=tuple(proofs),
            level=reached,
            phishing_resistant=phishing_resistant(proofs),
            idle=limits.idle,
            absolute=limits.absolute,
            shared=shared,
            posture=posture,
            place=self._place(source),
            address=source.address,
            user_agent=_cut(source.user_agent),
        )
        opened = self._made_room(record, source, now)
        if not opened.opened:
            raise Denied(Reason.SESSION_LIMIT if opened.full else Reason.SESSION_REVOKED)
        return self._new(token, record)

    def rotate_through(
        self,
        door: object,
        session: ActiveSession,
        *,
        proofs: Sequence[Proof] = (),
        source: Source,
        roles: Iterable[str] = (),
        settles: bool = True,
        posture: DevicePosture | None = None,
    ) -> NewSession:
        """Give a session another id, with what was shown since; the old id is dead. For step-up and privilege changes.

        It stays as old as it is, so the absolute limit does not move; limits only get tighter.

        Args:
            settles: the proof, if any, is one that settles what was strange about the session: from here on it is
                compared with ``source``.
            posture: what an app says about its device now; None: what it said before stays.

        Raises:
            Denied: SESSION_UNKNOWN where it ended meanwhile, or another request rotated it; IMPERSONATED.
        """
        require_door(door, "a session")
        session.require_owner()
        return self._replaced(
            session.record, proofs, source=source, roles=roles, settles=settles, posture=posture
        )

    def resume_through(
        self,
        door: object,
        record: SessionRecord,
        *,
        proofs: Sequence[Proof],
        source: Source,
        roles: Iterable[str] = (),
        posture: DevicePosture | None = None,
    ) -> NewSession:
        """Go on with what `resumable` returned, under another id. One winner. ``posture`` as at `rotate_through`.

        Raises:
            Denied: EVIDENCE_MISSING without a proof; SESSION_UNKNOWN where another request resumed it, or it was ended.
        """
        require_door(door, "a session")
        if not proofs or not may_rest(record, self.policy):
            raise Denied(Reason.EVIDENCE_MISSING)
        # A password alone settles nothing that was strange: see `StepUp`.
        more = any(proof.factor is not Factor.PASSWORD for proof in proofs)
        session = self._replaced(record, proofs, source=source, roles=roles, settles=more, posture=posture)
        try:
            self._emit(
                SecurityEvent(
                    name=Event.AUTH_SESSION_RESUMED,
                    actor=Actor(type="user", id=record.account_id),
                    resource=ResourceRef(type="account", id=record.account_id),
                    source=source,
                    session=session.reference,
                    details={"factors": "+".join(proof.factor.value for proof in proofs)},
                )
            )
        except BaseException:
            self.discard(session)  # not recorded means not resumed
            raise
        return session

    def bind_through(self, door: object, session: NewSession, jkt: str, *, source: Source) -> NewSession:
        """For `portalsec.auth.dpop` alone: a session that was just opened, under another id that only a key may use.

        It stays bound for as long as it lives, under every later id. One winner.

        Returns:
            The session; the token of before is dead.

        Raises:
            Denied: SESSION_UNKNOWN where it ended meanwhile, or is bound already; then, and where it could not be recorded,
                it is over.
        """
        require_door(door, "a bound session")
        loaded = self._load(session.digest)
        bound: NewSession | None = None
        try:
            if (
                loaded is not None
                and loaded.record.jkt is None
                and loaded.record.account_id == session.account_id
            ):
                token = new_token()
                record = replace(loaded.record, digest=_hashed(token), jkt=jkt)
                if self._store.replace(session.digest, record):
                    bound = self._new(token, record)
                    self._tell(Event.AUTH_SESSION_BOUND, record, source, actor=holder_of(record))
                    return bound
            raise Denied(Reason.SESSION_UNKNOWN)
        except BaseException:
            # Not bound means not signed in: a token that anybody may use is not what its client asked for.
            self.discard(session)
            if bound is not None:
                self.discard(bound)
            raise

    def impersonate_through(
        self,
        door: object,
        staff: ActiveSession,
        account_id: str,
        *,
        epoch: int,
        lasting: timedelta,
        source: Source,
        roles: Iterable[str] = (),
    ) -> NewSession:
        """For `portalsec.auth.impersonation` alone: a session of ``account_id`` in which somebody else acts.

        It has no proofs, since its owner showed nothing: whatever asks for a factor is refused. Its assurance is what the
        staff's own proofs are worth, and no more. It is over when the staff's own session is.

        Args:
            roles: of the owner; with the assurance they choose the rules of the policy, as in a session of the owner's.

        Raises:
            Denied: IMPERSONATED (``staff`` is such a session itself); SESSION_REVOKED.
        """
        require_door(door, "a session")
        staff.require_owner()
        now, token, reached = self._clock(), new_token(), level(staff.proofs)
        limits = self.policy.limits(roles=roles, level=reached, shared=False)
        record = SessionRecord(
            digest=_hashed(token),
            account_id=account_id,
            epoch=epoch,
            created_at=now,
            last_seen_at=now,
            proofs=(),
            level=reached,
            phishing_resistant=phishing_resistant(staff.proofs),
            idle=_shorter(staff.record.idle, limits.idle),
            absolute=_shorter(lasting, limits.absolute),
            shared=True,
            jkt=staff.record.jkt,  # whoever acts holds it as they hold their own
            impersonator=staff.account_id,
            behind=staff.digest,
            address=source.address,
            user_agent=_cut(source.user_agent),
        )
        if not self._store.create(record).opened:
            raise Denied(Reason.SESSION_REVOKED)
        return self._new(token, record)

    def end_impersonated(self, session: ActiveSession) -> bool:
        """End a session in which support acts, for `Impersonation.stop`, which records it; whether it was there."""
        return session.impersonator is not None and self._store.end(session.digest)

    def end_behind(self, session: ActiveSession, *, source: Source) -> None:
        """End the staff's own session behind one in which they act, as its holder who signs out."""
        self._end_behind(session.record, source)

    def _end_behind(self, acting: SessionRecord, source: Source) -> None:
        behind = acting.behind
        loaded = None if behind is None else self._load(behind)
        if behind is None or loaded is None or loaded.record.account_id != acting.impersonator:
            return
        if self._store.end(behind):
            self._tell(Event.AUTH_LOGOUT, loaded.record, source, actor=holder_of(loaded.record))

    def discard(self, session: NewSession) -> None:
        """Take back a session whose opening could not be completed; silent."""
        self._store.end(session.digest)

    def _take(self, account_id: str, digest: bytes) -> SessionRecord | None:
        """End a live session and return what it was; None where it was not alive, or another request took it."""
        loaded = self._load(digest)
        if loaded is None or loaded.record.account_id != account_id:
            return None
        standing = evaluate(loaded.record, self._clock(), self.policy, loaded.current_epoch, self._required)
        alive = isinstance(standing, Active) and self._store.end(digest)
        return loaded.record if alive else None

    def _end(self, token: object, name: str, *, source: Source, actor: Actor | None) -> None:
        digest = _digest(token)
        loaded = None if digest is None else self._load(digest)
        if digest is None or loaded is None or not self._store.end(digest):
            return
        account_id = loaded.record.account_id
        if actor is None and loaded.record.impersonator is not None:
            name = (
                Event.AUTH_IMPERSONATION_ENDED
            )  # whoever signs out here is not the owner, who may still be signed in
        self._emit(
            SecurityEvent(
                name=name,
                actor=actor or holder_of(loaded.record),
                resource=ResourceRef(type="account", id=account_id),
                source=source,
                session=self._reference(digest),
            )
        )

    def _end_for(self, record: SessionRecord, reason: Reason, source: Source, now: datetime) -> None:
        """End a session for a reason, or let it rest after an idle end. Whoever does it records it; the others do not."""
        rests = reason is Reason.SESSION_IDLE and may_rest(record, self.policy)
        if rests:
            first = record.rested_at is None and self._store.rest(record.digest, at=now)
        else:
            first = self._store.end(record.digest)
        if not first:
            return
        # By a decision (an ended account, a stricter policy), or by time.
        revoked = reason in (Reason.SESSION_REVOKED, Reason.EVIDENCE_MISSING)
        name = Event.AUTH_SESSION_REVOKED if revoked else Event.AUTH_SESSION_ENDED
        self._tell(name, record, source, actor=SYSTEM, reason=reason)

    def _tell(
        self,
        name: str,
        record: SessionRecord,
        source: Source,
        *,
        actor: Actor,
        reason: Reason | None = None,
        outcome: Outcome = Outcome.SUCCESS,
        **details: str,
    ) -> None:
        self._emit(
            SecurityEvent(
                name=name,
                outcome=outcome,
                actor=actor,
                resource=ResourceRef(type="account", id=record.account_id),
                reason=reason,
                source=source,
                session=self._reference(record.digest),
                details=details,
            )
        )

    def _refuse_unknown(self, source: Source) -> None:
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

    def _gone(self, digest: bytes) -> bool:
        """Whether a session that could not be touched is no more, or rests; else another request touched it first."""
        again = self._load(digest)
        return again is None or again.record.rested_at is not None

    def _load(self, digest: bytes) -> LoadedSession | None:
        """What the store has; None for what nobody can read, which is ended: it would be refused for ever."""
        try:
            return self._store.load(digest)
        except Tampered:
            pass
        with suppress(Tampered):  # it is gone all the same
            self._store.end(digest)
        return None

    def _stands(self, digest: bytes, account_id: str | None, now: datetime) -> bool:
        """Whether the session of who acts in an owner's name lives."""
        loaded = self._load(digest)
        if loaded is None or loaded.record.account_id != account_id:
            return False
        standing = evaluate(loaded.record, now, self.policy, loaded.current_epoch, self._required)
        if self.policy.anomalies.asks(loaded.record.anomaly):
            return False  # who holds it has to show a factor first, in their own name
        # They act in the owner's name, not in their own: their idle limit is that of the session they act in.
        return isinstance(standing, Active) or standing.reason is Reason.SESSION_IDLE

    def _found(self, record: SessionRecord, source: Source) -> str | None:
        return anomaly(
            address=record.address,
            user_agent=record.user_agent,
            now_address=source.address,
            now_user_agent=_cut(source.user_agent),
            policy=self.policy.anomalies,
            before=record.anomaly,
            networks=record.networks,
        )

    def _held(self, record: SessionRecord, holder: Holder | None, source: Source) -> None:
        """Refuse whoever does not hold the key that the session is bound to, and take the proof of who does."""
        if (
            holder is None
            or record.jkt is None
            or not hmac.compare_digest(record.jkt.encode(), holder.jkt.encode())
        ):
            what = "bound" if holder is None else "unbound" if record.jkt is None else "key"
            self._tell(
                Event.AUTH_SESSION_REFUSED,
                record,
                source,
                actor=ANONYMOUS,
                reason=Reason.DPOP_REFUSED,
                outcome=Outcome.DENIED,
                check=what,
            )
            raise Denied(Reason.DPOP_REFUSED)
        holder.spend()

    def _watched(self, record: SessionRecord, source: Source) -> SessionRecord:
        """The record with what is strange about this request, which is recorded once a session and kind."""
        found = self._found(record, source)
        if found is None or found == record.anomaly:
            return record
        if self._store.flag(record.digest, found, expected=record.anomaly):
            self._tell(
                Event.AUTH_SESSION_ANOMALY,
                record,
                source,
                actor=holder_of(record),
                outcome=Outcome.DENIED if self.policy.anomalies.asks(found) else Outcome.SUCCESS,
                what=found,
            )
        return replace(record, anomaly=found)

    def _idle(self, record: SessionRecord) -> timedelta:
        return self.policy.idle if record.idle is None else min(record.idle, self.policy.idle)

    def _absolute(self, record: SessionRecord) -> timedelta:
        return self.policy.absolute if record.absolute is None else min(record.absolute, self.policy.absolute)

    def _new(self, token: str, record: SessionRecord) -> NewSession:
        return NewSession(
            token=Secret(token),
            account_id=record.account_id,
            reference=self._reference(record.digest),
            absolute_until=record.created_at + self._absolute(record),
            shared=record.shared,
            jkt=record.jkt,
        )

    def _replaced(
        self,
        before: SessionRecord,
        proofs: Sequence[Proof],
        *,
        source: Source,
        roles: Iterable[str],
        settles: bool,
        posture: DevicePosture | None = None,
    ) -> NewSession:
        shown = _merged(before.proofs, proofs)
        reached, now, token = max(level(shown), before.level), self._clock(), new_token()
        limits = self.policy.limits(roles=roles, level=reached, shared=before.shared)
        record = replace(
            before,
            digest=_hashed(token),
            last_seen_at=max(now, before.last_seen_at),
            proofs=shown,
            level=reached,
            phishing_resistant=before.phishing_resistant or phishing_resistant(shown),
            idle=_shorter(before.idle, limits.idle),
            absolute=_shorter(before.absolute, limits.absolute),
            rested_at=None,
            posture=posture or before.posture,
        )
        if proofs and settles:  # else what is strange stays strange, and what it is compared with stays too
            record = replace(
                record,
                anomaly=None,
                place=self._place(source),
                # Where nothing is known of this request, the next one is compared with what was known before.
                address=source.address or before.address,
                networks=networks_shown(before.networks, address=before.address, now_address=source.address),
                user_agent=_cut(source.user_agent),
            )
        if not self._store.replace(before.digest, record):
            raise Denied(Reason.SESSION_UNKNOWN)
        return self._new(token, record)

    def _place(self, source: Source) -> str | None:
        if self._place_of is None:
            return None
        try:
            place: object = self._place_of(source)
        except Exception as error:  # noqa: BLE001 - the application's own; and its text may hold the address
            _log.warning("place_of raised %s: the session is listed without a place", type(error).__name__)
            return None
        return place[:_MAX_PLACE] if isinstance(place, str) and place.isprintable() and place else None

    def _made_room(self, record: SessionRecord, source: Source, now: datetime) -> Created:
        """Insert, and end what must go for it. What is over, or rests, goes before anything that lives."""
        cap = self.policy.max_sessions
        if cap is None:
            return self._store.create(record)
        # Who acts in the owner's name takes none of the owner's places.
        own = [each for each in self._store.of_account(record.account_id) if each.impersonator is None]
        if len(own) >= cap:
            for each in own:
                standing = evaluate(each, now, self.policy, each.epoch, self._required)
                if isinstance(standing, Ended) and self._store.end(each.digest) and each.rested_at is None:
                    self._tell(Event.AUTH_SESSION_ENDED, each, source, actor=SYSTEM, reason=standing.reason)
        created = self._store.create(record, cap=cap, end_oldest=self.policy.at_most == "end_oldest")
        for each in created.ended:
            self._tell(Event.AUTH_SESSION_REVOKED, each, source, actor=SYSTEM, reason=Reason.SESSION_LIMIT)
        return created

    def _reference(self, digest: bytes) -> str:
        return self._mac("session", digest)[:16].hex()


def _digest(token: object) -> bytes | None:
    text = token_text(token)
    return None if text is None else _sha256(text.encode()).digest()


def _hashed(token: str) -> bytes:
    return hashlib.sha256(token.encode("ascii")).digest()


def _cut(user_agent: str | None) -> str | None:
    return user_agent[:_MAX_USER_AGENT] if user_agent else None


def _shorter(one: timedelta | None, other: timedelta | None) -> timedelta | None:
    return min((limit for limit in (one, other) if limit is not None), default=None)


def _merged(before: Sequence[Proof], now: Sequence[Proof]) -> tuple[Proof, ...]:
    """All proofs, of those that differ in nothing but their time the newest; so their number stays small."""
    newest: dict[Proof, Proof] = {}
    for proof in sorted((*before, *now), key=lambda each: each.at):
        like = replace(proof, at=_ANY_TIME)
        newest.pop(like, None)
        newest[like] = proof
    return tuple(newest.values())
