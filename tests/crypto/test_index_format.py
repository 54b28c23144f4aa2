"""The section on psi1 of docs/reference/crypto-formats.md: its vectors are what the library does, and what tink does."""

from __future__ import annotations

import json
import re
from datetime import date

import pytest
from argon2 import low_level

from portalsec.crypto import BlindIndex, Keyset
from portalsec.crypto import normalise as n
from portalsec.crypto.stretch import Argon2Cost
from tests.crypto.support import tink_prf
from tests.support import ROOT

PAGE = (ROOT / "docs" / "reference" / "crypto-formats.md").read_text("utf-8")
HASHES = PAGE[PAGE.index("## Keyed hashes") :]
SECTION = PAGE[PAGE.index("## Tags of blind indexes") :]
KEYSET = re.search(r"^```json\n(.*?)^```$", HASHES, re.M | re.S)[1]
VECTORS = [json.loads(line) for line in SECTION.splitlines() if line.startswith('{"index":')]
NORMALISERS = [
    n.exact,
    n.digits,
    n.phone(41),
    n.email,
    n.name,
    n.year,
    n.prefix(n.name, 3),
    n.bucket([18, 65]),
]
BY_ID = {normaliser.id: normaliser for normaliser in [*NORMALISERS, n.parts(n.name, n.year)]}
SLOW = "argon2id/1(19456,2,1,digits/1)"


def sized(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def value_of(spelled):
    if isinstance(spelled, list):
        return tuple(map(value_of, spelled))
    if isinstance(spelled, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", spelled):
        return date.fromisoformat(spelled)
    return spelled


def place(vector, magic=b"psi1"):
    tenant = vector["tenant"]
    whose = b"\x00" if tenant is None else b"\x01" + sized(tenant.encode())
    return (
        magic
        + b"".join(sized(vector[name].encode()) for name in ("table", "column"))
        + whose
        + sized(vector["index"].encode())
    )


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['index']} {vector['bits']}")
def test_a_tag_is_what_tink_computes_and_what_the_index_stores(vector):
    theirs, normalised = tink_prf(KEYSET), bytes.fromhex(vector["normalised"])
    slow = vector["index"] == SLOW
    normaliser = n.digits if slow else BY_ID[vector["index"]]
    index = BlindIndex(
        Keyset.from_json(KEYSET),
        table=vector["table"],
        column=vector["column"],
        bits=vector["bits"],
        normalise=normaliser,
        tenanted=vector["tenant"] is not None,
        slow=Argon2Cost.OWASP_2025 if slow else None,
    )
    value = value_of(vector["value"])
    assert normaliser(value) == normalised
    assert index.tag(value, vector["tenant"]).hex() == vector["tag"]
    if slow:
        salt = theirs.compute(place(vector, b"psa1"), 16)
        assert salt.hex() == vector["salt"]
        normalised = low_level.hash_secret_raw(normalised, salt, 2, 19456, 1, 32, low_level.Type.ID)
        assert normalised.hex() == vector["argon2id"]
    digest = int.from_bytes(theirs.compute(place(vector) + normalised, 32), "big")
    size = -(-vector["bits"] // 8)
    cut = digest >> (256 - vector["bits"]) << (8 * size - vector["bits"])
    assert cut.to_bytes(size, "big").hex() == vector["tag"]


def test_every_normaliser_has_a_line_and_a_vector():
    listed = set(re.findall(r"^\| `(\w+/\d+)", SECTION, re.M))
    assert listed == {one.partition("(")[0] for one in [*BY_ID, SLOW]}
    assert {vector["index"] for vector in VECTORS} == {*BY_ID, SLOW}
