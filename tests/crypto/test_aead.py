"""Encryption under a keyset: beside the real tink, under published vectors, under attack."""

from __future__ import annotations

import json
import threading

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from portalsec.crypto import Keyset
from portalsec.errors import DecryptionError
from tests.crypto.support import KEY, gcm_key, keyset, siv_key, tink_aead, xaes_key
from tests.support import shared

OTHER = bytes(range(32))


def refused(cipher, ciphertext, associated_data=b"place"):
    """The reason; anything but a `DecryptionError` fails the test."""
    with pytest.raises(DecryptionError) as error:
        cipher.decrypt(ciphertext, associated_data)
    assert str(error.value) == "Decryption failed."
    assert error.value.__context__ is None
    return error.value.reason


# -- beside tink ------------------------------------------------------------------------------------------------

SETS = {
    "one": keyset(gcm_key()),
    "AES-128": keyset(gcm_key(value=KEY[:16])),
    "RAW": keyset(gcm_key(prefix="RAW")),
    "RAW AES-128": keyset(gcm_key(value=KEY[:16], prefix="RAW")),
    "CRUNCHY": keyset(gcm_key(prefix="CRUNCHY")),
    "LEGACY": keyset(gcm_key(prefix="LEGACY")),
    "SIV": keyset(siv_key()),
    "SIV RAW AES-128": keyset(siv_key(value=KEY[:16], prefix="RAW")),
    "XAES": keyset(xaes_key()),
    "XAES RAW": keyset(xaes_key(salt_size=8, prefix="RAW")),
    "all kinds": keyset(
        xaes_key(),
        siv_key(7, OTHER, prefix="CRUNCHY"),
        gcm_key(8, OTHER, prefix="LEGACY"),
        xaes_key(9, KEY[::-1], prefix="RAW"),
    ),
    "three": keyset(gcm_key(7, OTHER), gcm_key(), gcm_key(2**32 - 1, KEY[:16], prefix="RAW")),
}


@pytest.mark.parametrize("name", SETS)
@given(message=st.binary(max_size=200), place=st.binary(max_size=100))
def test_tink_reads_what_we_write_and_we_what_tink_writes(name, message, place):
    ours, theirs = SETS[name].aead(), tink_aead(SETS[name])
    assert theirs.decrypt(ours.encrypt(message, place), place) == message
    assert ours.decrypt(theirs.encrypt(message, place), place) == message


@pytest.mark.parametrize(("prefix", "overhead"), [("TINK", 33), ("RAW", 28)])
def test_the_size_that_a_cell_costs(prefix, overhead):
    cipher = keyset(gcm_key(prefix=prefix)).aead()
    for size in (0, 1, 64, 1000):
        assert len(cipher.encrypt(bytes(size), b"")) == size + overhead


# -- vectors ----------------------------------------------------------------------------------------------------


def test_tink_s_vectors_open():
    opened = 0
    for vector in json.loads(shared("vectors", "crypto", "tink", "aes_gcm.json").read_text())["vectors"]:
        prefix = {"NoPrefix": "RAW", "Tink": "TINK", "Crunchy": "CRUNCHY"}[vector["variant"]]
        key_id = vector["id_requirement"] or 42
        key = gcm_key(key_id, bytes.fromhex(vector["key_hex"]), prefix=prefix)
        cipher = keyset(key, primary=key_id).aead()
        opened += 1
        assert cipher.decrypt(
            bytes.fromhex(vector["ciphertext_hex"]), bytes.fromhex(vector["associated_data_hex"])
        ) == bytes.fromhex(vector["plaintext_hex"])
    assert opened == 6


@pytest.mark.parametrize("prefix", ["RAW", "TINK"])
def test_wycheproof(prefix, monkeypatch):
    groups = json.loads(shared("vectors", "crypto", "wycheproof", "aes_gcm_test.json").read_text())[
        "testGroups"
    ]
    seen = {"valid": 0, "invalid": 0}
    for group in groups:
        if group["ivSize"] != 96 or group["keySize"] == 192:
            continue  # neither can be stored: nonces have 12 bytes, and there is no AES-192
        for test in group["tests"]:
            data = {name: bytes.fromhex(test[name]) for name in ("key", "iv", "aad", "msg", "ct", "tag")}
            cipher = keyset(gcm_key(value=data["key"], prefix=prefix)).aead()
            frame = b"\x01\x00\x00\x00\x2a" if prefix == "TINK" else b""
            stored = frame + data["iv"] + data["ct"] + data["tag"]
            seen[test["result"]] += 1
            if test["result"] == "valid":
                assert cipher.decrypt(stored, data["aad"]) == data["msg"], test["tcId"]
                monkeypatch.setattr("portalsec.crypto.aead.urandom", lambda size, iv=data["iv"]: iv)
                assert cipher.encrypt(data["msg"], data["aad"]) == stored, test["tcId"]
            else:
                assert refused(cipher, stored, data["aad"]) == "not_authentic", test["tcId"]
    assert seen["valid"] > 50 and seen["invalid"] > 30


@pytest.mark.parametrize(
    ("size", "result"),
    [(16, "dc20e2d83f25705bb49e439eca56de25"), (32, "07f5f4169bbf55a8400cd47ea6fd400f")],
)
def test_the_first_vectors_of_rfc_8452(size, result, monkeypatch):
    """AES-GCM-SIV: appendices C.1 and C.2, no plaintext and no associated data."""
    nonce = b"\x03" + bytes(11)
    cipher = keyset(siv_key(value=b"\x01" + bytes(size - 1))).aead()
    stored = b"\x01\x00\x00\x00\x2a" + nonce + bytes.fromhex(result)
    assert cipher.decrypt(stored, b"") == b""
    monkeypatch.setattr("portalsec.crypto.aead.urandom", lambda size: nonce)
    assert cipher.encrypt(b"", b"") == stored


# -- attacks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETS)
def test_every_flipped_bit_is_refused(name):
    cipher = SETS[name].aead()
    sealed = cipher.encrypt(b"O+", b"place")
    for at in range(8 * len(sealed)):
        flipped = bytearray(sealed)
        flipped[at // 8] ^= 1 << at % 8
        refused(cipher, bytes(flipped))


@pytest.mark.parametrize("name", SETS)
def test_every_truncation_and_extension_is_refused(name):
    cipher = SETS[name].aead()
    sealed = cipher.encrypt(b"a value", b"place")
    for size in range(len(sealed)):
        refused(cipher, sealed[:size])
        refused(cipher, sealed[-size:] if size else b"")
    refused(cipher, sealed + b"\x00")
    refused(cipher, b"\x00" + sealed)


def test_re_prefixed_and_wrong_keys_are_refused():
    both = keyset(gcm_key(), gcm_key(7, OTHER))
    sealed = both.aead().encrypt(b"value", b"place")
    assert refused(both.aead(), b"\x01\x00\x00\x00\x07" + sealed[5:]) == "not_authentic"
    assert refused(both.aead(), b"\x01\x00\x00\x00\x08" + sealed[5:]) == "unknown_key"
    assert refused(both.aead(), b"\x00" + sealed[1:]) == "unknown_key"
    assert refused(both.aead(), sealed[5:]) == "unknown_key"
    assert refused(keyset(gcm_key(value=OTHER)).aead(), sealed) == "not_authentic"
    assert refused(keyset(gcm_key(7), primary=7).aead(), sealed) == "unknown_key"
    assert refused(Keyset.generate("AES256_GCM").aead(), sealed) == "unknown_key"


def test_another_place_is_refused():
    cipher = SETS["one"].aead()
    sealed = cipher.encrypt(b"value", b"place")
    for other in (b"", b"plac", b"place ", b"Place"):
        assert refused(cipher, sealed, other) == "not_authentic"


@pytest.mark.parametrize("name", SETS)
@settings(max_examples=200)
@given(junk=st.binary(max_size=80), framed=st.booleans())
def test_any_bytes_are_refused_with_one_error(name, junk, framed):
    refused(SETS[name].aead(), (b"\x01\x00\x00\x00\x2a" if framed else b"") + junk)


@pytest.mark.parametrize("other", [None, "text", 5, 5.0, [], [1, 2], {}, object(), slice(5)])
def test_what_a_column_could_hold_instead_is_refused(other):
    for keys in SETS.values():
        assert refused(keys.aead(), other) == "not_bytes"


def test_the_reasons_name_no_secret():
    cipher = SETS["one"].aead()
    assert refused(cipher, b"\x01\x00\x00\x00\x2a" + bytes(27)) == "too_short"
    assert refused(cipher, b"") == "too_short"
    assert refused(SETS["RAW"].aead(), bytes(27)) == "too_short"
    assert refused(SETS["RAW"].aead(), bytes(28)) == "not_authentic"


# -- keys -------------------------------------------------------------------------------------------------------


def test_there_is_no_trial_decryption(monkeypatch):
    """One look at one key, whatever the number of keys; RAW keys only where the keyset has them."""
    tried = []

    class Counting:
        def __init__(self, key):
            self._cipher, self._key = AESGCM(key), key

        def encrypt(self, *args):
            return self._cipher.encrypt(*args)

        def decrypt(self, *args):
            tried.append(self._key)
            return self._cipher.decrypt(*args)

    monkeypatch.setattr("portalsec.crypto.aead.AESGCM", Counting)
    tinks = [gcm_key(number, bytes([number]) * 32) for number in range(1, 11)]
    cipher = keyset(*tinks, primary=1).aead()
    sealed = cipher.encrypt(b"value", b"")
    assert cipher.decrypt(sealed, b"") == b"value"
    assert tried == [b"\x01" * 32]
    tried.clear()
    refused(cipher, b"\x01\x00\x00\x00\x63" + sealed[5:])
    assert tried == []
    refused(cipher, sealed[:-1] + b"\x00" + sealed[-1:])
    assert tried == [b"\x01" * 32]
    tried.clear()
    with_raw = keyset(*tinks, gcm_key(99, b"\x63" * 32, prefix="RAW"), primary=1).aead()
    assert with_raw.decrypt(sealed, b"") == b"value"
    assert tried == [b"\x01" * 32]
    refused(with_raw, sealed, b"other")
    assert tried == [b"\x01" * 32, b"\x01" * 32, b"\x63" * 32]


def test_a_raw_ciphertext_that_looks_prefixed_still_opens(monkeypatch):
    """Its first five bytes are random: once in 2^40 they are another key's prefix."""
    both = keyset(gcm_key(prefix="RAW"), gcm_key(7, OTHER))
    monkeypatch.setattr(
        "portalsec.crypto.aead.urandom", lambda size: b"\x01\x00\x00\x00\x07" + bytes(size - 5)
    )
    sealed = both.aead().encrypt(b"value", b"place")
    assert sealed[:5] == b"\x01\x00\x00\x00\x07"
    assert both.aead().decrypt(sealed, b"place") == b"value"
    assert tink_aead(both).decrypt(sealed, b"place") == b"value"


def test_nonces_are_fresh():
    cipher = SETS["one"].aead()
    assert len({cipher.encrypt(b"same", b"")[5:17] for _ in range(2000)}) == 2000


@pytest.mark.parametrize("buffer", [bytearray, memoryview])
def test_buffers_of_drivers_are_read(buffer):
    for keys in SETS.values():
        cipher = keys.aead()
        sealed = cipher.encrypt(b"value", b"place")
        opened = cipher.decrypt(buffer(sealed), b"place")
        assert opened == b"value" and type(opened) is bytes
        refused(cipher, buffer(sealed[:-1]))


@pytest.mark.parametrize("place", [None, "place", 5])
def test_associated_data_that_are_no_bytes_are_the_caller_s_mistake(place):
    cipher = SETS["one"].aead()
    with pytest.raises(TypeError):
        cipher.encrypt(b"value", place)
    with pytest.raises(TypeError, match="associated data are bytes"):
        cipher.decrypt(cipher.encrypt(b"value", b""), place)


def test_one_cipher_serves_many_threads():
    cipher = SETS["three"].aead()
    wrong = []

    def work(number):
        for turn in range(300):
            message = b"%d %d" % (number, turn)
            if cipher.decrypt(cipher.encrypt(message, message), message) != message:
                wrong.append(message)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
