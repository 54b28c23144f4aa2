"""Rotation of the keys of `SqlAccounts`: what ``portalsec fields reencrypt`` is given for the table of accounts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

from portalsec.crypto.cells import CellSource, Key
from portalsec.crypto.fields import EncryptedField
from portalsec.crypto.keyring import AnyKeyset
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.prf import KeyedHash
from portalsec.crypto.rotation import Remaining
from portalsec.crypto.tasks import RebuildIndex, Reencrypt
from portalsec.errors import DecryptionError
from portalsec.sqlalchemy.accounts import LOGIN
from portalsec.sqlalchemy.cells import EncryptedTable
from portalsec.sqlalchemy.tables import account

__all__ = ["LOGIN_HASH", "account_cells"]

LOGIN_HASH = "login_mac"
"""The column of the hashes, which alone is under ``mac``."""

_PAGE = 1000


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
            _HashLogins(field=login, column="login_sealed", tags={LOGIN_HASH: _LoginHashes(mac)}),
        ],
    )


class _HashLogins(RebuildIndex):
    """Counts too: a hash does not tell its key, but the login beside it does."""

    __slots__ = ()

    def remaining(self, source: CellSource) -> Remaining:
        """The hashes by the keys that made them; under none: whose login does not open, and whose key is disabled.

        Opens every login.
        """
        (column, hashes) = next(iter(self.tags.items()))
        sealed, tag = source.columns.index(self.column), source.columns.index(column)
        assert isinstance(hashes, _LoginHashes)  # noqa: S101  (made above)
        found: Counter[int | None] = Counter()
        after: Key | None = None
        while rows := source.page(after, _PAGE):
            after = rows[-1].key
            for row in rows:
                cell: bytes = row.values[sealed]  # never NULL
                key = None
                with suppress(DecryptionError):
                    key = hashes.key_of(self.field.decrypt(cell, row=row.id), bytes(row.values[tag]))
                found[key] += 1
        unknown, current = found.pop(None, 0), found.pop(hashes.primary_id, 0)
        older = {key: count for key, count in found.items() if key is not None}
        return Remaining(column=column, current=current, older=older, unknown=unknown)


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

    @property
    def primary_id(self) -> int:
        return _keyset(self._keys).primary_id

    def key_of(self, login: bytes, tag: bytes) -> int | None:
        """The enabled key under which this is the login's hash."""
        ids = [info.id for info in _keyset(self._keys).info() if info.status == "ENABLED"]
        ids.sort(key=lambda each: each != self.primary_id)  # as `KeyedHash.all` has them: the primary's first
        by_key = dict(zip(self._mac.all(LOGIN, login), ids, strict=True))
        return by_key.get(tag)


def _keyset(keys: AnyKeyset) -> Keyset:
    return keys if isinstance(keys, Keyset) else keys.keyset
