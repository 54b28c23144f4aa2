"""Plugins and settings of the whole suite."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.measured", "tests.require", "tests.servers", "tests.keyservices"]

# No test asserts wall time: on a busy machine any example, and the drawing of any, may take long.
settings.register_profile("portalsec", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("few", settings.get_profile("portalsec"), max_examples=10)
settings.load_profile("portalsec")

# Settings files that a group can write are refused, and where everybody has a group the usual umask is 002.
os.umask(0o022)
