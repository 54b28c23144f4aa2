"""docs/reference/crypto-formats.md, `psk1`: its vectors open with the library, and with nothing but tink."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime

import pytest
from tink import aead, proto_keyset_format

from portalsec.crypto import EncryptedField, Keyset
from portalsec.crypto._psk1 import unwrap
from portalsec.crypto.ports import SubjectKey
from tests.crypto.support import tink_aead
from tests.crypto.test_formats_page import PAGE, blocks, vectors

VECTORS = vectors("subject")
(WRAPPING,) = (block for block in blocks("json") if '"primaryKeyId": 16909060' in block)


def text(value: str) -> bytes:
    return len(value.encode()).to_bytes(4, "big") + value.encode()


def test_there_are_vectors():
    assert len(VECTORS) == 4
    assert len({(vector["purpose"], vector["subject"]) for vector in VECTORS}) == 4
    assert '"psk1" || text(purpose) || text(subject) || commitment' in PAGE


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['purpose']} {vector['subject']}")
def test_the_library_opens_it(vector):
    stored = SubjectKey(
        purpose=vector["purpose"],
        subject=vector["subject"],
        key_id=vector["key_id"],
        commitment=bytes.fromhex(vector["commitment"]),
        wrapped=bytes.fromhex(vector["wrapped"]),
        created_at=datetime.now(UTC),
    )
    keyset = unwrap(stored, vector["purpose"], vector["subject"], Keyset.from_json(WRAPPING).aead())
    field = EncryptedField[str](keyset.aead(), table="notes", column="text")
    assert field.decrypt(bytes.fromhex(vector["cell"]), row=7) == "Ada"


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['purpose']} {vector['subject']}")
def test_tink_opens_it_by_what_the_page_says(vector):
    aead.register()
    whose = text(vector["purpose"]) + text(vector["subject"])
    commitment = bytes.fromhex(vector["commitment"])
    number = vector["key_id"].to_bytes(4, "big")
    said = b"portalsec commit" + b"psk1" + number + whose
    assert hmac.new(bytes.fromhex(vector["key"]), said, hashlib.sha256).digest() == commitment
    handle = proto_keyset_format.parse_encrypted(
        bytes.fromhex(vector["wrapped"]), tink_aead(WRAPPING), b"psk1" + whose + commitment
    )
    place = b"psc1" + text("notes") + text("text") + b"s" + b"\x00" + b"i7"
    assert handle.primitive(aead.Aead).decrypt(bytes.fromhex(vector["cell"]), place) == b"Ada"
