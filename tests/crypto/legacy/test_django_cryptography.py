"""django-cryptography: what its fields write is read, without ever unpickling freely."""

from __future__ import annotations

import hmac
import os
import pickle
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7
from django.conf import settings as django_settings
from django.db import connection, models

from portalsec.crypto.codec import codec_for
from portalsec.crypto.legacy import DjangoCryptographyReader, convert
from portalsec.errors import ConfigurationError, DecryptionError

fields = pytest.importorskip("django_cryptography.fields")
FIELD_KEY = bytes(range(32))

VALUES: list[tuple[Any, Any, object]] = [
    (models.CharField(max_length=100), str, "Zoë"),
    (models.TextField(), str, ""),
    (models.IntegerField(), int, -42),
    (models.BooleanField(), bool, True),
    (models.DateField(), date, date(1970, 2, 3)),
    (models.DateTimeField(), datetime, datetime(1970, 2, 3, 4, 5, 6, 7, tzinfo=UTC)),
    (models.DecimalField(max_digits=9, decimal_places=2), Decimal, Decimal("12.50")),
    (models.UUIDField(), UUID, UUID(int=7)),
    (models.BinaryField(), bytes, b"\x00\xff"),
]


def stored(field: Any, value: object) -> bytes:
    return bytes(field.get_db_prep_value(value, connection))


@pytest.mark.parametrize(("base", "kind", "value"), VALUES, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("field_key", [None, FIELD_KEY])
def test_what_its_fields_write_is_read(base: Any, kind: Any, value: object, field_key: bytes | None) -> None:
    cell = stored(fields.encrypt(base, key=field_key), value)
    reader = DjangoCryptographyReader(django_settings.SECRET_KEY, field_key=field_key)
    found = convert(reader.read(cell), codec_for(kind))
    assert found == value
    assert type(found) is type(value)


def test_a_project_with_a_key_and_a_salt_of_its_own_is_read() -> None:
    code = """
import django
from django.conf import settings
settings.configure(SECRET_KEY="s" * 40, CRYPTOGRAPHY_KEY="its own key", CRYPTOGRAPHY_SALT="its own salt", DATABASES={})
django.setup()
from django_cryptography.fields import EncryptedMixin
from django_cryptography.utils.crypto import FernetBytes
import pickle
print(FernetBytes().encrypt(pickle.dumps("value")).hex())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    cell = bytes.fromhex(done.stdout)
    assert DjangoCryptographyReader("s" * 40, key="its own key", salt="its own salt").read(cell) == "value"
    with pytest.raises(DecryptionError):
        DjangoCryptographyReader("t" * 40, key="its own key", salt="its own salt").read(cell)
    with pytest.raises(DecryptionError):  # the signature is right, the key is not
        DjangoCryptographyReader("s" * 40, key="another", salt="its own salt").read(cell)


def sealed(plaintext: bytes) -> bytes:
    """A cell as whoever has the keys, an attacker among them, can make it."""
    padder = PKCS7(128).padder()
    iv = os.urandom(16)
    encryptor = Cipher(AES(FIELD_KEY), CBC(iv)).encryptor()
    ciphertext = encryptor.update(padder.update(plaintext) + padder.finalize()) + encryptor.finalize()
    signed = b"\x80" + bytes(8) + iv + ciphertext
    return signed + hmac.digest(b"secret", signed, "sha256")


ran: list[object] = []


def run() -> str:
    ran.append("it ran")
    return "value"


class Exploit:
    def __reduce__(self) -> Any:
        return run, ()


def test_a_hostile_pickle_in_an_authentic_cell_is_refused_and_does_not_run() -> None:
    reader = DjangoCryptographyReader("secret", field_key=FIELD_KEY)
    assert reader.read(sealed(pickle.dumps("value"))) == "value"
    payload = pickle.dumps(Exploit())
    assert pickle.loads(payload) == "value"
    assert ran.pop() == "it ran"  # so it would
    for hostile in (
        payload,
        b"cos\nsystem\n(S'true'\ntR.",
        pickle.dumps(None),
        pickle.dumps(["a"]),
        b"",
        b"text",
    ):
        with pytest.raises(DecryptionError) as caught:
            reader.read(sealed(hostile))
        assert caught.value.reason == "pickle_refused"
        assert caught.value.__context__ is None
    assert ran == []


def test_a_cell_that_was_changed_or_cut_is_refused() -> None:
    reader = DjangoCryptographyReader("secret", field_key=FIELD_KEY)
    cell = sealed(pickle.dumps("value"))
    for at in range(1, len(cell)):
        damaged = bytearray(cell)
        damaged[at] ^= 1
        with pytest.raises(DecryptionError):
            reader.read(bytes(damaged))
    for size in range(41, len(cell)):
        with pytest.raises(DecryptionError):
            reader.read(cell[:size])
    for inside in (b"", bytes(15), bytes(17)):  # signed with the right key, and no ciphertext
        signed = b"\x80" + bytes(8) + inside
        with pytest.raises(DecryptionError):
            reader.read(signed + hmac.digest(b"secret", signed, "sha256"))
    with pytest.raises(DecryptionError):
        DjangoCryptographyReader("another", field_key=FIELD_KEY).read(cell)
    for other in (b"", b"\x80", cell[:40], b"\x01" + cell[1:], "text"):
        assert reader.read(other) is None


def test_keys_are_checked_and_not_shown() -> None:
    for options in ({"field_key": b"short"}, {"secret_key": ""}, {"key": ""}, {"salt": ""}):
        with pytest.raises(ConfigurationError) as caught:
            DjangoCryptographyReader(**{"secret_key": "hunter2", **options})  # type: ignore[arg-type]
        assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(DjangoCryptographyReader("hunter2"))
