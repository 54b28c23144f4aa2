"""`Keyset`: changes, refusals, and what it shows."""

from __future__ import annotations

import json

import pytest
import tink
from hypothesis import given, settings
from hypothesis import strategies as st
from tink import aead, prf, proto_keyset_format, secret_key_access

from portalsec.crypto import KeyInfo, Keyset
from portalsec.crypto._keys import HkdfPrfKey, Key
from portalsec.crypto.insecure import keyset_to_bytes, keyset_to_json
from portalsec.errors import ConfigurationError, DecryptionError
from portalsec.secret import Secret
from tests.crypto.keysets import PRIMITIVES, keysets, of_tink
from tests.crypto.support import gcm_key, keyset, prf_key, tink_aead
from tests.support import shared

TEMPLATES = [
    ("XAES_256_GCM", "TINK", "aead"),
    ("AES256_GCM", "TINK", "aead"),
    ("AES128_GCM", "TINK", "aead"),
    ("AES256_GCM_SIV", "TINK", "aead"),
    ("AES256_SIV", "TINK", "daead"),
    ("HMAC_SHA256_PRF", "RAW", "prf"),
    ("HKDF_SHA256_PRF", "RAW", "prf"),
]


@pytest.mark.parametrize(("template", "prefix", "primitive"), TEMPLATES)
def test_generate_makes_one_enabled_primary(template, prefix, primitive):
    made = Keyset.generate(template)
    assert made.info() == (
        KeyInfo(id=made.primary_id, type=template, status="ENABLED", prefix=prefix, primary=True),
    )
    assert made.primitive == primitive
    assert 0 < made.primary_id < 2**32
    assert keyset_to_json(made) != keyset_to_json(Keyset.generate(template))


def test_the_default_is_xaes():
    assert Keyset.generate().info()[0].type == "XAES_256_GCM"
    assert Keyset.generate("XAES_256_GCM_192_BIT_NONCE").info()[0].type == "XAES_256_GCM"
    assert Keyset.generate("AES256_GCM").add("XAES_256_GCM_192_BIT_NONCE").info()[1].type == "XAES_256_GCM"


@pytest.mark.parametrize(("template", "_", "primitive"), TEMPLATES)
def test_tink_uses_what_is_generated(template, _, primitive):
    theirs = of_tink(Keyset.generate(template)).primitive(PRIMITIVES[primitive])
    if primitive == "aead":
        assert theirs.encrypt(b"", b"")
    elif primitive == "daead":
        assert theirs.encrypt_deterministically(b"", b"")
    else:
        assert len(theirs.primary().compute(b"", 32)) == 32


@settings(max_examples=200)
@given(
    keysets("aead"), st.binary(max_size=200), st.binary(max_size=60), st.sampled_from(["session", "message"])
)
def test_any_keys_encrypt_for_tink_and_open_what_it_encrypts(keys, plaintext, place, nonce):
    """Every kind of key, prefix and state; under the primary and, once promoted, under every other key."""
    reader, theirs = keys.aead(), of_tink(keys).primitive(aead.Aead)
    assert reader.decrypt(theirs.encrypt(plaintext, place), place) == plaintext
    for key in keys.info():
        if key.status == "ENABLED":
            written = keys.promote(key.id).aead(nonce=nonce).encrypt(plaintext, place)
            assert theirs.decrypt(written, place) == plaintext
            assert reader.decrypt(written, place) == plaintext


@given(keysets("prf"), st.binary(max_size=200), st.integers(1, 64))
def test_any_keys_hash_as_tink_hashes(keys, data, length):
    ours, theirs = keys.prf(), of_tink(keys).primitive(prf.PrfSet)
    assert ours.primary_id == theirs.primary_id()
    for key_id, function in theirs.all().items():
        try:
            expected = function.compute(data, length)
        except tink.TinkError:
            with pytest.raises(ValueError):
                ours.compute(data, length, key_id=key_id)
        else:
            assert ours.compute(data, length, key_id=key_id) == expected


@pytest.mark.parametrize("template", ["AES192_GCM", "aes256_gcm", "", "XAES"])
def test_an_unknown_template_is_refused_with_the_known_ones(template):
    with pytest.raises(ConfigurationError, match="XAES_256_GCM, AES256_GCM"):
        Keyset.generate(template)
    with pytest.raises(ConfigurationError, match="XAES_256_GCM, AES256_GCM"):
        Keyset.generate("AES256_GCM").add(template)


def test_a_rotation_reads_the_old_and_writes_the_new():
    first = Keyset.generate("AES256_GCM")
    old = first.aead().encrypt(b"value", b"place")
    both = first.add("AES256_GCM")
    new_id = both.info()[-1].id
    assert both.primary_id == first.primary_id  # a new key reads first and writes only once promoted
    assert both.aead().encrypt(b"", b"")[1:5] == first.primary_id.to_bytes(4, "big")

    turned = both.promote(new_id)
    new = turned.aead().encrypt(b"value", b"place")
    assert new[:5] == b"\x01" + new_id.to_bytes(4, "big")
    assert both.aead().decrypt(new, b"place") == b"value"
    assert turned.aead().decrypt(old, b"place") == b"value"

    disabled = turned.disable(first.primary_id)
    with pytest.raises(DecryptionError) as refused:
        disabled.aead().decrypt(old, b"place")
    assert refused.value.reason == "unknown_key"
    assert disabled.enable(first.primary_id).aead().decrypt(old, b"place") == b"value"

    gone = disabled.destroy(first.primary_id)
    assert gone.info()[0] == KeyInfo(
        id=first.primary_id, type=None, status="DESTROYED", prefix="TINK", primary=False
    )
    with pytest.raises(DecryptionError):
        gone.aead().decrypt(old, b"place")
    with pytest.raises(ConfigurationError, match="final"):
        gone.enable(first.primary_id)
    with pytest.raises(ConfigurationError, match="final"):
        gone.disable(first.primary_id)
    with pytest.raises(ConfigurationError, match="not enabled"):
        gone.promote(first.primary_id)
    assert gone.destroy(first.primary_id).info() == gone.info()
    again = Keyset.from_json(keyset_to_json(gone))
    assert again.info() == gone.info()
    assert tink_aead(gone).decrypt(new, b"place") == b"value"


def test_hkdf_under_the_vectors_of_wycheproof(monkeypatch):
    monkeypatch.setattr(
        "portalsec.crypto._keys._check_least", lambda *_: None
    )  # short keys, which no keyset has
    document = json.loads(
        shared("vectors", "crypto", "wycheproof", "hkdf_sha256_test.json").read_text("utf-8")
    )
    seen = 0
    for test in (test for group in document["testGroups"] for test in group["tests"]):
        key, salt, data = (bytes.fromhex(test[name]) for name in ("ikm", "salt", "info"))
        material = HkdfPrfKey(Secret(key), "SHA256", salt)
        function = Keyset([Key(id=1, status="ENABLED", prefix="RAW", material=material)], 1).prf()
        if test["result"] == "valid":
            assert function.compute(data, test["size"]).hex() == test["okm"], test["tcId"]
        else:
            with pytest.raises(ValueError, match="gives 1 to 8160 bytes"):
                function.compute(data, test["size"])
        seen += 1
    assert seen == document["numberOfTests"] > 80


def test_changes_leave_the_keyset_as_it_was():
    first = Keyset.generate("AES256_GCM").add("AES256_GCM")
    other = first.info()[-1].id
    before = keyset_to_json(first)
    for change in (first.promote, first.disable, first.destroy, first.enable):
        change(other)
    first.add("XAES_256_GCM")
    assert keyset_to_json(first) == before
    for name in ("_keys", "_primary_id", "primary_id", "other"):
        with pytest.raises(AttributeError, match="immutable"):
            setattr(first, name, 1)
    with pytest.raises(AttributeError):
        del first._keys


def test_the_primary_stays_enabled():
    one = Keyset.generate("AES256_GCM")
    for change in (one.disable, one.destroy):
        with pytest.raises(ConfigurationError, match="promote another key first"):
            change(one.primary_id)
    disabled = one.add("AES256_GCM")
    disabled = disabled.disable(disabled.info()[-1].id)
    with pytest.raises(ConfigurationError, match="enable it before"):
        disabled.promote(disabled.info()[-1].id)


@pytest.mark.parametrize("change", ["promote", "disable", "enable", "destroy"])
def test_an_unknown_id_is_named(change):
    with pytest.raises(ConfigurationError, match="has no key 7: it has 42"):
        getattr(keyset(gcm_key()), change)(7)


def test_one_keyset_has_keys_of_one_purpose():
    with pytest.raises(ConfigurationError, match="mixes keys of several purposes"):
        keyset(gcm_key(), prf_key(7))
    with pytest.raises(ConfigurationError, match="make a keyset of its own"):
        Keyset.generate("AES256_GCM").add("HMAC_SHA256_PRF")
    with pytest.raises(ConfigurationError, match="encryption was given a keyset of HMAC_SHA256_PRF keys"):
        Keyset.generate("HMAC_SHA256_PRF").aead()
    with pytest.raises(ConfigurationError, match="a keyed hash was given a keyset of AES256_SIV keys"):
        Keyset.generate("AES256_SIV").prf()


def test_a_new_id_is_never_one_in_use(monkeypatch):
    drawn = iter([41, 41, 6])
    monkeypatch.setattr("portalsec.crypto.keyset.secrets.randbelow", lambda bound: next(drawn))
    made = Keyset.generate("AES256_GCM")
    assert [key.id for key in made.add("AES256_GCM").info()] == [42, 7]


@settings(max_examples=60)
@given(st.data())
def test_any_walk_of_changes_ends_in_a_keyset_that_tink_reads(data):
    templates = st.sampled_from(["XAES_256_GCM", "AES256_GCM", "AES128_GCM", "AES256_GCM_SIV"])
    now = Keyset.generate(data.draw(templates))
    for _ in range(data.draw(st.integers(0, 8))):
        target = data.draw(st.sampled_from([key.id for key in now.info()]))
        change = data.draw(st.sampled_from(["add", "promote", "disable", "enable", "destroy"]))
        try:
            now = now.add(data.draw(templates)) if change == "add" else getattr(now, change)(target)
        except ConfigurationError:
            continue
    assert [key.primary for key in now.info()].count(True) == 1
    for again in (Keyset.from_json(keyset_to_json(now)), Keyset.from_bytes(keyset_to_bytes(now))):
        assert again.info() == now.info()
    assert proto_keyset_format.serialize(of_tink(now), secret_key_access.TOKEN) == keyset_to_bytes(now)
    assert tink_aead(now).decrypt(now.aead().encrypt(b"m", b"a"), b"a") == b"m"
