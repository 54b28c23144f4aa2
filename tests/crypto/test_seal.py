"""`FieldSealer`: auth's Sealer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.auth.ports import Sealer
from portalsec.crypto import EncryptedField, FieldSealer, Keyset
from portalsec.errors import ConfigurationError, DecryptionError

KEYS = Keyset.generate("AES256_GCM")
PLACE = {"table": "totp", "column": "secret", "row": "device-1"}


@given(
    st.binary(max_size=64), st.text("abc", min_size=1), st.text("abc", min_size=1), st.text("abc", min_size=1)
)
def test_it_opens_what_it_sealed(plaintext, table, column, row):
    sealer: Sealer = FieldSealer(KEYS)
    sealed = sealer.seal(plaintext, table=table, column=column, row=row)
    assert sealer.open(sealed, table=table, column=column, row=row) == plaintext
    assert (
        EncryptedField[bytes](KEYS, table=table, column=column, type=bytes).decrypt(sealed, row=row)
        == plaintext
    )


def test_elsewhere_it_does_not_open():
    sealer = FieldSealer(KEYS)
    sealed = sealer.seal(b"seed", **PLACE)
    for name in PLACE:
        with pytest.raises(DecryptionError) as refused:
            sealer.open(sealed, **(PLACE | {name: "another"}))
        assert refused.value.reason == "not_authentic"
    for junk in (b"", sealed[:-1], sealed + b"x", None, "text"):
        with pytest.raises(DecryptionError):
            sealer.open(junk, **PLACE)
    with pytest.raises(DecryptionError):
        FieldSealer(Keyset.generate("AES256_GCM")).open(sealed, **PLACE)


def test_it_takes_bytes_and_a_whole_place():
    sealer = FieldSealer(KEYS)
    with pytest.raises(TypeError, match="bytes, not str"):
        sealer.seal("seed", **PLACE)
    with pytest.raises(TypeError, match="pass row="):
        sealer.seal(b"seed", **(PLACE | {"row": None}))
    with pytest.raises(ValueError, match="not empty"):
        sealer.seal(b"seed", **(PLACE | {"row": ""}))
    with pytest.raises(ConfigurationError):
        sealer.seal(b"seed", **(PLACE | {"table": ""}))
    with pytest.raises(ConfigurationError):
        FieldSealer(Keyset.generate("HMAC_SHA256_PRF"))


def test_a_ready_cipher_can_be_shared():
    cipher = KEYS.aead()
    sealed = FieldSealer(cipher).seal(b"seed", **PLACE)
    assert FieldSealer(KEYS).open(sealed, **PLACE) == b"seed"
