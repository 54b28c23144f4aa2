"""`FieldSealer`: what `portalsec.auth` asks for as a `Sealer`."""

from __future__ import annotations

from functools import lru_cache

from portalsec.crypto._hidden import Hidden
from portalsec.crypto.codec import codec_for
from portalsec.crypto.context import cell_prefix, place
from portalsec.crypto.keyring import AnyKeyset, LiveKeyset
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.ports import Aead

__all__ = ["FieldSealer"]

_BYTES = codec_for(bytes)


class FieldSealer(Hidden):
    """Seals bytes for a place named in each call; every result is a cell of ``EncryptedField[bytes]``."""

    __slots__ = ("_aead",)

    def __init__(self, keys: AnyKeyset | Aead) -> None:
        """Raises `ConfigurationError` where the keys are not for encryption."""
        self._aead: Aead = keys.aead() if isinstance(keys, (Keyset, LiveKeyset)) else keys

    def seal(self, plaintext: bytes, *, table: str, column: str, row: str) -> bytes:
        """Encrypt; the result opens only under the same table, column and row."""
        return self._aead.encrypt(_BYTES.encode(plaintext), _place(table, column, row))

    def open(self, ciphertext: bytes, *, table: str, column: str, row: str) -> bytes:
        """Decrypt. Raises `DecryptionError`, one error for every cause."""
        return self._aead.decrypt(ciphertext, _place(table, column, row))


def _place(table: str, column: str, row: str) -> bytes:
    if row is None:  # would bind to the column only
        raise TypeError("a sealed value is bound to its row: pass row=")
    return place(_prefix(table, column), row, None)


@lru_cache(maxsize=64)  # they are a handful of constants
def _prefix(table: str, column: str) -> bytes:
    return cell_prefix(table, column, _BYTES.tag)
