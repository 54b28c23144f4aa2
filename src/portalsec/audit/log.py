"""The audit log: append now, order and sign afterwards.

`AuditLog.record` is the hot path: it makes one line, hashes it and hands it to the store, which answers when the
line is on disk. `AuditLog.checkpoint` comes later and elsewhere: it lets the store place what was appended,
extends the Merkle tree by the new leaves, and signs the root.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from portalsec.audit.anchor import Anchor
from portalsec.audit.checkpoint import Checkpoint, Verifier, sign_checkpoint
from portalsec.audit.merkle import Frontier, leaf_hash
from portalsec.audit.ports import AuditStore, Entry, Signer, StoredCheckpoint, SubjectVault
from portalsec.audit.record import MAX_SUBJECTS, AddressPolicy, encode
from portalsec.clock import Clock
from portalsec.errors import AuditUnavailable, ConfigurationError, StoreError, Tampered
from portalsec.events import SecurityEvent, Vocabulary
from portalsec.typing import NewId

__all__ = ["AuditLog", "Prepared", "Receipt"]

_BATCH = 1000
_MEMORY = "running process"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What the log says when an event is durable.

    Attributes:
        ids: ids of the records: one, or one for every 256 subjects.
        at: the time that was recorded.
    """

    ids: tuple[str, ...]
    at: datetime

    @property
    def id(self) -> str:
        """The first record's id."""
        return self.ids[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An event as entries, checked and encoded and not yet stored; its receipt is not valid before `commit`."""

    entries: tuple[Entry, ...]
    receipt: Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signed:
    """A note whose signature was checked, and what it says."""

    note: str
    checkpoint: Checkpoint


class AuditLog:
    """One log. Safe to share between threads; several processes may each have one over the same store.

    Args:
        store: where the entries live.
        vocabulary: the closed set of event names.
        vault: gives the pseudonyms of subjects.
        clock: time of recording; nobody else's time is believed.
        new_id: UUIDv7 in production.
        origin: the log's name in its checkpoints.
        signer: the key; None where checkpoints are another process's task.
        anchors: told every checkpoint after the store has kept it.
        address: how much of a network address is kept.
    """

    def __init__(
        self,
        *,
        store: AuditStore,
        vocabulary: Vocabulary,
        vault: SubjectVault,
        clock: Clock,
        new_id: NewId,
        origin: str,
        signer: Signer | None = None,
        anchors: Sequence[Anchor] = (),
        address: AddressPolicy = AddressPolicy.NETWORK,
    ) -> None:
        if signer is not None and signer.name != origin:
            raise ConfigurationError(
                f"the audit log is {origin!r}, but its key was made for {signer.name!r}: use the key of this log"
            )
        if signer is None and anchors:
            raise ConfigurationError(
                "anchors are told of checkpoints, which nobody signs here: give the log a signer"
            )
        self._store = store
        self._vocabulary = vocabulary
        self._vault = vault
        self._clock = clock
        self._new_id = new_id
        self._origin = origin
        self._signer = signer
        self._verifier = None if signer is None else Verifier.from_text(signer.verifier_text)
        self._anchors = tuple(anchors)
        self._address = address
        # Everything below is about checkpoints and held under the lock.
        self._lock = threading.Lock()
        self._frontier: Frontier | None = None
        self._doubted = False
        self._newest: _Signed | None = None
        self._anchored = [0] * len(self._anchors)

    @property
    def origin(self) -> str:
        return self._origin

    @property
    def store(self) -> AuditStore:
        return self._store

    @property
    def vault(self) -> SubjectVault:
        return self._vault

    # -- recording ------------------------------------------------------------------------------------------------

    def record(self, event: SecurityEvent) -> Receipt:
        """Store ``event``; it is durable when this returns.

        Raises:
            AuditUnavailable: it is not known to be durable, so what it would record must not happen.
            ConfigurationError: the event breaks a rule of the vocabulary (see `portalsec.audit.record.encode`).
        """
        prepared = self.prepare(event)
        self.commit([prepared])
        return prepared.receipt

    def record_many(self, events: Iterable[SecurityEvent]) -> tuple[Receipt, ...]:
        """As `record`, all or none, for the price of one."""
        prepared = [self.prepare(event) for event in events]
        self.commit(prepared)
        return tuple(each.receipt for each in prepared)

    def emit(self, event: SecurityEvent) -> None:
        """`record` in the shape of `portalsec.typing.Emit`."""
        self.record(event)

    def prepare(self, event: SecurityEvent) -> Prepared:
        """The first half of `record`: check and encode, without touching the store."""
        at = self._clock()
        parts = [
            event.subjects[i : i + MAX_SUBJECTS] for i in range(0, len(event.subjects), MAX_SUBJECTS)
        ] or [()]
        try:
            entries = tuple(
                self._entry(event if len(parts) == 1 else replace(event, subjects=part), at) for part in parts
            )
        except StoreError as error:  # a vault may be a database too
            raise AuditUnavailable("The audit log could not name a subject.") from error
        return Prepared(entries=entries, receipt=Receipt(ids=tuple(entry.id for entry in entries), at=at))

    def commit(self, prepared: Sequence[Prepared]) -> None:
        """The second half: one durable append of everything, or `AuditUnavailable` and nothing is promised."""
        entries = [entry for each in prepared for entry in each.entries]
        if not entries:
            return
        try:
            self._store.append(entries)
        except AuditUnavailable:
            raise
        except StoreError as error:
            raise AuditUnavailable("The audit log could not store the event.") from error

    def _entry(self, event: SecurityEvent, at: datetime) -> Entry:
        id = self._new_id()
        pseudonyms = {subject: self._vault.pseudonym(subject) for subject in event.subjects}
        body = encode(
            event,
            id=id,
            at=at,
            vocabulary=self._vocabulary,
            pseudonym=lambda person: pseudonyms.get(person) or self._vault.pseudonym(person),
            address=self._address,
        )
        return Entry(id=id, body=body, leaf=leaf_hash(body), subjects=tuple(pseudonyms.values()))

    # -- order and signature --------------------------------------------------------------------------------------

    def integrate(self) -> int:
        """Give everything appended so far its place; the size of the log. `StoreError` when the store fails."""
        return self._store.integrate()

    def resume(self) -> int:
        """Compare the stored log with what was last signed and with every anchor; the size that was compared.

        Done by the first `checkpoint` of a process, and again by each one after a `Tampered`; call it at start to
        learn of a loss before the first visitor. Reads the whole log once.

        Raises:
            Tampered: the log is shorter than it was, or its beginning is another one; or an anchor holds nothing
                though checkpoints were signed (see `adopt_anchors`).
            StoreError: the store or an anchor cannot be read.
        """
        with self._lock, self._doubting():
            return self._resumed().size

    def adopt_anchors(self) -> int:
        """Hand the log as it is now to each anchor that holds nothing; the size that was compared.

        For a person to call who added an anchor, or knows why one is gone, and has seen that the log is whole: an
        anchor that starts anew cannot tell of what was lost before. Everything else is compared as by `resume`,
        with its errors. An anchor that holds a checkpoint is left as it is.
        """
        with self._lock, self._doubting():
            frontier = self._read_again(adopt=True)
            self._publish()
            return frontier.size

    def checkpoint(self) -> str | None:
        """Place, fold in and sign what is new; the signed note, or None where there was nothing new to sign.

        The order is: durable, placed, re-hashed from the stored bytes, signed, kept by the store, told to the
        anchors. A signature over entries that could still vanish would accuse an honest log later.

        Raises:
            Tampered: the stored log is not a continuation of what was signed. Nothing is signed then, so that
                the last good checkpoint stays the last. The next call reads everything again: it signs only where
                the log is once more what was signed, and what this process had read of it besides.
            StoreError: the store or an anchor failed. The next call carries on from there.
        """
        if self._signer is None:
            self._store.integrate()
            return None
        with self._lock, self._doubting():
            known = self._resumed()
            # A try that fails half-way must leave nothing of a damaged log in what is believed of it.
            frontier = known.copy()
            # Placed only under the lock: a size that a slower thread brought along would look like a loss.
            size = self._store.integrate()
            if self._newest is not None:
                self._match(frontier, size, self._newest.checkpoint, "checkpoint")
            self._fold(frontier, size)
            self._frontier = frontier
            try:
                note = self._sign(frontier, self._signer)
            except Tampered:
                self._frontier = known
                raise
            self._publish()
            return note

    @contextlib.contextmanager
    def _doubting(self) -> Iterator[None]:
        """After a `Tampered` the stored log must be read again before this process goes on from its memory.

        What was cut may be grown over by the next entries: then the length fits, and the memory does too.
        """
        try:
            yield
        except Tampered:
            self._doubted = True
            raise

    def _resumed(self) -> Frontier:
        """The tree over entries that were compared: from the store at first and after doubt, else from memory."""
        if self._frontier is not None and not self._doubted:
            return self._frontier
        return self._read_again()

    def _read_again(self, *, adopt: bool = False) -> Frontier:
        # Notes first, size second: the log only grows, so it cannot be smaller than a note that was read before.
        newest = self._newest_kept()
        known = [] if newest is None else [("checkpoint", newest.checkpoint)]
        if self._frontier is not None:
            before = Checkpoint(origin=self._origin, size=self._frontier.size, root=self._frontier.root())
            known.append((_MEMORY, before))
        if self._newest is not None:
            known.append(("checkpoint", self._newest.checkpoint))
            if newest is None or newest.checkpoint.size < self._newest.checkpoint.size:
                newest = self._newest  # taken out of the store, and not out of our memory
        anchored = [0] * len(self._anchors)
        for number, anchor in enumerate(self._anchors):
            note = anchor.read()
            if note is not None:
                held = self._verified(note, "anchor")
                known.append(("anchor", held.checkpoint))
                anchored[number] = held.checkpoint.size
            elif newest is None:
                # Over the empty log, before the store keeps anything: else a crash between the first checkpoint
                # and its publication would look like an anchor that was removed.
                anchor.publish(self._opening())
            elif not adopt and not self._anchored[number]:
                # An older copy of the store passes every other test.
                raise Tampered(
                    f"The audit log has signed checkpoints, and its anchor is missing ({anchor!r}): put it back; or, "
                    "where it is new or you know that the log is whole, adopt it (portalsec audit anchor --adopt, or "
                    "AuditLog.adopt_anchors)."
                )
        size = self._store.integrate()
        frontier = Frontier()
        for where, held_checkpoint in sorted(known, key=lambda item: item[1].size):
            self._match(frontier, size, held_checkpoint, where)
        self._frontier, self._newest, self._anchored = frontier, newest, anchored
        self._doubted = False
        return frontier

    def _opening(self) -> str:
        if self._signer is None:
            raise ConfigurationError("this audit log has no signer, so it cannot open an anchor")
        return sign_checkpoint(Checkpoint(origin=self._origin, size=0, root=Frontier().root()), self._signer)

    def _newest_kept(self) -> _Signed | None:
        kept = self._store.checkpoints()
        if not kept:
            return None
        signed = self._verified(kept[-1].note, "newest checkpoint")
        if signed.checkpoint.size != kept[-1].size:
            raise Tampered("The audit log's newest checkpoint is kept under a size that is not its own.")
        return signed

    def _verified(self, note: str, what: str) -> _Signed:
        if self._verifier is None:
            raise ConfigurationError("this audit log has no signer, so it has nothing to compare with")
        try:
            return _Signed(note=note, checkpoint=self._verifier.verify(note))
        except Tampered as error:
            raise Tampered(f"The audit log's {what} does not hold: {error}") from None

    def _match(self, frontier: Frontier, size: int, known: Checkpoint, where: str) -> None:
        """Fold up to what is known and compare, unless the frontier is already past it."""
        if size < known.size:
            verb = "read" if where == _MEMORY else "signed"
            raise Tampered(
                f"The audit log was cut short: entries {size} to {known.size - 1}, "
                f"which the {where} had {verb}, are missing."
            )
        if frontier.size <= known.size:
            self._fold(frontier, known.size)
            if frontier.root() != known.root:
                raise Tampered(
                    f"The audit log was changed: its first {known.size} entries are not the {where}'s."
                )

    def _fold(self, frontier: Frontier, size: int) -> None:
        if size < frontier.size:
            raise Tampered(
                f"The audit log was cut short: entries {size} to {frontier.size - 1}, which it held, are missing."
            )
        while frontier.size < size:
            stop = min(frontier.size + _BATCH, size)
            for entry in self._store.read(frontier.size, stop):
                if entry.index != frontier.size:
                    break
                # From the bytes, never from the stored hash: a signature must not vouch for an edited line.
                leaf = leaf_hash(entry.body)
                if leaf != entry.leaf:
                    raise Tampered(f"Audit entry {entry.index} was changed: its bytes and its hash differ.")
                frontier.append(leaf)
            if frontier.size < stop:
                raise Tampered(f"Audit entry {frontier.size} is missing from its place.")

    def _sign(self, frontier: Frontier, signer: Signer) -> str | None:
        if frontier.size == (0 if self._newest is None else self._newest.checkpoint.size):
            return None
        checkpoint = Checkpoint(origin=self._origin, size=frontier.size, root=frontier.root())
        note = sign_checkpoint(checkpoint, signer)
        if self._store.save_checkpoint(StoredCheckpoint(size=checkpoint.size, note=note)):
            self._newest = _Signed(note=note, checkpoint=checkpoint)
            return note
        # Another process signed meanwhile, this size or a larger one. It saw the same log, or there are two.
        self._newest = self._newest_kept()
        if self._newest is None or self._newest.checkpoint.size < checkpoint.size:
            raise StoreError("The audit store neither kept a checkpoint nor has a larger one.")
        if self._newest.checkpoint.size == checkpoint.size and self._newest.checkpoint != checkpoint:
            raise Tampered(f"Two checkpoints of size {checkpoint.size} have different roots.")
        return None

    def _publish(self) -> None:
        """Tell each anchor that is behind; all are tried before the first failure is raised."""
        if self._newest is None:
            return
        size, failed = self._newest.checkpoint.size, None
        for number, anchor in enumerate(self._anchors):
            if self._anchored[number] < size:
                try:
                    anchor.publish(self._newest.note)
                    self._anchored[number] = size
                except (StoreError, Tampered) as error:
                    failed = failed or error
        if failed is not None:
            raise failed
