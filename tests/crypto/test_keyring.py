"""`Keyring`: all or nothing, readers before writers, and nothing without keys."""

from __future__ import annotations

import gc
import os
import threading

import pytest

from portalsec.crypto import EncryptedField, Keyset
from portalsec.crypto.blind_index import BlindIndex
from portalsec.crypto.keyring import Keyring, LiveKeyset
from portalsec.crypto.prf import KeyedHash, KeysetPrf
from portalsec.errors import ConfigurationError

PHI, OTHER = Keyset.generate("AES256_GCM"), Keyset.generate("AES256_GCM")
INDEX = Keyset.generate("HMAC_SHA256_PRF")


class Broken(Exception):
    pass


class Follower:
    """Writes down what it is told, and may refuse."""

    def __init__(self, live, told, *, name="", wants=None):
        self.told, self.name, self.wants, self.breaks = told, name, wants, None
        live.follow(self.read, self.write)

    def read(self, keyset):
        self.told.append(("read", self.name, keyset))
        self.broken("read")
        if self.wants not in (None, keyset.primitive):
            raise ConfigurationError("of another purpose")

    def write(self, keyset):
        self.told.append(("write", self.name, keyset))
        self.broken("write")

    def broken(self, verb):
        if self.breaks == verb:
            raise Broken


def test_a_source_is_asked_at_once_and_at_each_reload():
    answers = iter([{"phi": PHI}, {"phi": OTHER}])
    ring = Keyring(lambda: next(answers))
    assert ring["phi"].keyset is PHI and ring["phi"] is ring["phi"] and ring["phi"].name == "phi"
    ring.reload()
    assert ring["phi"].keyset is OTHER and ring.names == ("phi",)


def test_names_are_asked_for_before_the_ring_is_loaded():
    ring, told = Keyring(), []
    live = ring["phi"]
    follower = Follower(live, told)
    assert isinstance(live, LiveKeyset) and told == []
    with pytest.raises(ConfigurationError, match=r"'phi' is not loaded: call load\(\)"):
        _ = live.keyset
    with pytest.raises(ConfigurationError, match="was not loaded"):
        ring.reload()
    ring.load(lambda: {"phi": PHI, "more": OTHER})
    assert live.keyset is PHI and ring["more"].keyset is OTHER
    assert told == [("read", "", PHI), ("write", "", PHI)]
    del follower


def test_who_follows_later_is_told_at_once():
    told = []
    follower = Follower(Keyring(lambda: {"phi": PHI})["phi"], told)
    assert told == [("read", "", PHI), ("write", "", PHI)]
    del follower


def test_all_read_before_the_first_writes():
    ring, told = Keyring(lambda: {"a": PHI, "b": OTHER}), []
    followers = [Follower(ring[name], told, name=f"{name}{turn}") for name in "ab" for turn in (1, 2)]
    told.clear()
    ring.reload()
    assert [(verb, name) for verb, name, _ in told] == [
        (verb, name) for verb in ("read", "write") for name in ("a1", "a2", "b1", "b2")
    ]
    assert [keyset for _, _, keyset in told] == [PHI, PHI, OTHER, OTHER] * 2
    assert len(followers) == 4


def test_followers_are_held_weakly():
    ring, told = Keyring(lambda: {"phi": PHI}), []
    follower = Follower(ring["phi"], told)
    del follower
    gc.collect()
    told.clear()
    ring.reload()
    assert told == []
    Follower(ring["phi"], told)
    assert len(ring["phi"]._followers) == 1, "the dead are not kept"


def fail():
    raise Broken


@pytest.mark.parametrize(
    ("source", "error", "words"),
    [
        (fail, Broken, None),
        (lambda: {"phi": OTHER}, ConfigurationError, "no keyset 'index', which is in use: it has 'phi'"),
        (dict, ConfigurationError, "it has none"),
        (lambda: {"phi": OTHER, "index": OTHER}, ConfigurationError, "'index' was for prf"),
        (lambda: {"phi": "text", "index": INDEX}, ConfigurationError, "for 'phi' it gave a str"),
        (lambda: {"phi": OTHER, "index": INDEX, 5: OTHER}, ConfigurationError, "for 5 it gave"),
    ],
)
def test_what_fails_changes_nothing(source, error, words):
    ring, told = Keyring(lambda: {"phi": PHI, "index": INDEX}), []
    follower = Follower(ring["phi"], told)
    told.clear()
    for attempt in (lambda: ring.load(source), lambda: ring.load(source)):
        with pytest.raises(error, match=words):
            attempt()
    assert ring["phi"].keyset is PHI and ring["index"].keyset is INDEX and told == []
    ring.reload()  # the first source is still the ring's
    assert ring["phi"].keyset is PHI
    del follower


def test_a_follower_that_refuses_undoes_the_load():
    keys = {"phi": PHI, "index": INDEX}
    ring, told = Keyring(lambda: keys), []
    first = Follower(ring["phi"], told, name="first")
    last = Follower(ring["index"], told, name="last")
    told.clear()
    last.wants = "daead"
    keys = {"phi": OTHER, "index": INDEX.add("HMAC_SHA256_PRF")}
    with pytest.raises(ConfigurationError, match="another purpose"):
        ring.reload()
    assert told[0] == ("read", "first", OTHER)
    assert told[-1] == ("read", "first", PHI)  # and of the old ones again
    assert not any(verb == "write" for verb, _, _ in told)
    assert ring["phi"].keyset is PHI
    del first


def test_a_first_load_of_the_wrong_purpose_is_refused():
    ring = Keyring()
    follower = Follower(ring["phi"], [], wants="aead")
    with pytest.raises(ConfigurationError, match="another purpose"):
        ring.load(lambda: {"phi": INDEX, "new": PHI})
    with pytest.raises(ConfigurationError, match="not loaded"):
        _ = ring["phi"].keyset
    ring.load(lambda: {"phi": PHI})  # "new" was not taken over by the load that failed
    assert ring["phi"].keyset is PHI
    del follower


@pytest.mark.parametrize("refuses", ["read", "write"])
def test_nobody_holds_keys_of_a_first_load_that_failed(refuses):
    ring = Keyring()
    field = EncryptedField(ring["phi"], table="patients", column="ssn")
    aead, mac, prf = ring["phi"].aead(nonce="message"), KeyedHash(ring["index"]), KeysetPrf(ring["index"])
    indexes = [BlindIndex(ring["index"], table="t", column="c", bits=bits) for bits in (16, 13)]
    last = Follower(ring["last"], [])
    last.breaks = refuses
    cell = EncryptedField(PHI, table="patients", column="ssn").encrypt("078", row=1)
    uses = [
        lambda: field.encrypt("078", row=1),
        lambda: field.decrypt(cell, row=1),
        lambda: field.encrypt_many(["078"], rows=[1]),
        lambda: field.decrypt_many([cell], rows=[1]),
        lambda: field.needs_reencrypt(cell),
        lambda: aead.encrypt(b"", b""),
        lambda: aead.decrypt(PHI.aead().encrypt(b"", b""), b""),
        lambda: aead.prefix,
        lambda: mac("purpose", b""),
        lambda: mac.all("purpose", b""),
        lambda: prf.compute(b""),
        lambda: prf.primary_id,
        *(lambda index=index: index.tag("x") for index in indexes),
        *(lambda index=index: index.tags("x") for index in indexes),
    ]
    keys = {"phi": PHI, "index": INDEX, "last": OTHER}
    with pytest.raises(Broken):
        ring.load(lambda: keys)
    for use in uses:
        with pytest.raises(ConfigurationError, match="is not loaded"):
            use()
    last.breaks = None
    ring.load(lambda: keys)
    for use in uses:
        use()


def test_a_name_that_is_not_there_is_refused():
    ring = Keyring(lambda: {"phi": PHI})
    with pytest.raises(ConfigurationError, match="no keyset 'fhi': it has 'phi'"):
        ring["fhi"]
    for wrong in ("", None, 5):
        with pytest.raises(ConfigurationError, match="text that is not empty"):
            Keyring()[wrong]


def test_it_shows_names_only():
    ring = Keyring()
    assert repr(ring["phi"]) == "<LiveKeyset 'phi', not loaded>"
    assert repr(ring) == "<Keyring of phi, not loaded>"
    ring.load(lambda: {"phi": PHI})
    assert repr(ring["phi"]) == "<LiveKeyset 'phi', keys hidden>"
    assert repr(ring) == "<Keyring of phi, keys hidden>"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # a fork beside threads is what is tested
def test_a_child_forked_during_a_load_loads():
    ring, inside, go_on = Keyring(), threading.Event(), threading.Event()

    def slow():
        inside.set()
        assert go_on.wait(30)
        return {"phi": PHI}

    live = ring["phi"]
    loader = threading.Thread(target=ring.load, args=(slow,))
    loader.start()
    assert inside.wait(30)
    child = os.fork()
    if child == 0:
        try:
            ring.load(lambda: {"phi": OTHER})
            os._exit(0 if live.keyset is OTHER else 1)
        finally:
            os._exit(2)
    go_on.set()
    loader.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert live.keyset is PHI
