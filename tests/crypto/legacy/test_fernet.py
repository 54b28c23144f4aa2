"""Fernet, MultiFernet and django-fernet-encrypted-fields: what the real libraries write is read."""

from __future__ import annotations

import base64
import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from cryptography.fernet import Fernet, MultiFernet
from hypothesis import given
from hypothesis import strategies as st

from portalsec.crypto.codec import JSON, codec_for
from portalsec.crypto.legacy import DjangoFernetFieldsReader, FernetReader, convert
from portalsec.errors import ConfigurationError, DecryptionError
from portalsec.secret import Secret

OLD, NEW = Fernet.generate_key(), Fernet.generate_key()


@given(st.binary(max_size=100))
def test_tokens_of_fernet_and_multifernet_are_read_from_text_and_binary_columns(value: bytes) -> None:
    reader = FernetReader([NEW, OLD])
    for token in (
        Fernet(OLD).encrypt(value),
        MultiFernet([Fernet(NEW), Fernet(OLD)]).encrypt(value),
        Fernet(NEW).encrypt_at_time(value, 0),
    ):
        assert reader.read(token) == value
        assert reader.read(token.decode()) == value


def test_keys_come_as_text_bytes_or_secrets() -> None:
    token = Fernet(OLD).encrypt(b"value")
    for keys in (OLD, OLD.decode(), Secret(OLD), Secret(OLD.decode()), [Secret(NEW), OLD]):
        assert FernetReader(keys).read(token) == b"value"  # type: ignore[arg-type]
    for wrong in ("", [], "hunter2-hunter2", OLD[:-4], None, 5):
        with pytest.raises((ConfigurationError, TypeError)) as caught:
            FernetReader(wrong)  # type: ignore[arg-type]
        assert "hunter2" not in str(caught.value)
        assert caught.value.__context__ is None
    assert OLD.decode() not in repr(FernetReader(OLD))


def test_a_token_that_does_not_open_is_refused_and_what_is_no_token_is_another_readers() -> None:
    reader = FernetReader(OLD)
    token = Fernet(OLD).encrypt(b"value")
    raw = bytearray(base64.urlsafe_b64decode(token))
    for at in range(5, len(raw)):
        damaged = bytearray(raw)
        damaged[at] ^= 1
        with pytest.raises(DecryptionError) as caught:
            reader.read(base64.urlsafe_b64encode(damaged))
        assert caught.value.__context__ is None
    with pytest.raises(DecryptionError):
        reader.read(Fernet(NEW).encrypt(b"value"))
    for cut in (token[:-1], token[:-4], token[:20], token[:-2] + b"AA"):
        with pytest.raises(DecryptionError):
            reader.read(cut)
    for other in (
        "",
        b"",
        "gAAAA",
        "gAAAAA==",
        "plain text",
        "gAAAAAplain text",
        "ä" * 100,
        token + b"=",
        token[1:],
    ):
        assert reader.read(other) is None


# -- django-fernet-encrypted-fields ------------------------------------------------------------------------------

django_fields = pytest.importorskip("encrypted_fields.fields")
SECRET, SALT = "the project's secret key", "the project's salt"


@pytest.fixture(autouse=True)
def project(settings: Any) -> None:
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = SECRET, []
    settings.SALT_KEY = SALT


def stored(field: Any, value: object) -> str:
    return str(field.get_prep_value(value))


@pytest.fixture(scope="module")
def reader() -> DjangoFernetFieldsReader:
    return DjangoFernetFieldsReader([SECRET], Secret(SALT))


@pytest.mark.parametrize(
    ("field", "value", "kind"),
    [
        ("EncryptedCharField", "Zoë", str),
        ("EncryptedTextField", "a" * 500, str),
        ("EncryptedEmailField", "zoe@example.org", str),
        ("EncryptedIntegerField", -42, int),
        ("EncryptedBooleanField", True, bool),
        ("EncryptedDateField", date(1970, 2, 3), date),
        ("EncryptedDateTimeField", datetime(1970, 2, 3, 4, 5, 6, 7, tzinfo=UTC), datetime),
    ],
)
def test_what_its_fields_write_is_read(
    field: str, value: object, kind: Any, reader: DjangoFernetFieldsReader
) -> None:
    cell = stored(getattr(django_fields, field)(), value)
    assert convert(reader.read(cell), codec_for(kind)) == value


def test_its_json_field_is_read_as_that_library_reads_it(reader: DjangoFernetFieldsReader) -> None:
    field = django_fields.EncryptedJSONField()
    value = {"allergies": ["penicillin", "latex"], "age": 42, "none": None, "nested": {"a": 1.5}}
    cell = field.get_prep_value(value)
    found = convert(reader.read(cell), JSON)
    assert found == django_fields.EncryptedJSONField().to_python(cell)
    assert found["allergies"] == value["allergies"]
    damaged = json.loads(cell)
    damaged["age"] = Fernet(OLD).encrypt(b"43").decode()
    with pytest.raises(DecryptionError):
        reader.read(json.dumps(damaged))
    for other in ('{"a": 1}', "{}", "[]", '{"a": "plain"}', "{", "[" * 100_000, '"plain"'):
        assert reader.read(other) is None


def test_every_secret_key_and_salt_of_a_rotation_reads(settings: Any) -> None:
    cells = []
    for secret, salt in ((SECRET, SALT), ("newer", SALT), ("newer", "newer salt")):
        settings.SECRET_KEY, settings.SALT_KEY = secret, salt
        cells.append(stored(django_fields.EncryptedCharField(), "value"))
    rotated = DjangoFernetFieldsReader(["newer", SECRET], ["newer salt", SALT])
    assert [rotated.read(cell) for cell in cells] == [b"value"] * 3
    with pytest.raises(DecryptionError):
        DjangoFernetFieldsReader("newer", "newer salt").read(cells[0])
