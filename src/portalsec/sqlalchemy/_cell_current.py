"""What other sessions have made of a row since it was read, asked for just before it is written.

A cell is bound to a tenant, and a compound tag is made of several cells. SQLAlchemy writes what this session has changed
and leaves the rest of the row as it is, so that both are asked for again, under the lock that the UPDATE takes anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, Connection, and_, delete, false, select
from sqlalchemy.orm import Mapper

__all__ = ["current_row"]


def current_row(
    connection: Connection, mapper: Mapper[Any], identity: Sequence[Any], columns: Sequence[Column[Any]]
) -> dict[Column[Any], Any] | None:
    """These columns of a row, which stay as they are until the end of the transaction; None where it is gone.

    One SELECT ... FOR UPDATE of one row. SQLite has none, and gives way to one writer at a time: there a DELETE of
    no row begins to write.
    """
    if connection.dialect.name == "sqlite":
        connection.execute(delete(mapper.primary_key[0].table).where(false()))
    asked = list(dict.fromkeys(columns))
    found = connection.execute(
        select(*asked)
        .select_from(mapper.persist_selectable)
        .where(and_(*(key == value for key, value in zip(mapper.primary_key, identity, strict=True))))
        .with_for_update()
    ).one_or_none()
    return None if found is None else dict(zip(asked, found, strict=True))
