"""Tink's own ciphertexts under another keyset: what the real tink writes is read."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest

from portalsec.crypto.insecure import keyset_to_json
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.legacy import TinkReader
from portalsec.errors import ConfigurationError, DecryptionError
from portalsec.secret import Secret

tink = pytest.importorskip("tink")
from tink import aead, cleartext_keyset_handle, daead  # noqa: E402

aead.register()
daead.register()
TEMPLATES = {
    "AES256_GCM": aead.aead_key_templates.AES256_GCM,
    "AES128_GCM": aead.aead_key_templates.AES128_GCM,
    "AES256_GCM_RAW": aead.aead_key_templates.AES256_GCM_RAW,
    "AES256_GCM_SIV": aead.aead_key_templates.AES256_GCM_SIV,
    "XAES_256_GCM": aead.aead_key_templates.XAES_256_GCM_192_BIT_NONCE,
}


def exported(handle: Any) -> str:
    text = io.StringIO()
    cleartext_keyset_handle.write(tink.JsonKeysetWriter(text), handle)
    return text.getvalue()


@pytest.mark.parametrize("template", TEMPLATES)
def test_what_tink_writes_is_read(template: str) -> None:
    handle = tink.new_keyset_handle(TEMPLATES[template])
    cipher = handle.primitive(aead.Aead)
    for keys in (exported(handle), Secret(exported(handle)), Keyset.from_json(exported(handle))):
        bare, placed = TinkReader(keys), TinkReader(keys, associated_data=b"patients.ssn")
        cell = cipher.encrypt(b"value", b"patients.ssn")
        assert bare.read(cipher.encrypt(b"value", b"")) == b"value"
        assert placed.read(cell) == b"value"
        assert placed.read(base64.b64encode(cell).decode()) == b"value"
        assert placed.read(base64.urlsafe_b64encode(cell).decode().rstrip("=")) == b"value"
        with pytest.raises(DecryptionError) as caught:
            bare.read(cell)
        assert caught.value.__context__ is None


def test_what_tink_writes_deterministically_is_read() -> None:
    handle = tink.new_keyset_handle(daead.deterministic_aead_key_templates.AES256_SIV)
    cell = handle.primitive(daead.DeterministicAead).encrypt_deterministically(b"value", b"")
    assert TinkReader(exported(handle)).read(cell) == b"value"


def test_every_key_of_the_keyset_reads_and_a_disabled_one_refuses() -> None:
    keyset = Keyset.generate("AES256_GCM")
    cell = keyset.aead().encrypt(b"value", b"")
    rotated = keyset.add("XAES_256_GCM")
    rotated = rotated.promote(rotated.info()[-1].id)
    assert TinkReader(rotated).read(cell) == b"value"
    assert TinkReader(keyset_to_json(rotated)).read(rotated.aead().encrypt(b"new", b"")) == b"new"
    with pytest.raises(DecryptionError):
        TinkReader(rotated.disable(keyset.primary_id)).read(cell)
    assert TinkReader(rotated.disable(keyset.primary_id).destroy(keyset.primary_id)).read(cell) is None


def test_what_names_none_of_its_keys_is_another_readers() -> None:
    reader = TinkReader(Keyset.generate("AES256_GCM"))
    other = Keyset.generate("AES256_GCM").aead().encrypt(b"value", b"")
    for data in (other, b"", b"\x01", "", "text", "ä", base64.b64encode(other).decode(), b"\x01abcd" * 9):
        assert reader.read(data) is None


def test_what_is_no_keyset_for_encryption_is_refused() -> None:
    for keys in (Keyset.generate("HMAC_SHA256_PRF"), "hunter2", "{}"):
        with pytest.raises(ConfigurationError) as caught:
            TinkReader(keys)
        assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="bytes"):
        TinkReader(Keyset.generate(), associated_data="text")  # type: ignore[arg-type]
