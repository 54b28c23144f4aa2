"""Key files: made once with mode 0600, refused when others can read them."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from portalsec.errors import ConfigurationError
from portalsec.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from portalsec.crypto.ports import Aead

__all__ = ["create_keys", "read_private", "replace_private", "resolve_reference", "write_new"]

_MAX_BYTES = 1 << 20  # no key file is near this; a wrong path to a large file is refused before it is read


def write_new(path: Path, secret: Secret[str]) -> None:
    """Write a file that did not exist, readable by its owner alone: wholly or not at all, durable when this returns.

    Raises:
        ConfigurationError: it exists, or cannot be written.
    """
    try:
        with _written_beside(path, secret) as name:
            # A link, not a rename: an existing key is never overwritten.
            os.link(name, path)
    except FileExistsError:
        raise ConfigurationError(
            f"key file {path} exists already: it is kept; remove it yourself to replace it"
        ) from None
    except OSError as error:
        raise ConfigurationError(
            f"key file {path} cannot be written ({error.strerror}): choose a folder you may write"
        ) from error


def replace_private(path: Path, secret: Secret[str]) -> None:
    """Write a private file, in place of another where there is one: mode 0600, whole or not at all, durable on return.

    Where ``path`` is a link, what it leads to is replaced. The new file belongs to whom the old one did: one that an
    administrator rotates must stay readable by the portal.

    Raises:
        ConfigurationError: it cannot be written; the old file stands.
    """
    try:
        there = path.resolve()
        old = there.stat() if there.exists() else None
        with _written_beside(there, secret) as name:
            if os.name == "posix" and old is not None and old.st_uid != os.geteuid():
                os.chown(name, old.st_uid, old.st_gid)
            Path(name).replace(there)
    except OSError as error:
        raise ConfigurationError(f"key file {path} cannot be replaced ({error.strerror})") from error


@contextlib.contextmanager
def _written_beside(path: Path, secret: Secret[str]) -> Iterator[str]:
    """A private, durable file in the same folder, to be put in its place; afterwards it is gone from beside it."""
    handle, name = tempfile.mkstemp(
        prefix=f".{path.name}.", dir=path.parent
    )  # mode 0600 from its first moment
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(secret.reveal())
            file.flush()
            os.fsync(file.fileno())
        yield name
    finally:
        with contextlib.suppress(OSError):
            Path(name).unlink()
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the new name, too, survives a loss of power
        finally:
            os.close(folder)


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
    with contextlib.suppress(UnicodeDecodeError):
        return Secret(data.decode("utf-8"))
    # Out here, and without the bytes: the decoder's error holds the whole file.
    del data
    raise ConfigurationError(f"key file {path} is not UTF-8 text, so it is not a key file: check the path")


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


def create_keys(folder: Path, *, origin: str, kek: Aead | None = None) -> dict[str, Path]:
    """Make the keys of a new portal in ``folder`` (mode 0700): fields, mac, index and audit. Existing keys are kept.

    So it also makes the index keyset of a portal that is older than blind indexes.

    Args:
        folder: where; made if it is missing.
        origin: the name of the audit log: part of its signing key (C2SP signed note), and of what the keyset files
            are bound to where they are encrypted.
        kek: a key-encryption key (``[keys] kek``), under which the keyset files are encrypted. The audit key is not a
            keyset; it stays a file of mode 0600.

    Returns:
        The path of each key by name.

    Raises:
        ConfigurationError: the folder or a file cannot be written.
        KeyServiceUnavailable: the key service does not answer, or refuses.
    """
    from portalsec.audit.checkpoint import Ed25519Signer
    from portalsec.config.keysets import KEYSETS, keyset_context, keyset_text
    from portalsec.crypto.keyset import Keyset

    made = {name: template for name, (_, template) in KEYSETS.items() if name != "pepper"}

    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"key folder {folder} cannot be made ({error.strerror}): choose a folder you may write"
        ) from error
    paths = {name: folder / f"{name}.json" for name in made} | {"audit": folder / "audit.key"}
    for name, template in made.items():
        if not paths[name].exists():
            keyset = Keyset.generate(template)
            write_new(paths[name], keyset_text(keyset, kek=kek, context=keyset_context(origin, name)))
    if not paths["audit"].exists():
        write_new(paths["audit"], Secret(_text(Ed25519Signer.generate(origin).to_text()) + "\n"))
    return paths


def _text(value: str | Secret[str]) -> str:
    return value.reveal() if isinstance(value, Secret) else value
