"""System checks: `manage.py check` says which settings would leave a way round portalsec.

Errors are what opens a door or breaks a promise; warnings are what somebody may have meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DEFAULT_DB_ALIAS, connections
from django.urls import NoReverseMatch, reverse
from django.utils.module_loading import import_string

from portalsec.account_pages import AccountPages
from portalsec.django.account_views import ADDRESSES
from portalsec.django.conf import (
    audit_database,
    get_notifier,
    get_portal,
    page_languages,
    security_database,
    setting,
    subject_database,
)
from portalsec.errors import ConfigurationError
from portalsec.web import SESSION_COOKIE

__all__ = ["check_settings"]

_ENGINE = "portalsec.django.sessions"
_MIDDLEWARE = "portalsec.django.middleware.PortalsecMiddleware"
_FIRST = "portalsec.django.middleware.SecurityHeadersMiddleware"
_BEFORE = (
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
)
_ROUTER = "portalsec.django.router.PortalsecRouter"
_NOBODY = "webmaster@localhost"  # what Django has where a project says nothing
_BACKEND = "portalsec.django.backends.PolicyBackend"


@register(Tags.security)
def check_settings(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Everything that can be seen from the settings alone."""
    try:
        security_database()
    except ConfigurationError as error:
        return [Error(str(error), id="portalsec.E001")]
    return [*_portal(), *_databases(), *_sessions(), *_middleware(), *_backends(), *_mail(), *_addresses()]


def _portal() -> Iterator[CheckMessage]:
    try:
        AccountPages(get_portal(), languages=page_languages())
    except ConfigurationError as error:
        yield Error(str(error), id="portalsec.E001")


def _databases() -> Iterator[CheckMessage]:
    security = security_database()
    for alias in sorted({security, audit_database(), subject_database()}):
        if alias not in settings.DATABASES:
            yield Error(
                f"DATABASES has no {alias!r}, where portalsec keeps its state.",
                hint=f"Add it: a SQLite file of its own, or the PostgreSQL database of {DEFAULT_DB_ALIAS!r} again.",
                id="portalsec.E002",
            )
            continue
        database = connections.settings[alias]
        if alias == DEFAULT_DB_ALIAS:
            if database.get("ATOMIC_REQUESTS"):
                yield Warning(
                    "portalsec shares the database alias of the application, which has ATOMIC_REQUESTS.",
                    hint="Its counted attempts are safe (they take a second connection), but on SQLite they would "
                    'wait for the request and fail. Give it an alias of its own: PORTALSEC = {"DATABASE": "portalsec"}.',
                    id="portalsec.W001",
                )
        elif database.get("ATOMIC_REQUESTS"):
            yield Warning(
                f"DATABASES[{alias!r}] has ATOMIC_REQUESTS, so that every request opens a transaction there for nothing.",
                hint="Set it on the application's own alias only.",
                id="portalsec.W002",
            )
        if not database.get("AUTOCOMMIT", True):
            yield Error(
                f"DATABASES[{alias!r}] has AUTOCOMMIT off, so nothing that portalsec writes there would be kept.",
                hint="Remove AUTOCOMMIT.",
                id="portalsec.E009",
            )
        if alias != DEFAULT_DB_ALIAS and _same_sqlite_file(alias, DEFAULT_DB_ALIAS):
            yield Error(
                f"DATABASES[{alias!r}] and DATABASES[{DEFAULT_DB_ALIAS!r}] are one SQLite file.",
                hint="SQLite has one writer a file: a request that has written would wait for itself. Name two files.",
                id="portalsec.E003",
            )
    if security != DEFAULT_DB_ALIAS and _ROUTER not in settings.DATABASE_ROUTERS:
        yield Error(
            "DATABASE_ROUTERS does not have portalsec's router, so its tables would be made in every database.",
            hint=f'Add "{_ROUTER}".',
            id="portalsec.E004",
        )


def _same_sqlite_file(one: str, other: str) -> bool:
    if other not in settings.DATABASES:
        return False
    names = []
    for alias in (one, other):
        database = connections.settings[alias]
        if not database["ENGINE"].endswith("sqlite3"):
            return False
        name = str(database["NAME"])
        if name == ":memory:" or name.startswith("file:"):
            return False
        names.append(Path(name).resolve())
    return names[0] == names[1]


def _sessions() -> Iterator[CheckMessage]:
    if settings.SESSION_ENGINE != _ENGINE:
        yield Error(
            f"SESSION_ENGINE is {settings.SESSION_ENGINE!r}, which keeps session keys that can be used as they are.",
            hint=f'Set SESSION_ENGINE = "{_ENGINE}".',
            id="portalsec.E005",
        )
    wanted: dict[str, Any] = {
        "SESSION_COOKIE_NAME": SESSION_COOKIE,
        "SESSION_COOKIE_SECURE": True,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_PATH": "/",
        "SESSION_COOKIE_DOMAIN": None,
    }
    for name, value in wanted.items():
        if getattr(settings, name) != value:
            yield Error(
                f"{name} is {getattr(settings, name)!r}.",
                hint=f"Set {name} = {value!r}: a browser takes a __Host- cookie, which no other site of the same "
                "domain can set, in no other form.",
                id="portalsec.E006",
            )
    if settings.SESSION_COOKIE_SAMESITE not in ("Lax", "Strict"):
        yield Error(
            f"SESSION_COOKIE_SAMESITE is {settings.SESSION_COOKIE_SAMESITE!r}.",
            hint='Set SESSION_COOKIE_SAMESITE = "Lax".',
            id="portalsec.E006",
        )


def _middleware() -> Iterator[CheckMessage]:
    if not settings.MIDDLEWARE or not _is(settings.MIDDLEWARE[0], _FIRST):
        yield Error(
            "portalsec's headers are not first in MIDDLEWARE, so redirects and errors that others answer are without them.",
            hint=f'Put "{_FIRST}" at the very top.',
            id="portalsec.E010",
        )
    places = {}
    for place, path in enumerate(settings.MIDDLEWARE):
        for known in (*_BEFORE, _MIDDLEWARE):
            if _is(path, known):
                places[known] = place
    if _MIDDLEWARE not in places:
        yield Error(
            "MIDDLEWARE does not have portalsec's, so request.user is what django.contrib.auth says.",
            hint=f'Add "{_MIDDLEWARE}" right behind AuthenticationMiddleware.',
            id="portalsec.E007",
        )
        return
    for known in _BEFORE:
        if known not in places or places[known] > places[_MIDDLEWARE]:
            yield Error(
                f"{known} must stand before portalsec's middleware.",
                hint=f'Put "{_MIDDLEWARE}" right behind AuthenticationMiddleware.',
                id="portalsec.E008",
            )


def _is(path: str, known: str) -> bool:
    if path == known:
        return True
    try:
        found, wanted = import_string(path), import_string(known)
    except ImportError:
        return False
    return isinstance(found, type) and issubclass(found, wanted)


def _backends() -> Iterator[CheckMessage]:
    if _BACKEND not in settings.AUTHENTICATION_BACKENDS:
        yield Warning(
            "AUTHENTICATION_BACKENDS does not have portalsec's, so user.has_perm does not ask the access policy.",
            hint=f'Set AUTHENTICATION_BACKENDS = ["{_BACKEND}"].',
            id="portalsec.W003",
        )
    for path in settings.AUTHENTICATION_BACKENDS:
        if _is(path, "django.contrib.auth.backends.ModelBackend"):
            yield Warning(
                f"AUTHENTICATION_BACKENDS has {path!r}, a way round portalsec: it checks passwords without a budget "
                "and grants permissions that the access policy does not know.",
                hint="Remove it. What it signs in stays anonymous, but a form that uses it can be asked for passwords.",
                id="portalsec.W004",
            )


def _mail() -> Iterator[CheckMessage]:
    try:
        if get_portal().courier.sends:
            return
    except ConfigurationError:
        return  # said above
    try:
        get_notifier()
    except ConfigurationError as error:
        yield Error(
            str(error),
            hint="Without it, no mail of portalsec is sent: no reset, no notice.",
            id="portalsec.E011",
        )
        return
    if setting("NOTIFIER") is None and settings.DEFAULT_FROM_EMAIL == _NOBODY:
        yield Warning(
            f"portalsec's mails go through Django's mail settings, and come from {_NOBODY}.",
            hint="Set DEFAULT_FROM_EMAIL, or give the portal a notifier of its own.",
            id="portalsec.W005",
        )


def _addresses() -> Iterator[CheckMessage]:
    try:
        found = reverse("portalsec:reset-link")
    except NoReverseMatch:
        found = None
    if found != ADDRESSES["reset-link"]:
        yield Warning(
            "The links in portalsec's mails lead nowhere: the project's URLs do not have its pages at the root.",
            hint='Write path("", include("portalsec.django.urls")) into ROOT_URLCONF.',
            id="portalsec.W006",
        )
