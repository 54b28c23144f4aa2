"""Rotation of the keys of `SqlTotp`: what ``portalsec fields reencrypt`` is given for the authenticators' seeds."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine

from portalsec.auth.totp import seed_place
from portalsec.crypto.cells import Change, Key, Row
from portalsec.crypto.fields import EncryptedField
from portalsec.crypto.keyring import AnyKeyset
from portalsec.crypto.rotation import Reencryption
from portalsec.crypto.tasks import Reencrypt
from portalsec.sqlalchemy.cells import EncryptedTable, SqlCells
from portalsec.sqlalchemy.tables import totp_device

__all__ = ["totp_cells"]

_COLUMN = "sealed_secret"


def totp_cells(*, fields: AnyKeyset) -> EncryptedTable:
    """The seeds under the primary key of ``fields``, written anew while codes are checked.

    ``totp_cells(fields=keys.fields).over(engine).run()``; see `portalsec.crypto.rotation`. Without it, nobody could sign in
    any more once the old key is disabled.
    """
    place = seed_place("", "")
    seed = EncryptedField[bytes](fields, table=place["table"], column=place["column"], type=bytes)
    return _Seeds(table=totp_device, row=("account_id", "id"), tasks=[Reencrypt(field=seed, column=_COLUMN)])


class _Seeds(EncryptedTable):
    """A seed is bound to one text that names its account and its device, and not to their columns."""

    def over(self, engine: Engine, *, batch: int = 2000) -> Reencryption:
        return Reencryption(_SeedCells(engine, self.table, [_COLUMN], row=self.row), self.tasks, batch=batch)


class _SeedCells(SqlCells):
    def page(self, after: Key | None, limit: int) -> Sequence[Row]:
        return [_bound(row) for row in super().page(after, limit)]

    def read(self, keys: Sequence[Key]) -> Sequence[Row]:
        return [_bound(row) for row in super().read(keys)]

    def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
        # The guards of a swap look at the columns again.
        return super().swap([change._replace(row=_unbound(change.row)) for change in changes])


def _bound(row: Row) -> Row:
    account, device = row.id  # type: ignore[misc, str-unpack]
    return row._replace(id=seed_place(str(account), str(device))["row"])


def _unbound(row: Row) -> Row:
    length, _, rest = str(row.id).partition(":")
    return row._replace(id=(rest[: int(length)], rest[int(length) + 1 :]))
