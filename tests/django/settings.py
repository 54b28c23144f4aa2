"""Settings of the Django tests, and of mypy's Django plugin. Light: SQLite for both aliases, nothing is opened here.

Where the files of the databases go is decided in `tests/django/conftest.py`; importing this module touches no disk.
"""

from __future__ import annotations

SECRET_KEY = "only-for-tests-and-only-signs-test-cookies"  # noqa: S105
ALLOWED_HOSTS = ["testserver", "localhost"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
]

DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
    "portalsec": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
}
