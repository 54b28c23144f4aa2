"""The one place that reads strings, files and the environment, and turns them into policies, keys and stores."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from portalsec.config.keys import create_keys, read_private
from portalsec.config.settings import Settings, load_settings

if TYPE_CHECKING:
    from portalsec.config.kek import open_kek
    from portalsec.config.keysets import KeysetFiles, wrap_keys
    from portalsec.config.opening import open_portal

__all__ = [
    "KeysetFiles",
    "Settings",
    "create_keys",
    "load_settings",
    "open_kek",
    "open_portal",
    "read_private",
    "wrap_keys",
]

_LATER = {
    "KeysetFiles": "portalsec.config.keysets",
    "open_kek": "portalsec.config.kek",
    "open_portal": "portalsec.config.opening",
    "wrap_keys": "portalsec.config.keysets",
}


def __getattr__(name: str) -> Any:
    # Reading settings must not load every part of the portal.
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
