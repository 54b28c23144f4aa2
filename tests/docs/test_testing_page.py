"""docs/how-to/test-your-portal.md, word for word: its files are written into an empty folder, and pytest is run there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.support import ROOT

PAGE = ROOT / "docs" / "how-to" / "test-your-portal.md"


def files() -> dict[str, str]:
    blocks = re.findall(r"```py\n# (\S+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == len(dict(blocks)) == 4
    return dict(blocks)


def test_the_files_of_the_page_run(tmp_path: Path) -> None:
    for name, text in files().items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-W",
            "error",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:django",
            ".",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "7 passed" in done.stdout


def test_the_page_names_every_fixture() -> None:
    source = (ROOT / "src/portalsec/testing/fixtures.py").read_text(encoding="utf-8")
    fixtures = set(re.findall(r"@pytest\.fixture\ndef (\w+)", source))
    assert fixtures == set(re.findall(r"^\| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert fixtures == set(re.findall(r"^\| ``(\w+)`` \|", source, re.MULTILINE))
