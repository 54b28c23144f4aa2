"""Every Python block of the README and the docs runs, page by page, in the order in which a reader meets them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

from portalsec.portal import Portal, close_portal
from tests.support import ROOT

PAGES = [
    ROOT / "README.md",
    *sorted(page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts),
]
WITH_CODE = [page for page in PAGES if "```python" in page.read_text(encoding="utf-8")]


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_code_of_the_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for block in re.findall(r"```toml\n(schema = .*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        (tmp_path / "policy.toml").write_text(
            block, encoding="utf-8"
        )  # the policy that the page's code reads
    document = Sybil(parsers=[PythonCodeBlockParser(), SkipParser()]).parse(page)
    examples = list(document.examples())
    assert examples
    try:
        for example in examples:
            example.evaluate()
    finally:
        # A portal that a page leaves open would sign its next checkpoint in whatever folder is the current one by then.
        if isinstance(portal := document.namespace.get("portal"), Portal):
            close_portal(portal)


def test_the_readme_has_three_short_blocks() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = text.split("```python\n")[1:]
    assert len(blocks) == 3
    assert all(len(block.split("```")[0].splitlines()) <= 25 for block in blocks)
