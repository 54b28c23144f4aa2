"""The flattened cell of a person and the field's own methods agree, remembered or not, erased or not."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from portalsec.crypto import EncryptedField, Keyset
from portalsec.crypto.codec import JSON
from portalsec.crypto.subjects import SubjectKeys
from portalsec.errors import DecryptionError, SubjectErased
from portalsec.events import SYSTEM
from portalsec.stores.memory import MemorySubjectKeys
from portalsec.testing import CapturedEvents, FrozenClock

NOW = [0.0]


@pytest.fixture(params=[timedelta(minutes=1), timedelta(0)], ids=["remembered", "not remembered"])
def keys(request):
    return SubjectKeys(
        MemorySubjectKeys(),
        keys=Keyset.generate("AES256_GCM"),
        clock=FrozenClock(),
        emit=CapturedEvents(),
        remember=request.param,
        elapsed=lambda: NOW[0],
    )


def outcome(call, *args, **named):
    try:
        return call(*args, **named)
    except (TypeError, ValueError, DecryptionError, SubjectErased) as error:
        return type(error), str(error), getattr(error, "reason", None)


ROWS = ["r", "", 7, -1, True, None, UUID(int=5), ("a", 1), b"r"]
SUBJECTS = ["ann", "bob", "", None, 7, b"ann", [], "eve"]


@pytest.mark.parametrize(("kind", "values"), [(bytes, [b"v", None, "v"]), (str, ["v", None, b"v", "\ud800"])])
def test_both_ways_agree(keys, kind, values):
    field = EncryptedField(keys, table="notes", column="text", type=kind)
    general_encrypt, general_decrypt = EncryptedField.encrypt, EncryptedField.decrypt
    assert field.encrypt is not general_encrypt
    field.encrypt(values[0], row="r", subject="ann")
    keys.shred("eve", actor=SYSTEM)
    for value in values:
        for row in ROWS:
            for subject in SUBJECTS:
                for tenant in (None, "clinic"):
                    named = {"row": row, "tenant": tenant, "subject": subject}
                    flat = outcome(field.encrypt, value, **named)
                    general = outcome(general_encrypt, field, value, **named)
                    assert type(flat) is type(general)
                    if not isinstance(flat, bytes):
                        assert flat == general
                        continue
                    for cell in (flat, general):
                        assert field.decrypt(cell, **named) == value
                        assert general_decrypt(field, cell, **named) == value
                    bad = [
                        b"\x01\x00\x00\x00\x01" + flat[5:],
                        flat[:-1],
                        flat[:20],
                        b"",
                        b"\x01",
                        7,
                        "text",
                        None,
                        bytearray(flat),
                    ]
                    for cell in bad:
                        assert outcome(field.decrypt, cell, **named) == outcome(
                            general_decrypt, field, cell, **named
                        )
                    for other in SUBJECTS:
                        elsewhere = {**named, "subject": other}
                        assert outcome(field.decrypt, flat, **elsewhere) == outcome(
                            general_decrypt, field, flat, **elsewhere
                        )


def test_a_field_forgets_with_its_keys(keys):
    field = EncryptedField[str](keys, table="notes", column="text")
    cell = field.encrypt("v", row=1, subject="ann")
    assert field.decrypt(cell, row=1, subject="ann") == "v"
    keys.shred("ann", actor=SYSTEM)
    for call in (field.encrypt, field.decrypt):
        with pytest.raises(SubjectErased):
            call("v" if call is field.encrypt else cell, row=1, subject="ann")


def test_a_field_does_not_use_what_is_remembered_for_too_long():
    NOW[0] = 0.0
    store = MemorySubjectKeys()

    def process() -> SubjectKeys:
        return SubjectKeys(
            store,
            keys=WRAPPING,
            clock=FrozenClock(),
            emit=CapturedEvents(),
            elapsed=lambda: NOW[0],
        )

    here, there = process(), process()
    field = EncryptedField[str](there, table="notes", column="text")
    cell = field.encrypt("v", row=1, subject="ann")
    here.shred("ann", actor=SYSTEM)
    NOW[0] = 59.0
    assert field.decrypt(cell, row=1, subject="ann") == "v"
    NOW[0] = 60.0
    for call in (field.encrypt, field.decrypt):
        with pytest.raises(SubjectErased):
            call("v" if call is field.encrypt else cell, row=1, subject="ann")


WRAPPING = Keyset.generate("AES256_GCM")


def test_none_stays_none_where_the_codec_has_an_encoding_for_it(keys):
    field = EncryptedField(keys, table="notes", column="text", type=JSON)
    field.encrypt("first", row=1, subject="ann")
    assert field.encrypt(None, row=1, subject="ann") is None
    assert field.reencrypt(None, row=1, subject="ann") is None
    assert field.rebind(None, row=1, subject="ann", to_row=2) is None
