"""The usual cell (bound to its row, no tenant, keys in memory), flattened into one function each way.

Everything that `EncryptedField`, `portalsec.crypto.context` and `KeysetAead` do for such a cell, without their calls:
beside an encryption of 64 bytes, which takes about a microsecond, each call of a Python function is felt. What is not
usual, a failure among it, is left to ``general``, the method of the field, which does all of it again and says what
is wrong. So there is one place that decides, and this one only agrees with it; a test holds the two side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from os import urandom
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidTag

from portalsec.crypto.aead import KeysetAead
from portalsec.crypto.codec import Codec, codec_for
from portalsec.crypto.context import NO_TENANT

__all__ = ["opener", "sealer"]

_BYTES = codec_for(bytes)
_STR = codec_for(str)

# Slices that are made once: a slice that is written out is built anew in each call.
_KEY = slice(0, 5)
_NONCE = slice(5, 17)
_SEALED = slice(17, None)

_LEFT_TO_GENERAL = (KeyError, InvalidTag, TypeError, ValueError, OverflowError)


def sealer(
    aead: KeysetAead, codec: Codec[Any], prefix: bytes, general: Callable[..., Any]
) -> Callable[..., Any]:
    """`EncryptedField.encrypt` for the usual cell."""
    encrypt, frame, encode = aead._encrypt, aead._prefix, _quick(codec)[0]
    as_is: type[Any] = bytes if codec is _BYTES else _Nothing
    text, number, uuid = (prefix + NO_TENANT + kind for kind in (b"s", b"i", b"u"))

    def field_encrypt(value: Any, row: Any = None, tenant: str | None = None) -> Any:
        if tenant is None:
            try:
                if type(row) is str and row:
                    place = text + row.encode()
                elif type(row) is UUID:
                    place = uuid + row.int.to_bytes(16, "big")
                elif type(row) is int:
                    place = number + b"%d" % row
                else:
                    return general(value, row=row, tenant=tenant)
                nonce = urandom(12)
                return frame + nonce + encrypt(nonce, value if type(value) is as_is else encode(value), place)
            except (TypeError, ValueError, OverflowError):
                pass
        return general(value, row=row, tenant=tenant)

    return field_encrypt


def opener(
    aead: KeysetAead, codec: Codec[Any], prefix: bytes, general: Callable[..., Any]
) -> Callable[..., Any]:
    """`EncryptedField.decrypt` for the usual cell."""
    openers, decode = aead._openers, _quick(codec)[1]
    text, number, uuid = (prefix + NO_TENANT + kind for kind in (b"s", b"i", b"u"))

    def field_decrypt(ciphertext: Any, row: Any = None, tenant: str | None = None) -> Any:
        if tenant is None:
            try:
                if type(row) is str and row:
                    place = text + row.encode()
                elif type(row) is UUID:
                    place = uuid + row.int.to_bytes(16, "big")
                elif type(row) is int:
                    place = number + b"%d" % row
                else:
                    return general(ciphertext, row=row, tenant=tenant)
                # What is cut short has no whole tag and is refused as such: no length needs checking.
                plaintext = openers[ciphertext[_KEY]](ciphertext[_NONCE], ciphertext[_SEALED], place)
                return plaintext if decode is None else decode(plaintext)
            except _LEFT_TO_GENERAL:
                pass
        return general(ciphertext, row=row, tenant=tenant)

    return field_decrypt


class _Nothing:
    """No value is of this type."""


def _quick(codec: Codec[Any]) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any] | None]:
    """The codec, or what the interpreter has built in that does the same for the values it accepts."""
    if codec is _BYTES:
        return codec.encode, None
    if codec is _STR:
        return str.encode, bytes.decode
    return codec.encode, codec.decode
