"""Hashes under ``mac`` beside the sealed text that they are of: rotation writes them anew, and counts them by their key."""

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
from portalsec.crypto.tasks import RebuildIndex, Reencrypt, Task
from portalsec.errors import DecryptionError

__all__ = ["found_by_hash"]

_PAGE = 1000


def found_by_hash(
    field: EncryptedField[bytes], column: str, *, hashes: str, purpose: str, mac: AnyKeyset
) -> Sequence[Task]:
    """The tasks of a table that keeps a text sealed in ``column``, and its hash for ``purpose`` in ``hashes``."""
    tags = {hashes: _Hashes(mac, purpose)}
    return [
        Reencrypt(field=field, column=column),
        _HashAgain(field=field, column=column, tags=tags),
    ]


class _HashAgain(RebuildIndex):
    """Counts too: a hash does not tell its key, but the sealed text beside it does."""

    __slots__ = ()

    def remaining(self, source: CellSource) -> Remaining:
        """The hashes by the keys that made them; under none: whose text does not open, and whose key is disabled.

        Opens every text.
        """
        (column, hashes) = next(iter(self.tags.items()))
        sealed, tag = source.columns.index(self.column), source.columns.index(column)
        assert isinstance(hashes, _Hashes)  # noqa: S101  (made above)
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


class _Hashes:
    """The keyed hash in the shape of a blind index."""

    def __init__(self, keys: AnyKeyset, purpose: str) -> None:
        self._purpose = purpose
        self._keys = keys  # by whose primary a run that is resumed knows its key again
        self._mac = KeyedHash(keys)

    def __repr__(self) -> str:
        return f"<hashes of {self._purpose}>"

    def tag_many(self, values: Sequence[bytes], tenant: str | None = None) -> list[bytes | None]:
        del tenant
        return [self._mac(self._purpose, value) for value in values]

    @property
    def primary_id(self) -> int:
        return _keyset(self._keys).primary_id

    def key_of(self, value: bytes, tag: bytes) -> int | None:
        """The enabled key under which this is the text's hash."""
        ids = [info.id for info in _keyset(self._keys).info() if info.status == "ENABLED"]
        ids.sort(key=lambda each: each != self.primary_id)  # as `KeyedHash.all` has them: the primary's first
        by_key = dict(zip(self._mac.all(self._purpose, value), ids, strict=True))
        return by_key.get(tag)


def _keyset(keys: AnyKeyset) -> Keyset:
    return keys if isinstance(keys, Keyset) else keys.keyset
