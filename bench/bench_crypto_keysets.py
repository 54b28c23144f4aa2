"""Field encryption under XAES, with many keys, in batches, and the time to load a keyset."""

from __future__ import annotations

import os
from collections.abc import Callable

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tink import aead, json_proto_keyset_format, secret_key_access

from bench.harness import Row
from portalsec.crypto import EncryptedField, Keyset
from portalsec.crypto.context import associated_data
from portalsec.crypto.insecure import keyset_to_json

__all__ = ["rows"]

_TURNS = 1000
_PLAIN = os.urandom(64)
_ROW = "0192f0c1-7e7a-7cc2-9d4e-6b1f9f1c2ab3"
_CONTEXT = associated_data(table="patients", column="address", type_byte=b"b", row=_ROW)
_BATCH = 256


def rows() -> list[Row]:
    aead.register()
    return [
        _xaes_encrypt("crypto.xaes.encrypt.64"),
        _xaes_encrypt_beside_tink("crypto.xaes.encrypt.64.vs_tink"),
        _xaes_decrypt("crypto.xaes.decrypt.64"),
        _oldest("crypto.decrypt.oldest_of_10"),
        _encrypt_many("crypto.encrypt_many.256"),
        _load("crypto.keyset.load.100"),
    ]


def _field(keyset: Keyset) -> EncryptedField[bytes]:
    return EncryptedField[bytes](keyset, table="patients", column="address", type=bytes)


def _encrypting(field: EncryptedField[bytes]) -> Callable[[], None]:
    def subject() -> None:
        encrypt = field.encrypt
        for _ in range(_TURNS):
            encrypt(_PLAIN, row=_ROW)

    return subject


def _decrypting(field: EncryptedField[bytes], cell: bytes) -> Callable[[], None]:
    def subject() -> None:
        decrypt = field.decrypt
        for _ in range(_TURNS):
            decrypt(cell, row=_ROW)

    return subject


def _row(row_id: str, subject: Callable[[], None], baseline: Callable[[], None], note: str) -> Row:
    return Row(
        id=row_id,
        subject=subject,
        baseline=baseline,
        number=1,
        subject_does=_TURNS,
        baseline_does=_TURNS,
        note=note,
    )


def _xaes_encrypt(row_id: str) -> Row:
    cipher = AESGCM(os.urandom(32))

    def baseline() -> None:
        encrypt, random = cipher.encrypt, os.urandom
        for _ in range(_TURNS):
            nonce = random(12)
            nonce + encrypt(nonce, _PLAIN, _CONTEXT)

    subject = _encrypting(_field(Keyset.generate("XAES_256_GCM")))
    return _row(row_id, subject, baseline, "beside AES-256-GCM and the same associated data")


def _xaes_encrypt_beside_tink(row_id: str) -> Row:
    keyset = Keyset.generate("XAES_256_GCM")
    theirs = json_proto_keyset_format.parse(keyset_to_json(keyset), secret_key_access.TOKEN).primitive(
        aead.Aead
    )

    def baseline() -> None:
        encrypt = theirs.encrypt
        for _ in range(_TURNS):
            encrypt(_PLAIN, _CONTEXT)

    return _row(row_id, _encrypting(_field(keyset)), baseline, "beside tink's Aead with the same keyset")


def _xaes_decrypt(row_id: str) -> Row:
    cipher, nonce = AESGCM(os.urandom(32)), os.urandom(12)
    stored = nonce + cipher.encrypt(nonce, _PLAIN, _CONTEXT)

    def baseline() -> None:
        decrypt = cipher.decrypt
        for _ in range(_TURNS):
            decrypt(stored[:12], stored[12:], _CONTEXT)

    field = _field(Keyset.generate("XAES_256_GCM"))
    subject = _decrypting(field, field.encrypt(_PLAIN, row=_ROW))
    return _row(row_id, subject, baseline, "a salt that was seen before, beside AES-256-GCM")


def _oldest(row_id: str) -> Row:
    keyset = Keyset.generate("AES256_GCM")
    oldest = _field(keyset).encrypt(_PLAIN, row=_ROW)
    for _ in range(9):
        keyset = keyset.add("AES256_GCM")
    keyset = keyset.promote(keyset.info()[-1].id)
    field = _field(keyset)
    newest = field.encrypt(_PLAIN, row=_ROW)
    return _row(
        row_id, _decrypting(field, oldest), _decrypting(field, newest), "beside a cell of the newest key"
    )


def _encrypt_many(row_id: str) -> Row:
    cipher = AESGCM(os.urandom(32))
    field = _field(Keyset.generate("AES256_GCM"))
    ids = [f"0192f0c1-7e7a-7cc2-9d4e-{number:012x}" for number in range(_BATCH)]
    values = [_PLAIN] * _BATCH
    contexts = [associated_data(table="patients", column="address", type_byte=b"b", row=row) for row in ids]

    def baseline() -> list[bytes]:
        cells = []
        for value, context in zip(values, contexts, strict=True):
            nonce = os.urandom(12)
            cells.append(nonce + cipher.encrypt(nonce, value, context))
        return cells

    return Row(
        id=row_id,
        subject=lambda: field.encrypt_many(values, ids),
        baseline=baseline,
        number=4,
        subject_does=_BATCH,
        baseline_does=_BATCH,
        note="beside a loop over AESGCM with ready associated data",
    )


def _load(row_id: str) -> Row:
    keyset = Keyset.generate("AES256_GCM")
    for _ in range(99):
        keyset = keyset.add("AES256_GCM")
    text = keyset_to_json(keyset)

    def baseline() -> object:
        return json_proto_keyset_format.parse(text, secret_key_access.TOKEN).primitive(aead.Aead)

    return Row(
        id=row_id,
        subject=lambda: Keyset.from_json(text).aead(),
        baseline=baseline,
        number=1,
        unit="ms",
        note="JSON to ciphers, beside tink",
    )
