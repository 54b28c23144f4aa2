"""The usual cell of a field over `SubjectKeys`, flattened as in `portalsec.crypto._hot`, one step further.

Where the subject's key is remembered, it is taken out of `SubjectKeys`' memory without a call. All else, a key that is
not remembered and every failure among it, is left to ``general``, the method of the field.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from portalsec.crypto import _hot
from portalsec.crypto.aead import urandom
from portalsec.crypto.codec import Codec
from portalsec.crypto.context import tenant_prefix
from portalsec.crypto.ports import SubjectAeads
from portalsec.crypto.subjects import SubjectKeys

__all__ = ["opener", "sealer"]

# Slices that are made once: a slice that is written out is built anew in each call.
_KEY = slice(0, 5)
_NONCE = slice(5, 17)
_SEALED = slice(17, None)


def sealer(
    keys: SubjectAeads, codec: Codec[Any], prefix: bytes, general: Callable[..., Any]
) -> Callable[..., Any]:
    """`EncryptedField.encrypt` for the usual cell."""
    if not isinstance(keys, SubjectKeys):
        return general
    encode, as_is = _hot.quick(codec)[0], _hot.taken_as_is(codec)
    text, number, uuid = _hot.kinds(tenant_prefix(prefix, None))
    remembered, elapsed = keys._sealing, keys._elapsed

    def field_encrypt(
        value: Any, row: Any = None, tenant: str | None = None, subject: str | None = None
    ) -> Any:
        if tenant is None:
            try:
                until, start, encrypt = remembered[subject]  # type: ignore[index]
                if until > elapsed():
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
                    nonce = urandom(12)
                    return start + nonce + encrypt(nonce, plaintext, place)
            except (KeyError, TypeError, ValueError, OverflowError):
                pass
        return general(value, row, tenant, subject)

    return field_encrypt


def opener(
    keys: SubjectAeads, codec: Codec[Any], prefix: bytes, general: Callable[..., Any]
) -> Callable[..., Any]:
    """`EncryptedField.decrypt` for the usual cell."""
    if not isinstance(keys, SubjectKeys):
        return general
    decode = _hot.quick(codec)[1]
    text, number, uuid = _hot.kinds(tenant_prefix(prefix, None))
    remembered, elapsed = keys._opening, keys._elapsed

    def field_decrypt(
        cell: Any, row: Any = None, tenant: str | None = None, subject: str | None = None
    ) -> Any:
        if tenant is None:
            try:
                until, start, decrypt = remembered[subject]  # type: ignore[index]
                if until > elapsed() and cell[_KEY] == start:
                    if type(row) is str and row:
                        place = text + row.encode()
                    elif type(row) is UUID:
                        place = uuid + row.int.to_bytes(16, "big")
                    elif type(row) is int:
                        place = number + b"%d" % row
                    else:
                        return general(cell, row, tenant, subject)
                    # What is cut short has no whole tag and is refused as such: no length needs checking.
                    plaintext = decrypt(cell[_NONCE], cell[_SEALED], place)
                    return plaintext if decode is None else decode(plaintext)
            except _hot.LEFT_TO_GENERAL:
                pass
        return general(cell, row, tenant, subject)

    return field_decrypt
