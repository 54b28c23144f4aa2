"""What can be done to the cells of a table: re-encrypt, encrypt a column of plaintext, rebuild an index, reseal.

A task looks at a batch of rows and writes into it. It knows no database; `portalsec.crypto.rotation` runs it, and swaps
the batch in.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from portalsec.crypto._batch import (
    ERASED,
    Batch,
    Found,
    Index,
    Whose,
    _named,
    by_owner,
    opened,
    retag,
    through,
    under,
)
from portalsec.crypto.fields import EncryptedField
from portalsec.errors import ConfigurationError

__all__ = [
    "ERASED",
    "ERASED_IN_THE_CLEAR",
    "Batch",
    "Encrypt",
    "Index",
    "RebuildCompound",
    "RebuildIndex",
    "Reencrypt",
    "Reseal",
    "Task",
    "rebuilds",
]

_PREFIX = 5

ERASED_IN_THE_CLEAR = "erased_in_the_clear"
"""The person's key was destroyed, and this lies there in another form: plaintext, or under another library's key."""


class Task(Protocol):
    """One thing to do to each row."""

    @property
    def columns(self) -> Sequence[str]:
        """All that it reads or writes."""
        ...

    @property
    def writes(self) -> Sequence[str]:
        """Those of them that it writes: no other task of the run may."""
        ...

    def under(self) -> Any:
        """What it writes at the moment, where and under what, as JSON holds it: where that changed, a run begins anew."""
        ...

    def work(self, batch: Batch) -> None: ...


# -- the tasks ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Reencrypt:
    """Cells that are not under the primary key are opened and written under it; all tags are under their primary, too.

    A cell that is current, by its first bytes, is not written. Where there are tags it is opened all the same, since a
    tag does not tell which key made it, and a tag that differs from what the cell gives is written. What a legacy
    reader of the field opens is re-encrypted too, which is how a column of another library, or of plaintext in place,
    is taken over.

    Attributes:
        field: what opens and writes the cells.
        column: the column of the cells, as the source names it.
        tags: the columns of the field's indexes. (Of an index over several cells: `RebuildCompound`.)
    """

    field: EncryptedField[Any, Any]
    column: str
    tags: Mapping[str, Index] = dataclasses.field(default_factory=dict)

    @property
    def columns(self) -> Sequence[str]:
        return (self.column, *self.tags)

    @property
    def writes(self) -> Sequence[str]:
        return self.columns

    def under(self) -> Any:
        return [self.field.current_prefix.hex(), list(self.columns), *under(self.tags)]

    def work(self, batch: Batch) -> None:
        prefix, stale = self.field.current_prefix, self.field.needs_reencrypt
        cells = batch.column(self.column)
        if len(prefix) == _PREFIX and not self.field._text:
            # What `needs_reencrypt` asks, without a call for each cell; who is left over is asked about in words.
            wanted = [
                index
                for index, cell in enumerate(cells)
                if cell is not None and (cell[:_PREFIX] != prefix if type(cell) is bytes else stale(cell))
            ]
        elif self.field._subjects is not None and self.field._legacy:
            wanted = stale_of_subjects(self.field, batch, cells)
        else:
            wanted = [index for index, cell in enumerate(cells) if cell is not None and stale(cell)]
        before = len(batch.problems)
        through(self.field, self.column, self.tags, batch, wanted, opened)
        # What is no cell of the person's own key did not go with that key.
        left_over(batch, before)
        if self.tags and len(wanted) < len(cells):
            rest = set(range(len(cells))).difference(wanted)
            retag(batch, {self.column: self.field}, self.tags, sorted(rest))


@dataclass(frozen=True, slots=True, kw_only=True)
class Encrypt:
    """A column of plaintext is encrypted into a column of cells, and emptied.

    Where both hold something, they are compared: the same value, as the field writes it, empties the plaintext, another
    one is listed as a failure ("differs") and left alone, since only the application knows which of the two is newer.

    The plaintext of a person whose key was erased cannot be encrypted any more, and is not destroyed unasked: it is
    listed as a failure ("erased_in_the_clear"). Set it to NULL yourself to finish the erasure.

    Attributes:
        source: the column of the plaintext; rows where it is NULL are done.
        column: the column of the cells.
        tags: the columns of the field's indexes.
        clear: whether the plaintext becomes NULL. False fills the cells and keeps the plaintext, for the time in
            which an older version of the application still reads it; run it again with True after that.
        convert: from what the column holds to what the field takes, such as ``date.fromisoformat``. `TypeError`,
            `ValueError`, `ArithmeticError` and None say that it cannot ("not_converted").
    """

    field: EncryptedField[Any, Any]
    source: str
    column: str
    tags: Mapping[str, Index] = dataclasses.field(default_factory=dict)
    clear: bool = True
    convert: Callable[[Any], Any] | None = None

    def __post_init__(self) -> None:
        if self.source == self.column:
            raise ConfigurationError(
                f"{self.column}: plaintext is encrypted in place by Reencrypt, through the field's legacy reader; "
                "Encrypt moves it to another column"
            )

    @property
    def columns(self) -> Sequence[str]:
        return (self.source, self.column, *self.tags)

    @property
    def writes(self) -> Sequence[str]:
        return self.columns if self.clear else self.columns[1:]

    def under(self) -> Any:
        # Where it only filled, nothing is emptied yet: clear= is part of it.
        return [self.field.current_prefix.hex(), list(self.columns), self.clear, *under(self.tags)]

    def work(self, batch: Batch) -> None:
        cells = batch.column(self.column)
        wanted = [index for index, value in enumerate(batch.column(self.source)) if value is not None]
        empty = [index for index in wanted if cells[index] is None]
        before = len(batch.problems)
        done = through(self.field, self.column, self.tags, batch, empty, self._plaintext)
        done += self._compared(batch, [index for index in wanted if cells[index] is not None])
        left_over(batch, before)
        if self.clear:
            batch.put(done, {self.source: [None] * len(done)})

    def _plaintext(self, batch: Batch, column: str, of: Whose, indexes: Sequence[int]) -> Found:
        held = batch.column(self.source)
        return _converted(self.convert, batch, self.source, indexes, [held[index] for index in indexes])

    def _compared(self, batch: Batch, both: Sequence[int]) -> list[int]:
        same = []
        for whose, indexes in by_owner(self.field, batch, both):
            held = dict(zip(*opened(batch, self.column, whose, indexes), strict=True))
            for index, value in zip(*self._plaintext(batch, self.column, whose, list(held)), strict=True):
                if _same(self.field, held[index], value):
                    same.append(index)
                else:
                    batch.problems.append((index, self.column, "differs"))
        return same


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildIndex:
    """Tags are computed anew from the cells: after the keys, bits or normaliser of an index changed.

    Opens every cell, since a tag does not tell which key made it. A NULL cell has NULL tags.
    """

    field: EncryptedField[Any, Any]
    column: str
    tags: Mapping[str, Index]

    @property
    def columns(self) -> Sequence[str]:
        return (self.column, *self.tags)

    @property
    def writes(self) -> Sequence[str]:
        return tuple(self.tags)

    def under(self) -> Any:
        return [list(self.columns), *under(self.tags)]

    def work(self, batch: Batch) -> None:
        retag(batch, {self.column: self.field}, self.tags, range(len(batch.rows)))


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildCompound:
    """As `RebuildIndex`, for indexes over several cells of a row.

    Attributes:
        cells: the columns of the cells and their fields, in the order of the index's tuple. They are bound to one row id
            and, where they have one, one tenant.
        tags: the columns of the indexes. Where all cells are NULL, so are their tags.
    """

    cells: Mapping[str, EncryptedField[Any, Any]]
    tags: Mapping[str, Index]

    @property
    def columns(self) -> Sequence[str]:
        return (*self.cells, *self.tags)

    @property
    def writes(self) -> Sequence[str]:
        return tuple(self.tags)

    def under(self) -> Any:
        return [list(self.columns), *under(self.tags)]

    def work(self, batch: Batch) -> None:
        retag(batch, self.cells, self.tags, range(len(batch.rows)), compound=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reseal:
    """Cells of one declaration are written by another: its labels, ``pad=``, ``text=``, ``context=`` or type changed.

    What opens under the new declaration is done. Neither declaration opens the other's cells, so the application must
    not serve while this runs; with ``to=`` it may, if it reads both columns.

    Attributes:
        old, new: the two declarations. Their row ids, tenants and subjects are the same.
        column: the column of the cells.
        to: another column, which the cells move to: ``column`` becomes NULL. For ``text=`` on PostgreSQL, where one column
            does not hold both. Where both hold something that differs, it is a failure ("differs").
        tags: the columns of the field's indexes, made anew.
        convert: from the old declaration's values to the new one's, where the type changed.
    """

    old: EncryptedField[Any, Any]
    new: EncryptedField[Any, Any]
    column: str
    to: str | None = None
    tags: Mapping[str, Index] = dataclasses.field(default_factory=dict)
    convert: Callable[[Any], Any] | None = None

    @property
    def columns(self) -> Sequence[str]:
        return tuple(dict.fromkeys((self.column, self.to or self.column, *self.tags)))

    @property
    def writes(self) -> Sequence[str]:
        return self.columns

    def under(self) -> Any:
        return [self.new.current_prefix.hex(), list(self.columns), *under(self.tags)]

    def work(self, batch: Batch) -> None:
        held = batch.column(self.column)
        full = [index for index, cell in enumerate(held) if cell is not None]
        if self.to is None:
            done = self._already(batch, full)
            retag(batch, {self.column: self.new}, self.tags, sorted(done))
            wanted = [index for index in full if index not in done]
            through(self.new, self.column, self.tags, batch, wanted, self._values)
            return
        target = batch.column(self.to)
        moved = through(
            self.new, self.to, self.tags, batch, [i for i in full if target[i] is None], self._values
        )
        for whose, indexes in by_owner(self.new, batch, [i for i in full if target[i] is not None]):
            there = dict(zip(*opened(batch, self.to, whose, indexes), strict=True))
            for index, value in zip(*self._values(batch, self.to, whose, list(there)), strict=True):
                if _same(self.new, there[index], value):
                    moved.append(index)
                else:
                    batch.problems.append((index, self.to, "differs"))
        batch.put(moved, {self.column: [None] * len(moved)})

    def _already(self, batch: Batch, full: Sequence[int]) -> set[int]:
        """The rows whose cells are the new declaration's. That others are not is no problem yet."""
        done: set[int] = set()
        before = len(batch.problems)
        for whose, indexes in by_owner(self.new, batch, full):
            done.update(opened(batch, self.column, whose, indexes)[0])
        del batch.problems[before:]
        return done

    def _values(self, batch: Batch, column: str, whose: Whose, indexes: Sequence[int]) -> Found:
        del column
        kept, values = opened(batch, self.column, Whose(self.old, whose.tenant, whose.subject), indexes)
        return _converted(self.convert, batch, self.column, kept, values)


def _converted(
    convert: Callable[[Any], Any] | None, batch: Batch, column: str, indexes: Sequence[int], values: list[Any]
) -> Found:
    if convert is None:
        return indexes, values
    kept: list[int] = []
    found: list[Any] = []
    for index, value in zip(indexes, values, strict=True):
        try:
            converted = convert(value)
        except (TypeError, ValueError, ArithmeticError):
            converted = None
        if converted is None:  # NULL for a value that there is would lose it
            batch.problems.append((index, column, "not_converted"))
        else:
            kept.append(index)
            found.append(converted)
    return kept, found


def _same(field: EncryptedField[Any, Any], one: Any, other: Any) -> bool:
    """Whether two values are one to the field. ``==`` takes 1 for True, 1.50 for 1.5, and an instant in two offsets."""
    encode = field._codec.encode
    try:
        return encode(one) == encode(other)
    except (TypeError, ValueError):
        return False


def stale_of_subjects(field: EncryptedField[Any, Any], batch: Batch, cells: Sequence[Any]) -> list[int]:
    """The rows whose cells are not under their own subject's key; the keys are looked up together."""
    subjects = [_named(row.subject) for row in batch.rows]
    preload = getattr(field._subjects, "preload", None)
    if preload is not None:
        preload([name for name, cell in zip(subjects, cells, strict=True) if name and cell is not None])
    return [
        index
        for index, (name, cell) in enumerate(zip(subjects, cells, strict=True))
        if cell is not None and field.needs_reencrypt(cell, name or None)
    ]


def left_over(batch: Batch, before: int) -> None:
    """What was found erased, and is not under the erased key, is still to be read: a failure."""
    for place, (index, column, reason) in enumerate(batch.problems[before:], before):
        if reason == ERASED:
            batch.problems[place] = (index, column, ERASED_IN_THE_CLEAR)


def rebuilds(task: Task) -> RebuildIndex | RebuildCompound | None:
    """The part of a task that brings tags up to date, alone."""
    if isinstance(task, (RebuildIndex, RebuildCompound)):
        return task
    if isinstance(task, (Reencrypt, Encrypt)) and task.tags:
        return RebuildIndex(field=task.field, column=task.column, tags=task.tags)
    return None
