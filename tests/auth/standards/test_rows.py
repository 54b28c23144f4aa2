"""Every row of the standards names the tests that hold it, or says why there is none; and every such test is there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from inspect import getfile
from pathlib import Path

import pytest

from tests.auth.standards import asvs, nist, others, rows, slug
from tests.reading import Found, complaints, read_tests
from tests.support import ROOT

TESTS = ROOT / "tests"
HELD = {**nist.HELD, **asvs.HELD, **others.HELD}
NOT_TESTED = {**nist.NOT_TESTED, **asvs.NOT_TESTED, **others.NOT_TESTED}
NAMED_BY_ROW = sorted((TESTS / "auth" / "standards").glob("test_*.py"))


@cache
def functions(path: str) -> Mapping[str, Found]:
    """Tests of a file, also of its classes; or of one of these ("file::class"), with what it inherits."""
    file, _, name = path.partition("::")
    if not name:
        return {found.name: found for found in read_tests(TESTS / file)}
    made = getattr(import_module(f"tests.{file.removesuffix('.py').replace('/', '.')}"), name)
    files = {Path(getfile(each)) for each in made.__mro__ if each is not object}
    return {found.name: found for each in files for found in read_tests(each) if hasattr(made, found.name)}


def places() -> Iterator[tuple[str, str, str]]:
    for row, named in HELD.items():
        for place in named:
            path, _, name = place.rpartition("::")
            yield row, path, name


@pytest.mark.parametrize(
    ("table", "sections", "module"),
    [
        ("nist_sp800_63b_4.csv", (), nist),
        ("owasp_asvs_5.0.0.csv", ("V6.", "V7."), asvs),
        (None, (), others),
    ],
)
def test_no_row_is_missing_and_none_is_invented(
    table: str | None, sections: tuple[str, ...], module: object
) -> None:
    held, untested = module.HELD, module.NOT_TESTED  # type: ignore[attr-defined]
    if table is not None:
        asked = rows(table, *sections)
    else:
        asked = [row for name, some in others.SECTIONS.items() for row in rows(name, *some)]
    assert {*held, *untested} == set(asked)
    assert set(held).isdisjoint(untested)
    assert all(held.values())


def test_every_named_test_is_there_is_collected_runs_and_could_fail() -> None:
    for row, path, name in places():
        assert name in functions(path), (row, path, name)
        assert complaints(functions(path)[name]) == [], (row, path, name)


def test_a_test_that_has_a_rows_id_in_its_name_is_named_by_that_row() -> None:
    slugs = {slug(row): row for row in HELD}
    for file in NAMED_BY_ROW:
        path = str(file.relative_to(TESTS))
        for name in functions(path):
            ids = [each for each in slugs if name.startswith(f"test_{each}_")]
            if ids:
                row = slugs[max(ids, key=len)]
                assert f"{path}::{name}" in HELD[row], name


def test_reasons_are_one_short_sentence_and_what_they_name_is_there() -> None:
    for row, reason in NOT_TESTED.items():
        assert 20 <= len(reason) <= 130, row
        for path in re.findall(r"(?:tests|docs)/[\w/]+\.(?:py|md)", reason):
            assert (ROOT / path).is_file(), path
        for other in re.findall(r"\b(?:V\d|\d)(?:\.\d+)+(?:-\w+)?", reason):
            assert other in HELD or "issue" in reason, (row, other)
