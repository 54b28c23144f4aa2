"""Rotation of the keys of `SqlPasskeys`: what ``portalsec fields reencrypt`` is given for the seals of passkeys."""

from __future__ import annotations

from portalsec.auth.passkeys.records import seal_place
from portalsec.crypto.fields import EncryptedField
from portalsec.crypto.keyring import AnyKeyset
from portalsec.crypto.tasks import Reencrypt
from portalsec.sqlalchemy.cells import EncryptedTable
from portalsec.sqlalchemy.tables import passkey

__all__ = ["passkey_cells"]


def passkey_cells(*, fields: AnyKeyset) -> EncryptedTable:
    """What vouches for each passkey under the primary key of ``fields``, written anew while people sign in.

    ``passkey_cells(fields=keys.fields).over(engine).run()``. Without it, no passkey of before would sign anybody in once the
    old key is disabled. A seal that is no longer of its record stays what it is: it is written anew and does not hold.
    """
    place = seal_place("")
    seal = EncryptedField[bytes](fields, table=place["table"], column=place["column"], type=bytes)
    return EncryptedTable(table=passkey, row="id", tasks=[Reencrypt(field=seal, column=place["column"])])
