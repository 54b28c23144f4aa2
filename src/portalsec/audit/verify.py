"""Verification: read the whole log and say whether it is what was written, and how far that can be said.

Needs the store and the log's public key, and nothing else; changes nothing. What it finds, and by what:

========================================  ======================================================================
an edited line                            its bytes and its stored hash differ; or, where the hash was edited
                                          too, the root of the next checkpoint differs
an entry removed from the middle          a gap in the indexes; or, where the rest moved up, the next root
two entries swapped, one inserted         the next root
the end removed                           a checkpoint or the anchor is larger than the log
an older copy put in its place            the anchor is larger than the log, or its root differs
a line put before the first               its index is below zero
a trigger that drops chosen events        the database's catalogue, for as long as it is there
an edited checkpoint                      its signature
an edited list of who a line is about     the list is built again from the lines and compared
an emptied store                          the anchor; without one, "cannot tell"
========================================  ======================================================================

What no software on the same machine can find: what was never written, and changes after the last checkpoint by
someone who also makes the hashes fit. The report names that range. Where it is older than `UNSIGNED_LIMIT`, signing
has stopped, and the answer is that nothing conclusive can be said: everything since could be cut unnoticed.
"""

from __future__ import annotations

import hmac
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from portalsec.audit.checkpoint import Checkpoint, Verifier
from portalsec.audit.merkle import Frontier, leaf_hash
from portalsec.audit.ports import AuditStore, StoredEntry
from portalsec.audit.record import Record, decode
from portalsec.errors import StoreError, Tampered

__all__ = ["UNSIGNED_LIMIT", "Kind", "Problem", "Progress", "Report", "verify"]

UNSIGNED_LIMIT = timedelta(minutes=10)
"""How long an entry may go without a signature: far longer than any checkpoint's interval, and than a restart."""

Progress = Callable[[int, int], None]
"""Called with (entries checked, entries in all) after each batch."""

_BATCH = 1000
_MAX_PROBLEMS = 1000
_END = 2**62

# What a store may raise over a damaged value, by its own check or by its driver's. Only `StoreError` can also mean
# that the store is down.
_DAMAGED = (Tampered, ValueError, TypeError, OverflowError)
_UNREADABLE = (StoreError, *_DAMAGED)


class Kind(StrEnum):
    """What is wrong."""

    ENTRY = "entry"  # a line is not what was written
    MISSING = "missing"  # entries are gone
    CHANGED = "changed"  # somewhere in a range, lines were edited, swapped, removed or inserted
    INDEX = "index"  # the list of who a line is about does not fit the line
    STAGED = "staged"  # an entry that waits for its place is not what was written
    CHECKPOINT = "checkpoint"  # a kept checkpoint does not hold
    ANCHOR = "anchor"  # the anchor does not hold
    STORE = "store"  # something in the store can change or drop events on their way in


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One finding.

    Attributes:
        kind: what is wrong.
        start, stop: the entries concerned, ``start <= index < stop``; None where it is about no entry.
        id: the event's id where it can still be read.
        text: one sentence for people.
    """

    kind: Kind
    text: str
    start: int | None = None
    stop: int | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The outcome.

    Attributes:
        size: entries in the log.
        staged: entries that wait for their place.
        checkpoints: kept checkpoints whose signature holds.
        covered: the log is exactly what was signed up to this entry (exclusive).
        anchored: size of the anchor's checkpoint, or None where none was given or it does not hold.
        overdue: since when entries wait for a signature, where that is longer than the limit; else None.
        problems: the first thousand findings; `found` counts all.
    """

    size: int
    staged: int
    checkpoints: int
    covered: int
    anchored: int | None
    problems: tuple[Problem, ...]
    found: int
    overdue: datetime | None = None

    @property
    def ok(self) -> bool:
        """Nothing is wrong. Look at `conclusive` too."""
        return self.found == 0

    @property
    def conclusive(self) -> bool:
        """Whether a signature vouches for the entries, and has done so lately.

        A log without a checkpoint can only fit itself. An empty one is what an emptied one looks like, unless an
        anchor says that there never was anything. And what has not been signed for long could be cut unnoticed.
        """
        if self.overdue is not None:
            return False
        return self.covered > 0 or (self.size == self.staged == 0 and self.anchored is not None)

    @property
    def unprotected(self) -> tuple[str, ...]:
        """What this verification does not speak about, a sentence each."""
        notes = []
        if self.overdue is not None:
            notes.append(
                f"Entries have been waiting for a signature since {self.overdue:%Y-%m-%d %H:%M:%S} UTC: signing has "
                "stopped, and what came since could be changed or cut unnoticed."
            )
        if self.ok and self.covered < self.size:
            notes.append(
                f"Entries {self.covered} to {self.size - 1} came after the last checkpoint: "
                "each fits its own hash, and no signature covers them yet."
            )
        if self.staged:
            notes.append(f"{self.staged} entries wait for their place: no signature covers them yet.")
        if self.anchored is None:
            notes.append("No anchor was compared: an older copy of the whole store would not be noticed.")
        return tuple(notes)


def verify(
    store: AuditStore,
    *,
    verifier: Verifier,
    anchor: str | None,
    progress: Progress | None = None,
    now: datetime | None = None,
    unsigned_limit: timedelta = UNSIGNED_LIMIT,
) -> Report:
    """Verify the whole log. Reads it once, in batches; holds the kept checkpoints and one batch in memory.

    The portal may go on writing meanwhile.

    Args:
        verifier: the log's public key.
        anchor: the signed note that was kept outside the store, or None where there is none to compare.
        progress: told how far it is.
        now: aware UTC; entries that are unsigned for longer than ``unsigned_limit`` make the report inconclusive.
            Without it the newest entry's time counts, which tells of a portal that goes on without signing and
            not of one that stands still.
        unsigned_limit: longer than the log's checkpoint interval.

    Raises:
        StoreError: the store cannot be read, or is damaged beyond its entries, so nothing can be said.
    """
    try:
        return _Run(store, verifier, progress).report(anchor, now, unsigned_limit)
    except (AttributeError, *_DAMAGED) as error:
        # What a column holds was replaced by something of another kind, where no single entry can be named.
        raise StoreError("The audit log is damaged: a row holds something of another kind.") from error


@dataclass(frozen=True, slots=True)
class _Expected:
    """A root that a signature vouches for; ``ours`` where it is kept in the store."""

    checkpoint: Checkpoint
    where: str
    ours: bool = True


class _Run:
    """One verification. ``sizes`` and ``roots`` come from signatures only, never from a column of the store."""

    def __init__(self, store: AuditStore, verifier: Verifier, progress: Progress | None) -> None:
        self._store = store
        self._verifier = verifier
        self._progress = progress
        self._problems: list[Problem] = []
        self._found = 0
        self._covered = 0
        # Two trees: over what the bytes hash to, and over the hashes as stored. They are one until something
        # differs; after that, the one that still meets the next checkpoint tells which of the two was edited.
        self._from_bytes = Frontier()
        self._as_stored: Frontier | None = None
        self._comparable = True
        self._unsigned_since: datetime | None = None
        self._staged_since: datetime | None = None
        self._newest: datetime | None = None

    def report(self, anchor: str | None, now: datetime | None, unsigned_limit: timedelta) -> Report:
        # Notes first, size last: the log grows meanwhile, and a size read before could look cut short.
        expected = self._kept()
        kept = {item.checkpoint for item in expected}
        checkpoints = len(expected)
        anchored = None
        if anchor is not None:
            held = self._anchor(anchor)
            if held is not None:
                anchored = held.size
                if held.size > 0 and held not in kept:  # an anchor is opened over the empty log
                    expected.append(_Expected(held, "the anchor", ours=False))
                    self._add(
                        Kind.CHECKPOINT,
                        f"The anchor's checkpoint of size {held.size} is not kept in the store, where it was.",
                    )
        for sentence in self._store.intrusions():
            self._add(Kind.STORE, sentence)
        staged = self._check_staged()
        size = self._store.size()
        self._check_entries(size, sorted(expected, key=lambda item: item.checkpoint.size))
        self._check_ends(size, expected)
        self._check_below()
        for index, _ in self._store.subject_index(size, _END):
            if index >= self._store.size():  # else it was placed meanwhile
                self._add(
                    Kind.INDEX, f"The subject index names entry {index}, which does not exist.", start=index
                )
        return Report(
            size=size,
            staged=staged,
            checkpoints=checkpoints,
            covered=self._covered,
            anchored=anchored,
            problems=tuple(self._problems),
            found=self._found,
            overdue=self._overdue(now, unsigned_limit),
        )

    def _overdue(self, now: datetime | None, limit: timedelta) -> datetime | None:
        unsigned = [at for at in (self._unsigned_since, self._staged_since) if at is not None]
        reference = now or self._newest
        if not unsigned or reference is None or reference - min(unsigned) <= limit:
            return None
        return min(unsigned)

    def _saw(self, at: datetime, since: datetime | None) -> datetime:
        """The earlier of two times, and the newest of all."""
        self._newest = at if self._newest is None else max(self._newest, at)
        return at if since is None else min(since, at)

    def _add(
        self,
        kind: Kind,
        text: str,
        *,
        start: int | None = None,
        stop: int | None = None,
        id: str | None = None,
    ) -> None:
        self._found += 1
        if len(self._problems) < _MAX_PROBLEMS:
            if start is not None and stop is None:
                stop = start + 1
            self._problems.append(Problem(kind=kind, text=text, start=start, stop=stop, id=id))

    # -- notes ----------------------------------------------------------------------------------------------------

    def _kept(self) -> list[_Expected]:
        good: list[_Expected] = []
        seen: set[int] = set()
        for number, stored in enumerate(self._store.checkpoints()):
            name = f"Checkpoint {number} (kept as of size {stored.size})"
            try:
                checkpoint = self._verifier.verify(stored.note)
            except Tampered as error:
                self._add(Kind.CHECKPOINT, f"{name} does not hold: {error}")
                continue
            except (TypeError, AttributeError):
                self._add(Kind.CHECKPOINT, f"{name} is not text.")
                continue
            if checkpoint.size != stored.size:
                self._add(Kind.CHECKPOINT, f"{name} is of size {checkpoint.size}.")
            if checkpoint.size in seen:
                self._add(Kind.CHECKPOINT, f"{name} is kept twice.")
            seen.add(checkpoint.size)
            good.append(_Expected(checkpoint, f"checkpoint {number}"))
        return good

    def _anchor(self, note: str) -> Checkpoint | None:
        try:
            return self._verifier.verify(note)
        except Tampered as error:
            self._add(Kind.ANCHOR, f"The anchor does not hold: {error}")
            return None

    # -- entries --------------------------------------------------------------------------------------------------

    def _check_entries(self, size: int, expected: Sequence[_Expected]) -> None:
        waiting = deque(expected)
        self._meet(0, waiting)
        start = next_index = 0
        while start < size:
            stop = min(start + _BATCH, size)
            found = self._read(start, stop)
            records: dict[int, Record | None] = {}
            for index, entry in sorted(found.items()):
                if index > next_index:
                    self._gap(next_index, index)
                next_index = index + 1
                if entry is None:
                    self._comparable = False
                    self._add(Kind.ENTRY, f"Entry {index} was changed: it cannot be read.", start=index)
                    continue
                record = records[index] = self._check_entry(entry)
                if record is not None:
                    self._unsigned_since = self._saw(record.at, self._unsigned_since)
                self._meet(next_index, waiting)
                if self._covered == next_index:
                    self._unsigned_since = None
            self._check_index(start, stop, records)
            if self._progress is not None:
                self._progress(stop, size)
            # One index raised to a huge number must not have us read the empty space before it, batch by batch.
            start = stop if found else max(stop, self._next_entry(stop, size))
        if next_index < size:
            self._gap(next_index, size)

    def _next_entry(self, start: int, size: int) -> int:
        """The smallest index of an entry from ``start`` on, or ``size``."""
        low, high = start, size
        while low < high:
            middle = (low + high) // 2
            below = self._store.newest(limit=1, before=middle + 1)
            if below and below[0].index >= start:
                high = below[0].index
            else:
                low = middle + 1
        return low

    def _read(self, start: int, stop: int) -> dict[int, StoredEntry | None]:
        """A batch by index; where the store cannot give it whole, one by one, and None for what it cannot give."""
        try:
            return {entry.index: entry for entry in self._store.read(start, stop)}
        except _UNREADABLE as error:
            found: dict[int, StoredEntry | None] = {}
            for index in range(start, stop):
                try:
                    found.update({entry.index: entry for entry in self._store.read(index, index + 1)})
                except _UNREADABLE:
                    found[index] = None
            if isinstance(error, StoreError) and not any(found.values()):
                raise  # nothing can be read: the store is down rather than damaged
            return found

    def _gap(self, start: int, stop: int) -> None:
        self._comparable = False  # without the hash of what is missing, no later root can be computed
        last = stop - 1
        named = f"Entry {start} is missing" if start == last else f"Entries {start} to {last} are missing"
        self._add(Kind.MISSING, f"{named} from the log.", start=start, stop=stop)

    def _check_entry(self, entry: StoredEntry) -> Record | None:
        record: Record | None
        try:
            record, flaw = decode(entry.body), None
        except Tampered as error:
            record, flaw = None, str(error)
        id = record.id if record else None
        leaf = leaf_hash(entry.body)
        if not hmac.compare_digest(leaf, entry.leaf):
            if self._as_stored is None:
                self._as_stored = self._from_bytes.copy()
            self._add(
                Kind.ENTRY,
                f"Entry {entry.index} was changed: its bytes and its hash differ{_named(id)}.",
                start=entry.index,
                id=id,
            )
            record = None  # what a changed line says about whom is no measure for the subject index
        elif flaw is not None:
            self._add(Kind.ENTRY, f"Entry {entry.index} is not a record: {flaw}", start=entry.index)
        elif entry.id is not None and entry.id != id:
            # Its id in the store is what makes a retry no second event.
            self._add(
                Kind.ENTRY,
                f"Entry {entry.index} is filed under another id than its own{_named(id)}.",
                start=entry.index,
                id=id,
            )
        self._from_bytes.append(leaf)
        if self._as_stored is not None:
            self._as_stored.append(entry.leaf)
        return record

    def _meet(self, size: int, waiting: deque[_Expected]) -> None:
        """Compare with every signed root of this size."""
        while waiting and waiting[0].checkpoint.size == size:
            signed = waiting.popleft()
            if not self._comparable:
                continue
            if self._from_bytes.root() == signed.checkpoint.root:
                self._as_stored = (
                    None  # whatever differed so far was a stored hash, and the lines are as signed
                )
                self._covered = size
            elif self._as_stored is not None and self._as_stored.root() == signed.checkpoint.root:
                # The hashes are as signed, so exactly the lines that were named are not. Go on from the hashes.
                self._from_bytes, self._as_stored = self._as_stored, None
                self._covered = size
            elif not signed.ours:
                # An older copy that grew again has checkpoints of its own, rightly signed: they say nothing about
                # where it left the history that the anchor knows.
                self._covered = 0
                self._add(
                    Kind.CHANGED,
                    f"Between entries 0 and {size - 1} the log is another than {signed.where} signed at size {size}: "
                    "it was replaced by an older copy, or edited.",
                    start=0,
                    stop=size,
                )
            else:
                self._comparable = False
                self._add(
                    Kind.CHANGED,
                    f"Between entries {self._covered} and {size - 1}, entries were edited, swapped, removed or "
                    f"inserted: the log is not what {signed.where} signed at size {size}.",
                    start=self._covered,
                    stop=size,
                )

    def _check_ends(self, size: int, expected: Sequence[_Expected]) -> None:
        longest: dict[str, _Expected] = {}
        for item in expected:
            if item.checkpoint.size > size:
                where = "a checkpoint" if item.ours else "the anchor"
                if where not in longest or longest[where].checkpoint.size < item.checkpoint.size:
                    longest[where] = item
        for where, item in longest.items():
            last = item.checkpoint.size - 1
            named = f"Entry {size} is" if last == size else f"Entries {size} to {last} are"
            self._add(
                Kind.MISSING,
                f"{named} missing from the end: the log holds {size} entries, and {where} had signed {last + 1}.",
                start=size,
                stop=item.checkpoint.size,
            )

    def _check_below(self) -> None:
        """Indexes count from 0: no root covers what lies below, and a report would show it."""
        try:
            below = [entry.index for entry in self._store.newest(limit=_BATCH, before=0)]
        except _DAMAGED:
            below = [-1]
        for index in below:
            self._add(
                Kind.ENTRY,
                f"Entry {index} lies before the first one: it was never part of the log.",
                start=index,
            )
        for index, _ in self._store.subject_index(-_END, 0):
            self._add(Kind.INDEX, f"The subject index names entry {index}, which cannot exist.", start=index)

    # -- what is derived ------------------------------------------------------------------------------------------

    def _check_index(self, start: int, stop: int, records: dict[int, Record | None]) -> None:
        stored: dict[int, list[str]] = {}
        for index, subject in self._store.subject_index(start, stop):
            stored.setdefault(index, []).append(subject)
        for index in sorted(stored.keys() | records.keys()):
            record = records.get(index)
            if record is None:
                continue  # the entry itself is missing or unreadable, which was said
            if sorted(stored.get(index, ())) != sorted(record.subjects):
                self._add(
                    Kind.INDEX,
                    f"The subject index of entry {index} is not whom the entry names{_named(record.id)}.",
                    start=index,
                    id=record.id,
                )

    def _check_staged(self) -> int:
        try:
            entries = self._store.staged()
        except Tampered as error:
            self._add(Kind.STAGED, str(error))
            return 0
        except _DAMAGED:
            self._add(Kind.STAGED, "A waiting entry cannot be read from the store.")
            return 0
        for entry in entries:
            if not hmac.compare_digest(leaf_hash(entry.body), entry.leaf):
                self._add(
                    Kind.STAGED, f"A waiting entry was changed: its bytes and its hash differ{_named(entry.id)}.",
                    id=entry.id,
                )  # fmt: skip
                continue
            try:
                record = decode(entry.body)
            except Tampered as error:
                self._add(
                    Kind.STAGED, f"A waiting entry is not a record{_named(entry.id)}: {error}", id=entry.id
                )
                continue
            if record.id != entry.id or sorted(record.subjects) != sorted(entry.subjects):
                self._add(
                    Kind.STAGED, f"A waiting entry is filed under what it does not say{_named(entry.id)}.",
                    id=entry.id,
                )  # fmt: skip
            self._staged_since = self._saw(record.at, self._staged_since)
        return len(entries)


def _named(id: str | None) -> str:
    # An id may come from an edited line: nothing in it may reach a terminal as more than plain characters.
    return f" (event {ascii(id)[1:-1][:80]})" if id else ""
