"""A batch of rows on its way through the tasks of a run, and what all tasks do: open, write, index.

Columns go through the fields and indexes whole. What is wrong with one row takes it out, and into the batch's problems.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from portalsec.crypto.cells import Cell, Change, Row
from portalsec.crypto.fields import EncryptedField
from portalsec.errors import DecryptionError, SubjectErased

__all__ = ["ERASED", "Batch", "Found", "Index", "Whose", "by_owner", "opened", "retag", "through", "under"]

ERASED = "erased"
"""Not a failure: the person's key was destroyed on purpose, and the cell opens no more."""

_REFUSALS = (DecryptionError, SubjectErased, TypeError, ValueError)
_new = tuple.__new__


class Index(Protocol):
    """What a task asks of `portalsec.crypto.BlindIndex`."""

    def tag_many(self, values: Sequence[Any], tenant: str | None = None) -> Sequence[bytes | None]: ...


class Batch:
    """Rows, what they shall hold, and what is wrong with some of them.

    Attributes:
        at: the place of each column in a row's values.
        problems: row (its place in ``rows``), column, reason.
        shared: columns that several tasks open: each cell of theirs is opened once.
    """

    __slots__ = ("_changed", "_fresh", "_held", "at", "opened", "problems", "rows", "shared")

    def __init__(self, rows: Sequence[Row], at: Mapping[str, int], shared: Collection[str] = ()) -> None:
        self.rows = rows
        self.at = at
        self.shared = shared
        self.problems: list[tuple[int, str, str]] = []
        self.opened: dict[str, tuple[EncryptedField[Any, Any], dict[int, Any]]] = {}
        # By the column's place: what was read, as far as it was asked for, and what shall be.
        self._held: dict[int, list[Cell]] = {}
        self._fresh: dict[int, list[Cell]] = {}
        self._changed: set[int] = set()

    def column(self, name: str) -> Sequence[Cell]:
        """What was read, for each row."""
        place = self.at[name]
        held = self._held.get(place)
        if held is None:
            held = self._held[place] = [row[2][place] for row in self.rows]  # row.values
        return held

    def differing(self, name: str) -> int:
        """How many rows shall hold something else there."""
        place = self.at[name]
        fresh = self._fresh.get(place)
        if fresh is None:
            return 0
        return sum(old != new for old, new in zip(self.column(name), fresh, strict=True))

    def set(self, index: int, column: str, value: Cell) -> None:
        self.put((index,), {column: (value,)})

    def put(self, indexes: Sequence[int], columns: Mapping[str, Sequence[Cell]]) -> None:
        """Several columns of several rows, by position."""
        for column, values in columns.items():
            place = self.at[column]
            fresh = self._fresh.get(place)
            if fresh is None:
                fresh = self._fresh[place] = list(self.column(column))
            for index, value in zip(indexes, values, strict=True):
                fresh[index] = value
        if columns:
            self._changed.update(indexes)

    def changes(self) -> list[Change]:
        """The rows that shall hold something else."""
        changed = self._changed
        if not changed:
            return []
        names = sorted(self.at, key=self.at.__getitem__)
        columns = [self._fresh.get(self.at[name]) or self.column(name) for name in names]
        pairs: Iterable[Any] = zip(self.rows, zip(*columns, strict=True), strict=True)
        if len(changed) < len(self.rows):
            pairs = [pair for index, pair in enumerate(pairs) if index in changed]
        return [_new(Change, pair) for pair in pairs]  # `Change(...)` without a call of Python's for each row


# -- whose cells they are -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Whose:
    """Rows that go through a field in one call: of one tenant and one subject, as far as the field asks."""

    field: EncryptedField[Any, Any]
    tenant: str | None = None
    subject: str | None = None

    def named(self) -> dict[str, str]:
        named = {"tenant": self.tenant, "subject": self.subject}
        return {name: value for name, value in named.items() if value is not None}


Found: TypeAlias = tuple[Sequence[int], list[Any]]
"""Rows, and a value for each: a row with which something is wrong is in neither."""

_Values = Callable[[Batch, str, Whose, Sequence[int]], Found]


def by_owner(
    field: EncryptedField[Any, Any], batch: Batch, indexes: Sequence[int]
) -> Sequence[tuple[Whose, Sequence[int]]]:
    if not indexes:
        return ()
    tenanted, subjected = field._tenanted, getattr(field, "_subjects", None) is not None
    if not tenanted and not subjected:
        return ((Whose(field), indexes),)
    owners: dict[tuple[str | None, str | None], list[int]] = {}
    for index in indexes:
        row = batch.rows[index]
        owner = (_named(row.tenant) if tenanted else None, _named(row.subject) if subjected else None)
        owners.setdefault(owner, []).append(index)
    return [(Whose(field, *owner), of_owner) for owner, of_owner in owners.items()]


def _named(owner: Any) -> str | None:
    """A tenant or subject as the fields of both ORMs name it: the text of a column of UUIDs or numbers."""
    return owner if owner is None or isinstance(owner, str) else str(owner)


def _ids(whose: Whose, batch: Batch, indexes: Sequence[int]) -> list[Any] | None:
    rows = batch.rows
    return [rows[index][1] for index in indexes] if whose.field._bound else None


# -- opening and writing ------------------------------------------------------------------------------------------


def through(  # noqa: PLR0917 - of this package
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
    for whose, indexes in by_owner(field, batch, wanted):
        kept, values = values_of(batch, column, whose, indexes)
        kept, values, made = _tags(tags, batch, whose.tenant, kept, values)
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


def opened(batch: Batch, column: str, whose: Whose, indexes: Sequence[int]) -> Found:
    """The values of cells, which are opened once for all tasks of a run."""
    if column not in batch.shared:
        return _opened(batch, column, whose, indexes)
    field, values = batch.opened.setdefault(column, (whose.field, {}))
    if field is not whose.field:
        return _opened(batch, column, whose, indexes)
    missing = [index for index in indexes if index not in values]
    if missing:
        values.update(zip(*_opened(batch, column, whose, missing), strict=True))
    kept = [index for index in indexes if index in values]
    return kept, [values[index] for index in kept]


def _opened(batch: Batch, column: str, whose: Whose, indexes: Sequence[int]) -> Found:
    held, field, named, ids = batch.column(column), whose.field, whose.named(), _ids(whose, batch, indexes)
    cells = [held[index] for index in indexes]
    try:
        return indexes, field.decrypt_many(cells, rows=ids, **named)
    except _REFUSALS:
        pass  # one of them does not open: find out which
    kept: list[int] = []
    values: list[Any] = []
    for number, index in enumerate(indexes):
        try:
            values.append(field.decrypt(cells[number], row=None if ids is None else ids[number], **named))
            kept.append(index)
        except _REFUSALS as error:
            batch.problems.append((index, column, _reason(error)))
    return kept, values


def _written(batch: Batch, column: str, whose: Whose, indexes: Sequence[int], values: Sequence[Any]) -> Found:
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


def _reason(error: Exception) -> str:
    """A code for the list of failures: no error's text, which is somebody else's to keep free of content."""
    if isinstance(error, DecryptionError):
        return error.reason
    if isinstance(error, SubjectErased):
        return ERASED
    return "wrong_type" if isinstance(error, TypeError) else "not_encodable"


# -- indexes ------------------------------------------------------------------------------------------------------


def retag(
    batch: Batch,
    cells: Mapping[str, EncryptedField[Any, Any]],
    tags: Mapping[str, Index],
    among: Iterable[int],
    *,
    compound: bool = False,
) -> None:
    """Writes the tags that differ from what the cells give: of one cell its value, ``compound`` a tuple.

    Where all cells are NULL so are the tags; a tuple that lacks some of its values is the index's to judge.
    """
    held = [batch.column(column) for column in cells]
    full: list[int] = []
    empty: list[int] = []
    for index in among:
        (empty if all(column[index] is None for column in held) else full).append(index)
    _correct(batch, empty, {name: [None] * len(empty) for name in tags})
    if not compound:
        ((column, field),) = cells.items()
        for whose, indexes in by_owner(field, batch, full):
            kept, values = opened(batch, column, whose, indexes)
            kept, _, made = _tags(tags, batch, whose.tenant, kept, values)
            _correct(batch, kept, made)
        return
    found: list[dict[int, Any]] = []
    for (column, field), of_rows in zip(cells.items(), held, strict=True):
        values_at = dict.fromkeys(index for index in full if of_rows[index] is None)
        for whose, indexes in by_owner(field, batch, [i for i in full if of_rows[i] is not None]):
            values_at.update(zip(*opened(batch, column, whose, indexes), strict=True))
        found.append(values_at)
    whole = [index for index in full if all(index in each for each in found)]
    tenanted = any(field._tenanted for field in cells.values())
    tenants: dict[str | None, list[int]] = {}
    for index in whole:
        tenants.setdefault(_named(batch.rows[index].tenant) if tenanted else None, []).append(index)
    for tenant, indexes in tenants.items():
        tuples = [tuple(each[index] for each in found) for index in indexes]
        kept, _, made = _tags(tags, batch, tenant, indexes, tuples)
        _correct(batch, kept, made)


def _correct(batch: Batch, indexes: Sequence[int], made: Mapping[str, Sequence[Cell]]) -> None:
    for name, tags in made.items():
        old = batch.column(name)
        wrong = [pair for pair in zip(indexes, tags, strict=True) if old[pair[0]] != pair[1]]
        if wrong:
            batch.put([index for index, _ in wrong], {name: [tag for _, tag in wrong]})


def _tags(
    tags: Mapping[str, Index], batch: Batch, tenant: str | None, rows: Sequence[int], values: list[Any]
) -> tuple[Sequence[int], list[Any], dict[str, list[Cell]]]:
    """The tags of each row by their column, and the rows and values; a row of which one cannot be made is left out."""
    try:
        return rows, values, {name: _tag(index, values, tenant) for name, index in tags.items()}
    except (TypeError, ValueError):
        pass
    kept: list[tuple[int, Any, list[Cell]]] = []
    for row, value in zip(rows, values, strict=True):
        of_row: list[Cell] = []
        for name, index in tags.items():
            try:
                of_row += _tag(index, [value], tenant)
            except (TypeError, ValueError) as error:
                batch.problems.append((row, name, _reason(error)))
                break
        else:
            kept.append((row, value, of_row))
    made = {name: [of_row[place] for _, _, of_row in kept] for place, name in enumerate(tags)}
    return [row for row, _, _ in kept], [value for _, value, _ in kept], made


def _tag(index: Index, values: Sequence[Any], tenant: str | None) -> list[Cell]:
    if getattr(index, "_tenanted", False) and tenant is not None:
        return list(index.tag_many(values, tenant=tenant))
    return list(index.tag_many(values))


def under(tags: Mapping[str, Index]) -> list[Any]:
    """What tags are made under: the primary key, and the index as it describes itself (bits and normaliser)."""
    found = []
    for index in tags.values():
        keys = getattr(index, "_keys", None)
        found.append([getattr(getattr(keys, "keyset", keys), "primary_id", None), repr(index)])
    return found
