"""What type checkers tell the people who use portalsec: files of assertions, checked by mypy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

FILES = sorted(
    path for path in Path(__file__).parent.glob("*.py") if not path.name.startswith(("test_", "__"))
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_types_are_as_the_file_says(path: Path) -> None:
    # Its own cache: the settings differ from the project's, and each would throw the other's away.
    command = ["--config-file=", "--strict", "--cache-dir", str(ROOT / ".mypy_cache" / "typing"), str(path)]
    done = subprocess.run([sys.executable, "-m", "mypy", *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
