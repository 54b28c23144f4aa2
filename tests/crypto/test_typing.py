"""Fields as a type checker sees them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

FILE = Path(__file__).with_name("typed_fields.py")


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="mypy says the same on every version")
def test_values_and_cells_have_the_declared_types(tmp_path):
    api = pytest.importorskip("mypy.api")
    config = tmp_path / "mypy.ini"
    config.write_text("[mypy]\nstrict = True\nfollow_imports = silent\n")
    said, problems, _ = api.run(["--config-file", str(config), "--cache-dir", str(tmp_path), str(FILE)])
    assert (said.splitlines()[-1:], problems) == (["Success: no issues found in 1 source file"], ""), said
