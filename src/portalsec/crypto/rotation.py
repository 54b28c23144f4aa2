"""`Reencryption`: walks a table in batches and does its tasks to each row, beside the application that uses it.

Newest writes, all read: while it runs, old cells and new ones lie side by side, and both open. It may be killed at any
point and taken up again: each batch is swapped in by compare-and-swap, so that a row is either as it was or right,
and what was done already is recognised by its first bytes and left alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from portalsec._encoding import b64url
from portalsec.crypto.cells import CellSource, Key, Row, key_from_json, key_to_json
from portalsec.crypto.tasks import (
    ERASED,
    Batch,
    Encrypt,
    RebuildCompound,
    RebuildIndex,
    Reencrypt,
    Reseal,
    Task,
    rebuilds,
    stale_of_subjects,
)
from portalsec.errors import ConfigurationError

__all__ = [
    "Encrypt",
    "Failure",
    "Progress",
    "RebuildCompound",
    "RebuildIndex",
    "Reencrypt",
    "Reencryption",
    "Remaining",
    "Reseal",
    "count_by_key",
]

_TRIES = 8  # a row that the application writes this often within one batch is left for the next run
_VERSION = 1
_PAGE = 2000  # rows at a time, where nothing is written


@dataclass(frozen=True, slots=True)
class Failure:
    """A cell that was left as it was. No content: the row's key, the column, and why.

    Attributes:
        reason: a `DecryptionError`'s reason ("not_authentic", "unknown_key", ...); "wrong_type" or "not_encodable",
            a value or row id that the field does not take; "not_converted"; "differs", plaintext and cell hold two
            values; "erased_in_the_clear", what is held of a person whose key was destroyed is not under that key; "busy", the application wrote the row each time.
    """

    key: Key
    column: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is, after each batch. Counts are of the whole run, over all its resumptions.

    Attributes:
        done: rows looked at.
        total: rows that there were at the start; rows may come and go meanwhile.
        changed: rows written (in a dry run: that would be).
        kept: rows that the application changed at the same moment. Its value was kept, and looked at again.
        erased: cells of people whose keys were destroyed on purpose.
        failed: cells that failed.
        failures: those of this batch.
        cursor: for ``run(resume=...)``, as JSON holds it.
    """

    done: int
    total: int
    changed: int
    kept: int
    erased: int
    failed: int
    failures: tuple[Failure, ...]
    cursor: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Remaining:
    """The cells, or the tags, of one column, by what they are under. A key may be disabled where none are left under it.

    Attributes:
        column: as the source names it.
        current: cells under the primary key.
        older: cells under each other key of the field's keyset, by its id; a disabled key's among them.
        unknown: all others: of another library, plaintext, damaged, or under a key that the keyset does not have.
        unmarked: cells that begin with no key's mark while the primary has none either (a RAW key, or a cipher that is
            not a keyset's): whether they are under it cannot be told.
        stale: of a column of tags, those that are not what their cells give under the primary. There, ``unknown`` are
            tags of cells that do not open, and rows of people who were erased are counted nowhere.
    """

    column: str
    current: int
    older: Mapping[int, int]
    unknown: int
    unmarked: int = 0
    stale: int = 0

    @property
    def left(self) -> int:
        """What is known not to be under the primary."""
        return sum(self.older.values()) + self.unknown + self.stale

    @property
    def done(self) -> bool:
        """Whether all are known to be under the primary. Never, of cells without a mark."""
        return not self.left and not self.unmarked


class Reencryption:
    """Tasks over the cells of one table. It holds no state between runs but what it was made of.

    Two runs at once over one table do no harm and gain nothing.
    """

    def __init__(self, source: CellSource, tasks: Sequence[Task], *, batch: int = 2000) -> None:
        """
        Args:
            source: where the cells are.
            tasks: what is done to each row, in this order.
            batch: rows read, worked on and committed at a time.

        Raises:
            ConfigurationError: no task; two that write one column, or one that reads what another moves; a column that
                the source does not have.
        """
        if not tasks:
            raise ConfigurationError("a re-encryption has at least one task")
        if batch < 1:
            raise ConfigurationError(f"batch={batch}: a batch has at least one row")
        written: set[str] = set()
        for number, task in enumerate(tasks):
            for column in task.columns:
                if column not in source.columns:
                    raise ConfigurationError(
                        f"the task needs the column {column!r} and the source reads {', '.join(source.columns)}"
                    )
            for earlier in tasks[:number]:
                filled = set(task.columns).difference(task.writes).intersection(earlier.writes)
                if filled and isinstance(earlier, (Encrypt, Reseal)):
                    raise ConfigurationError(
                        f"a task reads the column {min(filled)!r}, which another one fills: run one after the other"
                    )
            twice = written.intersection(task.writes)
            if twice:
                raise ConfigurationError(
                    f"two tasks write the column {min(twice)!r}: run one after the other"
                )
            written.update(task.writes)
        self._source = source
        self._tasks = tuple(tasks)
        self._size = batch
        self._at = {column: place for place, column in enumerate(source.columns)}
        times = Counter(column for task in tasks for column in task.columns)
        self._shared = frozenset(column for column, count in times.items() if count > 1)

    def run(self, resume: Mapping[str, Any] | None = None, *, dry_run: bool = False) -> Iterator[Progress]:
        """Work to the end of the table, one `Progress` for each batch that is committed (and one if there is none).

        Args:
            resume: the cursor of an earlier run that was stopped. Where the primary keys are others by now, what
                it had done is not done: the run begins at the start.
            dry_run: does everything but the writing.

        Raises:
            ConfigurationError: a cursor that is none.
            StoreError: the database failed. What the last `Progress` said is done, and its cursor goes on.
        """
        source = self._source
        under = self._under()
        state = _State.read(resume, under) or _State(total=source.count())
        yielded = False
        while True:
            rows = source.page(state.after, self._size)
            if not rows:
                break
            if (now := self._under()) != under:
                # A keyring was reloaded: what lies behind is under a key that is no longer the primary.
                under, state = now, _State(total=state.total)
                continue
            failures = self._batch(rows, state, dry_run=dry_run)
            state.after = rows[-1].key
            state.done += len(rows)
            yielded = True
            yield state.progress(under, failures)
        if not yielded:
            yield state.progress(under, ())

    def remaining(self, *, tags: bool = True) -> tuple[Remaining, ...]:
        """What each column is under. Nothing is written.

        Cells are counted by the database from their first bytes. Tags do not tell: every cell that has some is opened,
        and its tags are made again, which takes about half as long as a run (and as long as one, of an index with
        Argon2); with ``tags=False`` nothing is said of them.

        Nor do cells of a RAW key, which have no mark: under such a primary they are ``unmarked``, and `Reencrypt` leaves
        them alone. To be rid of an old RAW key, promote one with a prefix, under which all that has no mark is written
        anew. Over subject keys every cell is current, as long as it is one: the keys are wrapped anew, not the cells. (Where
        the field has legacy readers, every cell is held against its own subject's key, by a walk over the rows.) Of
        `Encrypt` the plaintext is counted too, as ``unknown`` of its own column: that of erased people among it. A task
        may count what is its own in a method ``remaining(source) -> Remaining``, as that of subject keys does.
        """
        found = []
        for task in self._tasks:
            own = getattr(task, "remaining", None)
            if own is not None:
                found.append(own(self._source))
            elif isinstance(task, (Reencrypt, Encrypt)):
                found.append(self._cells(task))
                if isinstance(task, Encrypt):
                    found.append(self._plaintext(task))
        return (*found, *self._tags()) if tags else tuple(found)

    def _cells(self, task: Reencrypt | Encrypt) -> Remaining:
        field = task.field
        if field._subjects is None or not field._legacy:
            return _remaining(self._source, task)
        # What begins with 0x01 may be the legacy reader's: each cell is held against its own subject's key.
        cells = stale = 0
        for batch in self._walk():
            of_column = batch.column(task.column)
            cells += sum(cell is not None for cell in of_column)
            stale += len(stale_of_subjects(field, batch, of_column))
        return Remaining(column=task.column, current=cells - stale, older={}, unknown=stale)

    def _plaintext(self, task: Encrypt) -> Remaining:
        """What is still in the clear, and is to be moved: all of it, or what has no cell yet."""
        if task.clear:
            (left,) = self._source.tally(task.source, ())
        else:
            left = 0
            for batch in self._walk():
                pairs = zip(batch.column(task.source), batch.column(task.column), strict=True)
                left += sum(value is not None and cell is None for value, cell in pairs)
        return Remaining(column=task.source, current=0, older={}, unknown=left)

    def _walk(self) -> Iterator[Batch]:
        after: Key | None = None
        while rows := self._source.page(after, max(self._size, _PAGE)):
            after = rows[-1].key
            yield Batch(rows, self._at, self._shared)

    def _tags(self) -> Iterator[Remaining]:
        """The tags of all tasks, in one walk."""
        of = [rebuilds(task) for task in self._tasks if not hasattr(task, "remaining")]
        tasks = [task for task in of if task is not None]
        counts = {name: Counter[str]() for task in tasks for name in task.writes}
        for batch in self._walk() if tasks else ():
            for task in tasks:
                before = len(batch.problems)
                task.work(batch)
                problems = {index: reason for index, _, reason in batch.problems[before:]}
                unknown = sum(reason != ERASED for reason in problems.values())
                for name in task.writes:
                    stale = batch.differing(name)
                    current = len(batch.rows) - stale - len(problems)
                    counts[name].update(stale=stale, unknown=unknown, current=current)
        for name, count in counts.items():
            yield Remaining(
                column=name,
                current=count["current"],
                older={},
                unknown=count["unknown"],
                stale=count["stale"],
            )

    def _under(self) -> list[Any]:
        return [task.under() for task in self._tasks]

    def _batch(self, rows: Sequence[Row], state: _State, *, dry_run: bool) -> tuple[Failure, ...]:
        problems: dict[tuple[Key, str], str] = {}
        lost: set[Key] = set()
        for _ in range(_TRIES):
            batch = Batch(rows, self._at, self._shared)
            for task in self._tasks:
                task.work(batch)
            for index, column, reason in batch.problems:
                place = rows[index].key, column
                if reason != ERASED or place not in problems:  # of two tasks, a failure is what counts
                    problems[place] = reason
            changes = batch.changes()
            if not changes:
                break
            made = [True] * len(changes) if dry_run else self._source.swap(changes)
            state.changed += sum(made)
            again = [change.row.key for change, ok in zip(changes, made, strict=True) if not ok]
            if not again:
                break
            lost.update(again)
            rows = self._source.read(again)
            problems = {place: reason for place, reason in problems.items() if place[0] not in lost}
        else:
            problems.update({(row.key, self._tasks[0].columns[0]): "busy" for row in rows})
        state.kept += len(lost)
        failures = tuple(
            Failure(key, column, reason) for (key, column), reason in problems.items() if reason != ERASED
        )
        state.erased += len(problems) - len(failures)
        state.failed += len(failures)
        return failures


@dataclass(slots=True)
class _State:
    """What a cursor carries."""

    total: int
    after: Key | None = None
    done: int = 0
    changed: int = 0
    kept: int = 0
    erased: int = 0
    failed: int = 0

    def progress(self, under: Sequence[Any], failures: tuple[Failure, ...]) -> Progress:
        counts = {name: getattr(self, name) for name in _COUNTS}
        after = None if self.after is None else key_to_json(self.after)
        cursor = {"version": _VERSION, "under": list(under), "after": after, **counts}
        return Progress(failures=failures, cursor=cursor, **counts)

    @classmethod
    def read(cls, cursor: Mapping[str, Any] | None, under: Sequence[Any]) -> _State | None:
        """The state to go on from; None to begin."""
        if cursor is None:
            return None
        try:
            if cursor["version"] == _VERSION:
                if cursor["under"] != list(under):
                    return None
                counts = {name: int(cursor[name]) for name in _COUNTS}
                after = cursor["after"]
                return cls(after=None if after is None else key_from_json(after), **counts)
        except (KeyError, TypeError, ValueError):
            pass
        raise ConfigurationError("this is not the cursor of a re-encryption: begin without one")


_COUNTS = ("total", "done", "changed", "kept", "erased", "failed")


def _remaining(source: CellSource, task: Reencrypt | Encrypt) -> Remaining:
    field = task.field
    aead = getattr(field, "_aead", None)
    return count_by_key(source, task.column, aead, current=field.current_prefix, text=field._text)


def count_by_key(
    source: CellSource, column: str, aead: Any, *, current: bytes, text: bool = False
) -> Remaining:
    """The cells of a column by the keys of a cipher, of which those under its primary begin with ``current``."""
    known = getattr(getattr(aead, "_reading", None), "named", None) or frozenset({current} if current else ())
    ids = {int.from_bytes(prefix[1:], "big"): prefix for prefix in known if prefix != current}
    beginnings = [_beginnings(prefix, text=text) for prefix in (current, *ids.values())]
    first, *others, unknown = source.tally(column, beginnings)
    unmarked = 0
    if not current:
        unknown, unmarked = 0, unknown
    older = {key: count for key, count in zip(ids, others, strict=True) if count}
    return Remaining(column=column, current=first, older=older, unknown=unknown, unmarked=unmarked)


def _beginnings(prefix: bytes, *, text: bool) -> frozenset[bytes | str]:
    """What a cell under this key begins with; in base64url, five bytes and two bits of what follows are a character."""
    if not prefix:
        return frozenset()
    if not text:
        return frozenset((prefix,))
    if len(prefix) % 3 == 0:
        return frozenset((b64url(prefix),))
    spare = {1: 4, 2: 2}[len(prefix) % 3]  # bits of the last character that the prefix does not fix
    size = -(-len(prefix) * 8 // 6)
    return frozenset(b64url(prefix + bytes([bits << (8 - spare)]))[:size] for bits in range(2**spare))
