"""`EncryptedField`: a typed value in a cell, readable only in that cell."""

from __future__ import annotations

import builtins
from typing import Any, Generic, Literal, TypeVar, overload

from portalsec.crypto._hidden import Hidden
from portalsec.crypto.codec import Codec, CodecError, codec_for
from portalsec.crypto.context import RowId, cell_prefix, place
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.ports import Aead
from portalsec.errors import ConfigurationError, DecryptionError

__all__ = ["EncryptedField"]

T = TypeVar("T")

Context = Literal["row", "column"]


class EncryptedField(Hidden, Generic[T]):
    """One encrypted column.

    A ciphertext is bound to table, column, row and, where the field has one, tenant: copied anywhere else, it does
    not open. None stays None (a NULL stays a NULL, and is seen); "" is a value like any other. Stored size: the
    encoded value and 33 bytes.

    Safe to share between threads; it keeps no state between calls.
    """

    @overload
    def __init__(
        self: EncryptedField[str],
        keyset: Keyset | Aead,
        *,
        table: str,
        column: str,
        context: Context = "row",
        tenanted: bool = False,
    ) -> None: ...

    @overload
    def __init__(
        self,
        keyset: Keyset | Aead,
        *,
        table: str,
        column: str,
        type: builtins.type[T] | Codec[T],
        context: Context = "row",
        tenanted: bool = False,
    ) -> None: ...

    def __init__(
        self,
        keyset: Keyset | Aead,
        *,
        table: str,
        column: str,
        type: Any = str,
        context: Context = "row",
        tenanted: bool = False,
    ) -> None:
        """
        Args:
            keyset: keys for encryption, or a ready cipher (``keyset.aead()``), which several fields may share.
            table: a label for the table, chosen once and never changed; not the name of a class.
            column: a label for the column, unique in its table; likewise.
            type: str, bytes, bool, int, Decimal, date, datetime, UUID, or `JSON`.
            context: "row" binds each cell to its row. "column" is the weaker choice for a table without a stable
                id: whoever can write to the database can then swap two rows' cells unnoticed.
            tenanted: whether each call names a tenant, to which the cell is bound too.

        Raises:
            ConfigurationError: a label, type or context that is none; a keyset that is not for encryption.
        """
        if context not in ("row", "column"):
            raise ConfigurationError(f'context={context!r}: choose "row" or "column"')
        codec: Codec[T] = codec_for(type)
        self._aead: Aead = keyset.aead() if isinstance(keyset, Keyset) else keyset
        self._codec = codec
        self._prefix = cell_prefix(table, column, codec.tag)
        self._bound = context == "row"
        self._tenanted = tenanted
        self._table = table
        self._column = column
        if self._bound and not tenanted:
            self._flatten()

    def _flatten(self) -> None:
        """Puts functions for the usual cell, in which every call is flattened, before the methods of the class."""
        from portalsec.crypto._hot import opener, sealer
        from portalsec.crypto.aead import KeysetAead

        if isinstance(self._aead, KeysetAead):
            self.encrypt = sealer(self._aead, self._codec, self._prefix, self.encrypt)  # type: ignore[method-assign]
            self.decrypt = opener(self._aead, self._codec, self._prefix, self.decrypt)  # type: ignore[method-assign]

    def __repr__(self) -> str:
        return f"<EncryptedField {self._table!r}.{self._column!r}, keys hidden>"

    @property
    def table(self) -> str:
        """The declared label of the table."""
        return self._table

    @property
    def column(self) -> str:
        """The declared label of the column."""
        return self._column

    @overload
    def encrypt(self, value: None, row: RowId | None = None, tenant: str | None = None) -> None: ...

    @overload
    def encrypt(self, value: T, row: RowId | None = None, tenant: str | None = None) -> bytes: ...

    def encrypt(self, value: T | None, row: RowId | None = None, tenant: str | None = None) -> bytes | None:
        """The ciphertext for this cell; None for None.

        Raises:
            TypeError: a value of another type; a row or tenant that is missing, not asked for, or no id.
            ValueError: a value or id that has no encoding (half a surrogate pair, a naive datetime, NaN).
        """
        if value is None:
            return None
        if (row is None) is self._bound or (tenant is None) is self._tenanted:
            self._misplaced(row)
        return self._aead.encrypt(self._codec.encode(value), place(self._prefix, row, tenant))

    @overload
    def decrypt(self, ciphertext: None, row: RowId | None = None, tenant: str | None = None) -> None: ...

    @overload
    def decrypt(self, ciphertext: bytes, row: RowId | None = None, tenant: str | None = None) -> T: ...

    def decrypt(
        self, ciphertext: bytes | None, row: RowId | None = None, tenant: str | None = None
    ) -> T | None:
        """The value of this cell; None for None. The input is never returned as the value.

        Raises:
            DecryptionError: it does not open here, whatever the cause: another cell's, cut short, edited, under a
                key that is unknown or disabled, of another type.
            TypeError, ValueError: a row or tenant, as for `encrypt`.
        """
        if ciphertext is None:
            return None
        if (row is None) is self._bound or (tenant is None) is self._tenanted:
            self._misplaced(row)
        plaintext = self._aead.decrypt(ciphertext, place(self._prefix, row, tenant))
        try:
            return self._codec.decode(plaintext)
        except CodecError:
            pass  # outside the handler, so that the error below has no context
        raise DecryptionError("not_canonical")

    def _misplaced(self, row: RowId | None) -> None:
        """Says what is wrong with the place: a forgotten row must never become a weaker binding."""
        cell = f"{self._table}.{self._column}"
        if (row is None) is self._bound:
            raise TypeError(
                f"{cell} is bound to its row: pass row="
                if self._bound
                else f"{cell} is bound to its column: no row="
            )
        raise TypeError(
            f"{cell} is bound to its tenant: pass tenant="
            if self._tenanted
            else f"{cell} has no tenant: no tenant="
        )
