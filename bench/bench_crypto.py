"""Field encryption beside the bare cipher that it is made of, and beside tink.

The baseline is what an application would write by hand around the same cipher object: a nonce from the operating
system kept in front of the ciphertext, and the same associated data, ready made. So what is measured is portalsec's
own work: finding the key, building the associated data of the cell, and the frame.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tink import aead, json_proto_keyset_format, secret_key_access  # type: ignore[import-untyped]

from bench.harness import Row
from portalsec.crypto import EncryptedField, Keyset
from portalsec.crypto.blind_index import BlindIndex
from portalsec.crypto.codec import Codec, codec_for
from portalsec.crypto.context import associated_data
from portalsec.crypto.insecure import keyset_to_json
from portalsec.crypto.normalise import exact

__all__ = ["rows"]

_TURNS = 1000  # a call of the harness costs a tenth of a microsecond: the loop is inside
_NUMBER = 1  # a round of 2 ms mostly runs undisturbed, and the median leaves out the rest
_PLAIN = os.urandom(64)
_TEXT = "Ada Lovelace, 12 St James's Square, London SW1Y 4JH, 1 Dec 1815."  # 64 characters
_ROW = "0192f0c1-7e7a-7cc2-9d4e-6b1f9f1c2ab3"  # ids are opaque text in the portal


def rows() -> list[Row]:
    uuid = UUID(_ROW)
    return [
        _encrypt("crypto.encrypt.64", bytes, _PLAIN, _ROW),
        _decrypt("crypto.decrypt.64", bytes, _PLAIN, _ROW),
        _encrypt_beside_tink("crypto.encrypt.64.vs_tink"),
        _decrypt_beside_tink("crypto.decrypt.64.vs_tink"),
        _encrypt("crypto.encrypt.str", str, _TEXT, _ROW),
        _decrypt("crypto.decrypt.str", str, _TEXT, _ROW),
        _encrypt("crypto.encrypt.64.int_row", bytes, _PLAIN, 123_456),
        _decrypt("crypto.decrypt.64.int_row", bytes, _PLAIN, 123_456),
        _encrypt("crypto.encrypt.64.uuid_row", bytes, _PLAIN, uuid),
        _decrypt("crypto.decrypt.64.uuid_row", bytes, _PLAIN, uuid),
        _blind_index("crypto.blind_index"),
    ]


def _encrypt(row_id: str, kind: type, value: object, row: int | str | UUID) -> Row:
    cipher, plain, context, field = _beside(kind, value, row)

    def baseline() -> None:
        encrypt, random = cipher.encrypt, os.urandom
        for _ in range(_TURNS):
            nonce = random(12)
            nonce + encrypt(nonce, plain, context)

    def subject() -> None:
        encrypt = field.encrypt
        for _ in range(_TURNS):
            encrypt(value, row=row)

    return _row(row_id, subject, baseline)


def _decrypt(row_id: str, kind: type, value: object, row: int | str | UUID) -> Row:
    cipher, plain, context, field = _beside(kind, value, row)
    nonce = os.urandom(12)
    stored = nonce + cipher.encrypt(nonce, plain, context)
    cell = field.encrypt(value, row=row)

    def baseline() -> None:
        decrypt = cipher.decrypt
        for _ in range(_TURNS):
            decrypt(stored[:12], stored[12:], context)

    def subject() -> None:
        decrypt = field.decrypt
        for _ in range(_TURNS):
            decrypt(cell, row=row)

    return _row(row_id, subject, baseline)


def _encrypt_beside_tink(row_id: str) -> Row:
    theirs, context, field = _tink()

    def baseline() -> None:
        encrypt = theirs.encrypt
        for _ in range(_TURNS):
            encrypt(_PLAIN, context)

    def subject() -> None:
        encrypt = field.encrypt
        for _ in range(_TURNS):
            encrypt(_PLAIN, row=_ROW)

    return _row(row_id, subject, baseline, note="beside tink's Aead with the same keyset and associated data")


def _decrypt_beside_tink(row_id: str) -> Row:
    theirs, context, field = _tink()
    cell = field.encrypt(_PLAIN, row=_ROW)

    def baseline() -> None:
        decrypt = theirs.decrypt
        for _ in range(_TURNS):
            decrypt(cell, context)

    def subject() -> None:
        decrypt = field.decrypt
        for _ in range(_TURNS):
            decrypt(cell, row=_ROW)

    return _row(row_id, subject, baseline, note="beside tink's Aead with the same keyset and associated data")


def _blind_index(row_id: str) -> Row:
    """A tag without a normaliser beside one encryption of 16 bytes: what an index adds to writing a cell."""
    index = BlindIndex[str](
        Keyset.generate("HMAC_SHA256_PRF"), table="patients", column="address", bits=32, normalise=exact
    )
    cipher, plain, context, value = AESGCM(os.urandom(32)), os.urandom(16), os.urandom(40), "0123456789abcdef"

    def baseline() -> None:
        encrypt, random = cipher.encrypt, os.urandom
        for _ in range(_TURNS):
            nonce = random(12)
            nonce + encrypt(nonce, plain, context)

    def subject() -> None:
        tag = index.tag
        for _ in range(_TURNS):
            tag(value)

    return _row(row_id, subject, baseline, note="beside AESGCM over 16 bytes with a fresh nonce")


def _tink() -> tuple[aead.Aead, bytes, EncryptedField[bytes]]:
    """tink's primitive and our field over the same keys and the same cell."""
    aead.register()
    keyset = Keyset.generate("AES256_GCM")
    handle = json_proto_keyset_format.parse(keyset_to_json(keyset), secret_key_access.TOKEN)
    context = associated_data(table="patients", column="address", type_byte=b"b", row=_ROW)
    field = EncryptedField[bytes](keyset, table="patients", column="address", type=bytes)
    return handle.primitive(aead.Aead), context, field


def _beside(
    kind: type, value: object, row: int | str | UUID
) -> tuple[AESGCM, bytes, bytes, EncryptedField[object]]:
    codec: Codec[object] = codec_for(kind)
    context = associated_data(table="patients", column="address", type_byte=codec.tag, row=row)
    field: EncryptedField[object] = EncryptedField(
        Keyset.generate("AES256_GCM"), table="patients", column="address", type=kind
    )
    return AESGCM(os.urandom(32)), codec.encode(value), context, field


def _row(
    row_id: str,
    subject: Callable[[], None],
    baseline: Callable[[], None],
    note: str = "beside AESGCM over a stored nonce and the same associated data",
) -> Row:
    return Row(
        id=row_id,
        subject=subject,
        baseline=baseline,
        number=_NUMBER,
        subject_does=_TURNS,
        baseline_does=_TURNS,
        note=note,
    )
