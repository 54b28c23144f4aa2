"""The page that `make soak` writes."""

from __future__ import annotations

from datetime import date

import pytest

from portalsec.testing.contracts import StoreContract
from tests import measured
from tests.measured import Figures, page


def _page(figures: Figures) -> list[str]:
    return page(
        figures, passed=1234, today=date(2026, 3, 2), machine={"processor": "some, 2 cores"}
    ).splitlines()


def test_the_page_has_date_machine_and_rows():
    figures = Figures()
    figures.measure("one | two", 0.123456, "s")
    figures.measure("kills", 5000, "")
    figures.race("MemoryTotp", 8)
    figures.race("MemoryTotp", 3)
    lines = _page(figures)
    for line in (
        "| date | 2026-03-02 |",
        "| processor | some, 2 cores |",
        "| tests that passed | 1,234 |",
        "| MemoryTotp | 2 | 11 |",
        "| one \\| two | 0.123 | s |",
        "| kills | 5,000 |  |",
    ):
        assert line in lines


def test_parts_without_rows_are_left_out():
    lines = _page(Figures())
    assert not [line for line in lines if line.startswith("##")]


def test_a_later_value_replaces_an_earlier_one():
    figures = Figures()
    figures.measure("x", 1, "us")
    figures.measure("x", 2, "us")
    assert figures.rows == {"x": ("2", "us")}


def test_the_machine_is_described_without_its_name():
    facts = measured.machine()
    assert set(facts) == {"processor", "system", "Python"}
    assert measured.platform.node() not in facts.values()


class TestCounting(StoreContract):
    """The races of every contract are counted, and their results handed through."""

    def test_a_race_is_counted_with_its_calls(self, pytestconfig: pytest.Config):
        figures = pytestconfig.stash[measured._FIGURES]
        assert self.race(lambda: 1, lambda: 2) == [1, 2]
        assert self.race(lambda: 7) == [7] * 8
        assert figures.races.pop("Counting") == (2, 10)  # a row that the page must not show
