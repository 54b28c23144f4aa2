"""What `test_attestation` cannot ask of a chain through a statement."""

from __future__ import annotations

import base64
import math
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ObjectIdentifier

from portalsec.auth.passkeys import certificates
from portalsec.auth.passkeys.certificates import (
    UnsoundCertificate,
    chains_to,
    load,
    load_root,
    load_roots,
    verifies,
)
from portalsec.testing.attestation import SoftMaker

NOW = datetime(2026, 3, 2, tzinfo=UTC)
SHA256_RSA, SHA1_RSA = bytes.fromhex("06092a864886f70d01010b"), bytes.fromhex("06092a864886f70d010105")
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Authority")])


def certificate(issuer_key, key, *, ca: bool, subject: x509.Name = NAME, more: int = 0) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(NAME)
        .public_key(key.public_key())
        .serial_number(5)
        .not_valid_before(datetime(2020, 1, 1))
        .not_valid_after(datetime(2050, 1, 1))
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
    )
    if more:
        value = x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), bytes(more))
        builder = builder.add_extension(value, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def test_a_signature_over_sha_1_vouches_for_nothing():
    """SHA-1 has collisions since 2017: whoever gets one certificate signed has another."""
    authority, key = rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())
    root = certificate(authority, authority, ca=True)
    good = certificate(authority, key, ca=False)
    assert chains_to([good], [root], now=NOW)
    body = good.tbs_certificate_bytes.replace(SHA256_RSA, SHA1_RSA)
    old = authority.sign(body, padding.PKCS1v15(), hashes.SHA1())
    der = good.public_bytes(Encoding.DER)
    der = (
        der.replace(good.tbs_certificate_bytes, body)
        .replace(SHA256_RSA, SHA1_RSA)
        .replace(good.signature, old)
    )
    weak = load(der)
    assert isinstance(weak.signature_hash_algorithm, hashes.SHA1)
    authority.public_key().verify(old, weak.tbs_certificate_bytes, padding.PKCS1v15(), hashes.SHA1())
    assert not chains_to([weak], [root], now=NOW)


def test_a_short_key_vouches_for_nothing_and_signs_nothing():
    short, key = rsa.generate_private_key(65537, 1024), ec.generate_private_key(ec.SECP256R1())
    root = certificate(short, short, ca=True)
    assert not chains_to([certificate(short, key, ca=False)], [root], now=NOW)
    leaf = certificate(short, short, ca=False)
    assert not verifies(leaf, -257, short.sign(b"data", padding.PKCS1v15(), hashes.SHA256()), b"data")


def slow_pair() -> rsa.RSAPrivateKey:
    """A sound key whose public exponent is as long as its modulus: each check of a signature costs a hundred times the usual."""
    made = rsa.generate_private_key(65537, 2048).private_numbers()
    p, q, phi = made.p, made.q, (made.p - 1) * (made.q - 1)
    e = next(each for each in range(2**2000 + 1, 2**2000 + 10_000, 2) if math.gcd(each, phi) == 1)
    d = pow(e, -1, phi)
    public = rsa.RSAPublicNumbers(e, p * q)
    return rsa.RSAPrivateNumbers(
        p, q, d, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q), public
    ).private_key()


def test_a_key_that_was_made_to_be_slow_vouches_for_nothing_and_signs_nothing():
    slow, key = slow_pair(), ec.generate_private_key(ec.SECP256R1())
    signature = slow.sign(b"data", padding.PKCS1v15(), hashes.SHA256())
    slow.public_key().verify(signature, b"data", padding.PKCS1v15(), hashes.SHA256())
    root = certificate(slow, slow, ca=True)
    assert not verifies(root, -257, signature, b"data")
    assert not chains_to([certificate(slow, key, ca=False)], [root], now=NOW)


@pytest.mark.parametrize(
    ("algorithm", "curve"), [(-7, ec.SECP384R1), (-35, ec.SECP256R1), (-36, ec.SECP384R1)]
)
def test_an_algorithm_has_its_own_curve(algorithm: int, curve: type[ec.EllipticCurve]):
    digest = {-7: hashes.SHA256(), -35: hashes.SHA384(), -36: hashes.SHA512()}[algorithm]
    key = ec.generate_private_key(curve())
    assert not verifies(
        certificate(key, key, ca=False), algorithm, key.sign(b"data", ec.ECDSA(digest)), b"data"
    )
    right = ec.generate_private_key({-7: ec.SECP256R1, -35: ec.SECP384R1, -36: ec.SECP521R1}[algorithm]())
    assert verifies(
        certificate(right, right, ca=False), algorithm, right.sign(b"data", ec.ECDSA(digest)), b"data"
    )


def test_a_certificate_has_at_most_16_kib():
    key = ec.generate_private_key(ec.SECP256R1())
    assert load(certificate(key, key, ca=False, more=15_000).public_bytes(Encoding.DER))
    with pytest.raises(UnsoundCertificate):
        load(certificate(key, key, ca=False, more=17_000).public_bytes(Encoding.DER))


def first_version(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A root as they were made before extensions: the third version's without its version and extensions."""
    from portalsec.auth.passkeys import der

    whole = certificate(key, key, ca=True)
    fields = der.elements(der.one(whole.tbs_certificate_bytes).content)
    tags = {der.SEQUENCE: 0x30, der.INTEGER: 0x02}
    kept = [each for each in fields if each.tag < der.CONTEXT]
    body = _tlv(0x30, b"".join(_tlv(tags[each.tag], each.content) for each in kept))
    signature = key.sign(body, ec.ECDSA(hashes.SHA256()))
    algorithm = _tlv(0x30, bytes.fromhex("06082a8648ce3d040302"))
    return _tlv(0x30, body + algorithm + _tlv(0x03, b"\0" + signature))


def _tlv(tag: int, content: bytes) -> bytes:
    length = len(content)
    size = bytes([length]) if length < 0x80 else bytes([0x82]) + length.to_bytes(2, "big")
    if 0x80 <= length < 0x100:
        size = bytes([0x81, length])
    return bytes([tag]) + size + content


def test_a_root_of_the_first_version_counts_and_in_a_chain_it_does_not():
    key, below = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    der = first_version(key)
    root = load_root(der)
    assert root.version is x509.Version.v1
    assert chains_to([certificate(key, below, ca=False)], [root], now=NOW)
    with pytest.raises(UnsoundCertificate):
        load(der)


def test_a_chain_is_at_most_six_long():
    for depth, proven in ((5, True), (6, False)):
        maker = SoftMaker(depth=depth)
        chain = [
            load(each) for each in maker.chain(NAME, ec.generate_private_key(ec.SECP256R1()).public_key())
        ]
        assert len(chain) == depth + 1
        assert chains_to(chain, certificates.load_roots((maker.root,)), now=NOW) is proven


def test_without_roots_or_chain_nothing_is_proven():
    maker = SoftMaker()
    chain = [load(each) for each in maker.chain(NAME, ec.generate_private_key(ec.SECP256R1()).public_key())]
    assert not chains_to(chain, (), now=NOW)
    assert not chains_to([], certificates.load_roots((maker.root,)), now=NOW)


def test_a_certificate_of_a_version_that_there_is_not_is_unsound():
    key = ec.generate_private_key(ec.SECP256R1())
    der = certificate(key, key, ca=True).public_bytes(Encoding.DER)
    version = b"\xa0\x03\x02\x01"
    assert der.count(version + b"\x02") == 1
    for number in (b"\x03", b"\x04", b"\xff"):
        odd = der.replace(version + b"\x02", version + number)
        for read in (load, load_root, lambda it: load_roots([it])):
            with pytest.raises(UnsoundCertificate):
                read(odd)
        pem = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(odd) + b"-----END CERTIFICATE-----\n"
        with pytest.raises(UnsoundCertificate):
            load_roots([pem])
