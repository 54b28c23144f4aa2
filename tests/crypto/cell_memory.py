"""A `CellSource` over a dict, for tests of the engine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from portalsec.crypto.cells import Change, Key, Row


class MemoryCells:
    """Rows by key: ``{key: {column: value}}``. ``meanwhile`` is called at the start of each swap."""

    def __init__(self, columns: Sequence[str], rows: dict[Any, dict[str, Any]]) -> None:
        self.columns, self.rows = tuple(columns), rows
        self.meanwhile: Callable[[], None] = lambda: None
        self.swaps = 0

    def count(self) -> int:
        return len(self.rows)

    def page(self, after: Key | None, limit: int) -> Sequence[Row]:
        behind = [key for key in sorted(self.rows) if after is None or key > after[0]]
        return [self._row(key) for key in behind[:limit]]

    def read(self, keys: Sequence[Key]) -> Sequence[Row]:
        return [self._row(key) for (key,) in keys if key in self.rows]

    def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
        self.swaps += 1
        self.meanwhile()
        made = []
        for row, values in changes:
            (key,) = row.key
            made.append(key in self.rows and self._row(key) == row)
            if made[-1]:
                self.rows[key].update(zip(self.columns, values, strict=True))
        return made

    def tally(self, column: str, beginnings: Sequence[Collection[bytes | str]]) -> Sequence[int]:
        counts = [0] * (len(beginnings) + 1)
        for row in self.rows.values():
            cell = row[column]
            if cell is not None:
                first = (
                    place
                    for place, each in enumerate(beginnings)
                    if any(isinstance(cell, type(one)) and cell.startswith(one) for one in each)
                )
                counts[next(first, -1)] += 1
        return counts

    def _row(self, key: Any) -> Row:
        row = self.rows[key]
        values = tuple(row.get(column) for column in self.columns)
        return Row((key,), key, values, row.get("tenant"), row.get("subject"))
