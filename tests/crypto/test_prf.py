"""`KeyedHash`: auth's Mac, beside the real tink."""

from __future__ import annotations

import hmac
import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.auth.ports import Mac
from portalsec.crypto import KeyedHash, Keyset
from portalsec.errors import ConfigurationError
from tests.crypto.support import KEY, gcm_key, keyset, prf_key, tink_prf
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
    """The bare HMAC under the purpose, through the private object that takes the input as it is."""
    groups = json.loads(shared("vectors", "crypto", "wycheproof", "hmac_sha256_test.json").read_text())[
        "testGroups"
    ]
    seen = 0
    for group in groups:
        for test in group["tests"]:
            keyed = KeyedHash(keyset(prf_key(value=bytes.fromhex(test["key"]))))._keyed.copy()
            keyed.update(bytes.fromhex(test["msg"]))
            same = keyed.finalize()[: group["tagSize"] // 8].hex() == test["tag"]
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
