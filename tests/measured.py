"""A pytest plugin: the figures of ``make soak``, written to ``docs/reference/measured.md``.

Any test may ask for the fixture ``measure`` and report a figure; the races of the store contracts are counted on
their own. Nothing is written unless ``--write-measured`` names a file and the whole run passed. Tests that are marked
``soak``, and all of ``tests/soak``, run only under ``PORTALSEC_SOAK=1``; elsewhere they skip and say so.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

Measure = Callable[[str, float | str, str], None]
"""``measure("what was measured, as a phrase", value, "unit")``; a later value of the same phrase replaces it."""

SOAK = "PORTALSEC_SOAK"
_FOLDER = "tests/soak/"


@dataclass
class Figures:
    """What one run came to."""

    rows: dict[str, tuple[str, str]] = field(default_factory=dict)
    races: dict[str, tuple[int, int]] = field(default_factory=dict)  # contract's class -> races, calls in all

    def measure(self, what: str, value: float | str, unit: str) -> None:
        self.rows[what] = (value if isinstance(value, str) else _number(value), unit)

    def race(self, contract: str, calls: int) -> None:
        races, total = self.races.get(contract, (0, 0))
        self.races[contract] = (races + 1, total + calls)


_FIGURES = pytest.StashKey[Figures]()


# -- hooks ------------------------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--write-measured",
        metavar="FILE",
        help="write the run's figures to this page, if everything passed (make soak)",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FIGURES] = Figures()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get(SOAK) == "1":
        return
    full_counts = pytest.mark.skip(reason="full counts: make soak")
    for item in items:
        if item.get_closest_marker("soak") or item.nodeid.startswith(_FOLDER):
            item.add_marker(full_counts)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    target = session.config.getoption("--write-measured")
    if target is None or exitstatus != pytest.ExitCode.OK:
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    passed = len(reporter.stats.get("passed", ())) if reporter else session.testscollected
    text = page(
        session.config.stash[_FIGURES], passed=passed, today=datetime.now(UTC).date(), machine=machine()
    )
    Path(target).write_text(text, "utf-8")


# -- fixtures ---------------------------------------------------------------------------------------------------


@pytest.fixture
def measure(pytestconfig: pytest.Config) -> Measure:
    """Report a figure of this run."""
    return pytestconfig.stash[_FIGURES].measure


@pytest.fixture(autouse=True)
def _races_are_counted(request: pytest.FixtureRequest) -> Iterator[None]:
    contract = request.instance
    if contract is None or not hasattr(contract, "race"):
        yield
        return
    figures = request.config.stash[_FIGURES]
    race = contract.race

    def counted(*calls: Callable[[], object]) -> object:
        results = race(*calls)
        figures.race(type(contract).__name__.removeprefix("Test"), len(results))
        return results

    contract.race = counted
    try:
        yield
    finally:
        del contract.race


# -- the page ---------------------------------------------------------------------------------------------------


def page(figures: Figures, *, passed: int, today: date, machine: Mapping[str, str]) -> str:
    """The markdown of the whole page."""
    facts = {"date": today.isoformat(), **machine, "tests that passed": f"{passed:,}"}
    parts = [
        "# What was measured\n\n"
        "`make soak` writes this page: the full counts of races and statistics, on the machine below. "
        "A run with a failure writes nothing.\n",
        _table(("run", ""), list(facts.items())),
    ]
    if figures.races:
        rows = [(name, f"{races:,}", f"{calls:,}") for name, (races, calls) in sorted(figures.races.items())]
        parts.append(
            "## Races\n\nCalls of one race start at one moment, in a thread each. Every race had the winners that "
            "the port's contract promises.\n"
        )
        parts.append(_table(("store", "races", "calls"), rows))
    if figures.rows:
        rows = [(what, value, unit) for what, (value, unit) in figures.rows.items()]
        parts.append("## Figures\n")
        parts.append(_table(("what", "value", "unit"), rows))
    return "\n".join(parts)


def machine() -> dict[str, str]:
    """What a reader needs to judge the figures, and nothing that names the machine."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in _lines(Path("/proc/cpuinfo"))
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {
        "processor": f"{model}, {os.cpu_count()} cores",
        "system": platform.system(),
        "Python": platform.python_version(),
    }


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").splitlines()
    except OSError:
        return []


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"
