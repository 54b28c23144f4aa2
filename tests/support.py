"""Where tests find what lies outside the repository."""

from __future__ import annotations

import re
import signal
from datetime import datetime
from pathlib import Path

import pyotp
import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


def shared(*parts: str) -> Path:
    """A path under ``../shared``; skips the test, with the reason, where it is absent."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"needs ../shared/{'/'.join(parts)}, which is not beside this checkout")
    return path


def take_ctrl_c() -> None:
    """``preexec_fn`` of a process that a test will interrupt: a suite run in the background hands down an ignored SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def totp_now(secret: str, now: datetime) -> str:
    """The code that an authenticator app shows: pyotp's own, so that it is an independent oracle of ours."""
    return pyotp.TOTP(secret).at(now)


def stable(value: object) -> str:
    """The name of a parameter that is the same in every process, so that workers agree on what the tests are."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
