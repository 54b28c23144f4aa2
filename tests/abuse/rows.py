"""Rows of the abuse cases that no test has in its name yet, each with the reason; `test_rows` holds this list to the truth.

A row leaves the list with the test that brings it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from tests.reading import Found, read_tests

__all__ = ["WAITING", "ids_in", "named_tests", "rows_of"]

WAITING: Mapping[str, str] = MappingProxyType(
    {
        "AUZ-06": "stores take no patterns: each look-up is by an exact value, and one contract holds them all",
    }
)

_GROUPS = "MFA|BYP|KEY|PWD|LOC|SES|REC|AUZ|ATK"
_ROW = re.compile(rf"^\| ((?:{_GROUPS})-\d\d) \|", re.MULTILINE)
_TEST = re.compile(r"^ *(?:async )?def (test_\w+)", re.MULTILINE)
_NAMED = re.compile(rf"(?<=_)({_GROUPS.lower()})((?:_(?:and_)?\d\d(?!\d))+)(?=_|$)")


def rows_of(text: str) -> list[str]:
    """The ids of the document's tables, in order."""
    return _ROW.findall(text)


def ids_in(name: str) -> set[str]:
    """The ids that a test's name carries: ``test_atk_16_17_...`` has two."""
    return {
        f"{match[1].upper()}-{number}"
        for match in _NAMED.finditer(name)
        for number in re.findall(r"\d\d", match[2])
    }


def named_tests(folder: Path) -> Iterator[tuple[str, Found]]:
    """Each test under a folder whose name carries ids, once an id, as its source says: nothing is imported."""
    for path in sorted(folder.rglob("*.py")):
        if any(map(ids_in, _TEST.findall(path.read_text("utf-8")))):
            for found in read_tests(path):
                for row in sorted(ids_in(found.name)):
                    yield row, found
