"""A field under a key for each person beside the bare cipher: what shredding costs while nobody is shredded.

The baseline is that of `bench.bench_crypto`. A hundred persons take turns, whose keys are all remembered.
"""

from __future__ import annotations

import os
from datetime import timedelta

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bench.harness import Row
from portalsec.clock import system_clock
from portalsec.crypto import EncryptedField, Keyset
from portalsec.crypto.context import associated_data
from portalsec.crypto.subjects import SubjectKeys
from portalsec.stores.memory import MemorySubjectKeys

__all__ = ["rows"]

_TURNS = 1000
_PLAIN = os.urandom(64)
_ROW = "0192f0c1-7e7a-7cc2-9d4e-6b1f9f1c2ab3"
_SUBJECTS = [f"0192f0c1-7e7a-7cc2-9d4e-{number:012x}" for number in range(100)]


def rows() -> list[Row]:
    return [_hit(), _hit_decrypt()]


def _field() -> EncryptedField[bytes]:
    keys = SubjectKeys(
        MemorySubjectKeys(),
        keys=Keyset.generate("XAES_256_GCM"),
        clock=system_clock,
        emit=lambda event: None,
        remember=timedelta(hours=1),  # the row is about remembered keys, however long the bench takes
    )
    field = EncryptedField[bytes](keys, table="patients", column="address", type=bytes)
    for subject in _SUBJECTS:
        field.encrypt(_PLAIN, row=_ROW, subject=subject)
    return field


def _hit() -> Row:
    field, cipher = _field(), AESGCM(os.urandom(32))
    context = associated_data(table="patients", column="address", type_byte=b"b", row=_ROW)
    turns = _SUBJECTS * (_TURNS // len(_SUBJECTS))

    def baseline() -> None:
        encrypt, random = cipher.encrypt, os.urandom
        for _ in turns:
            nonce = random(12)
            nonce + encrypt(nonce, _PLAIN, context)

    def subject() -> None:
        encrypt = field.encrypt
        for whose in turns:
            encrypt(_PLAIN, row=_ROW, subject=whose)

    return Row(
        id="crypto.subject.hit",
        subject=subject,
        baseline=baseline,
        number=1,
        subject_does=_TURNS,
        baseline_does=_TURNS,
        note="100 persons in turn, beside AESGCM with one key, a fresh nonce and the same associated data",
    )


def _hit_decrypt() -> Row:
    field, cipher = _field(), AESGCM(os.urandom(32))
    context = associated_data(table="patients", column="address", type_byte=b"b", row=_ROW)
    nonce = os.urandom(12)
    stored = nonce + cipher.encrypt(nonce, _PLAIN, context)
    cells = [(whose, field.encrypt(_PLAIN, row=_ROW, subject=whose)) for whose in _SUBJECTS]
    turns = cells * (_TURNS // len(cells))

    def baseline() -> None:
        decrypt = cipher.decrypt
        for _ in turns:
            decrypt(stored[:12], stored[12:], context)

    def subject() -> None:
        decrypt = field.decrypt
        for whose, cell in turns:
            decrypt(cell, row=_ROW, subject=whose)

    return Row(
        id="crypto.subject.hit.decrypt",
        subject=subject,
        baseline=baseline,
        number=1,
        subject_does=_TURNS,
        baseline_does=_TURNS,
        note="the same, decrypted",
    )
