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
    assert len(blocks) == len(dict(blocks)) == 5
    return dict(blocks)


def test_the_files_of_the_page_run(tmp_path: Path) -> None:
    done = run(tmp_path, files())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 passed" in done.stdout


def test_fixtures_work_as_they_come_and_a_refusal_says_why_in_the_report(tmp_path: Path) -> None:
    tests = """
from portalsec.events import Source
from portalsec.testing import SoftAuthenticator

def test_as_they_come(portal, portal_mail, authenticator, totp_code):
    assert portal.accounts.create(login="robin", password="a lamp, a stair, a tin whistle")

def test_that_fails(portal):
    portal.sign_in.start("robin", "short", source=Source())
"""
    done = run(tmp_path, {"conftest.py": files()["conftest.py"], "test_all.py": tests})
    assert done.returncode == 1
    assert "1 failed, 1 passed" in done.stdout, done.stdout
    assert "portalsec: Denied.reason is <Reason." in done.stdout


def run(folder: Path, tests: dict[str, str]) -> subprocess.CompletedProcess[str]:
    for name, text in tests.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return subprocess.run(
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
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_page_names_every_fixture() -> None:
    source = (ROOT / "src/portalsec/testing/fixtures.py").read_text(encoding="utf-8")
    fixtures = set(re.findall(r"@pytest\.fixture\ndef (\w+)", source))
    assert fixtures == set(re.findall(r"^\| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert fixtures == set(re.findall(r"^\| ``(\w+)`` \|", source, re.MULTILINE))
