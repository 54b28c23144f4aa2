"""What is read of a test: names that prove nothing are told apart from tests that run and could fail."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from tests.reading import complaints, read_tests

HIDDEN, UNSEEN = "another test of this name follows it", "pytest does not collect it"
SKIPPED, SAFE = "it is skipped whatever happens", "nothing in it could fail"


def told(folder: Path, source: str, name: str = "test_it.py") -> list[str]:
    """Of the first test of a file."""
    path = folder / name
    path.write_text(dedent(source), "utf-8")
    return complaints(read_tests(path)[0])


@pytest.mark.parametrize(
    "source",
    [
        "def test_a():\n    assert one() == 1",
        "def test_a():\n    with pytest.raises(ValueError):\n        one()",
        "def test_a(page):\n    expect(page).to_be_visible()",
        "def test_a():\n    check(1)\ndef check(it):\n    really(it)\ndef really(it):\n    assert it",
        "def test_a():\n    together(8, one)\ndef one():\n    assert here",
        "class TestA:\n    def test_a(self):\n        self.check()\n    def check(self):\n        assert self",
        "@pytest.mark.skipif(os.name != 'posix', reason='x')\ndef test_a():\n    assert one()",
        "def test_a():\n    if not there:\n        pytest.skip('x')\n    assert one()",
        "@pytest.fixture\ndef it():\n    if not there:\n        pytest.skip('x')\ndef test_a(it):\n    assert it",
        "@pytest.mark.parametrize('n', [1])\ndef test_a(n):\n    assert n",
        "async def test_a():\n    assert one()",
    ],
)
def test_what_runs_and_could_fail_is_told_nothing(tmp_path: Path, source: str) -> None:
    assert told(tmp_path, source) == []


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("def test_a():\n    one()", SAFE),
        ("def test_a():\n    check()\ndef check():\n    return 1", SAFE),
        ("def test_a():\n    assert 1\ndef test_a():\n    assert 2", HIDDEN),
        ("def outer():\n    def test_a():\n        assert 1", UNSEEN),
        ("class Cases:\n    def test_a(self):\n        assert 1", UNSEEN),
        ("@pytest.mark.skip\ndef test_a():\n    assert 1", SKIPPED),
        ("@pytest.mark.skip(reason='x')\ndef test_a():\n    assert 1", SKIPPED),
        ("@pytest.mark.xfail\ndef test_a():\n    assert 1", SKIPPED),
        ("@pytest.mark.skipif(True, reason='x')\ndef test_a():\n    assert 1", SKIPPED),
        ("@pytest.mark.parametrize('n', [])\ndef test_a(n):\n    assert n", SKIPPED),
        ("pytestmark = [pytest.mark.slow, pytest.mark.skip]\ndef test_a():\n    assert 1", SKIPPED),
        ("def test_a():\n    pytest.skip('x')\n    assert 1", SKIPPED),
        ("@pytest.fixture\ndef it():\n    pytest.skip('x')\ndef test_a(it):\n    assert it", SKIPPED),
        (
            "@pytest.fixture\ndef low():\n    skip_for_want_of('x', 'y')\n@pytest.fixture\ndef it(low):\n    return 1\n"
            "def test_a(it):\n    assert it",
            SKIPPED,
        ),
        ("@pytest.mark.skip\nclass TestA:\n    def test_a(self):\n        assert 1", SKIPPED),
    ],
)
def test_what_proves_nothing_is_told_why(tmp_path: Path, source: str, why: str) -> None:
    assert told(tmp_path, source) == [why]


def test_cases_count_where_a_test_file_builds_on_them(tmp_path: Path) -> None:
    cases = "class {}:\n    def test_a(self):\n        assert 1"
    assert told(tmp_path, cases.format("NobodysCases"), "cases.py") == [UNSEEN]
    assert told(tmp_path, "def test_a():\n    assert 1", "cases2.py") == [UNSEEN]
