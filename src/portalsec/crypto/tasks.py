"""What can be done to the cells of a table: re-encrypt, encrypt a column of plaintext, rebuild an index.

A task looks at a batch of rows and writes into their drafts. It knows no database; `portalsec.crypto.rotation` runs
it, and swaps the drafts in.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from portalsec.crypto.cells import Cell, Row
from portalsec.crypto.fields import EncryptedField
from portalsec.errors import ConfigurationError, DecryptionError, SubjectErased

__all__ = ["ERASED", "Batch", "Encrypt", "Index", "RebuildIndex", "Reencrypt", "Task"]

_PREFIX = 5

ERASED = "erased"
"""Not a failure: the person's key was destroyed on purpose, and the cell opens no more."""


class Index(Protocol):
    """What a task asks of `portalsec.crypto.BlindIndex`."""

    def tag_many(self, values: Sequence[Any], tenant: str | None = None) -> Sequence[bytes | None]: ...


class Batch:
    """Rows, what they shall hold (None where nothing changes), and what is wrong with some of them."""

    __slots__ = ("at", "drafts", "problems", "rows")

    def __init__(self, rows: Sequence[Row], at: Mapping[str, int]) -> None:
        self.rows = rows
        self.at = at  # column -> its place in a row's values
        self.drafts: list[list[Cell] | None] = [None] * len(rows)
        self.problems: list[tuple[int, str, str]] = []  # row, column, reason

    def set(self, index: int, column: str, value: Cell) -> None:
        draft = self.drafts[index]
        if draft is None:
            draft = self.drafts[index] = list(self.rows[index].values)
        draft[self.at[column]] = value

    def put(self, indexes: Sequence[int], columns: Mapping[str, Sequence[Cell]]) -> None:
        """Several columns of several rows, by position."""
        drafts, rows = self.drafts, self.rows
        places = [self.at[column] for column in columns]
        for index, values in zip(indexes, zip(*columns.values(), strict=True), strict=True):
            draft = drafts[index]
            if draft is None:
                draft = drafts[index] = list(rows[index][2])  # row.values
            for place, value in zip(places, values, strict=True):
                draft[place] = value


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
        """What it writes under at the moment, as JSON holds it: where that changed, a run begins anew."""
        ...

    def work(self, batch: Batch) -> None: ...


# -- the tasks ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Reencrypt:
    """Cells that are not under the primary key are opened and written under it, and their tags anew.

    A cell that is current, by its first bytes, is left alone, and so are its tags: where only the keys of an index
    were rotated, run `RebuildIndex`. What a legacy reader of the field opens is re-encrypted too, which is how a
    column of another library, or of plaintext in place, is taken over.

    Attributes:
        field: what opens and writes the cells.
        column: the column of the cells, as the source names it.
        tags: the columns of the field's indexes.
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
        return self.field.current_prefix.hex()

    def work(self, batch: Batch) -> None:
        place, prefix = batch.at[self.column], self.field.current_prefix
        cells = [row[2][place] for row in batch.rows]  # of row.values
        if len(prefix) == _PREFIX and not self.field._text:
            # What `needs_reencrypt` asks, without a call for each cell; who is left over is asked about in words.
            cells = [None if type(cell) is bytes and cell[:_PREFIX] == prefix else cell for cell in cells]
        stale = self.field.needs_reencrypt
        wanted = [index for index, cell in enumerate(cells) if cell is not None and stale(cell)]
        _through(self.field, self.column, self.tags, batch, wanted, _opened)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encrypt:
    """A column of plaintext is encrypted into a column of cells, and emptied.

    Where both hold something, they are compared: the same value empties the plaintext, another one is listed as a
    failure ("differs") and left alone, since only the application knows which of the two is newer.

    Attributes:
        source: the column of the plaintext; rows where it is NULL are done.
        column: the column of the cells.
        tags: the columns of the field's indexes.
        clear: whether the plaintext becomes NULL. False fills the cells and keeps the plaintext, for the time in
            which an older version of the application still reads it; run it again with True after that.
        convert: from what the column holds to what the field takes, such as ``date.fromisoformat``.
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
        return self.field.current_prefix.hex()

    def work(self, batch: Batch) -> None:
        plain, cell = batch.at[self.source], batch.at[self.column]
        wanted = [index for index, row in enumerate(batch.rows) if row.values[plain] is not None]
        empty = [index for index in wanted if batch.rows[index].values[cell] is None]
        done = _through(self.field, self.column, self.tags, batch, empty, self._plaintext)
        done += self._compared(
            batch, [index for index in wanted if batch.rows[index].values[cell] is not None]
        )
        if self.clear:
            batch.put(done, {self.source: [None] * len(done)})

    def _plaintext(self, batch: Batch, column: str, of: _Whose, indexes: Sequence[int]) -> _Found:
        place, convert = batch.at[self.source], self.convert
        kept: list[int] = []
        values: list[Any] = []
        for index in indexes:
            value = batch.rows[index].values[place]
            try:
                values.append(value if convert is None else convert(value))
                kept.append(index)
            except (TypeError, ValueError, ArithmeticError):
                batch.problems.append((index, self.source, "not_converted"))
        return kept, values

    def _compared(self, batch: Batch, both: Sequence[int]) -> list[int]:
        same = []
        for whose, indexes in _by_owner(self.field, batch, both):
            held = dict(zip(*_opened(batch, self.column, whose, indexes), strict=True))
            for index, value in zip(*self._plaintext(batch, self.column, whose, list(held)), strict=True):
                if type(held[index]) is type(value) and held[index] == value:
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
        return [_under(index) for index in self.tags.values()]

    def work(self, batch: Batch) -> None:
        place = batch.at[self.column]
        held = []
        for index, row in enumerate(batch.rows):
            if row.values[place] is not None:
                held.append(index)
            else:
                self._corrected(batch, index, dict.fromkeys(self.tags))
        for whose, indexes in _by_owner(self.field, batch, held):
            kept, values = _opened(batch, self.column, whose, indexes)
            kept, _, made = _tags(self.tags, batch, whose, kept, values)
            for index, tags in zip(kept, zip(*made.values(), strict=True), strict=True):
                self._corrected(batch, index, dict(zip(made, tags, strict=True)))

    def _corrected(self, batch: Batch, index: int, tags: Mapping[str, Cell]) -> None:
        for column, tag in tags.items():
            old = batch.rows[index].values[batch.at[column]]
            if (old if old is None or isinstance(old, str) else bytes(old)) != tag:
                batch.set(index, column, tag)


# -- the common way: open, write, index ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Whose:
    """Rows that go through a field in one call: of one tenant and one subject, as far as the field asks."""

    field: EncryptedField[Any, Any]
    tenant: str | None
    subject: str | None

    def named(self) -> dict[str, str]:
        named = {"tenant": self.tenant, "subject": self.subject}
        return {name: value for name, value in named.items() if value is not None}


_Found = tuple[Sequence[int], list[Any]]
"""Rows, and a value for each: what is wrong with a row takes it out of both, and into the batch's problems."""

_Values = Callable[[Batch, str, _Whose, Sequence[int]], _Found]


def _through(  # noqa: PLR0917 - of this file
    field: EncryptedField[Any, Any],
    column: str,
    tags: Mapping[str, Index],
    batch: Batch,
    wanted: Sequence[int],
    values_of: _Values,
) -> list[int]:
    """Writes the cells and tags of ``wanted`` from the values that ``values_of`` finds; the rows where it worked.

    A cell never changes without its tags: a search would miss the row.
    """
    done: list[int] = []
    for whose, indexes in _by_owner(field, batch, wanted):
        kept, values = values_of(batch, column, whose, indexes)
        kept, values, made = _tags(tags, batch, whose, kept, values)
        written, cells = _written(batch, column, whose, kept, values)
        if len(written) != len(kept):
            left = set(written)
            made = {
                name: [tag for index, tag in zip(kept, of_rows, strict=True) if index in left]
                for name, of_rows in made.items()
            }
        batch.put(written, {column: cells, **made})
        done += written
    return done


def _by_owner(
    field: EncryptedField[Any, Any], batch: Batch, indexes: Sequence[int]
) -> Sequence[tuple[_Whose, Sequence[int]]]:
    if not indexes:
        return ()
    tenanted, subjected = field._tenanted, getattr(field, "_subjects", None) is not None
    if not tenanted and not subjected:
        return ((_Whose(field, None, None), indexes),)
    owners: dict[tuple[str | None, str | None], list[int]] = {}
    for index in indexes:
        row = batch.rows[index]
        owner = (_named(row.tenant) if tenanted else None, _named(row.subject) if subjected else None)
        owners.setdefault(owner, []).append(index)
    return [(_Whose(field, *owner), of_owner) for owner, of_owner in owners.items()]


def _named(owner: Any) -> str | None:
    """A tenant or subject as the fields of both ORMs name it: the text of a column of UUIDs or numbers."""
    return owner if owner is None or isinstance(owner, str) else str(owner)


def _opened(batch: Batch, column: str, whose: _Whose, indexes: Sequence[int]) -> _Found:
    place, rows, field = batch.at[column], batch.rows, whose.field
    named, ids = whose.named(), _ids(whose, batch, indexes)
    cells = [rows[index][2][place] for index in indexes]
    try:
        return indexes, field.decrypt_many(cells, rows=ids, **named)
    except (DecryptionError, SubjectErased, TypeError, ValueError):
        pass  # one of them does not open: find out which
    kept: list[int] = []
    values: list[Any] = []
    for number, index in enumerate(indexes):
        try:
            values.append(field.decrypt(cells[number], row=None if ids is None else ids[number], **named))
            kept.append(index)
        except (DecryptionError, SubjectErased, TypeError, ValueError) as error:
            batch.problems.append((index, column, _reason(error)))
    return kept, values


def _written(
    batch: Batch, column: str, whose: _Whose, indexes: Sequence[int], values: Sequence[Any]
) -> _Found:
    field, named, ids = whose.field, whose.named(), _ids(whose, batch, indexes)
    try:
        return indexes, field.encrypt_many(values, rows=ids, **named)
    except (SubjectErased, TypeError, ValueError):
        pass
    kept: list[int] = []
    cells: list[Cell] = []
    for number, index in enumerate(indexes):
        try:
            cells.append(field.encrypt(values[number], row=None if ids is None else ids[number], **named))
            kept.append(index)
        except (SubjectErased, TypeError, ValueError) as error:
            batch.problems.append((index, column, _reason(error)))
    return kept, cells


def _tags(
    indexes: Mapping[str, Index], batch: Batch, whose: _Whose, rows: Sequence[int], values: list[Any]
) -> tuple[Sequence[int], list[Any], dict[str, list[Cell]]]:
    """The tags of each row by their column, and the rows and values; a row of which one cannot be made is left out."""
    try:
        return rows, values, {name: _tag(index, values, whose) for name, index in indexes.items()}
    except (TypeError, ValueError):
        pass
    kept: list[tuple[int, Any, list[Cell]]] = []
    for row, value in zip(rows, values, strict=True):
        tags: list[Cell] = []
        for name, index in indexes.items():
            try:
                tags += _tag(index, [value], whose)
            except (TypeError, ValueError) as error:
                batch.problems.append((row, name, _reason(error)))
                break
        else:
            kept.append((row, value, tags))
    made = {name: [tags[place] for _, _, tags in kept] for place, name in enumerate(indexes)}
    return [row for row, _, _ in kept], [value for _, value, _ in kept], made


def _tag(index: Index, values: Sequence[Any], whose: _Whose) -> list[Cell]:
    if getattr(index, "_tenanted", False) and whose.tenant is not None:
        return list(index.tag_many(values, tenant=whose.tenant))
    return list(index.tag_many(values))


def _ids(whose: _Whose, batch: Batch, indexes: Sequence[int]) -> list[Any] | None:
    rows = batch.rows
    return [rows[index][1] for index in indexes] if whose.field._bound else None


def _reason(error: Exception) -> str:
    """A code for the list of failures: no error's text, which is somebody else's to keep free of content."""
    if isinstance(error, DecryptionError):
        return error.reason
    if isinstance(error, SubjectErased):
        return ERASED
    return "wrong_type" if isinstance(error, TypeError) else "not_encodable"


def _under(index: Index) -> list[Any]:
    """What tags are made under: the primary key, and the index as it describes itself (bits and normaliser)."""
    keys = getattr(index, "_keys", None)
    return [getattr(getattr(keys, "keyset", keys), "primary_id", None), repr(index)]
