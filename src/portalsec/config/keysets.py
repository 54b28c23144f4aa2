"""Keyset files: read, written and replaced; in the clear with mode 0600, or encrypted under ``[keys] kek``.

With a key-encryption key a file holds Tink's *encrypted keyset* in JSON. Its associated data say which keyset of which
portal it is, so that one file put in another's place does not open:
``"pse1" || length-prefixed [audit] origin || length-prefixed name`` (`keyset_context`). The origin is the one name of a
portal that never changes: its audit log carries it too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import urlsplit

from portalsec._encoding import length_prefixed
from portalsec.config.kek import open_kek
from portalsec.config.keys import replace_private, resolve_reference
from portalsec.config.settings import Settings
from portalsec.crypto._hidden import Hidden
from portalsec.crypto._keys import Primitive
from portalsec.crypto.insecure import keyset_to_json  # writing a key file is the one need for it
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.ports import Aead
from portalsec.errors import ConfigurationError, DecryptionError
from portalsec.secret import Secret

__all__ = [
    "KEYSETS",
    "KeysetFiles",
    "audit_origin",
    "keyset_context",
    "keyset_names",
    "keyset_text",
    "wrap_keys",
]

KEYSETS: Mapping[str, tuple[Primitive, str]] = MappingProxyType(
    {
        "fields": ("aead", "XAES_256_GCM"),
        "mac": ("prf", "HMAC_SHA256_PRF"),
        "index": ("prf", "HMAC_SHA256_PRF"),
        "pepper": ("prf", "HMAC_SHA256_PRF"),
    }
)
"""The keysets of a portal: what each is for, and the template of a new one. A portal may do without "pepper"."""


def keyset_names(settings: Settings) -> tuple[str, ...]:
    """The keysets that these settings name."""
    return tuple(name for name in KEYSETS if settings["keys", name] is not None)


def audit_origin(settings: Settings) -> str:
    """The name of the audit log: ``[audit] origin``, or ``host/audit`` of the portal's address."""
    return settings["audit", "origin"] or f"{urlsplit(settings['portal', 'base_url']).netloc}/audit"


def keyset_context(origin: str, name: str) -> bytes:
    """The associated data of an encrypted keyset file: injective, so that no file stands for another."""
    return b"pse1" + length_prefixed(origin.encode(), name.encode())


def keyset_text(keyset: Keyset, *, kek: Aead | None, context: bytes) -> Secret[str]:
    """What a keyset file holds: encrypted where there is a key-encryption key, else in the clear.

    Raises:
        KeyServiceUnavailable: the key service does not answer, or refuses.
    """
    if kek is None:
        return Secret(keyset_to_json(keyset))
    text = keyset.to_encrypted_json(kek, context)
    return Secret(text if text.endswith("\n") else text + "\n")


class KeysetFiles(Hidden):
    """The keysets that ``[keys]`` names, each read anew at every call."""

    __slots__ = ("_env", "_kek", "_origin", "_settings")

    def __init__(self, settings: Settings, *, env: Mapping[str, str] | None = None) -> None:
        """
        Raises:
            ConfigurationError: ``[keys] kek`` is no such reference. No service is asked yet.
        """
        self._settings = settings
        self._env = os.environ if env is None else env
        self._origin = audit_origin(settings)
        self._kek = self._open_kek(settings["keys", "kek"])

    def read(self, name: str) -> Keyset:
        """The keyset ("fields", "mac", "index" or "pepper").

        Raises:
            ConfigurationError: missing, damaged, in the clear where it must not be, or for another purpose.
            KeyServiceUnavailable: the key service does not answer, or refuses.
        """
        return self._read(name, self._kek)

    def read_all(self) -> dict[str, Keyset]:
        """Every keyset by name: the source of a portal's keyring."""
        return {name: self.read(name) for name in keyset_names(self._settings)}

    def replace(self, name: str, keyset: Keyset) -> None:
        """Write the keyset in place of the old one: wholly or not at all, durable when this returns.

        Raises:
            ConfigurationError: it is for another purpose, its reference is not a file, or cannot be written.
            KeyServiceUnavailable: the key service does not answer, or refuses; the old file stands.
        """
        self._check(name, keyset)
        kind, _, path = self.reference(name).partition(":")
        if kind != "file":
            raise ConfigurationError(
                f"{self._where(name)} is not a file: write the new keyset where it comes from"
            )
        text = keyset_text(keyset, kek=self._kek, context=keyset_context(self._origin, name))
        replace_private(self._settings.base / path, text)

    # -- one keyset -------------------------------------------------------------------------------------------

    def _read(self, name: str, kek: Aead | None) -> Keyset:
        text = self._text(name)
        try:
            if kek is None:
                keyset = Keyset.from_json(text)
            else:
                keyset = Keyset.from_encrypted_json(text.reveal(), kek, keyset_context(self._origin, name))
        except DecryptionError:
            problem = (
                "it does not open under [keys] kek: it was made under another key or for another [audit] origin or "
                "name, or it was changed; restore it from your backup"
            )
        except ConfigurationError as error:
            problem = str(error)
            if kek is not None and _in_the_clear(text):
                problem = "its keys are in the clear, and [keys] kek is set: encrypt it with portalsec.config.wrap_keys"
            elif kek is None and "encrypted keyset" in problem:
                problem = "it is encrypted: set [keys] kek to the key under which it was made"
        else:
            self._check(name, keyset)
            return keyset
        del text
        raise ConfigurationError(f"{self._where(name)}: {problem}")

    def _text(self, name: str) -> Secret[str]:
        reference = self.reference(name)
        kind, _, path = reference.partition(":")
        file = self._settings.base / path
        if name == "index" and kind == "file" and not file.exists():
            raise ConfigurationError(
                f"key file {file} is missing: restore it from your backup; a portal that is older than blind indexes "
                f"never had one: make it with  portalsec keys new index  (or  portalsec.config.create_keys("
                f"Path({str(file.parent)!r}), origin={self._origin!r}) )"
            )
        if name == "pepper" and kind == "file" and not file.exists():
            raise ConfigurationError(
                f"key file {file} is missing: restore it from your backup (no password verifies without it); a portal "
                "that never had one makes it with  portalsec keys new pepper"
            )
        return resolve_reference(
            reference,
            key=f"{self._settings.source}: [keys] {name}",
            base=self._settings.base,
            env=self._env,
        )

    def _check(self, name: str, keyset: Keyset) -> None:
        primitive, template = KEYSETS[name]
        if keyset.primitive != primitive:
            raise ConfigurationError(
                f"{self._where(name)} holds a keyset for {keyset.primitive}: it needs one of the kind that "
                f'Keyset.generate("{template}") makes'
            )

    def reference(self, name: str) -> str:
        """Where the keyset is, as the settings say; `ConfigurationError` where they say nothing."""
        if self._settings["keys", name] is None:
            raise ConfigurationError(
                f'{self._settings.source}: [keys] {name} is not set: write  {name} = "file:keys/{name}.json"  there'
            )
        return str(self._settings["keys", name])

    def _where(self, name: str) -> str:
        return f"{self._settings.source}: [keys] {name} ({self.reference(name)})"

    def _open_kek(self, reference: str | None) -> Aead | None:
        if reference is None:
            return None
        return open_kek(
            reference, key=f"{self._settings.source}: [keys] kek", base=self._settings.base, env=self._env
        )


def wrap_keys(
    settings: Settings, *, old_kek: str | None = None, env: Mapping[str, str] | None = None
) -> None:
    """Put every keyset file under ``[keys] kek``: files in the clear, or files under an older key-encryption key.

    Files that are under it already are left alone, so that it can be run again after a failure. The copies that a
    backup has stay as they are: destroy those that are in the clear, or rotate the keys.

    Args:
        settings: with ``[keys] kek``, the new key.
        old_kek: reference of the key-encryption key that the files are under; None where they are in the clear.
        env: the environment that ``env:NAME`` references read; `os.environ` by default.

    Raises:
        ConfigurationError: no ``[keys] kek``, or a file that is neither.
        KeyServiceUnavailable: a key service does not answer; files that were not reached are as they were.
    """
    files = KeysetFiles(settings, env=env)
    if files._kek is None:
        raise ConfigurationError(
            f"{settings.source}: [keys] kek is not set: name the key-encryption key there"
        )
    old = files._open_kek(old_kek)
    for name in keyset_names(settings):
        text = files._text(name)
        if old is None and not _in_the_clear(text):
            files.read(name)  # under the new key already, or said why not
            continue
        if old is not None:
            try:
                files.read(name)
            except ConfigurationError:
                pass
            else:
                continue
        files.replace(name, files._read(name, old))


def _in_the_clear(text: Secret[str]) -> bool:
    try:
        Keyset.from_json(text)
    except ConfigurationError:
        return False
    return True
