"""`BlindIndex`: tags beside the real tink, truncation, places, tenants, rotation, the slow variant, refusals."""

from __future__ import annotations

import os
import threading
from datetime import date

import pytest
from argon2 import low_level
from hypothesis import given
from hypothesis import strategies as st

from portalsec.crypto import Keyset
from portalsec.crypto._keys import HkdfPrfKey, HmacPrfKey, Key
from portalsec.crypto.blind_index import BlindIndex
from portalsec.crypto.keyring import Keyring
from portalsec.crypto.normalise import Normaliser, digits, exact, name, parts, phone, year
from portalsec.crypto.stretch import Argon2Cost
from portalsec.errors import ConfigurationError, StoreError
from portalsec.secret import Secret
from tests.crypto.support import KEY, gcm_key, keyset, prf_key, tink_prf

KEYS = keyset(prf_key())
labels = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
CHEAP = Argon2Cost(time_cost=1, memory_kib=8 * 1024, parallelism=1)


def sized(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def psi1(table, column, tenant, normaliser, data):
    """The page's encoding, written down once more."""
    whose = b"\x00" if tenant is None else b"\x01" + sized(tenant.encode())
    return (
        b"psi1" + sized(table.encode()) + sized(column.encode()) + whose + sized(normaliser.encode()) + data
    )


def cut(digest, bits):
    whole = int.from_bytes(digest, "big") >> (8 * len(digest) - bits)
    size = -(-bits // 8)
    return (whole << 8 * size - bits).to_bytes(size, "big")


def index(keys=KEYS, **options):
    return BlindIndex(keys, **{"table": "patients", "column": "phone", "bits": 32, **options})


def of(*materials):
    return Keyset(
        [Key(id=7 + n, status="ENABLED", prefix="RAW", material=m) for n, m in enumerate(materials)], 7
    )


# -- what a tag is ----------------------------------------------------------------------------------------------


@given(labels, labels, st.none() | labels, st.integers(1, 256), texts)
def test_a_tag_is_the_beginning_of_tink_s_prf_of_psi1(table, column, tenant, bits, value):
    ours = BlindIndex[str](KEYS, table=table, column=column, bits=bits, tenanted=tenant is not None)
    digest = tink_prf(KEYS).compute(psi1(table, column, tenant, "exact/1", b"s" + value.encode()), 32)
    assert ours.tag(value, tenant) == cut(digest, bits)
    assert ours.tags(value, tenant) == [cut(digest, bits)]
    assert ours.tag_many([None, value, value], tenant) == [None, cut(digest, bits), cut(digest, bits)]


@pytest.mark.parametrize("bits", range(1, 257))
def test_every_length_is_the_beginning_of_the_whole(bits):
    tag, whole = index(bits=bits).tag("x"), index(bits=256).tag("x")
    assert tag == cut(whole, bits)
    assert len(tag) == index(bits=bits).size == -(-bits // 8)
    if bits % 8:
        assert tag[-1] & ((1 << 8 - bits % 8) - 1) == 0


@pytest.mark.parametrize("bits", [8, 20, 256])
@pytest.mark.parametrize(
    "material", [HkdfPrfKey(Secret(KEY)), HkdfPrfKey(Secret(KEY), "SHA512", b"salt")], ids=["", "512"]
)
def test_hkdf_keys_index_too(material, bits):
    keys = of(material)
    digest = tink_prf(keys).compute(psi1("patients", "phone", None, "exact/1", b"sx"), 32)
    assert index(keys, bits=bits).tag("x") == cut(digest, bits)


def test_longer_hashes_index_and_shorter_ones_as_far_as_they_go():
    long, short = of(HmacPrfKey(Secret(KEY), "SHA512")), of(HmacPrfKey(Secret(KEY), "SHA1"))
    assert index(long, bits=256).tag("x") == tink_prf(long).compute(
        psi1("patients", "phone", None, "exact/1", b"sx"), 32
    )
    assert len(index(short, bits=160).tag("x")) == 20
    with pytest.raises(ConfigurationError, match=r"tags of 161 bits, and key 7 \(HMAC_SHA1_PRF\) gives 160"):
        index(short, bits=161)


def test_the_normaliser_and_its_id_are_in_the_tag():
    compound = parts(name, year)
    value = ("Ada  LOVELACE", date(1815, 12, 10))
    data = b"\x00\x00\x00\x0cada lovelace\x00\x00\x00\x041815"
    digest = tink_prf(KEYS).compute(psi1("patients", "phone", None, "parts/1(name/1,year/1)", data), 32)
    assert index(normalise=compound).tag(value) == digest[:4]
    assert index(normalise=digits).tag("1") != index(normalise=Normaliser("digits/2", digits.apply)).tag("1")


@given(*(st.tuples(labels, labels, st.none() | labels, st.sampled_from([exact, digits, name]), texts),) * 2)
def test_places_and_values_that_differ_have_tags_that_differ(one, other):
    tags = []
    for table, column, tenant, normalise, value in (one, other):
        ours = BlindIndex(
            KEYS, table=table, column=column, bits=256, normalise=normalise, tenanted=tenant is not None
        )
        tags.append(ours.tag(value, tenant))
    if None not in tags:
        same = one[:4] == other[:4] and one[3](one[4]) == other[3](other[4])
        assert (tags[0] == tags[1]) is same


@given(texts | st.integers() | st.binary(max_size=9) | st.dates())
def test_the_quick_function_agrees_with_the_method(value):
    quick = index()
    assert quick.tag(value) == BlindIndex.tag(quick, value) == quick.tags(value)[0]


# -- nothing to search for --------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalise", [exact, digits, name, phone(41), parts(name, year)], ids=lambda n: n.id)
@pytest.mark.parametrize("bits", [32, 20])
def test_null_stays_null(normalise, bits):
    ours = index(normalise=normalise, bits=bits)
    assert ours.tag(None) is None
    assert ours.tags(None) == []


@pytest.mark.parametrize("value", ["", "none", "n/a", "unknown", "+"])
@pytest.mark.parametrize("bits", [32, 20])
def test_phone_numbers_without_a_digit_do_not_find_each_other(value, bits):
    ours = index(normalise=phone(41), bits=bits)
    assert ours.tag(value) is None
    assert ours.tags(value) == []


def test_the_empty_text_is_a_value_where_nothing_is_folded():
    assert index().tag("") is not None
    assert index().tag("") != index().tag(" ")


# -- rotation ---------------------------------------------------------------------------------------------------


def test_a_search_finds_what_any_enabled_key_wrote():
    keys = Keyset.generate("HMAC_SHA256_PRF")
    first = keys.primary_id
    written = index(keys).tag("x")
    keys = keys.add("HMAC_SHA256_PRF")
    second = keys.info()[-1].id
    assert index(keys).tag("x") == written
    assert index(keys).tags("x")[0] == written
    keys = keys.promote(second)
    assert index(keys).tags("x") == [index(keys).tag("x"), written]
    assert index(keys).tag("x") != written
    assert index(keys.disable(first)).tags("x") == [index(keys).tag("x")]


def test_tags_that_happen_to_be_equal_are_asked_for_once():
    keys = Keyset.generate("HMAC_SHA256_PRF")
    for _ in range(20):
        keys = keys.add("HMAC_SHA256_PRF")
    tags = index(keys, bits=1).tags("x")
    assert sorted(tags) == [b"\x00", b"\x80"]
    assert tags[0] == index(keys, bits=1).tag("x")


def test_an_index_follows_its_keyring_and_waits_for_it():
    ring = Keyring()
    options = [{}, {"bits": 20}, {"tenanted": True}, {"normalise": digits}, {"slow": CHEAP}]
    live = [index(ring["index"], **option) for option in options]

    def tenant(ours):
        return "clinic" if ours.tenanted else None

    for ours in live:
        for use in (ours.tag, ours.tags):
            with pytest.raises(ConfigurationError, match="not loaded"):
                use("12", tenant(ours))
    keys = Keyset.generate("HMAC_SHA256_PRF").add("HKDF_SHA256_PRF")
    now = {"index": keys}
    ring.load(lambda: now)
    tag_methods = [ours.tag for ours in live]  # taken before the reload, as a loop would
    for turn in (keys, keys.promote(keys.info()[1].id), keys):
        now["index"] = turn
        ring.reload()
        for ours, option, tag in zip(live, options, tag_methods, strict=True):
            fresh = index(turn, **option)
            assert tag("12", tenant(ours)) == ours.tag("12", tenant(ours)) == fresh.tag("12", tenant(ours))
            assert ours.tags("12", tenant(ours)) == fresh.tags("12", tenant(ours))


def test_a_key_that_is_too_short_does_not_come_in_by_a_reload():
    keys = Keyset.generate("HMAC_SHA256_PRF")
    now = {"index": keys}
    ring = Keyring(lambda: now)
    ours = index(ring["index"], bits=256)
    before = ours.tag("x")
    now["index"] = of(HmacPrfKey(Secret(KEY), "SHA1"))
    with pytest.raises(ConfigurationError, match="gives 160"):
        ring.reload()
    assert ours.tag("x") == before
    assert ours.tags("x") == [before]


def test_reloads_while_threads_search_leave_every_tag_whole():
    keys = Keyset.generate("HMAC_SHA256_PRF").add("HKDF_SHA256_PRF").add("HMAC_SHA256_PRF")
    turns = [keys, keys.promote(keys.info()[1].id), keys.promote(keys.info()[2].id).disable(keys.primary_id)]
    now = {"index": turns[0]}
    ring = Keyring(lambda: now)
    ours = index(ring["index"])
    right = {index(turn).tag("x") for turn in turns}
    sets = {tuple(index(turn).tags("x")) for turn in turns}
    first_steps = {
        (written.tag("x"), *index(turn).tags("x")) for turn in turns for written in map(index, turns)
    }
    first_steps = {tuple(dict.fromkeys(step)) for step in first_steps}
    stop, wrong = threading.Event(), []

    def search():
        while not stop.is_set():
            if ours.tag("x") not in right:
                wrong.append("tag")
            if tuple(ours.tags("x")) not in sets | first_steps:
                wrong.append("tags")

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for turn in range(60):
        now["index"] = turns[turn % 3]
        ring.reload()
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []


# -- the slow one -----------------------------------------------------------------------------------------------


def argon2id(data, salt, cost=CHEAP):
    return low_level.hash_secret_raw(
        data, salt, cost.time_cost, cost.memory_kib, cost.parallelism, 32, low_level.Type.ID
    )


@pytest.mark.parametrize("tenant", [None, "clinic"])
@pytest.mark.parametrize("bits", [20, 32])
def test_a_slow_tag_hashes_what_argon2id_made_under_a_salt_of_the_key(tenant, bits):
    ours = index(normalise=digits, slow=CHEAP, bits=bits, tenanted=tenant is not None)
    slow_id = "argon2id/1(8192,1,1,digits/1)"
    prf = tink_prf(KEYS)
    salt = prf.compute(b"psa1" + psi1("patients", "phone", tenant, slow_id, b"")[4:], 16)
    digest = prf.compute(psi1("patients", "phone", tenant, slow_id, argon2id(b"12", salt)), 32)
    assert ours.tag("1-2", tenant) == cut(digest, bits)
    assert ours.tag("none", tenant) is ours.tag(None, tenant) is None


def test_slow_tags_under_every_key():
    keys = Keyset.generate("HMAC_SHA256_PRF").add("HMAC_SHA256_PRF")
    tags = index(keys, slow=CHEAP).tags("x")
    moved = keys.promote(keys.info()[1].id)
    assert len(set(tags)) == 2
    assert index(moved, slow=CHEAP).tags("x") == tags[::-1]


def test_another_cost_is_another_index():
    costs = [CHEAP, Argon2Cost(time_cost=2, memory_kib=8192, parallelism=1), None]
    costs += [
        Argon2Cost(time_cost=1, memory_kib=8193, parallelism=1),
        Argon2Cost(time_cost=1, memory_kib=8192, parallelism=2),
    ]
    assert len({index(slow=cost).tag("x") for cost in costs}) == len(costs)
    same = Argon2Cost(time_cost=1, memory_kib=8192, parallelism=1, at_once=4)
    assert index(slow=same).tag("x") == index(slow=CHEAP).tag("x")


def test_the_presets():
    assert Argon2Cost(time_cost=2, memory_kib=19456, parallelism=1) == Argon2Cost.OWASP_2025
    assert Argon2Cost(time_cost=3, memory_kib=65536, parallelism=4) == Argon2Cost.RFC_9106_LOW_MEMORY


@pytest.mark.parametrize("what", ["time_cost", "memory_kib", "parallelism", "at_once"])
@pytest.mark.parametrize("value", [0, 2**21, True, 1.5, "1"])
def test_a_cost_is_bounded(what, value):
    with pytest.raises(ConfigurationError, match=what):
        Argon2Cost(**{"time_cost": 1, "memory_kib": 8192, "parallelism": 1, what: value})


def test_no_more_computations_at_once_than_said(monkeypatch):
    cost = Argon2Cost(time_cost=1, memory_kib=8192, parallelism=1, at_once=2)
    ours = index(slow=cost)
    running, most, lock, gate = [0], [0], threading.Lock(), threading.Event()
    real = low_level.hash_secret_raw

    def counted(*args, **options):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
            if running[0] == 2:
                gate.set()
        gate.wait(10)
        try:
            return real(*args, **options)
        finally:
            with lock:
                running[0] -= 1

    monkeypatch.setattr(low_level, "hash_secret_raw", counted)
    threads = [threading.Thread(target=ours.tag, args=(f"x{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [2]


def test_without_memory_it_is_the_store_s_error_and_holds_no_value(monkeypatch):
    from argon2.exceptions import HashingError

    def fail(*args, **options):
        raise HashingError("Memory allocation error")

    ours = index(slow=CHEAP)
    monkeypatch.setattr(low_level, "hash_secret_raw", fail)
    with pytest.raises(StoreError, match="argon2id") as caught:
        ours.tag("Ada Lovelace")
    assert caught.value.__context__ is None
    assert "Ada" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_of_a_fork_does_not_wait_for_its_parent_s_threads():
    ours = index(slow=CHEAP)
    expected = ours.tag("x")
    with ours._stretch._running[1]:  # as if a thread were hashing
        child = os.fork()
        if child == 0:  # pragma: no cover
            os._exit(0 if ours.tag("x") == expected else 1)
        _, status = os.waitpid(child, 0)
    assert status == 0


# -- what is refused --------------------------------------------------------------------------------------------


def test_a_tenant_is_given_where_there_is_one_and_only_there():
    for ours, tenant in ((index(tenanted=True), None), (index(), "clinic"), (index(bits=20), "clinic")):
        for use in (ours.tag, ours.tags):
            for value in ("x", None):
                with pytest.raises(TypeError, match=r"patients\.phone has .*tenant"):
                    use(value, tenant)
    for tenant in ("", "\ud800"):
        with pytest.raises(ValueError, match="tenant"):
            index(tenanted=True).tag("x", tenant)
    with pytest.raises(TypeError, match="tenant is text"):
        index(tenanted=True).tag("x", 5)


@pytest.mark.parametrize("bits", [32, 20])
@pytest.mark.parametrize("value", [18.15, ["1815"], {"a": "1815"}], ids=repr)
def test_a_value_of_another_type_is_refused_without_it(value, bits):
    with pytest.raises(TypeError, match="this index takes") as caught:
        index(bits=bits).tag(value)
    assert "1815" not in str(caught.value)


@pytest.mark.parametrize("normalise", [exact, name], ids=lambda n: n.id)
@pytest.mark.parametrize("bits", [32, 20])
def test_half_a_surrogate_pair_is_refused_without_the_value(normalise, bits):
    with pytest.raises(ValueError, match="surrogate") as caught:
        index(normalise=normalise, bits=bits).tag("Ada \ud800")
    assert not isinstance(caught.value, UnicodeError)
    assert caught.value.__context__ is None
    assert "Ada" not in str(caught.value)


@pytest.mark.parametrize("bits", [0, 257, -1, True, 8.0, "8", None])
def test_bits_are_a_number(bits):
    with pytest.raises(ConfigurationError, match="1 to 256 bits"):
        index(bits=bits)


@pytest.mark.parametrize("label", ["table", "column"])
@pytest.mark.parametrize("value", ["", None, 5, "\ud800"])
def test_labels_are_texts(label, value):
    with pytest.raises(ConfigurationError, match=label):
        index(**{label: value})


def test_a_normaliser_is_one():
    with pytest.raises(ConfigurationError, match="Normaliser"):
        index(normalise=str.lower)


def test_keys_for_encryption_do_not_index():
    with pytest.raises(ConfigurationError, match="a keyed hash was given a keyset of AES256_GCM keys"):
        index(keyset(gcm_key()))


def test_it_shows_no_key():
    shown = repr(index(bits=20, normalise=digits))
    assert shown == "<BlindIndex 'patients'.'phone', 20 bits, digits/1, keys hidden>"


def test_it_says_what_it_is():
    ours = index(bits=20, normalise=digits, tenanted=True)
    assert (ours.table, ours.column, ours.bits, ours.size) == ("patients", "phone", 20, 3)
    assert (ours.tenanted, ours.normaliser) == (True, digits)


@pytest.mark.parametrize("bits", [16, 13])
def test_null_has_no_tag_whatever_the_normaliser_makes_of_it(bits):
    mine = Normaliser("acme/1", lambda value: str(value).lower())
    index = BlindIndex(Keyset.generate("HMAC_SHA256_PRF"), table="t", column="c", bits=bits, normalise=mine)
    assert index.tag("x") is not None
    assert index.tag(None) is None
    assert index.tags(None) == []
    assert index.tag_many([None]) == [None]
