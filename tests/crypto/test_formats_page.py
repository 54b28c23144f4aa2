"""docs/reference/crypto-formats.md: its vectors and its code are what the library does, and what tink does."""

from __future__ import annotations

import base64
import json
import re
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from tink import aead, daead, json_proto_keyset_format, proto_keyset_format, secret_key_access

from portalsec.crypto import JSON, EncryptedField, KeyedHash, Keyset
from portalsec.crypto._keys import MATERIALS, TEMPLATES
from portalsec.crypto.codec import codec_for
from portalsec.crypto.context import associated_data
from portalsec.crypto.envelope import KmsEnvelopeAead
from portalsec.crypto.insecure import keyset_to_bytes, keyset_to_json
from tests.crypto.keysets import tink_reads
from tests.crypto.support import tink_aead, tink_handle, tink_prf
from tests.crypto.test_codec import same
from tests.crypto.test_context import places
from tests.support import ROOT

PAGE = (ROOT / "docs" / "reference" / "crypto-formats.md").read_text("utf-8")
KINDS = {
    "str": str,
    "bytes": bytes,
    "bool": bool,
    "int": int,
    "Decimal": Decimal,
    "date": date,
    "datetime": datetime,
    "UUID": UUID,
    "JSON": JSON,
}


def vectors(first: str) -> list[dict]:
    """The lines of the page that are JSON objects beginning with this name."""
    return [json.loads(line) for line in PAGE.splitlines() if line.startswith(f'{{"{first}":')]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)


def written() -> dict:
    """The page's own Python, which imports nothing of portalsec."""
    (code,) = blocks("python")
    names: dict = {"UUID": UUID}
    exec(code, names)
    return names


def row_of(spelled):
    if spelled is None:
        return None
    ((kind, value),) = spelled.items()
    if kind == "tuple":
        return tuple(map(row_of, value))
    return {"int": int, "str": str, "uuid": UUID}[kind](value)


def test_the_vectors_of_psc1():
    assert len(vectors("table")) == 10
    for vector in vectors("table"):
        row, kind = row_of(vector["row"]), vector["type"]
        expected = bytes.fromhex(vector["aad"])
        place = {"table": vector["table"], "column": vector["column"], "tenant": vector["tenant"]}
        assert associated_data(**place, type_byte=kind.encode(), row=row) == expected
        assert written()["psc1"](place["table"], place["column"], kind, place["tenant"], row) == expected


PSC1 = written()["psc1"]


@given(places)
def test_the_page_s_code_is_the_library_s_encoding(place):
    theirs = PSC1(place["table"], place["column"], place["type_byte"].decode(), place["tenant"], place["row"])
    assert theirs == associated_data(**place)


def test_the_table_of_types_is_complete():
    rows = re.findall(r"^\| `(\w+)` \| `(.)` \|", PAGE, re.M)
    assert dict(rows) == {name: codec_for(kind).tag.decode() for name, kind in KINDS.items()}


@pytest.mark.parametrize("vector", vectors("type"), ids=lambda vector: f"{vector['type']} {vector['value']}")
def test_the_cells_open_with_the_library_and_with_tink(vector):
    keys = Keyset.from_json(blocks("json")[0])
    codec = codec_for(KINDS[vector["type"]])
    cell = bytes.fromhex(vector["cell"])
    context = PSC1("patients", "sample", codec.tag.decode(), None, 42)
    assert tink_aead(blocks("json")[0]).decrypt(cell, context) == bytes.fromhex(vector["plaintext"])
    value = EncryptedField(keys, table="patients", column="sample", type=codec).decrypt(cell, row=42)
    assert codec.encode(value).hex() == vector["plaintext"]
    if vector["type"] == "JSON":
        assert same(value, json.loads(vector["value"]))
    elif vector["type"] == "datetime":
        assert repr(value) == vector["value"]
    else:
        assert repr(value) == vector["value"]


def test_every_type_has_a_vector():
    assert {vector["type"] for vector in vectors("type")} == set(KINDS)


@pytest.mark.parametrize("vector", vectors("stored"), ids=lambda vector: vector["stored"][:16])
def test_the_cells_of_every_kind_of_key_open(vector):
    """Also padded and as text; the real tink opens them with what the page says, and nothing of ours."""
    keys = json.dumps(vector["keyset"])
    text, padding = vector["form"] == "base64url", 32 if vector["type"].startswith("p") else None
    stored = vector["stored"] if text else bytes.fromhex(vector["stored"])
    field = EncryptedField(Keyset.from_json(keys), table="patients", column="sample", text=text, pad=padding)
    assert field.decrypt(stored, row=42) == vector["value"]
    cell = base64.urlsafe_b64decode(stored + "=" * (-len(stored) % 4)) if text else stored
    plaintext = tink_aead(keys).decrypt(cell, PSC1("patients", "sample", vector["type"], None, 42))
    assert plaintext.hex() == vector["plaintext"]
    if padding:
        marked = plaintext.rstrip(b"\x00")
        assert marked[-1:] == b"\x80"
        plaintext = marked[:-1]
    assert plaintext == vector["value"].encode()


def test_every_kind_of_key_and_prefix_has_a_cell():
    entries = [vector["keyset"]["key"][0] for vector in vectors("stored")]
    seen = {(each["keyData"]["typeUrl"].rpartition(".")[2], each["outputPrefixType"]) for each in entries}
    assert {kind for kind, _ in seen} == {
        url.rpartition(".")[2] for url, material in MATERIALS.items() if material.primitive == "aead"
    }
    assert {prefix for _, prefix in seen} == {"TINK", "RAW", "CRUNCHY", "LEGACY"}
    assert {vector["form"] for vector in vectors("stored")} == {"bytes", "base64url"}


def test_the_hashes():
    text = blocks("json")[1]
    mac, theirs = KeyedHash(Keyset.from_json(text)), tink_prf(text)
    assert len(vectors("purpose")) == 5
    for vector in vectors("purpose"):
        purpose, data = vector["purpose"], bytes.fromhex(vector["data"])
        assert mac(purpose, data).hex() == vector["hash"]
        size = len(purpose.encode()).to_bytes(4, "big")
        assert theirs.compute(b"psh1" + size + purpose.encode() + data, 32).hex() == vector["hash"]


def test_the_keysets_on_the_page_are_in_the_canonical_form():
    for text in blocks("json"):
        assert keyset_to_json(Keyset.from_json(text)) == text


def test_the_keysets_in_both_forms():
    assert len(vectors("keyset")) == 9
    for vector in vectors("keyset"):
        text, data = json.dumps(vector["keyset"]), bytes.fromhex(vector["binary"])
        for keys in (Keyset.from_json(text), Keyset.from_bytes(data)):
            assert json.loads(keyset_to_json(keys)) == vector["keyset"]
            assert keyset_to_bytes(keys) == data
        theirs = tink_handle(text)
        assert proto_keyset_format.serialize(theirs, secret_key_access.TOKEN) == data
        assert tink_reads(data) is not None


def test_the_table_of_kinds_is_complete():
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|.*\| (.*?) \| .*? \|$", PAGE, re.M)
    kinds = {name: (templates, prefixes) for name, templates, prefixes in rows if name.endswith("Key")}
    assert set(kinds) == {url.rpartition(".")[2] for url in MATERIALS}
    for url, material in MATERIALS.items():
        templates, prefixes = kinds[url.rpartition(".")[2]]
        made = [name for name, (make, _) in TEMPLATES.items() if type(make()) is material]
        assert sorted(re.findall("`(.*?)`", templates)) == sorted(made)
        shown = (
            {"TINK", "RAW", "CRUNCHY", "LEGACY"}
            if prefixes == "all four"
            else set(re.findall("`(.*?)`", prefixes))
        )
        assert shown == material.prefixes


def by_type(kind: str, key_id: int) -> Keyset:
    """The keyset of the page's list with this key."""
    (found,) = (
        vector["keyset"]
        for vector in vectors("keyset")
        if vector["keyset"]["primaryKeyId"] == key_id and kind in json.dumps(vector)
    )
    return Keyset.from_json(json.dumps(found))


def test_the_encrypted_keysets_open():
    kek = by_type("AesGcmKey", 320083222)
    theirs = tink_aead(kek)
    assert len(vectors("encrypted")) == 2
    for vector in vectors("encrypted"):
        text, place = json.dumps(vector["encrypted"]), bytes.fromhex(vector["associated_data"])
        data, inside = bytes.fromhex(vector["binary"]), bytes.fromhex(vector["opens_to"])
        assert keyset_to_bytes(Keyset.from_encrypted_json(text, kek.aead(), place)) == inside
        assert keyset_to_bytes(Keyset.from_encrypted_bytes(data, kek.aead(), place)) == inside
        for handle in (
            json_proto_keyset_format.parse_encrypted(text, theirs, place),
            proto_keyset_format.parse_encrypted(data, theirs, place),
        ):
            assert proto_keyset_format.serialize(handle, secret_key_access.TOKEN) == inside
        written = json.loads(Keyset.from_bytes(inside).to_encrypted_json(kek.aead(), place))
        assert written["keysetInfo"] == vector["encrypted"]["keysetInfo"]


def test_the_deterministic_ciphertexts():
    keys = by_type("AesSivKey", 623257384)
    theirs = tink_handle(keys).primitive(daead.DeterministicAead)
    assert len(vectors("deterministic")) == 4
    for vector in vectors("deterministic"):
        plaintext, place = bytes.fromhex(vector["plaintext"]), bytes.fromhex(vector["associated_data"])
        for cipher in (keys.deterministic_aead(), theirs):
            assert cipher.encrypt_deterministically(plaintext, place).hex() == vector["deterministic"]
            assert (
                cipher.decrypt_deterministically(bytes.fromhex(vector["deterministic"]), place) == plaintext
            )


def test_the_envelopes_open():
    kek = by_type("AesGcmKey", 320083222)
    templates = {
        name: getattr(aead.aead_key_templates, name)
        for name in ("AES256_GCM", "AES128_GCM", "AES256_GCM_SIV")
    }
    assert {vector["dek"] for vector in vectors("envelope")} == set(templates)
    for vector in vectors("envelope"):
        sealed, place = bytes.fromhex(vector["envelope"]), bytes.fromhex(vector["associated_data"])
        theirs = aead.KmsEnvelopeAead(templates[vector["dek"]], tink_aead(kek))
        for cipher in (KmsEnvelopeAead(kek.aead(), vector["dek"]), theirs):
            assert cipher.decrypt(sealed, place).hex() == vector["plaintext"]
