"""The one setting, ``PORTALSEC``: where the project's portal is, which databases hold its state, who hands mail over."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from django.conf import settings
from django.utils.module_loading import import_string

from portalsec.errors import ConfigurationError

if TYPE_CHECKING:
    from portalsec.auth.ports import Notifier
    from portalsec.portal import Portal

__all__ = [
    "audit_database",
    "get_notifier",
    "get_portal",
    "page_languages",
    "security_database",
    "setting",
    "subject_database",
]

_KNOWN = (
    "PORTAL",
    "DATABASE",
    "AUDIT_DATABASE",
    "SUBJECT_DATABASE",
    "KEYRING",
    "SUBJECT_KEYS",
    "NOTIFIER",
    "LANGUAGES",
)
_DEFAULT_ALIAS = "portalsec"


def setting(key: str) -> str | None:
    """A value of the setting ``PORTALSEC``; None where it is not set.

    Raises:
        ConfigurationError: no such setting, an unknown key in it, or a value that is no text.
    """
    table = getattr(settings, "PORTALSEC", None)
    if not isinstance(table, Mapping):
        raise ConfigurationError(
            'settings: PORTALSEC is missing: write PORTALSEC = {"PORTAL": "config.portal.portal"}'
        )
    for name in table:
        if name not in _KNOWN:
            near = difflib.get_close_matches(str(name), _KNOWN, n=1, cutoff=0.0)
            raise ConfigurationError(f"settings: PORTALSEC has no key {name!r}: did you mean {near[0]!r}?")
    value = table.get(key)
    if value is not None and not (isinstance(value, str) and value):
        raise ConfigurationError(f'settings: PORTALSEC["{key}"] must be text')
    return value


def security_database() -> str:
    """Alias of the database for sessions, counters, factors and roles: ``PORTALSEC["DATABASE"]``, else ``portalsec``."""
    return setting("DATABASE") or _DEFAULT_ALIAS


def audit_database() -> str:
    """Alias of the database for the audit log: ``PORTALSEC["AUDIT_DATABASE"]``, else the security database."""
    return setting("AUDIT_DATABASE") or security_database()


def subject_database() -> str:
    """Alias of the database for subject keys: ``PORTALSEC["SUBJECT_DATABASE"]``, else the security database.

    One of its own can have backups that are kept for a shorter time: erasing a key does not reach them.
    """
    return setting("SUBJECT_DATABASE") or security_database()


def page_languages() -> tuple[str, ...]:
    """The languages that the account's templates are in, the usual one first: ``PORTALSEC["LANGUAGES"]`` ("es en").

    What portalsec says on them (what is wrong with a password, say) is in one of these. portalsec's own templates are
    English, and so is the default.
    """
    return tuple((setting("LANGUAGES") or "en").split())


def get_portal() -> Portal:
    """The project's portal, by import string. It may also name a function without arguments that returns it.

    Nothing is kept here: the module that the string names keeps it, so that a test may put another in its place.

    Raises:
        ConfigurationError: no such name, or it is not a portal.
    """
    from portalsec.portal import Portal

    path = setting("PORTAL")
    if path is None:
        raise ConfigurationError(
            'settings: PORTALSEC["PORTAL"] is missing: name your portal, as "config.portal.portal"'
        )
    try:
        found = import_string(path)
    except ImportError as error:
        raise ConfigurationError(
            f'settings: PORTALSEC["PORTAL"] names {path!r}, which cannot be imported: {error}'
        ) from error
    portal = found() if callable(found) and not isinstance(found, Portal) else found
    if not isinstance(portal, Portal):
        raise ConfigurationError(
            f'settings: PORTALSEC["PORTAL"] names {path!r}, which is not a portalsec Portal: '
            "build it with portalsec.config.open_portal or portalsec.portal.build_portal"
        )
    return portal


def get_notifier() -> Notifier:
    """Who hands mail over, for a portal that has no notifier of its own: ``PORTALSEC["NOTIFIER"]``, else Django's mail.

    The setting names a notifier, or a class or function without arguments that makes one.

    Raises:
        ConfigurationError: no such name, or it is not a notifier.
    """
    path = setting("NOTIFIER")
    if path is None:
        from portalsec.django.notifier import DjangoNotifier

        return DjangoNotifier()
    try:
        found = import_string(path)
    except ImportError as error:
        raise ConfigurationError(
            f'settings: PORTALSEC["NOTIFIER"] names {path!r}, which cannot be imported: {error}'
        ) from error
    notifier = found() if callable(found) else found
    if not callable(getattr(notifier, "send", None)):
        raise ConfigurationError(
            f'settings: PORTALSEC["NOTIFIER"] names {path!r}, which has no send(message): '
            'leave it out for Django\'s own mail settings, or name a notifier, as "config.mail.notifier"'
        )
    return cast("Notifier", notifier)
