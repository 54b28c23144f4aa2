"""The contract of `portalsec.crypto.cells.CellSource`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import pytest

from portalsec.crypto.cells import CellSource, Change, Row
from portalsec.testing.contracts.base import StoreContract, winners

__all__ = ["CellSourceContract", "CellTable"]

Held: TypeAlias = tuple[str, bytes | None, bytes | None]


class CellTable:
    """What an inheritor provides: a table of the application with a text key, ``cell`` and ``tag``, both nullable.

    Attributes:
        source: over the columns ``cell`` and ``tag``.
        insert, update, delete: what the application does, each committed when it returns.
    """

    def __init__(
        self,
        source: CellSource,
        *,
        insert: Callable[[Sequence[Held]], object],
        update: Callable[[str, bytes | None], object],
        delete: Callable[[str], object],
    ) -> None:
        self.source, self.insert, self.update, self.delete = source, insert, update, delete


# Not in the order of the disk, and with more rows than a page has.
_ROWS: list[Held] = [(f"row-{n * 7 % 23:02}", b"cell %d" % n, b"tag %d" % n) for n in range(23)]


def _everything(source: CellSource, limit: int) -> list[Row]:
    rows: list[Row] = []
    while page := source.page(rows[-1].key if rows else None, limit):
        assert len(page) <= limit
        rows += page
    return rows


def _change(row: Row, *values: Any) -> Change:
    return Change(row, values)


class CellSourceContract(StoreContract):
    """Inherit it and provide ``table``: an empty `CellTable`."""

    @pytest.fixture
    def table(self) -> CellTable:
        raise NotImplementedError("provide a fixture `table` that returns an empty CellTable")

    @pytest.mark.parametrize("limit", [1, 4, 22, 23, 24])
    def test_the_pages_are_all_rows_once(self, table: CellTable, limit: int) -> None:
        table.insert(_ROWS)
        rows = _everything(table.source, limit)
        assert sorted((row.key[0], *row.values) for row in rows) == sorted(_ROWS)
        assert all(row.id == row.key[0] for row in rows)
        assert table.source.count() == len(_ROWS)

    def test_an_empty_table_has_no_page(self, table: CellTable) -> None:
        assert not table.source.page(None, 10)
        assert table.source.count() == 0
        assert not table.source.swap([])
        assert not table.source.read([])
        assert list(table.source.tally("cell", [[b"c"]])) == [0, 0]

    def test_no_row_is_missed_behind_one_that_was_deleted(self, table: CellTable) -> None:
        table.insert(_ROWS)
        order = [row.key for row in _everything(table.source, 100)]
        first = table.source.page(None, 5)
        table.delete(first[-1].key[0])
        behind = table.source.page(first[-1].key, 100)
        assert [row.key for row in behind][-len(order[5:]) :] == order[5:]

    def test_a_change_is_made_and_another_row_is_left_alone(self, table: CellTable) -> None:
        table.insert(_ROWS)
        one, two, *_ = table.source.page(None, 10)
        assert list(table.source.swap([_change(one, b"new", None)])) == [True]
        (now,) = table.source.read([one.key])
        assert now.values == (b"new", None)
        assert table.source.read([two.key]) == [two]

    def test_what_was_changed_meanwhile_is_kept(self, table: CellTable) -> None:
        table.insert(_ROWS)
        rows = table.source.page(None, 10)
        table.update(rows[3].key[0], b"the application's")
        table.update(rows[5].key[0], None)
        table.delete(rows[7].key[0])
        made = table.source.swap([_change(row, b"ours", b"ours") for row in rows])
        assert [place for place, ok in enumerate(made) if not ok] == [3, 5, 7]
        left = {row.key: row.values[0] for row in table.source.read([row.key for row in rows])}
        assert left == {
            row.key: {3: b"the application's", 5: None}.get(place, b"ours")
            for place, row in enumerate(rows)
            if place != 7
        }

    def test_every_value_has_to_stand_null_too(self, table: CellTable) -> None:
        table.insert([("a", None, b"t"), ("b", b"c", None), ("c", None, None)])
        rows = sorted(table.source.page(None, 10))
        stale = [row._replace(values=(b"x", row.values[1])) for row in rows]
        stale += [row._replace(values=(row.values[0], b"x")) for row in rows]
        assert list(table.source.swap([_change(row, b"n", b"n") for row in stale])) == [False] * 6
        assert list(table.source.swap([_change(row, b"n", b"n") for row in rows])) == [True] * 3

    def test_rows_that_are_gone_are_not_read(self, table: CellTable) -> None:
        table.insert(_ROWS)
        keys = [("row-00",), ("nobody",), ("row-01",)]
        assert sorted(row.key for row in table.source.read(keys)) == [("row-00",), ("row-01",)]

    def test_many_rows_are_changed_and_read_at_once(self, table: CellTable) -> None:
        table.insert([(f"{n:05}", b"%d" % n, None) for n in range(3000)])
        rows = table.source.page(None, 3000)
        assert (
            list(table.source.swap([_change(row, b"+" + row.values[0], b"t") for row in rows]))
            == [True] * 3000
        )
        now = {row.key: row.values for row in table.source.read([row.key for row in rows])}
        assert now == {row.key: (b"+" + row.values[0], b"t") for row in rows}

    def test_a_tally_counts_beginnings(self, table: CellTable) -> None:
        cells = [b"aaa1", b"aaa2", b"bbbb", b"b", b"cc", None]
        table.insert([(str(n), cell, None) for n, cell in enumerate(cells)])
        assert list(table.source.tally("cell", [[b"aaa"], [b"bbb", b"cc"], []])) == [2, 2, 0, 1]

    def test_of_eight_that_change_one_row_one_wins(self, table: CellTable) -> None:
        for number in self.rounds():
            table.insert([(f"race {number}", b"old", None)])
            (row,) = table.source.read([(f"race {number}",)])
            changes = [[_change(row, b"by %d" % n, None)] for n in range(8)]
            results = self.race(*(lambda change=change: table.source.swap(change)[0] for change in changes))
            assert winners(results) == 1
            (now,) = table.source.read([row.key])
            assert now.values[0] == b"by %d" % results.index(True)

    def test_overlapping_batches_change_each_row_once(self, table: CellTable) -> None:
        table.insert(_ROWS)
        rows = list(table.source.page(None, 100))
        for number in self.rounds():
            batches = [rows, rows[::-1], rows[5:], rows[:15]]
            results = self.race(
                *(
                    lambda batch=batch, n=n, number=number: list(
                        table.source.swap([_change(row, b"%d by %d" % (number, n), None) for row in batch])
                    )
                    for n, batch in enumerate(batches)
                )
            )
            won = [
                row.key
                for batch, made in zip(batches, results, strict=True)
                for row, ok in zip(batch, made, strict=True)
                if ok
            ]
            assert sorted(won) == sorted(row.key for row in rows)
            rows = list(table.source.page(None, 100))
