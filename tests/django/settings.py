"""Settings of the Django tests, and of mypy's Django plugin. Light: SQLite for both aliases, nothing is opened here.

Where the files of the databases go is decided in `tests/django/conftest.py`; importing this module touches no disk.
"""

from __future__ import annotations

import django

SECRET_KEY = "only-for-tests-and-only-signs-test-cookies"
ALLOWED_HOSTS = ["portal.example"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "tests.django.urls"
STATIC_URL = "/static/"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "portalsec.django",
    "tests.django.clinic",
]

MIDDLEWARE = [
    "portalsec.django.middleware.SecurityHeadersMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "portalsec.django.middleware.PortalsecMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# WAL: a reader does not hold up the one writer. NORMAL is for tests; a portal wants FULL.
_SQLITE = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": ":memory:",
    "OPTIONS": {
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
        "timeout": 60,
    },  # a busy machine
}
DATABASES = {"default": _SQLITE, "portalsec": {**_SQLITE}}
DATABASE_ROUTERS = ["portalsec.django.router.PortalsecRouter"]

PORTALSEC = {
    "PORTAL": "tests.django.project.portal",
    "DATABASE": "portalsec",
    "KEYRING": "tests.django.clinic.keys.ring",
    "SUBJECT_KEYS": "tests.django.clinic.keys.subjects",
}
if django.VERSION >= (6, 1):  # before, Django's test runner replaces EMAIL_BACKEND by itself
    MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
DEFAULT_FROM_EMAIL = "Test Portal <notices@portal.example>"
AUTHENTICATION_BACKENDS = ["portalsec.django.backends.PolicyBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]

SESSION_ENGINE = "portalsec.django.sessions"
SESSION_COOKIE_NAME = "__Host-portalsec"
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
