"""Plugins of the suite's own; fixtures stand in tests/conftest.py."""

pytest_plugins = ["tests.measured"]
