"""A log over a store whose every value a test can edit, and small makers."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from typing import Any

from portalsec.audit import AuditLog, KeyedVault
from portalsec.audit.checkpoint import Ed25519Signer, Verifier
from portalsec.audit.ports import AuditStore, Entry, StoredCheckpoint, StoredEntry
from portalsec.events import Actor, Event, Purpose, ResourceRef, SecurityEvent, Source, Vocabulary
from portalsec.testing import FrozenClock, SequentialIds

ORIGIN = "portal.test/audit"
SIGNER = Ed25519Signer.generate(ORIGIN)
VERIFIER = Verifier.from_text(SIGNER.verifier_text)


class TestMac:
    """A keyed hash under the first of some keys, and under all of them."""

    __test__ = False

    def __init__(self, *keys: bytes) -> None:
        self.keys = keys

    def __call__(self, purpose: str, data: bytes) -> bytes:
        return self.all(purpose, data)[0]

    def all(self, purpose: str, data: bytes) -> tuple[bytes, ...]:
        return tuple(hmac.digest(key, purpose.encode() + b"\x00" + data, hashlib.sha256) for key in self.keys)


mac = TestMac(b"test key")


VAULT = KeyedVault(mac)


class OpenStore:
    """An `AuditStore` of plain lists: what an attacker with the database's password has."""

    def __init__(self) -> None:
        self.waiting: list[Entry] = []
        self.rows: dict[int, StoredEntry] = {}
        self.index: list[tuple[int, str]] = []
        self.notes: list[StoredCheckpoint] = []
        self.calls: list[str] = []

    def append(self, entries: Sequence[Entry]) -> None:
        self.calls.append("append")
        self.waiting.extend(entries)

    def integrate(self) -> int:
        self.calls.append("integrate")
        for entry in self.waiting:
            place = self.size()
            self.rows[place] = StoredEntry(index=place, body=entry.body, leaf=entry.leaf)
            self.index.extend((place, subject) for subject in entry.subjects)
        self.waiting.clear()
        return self.size()

    def size(self) -> int:
        return max(0, max(self.rows, default=-1) + 1)

    def read(self, start: int, stop: int) -> Sequence[StoredEntry]:
        return [self.rows[i] for i in sorted(self.rows) if start <= i < stop]

    def staged(self) -> Sequence[Entry]:
        return list(self.waiting)

    def newest(self, *, limit: int, before: int | None = None) -> Sequence[StoredEntry]:
        return [self.rows[i] for i in sorted(self.rows, reverse=True) if before is None or i < before][:limit]

    def of_subject(self, subject: str, *, limit: int, before: int | None = None) -> Sequence[StoredEntry]:
        mine = {i for i, who in self.index if who == subject}
        return [entry for entry in self.newest(limit=10**9, before=before) if entry.index in mine][:limit]

    def subject_index(self, start: int, stop: int) -> Iterable[tuple[int, str]]:
        return [(i, who) for i, who in self.index if start <= i < stop]

    def save_checkpoint(self, checkpoint: StoredCheckpoint) -> bool:
        self.calls.append("save_checkpoint")
        if self.notes and self.notes[-1].size >= checkpoint.size:
            return False
        self.notes.append(checkpoint)
        return True

    def checkpoints(self) -> Sequence[StoredCheckpoint]:
        return list(self.notes)

    def intrusions(self) -> Sequence[str]:
        return ()


def make_log(store: AuditStore, **changes: Any) -> AuditLog:
    parts: dict[str, Any] = {
        "store": store,
        "vocabulary": Vocabulary(),
        "vault": VAULT,
        "clock": FrozenClock(),
        "new_id": SequentialIds(),
        "origin": ORIGIN,
        "signer": SIGNER,
    }
    return AuditLog(**(parts | changes))


def read_event(patient: str = "patient-1", **changes: Any) -> SecurityEvent:
    parts: dict[str, Any] = {
        "name": Event.RECORD_READ,
        "actor": Actor(type="user", id="account-7", role="clinician"),
        "subjects": (patient,),
        "resource": ResourceRef(type="record", id=f"record-of-{patient}"),
        "purpose": Purpose.TREAT,
        "source": Source(address="192.0.2.17", user_agent="Browser/1.0", request_id="req-1"),
        "rule": "clinician-reads-own",
        "policy_version": "3",
        "session": "5e55",
    }
    return SecurityEvent(**(parts | changes))


def sign_in_event() -> SecurityEvent:
    return SecurityEvent(name=Event.AUTH_LOGIN, actor=Actor(type="user", id="account-7"))


def fill(log: AuditLog, count: int, *, checkpoint_every: int | None = None) -> None:
    """``count`` events of three patients, one in four about nobody."""
    for number in range(count):
        log.record(sign_in_event() if number % 4 == 3 else read_event(f"patient-{number % 3}"))
        if checkpoint_every and (number + 1) % checkpoint_every == 0:
            log.checkpoint()
