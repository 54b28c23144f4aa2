"""COSE keys: which are taken, of every algorithm."""

from __future__ import annotations

from itertools import count

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from portalsec.auth.passkeys import cose
from portalsec.auth.passkeys.cose import ALGORITHMS, UnsoundKey, key_algorithm, load_key
from portalsec.testing.cbor import encode
from portalsec.testing.softkeys import new_key

ES256 = new_key(-7).cose
EDDSA = new_key(-8).cose
RS256 = new_key(-257).cose
MADE = (-7, -8, -257, -35, -36, -48, -49, -50)


@pytest.mark.parametrize("algorithm", MADE)
def test_a_keys_own_signature_verifies_and_no_other(algorithm):
    key = new_key(algorithm)
    loaded = load_key(encode(key.cose))
    signature = key.sign(b"data")
    assert loaded.algorithm == algorithm
    assert loaded.verifies(signature, b"data")
    assert not loaded.verifies(signature, b"other data")
    assert not loaded.verifies(b"", b"data")
    assert not loaded.verifies(signature + bytes(10_000), b"data")
    assert not load_key(encode(new_key(algorithm).cose)).verifies(signature, b"data")


def unsound(key: object) -> bool:
    with pytest.raises(UnsoundKey):
        load_key(key if isinstance(key, bytes) else encode(key))
    return True


@pytest.mark.parametrize("algorithm", MADE)
def test_only_the_members_that_are_needed(algorithm):
    key = new_key(algorithm).cose
    assert load_key(encode(key))
    for label in key:
        assert unsound({k: v for k, v in key.items() if k != label})
        assert unsound(key | {label: None})
        assert unsound(key | {label: "1"})
    for extra in ({-4: b"\1" * 32}, {2: b"kid"}, {4: [2]}, {"alg": 1}):  # a private key, an id, operations
        assert unsound(key | extra)


@pytest.mark.parametrize("other", [number for number in ALGORITHMS if number not in {-7, -9}])
def test_each_algorithm_has_its_own_kind_of_key(other):
    assert unsound(ES256 | {3: other})


@pytest.mark.parametrize("algorithm", [-65535, -37, -999, 0, 7])
def test_unknown_algorithms_have_no_keys(algorithm):
    assert unsound(ES256 | {3: algorithm})
    assert key_algorithm(encode(ES256 | {3: algorithm})) == algorithm


@pytest.mark.parametrize(
    "text", [b"", b"\xa0", b"\x01", b"\xff", encode([1]), encode({3: True}), encode({3: "ES256"})]
)
def test_what_names_no_algorithm_is_no_key(text):
    with pytest.raises(UnsoundKey):
        key_algorithm(text)
    assert unsound(text)


# -- elliptic curves --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spoil",
    [
        {-1: 2},
        {-1: 0},
        {-1: True},
        {1: 1},
        {-3: True},
        {-3: False},
        {-2: bytes(32), -3: bytes(32)},
        {-2: b"\xff" * 32},
        {-3: b"\1" * 32},
        {-2: ES256[-2][:31]},
        {-2: b"\0" + ES256[-2]},
    ],
    ids=count(),
)  # fmt: skip
def test_es256_is_a_point_on_p256_written_in_full(spoil):
    assert unsound(ES256 | spoil)


def test_the_short_way_gives_what_the_long_way_gives(monkeypatch):
    assert cose._usual(encode(ES256)) is not None
    key = new_key(-7)
    signature = key.sign(b"data")
    monkeypatch.setattr(cose, "_usual", lambda _: None)
    assert load_key(encode(key.cose)).verifies(signature, b"data")


@given(st.binary(min_size=64, max_size=64))
def test_the_short_way_takes_no_point_off_the_curve(x_y):
    text = bytes.fromhex("a5010203262001215820") + x_y[:32] + bytes.fromhex("225820") + x_y[32:]
    x, y = int.from_bytes(x_y[:32], "big"), int.from_bytes(x_y[32:], "big")
    try:
        ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    except ValueError:
        assert unsound(text)
    else:
        assert load_key(text).algorithm == -7


# -- Edwards curves ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        # From the literature ("Taming the many EdDSAs", table 1): every encoding of small order, canonical or not.
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        # No point has this y.
        "0200000000000000000000000000000000000000000000000000000000000000",
    ],
)
def test_eddsa_is_a_point_of_large_order_written_canonically(text):
    assert unsound(EDDSA | {-2: bytes.fromhex(text)})


@given(st.integers(0, 2**64))
def test_every_honest_ed25519_key_is_taken(seed):
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.from_private_bytes(seed.to_bytes(32, "big"))
    assert load_key(encode(EDDSA | {-2: private.public_key().public_bytes_raw()})).verifies(
        private.sign(b"x"), b"x"
    )


@pytest.mark.parametrize("spoil", [{-1: 7}, {-1: 4}, {-2: b"\1" * 31}, {-2: b"\1" * 33}, {1: 2}])
def test_eddsa_is_ed25519(spoil):
    assert unsound(EDDSA | spoil)


# -- RSA --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spoil",
    [
        {-1: b"\xc1" * 128},
        {-1: b"\x7f" + b"\xff" * 255},
        {-1: b"\xc1" * 1025},
        {-1: b"\xc0" * 256},
        {-1: b"\0" + RS256[-1]},
        {-1: b""},
        {-2: b"\1"},
        {-2: b"\3"},
        {-2: b"\1\0\0"},
        {-2: b"\0\1\0\1"},
        {-2: b"\xff" * 33},
        {-2: b""},
        {-2: RS256[-1]},
    ],
    ids=["1024", "2047", "8200", "even", "zero before", "empty", "e=1", "e=3", "e even", "e zero before", "e 264 bits",
         "e empty", "e=n"],
)  # fmt: skip
def test_rs256_has_2048_bits_and_a_usual_exponent(spoil):
    assert unsound(RS256 | spoil)


def test_mldsa_keys_have_their_length():
    assert cose.mldsa_available()
    key = new_key(-48).cose
    assert unsound(key | {-1: key[-1][:-1]})
    assert unsound(key | {3: -49})
