"""Who stands how to whom: care teams, guardians, and whose an account is. Ids only, nothing that is sealed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from portalsec.errors import StoreError

from .tables import account, care_team, ward

__all__ = ["Ties", "store_errors"]


@contextmanager
def store_errors() -> Iterator[None]:
    """Whatever the clinic's database fails with is one error without values."""
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        raise StoreError("the clinic's database does not answer") from error


class Ties:
    """Asked at every decision, so each is one short query. Raises `portalsec.errors.StoreError`."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def cares_for(self, staff_id: str, patient_id: str) -> bool:
        return self._exists(care_team, patient_id=patient_id, staff_id=staff_id)

    def guards(self, guardian_id: str, patient_id: str) -> bool:
        return self._exists(ward, patient_id=patient_id, guardian_id=guardian_id)

    def link(self, account_id: str, patient_id: str) -> None:
        """This account is this patient's. Said before the account gets a role, so that none can be overlooked."""
        with store_errors(), self._engine.begin() as connection:
            connection.execute(
                sa.insert(account).prefix_with("OR IGNORE").values(id=account_id, patient_id=patient_id)
            )

    def accounts_of(self, patient_id: str) -> list[str]:
        """The accounts of a patient: none, as a rule one."""
        query = sa.select(account.c.id).where(account.c.patient_id == patient_id)
        with store_errors(), self._engine.connect() as connection:
            return list(connection.execute(query).scalars())

    def _exists(self, table: sa.Table, **equals: str) -> bool:
        query = (
            sa.select(sa.literal(1))
            .where(*(table.c[name] == value for name, value in equals.items()))
            .limit(1)
        )
        with store_errors(), self._engine.connect() as connection:
            return connection.execute(query).first() is not None
