"""Key files: made once with mode 0600, refused when others can read them."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from portalsec.errors import ConfigurationError
from portalsec.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["create_keys", "read_private", "resolve_reference", "write_new"]

_MAX_BYTES = 1 << 20  # no key file is near this; a wrong path to a large file is refused before it is read


def write_new(path: Path, secret: Secret[str]) -> None:
    """Write a file that did not exist, readable by its owner alone, and make it durable.

    Raises:
        ConfigurationError: it exists, or cannot be written.
    """
    try:
        # O_EXCL: an existing key is never overwritten. The mode is set at creation, so there is no moment at
        # which others can read it.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigurationError(
            f"key file {path} exists already: it is kept; remove it yourself to replace it"
        ) from None
    except OSError as error:
        raise ConfigurationError(
            f"key file {path} cannot be written ({error.strerror}): choose a folder you may write"
        ) from error
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(secret.reveal())
        file.flush()
        os.fsync(file.fileno())


def read_private(path: Path) -> Secret[str]:
    """Read a file that only its owner can read.

    Raises:
        ConfigurationError: missing, unreadable, not a file, readable by group or others, too large or not UTF-8.
    """
    try:
        with path.open("rb") as file:
            # The open file is asked, not the path: what is checked is what is read.
            info = os.fstat(file.fileno())
            if not stat.S_ISREG(info.st_mode):
                raise ConfigurationError(f"key file {path} is not a file: name the key file itself")
            if os.name == "posix" and info.st_mode & 0o077:
                raise ConfigurationError(
                    f"key file {path} can be read by others (mode {stat.S_IMODE(info.st_mode):04o}): "
                    f"run  chmod 600 {path}"
                )
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigurationError(
            f"key file {path} is missing: restore it from your backup (what it sealed opens with no other key)"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"key file {path} cannot be read ({error.strerror})") from error
    if len(data) > _MAX_BYTES:
        raise ConfigurationError(
            f"key file {path} is larger than 1 MiB, so it is not a key file: check the path"
        )
    try:
        return Secret(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise ConfigurationError(
            f"key file {path} is not UTF-8 text, so it is not a key file: check the path"
        ) from None


def resolve_reference(reference: str, *, key: str, base: Path, env: Mapping[str, str]) -> Secret[str]:
    """The secret behind ``file:PATH`` or ``env:NAME``.

    Raises:
        ConfigurationError: another form (a literal secret has no place in settings), or it is not there.
    """
    kind, colon, name = reference.partition(":")
    if colon and kind == "file" and name:
        return read_private(base / name)
    if colon and kind == "env" and name:
        value = env.get(name)
        if not value:
            raise ConfigurationError(
                f"{key}: the environment variable {name} is not set: set it, or use file:PATH"
            )
        return Secret(value)
    # The value itself is not printed: it may be a secret that somebody pasted.
    raise ConfigurationError(f'{key}: write a reference, "file:PATH" or "env:NAME", never the secret itself')


def create_keys(folder: Path, *, origin: str) -> dict[str, Path]:
    """Make the three keys of a new portal in ``folder`` (mode 0700): field, mac and audit. Existing keys are kept.

    Args:
        folder: where; made if it is missing.
        origin: the name of the audit log, part of its signing key (C2SP signed note).

    Returns:
        The path of each key by name.
    """
    from portalsec.audit.checkpoint import Ed25519Signer
    from portalsec.crypto.insecure import keyset_to_json  # writing a key file is the one need for it
    from portalsec.crypto.keyset import Keyset

    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"key folder {folder} cannot be made ({error.strerror}): choose a folder you may write"
        ) from error
    paths = {"fields": folder / "fields.json", "mac": folder / "mac.json", "audit": folder / "audit.key"}
    if not paths["fields"].exists():
        write_new(paths["fields"], Secret(_text(keyset_to_json(Keyset.generate("AES256_GCM")))))
    if not paths["mac"].exists():
        write_new(paths["mac"], Secret(_text(keyset_to_json(Keyset.generate("HMAC_SHA256_PRF")))))
    if not paths["audit"].exists():
        write_new(paths["audit"], Secret(_text(Ed25519Signer.generate(origin).to_text()) + "\n"))
    return paths


def _text(value: str | Secret[str]) -> str:
    return value.reveal() if isinstance(value, Secret) else value
