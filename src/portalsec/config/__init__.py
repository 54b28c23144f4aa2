"""The one place that reads strings, files and the environment, and turns them into policies, keys and stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portalsec.config.keys import create_keys, read_private
from portalsec.config.settings import Settings, load_settings

if TYPE_CHECKING:
    from portalsec.config.opening import open_portal

__all__ = ["Settings", "create_keys", "load_settings", "open_portal", "read_private"]


def __getattr__(name: str) -> Any:
    # Reading settings must not load every part of the portal.
    if name == "open_portal":
        from portalsec.config.opening import open_portal

        return open_portal
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
