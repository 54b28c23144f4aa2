from __future__ import annotations

import subprocess
import sys

import pytest

from portalsec import cli


def test_the_command_is_there(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["portalsec", "audit", "--help"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 0
    assert "verify" in capsys.readouterr().out


@pytest.mark.parametrize("package", ["click", "rich"])
def test_without_the_extra_it_says_what_to_install(package: str) -> None:
    program = f"import sys; sys.modules[{package!r}] = None; from portalsec.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"needs the package '{package}'" in done.stderr
    assert 'pip install "portalsec[cli]"' in done.stderr
    assert "Traceback" not in done.stderr
