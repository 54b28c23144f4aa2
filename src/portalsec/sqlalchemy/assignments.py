"""Role assignments in SQL."""

from __future__ import annotations

from sqlalchemy import Engine, delete, select

from portalsec.sqlalchemy.tables import assignment as table
from portalsec.sqlalchemy.transaction import insert_into, reading, require_opened, writing

__all__ = ["SqlAssignments"]


class SqlAssignments:
    """`portalsec.rbac.ports.AssignmentStore`, durable and visible to every worker when a verb returns."""

    def __init__(self, engine: Engine) -> None:
        self._engine = require_opened(engine)

    def roles_of(self, subject_id: str) -> frozenset[str]:
        with reading(self._engine) as connection:
            return frozenset(connection.scalars(select(table.c.role).where(table.c.subject_id == subject_id)))

    def assign(self, subject_id: str, role: str) -> bool:
        with writing(self._engine) as connection:
            insert = (
                insert_into(connection, table)
                .values(subject_id=subject_id, role=role)
                .on_conflict_do_nothing()
            )
            return connection.execute(insert.returning(table.c.role)).first() is not None

    def revoke(self, subject_id: str, role: str) -> bool:
        statement = delete(table).where(table.c.subject_id == subject_id, table.c.role == role)
        with writing(self._engine) as connection:
            return connection.execute(statement).rowcount == 1
