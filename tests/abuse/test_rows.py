"""Every row of the abuse cases is in some test's name, or on a list that says why not."""

from __future__ import annotations

from functools import cache

import pytest

from tests.abuse.rows import WAITING, ids_in, named_tests, rows_of
from tests.reading import Found, complaints
from tests.support import ROOT, shared


@cache
def named() -> tuple[tuple[str, Found], ...]:
    return tuple(named_tests(ROOT / "tests"))


def test_every_row_has_a_test_or_a_reason_and_never_both() -> None:
    rows = rows_of(shared("abuse-cases.md").read_text("utf-8"))
    assert len(rows) == len(set(rows)) > 100
    tested = {row for row, _ in named()}
    assert [row for row in rows if (row in tested) == (row in WAITING)] == []
    assert set(WAITING) <= set(rows)


def test_every_test_that_names_a_row_is_collected_runs_and_could_fail() -> None:
    assert [
        (row, each.path.name, each.name, told) for row, each in named() if (told := complaints(each))
    ] == []


def test_no_test_names_a_row_that_is_not_there() -> None:
    rows = set(rows_of(shared("abuse-cases.md").read_text("utf-8")))
    assert {row for row, _ in named()} - rows == set()


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("test_loc_01_parallel", {"LOC-01"}),
        ("test_loc_12_atk_08_a_thousand", {"LOC-12", "ATK-08"}),
        ("test_atk_16_17_every_refusal", {"ATK-16", "ATK-17"}),
        ("test_atk_40_and_41_whatever", {"ATK-40", "ATK-41"}),
        ("test_a_refusal_and_pwd_08_every_check", {"PWD-08"}),
        ("test_rfc_6238_vectors", set()),
        ("test_ses_01", {"SES-01"}),
        ("test_latk_01_nothing", set()),
        ("test_atk_100_rounds", set()),
    ],
)
def test_ids_are_read_from_names(name: str, ids: set[str]) -> None:
    assert ids_in(name) == ids


def test_every_reason_says_something() -> None:
    assert all(len(reason) > 20 for reason in WAITING.values())
