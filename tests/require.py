"""A pytest plugin: under ``PORTALSEC_TEST_REQUIRE`` a skip for want of a server or of a file is a failure.

``PORTALSEC_TEST_REQUIRE=postgres,redis,browser,softhsm,shared`` names what the machine is known to have. A test that skips and
whose reason names one of them then fails, so that a gate cannot turn green because a server did not start, or because a file
of ``../shared`` (test vectors, standards; `tests.support.shared`) has moved.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from typing import Any, NoReturn

import pytest

REQUIRE = "PORTALSEC_TEST_REQUIRE"

_WORDS = {
    "postgres": re.compile(r"postgres", re.IGNORECASE),
    "redis": re.compile(r"redis", re.IGNORECASE),
    "browser": re.compile(r"browser|chromium|playwright", re.IGNORECASE),
    "softhsm": re.compile(r"softhsm|pkcs ?#?11", re.IGNORECASE),
    "shared": re.compile(r"\.\./shared\b"),
}


def skip_for_want_of(name: str, why: str) -> NoReturn:
    """Skip the test with a reason that this plugin understands."""
    pytest.skip(f"wants {name}: {why}")


def required() -> frozenset[str]:
    """The names that are required; an unknown one is an error, or a typo would switch the gate off."""
    names = {name.strip() for name in os.environ.get(REQUIRE, "").split(",") if name.strip()}
    unknown = names - _WORDS.keys()
    if unknown:
        raise pytest.UsageError(f"{REQUIRE} knows {', '.join(_WORDS)}, and not {', '.join(sorted(unknown))}")
    return frozenset(names)


def pytest_configure(config: pytest.Config) -> None:
    required()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if not hasattr(report, "wasxfail"):
        _fail_if_required(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_if_required(report)
    return report


def _fail_if_required(report: Any) -> None:
    if report.outcome != "skipped":
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    for name in sorted(required()):
        if _WORDS[name].search(reason):
            report.outcome = "failed"
            report.longrepr = f"{REQUIRE} names {name}, and this was skipped: {reason}"
