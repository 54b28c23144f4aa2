"""Rows of the vendored standards on signing in, and the tests that hold them.

`nist`, `asvs` and `others` have a table each: row -> the tests that fail without what it asks for, and row -> why no test
can. `test_rows` holds the tables to the standards' files and to the tests: no row is missing, and every named test is there.
"""

from __future__ import annotations

import csv
import re

from tests.support import shared

__all__ = ["at", "rows", "slug"]


def at(path: str, *names: str) -> tuple[str, ...]:
    """Places of tests: a file under tests/ and functions in it."""
    return tuple(f"{path}::{name}" for name in names)


def rows(table: str, *sections: str) -> list[str]:
    """The ids of a table that begin like one of these, or all, each once; skips the test where the tables are absent."""
    with shared("standards", table).open(encoding="utf-8", newline="") as file:
        found = [row["id"] for row in csv.DictReader(file)]
    return list(dict.fromkeys(each for each in found if not sections or each.startswith(sections)))


def slug(row: str) -> str:
    """How a test's name carries a row's id."""
    return re.sub(r"[^a-z0-9]+", "_", row.lower()).strip("_")
