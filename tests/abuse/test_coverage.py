"""Every row of the abuse cases runs over every kind of store, or a reason says why not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.abuse.coverage import (
    FEWER,
    GROUPS,
    IN_THREADS,
    KINDS,
    PENDING,
    RACES,
    SHARED,
    complaints_of,
    threaded,
)
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
    assert complaints_of(rows, collected, set(threaded(ROOT / "tests/abuse"))) == []
    assert set(FEWER) | set(IN_THREADS) | RACES | PENDING <= {row for row in rows if row.startswith(GROUPS)}


def named(row: str, rest: str = "whatever") -> str:
    return f"test_{row.lower().replace('-', '_')}_{rest}"


def collected_of(row: str, kinds: frozenset[str], where: str = "test_x.py") -> list[str]:
    return [f"tests/abuse/{where}::{named(row)}[{kind}-3]" for kind in sorted(kinds)]


def test_a_row_that_loses_a_store_is_told() -> None:
    assert complaints_of(["SES-01"], collected_of("SES-01", KINDS), ()) == []
    for lost in KINDS:
        told = complaints_of(["SES-01"], collected_of("SES-01", KINDS - {lost}), ())
        assert told == [f"SES-01 does not run over {lost}"]
    assert complaints_of(["SES-01"], [], ()) == ["SES-01 does not run over memory, postgres, redis, sqlite"]


def test_a_row_that_is_raced_no_more_is_told() -> None:
    threads, races = collected_of("SES-03", KINDS), {f"test_x.py::{named('SES-03')}"}
    apart = collected_of("SES-03", SHARED, "test_door_processes.py")
    assert complaints_of(["SES-03"], threads + apart, races) == []
    assert complaints_of(["SES-03"], threads + apart[1:], races) == [
        "SES-03 is not raced in processes over postgres"
    ]
    assert complaints_of(["SES-03"], apart, races) == [
        "SES-03 does not run over memory, postgres, redis, sqlite",
        "SES-03 is not raced in threads over memory, postgres, redis, sqlite",
    ]
    alone = [each.replace("test_x", "test_y") for each in threads]
    assert complaints_of(["SES-03"], alone + apart + threads[1:], races) == [
        "SES-03 is not raced in threads over memory"
    ]
    assert complaints_of(["ATK-19"], collected_of("ATK-19", KINDS), ()) == [
        "ATK-19 is not raced in threads over memory, postgres, redis, sqlite"
    ]


def test_a_reason_that_is_none_any_more_is_told() -> None:
    (told,) = complaints_of(["ATK-34"], collected_of("ATK-34", KINDS), ())
    assert "its reason for fewer is none" in told
    assert complaints_of(["ATK-34"], collected_of("ATK-34", frozenset()), ()) == []
    alone = collected_of("SES-01", KINDS)
    assert complaints_of(["SES-01"], alone, {f"test_x.py::{named('SES-01')}"}) == [
        "SES-01 is raced in threads: say so in IN_THREADS or RACES"
    ]
    raced = alone + collected_of("SES-01", SHARED, "test_door_processes.py")
    assert complaints_of(["SES-01"], raced, ()) == ["SES-01 is raced in processes: say so in RACES"]


def test_a_pending_row_that_holds_is_told() -> None:
    assert complaints_of(["SES-01"], [], (), pending={"SES-01"}) == []
    told = complaints_of(["SES-01"], collected_of("SES-01", KINDS), (), pending={"SES-01"})
    assert told == ["SES-01 holds: it is pending no more"]


def test_races_of_threads_are_read_from_the_source(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(
        "MANY = 50\nFEW = 49\n"
        "def test_one(): together(MANY, work)\n"
        "def test_two(): assert won(together(64, lambda n: n))\n"
        "def test_too_few(): together(FEW, work)\n"
        "def test_two_at_once(): together(2, work)\n"
        "def test_of_something_else(): other(50, work)\n"
        "def test_of_nothing(): pass\n",
        "utf-8",
    )
    assert list(threaded(tmp_path)) == ["test_some.py::test_one", "test_some.py::test_two"]


def test_rows_of_other_groups_are_not_asked_for() -> None:
    assert complaints_of(["PWD-01", "LOC-02"], [], ()) == []


def test_every_reason_says_something() -> None:
    assert all(len(reason) > 20 for reason in (*FEWER.values(), *IN_THREADS.values()))
    assert not RACES & set(IN_THREADS)
