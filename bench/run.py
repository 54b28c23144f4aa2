"""``make bench``: run the rows of every ``bench/bench_*.py``, print one table, write ``bench/results.json``.

Each such file has a function ``rows()`` that returns or yields `bench.harness.Row`s; what a row needs (a folder, a
store) it makes there and takes away when the generator is closed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing, nullcontext
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench.harness import Result, Row, measure
from bench.targets import Target, load_targets

HERE = Path(__file__).resolve().parent
ROUNDS = 25
QUICK_ROUNDS = 5


def modules() -> list[str]:
    """Names of the files that hold rows, in order."""
    return [f"bench.{path.stem}" for path in sorted(HERE.glob("bench_*.py"))]


def collect(names: Iterable[str], only: str) -> Generator[Row, None, None]:
    """The rows of the named modules whose id begins with ``only``."""
    for name in names:
        rows = importlib.import_module(name).rows()
        with closing(rows) if hasattr(rows, "close") else nullcontext():
            for row in rows:
                if row.id.startswith(only):
                    yield row


def merge(old: Sequence[dict[str, object]], new: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """Rows that ran replace their elder of the same id in its place; new ones follow."""
    fresh = {row["id"]: row for row in new}
    kept = [fresh.pop(row["id"], row) for row in old]
    return [*kept, *fresh.values()]


def verdict(result: Result, target: Target | None) -> str:
    if target is None:
        return "no target"
    return "met" if target.met_by(ratio=result.ratio, value=result.value) else "missed"


def table(results: Sequence[Result], targets: dict[str, Target]) -> Table:
    """What is printed: one line a row."""
    out = Table(caption=machine(), caption_justify="left")
    out.add_column("id", no_wrap=True)
    for name in ("value", "baseline", "ratio", "p10-p90", "target"):
        out.add_column(name, justify="right", no_wrap=True)
    out.add_column("verdict", no_wrap=True)
    for result in results:
        target = targets.get(result.id)
        said = verdict(result, target)
        out.add_row(
            result.id,
            f"{result.value:.4g} {result.unit}",
            f"{result.against_value:.4g} {result.unit}",
            f"{result.ratio:.4g}",
            f"{result.spread[0]:.3g}-{result.spread[1]:.3g}",
            str(target or ""),
            f"[red]{said}[/red]" if said == "missed" else said,
        )
    return out


def machine() -> str:
    return f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds, and nothing is written")
    parser.add_argument(
        "--only", default="", metavar="PREFIX", help="rows whose id begins so; the rest stays as it was"
    )
    parser.add_argument("--rounds", type=int, default=0, help=f"rounds of each row (default {ROUNDS})")
    parser.add_argument("--output", type=Path, default=HERE / "results.json")
    chosen = parser.parse_args(arguments)
    rounds = chosen.rounds or (QUICK_ROUNDS if chosen.quick else ROUNDS)

    targets = load_targets(HERE / "targets.csv")
    console = Console(width=max(Console().width, 110))  # a pipe says 80, which would cut the ids
    results: list[Result] = []
    with (
        Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        ) as progress,
        closing(collect(modules(), chosen.only)) as rows,
    ):
        for row in rows:
            task = progress.add_task(row.id, total=rounds)
            results.append(measure(row, rounds=rounds, tick=lambda task=task: progress.advance(task)))  # type: ignore[misc]
    if not results:
        print(f"no row's id begins with {chosen.only!r}", file=sys.stderr)
        return 2
    console.print(table(results, targets))
    if not chosen.quick:
        old = json.loads(chosen.output.read_text("utf-8")) if chosen.only and chosen.output.exists() else []
        rows_now = merge(old, [result.as_json() for result in results])
        text = "[\n" + ",\n".join("  " + json.dumps(row) for row in rows_now) + "\n]\n"
        chosen.output.write_text(text, "utf-8")
        console.print(f"written to {chosen.output.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
