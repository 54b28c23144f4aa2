"""Every port in the memory of one process: for tests and for trying things out.

All of it is gone when the process ends, and two processes share nothing, so a portal with more than one worker
must not use it. Within a process every verb holds its store's lock, which makes it atomic.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from portalsec.audit.ports import Entry, StoredCheckpoint, StoredEntry
from portalsec.auth.ports import Account, Flow, LoadedSession, SessionRecord, Take, TotpDevice
from portalsec.clock import from_unix_microseconds, unix_microseconds
from portalsec.crypto.ports import Erased, Rewrap, SubjectKey
from portalsec.errors import StoreError

__all__ = [
    "MemoryAccounts",
    "MemoryAssignments",
    "MemoryAudit",
    "MemoryFlows",
    "MemorySessions",
    "MemorySubjectKeys",
    "MemoryThrottle",
    "MemoryTotp",
]


class MemoryAccounts:
    """`portalsec.auth.ports.AccountStore`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_id: dict[str, Account] = {}
        self._ids: dict[str, str] = {}

    def create(self, account: Account, *, now: datetime) -> bool:
        with self._lock:
            if account.id in self._by_id or account.login in self._ids:
                return False
            self._by_id[account.id] = account
            self._ids[account.login] = account.id
            return True

    def get(self, account_id: str) -> Account | None:
        with self._lock:
            return self._by_id.get(account_id)

    def by_login(self, login: str) -> Account | None:
        with self._lock:
            account_id = self._ids.get(login)
            return None if account_id is None else self._by_id[account_id]

    def set_password(self, account_id: str, new_hash: str, *, expected: str | None) -> bool:
        with self._lock:
            account = self._by_id.get(account_id)
            if account is None or account.password_hash != expected:
                return False
            self._by_id[account_id] = replace(account, password_hash=new_hash)
            return True

    def set_disabled(self, account_id: str, disabled: bool) -> bool:
        with self._lock:
            account = self._by_id.get(account_id)
            if account is None or account.disabled == disabled:
                return False
            self._by_id[account_id] = replace(account, disabled=disabled)
            return True


@dataclass(slots=True)
class _Counter:
    start: int
    end: int
    used: int


_SWEEP_EVERY = 4096


class MemoryThrottle:
    """`portalsec.auth.ports.ThrottleStore`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: dict[str, _Counter] = {}
        self._takes = 0

    def take(self, key: str, *, limit: int, window: timedelta, now: datetime) -> Take:
        moment = unix_microseconds(now)
        with self._lock:
            self._sweep(moment)
            counter = self._counters.get(key)
            if counter is None or counter.end <= moment:
                counter = _Counter(moment, unix_microseconds(now + window), 0)
            ok = counter.used < limit
            if ok:
                counter.used += 1
                self._counters[key] = counter
            return Take(
                ok=ok,
                window=counter.start,
                used=counter.used,
                resets_at=from_unix_microseconds(counter.end),
            )

    def give_back(self, key: str, *, window: int) -> None:
        with self._lock:
            counter = self._counters.get(key)
            if counter is not None and counter.start == window:
                counter.used = max(0, counter.used - 1)

    def clear(self, key: str) -> None:
        with self._lock:
            self._counters.pop(key, None)

    def _sweep(self, moment: int) -> None:
        # A visitor chooses some of the keys: without this, memory would grow with every name that is tried.
        self._takes += 1
        if self._takes % _SWEEP_EVERY == 0:
            self._counters = {key: kept for key, kept in self._counters.items() if kept.end > moment}


class MemoryFlows:
    """`portalsec.auth.ports.FlowStore`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flows: dict[bytes, Flow] = {}

    def put(self, flow: Flow) -> bool:
        with self._lock:
            if flow.digest in self._flows:
                return False
            self._flows[flow.digest] = flow
            return True

    def attempt(self, digest: bytes, purpose: str, *, limit: int, now: datetime) -> Flow | None:
        with self._lock:
            flow = self._live(digest, purpose, now)
            if flow is None:
                return None
            if flow.attempts >= limit:
                del self._flows[digest]
                return None
            counted = replace(flow, attempts=flow.attempts + 1)
            self._flows[digest] = counted
            return counted

    def consume(self, digest: bytes, purpose: str, *, now: datetime) -> Flow | None:
        with self._lock:
            flow = self._live(digest, purpose, now)
            if flow is not None:
                del self._flows[digest]
            return flow

    def drop_account(self, account_id: str) -> int:
        with self._lock:
            return self._remove(lambda flow: flow.account_id == account_id)

    def purge(self, *, now: datetime) -> int:
        with self._lock:
            return self._remove(lambda flow: flow.expires_at <= now)

    def _live(self, digest: bytes, purpose: str, now: datetime) -> Flow | None:
        flow = self._flows.get(digest)
        if flow is None or flow.purpose != purpose:
            return None
        if flow.expires_at <= now:
            del self._flows[digest]
            return None
        return flow

    def _remove(self, gone: Callable[[Flow], bool]) -> int:
        kept = {digest: flow for digest, flow in self._flows.items() if not gone(flow)}
        removed = len(self._flows) - len(kept)
        self._flows = kept
        return removed


class MemoryTotp:
    """`portalsec.auth.ports.TotpStore`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._devices: dict[str, TotpDevice] = {}

    def add(self, device: TotpDevice) -> None:
        with self._lock:
            kept = {
                key: other
                for key, other in self._devices.items()
                if other.confirmed or other.account_id != device.account_id
            }
            if device.id in kept:
                raise StoreError(f"a TOTP device with the id {device.id!r} exists already")
            self._devices = {**kept, device.id: device}

    def devices(self, account_id: str) -> Sequence[TotpDevice]:
        with self._lock:
            own = [device for device in self._devices.values() if device.account_id == account_id]
        return tuple(sorted(own, key=lambda device: (device.created_at, device.id)))

    def confirm(self, account_id: str, device_id: str, step: int) -> bool:
        with self._lock:
            device = self._devices.get(device_id)
            if device is None or device.account_id != account_id or device.confirmed:
                return False
            self._devices[device_id] = replace(device, confirmed=True, last_step=step)
            return True

    def advance(self, account_id: str, device_id: str, step: int) -> bool:
        with self._lock:
            device = self._devices.get(device_id)
            if (
                device is None
                or device.account_id != account_id
                or not device.confirmed
                or device.last_step >= step
            ):
                return False
            self._devices[device_id] = replace(device, last_step=step)
            return True

    def remove(self, account_id: str, device_id: str) -> bool:
        with self._lock:
            device = self._devices.get(device_id)
            if device is None or device.account_id != account_id:
                return False
            del self._devices[device_id]
            return True


class MemorySessions:
    """`portalsec.auth.ports.SessionStore`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: dict[bytes, SessionRecord] = {}
        self._epochs: dict[str, int] = {}

    def epoch(self, account_id: str) -> int:
        with self._lock:
            return self._epochs.get(account_id, 0)

    def create(self, record: SessionRecord) -> bool:
        with self._lock:
            if record.digest in self._sessions or record.epoch != self._epochs.get(record.account_id, 0):
                return False
            self._sessions[record.digest] = record
            return True

    def load(self, digest: bytes) -> LoadedSession | None:
        with self._lock:
            record = self._sessions.get(digest)
            if record is None:
                return None
            return LoadedSession(record=record, current_epoch=self._epochs.get(record.account_id, 0))

    def touch(self, digest: bytes, *, last_seen_at: datetime) -> bool:
        with self._lock:
            record = self._sessions.get(digest)
            if record is None or record.last_seen_at >= last_seen_at:
                return False
            self._sessions[digest] = replace(record, last_seen_at=last_seen_at)
            return True

    def end(self, digest: bytes) -> bool:
        with self._lock:
            return self._sessions.pop(digest, None) is not None

    def end_all(self, account_id: str) -> int:
        with self._lock:
            epoch = self._epochs.get(account_id, 0) + 1
            self._epochs[account_id] = epoch
            self._sessions = {
                digest: record for digest, record in self._sessions.items() if record.account_id != account_id
            }
            return epoch

    def of_account(self, account_id: str) -> Sequence[SessionRecord]:
        with self._lock:
            own = [record for record in self._sessions.values() if record.account_id == account_id]
        return tuple(sorted(own, key=lambda record: (record.created_at, record.digest), reverse=True))

    def purge(self, *, created_until: datetime) -> int:
        with self._lock:
            kept = {d: record for d, record in self._sessions.items() if record.created_at > created_until}
            removed = len(self._sessions) - len(kept)
            self._sessions = kept
            return removed


class MemoryAudit:
    """`portalsec.audit.ports.AuditStore`, durable only as long as the process lives."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self._staged: list[Entry] = []
        self._placed: list[Entry] = []
        self._checkpoints: list[StoredCheckpoint] = []

    def append(self, entries: Sequence[Entry]) -> None:
        with self._lock:
            for entry in entries:
                if entry.id not in self._known:
                    self._known.add(entry.id)
                    self._staged.append(entry)

    def integrate(self) -> int:
        with self._lock:
            self._placed.extend(self._staged)
            self._staged.clear()
            return len(self._placed)

    def size(self) -> int:
        with self._lock:
            return len(self._placed)

    def read(self, start: int, stop: int) -> Sequence[StoredEntry]:
        start = max(0, start)
        with self._lock:
            return tuple(
                _stored(index, entry)
                for index, entry in enumerate(self._placed[start : max(start, stop)], start)
            )

    def staged(self) -> Sequence[Entry]:
        with self._lock:
            return tuple(self._staged)

    def newest(self, *, limit: int, before: int | None = None) -> Sequence[StoredEntry]:
        with self._lock:
            return self._select(lambda _: True, limit, before)

    def of_subject(self, subject: str, *, limit: int, before: int | None = None) -> Sequence[StoredEntry]:
        with self._lock:
            return self._select(lambda entry: subject in entry.subjects, limit, before)

    def subject_index(self, start: int, stop: int) -> Iterable[tuple[int, str]]:
        start = max(0, start)
        with self._lock:
            placed = self._placed[start : max(start, stop)]
        return [
            (index, subject)
            for index, entry in enumerate(placed, start)
            for subject in sorted(set(entry.subjects))
        ]

    def save_checkpoint(self, checkpoint: StoredCheckpoint) -> bool:
        with self._lock:
            if self._checkpoints and self._checkpoints[-1].size >= checkpoint.size:
                return False
            self._checkpoints.append(checkpoint)
            return True

    def checkpoints(self) -> Sequence[StoredCheckpoint]:
        with self._lock:
            return tuple(self._checkpoints)

    def intrusions(self) -> Sequence[str]:
        return ()

    def _select(
        self, wanted: Callable[[Entry], bool], limit: int, before: int | None
    ) -> Sequence[StoredEntry]:
        found: list[StoredEntry] = []
        top = len(self._placed) if before is None else min(before, len(self._placed))
        for index in range(top - 1, -1, -1):
            if len(found) >= limit:
                break
            if wanted(self._placed[index]):
                found.append(_stored(index, self._placed[index]))
        return tuple(found)


def _stored(index: int, entry: Entry) -> StoredEntry:
    return StoredEntry(index=index, body=entry.body, leaf=entry.leaf, id=entry.id)


class MemoryAssignments:
    """`portalsec.rbac.ports.AssignmentStore`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._roles: dict[str, set[str]] = {}

    def roles_of(self, subject_id: str) -> frozenset[str]:
        with self._lock:
            return frozenset(self._roles.get(subject_id, ()))

    def assign(self, subject_id: str, role: str) -> bool:
        with self._lock:
            roles = self._roles.setdefault(subject_id, set())
            if role in roles:
                return False
            roles.add(role)
            return True

    def revoke(self, subject_id: str, role: str) -> bool:
        with self._lock:
            roles = self._roles.get(subject_id, set())
            if role not in roles:
                return False
            roles.remove(role)
            return True


class MemorySubjectKeys:
    """`portalsec.crypto.ports.SubjectKeyStore`: what was written under a key is unreadable when the process ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: dict[tuple[str, str], SubjectKey] = {}

    def get(self, purpose: str, subject: str) -> SubjectKey | None:
        with self._lock:
            return self._keys.get((purpose, subject))

    def get_many(self, purpose: str, subjects: Sequence[str]) -> Mapping[str, SubjectKey]:
        with self._lock:
            found = {subject: self._keys.get((purpose, subject)) for subject in subjects}
        return {subject: key for subject, key in found.items() if key is not None}

    def get_or_create(self, key: SubjectKey) -> SubjectKey:
        with self._lock:
            return self._keys.setdefault((key.purpose, key.subject), key)

    def erase(self, purpose: str, subject: str, *, now: datetime) -> Erased:
        with self._lock:
            key = self._keys.get((purpose, subject)) or SubjectKey(
                purpose=purpose, subject=subject, key_id=None, commitment=None, wrapped=None, created_at=now
            )
            if key.erased_at is not None:
                return Erased(key=key, won=False)
            erased = replace(key, wrapped=None, erased_at=now)
            self._keys[purpose, subject] = erased
            return Erased(key=erased, won=True)

    def rewrap(self, purpose: str, changes: Sequence[Rewrap]) -> Sequence[bool]:
        with self._lock:
            return tuple(self._rewrap(purpose, change) for change in changes)

    def _rewrap(self, purpose: str, change: Rewrap) -> bool:
        key = self._keys.get((purpose, change.subject))
        if key is None or key.wrapped != change.expected:
            return False
        self._keys[purpose, change.subject] = replace(key, wrapped=change.wrapped)
        return True

    def page(self, purpose: str, *, after: str | None, limit: int) -> Sequence[SubjectKey]:
        with self._lock:
            living = [key for key in self._keys.values() if key.purpose == purpose and key.erased_at is None]
        living.sort(key=lambda key: key.subject)
        return tuple(key for key in living if after is None or key.subject > after)[:limit]

    def count(self, purpose: str) -> int:
        with self._lock:
            return sum(1 for key in self._keys.values() if key.purpose == purpose and key.erased_at is None)

    def purposes(self) -> Sequence[str]:
        with self._lock:
            return sorted({key.purpose for key in self._keys.values() if key.erased_at is None})
