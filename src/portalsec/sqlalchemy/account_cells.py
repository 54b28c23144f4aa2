"""Rotation of the keys of `SqlAccounts`: what ``portalsec fields reencrypt`` is given for the table of accounts."""

from __future__ import annotations

from collections.abc import Sequence

from portalsec.crypto.fields import EncryptedField
from portalsec.crypto.keyring import AnyKeyset
from portalsec.crypto.prf import KeyedHash
from portalsec.crypto.tasks import RebuildIndex, Reencrypt
from portalsec.sqlalchemy.accounts import LOGIN
from portalsec.sqlalchemy.cells import EncryptedTable
from portalsec.sqlalchemy.tables import account

__all__ = ["account_cells"]


def account_cells(*, fields: AnyKeyset, mac: AnyKeyset) -> EncryptedTable:
    """The sealed logins under the primary key of ``fields``, and their hashes under that of ``mac``.

    ``account_cells(fields=keys.fields, mac=keys.mac).over(engine).run()`` writes those anew that are under another key,
    while sign-ins go on; see `portalsec.crypto.rotation`. A row that fails keeps its old hash: its account is found for
    as long as that key is enabled.
    """
    login = EncryptedField[bytes](fields, table=account.name, column="login_sealed", type=bytes)
    return EncryptedTable(
        table=account,
        row="id",
        tasks=[
            Reencrypt(field=login, column="login_sealed"),
            RebuildIndex(field=login, column="login_sealed", tags={"login_mac": _LoginHashes(mac)}),
        ],
    )


class _LoginHashes:
    """The keyed hash in the shape of a blind index."""

    def __init__(self, keys: AnyKeyset) -> None:
        self._keys = keys  # by whose primary a run that is resumed knows its key again
        self._mac = KeyedHash(keys)

    def __repr__(self) -> str:
        return f"<hashes of {LOGIN}>"

    def tag_many(self, values: Sequence[bytes], tenant: str | None = None) -> list[bytes | None]:
        del tenant
        return [self._mac(LOGIN, value) for value in values]
