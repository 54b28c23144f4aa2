"""``manage.py check``, ``migrate``, ``seed``: the example portal's own commands. ``PORTAL_DATA`` names its data folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    # The invented people are shared with the FastAPI example: the repository's root is where both are found.
    sys.path.append(str(Path(__file__).resolve().parents[2]))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
