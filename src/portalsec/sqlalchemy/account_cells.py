"""Rotation of the keys of `SqlAccounts` and `SqlContacts`: what ``portalsec fields reencrypt`` is given for their tables."""

from __future__ import annotations

from portalsec.crypto.fields import EncryptedField
from portalsec.crypto.hashed_cells import found_by_hash
from portalsec.crypto.keyring import AnyKeyset
from portalsec.sqlalchemy.accounts import LOGIN
from portalsec.sqlalchemy.cells import EncryptedTable
from portalsec.sqlalchemy.contacts import ADDRESS
from portalsec.sqlalchemy.tables import account, contact

__all__ = ["HASHES", "account_cells", "contact_cells"]

_LOGIN_HASH, _ADDRESS_HASH = "login_mac", "address_mac"

HASHES = frozenset({_LOGIN_HASH, _ADDRESS_HASH})
"""The columns of the hashes, which alone are under ``mac``."""


def account_cells(*, fields: AnyKeyset, mac: AnyKeyset) -> EncryptedTable:
    """The sealed logins under the primary key of ``fields``, and their hashes under that of ``mac``.

    ``account_cells(fields=keys.fields, mac=keys.mac).over(engine).run()`` writes those anew that are under another key,
    while sign-ins go on; see `portalsec.crypto.rotation`. A row that fails keeps its old hash: its account is found for
    as long as that key is enabled.
    """
    login = EncryptedField[bytes](fields, table=account.name, column="login_sealed", type=bytes)
    tasks = found_by_hash(login, "login_sealed", hashes=_LOGIN_HASH, purpose=LOGIN, mac=mac)
    return EncryptedTable(table=account, row="id", tasks=tasks)


def contact_cells(*, fields: AnyKeyset, mac: AnyKeyset) -> EncryptedTable:
    """The sealed addresses and their hashes, as `account_cells` does it."""
    address = EncryptedField[bytes](fields, table=contact.name, column="address_sealed", type=bytes)
    tasks = found_by_hash(address, "address_sealed", hashes=_ADDRESS_HASH, purpose=ADDRESS, mac=mac)
    return EncryptedTable(table=contact, row="id", tasks=tasks)
