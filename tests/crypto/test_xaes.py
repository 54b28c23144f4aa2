"""XAES-256-GCM: C2SP's vectors, the real tink both ways, and salts that are never shared."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections import Counter

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from portalsec.crypto import Keyset
from portalsec.crypto._xaes import Subkeys, XAes, XAesReader
from portalsec.errors import ConfigurationError
from portalsec.secret import Secret
from tests.crypto.support import KEY, gcm_key, keyset, tink_aead, xaes_key
from tests.crypto.test_aead import refused
from tests.support import shared

SIZES = range(8, 13)


def vectors():
    return json.loads(shared("vectors", "crypto", "c2sp_xaes_256_gcm.json").read_text())


def seal(key: bytes, nonce: bytes, plaintext: bytes, place: bytes) -> bytes:
    """C2SP's function, made of our private parts."""
    start, encrypt, _ = XAes(Secret(key), 12).session(b"", nonce[:12], 1)
    assert start == nonce[:12]
    return encrypt(nonce[12:], plaintext, place)


def test_the_vectors_of_c2sp():
    for vector in vectors()["vectors"]:
        key, nonce = bytes.fromhex(vector["key_hex"]), vector["nonce_ascii"].encode()
        xaes = XAes(Secret(key), 12)
        assert (xaes._whitening >> 128).to_bytes(16, "big").hex() == vector["K1"]
        assert xaes.subkey(nonce[:12]).reveal().hex() == vector["Kx"]
        plaintext, place = vector["plaintext"].encode(), vector["aad"].encode()
        sealed = seal(key, nonce, plaintext, place)
        assert sealed.hex() == vector["ciphertext_hex"]
        cipher = keyset(xaes_key(value=key, prefix="RAW")).aead()
        assert cipher.decrypt(nonce + sealed, place) == plaintext


def test_the_accumulated_vectors_of_c2sp():
    """10,000 random keys, nonces, messages and associated data."""
    source = hashlib.shake_128(b"").digest(10_000 * (32 + 24 + 2 + 512))
    at, hashed = 0, hashlib.shake_128()

    def take(size):
        nonlocal at
        at += size
        return source[at - size : at]

    for _ in range(10_000):
        key, nonce = take(32), take(24)
        plaintext, place = take(take(1)[0]), take(take(1)[0])
        hashed.update(seal(key, nonce, plaintext, place))
    assert hashed.hexdigest(32) == vectors()["accumulated"]["10000"]


@pytest.mark.parametrize("prefix", ["TINK", "RAW"])
@pytest.mark.parametrize("size", SIZES)
@settings(max_examples=25)
@given(message=st.binary(max_size=200), place=st.binary(max_size=100))
def test_tink_reads_what_we_write_and_we_what_tink_writes(size, prefix, message, place):
    keys = keyset(xaes_key(salt_size=size, prefix=prefix))
    ours, theirs = keys.aead(), tink_aead(keys)
    sealed = ours.encrypt(message, place)
    assert theirs.decrypt(sealed, place) == message
    assert ours.decrypt(theirs.encrypt(message, place), place) == message
    assert len(sealed) == len(message) + (5 if prefix == "TINK" else 0) + size + 28


def test_the_size_that_a_cell_costs():
    assert len(Keyset.generate("XAES_256_GCM").aead().encrypt(b"", b"")) == 45


# -- sessions ---------------------------------------------------------------------------------------------------


def salts(cells):
    return {cell[5:17] for cell in cells}


def test_one_salt_serves_many_messages_and_each_has_a_nonce_of_its_own():
    cipher = keyset(xaes_key()).aead()
    cells = [cipher.encrypt(b"", b"") for _ in range(2000)]
    assert len(salts(cells)) == 1
    assert len({cell[17:29] for cell in cells}) == 2000


def test_all_who_ask_a_keyset_share_one_salt():
    keys = keyset(xaes_key())
    assert keys.aead() is keys.aead() and keys.aead() is not keys.aead(nonce="message")
    assert len(salts([keys.aead().encrypt(b"", b"") for _ in range(9)])) == 1
    assert len(salts([keyset(xaes_key()).aead().encrypt(b"", b"") for _ in range(9)])) == 9


def test_message_draws_all_24_bytes_for_each_message():
    cipher = keyset(xaes_key()).aead(nonce="message")
    cells = [cipher.encrypt(b"value", b"place") for _ in range(300)]
    assert len(salts(cells)) == 300 and len({cell[17:29] for cell in cells}) == 300
    assert {tink_aead(keyset(xaes_key())).decrypt(cell, b"place") for cell in cells} == {b"value"}
    with pytest.raises(ConfigurationError, match='choose "session" or "message"'):
        keyset(xaes_key()).aead(nonce="counter")


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_a_session_ends_at_its_limit(monkeypatch, limit):
    monkeypatch.setattr("portalsec.crypto.aead._SESSION", limit)
    cipher = keyset(xaes_key()).aead()
    counts = Counter(cipher.encrypt(b"", b"")[5:17] for _ in range(5 * limit))
    assert list(counts.values()) == [limit] * 5


def test_the_limit_is_2_to_the_20():
    """The count itself, without sealing a million messages."""
    cipher = keyset(xaes_key()).aead()
    first, _, left = cipher._session
    assert sum(1 for _ in zip(range(2**20 - 1), left, strict=False)) == 2**20 - 1
    assert cipher.encrypt(b"", b"").startswith(first)
    assert not cipher.encrypt(b"", b"").startswith(first)


def test_the_limit_holds_under_threads(monkeypatch):
    monkeypatch.setattr("portalsec.crypto.aead._SESSION", 50)
    keys = keyset(xaes_key())
    cipher, opener = keys.aead(), tink_aead(keys)
    starts, every = threading.Barrier(8), [[] for _ in range(8)]

    def work(cells):
        starts.wait()
        cells.extend(cipher.encrypt(b"value", b"") for _ in range(500))

    threads = [threading.Thread(target=work, args=(cells,)) for cells in every]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cells = [cell for own in every for cell in own]
    counts = Counter(cell[5:17] for cell in cells)
    assert max(counts.values()) <= 50 and sum(counts.values()) == 4000
    assert len({cell[5:29] for cell in cells}) == 4000, "no salt and nonce came twice"
    assert {opener.decrypt(cell, b"") for cell in cells[::100]} == {b"value"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("held", [False, True], ids=["", "while another thread renews"])
def test_a_forked_child_draws_a_salt_of_its_own(held):
    """Parent and children go on from one session: each has its own salt from its first message."""
    cipher = keyset(xaes_key()).aead()
    before = cipher.encrypt(b"", b"")
    if held:
        assert cipher._lock.acquire(blocking=False)
    outputs = []
    for _ in range(3):
        end, start = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                mine = [cipher.encrypt(b"", b"") for _ in range(20)]
                while len(mine) < 21:  # past the end of the session too, where the lock is taken
                    list(cipher._session[2])
                    mine.append(cipher.encrypt(b"", b""))
                os.write(start, b"".join(mine))
                os._exit(0)
            finally:
                os._exit(1)
        os.close(start)
        with os.fdopen(end, "rb") as pipe:
            outputs.append(pipe.read())
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    if held:
        cipher._lock.release()
    after = cipher.encrypt(b"", b"")
    assert before[5:17] == after[5:17], "the parent goes on"
    children = [[output[at : at + 45] for at in range(0, len(output), 45)] for output in outputs]
    assert [len(salts(cells)) for cells in children] == [2, 2, 2]
    every = [before, after, *(cell for cells in children for cell in cells)]
    assert len(salts(every)) == 1 + 3 * 2
    assert len({cell[5:29] for cell in every}) == 2 + 3 * 21


# -- reading ----------------------------------------------------------------------------------------------------


def test_salts_are_remembered_up_to_a_bound_and_only_after_they_opened(monkeypatch):
    monkeypatch.setattr("portalsec.crypto._xaes._KEPT", 5)
    derived = []

    class Counting(XAes):
        def subkey(self, salt):
            derived.append(salt)
            return super().subkey(salt)

    subkeys = Subkeys({})
    reader = XAesReader(Counting(Secret(KEY), 12), b"", subkeys)
    theirs = tink_aead(keyset(xaes_key(prefix="RAW")))
    cells = [theirs.encrypt(b"value", b"") for _ in range(8)]
    for _ in range(3):
        assert reader.open(cells[0], b"") == b"value"
    assert len(derived) == 1 and len(subkeys.openers) == 1
    for wrong in (cells[1][:-1], cells[1] + b"x", cells[1][:39], b""):
        with pytest.raises(InvalidTag):
            reader.open(wrong, b"")
    with pytest.raises(InvalidTag):
        reader.open(cells[1], b"elsewhere")
    assert len(subkeys.openers) == 1
    for cell in cells:
        assert reader.open(cell, b"") == b"value"
    assert len(subkeys.openers) == 5
    derived.clear()
    for cell in cells:
        assert reader.open(cell, b"") == b"value"
    assert len(derived) == 8 and len(subkeys.openers) == 5


def test_threads_may_open_many_salts_at_once(monkeypatch):
    monkeypatch.setattr("portalsec.crypto._xaes._KEPT", 20)
    keys = keyset(xaes_key())
    cipher, theirs = keys.aead(), tink_aead(keys)
    cells = [theirs.encrypt(b"%d" % number, b"") for number in range(60)]
    wrong = []

    def work(turn):
        for number in [*range(turn, 60), *range(turn)] * 5:
            if cipher.decrypt(cells[number], b"") != b"%d" % number:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(7 * turn,)) for turn in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [] and len(cipher._reading.openers) <= 20 + 8


def test_a_cell_of_aes_gcm_never_opens_as_xaes_of_the_same_key_bytes():
    gcm, xaes = keyset(gcm_key()).aead(), keyset(xaes_key()).aead()
    assert refused(xaes, gcm.encrypt(bytes(40), b"place")) == "not_authentic"
    assert refused(gcm, xaes.encrypt(bytes(40), b"place")) == "not_authentic"
    # Even where a salt gives a subkey that somebody has as a key: it is one, and that is all there is to it.
    subkey = XAes(Secret(KEY), 12).subkey(b"s" * 12).reveal()
    assert (
        xaes.decrypt(
            b"\x01\x00\x00\x00\x2a" + b"s" * 12 + b"n" * 12 + AESGCM(subkey).encrypt(b"n" * 12, b"x", b""),
            b"",
        )
        == b"x"
    )
