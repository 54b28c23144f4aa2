"""`KeysetPrf` and `KeyedHash`, auth's Mac, beside the real tink."""

from __future__ import annotations

import hmac
import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tink import prf as tink_prf_api

from portalsec.auth.ports import Mac
from portalsec.crypto import KeyedHash, Keyset
from portalsec.crypto._keys import HkdfPrfKey, HmacPrfKey, Key
from portalsec.crypto.insecure import keyset_to_json
from portalsec.crypto.keyring import Keyring
from portalsec.crypto.prf import KeysetPepper, KeysetPrf
from portalsec.errors import ConfigurationError
from portalsec.secret import Secret
from tests.crypto.support import KEY, gcm_key, keyset, prf_key, tink_handle, tink_prf
from tests.support import shared

KEYS = keyset(prf_key())
purposes = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=5)


def hash_input(purpose, data):
    return b"psh1" + len(purpose.encode()).to_bytes(4, "big") + purpose.encode() + data


@pytest.mark.parametrize("value", [KEY[:16], KEY, KEY * 2, bytes(200)], ids=len)
@given(purpose=purposes, data=st.binary(max_size=200))
def test_it_is_tink_s_prf_of_the_primary_key(value, purpose, data):
    if len(value) == 200:
        value = value[:100]
    keys = keyset(prf_key(7, bytes(32)), prf_key(value=value))
    mac: Mac = KeyedHash(keys)
    assert mac(purpose, data) == tink_prf(keys).compute(hash_input(purpose, data), 32)
    assert mac(purpose, data) == hmac.digest(value, hash_input(purpose, data), "sha256")


@given(purposes, st.binary(max_size=8), purposes, st.binary(max_size=8))
def test_purposes_are_unrelated(one, data, other, more):
    mac = KeyedHash(KEYS)
    assert (mac(one, data) == mac(other, more)) is ((one, data) == (other, more))


def test_a_boundary_between_purpose_and_data_cannot_be_moved():
    mac = KeyedHash(KEYS)
    assert len({mac("a", b"bc"), mac("ab", b"c"), mac("abc", b"")}) == 3


def test_calls_leave_no_trace_in_each_other():
    mac = KeyedHash(KEYS)
    first = mac("purpose", b"data")
    for _ in range(3):
        mac("purpose", b"other")
        mac("other", b"data")
        assert mac("purpose", b"data") == first


def test_many_purposes_are_right_too():
    mac = KeyedHash(KEYS)
    for turn in range(2):
        for number in range(600):
            purpose = f"purpose {number}"
            assert mac(purpose, b"x") == hmac.digest(KEY, hash_input(purpose, b"x"), "sha256"), turn


@pytest.mark.parametrize("purpose", ["", None, 5, b"x", "\ud800", "a\nb"])
def test_a_purpose_that_is_none_is_refused(purpose):
    with pytest.raises(ConfigurationError, match="purpose"):
        KeyedHash(KEYS)(purpose, b"data")


@pytest.mark.parametrize("data", ["text", None, 5])
def test_data_are_bytes(data):
    with pytest.raises(TypeError):
        KeyedHash(KEYS)("purpose", data)


def test_keys_for_encryption_do_not_hash():
    with pytest.raises(ConfigurationError, match="a keyed hash was given a keyset of AES256_GCM keys"):
        KeyedHash(keyset(gcm_key()))


def test_generated_keys_differ():
    one, other = (KeyedHash(Keyset.generate("HMAC_SHA256_PRF")) for _ in range(2))
    assert one("purpose", b"data") != other("purpose", b"data")
    assert len(one("purpose", b"data")) == 32


def test_wycheproof():
    groups = json.loads(shared("vectors", "crypto", "wycheproof", "hmac_sha256_test.json").read_text())[
        "testGroups"
    ]
    seen = 0
    for group in groups:
        for test in group["tests"]:
            prf = keyset(prf_key(value=bytes.fromhex(test["key"]))).prf()
            size = group["tagSize"] // 8
            same = prf.compute(bytes.fromhex(test["msg"]), size).hex() == test["tag"]
            assert same is (test["result"] == "valid"), test["tcId"]
            seen += 1
    assert seen > 100


def test_one_hash_serves_many_threads():
    mac = KeyedHash(KEYS)
    wrong = []

    def work(number):
        for turn in range(300):
            purpose, data = f"purpose {turn % 7}", b"%d %d" % (number, turn)
            if mac(purpose, data) != hmac.digest(KEY, hash_input(purpose, data), "sha256"):
                wrong.append(data)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# -- Tink's PrfSet ----------------------------------------------------------------------------------------------

MATERIALS = [
    *(HmacPrfKey(Secret(KEY), name) for name in ("SHA1", "SHA224", "SHA256", "SHA384", "SHA512")),
    HmacPrfKey(Secret(KEY * 6)),  # longer than a block
    *(
        HkdfPrfKey(Secret(KEY), name, salt)
        for name in ("SHA256", "SHA512")
        for salt in (b"", b"a salt", KEY * 5)
    ),
]


def of(*materials, primary=0):
    keys = [Key(id=7 + n, status="ENABLED", prefix="RAW", material=m) for n, m in enumerate(materials)]
    return Keyset(keys, keys[primary].id)


@given(data=st.binary(max_size=300), share=st.floats(0, 1), primary=st.integers(0, len(MATERIALS) - 1))
def test_every_key_is_tink_s_function(data, share, primary):
    keys = of(*MATERIALS, primary=primary)
    ours = keys.prf()
    theirs = tink_handle(keyset_to_json(keys)).primitive(tink_prf_api.PrfSet)
    assert ours.primary_id == theirs.primary_id() == next(iter(ours.all(data, 1)))
    assert set(ours.all(data, 1)) == set(theirs.all())
    for key_id, function in theirs.all().items():
        most = ours._by_id[key_id].block * (255 if "HKDF" in ours._by_id[key_id].name else 1)
        for length in {1, 1 + int(share * (most - 1)), min(most, 100), most}:
            expected = function.compute(data, length)
            assert len(expected) == length
            assert ours.compute(data, length, key_id=key_id) == expected
    assert ours.compute(data, 20) == theirs.primary().compute(data, 20)


@pytest.mark.parametrize("material", MATERIALS, ids=lambda material: material.name)
def test_a_length_that_the_key_does_not_give_is_refused(material):
    prf = of(material).prf()
    most = prf._functions[0].block * (255 if isinstance(material, HkdfPrfKey) else 1)
    assert len(prf.compute(b"", most)) == most
    for length in (0, -1, most + 1):
        with pytest.raises(ValueError, match=f"1 to {most} bytes"):
            prf.compute(b"", length)


def test_only_enabled_keys_compute():
    keys = of(*MATERIALS[2:5])
    disabled, destroyed = keys.info()[1].id, keys.info()[2].id
    prf = keys.disable(disabled).destroy(destroyed).prf()
    assert list(prf.all(b"x")) == [keys.primary_id]
    for key_id in (disabled, destroyed, 1):
        with pytest.raises(ConfigurationError, match=f"no enabled key {key_id}"):
            prf.compute(b"x", key_id=key_id)


@pytest.mark.parametrize("data", ["text", None, bytearray(b"x")])
def test_a_prf_takes_bytes(data):
    with pytest.raises(TypeError, match="data are bytes"):
        Keyset.generate("HKDF_SHA256_PRF").prf().compute(data)


def test_keys_for_encryption_are_no_prf():
    with pytest.raises(ConfigurationError, match="a keyed hash was given"):
        Keyset.generate().prf()


def test_a_keyed_hash_takes_hkdf_keys_and_longer_hashes():
    for material in (MATERIALS[3], MATERIALS[4], *MATERIALS[6:]):
        keys = of(material)
        expected = tink_prf(keys).compute(hash_input("p", b"data"), 32)
        assert KeyedHash(keys)("p", b"data") == expected == KeyedHash(keys).all("p", b"data")[0]


def test_a_keyed_hash_refuses_a_key_that_gives_too_little():
    with pytest.raises(ConfigurationError, match=r"key 8 \(HMAC_SHA1_PRF\) gives 20"):
        KeyedHash(of(MATERIALS[2], MATERIALS[0]))


# -- rotation ---------------------------------------------------------------------------------------------------


def under(keys, *key_ids):
    prf = keys.prf()
    return tuple(prf.compute(hash_input("p", b"data"), key_id=key_id) for key_id in key_ids)


def test_all_are_the_hashes_under_every_enabled_key_the_primary_s_first():
    keys = Keyset.generate("HMAC_SHA256_PRF").add("HMAC_SHA256_PRF").add("HKDF_SHA256_PRF")
    first, second, third = (info.id for info in keys.info())
    assert KeyedHash(keys).all("p", b"data") == under(keys, first, second, third)
    moved = keys.promote(third)
    assert KeyedHash(moved).all("p", b"data") == under(keys, third, first, second)
    assert KeyedHash(moved)("p", b"data") == under(keys, third)[0]
    assert KeyedHash(moved.disable(first)).all("p", b"data") == under(keys, third, second)


def test_a_keyed_hash_follows_its_keyring():
    keys = Keyset.generate("HMAC_SHA256_PRF").add("HMAC_SHA256_PRF")
    first, second = (info.id for info in keys.info())
    now = {"mac": keys}
    ring = Keyring()
    mac = KeyedHash(ring["mac"])
    for use in (lambda: mac("p", b"data"), lambda: mac.all("p", b"data")):
        with pytest.raises(ConfigurationError, match="not loaded"):
            use()
    ring.load(lambda: now)
    prf = KeysetPrf(ring["mac"])
    assert mac.all("p", b"data") == under(keys, first, second)
    now["mac"] = keys.promote(second).disable(first)
    ring.reload()
    assert mac.all("p", b"data") == under(keys, second)
    assert mac("p", b"data") == under(keys, second)[0]
    assert (prf.primary_id, list(prf.all(b"x"))) == (second, [second])


def test_between_the_two_steps_of_a_reload_the_old_primary_writes_and_the_new_is_read():
    keys = Keyset.generate("HMAC_SHA256_PRF").add("HMAC_SHA256_PRF")
    first, second = (info.id for info in keys.info())
    mac = KeyedHash(keys)
    mac._read(keys.promote(second).disable(first))
    assert mac.all("p", b"data") == under(keys, first, second)
    assert mac("p", b"data") == under(keys, first)[0]
    mac._write(keys.promote(second).disable(first))
    assert mac.all("p", b"data") == under(keys, second)


def test_a_pepper_is_the_prf_by_key_and_says_nothing_under_a_key_that_it_has_not() -> None:
    one = Keyset.generate("HMAC_SHA256_PRF")
    both = one.add("HMAC_SHA256_PRF")
    pepper = KeysetPepper(both)
    assert pepper.primary_id == one.primary_id
    for info in both.info():
        assert pepper.tag(info.id, b"data") == both.prf().compute(b"data", 32, key_id=info.id)
    assert pepper.tag(1, b"data") is None
    assert KeysetPepper(both.disable(both.info()[-1].id)).tag(both.info()[-1].id, b"data") is None
    with pytest.raises(ConfigurationError, match=r"\(HMAC_SHA1_PRF\) gives 20"):
        KeysetPepper(of(MATERIALS[2], MATERIALS[0]))
