"""Anchors: places outside the log's store that remember the newest checkpoint.

A store that is replaced whole by an older copy of itself looks perfect from the inside. Only something that it
does not carry along can say that there was more.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from portalsec.audit.checkpoint import parse_checkpoint
from portalsec.errors import StoreError, Tampered

if sys.platform != "win32":
    import fcntl

__all__ = ["Anchor", "FileAnchor"]

_MAX_BYTES = 64 * 1024


class Anchor(Protocol):
    """Keeps the newest checkpoint it was handed. It sees origin, size and root, and nothing of the records.

    `publish` is durable when it returns; a checkpoint smaller than the one it holds is passed over, so that two
    processes may publish in any order. `StoreError` when it cannot answer.
    """

    def read(self) -> str | None:
        """The signed note, or None where there never was one."""
        ...

    def publish(self, note: str) -> None: ...


class FileAnchor:
    """An anchor that is one file: on another disk, a WORM share, a folder that is copied elsewhere.

    The file is replaced by write, fsync, rename and fsync of the folder, so a crash leaves the old note or the new
    one and never half of one. Its folder is made where it is missing. Put it where whoever can write the log's
    database cannot write; beside the database it protects against accidents only.
    """

    __slots__ = ("_path",)

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)

    @property
    def path(self) -> Path:
        return self._path

    def read(self) -> str | None:
        """The file's text, not yet verified; None where there is no file. `StoreError` where it cannot be read."""
        try:
            with self._path.open("rb") as file:
                return file.read(_MAX_BYTES + 1).decode("utf-8", "backslashreplace")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"The anchor {self._path} cannot be read ({error.strerror}).") from error

    def publish(self, note: str) -> None:
        """Keep ``note`` unless the file holds a larger checkpoint.

        Raises:
            StoreError: the file cannot be written.
            Tampered: the file holds something else than a checkpoint, or another root of the same size: it is
                evidence now, and is left as it is.
        """
        new = parse_checkpoint(note)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._locked() as folder:
                held = self.read()
                if held is not None:
                    old = parse_checkpoint(held)
                    if old.size == new.size and old != new:
                        raise Tampered(
                            f"The anchor {self._path} holds another checkpoint of size {new.size}."
                        )
                    if old.size >= new.size:
                        return
                self._replace(note, folder)
        except OSError as error:
            raise StoreError(f"The anchor {self._path} cannot be written ({error.strerror}).") from error

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int | None]:
        """The folder's descriptor, locked: of two processes, the one with the larger checkpoint must win."""
        if sys.platform == "win32":
            yield None
            return
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield folder
        finally:
            os.close(folder)

    def _replace(self, note: str, folder: int | None) -> None:
        temporary = self._path.with_name(f".{self._path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(note.encode())
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if folder is not None:
            os.fsync(folder)  # the rename itself must survive a power cut

    def __repr__(self) -> str:
        return f"FileAnchor({str(self._path)!r})"
