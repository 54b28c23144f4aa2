"""Every row of the abuse cases runs over every kind of store, or a reason says why not."""

from __future__ import annotations

import subprocess
import sys

from tests.abuse.coverage import FEWER, GROUPS, KINDS, RACES, SHARED, complaints_of
from tests.abuse.rows import rows_of
from tests.support import ROOT, shared

FOLDERS = ["tests/abuse", "tests/stores/test_processes.py"]


def test_every_row_runs_over_every_kind_of_store_or_says_why_not() -> None:
    rows = rows_of(shared("abuse-cases.md").read_text("utf-8"))
    collected = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "--collect-only",
            "-q",
            "-n",
            "0",
            "-p",
            "no:cacheprovider",
            *FOLDERS,
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    assert len(collected) > 1000
    assert complaints_of(rows, collected) == []
    assert set(FEWER) | RACES <= {row for row in rows if row.startswith(GROUPS)}


def collected_of(row: str, kinds: frozenset[str], where: str = "test_x.py") -> list[str]:
    name = row.lower().replace("-", "_")
    return [f"tests/abuse/{where}::test_{name}_whatever[{kind}-3]" for kind in sorted(kinds)]


def test_a_row_that_loses_a_store_is_told() -> None:
    assert complaints_of(["SES-01"], collected_of("SES-01", KINDS)) == []
    for lost in KINDS:
        told = complaints_of(["SES-01"], collected_of("SES-01", KINDS - {lost}))
        assert told == [f"SES-01 does not run over {lost}"]
    assert complaints_of(["SES-01"], []) == ["SES-01 does not run over memory, postgres, redis, sqlite"]


def test_a_row_that_is_raced_no_more_is_told() -> None:
    threads = collected_of("SES-03", KINDS)
    apart = collected_of("SES-03", SHARED, "test_door_processes.py")
    assert complaints_of(["SES-03"], threads + apart) == []
    assert complaints_of(["SES-03"], threads + apart[1:]) == [
        "SES-03 is not raced in processes over postgres"
    ]
    assert complaints_of(["SES-03"], apart) != []


def test_a_reason_that_is_none_any_more_is_told() -> None:
    (told,) = complaints_of(["ATK-34"], collected_of("ATK-34", KINDS))
    assert "its reason for fewer is none" in told
    assert complaints_of(["ATK-34"], collected_of("ATK-34", frozenset())) == []
    raced = collected_of("SES-01", KINDS) + collected_of("SES-01", SHARED, "test_door_processes.py")
    assert complaints_of(["SES-01"], raced) == ["SES-01 is raced in processes: say so in RACES"]


def test_rows_of_other_groups_are_not_asked_for() -> None:
    assert complaints_of(["PWD-01", "LOC-02"], []) == []
    assert all(len(reason) > 20 for reason in FEWER.values())
