"""What the package hands on, and what it says where FastAPI is not installed."""

from __future__ import annotations

import subprocess
import sys

import portalsec.fastapi


def test_every_name_is_there() -> None:
    for name in portalsec.fastapi.__all__:
        assert getattr(portalsec.fastapi, name) is not None


def test_without_fastapi_the_import_says_what_to_install() -> None:
    script = "import sys; sys.modules['fastapi'] = None; import portalsec.fastapi"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "MissingExtra: this part of portalsec needs the package 'fastapi'" in run.stderr
    assert 'pip install "portalsec[fastapi]"' in run.stderr
