"""Blocks of a page that are not Python alone, or need a project: found by their first line and run by a test of their own."""

from __future__ import annotations

import re
import types
from typing import Any

from tests.support import ROOT

HOW_TO = ROOT / "docs" / "how-to"


def block(page: str, first_line: str) -> str:
    """The one block of docs/how-to/``page``.md that begins so; Python that the page's own test does not run is "py"."""
    text = (HOW_TO / f"{page}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(?:py|html\+django)\n(.*?)```", text, re.DOTALL)
    (found,) = [code for code in blocks if code.startswith(first_line)]
    return str(found)


def module(page: str, first_line: str, **known: Any) -> types.ModuleType:
    """The block, run as a module that has ``known`` from the blocks before it."""
    made = types.ModuleType(f"{page} {first_line}")
    vars(made).update(known)
    exec(compile(block(page, first_line), f"docs/how-to/{page}.md", "exec"), vars(made))
    return made
