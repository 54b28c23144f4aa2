"""Where the encrypted fields of models find their keys, at their first use.

Either the project's portal (``PORTALSEC["PORTAL"]``), or, for a project that uses the fields alone::

    PORTALSEC = {"KEYRING": "config.keys.ring", "SUBJECT_KEYS": "config.keys.subjects"}

import strings of a `portalsec.crypto.Keyring` and, where fields have ``subject=``, of its `SubjectKeys`; or of
functions without arguments that return them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from portalsec.django.conf import get_portal, setting
from portalsec.errors import ConfigurationError

if TYPE_CHECKING:
    from portalsec.crypto.keyring import AnyKeyset
    from portalsec.crypto.ports import SubjectAeads

__all__ = ["forget_keys", "generation", "keys_named", "subject_keys"]

_generation = 0


def generation() -> int:
    """Changes when the keys are to be looked up anew: what was built on them before is stale."""
    return _generation


def forget_keys(**kwargs: Any) -> None:
    """Have every field look its keys up anew: for tests that put another portal or keyring in place.

    Not needed for a rotation: what follows a keyring sees its reload.
    """
    global _generation  # noqa: PLW0603 - one number for a process, as the settings themselves
    _generation += 1


def _on_setting(*, setting: str, **kwargs: Any) -> None:
    if setting == "PORTALSEC":
        forget_keys()


setting_changed.connect(_on_setting, dispatch_uid="portalsec.django.keys")


def keys_named(name: str) -> AnyKeyset:
    """The keyset that a field calls by this name.

    Raises:
        ConfigurationError: no such keys; the text says where they belong.
    """
    from portalsec.crypto.keyring import Keyring

    path = setting("KEYRING")
    if path is not None:
        ring = _imported(path, "KEYRING", Keyring)
        return ring[name]  # type: ignore[no-any-return]
    try:
        keys = get_portal().keys
    except ConfigurationError as error:
        problem = str(error)
    else:
        found = getattr(keys, name, None) if name in ("fields", "index") else None
        if found is not None:
            return found  # type: ignore[no-any-return]
        problem = f"the portal has no keys called {name!r}"
    raise ConfigurationError(
        f'encrypted fields need the keyset {name!r}: {problem}; or name a keyring in PORTALSEC["KEYRING"]'
    )


def subject_keys() -> SubjectAeads:
    """The keys of fields with ``subject=``.

    Raises:
        ConfigurationError: there are none.
    """
    path = setting("SUBJECT_KEYS")
    if path is not None:
        return _imported(path, "SUBJECT_KEYS", None)  # type: ignore[no-any-return]
    problem = ""
    if setting("PORTAL") is not None:
        found = getattr(get_portal(), "subjects", None)
        if found is not None:
            return found  # type: ignore[no-any-return]
        problem = "the portal has none; "
    raise ConfigurationError(
        f"encrypted fields with subject= need subject keys: {problem}"
        'name a portalsec.crypto.SubjectKeys in PORTALSEC["SUBJECT_KEYS"]'
    )


def _imported(path: str, key: str, kind: type[Any] | None) -> Any:
    problem = None
    try:
        found = import_string(path)
    except ImportError as error:
        problem = f"cannot be imported: {error}"
    if problem is None:
        if kind is None:
            found = found() if not hasattr(found, "writing") and callable(found) else found
            if hasattr(found, "writing") and hasattr(found, "reading"):
                return found
            problem = "is no SubjectKeys"
        else:
            found = found() if not isinstance(found, kind) and callable(found) else found
            if isinstance(found, kind):
                return found
            problem = f"is no {kind.__name__}"
    raise ConfigurationError(f'settings: PORTALSEC["{key}"] names {path!r}, which {problem}')
