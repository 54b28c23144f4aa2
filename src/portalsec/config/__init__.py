"""The one place that reads strings, files and the environment, and turns them into policies, keys and stores."""

from portalsec.config.keys import create_keys, read_private
from portalsec.config.opening import open_portal
from portalsec.config.settings import Settings, load_settings

__all__ = ["Settings", "create_keys", "load_settings", "open_portal", "read_private"]
