"""Which database this is, as a hash: for files that belong to one database and must not be taken for another's."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

__all__ = ["database_mark"]

_OF_LIBPQ = ("PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGSERVICE", "PGOPTIONS")


def database_mark(
    dialect: str, host: str | None, port: int | str | None, database: str | None, *more: str | None
) -> str:
    """64 hexadecimal digits, other ones for another server or database. Never give it a password.

    Args:
        dialect: such as "sqlite", of which ``database`` is a path, or "postgresql", for which libpq's environment
            counts too: it fills in what is not given.
        more: whatever else tells databases apart, such as the search path.
    """
    if dialect == "sqlite" and database:
        database = str(Path(database).resolve())
    around = [os.environ.get(name) for name in _OF_LIBPQ] if dialect == "postgresql" else []
    what = [dialect, host or None, str(port) if port else None, database or None, *more, *around]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()
