"""Django's settings of the example portal. Everything that is secret or may change lies in the data folder."""

from __future__ import annotations

import os
from pathlib import Path

import django

from portalsec.config import load_settings, read_private

HERE = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("PORTAL_DATA", ".demo-django")).absolute()
PORTAL = load_settings(DATA / "portalsec.toml")
BASE_URL: str = PORTAL["portal", "base_url"]

SECRET_KEY = read_private(DATA / "keys" / "django.key").reveal().strip()
DEBUG = False
ALLOWED_HOSTS = [BASE_URL.partition("://")[2].partition(":")[0]]
ROOT_URLCONF = "config.urls"
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.staticfiles",
    "portalsec.django",
    "clinic",
]

MIDDLEWARE = [
    "portalsec.django.middleware.SecurityHeadersMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "portalsec.django.middleware.PortalsecMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [HERE / "clinic" / "templates"],  # before portalsec's own, so that its pages look like ours
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
            ]
        },
    }
]


def _sqlite(name: str) -> dict[str, object]:
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA / name,
        # WAL: readers do not hold up the writer. FULL: what was acknowledged survives the power going. A writer waits
        # for the one before it, on a slow disk too, rather than fail.
        "OPTIONS": {"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL", "timeout": 20},
    }


DATABASES = {
    "default": {**_sqlite("app.db"), "ATOMIC_REQUESTS": True},  # users and the clinic's own data
    "portalsec": _sqlite("security.db"),
    "audit": _sqlite("audit.db"),
    # One key a patient, each of which is small: a database of its own, whose backups need not be kept for long.
    "subjects": _sqlite("subjects.db"),
}
DATABASE_ROUTERS = ["portalsec.django.router.PortalsecRouter"]
PORTALSEC = {
    "PORTAL": "config.portal.portal",
    "DATABASE": "portalsec",
    "AUDIT_DATABASE": "audit",
    "SUBJECT_DATABASE": "subjects",
}

# Mails are files in the data folder; a real portal names its mail server here.
if django.VERSION >= (6, 1):
    MAILERS = {
        "default": {"BACKEND": "config.mail.PrivateFolder", "OPTIONS": {"file_path": str(DATA / "mail")}}
    }
else:
    EMAIL_BACKEND = "config.mail.PrivateFolder"
    EMAIL_FILE_PATH = DATA / "mail"
DEFAULT_FROM_EMAIL = "Riverside Clinic <notices@riverside.example>"

AUTHENTICATION_BACKENDS = ["portalsec.django.backends.PolicyBackend"]
SESSION_ENGINE = "portalsec.django.sessions"
SESSION_COOKIE_NAME = "__Host-portalsec"
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_NAME = "__Host-csrftoken"
CSRF_COOKIE_SECURE = True
CSRF_COOKIE_HTTPONLY = True

STATIC_URL = "/static/"
STATICFILES_DIRS = [HERE.parent / "portal_fastapi" / "static"]  # one look for both examples

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    # Not django.request at warning: it logs addresses, which name patients' rows.
    "loggers": {"django.request": {"level": "ERROR", "handlers": ["console"], "propagate": False}},
}
