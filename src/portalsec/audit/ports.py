"""What audit asks of the world: a store that appends durably, a signer, and a vault of pseudonyms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["AuditStore", "Entry", "Signer", "StoredCheckpoint", "StoredEntry", "SubjectVault"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event on its way into the log.

    Attributes:
        id: the event's UUIDv7; appending the same id twice stores it once.
        body: the leaf bytes: one line of UTF-8 JSON without its newline, kept byte for byte.
        leaf: SHA-256(0x00 || body), RFC 6962 section 2.1.
        subjects: pseudonyms that the event is about, for the index.
    """

    id: str
    body: bytes
    leaf: bytes
    subjects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEntry:
    """An entry in its place. ``index`` counts from 0 without gaps.

    ``id`` is what the store filed it under, if it keeps that apart from the body: verification compares the two.
    """

    index: int
    body: bytes
    leaf: bytes
    id: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCheckpoint:
    """A signed note over the first ``size`` entries."""

    size: int
    note: str


class AuditStore(Protocol):
    """Append first, order and hash later.

    * `append` is durable when it returns, in a transaction of its own, and takes no lock that orders writers.
    * `integrate` gives appended entries their final, gapless index. Any process may call it at any time; the store
      lets one work at a time. An entry whose append returned before `integrate` was called has its index when it
      returns. Indexes never change afterwards.
    * Nothing in this port edits or deletes.
    * `portalsec.errors.StoreError` when the store cannot answer.
    """

    def append(self, entries: Sequence[Entry]) -> None:
        """Store all or none. A second entry with a known id is ignored (a retry is not a second event).

        An entry that is not in the store afterwards, whatever swallowed it, is a `StoreError`.
        """
        ...

    def integrate(self) -> int:
        """Place what was appended; return the size of the log."""
        ...

    def size(self) -> int:
        """Number of placed entries, as stored (the highest index plus one)."""
        ...

    def read(self, start: int, stop: int) -> Sequence[StoredEntry]:
        """Placed entries with ``start <= index < stop`` in order; fewer where entries are missing."""
        ...

    def staged(self) -> Sequence[Entry]:
        """Entries that were appended and not yet placed, for verification."""
        ...

    def newest(self, *, limit: int, before: int | None = None) -> Sequence[StoredEntry]:
        """The last ``limit`` entries, newest first, below index ``before`` where given."""
        ...

    def of_subject(self, subject: str, *, limit: int, before: int | None = None) -> Sequence[StoredEntry]:
        """As `newest`, of one subject's pseudonym."""
        ...

    def subject_index(self, start: int, stop: int) -> Iterable[tuple[int, str]]:
        """The (index, pseudonym) pairs of a range, for verification of the index against the bodies."""
        ...

    def save_checkpoint(self, checkpoint: StoredCheckpoint) -> bool:
        """Keep it where its size is larger than every kept one; whether it was kept. One winner a size."""
        ...

    def checkpoints(self) -> Sequence[StoredCheckpoint]:
        """All kept checkpoints, smallest first."""
        ...

    def intrusions(self) -> Sequence[str]:
        """A sentence for each thing in the store, other than its rows, that could change what these verbs do.

        A trigger that drops chosen events, say (see `portalsec.audit.catalogue`). None in a sound store.
        """
        ...


class Signer(Protocol):
    """Signs checkpoints. ``name`` is the log's origin, ``key_id`` the 4 bytes of a C2SP signed note.

    ``verifier_text`` is its public key in the text form of Go's ``sumdb/note``.
    """

    @property
    def name(self) -> str: ...

    @property
    def key_id(self) -> bytes: ...

    @property
    def verifier_text(self) -> str: ...

    def sign(self, message: bytes) -> bytes:
        """A 64-byte Ed25519 signature."""
        ...


class SubjectVault(Protocol):
    """From a subject's id to the pseudonym that the log holds; unlinking it is what erasure will be."""

    def pseudonym(self, subject_id: str) -> str:
        """What is written."""
        ...

    def pseudonyms(self, subject_id: str) -> Sequence[str]:
        """What may have been written: each pseudonym under which the log may know this person, the current one first."""
        ...
