"""`EncryptedField`: a typed value in a cell, readable only in that cell."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from types import GenericAlias
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, cast, overload

from portalsec._encoding import b64url, unb64url
from portalsec.crypto._hidden import Hidden
from portalsec.crypto._readers import Readers
from portalsec.crypto.codec import Codec, CodecError, codec_for
from portalsec.crypto.context import RowId, cell_prefix, place
from portalsec.crypto.keyring import AnyKeyset, LiveKeyset
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.padding import Pad, padded
from portalsec.crypto.ports import Aead, LegacyReader, SubjectAeads
from portalsec.errors import ConfigurationError, DecryptionError, SubjectErased

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # known to type checkers; `typing` has defaults from Python 3.13 on

    from portalsec.crypto.aead import KeysetAead

    T = TypeVar("T")
    C = TypeVar("C", bound="bytes | str", default=bytes)
else:
    from typing import TypeVar

    T = TypeVar("T")
    C = TypeVar("C")

__all__ = ["EncryptedField"]

Context = Literal["row", "column"]


class EncryptedField(Hidden, Generic[T, C]):
    """One encrypted column. ``EncryptedField[date]`` holds dates in cells of bytes; with ``text=True`` cells are str.

    A ciphertext is bound to table, column, row and, where the field has one, tenant: copied anywhere else, it does
    not open. None stays None (a NULL stays a NULL, and is seen); "" is a value like any other. Stored size: the
    encoded value and 45 bytes under an XAES key, 33 under AES-GCM.

    Safe to share between threads and across a fork. Over a keyring it may be declared before keys are loaded, and
    follows every reload.
    """

    # `EncryptedField[str]` and `EncryptedField[str, str]` are both written; before Python 3.13 a Generic counts.
    if not TYPE_CHECKING:

        def __class_getitem__(cls, item):
            return GenericAlias(cls, item)

    @overload
    def __init__(
        self: EncryptedField[str, bytes],
        keys: AnyKeyset | Aead | SubjectAeads,
        *,
        table: str,
        column: str,
        context: Context = "row",
        tenanted: bool = False,
        text: Literal[False] = False,
        pad: Pad = None,
        legacy: Sequence[LegacyReader] = (),
    ) -> None: ...

    @overload
    def __init__(
        self: EncryptedField[str, str],
        keys: AnyKeyset | Aead | SubjectAeads,
        *,
        table: str,
        column: str,
        context: Context = "row",
        tenanted: bool = False,
        text: Literal[True],
        pad: Pad = None,
        legacy: Sequence[LegacyReader] = (),
    ) -> None: ...

    @overload
    def __init__(
        self: EncryptedField[T, bytes],
        keys: AnyKeyset | Aead | SubjectAeads,
        *,
        table: str,
        column: str,
        type: builtins.type[T] | Codec[T],
        context: Context = "row",
        tenanted: bool = False,
        text: Literal[False] = False,
        pad: Pad = None,
        legacy: Sequence[LegacyReader] = (),
    ) -> None: ...

    @overload
    def __init__(
        self: EncryptedField[T, str],
        keys: AnyKeyset | Aead | SubjectAeads,
        *,
        table: str,
        column: str,
        type: builtins.type[T] | Codec[T],
        context: Context = "row",
        tenanted: bool = False,
        text: Literal[True],
        pad: Pad = None,
        legacy: Sequence[LegacyReader] = (),
    ) -> None: ...

    def __init__(
        self,
        keys: AnyKeyset | Aead | SubjectAeads,
        *,
        table: str,
        column: str,
        type: Any = str,
        context: Context = "row",
        tenanted: bool = False,
        text: bool = False,
        pad: Pad = None,
        legacy: Sequence[LegacyReader] = (),
    ) -> None:
        """
        Args:
            keys: keys for encryption: a keyset, a name of a keyring, subject keys (then each call names a subject),
                or a ready cipher, such as ``keyset.aead(nonce="message")``.
            table: a label for the table, chosen once and never changed; not the name of a class.
            column: a label for the column, unique in its table; likewise.
            type: str, bytes, bool, int, Decimal, date, datetime, UUID, or `JSON`.
            context: "row" binds each cell to its row. "column" is the weaker choice for a table without a stable
                id: whoever can write to the database can then swap two rows' cells unnoticed.
            tenanted: whether each call names a tenant, to which the cell is bound too.
            text: for a column that holds text: cells are base64url without padding, a third longer.
            pad: hides lengths: to a multiple of so many bytes, or "padme" (`portalsec.crypto.padding`). How far may
                be changed later; a field that pads does not open cells of one that does not.
            legacy: readers of what other libraries, or none, left in the column, in the order they are asked. Only
                about data whose first bytes name no key of the keyset, not even a disabled one.

        Raises:
            ConfigurationError: a label, type, context, padding or reader that is none; keys that are not for
                encryption.
        """
        if context not in ("row", "column"):
            raise ConfigurationError(f'context={context!r}: choose "row" or "column"')
        codec: Codec[T] = codec_for(type)
        self._legacy = Readers(legacy, codec, f"{table}.{column}")
        self._codec = codec if pad is None else padded(codec, pad)
        self._prefix = cell_prefix(table, column, self._codec.tag)
        self._bound = context == "row"
        self._tenanted = tenanted
        self._text = text
        self._table = table
        self._column = column
        self._aead: Aead | None = None
        self._subjects: SubjectAeads | None = None
        if isinstance(keys, (Keyset, LiveKeyset)):
            self._aead = keys.aead()
        elif hasattr(keys, "writing") and hasattr(keys, "reading"):
            self._subjects = cast("SubjectAeads", keys)
        elif hasattr(keys, "encrypt") and hasattr(keys, "decrypt"):
            self._aead = keys
        else:
            raise ConfigurationError(
                f"{table}.{column} was given a {keys.__class__.__name__} for its keys: "
                "it needs a Keyset, a name of a Keyring, SubjectKeys or an Aead"
            )
        if legacy and not self._subjects and not hasattr(keys, "aead") and not hasattr(keys, "names"):
            raise ConfigurationError(
                f"{table}.{column} reads legacy data, and its cipher cannot say which ciphertexts are its own: "
                "give it a Keyset or a name of a Keyring"
            )
        self._flat_for: object = None
        if self._legacy.takes_anything:
            live = getattr(keys, "_live", None) or keys
            if isinstance(live, LiveKeyset):
                live.follow(self._take_keys, self._keep_keys)
            elif isinstance(keys, Keyset):
                self._take_keys(keys)
            elif getattr(getattr(keys, "_reading", None), "raw", ()):
                self._refuse_raw("a key")
        if self._bound and not tenanted and not text:
            self._flatten()

    def _take_keys(self, keyset: Keyset) -> None:
        """Refuses keys that do not mark what they write, where all that is unmarked would be taken for plaintext."""
        for key in keyset.info():
            if key.prefix == "RAW" and key.status != "DESTROYED":
                self._refuse_raw(f"key {key.id}")

    def _refuse_raw(self, key: str) -> NoReturn:
        raise ConfigurationError(
            f"{self._table}.{self._column} reads plaintext, and {key} of its keyset is RAW, whose cells nothing tells from "
            "other data: re-encrypt them under a key with a prefix and destroy the RAW one first, or move the plaintext to "
            "another column with Encrypt"
        )

    def _keep_keys(self, keyset: Keyset) -> None:
        """The other half of `LiveKeyset.follow`."""

    def _flatten(self) -> None:
        """Puts functions for the usual cell, in which every call is flattened, before the methods of the class."""
        from portalsec.crypto import _hot, _hot_subjects
        from portalsec.crypto.aead import KeysetAead

        # The methods themselves, also where they were put aside before.
        kind = EncryptedField
        seal, unseal = kind.encrypt.__get__(self), kind.decrypt.__get__(self)
        if self._subjects is not None:
            self.encrypt = _hot_subjects.sealer(self._subjects, self._codec, self._prefix, seal)  # type: ignore[method-assign]
            self.decrypt = _hot_subjects.opener(self._subjects, self._codec, self._prefix, unseal)  # type: ignore[method-assign]
        elif isinstance(self._aead, KeysetAead):
            self._flat_for = self._aead._layout
            self.encrypt = _hot.sealer(self._aead, self._codec, self._prefix, seal)  # type: ignore[method-assign]
            self.decrypt = _hot.opener(self._aead, self._codec, self._prefix, unseal)  # type: ignore[method-assign]

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

    @property
    def legacy_counts(self) -> Mapping[str, int]:
        """How many values each legacy reader has opened in this process: at 0 everywhere, it can be switched off."""
        return self._legacy.counts

    # -- one value ----------------------------------------------------------------------------------------------

    @overload
    def encrypt(
        self, value: None, row: RowId | None = None, tenant: str | None = None, subject: str | None = None
    ) -> None: ...

    @overload
    def encrypt(
        self, value: T, row: RowId | None = None, tenant: str | None = None, subject: str | None = None
    ) -> C: ...

    def encrypt(
        self, value: T | None, row: RowId | None = None, tenant: str | None = None, subject: str | None = None
    ) -> Any:
        """The ciphertext for this cell; None for None.

        Raises:
            TypeError: a value of another type; a row, tenant or subject that is missing, not asked for, or no id.
            ValueError: a value or id that has no encoding (half a surrogate pair, a naive datetime, NaN).
            SubjectErased: the subject's key was erased.
            ConfigurationError: the keyring is not loaded.
        """
        if value is None:
            return None
        where = self._place(row, tenant, subject)
        plaintext = self._codec.encode(value)
        cell = self._writing(subject).encrypt(plaintext, where)
        return b64url(cell) if self._text else cell

    @overload
    def decrypt(
        self, cell: None, row: RowId | None = None, tenant: str | None = None, subject: str | None = None
    ) -> None: ...

    @overload
    def decrypt(
        self, cell: C, row: RowId | None = None, tenant: str | None = None, subject: str | None = None
    ) -> T: ...

    def decrypt(
        self, cell: C | None, row: RowId | None = None, tenant: str | None = None, subject: str | None = None
    ) -> Any:
        """The value of this cell; None for None. The input is never returned as the value.

        Raises:
            DecryptionError: it does not open here, whatever the cause: another cell's, cut short, edited, under a
                key that is unknown or disabled, of another type.
            TypeError, ValueError: a row, tenant or subject, as for `encrypt`.
            SubjectErased: the subject's key was erased.
            ConfigurationError: the keyring is not loaded.
        """
        if cell is None:
            return None
        where = self._place(row, tenant, subject)
        if self._flat_for is not None and self._flat_for is not self._aead._layout:  # type: ignore[union-attr]
            self._flatten()  # the primary key is of another kind since the last reload
        data: Any = cell
        reason, aead = "", None
        if self._text:
            data, reason = _from_text(cell)
        try:
            aead = self._reading(subject)  # also for what is no cell: of an erased subject no reader is asked
            if not reason:
                plaintext = aead.decrypt(data, where)
        except DecryptionError as error:
            reason = reason or error.reason
        else:
            if not reason:
                return self._decode(plaintext)
        # Outside the handler, so that no error below has a context.
        if self._legacy and not (aead is not None and _is_named(aead, data)):
            return self._legacy.read(cell, reason)
        raise DecryptionError(reason)

    def _decode(self, plaintext: bytes) -> T:
        try:
            return self._codec.decode(plaintext)
        except CodecError:
            pass  # outside the handler, so that the error below has no context
        raise DecryptionError("not_canonical")

    # -- many values --------------------------------------------------------------------------------------------

    @overload
    def encrypt_many(
        self,
        values: Sequence[T],
        rows: Sequence[RowId] | None = None,
        tenant: str | None = None,
        subject: str | None = None,
    ) -> list[C]: ...

    @overload
    def encrypt_many(
        self,
        values: Sequence[T | None],
        rows: Sequence[RowId] | None = None,
        tenant: str | None = None,
        subject: str | None = None,
    ) -> list[C | None]: ...

    def encrypt_many(
        self,
        values: Sequence[Any],
        rows: Sequence[RowId] | None = None,
        tenant: str | None = None,
        subject: str | None = None,
    ) -> list[Any]:
        """The cells of one column: as `encrypt` for each value and its row, but with their nonces drawn at once.

        All or nothing: a value that is refused is named by its position, and no list is returned.

        Raises:
            TypeError, ValueError: as `encrypt`, for the value at the position that the text names; or ``rows`` and
                ``values`` of different lengths.
        """
        from portalsec.crypto._many import seal_many

        return seal_many(self, values, rows, tenant=tenant, subject=subject)

    @overload
    def decrypt_many(
        self,
        cells: Sequence[C],
        rows: Sequence[RowId] | None = None,
        tenant: str | None = None,
        subject: str | None = None,
    ) -> list[T]: ...

    @overload
    def decrypt_many(
        self,
        cells: Sequence[C | None],
        rows: Sequence[RowId] | None = None,
        tenant: str | None = None,
        subject: str | None = None,
    ) -> list[T | None]: ...

    def decrypt_many(
        self,
        cells: Sequence[Any],
        rows: Sequence[RowId] | None = None,
        tenant: str | None = None,
        subject: str | None = None,
    ) -> list[Any]:
        """The values of these cells: as `decrypt` for each cell and its row. All or nothing.

        Raises:
            DecryptionError: of the first that does not open; its ``position`` says which.
            TypeError, ValueError: as for `encrypt_many`.
        """
        from portalsec.crypto._many import open_many

        return open_many(self, cells, rows, tenant=tenant, subject=subject)

    # -- rotation and moves -------------------------------------------------------------------------------------

    @property
    def current_prefix(self) -> bytes:
        """What the bytes of a cell under the primary key begin with: five bytes.

        b"" where that says nothing: under a RAW key, or a cipher that is not a keyset's. Over subject keys, whose
        cells each begin with their own key, the one byte that all of them share. With ``text=True`` too it is bytes:
        those of the cell before base64url.
        """
        if self._subjects is not None:
            return b"\x01"
        prefix = getattr(self._aead, "prefix", b"")
        return prefix if isinstance(prefix, bytes) else b""

    def needs_reencrypt(self, cell: bytes | str | None, subject: str | None = None) -> bool:
        """Whether `reencrypt` would write this cell under another key: a look at its first bytes.

        True for legacy data. False for None, for every cell where `current_prefix` is empty (a RAW primary: its cells
        have no mark), and for cells of subject keys, which are wrapped anew instead of the cells.

        Over subject keys a field with legacy readers asks whose cell it is: other data begin with the same first byte,
        and a cell is one only if it begins with its own subject's key, which is looked up (`StoreError`). Without
        ``subject`` the answer is True there, since it cannot be told.
        """
        if cell is None:
            return False
        data: Any = cell
        if self._text:
            data, reason = _from_text(cell)
            if reason:
                return True
        if not isinstance(data, (bytes, bytearray, memoryview)):
            return True
        if self._subjects is not None and self._legacy:
            prefix = b"" if subject is None else self._mark(subject)
            return not prefix or bytes(data[: len(prefix)]) != prefix
        prefix = self.current_prefix
        if not prefix:
            return self._aead is not None and _is_named(
                self._aead, data
            )  # named, and so not the RAW primary's
        return bytes(data[: len(prefix)]) != prefix

    @overload
    def reencrypt(
        self, cell: None, row: RowId | None = None, tenant: str | None = None, subject: str | None = None
    ) -> None: ...

    @overload
    def reencrypt(
        self, cell: C, row: RowId | None = None, tenant: str | None = None, subject: str | None = None
    ) -> C: ...

    def reencrypt(
        self, cell: C | None, row: RowId | None = None, tenant: str | None = None, subject: str | None = None
    ) -> Any:
        """The same value for the same place, under the primary key: opened by any live key or legacy reader.

        Raises as `decrypt` and `encrypt` do.
        """
        value: Any = None if cell is None else self.decrypt(cell, row, tenant, subject)
        return self.encrypt(value, row, tenant, subject)

    @overload
    def rebind(
        self,
        cell: None,
        row: RowId | None = None,
        *,
        to_row: RowId | None = None,
        tenant: str | None = None,
        to_tenant: str | None = None,
        subject: str | None = None,
        to_subject: str | None = None,
    ) -> None: ...

    @overload
    def rebind(
        self,
        cell: C,
        row: RowId | None = None,
        *,
        to_row: RowId | None = None,
        tenant: str | None = None,
        to_tenant: str | None = None,
        subject: str | None = None,
        to_subject: str | None = None,
    ) -> C: ...

    def rebind(
        self,
        cell: C | None,
        row: RowId | None = None,
        *,
        to_row: RowId | None = None,
        tenant: str | None = None,
        to_tenant: str | None = None,
        subject: str | None = None,
        to_subject: str | None = None,
    ) -> Any:
        """The same value for another place: for merging two records, copying one, or changing a row's id.

        What is not named stays as it is: ``rebind(cell, row=7, to_row=8)``. The cell is opened where it is, so a cell
        that was moved unnoticed is not made genuine. Raises as `decrypt` and `encrypt` do.
        """
        if to_row is None and to_tenant is None and to_subject is None:
            raise TypeError("rebind names where the cell goes: pass to_row=, to_tenant= or to_subject=")
        value: Any = None if cell is None else self.decrypt(cell, row, tenant, subject)
        return self.encrypt(
            value,
            row if to_row is None else to_row,
            tenant if to_tenant is None else to_tenant,
            subject if to_subject is None else to_subject,
        )

    # -- keys and places ----------------------------------------------------------------------------------------

    def _mark(self, subject: str) -> bytes:
        """What the subject's own cells begin with, also where its key was erased; b"" where it never had one."""
        assert self._subjects is not None  # noqa: S101
        try:
            return self._subjects.reading(_a_subject(subject)).prefix
        except DecryptionError:
            return b""
        except SubjectErased:
            receipt = getattr(self._subjects, "receipt", None)
        erased = None if receipt is None else receipt(subject)
        return b"" if erased is None or erased.key_id is None else b"\x01" + erased.key_id.to_bytes(4, "big")

    def _writing(self, subject: str | None) -> Aead | KeysetAead:
        if self._subjects is not None:
            return self._subjects.writing(_a_subject(subject))
        assert self._aead is not None  # noqa: S101  (one of the two is there)
        return self._aead

    def _reading(self, subject: str | None) -> Aead | KeysetAead:
        if self._subjects is not None:
            return self._subjects.reading(_a_subject(subject))
        assert self._aead is not None  # noqa: S101
        return self._aead

    def _place(self, row: RowId | None, tenant: str | None, subject: str | None) -> bytes:
        self._check_place(row, tenant, subject)
        return place(self._prefix, row, tenant)

    def _check_place(self, row: RowId | None, tenant: str | None, subject: str | None) -> None:
        """Says what is wrong with the place: a forgotten row must never become a weaker binding."""
        cell = f"{self._table}.{self._column}"
        if (row is None) is self._bound:
            raise TypeError(
                f"{cell} is bound to its row: pass row="
                if self._bound
                else f"{cell} is bound to its column: no row="
            )
        if (tenant is None) is self._tenanted:
            raise TypeError(
                f"{cell} is bound to its tenant: pass tenant="
                if self._tenanted
                else f"{cell} has no tenant: no tenant="
            )
        if (subject is None) is (self._subjects is not None):
            raise TypeError(
                f"{cell} has no subject keys: no subject="
                if self._subjects is None
                else f"{cell} is sealed by its subject's key: pass subject="
            )


def _a_subject(subject: object) -> str:
    if not isinstance(subject, str):
        raise TypeError(f"a subject is text, not {type(subject).__name__}")
    if not subject:
        raise ValueError("a subject is not empty")  # an id that was not set yet: all would share one key
    return subject


def _from_text(cell: object) -> tuple[bytes, str]:
    """The bytes of a text cell, or why it is none."""
    if not isinstance(cell, str):
        return b"", "not_text"
    try:
        return unb64url(cell), ""
    except ValueError:
        return b"", "not_base64url"


def _is_named(aead: object, data: object) -> bool:
    """Whether these bytes claim to be of a key of the set."""
    names = getattr(aead, "names", None)
    return names is not None and isinstance(data, (bytes, bytearray, memoryview)) and bool(names(data))
