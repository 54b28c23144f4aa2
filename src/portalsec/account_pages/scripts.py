"""The scripts that pages load, and the hash with which a policy lets the guard stand inline."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import Final

__all__ = ["SCRIPTS", "guard_hash", "script"]

SCRIPTS: Final = ("guard.js", "kept.js", "meter.js", "passkeys.js", "print.js", "session.js")
"""An adapter serves each as ``/portalsec/<name>``, as ``text/javascript``."""


@cache
def script(name: str) -> bytes:
    """The text of one of `SCRIPTS`. Raises KeyError for any other name, so that no path leads elsewhere."""
    if name not in SCRIPTS:
        raise KeyError(name)
    return files("portalsec").joinpath("browser", name).read_bytes()


def guard_hash() -> str:
    """``'sha256-...'`` of guard.js, for ``script-src`` of a page that has its exact text inline (CSP Level 3, 2.3.1).

    Inline it costs no request, and no page is ever shown before it is there. Every byte counts, the last newline too.
    """
    digest = hashlib.sha256(script("guard.js")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
