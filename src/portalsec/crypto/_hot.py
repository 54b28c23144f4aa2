"""The usual cell (bound to its row, no tenant, bytes in the column), flattened into one function each way.

Everything that `EncryptedField`, `portalsec.crypto.context` and `KeysetAead` do for such a cell, without their calls:
beside an encryption of 64 bytes, which takes about a microsecond, each call of a Python function is felt. What is not
usual, a failure among it, is left to ``general``, the method of the field, which does all of it again and says what
is wrong. So there is one place that decides, and this one only agrees with it; a test holds the two side by side.

The keys are looked at anew for each value, in one piece (a tuple), so that a function that somebody keeps follows
every reload, and no value is sealed by one key under the prefix of another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidTag

from portalsec.crypto.aead import KeysetAead, urandom
from portalsec.crypto.codec import Codec, codec_for
from portalsec.crypto.context import tenant_prefix

__all__ = [
    "LEFT_TO_GENERAL",
    "kinds",
    "opener",
    "quick",
    "sealer",
    "taken_as_is",
]

_BYTES = codec_for(bytes)
_STR = codec_for(str)

LEFT_TO_GENERAL = (KeyError, InvalidTag, TypeError, ValueError, OverflowError)


def sealer(
    aead: KeysetAead, codec: Codec[Any], prefix: bytes, general: Callable[..., Any]
) -> Callable[..., Any]:
    """`EncryptedField.encrypt` for the usual cell."""
    encode, as_is = quick(codec)[0], taken_as_is(codec)
    text, number, uuid = kinds(tenant_prefix(prefix, None))

    def field_encrypt(
        value: Any, row: Any = None, tenant: str | None = None, subject: str | None = None
    ) -> Any:
        if tenant is None and subject is None:
            try:
                if type(row) is str and row:
                    place = text + row.encode()
                elif type(row) is UUID:
                    place = uuid + row.int.to_bytes(16, "big")
                elif type(row) is int:
                    place = number + b"%d" % row
                else:
                    return general(value, row, tenant, subject)
                if type(value) is as_is:
                    plaintext = value
                elif value is None:
                    return None  # JSON, and codecs of others, have an encoding for it
                else:
                    plaintext = encode(value)
                # Before keys are loaded it is None, which cannot be unpacked: a TypeError.
                start, encrypt, left = aead._session  # type: ignore[misc]
                if left is not None and next(left, None) is None:
                    return general(value, row, tenant, subject)  # which begins a session
                nonce = urandom(12)
                return start + nonce + encrypt(nonce, plaintext, place)
            except (TypeError, ValueError, OverflowError):
                pass
        return general(value, row, tenant, subject)

    return field_encrypt


def opener(
    aead: KeysetAead, codec: Codec[Any], prefix: bytes, general: Callable[..., Any]
) -> Callable[..., Any]:
    """`EncryptedField.decrypt` for the usual cell, of the layout that the primary key has now.

    Where a reload changes that (from AES-GCM to XAES, say), such a cell is left to ``general`` until the field asks
    for another function.
    """
    decode = quick(codec)[1]
    text, number, uuid = kinds(tenant_prefix(prefix, None))
    start, nonce, sealed = aead._layout

    # What is cut short has no whole tag and is refused as such: no length needs checking.
    def bytes_decrypt(
        cell: Any, row: Any = None, tenant: str | None = None, subject: str | None = None
    ) -> Any:
        if tenant is None and subject is None:
            try:
                if type(row) is str and row:
                    return aead._openers[cell[start]](cell[nonce], cell[sealed], text + row.encode())
                if type(row) is UUID:
                    place = uuid + row.int.to_bytes(16, "big")
                elif type(row) is int:
                    place = number + b"%d" % row
                else:
                    return general(cell, row, tenant, subject)
                return aead._openers[cell[start]](cell[nonce], cell[sealed], place)
            except LEFT_TO_GENERAL:
                pass
        return general(cell, row, tenant, subject)

    def field_decrypt(
        cell: Any, row: Any = None, tenant: str | None = None, subject: str | None = None
    ) -> Any:
        if tenant is None and subject is None:
            try:
                if type(row) is str and row:
                    place = text + row.encode()
                elif type(row) is UUID:
                    place = uuid + row.int.to_bytes(16, "big")
                elif type(row) is int:
                    place = number + b"%d" % row
                else:
                    return general(cell, row, tenant, subject)
                return decode(aead._openers[cell[start]](cell[nonce], cell[sealed], place))  # type: ignore[misc]
            except LEFT_TO_GENERAL:
                pass
        return general(cell, row, tenant, subject)

    return bytes_decrypt if decode is None else field_decrypt


class _Nothing:
    """No value is of this type."""


def taken_as_is(codec: Codec[Any]) -> type[Any]:
    """The type whose values are their own encoding."""
    return bytes if codec is _BYTES else _Nothing


def kinds(there: bytes) -> tuple[bytes, bytes, bytes]:
    """The associated data up to a row (`tenant_prefix`) and the kind of the row: a text, an int, a UUID."""
    return there + b"s", there + b"i", there + b"u"


def quick(codec: Codec[Any]) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any] | None]:
    """The codec, or what the interpreter has built in that does the same for the values it accepts."""
    if codec is _BYTES:
        return codec.encode, None
    if codec is _STR:
        return str.encode, bytes.decode
    return codec.encode, codec.decode
