"""The table of docs/explanation/account-safety.md is the one that the code goes by."""

from __future__ import annotations

import re

from portalsec.auth.endings import ENDS, What
from portalsec.auth.links import RecoveryPolicy
from tests.support import ROOT

PAGE = (ROOT / "docs/explanation/account-safety.md").read_text(encoding="utf-8")
UNITS = {"minutes": 60, "hours": 3600}


def rows(heading: str) -> list[list[str]]:
    part = PAGE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "---" not in line]


def test_the_page_says_what_ends_what() -> None:
    header, *table = rows("What ends what")
    assert header == ["reason", "other sessions", "pending sign-ins", "tokens", "remembered devices"]
    order = (What.SESSIONS, What.PENDING, What.TOKENS, What.DEVICES)
    assert [row[0].strip("`") for row in table] == [why.value for why in ENDS]
    for row, dying in zip(table, ENDS.values(), strict=True):
        assert row[1:] == ["end" if what in dying else "stay" for what in order], row[0]


def test_the_page_says_how_long_things_live() -> None:
    _, *table = rows("How long things live")
    policy = RecoveryPolicy()
    assert [row[2] for row in table] == ["`reset`", "`verify`", "`unlock`", "`registration`", "`browser`"]
    for _, written, name in table:
        number, unit = re.fullmatch(r"(\d+) (minutes|hours)", written).groups()  # type: ignore[union-attr]
        assert int(number) * UNITS[unit] == getattr(policy, name.strip("`")).total_seconds(), name
