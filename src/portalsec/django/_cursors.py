"""How far the runs of ``manage.py portalsec_reencrypt`` are, in a file that is replaced as a whole, and private.

A place belongs to one database and one task: elsewhere it would pass over rows that nobody has looked at.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db import connections

from portalsec._databases import database_mark
from portalsec.config.keys import replace_private
from portalsec.errors import ConfigurationError
from portalsec.secret import Secret

__all__ = ["Cursors", "databases_mark"]

_STOPPED = 2
_VERSION = 2


def databases_mark(aliases: Iterable[str]) -> str:
    """Which databases these are, whatever they are called."""
    marks = []
    for alias in aliases:
        held = connections[alias].settings_dict
        options = [str(held.get("OPTIONS", {}).get(name)) for name in ("service", "options")]
        user = None if held["NAME"] else held["USER"]
        mark = database_mark(
            connections[alias].vendor, held["HOST"], held["PORT"], str(held["NAME"]), user, *options
        )
        marks.append(mark)
    return ":".join(marks)


class Cursors:
    """The file, written once when it is made: where that fails, it does before the first row is touched."""

    def __init__(self, path: Path | None, *, database: str, task: Mapping[str, Any]) -> None:
        """
        Args:
            path: None keeps nothing.
            database: a mark of the databases.
            task: what is done to the rows, as JSON holds it.

        Raises:
            CommandError: it is of another task or database, or cannot be written.
        """
        self._path = path
        self._head = {"version": _VERSION, "database": database, "task": dict(task)}
        self._held: dict[str, Any] = {}
        if path is None:
            return
        if path.exists():
            self._read(path)
        self._write(path)

    def of(self, name: str) -> Mapping[str, Any] | None:
        return self._held.get(name)

    def put(self, name: str, cursor: Mapping[str, Any]) -> None:
        if self._path is not None:
            self._held[name] = cursor
            self._write(self._path)

    def finished(self) -> None:
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _read(self, path: Path) -> None:
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
            head, cursors = {name: held[name] for name in self._head}, dict(held["cursors"])
        except (OSError, ValueError, KeyError, TypeError):
            head, cursors = {}, {}
        other = [what for what in self._head if head.get(what) != self._head[what]]
        if other:
            said = {
                "database": "a run in another database",
                "task": "a run with other options (--fill, --keep, ...)",
            }
            raise CommandError(
                f"{path} is {said.get(other[0], 'no file of cursors')}: name another file, or remove it to begin anew",
                returncode=_STOPPED,
            )
        self._held = cursors

    def _write(self, path: Path) -> None:
        problem = ""
        try:
            # Private: keys of rows may say something of people.
            replace_private(path, Secret(json.dumps({**self._head, "cursors": self._held}) + "\n"))
        except ConfigurationError as error:
            problem = getattr(error.__cause__, "strerror", None) or "no file"
        if problem:
            raise CommandError(
                f"--cursor {path}: it cannot be kept there ({problem}): name a file in a folder of your own",
                returncode=_STOPPED,
            )
