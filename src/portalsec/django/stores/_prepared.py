"""A SELECT that the ORM writes once and that then runs as text: writing it takes ten times as long as SQLite's answer.

For what every signed-in request asks. The text stays the ORM's own, so it fits whatever database and tables there are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias

from django.db import connections
from django.db.models import QuerySet

__all__ = ["Select", "prepared", "row_of"]

Select: TypeAlias = Callable[[str, str], "QuerySet[Any, Any]"]
"""The rows of a database alias that have the text asked for, and nothing but that text as a value: a function of a
module, since what it made is kept under it."""

_ASKED = "the text asked for"


def row_of(select: Select, alias: str, asked: str) -> tuple[Any, ...] | None:
    """The first row as the driver gives it (a boolean may be 0 or 1), or None; inside `reading`."""
    connection = connections[alias]
    with connection.cursor() as cursor:
        cursor.execute(prepared(select, alias, connection.vendor), (asked,))
        row: tuple[Any, ...] | None = cursor.fetchone()
    return row


@cache
def prepared(select: Select, alias: str, vendor: str) -> str:
    """The statement, with one place for the value. ``vendor``: another database may be behind an alias in a test."""
    text, values = select(alias, _ASKED).query.get_compiler(using=alias).as_sql()
    if tuple(values) != (_ASKED,):
        raise TypeError(f"{select.__name__}: a value beside the one asked for would be kept for ever")
    return str(text)
