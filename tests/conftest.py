"""Plugins of the whole suite."""

from __future__ import annotations

pytest_plugins = ["tests.measured", "tests.require", "tests.servers"]
