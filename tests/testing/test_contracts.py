"""The contracts find a store that breaks its promise, and a missing extra says what to install."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from portalsec.stores import memory
from portalsec.testing import contracts
from portalsec.testing.contracts import StoreContract
from tests.support import ROOT


def _pytest(folder: Path, source: str, **env: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(textwrap.dedent(source), "utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", "utf-8")
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:django",
            "-p",
            "tests.require",
            str(folder),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **env},
        check=False,
    )


class _RacyTotp(memory.MemoryTotp):
    """Reads, then writes: the mistake that the race is there to find."""

    def advance(self, account_id: str, device_id: str, step: int) -> bool:
        device = self._devices[device_id]
        together.wait(10)  # every racer has read before the first one writes
        if device.last_step >= step:
            return False
        self._devices[device_id] = replace(device, last_step=step)
        return True


together = threading.Barrier(8)


def test_a_store_that_reads_before_it_writes_loses_the_race():
    with pytest.raises(AssertionError):
        contracts.TotpStoreContract().test_race_of_one_step_has_one_winner(_RacyTotp())


def test_an_exception_in_a_racing_thread_fails_the_test():
    def broken() -> bool:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        StoreContract().race(broken)


def test_every_racing_thread_is_released():
    released = []

    class Counting(StoreContract):
        def release(self) -> None:
            released.append(threading.get_ident())

    assert Counting().race(lambda: 1) == [1] * 8
    assert len(released) == 8


def test_soak_raises_the_rounds(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("PORTALSEC_SOAK", raising=False)
    few = StoreContract().rounds()
    monkeypatch.setenv("PORTALSEC_SOAK", "1")
    assert len(StoreContract().rounds()) > 10 * len(few)


def test_a_contract_without_a_store_says_what_to_provide(tmp_path: Path):
    result = _pytest(
        tmp_path,
        """
        from portalsec.testing.contracts import AssignmentStoreContract
        class TestMine(AssignmentStoreContract):
            pass
        """,
    )
    assert result.returncode == 1
    assert "provide a fixture `store` that returns an empty AssignmentStore" in result.stdout


# -- PORTALSEC_TEST_REQUIRE -------------------------------------------------------------------------------------

_SKIPS = """
import pytest
from tests.require import skip_for_want_of

def test_wants_redis(): skip_for_want_of("redis", "none here")
def test_wants_a_file(): pytest.skip("needs ../shared/vectors, which is not beside this checkout")
@pytest.mark.skip(reason="needs a Chromium")
def test_marked(): pass
@pytest.mark.xfail(reason="redis is slow", strict=True)
def test_expected(): assert False
"""


@pytest.mark.parametrize(
    ("required", "outcome"),
    [
        ("", "3 skipped, 1 xfailed"),
        ("postgres", "3 skipped, 1 xfailed"),
        ("redis,browser", "1 failed, 1 skipped, 1 xfailed, 1 error"),  # a mark skips before the call
        ("shared", "1 failed, 2 skipped, 1 xfailed"),
    ],
)
def test_a_skip_for_want_of_what_is_required_is_a_failure(tmp_path: Path, required: str, outcome: str):
    result = _pytest(tmp_path, _SKIPS, PORTALSEC_TEST_REQUIRE=required)
    assert outcome in result.stdout
    assert result.returncode == (1 if "failed" in outcome.replace("xfailed", "") else 0)


def test_a_module_that_skips_for_want_of_what_is_required_is_an_error(tmp_path: Path):
    source = 'import pytest\npytest.importorskip("no_such_module", reason="wants redis: not installed")\n'
    assert _pytest(tmp_path, source).returncode == 5  # nothing was collected
    result = _pytest(tmp_path, source, PORTALSEC_TEST_REQUIRE="redis")
    assert result.returncode not in (0, 5)
    assert "PORTALSEC_TEST_REQUIRE names redis" in result.stdout


def test_an_unknown_requirement_is_an_error(tmp_path: Path):
    result = _pytest(tmp_path, _SKIPS, PORTALSEC_TEST_REQUIRE="postgress")
    assert result.returncode == 4
    assert "postgress" in result.stderr + result.stdout


# -- missing extras ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [
        ("portalsec.sqlalchemy", "sqlalchemy", "sqlalchemy"),
        ("portalsec.stores.redis", "redis", "redis"),
        ("portalsec.testing.contracts", "pytest", "testing"),
    ],
)
def test_a_missing_extra_says_what_to_install(module: str, package: str, extra: str):
    source = f"import sys; sys.modules[{package!r}] = None; import {module}"
    result = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert f'pip install "portalsec[{extra}]"' in result.stderr.splitlines()[-1]


def test_the_stand_ins_need_no_extra():
    blocked = "".join(f"sys.modules[{name!r}] = None; " for name in ("pytest", "sqlalchemy", "redis"))
    source = f"import sys; {blocked}import portalsec.testing, portalsec.stores.memory"
    subprocess.run([sys.executable, "-c", source], check=True)
