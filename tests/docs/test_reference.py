"""The reference pages list what the code has, no more and no less; the docs name nothing of this machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from portalsec import errors
from portalsec.errors import Reason
from portalsec.events import Event, EventClass, Outcome, Purpose, Vocabulary
from tests.support import ROOT

DOCS = ROOT / "docs"


def table(page: str, header: str) -> list[list[str]]:
    """The cells of the table whose header row begins with ``header``, backquotes taken off."""
    lines = iter((DOCS / "reference" / page).read_text("utf-8").splitlines())
    for line in lines:
        if line.startswith(f"| {header} |"):
            break
    else:
        raise AssertionError(f"{page} has no table that begins with {header!r}")
    next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().strip("`") for cell in line.strip("|").split(" | ")])
    return rows


def column(page: str, header: str) -> list[str]:
    return [row[0] for row in table(page, header)]


def test_every_reason_is_listed_once_in_order():
    assert column("errors.md", "reason") == [reason.value for reason in Reason]


def test_every_error_is_listed():
    public = {name for name in errors.__all__ if name not in {"Reason", "PortalsecError"}}
    assert set(column("errors.md", "error")) == public


def test_every_event_is_listed_once_in_order_with_its_class():
    vocabulary = Vocabulary()
    listed = [(name, event_class) for name, event_class, _ in table("events.md", "event")]
    assert listed == [(event.value, vocabulary.event_class(event).value) for event in Event]


@pytest.mark.parametrize(
    ("header", "members"), [("class", EventClass), ("outcome", Outcome), ("code", Purpose)]
)
def test_the_closed_lists_of_an_event_are_listed(header, members):
    assert column("events.md", header) == [member.value for member in members]


PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_relative_links_lead_somewhere(page: Path):
    prose = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_no_page_names_a_folder_of_somebody_s_machine(page: Path):
    assert not re.search(r"(?<![\w.])/(?:root|home|work|Users|private)/", page.read_text("utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_the_tests_that_a_page_names_are_there(page: Path):
    for named in re.findall(r"`(tests/[\w/.-]+)`", page.read_text("utf-8")):
        assert (ROOT / named).exists(), f"{page.name} names {named}"
