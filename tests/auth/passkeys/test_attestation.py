"""Attestation policies against statements of every format, honest and not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ObjectIdentifier
from fido2.attestation import Attestation, verify_x509_chain
from fido2.webauthn import AttestationObject

from portalsec._encoding import unb64url
from portalsec.auth.passkeys.attestation import AttestationPolicy, verify_attestation
from portalsec.auth.passkeys.authenticator_data import read_authenticator_data
from portalsec.auth.passkeys.cbor import read
from portalsec.auth.passkeys.checks import Check, Refusal
from portalsec.errors import ConfigurationError
from portalsec.testing import SoftAuthenticator
from portalsec.testing.attestation import FORMATS, SoftMaker
from portalsec.testing.authenticator import SOFT_AAGUID
from portalsec.testing.cbor import encode
from portalsec.testing.softkeys import new_key
from tests.auth.passkeys.setting import Setting

NOW = datetime(2026, 3, 2, tzinfo=UTC)
MAKERS = {form: SoftMaker(form) for form in FORMATS}
OPTIONS = {
    "challenge": "AAAA",
    "rp": {"id": "portal.example"},
    "user": {"id": "AA"},
    "pubKeyCredParams": [{"alg": -7}],
    "attestation": "direct",
}


def made(maker: SoftMaker | str, *, algorithm: int = -7, **hostile: Any) -> tuple[bytes, bytes]:
    """Attestation object and client data of a new credential."""
    response = SoftAuthenticator(attestation=maker).create(
        OPTIONS, origin="https://portal.example", algorithm=algorithm, **hostile
    )
    body = json.loads(response)["response"]
    return unb64url(body["attestationObject"]), unb64url(body["clientDataJSON"])


def attest(policy: AttestationPolicy, response: tuple[bytes, bytes], *, now: datetime = NOW) -> bool:
    whole = read(response[0])
    return verify_attestation(
        policy,
        whole["fmt"],
        whole["attStmt"],
        read_authenticator_data(whole["authData"]),
        client_data_hash=hashlib.sha256(response[1]).digest(),
        now=now,
    )


def refused(policy: AttestationPolicy, response: tuple[bytes, bytes], *, now: datetime = NOW) -> Check:
    with pytest.raises(Refusal) as caught:
        attest(policy, response, now=now)
    return caught.value.check


def trusting(*makers: SoftMaker, **more: Any) -> AttestationPolicy:
    return AttestationPolicy(required=True, roots=tuple(maker.root for maker in makers), **more)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("depth", [0, 2])
def test_an_honest_statement_proves_a_make_to_who_has_its_root(form: str, depth: int):
    maker = SoftMaker(form, depth=0 if form == "fido-u2f" else depth)
    response = made(maker)
    assert attest(trusting(maker), response)
    assert attest(AttestationPolicy(roots=(maker.root,)), response)
    assert not attest(AttestationPolicy.NONE, response)
    assert not attest(AttestationPolicy(roots=(SoftMaker(form).root,)), response)
    assert refused(trusting(SoftMaker(form)), response) is Check.R_TRUST  # another root of the same name


@pytest.mark.parametrize(
    ("form", "algorithm"),
    [
        *(("packed", number) for number in (-8, -257, -48, -9, -19, -53)),
        ("tpm", -257),
        *(("android-key", number) for number in (-257, -35, -36, -9)),
    ],
)
def test_keys_of_other_algorithms(form: str, algorithm: int):
    assert attest(trusting(MAKERS[form]), made(MAKERS[form], algorithm=algorithm))


@pytest.mark.parametrize("form", FORMATS)
def test_another_s_verifier_takes_them_too(form: str):
    """Yubico's fido2, which does not check everything; but a maker that no other code takes would prove nothing here."""
    attestation_object, client_data = made(MAKERS[form])
    parsed = AttestationObject(attestation_object)
    if form != "android-key":  # which it has not
        verifier = Attestation.for_type(form)()
        result = verifier.verify(parsed.att_stmt, parsed.auth_data, hashlib.sha256(client_data).digest())
        root = x509.load_pem_x509_certificate(MAKERS[form].root).public_bytes(Encoding.DER)
        verify_x509_chain([*result.trust_path, root])


def without(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda it: {key: value for key, value in it.items() if key != name}


def flipped(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda it: it | {name: it[name][:-1] + bytes([it[name][-1] ^ 1])}


def other_leaf(form: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda it: it | {"x5c": read(made(MAKERS[form])[0])["attStmt"]["x5c"]}


SPOILT = {
    "no x5c": without("x5c"),
    "x5c of nothing": lambda it: it | {"x5c": []},
    "x5c is no list": lambda it: it | {"x5c": it["x5c"][0]},
    "x5c of text": lambda it: it | {"x5c": ["certificate"]},
    "x5c of rubbish": lambda it: it | {"x5c": [b"certificate"]},
    "x5c too long": lambda it: it | {"x5c": it["x5c"] * 7},
    "a huge certificate": lambda it: it | {"x5c": [bytes(20_000)]},
    "a member more": lambda it: it | {"ecdaaKeyId": b"key"},
    "a number as a member": lambda it: it | {1: b"key"},
}
SIGNED = {
    "no signature": without("sig"),
    "an empty signature": lambda it: it | {"sig": b""},
    "a signature in text": lambda it: it | {"sig": "sig"},
    "a huge signature": lambda it: it | {"sig": bytes(100_000)},
    "a wrong signature": flipped("sig"),
}
NUMBERED = {
    "no algorithm": without("alg"),
    "an algorithm in text": lambda it: it | {"alg": "-7"},
    "another algorithm": lambda it: it | {"alg": -257},
    "an unknown algorithm": lambda it: it | {"alg": -1},
    "true as algorithm": lambda it: it | {"alg": True},
    "SHA-1": lambda it: it | {"alg": -65535},
    "a huge algorithm": lambda it: it | {"alg": 2**63},
}
TPM = {
    "another version": lambda it: it | {"ver": "1.2"},
    "no pubArea": without("pubArea"),
    "certInfo in text": lambda it: it | {"certInfo": "certInfo"},
    "a short certInfo": lambda it: it | {"certInfo": it["certInfo"][:20]},
    "an empty certInfo": lambda it: it | {"certInfo": b""},
    "a long pubArea": lambda it: it | {"pubArea": it["pubArea"] + b"\0"},
    "another pubArea": lambda it: it | {"pubArea": it["pubArea"][:-1] + bytes([it["pubArea"][-1] ^ 1])},
    "magic": lambda it: it | {"certInfo": b"\0" + it["certInfo"][1:]},
    "a quote": lambda it: it | {"certInfo": it["certInfo"][:5] + b"\x18" + it["certInfo"][6:]},
    "an unknown hash": lambda it: it | {"pubArea": it["pubArea"][:3] + b"\x04" + it["pubArea"][4:]},
    "another kind": lambda it: it | {"pubArea": b"\0\x08" + it["pubArea"][2:]},
}
CASES = [
    (form, name, change)
    for form in FORMATS
    for table, forms in (
        (SPOILT, FORMATS),
        ({"another's certificate": other_leaf(form)}, FORMATS),
        (SIGNED, FORMATS.keys() - {"apple"}),
        (NUMBERED, FORMATS.keys() - {"apple", "fido-u2f"}),
        (TPM, {"tpm"}),
    )
    if form in forms
    for name, change in table.items()
]


@pytest.mark.parametrize(("form", "change"), [pytest.param(f, c, id=f"{f}: {n}") for f, n, c in CASES])
def test_a_spoilt_statement_is_refused_under_every_policy(form: str, change: Any):
    response = made(MAKERS[form], statement=change)
    for policy in (AttestationPolicy.NONE, trusting(MAKERS[form], sha1=True)):
        assert refused(policy, response) is Check.R_ATTSTMT


@pytest.mark.parametrize("form", FORMATS)
def test_a_statement_of_other_client_data_or_another_credential_is_refused(form: str):
    attestation_object, client_data = made(MAKERS[form])
    assert refused(AttestationPolicy.NONE, (attestation_object, client_data + b" ")) is Check.R_ATTSTMT
    mine, theirs = read(attestation_object), read(made(MAKERS[form])[0])
    mixed = encode(mine | {"attStmt": theirs["attStmt"]})
    assert refused(AttestationPolicy.NONE, (mixed, client_data)) is Check.R_ATTSTMT


@pytest.mark.parametrize("form", sorted(FORMATS.keys() - {"packed"}))
def test_a_statement_is_about_the_credential_s_own_key(form: str):
    """All of it is right, but for another key in the authenticator data. (Packed signs whatever key is there.)"""
    other = encode(new_key(-7).cose)
    assert refused(AttestationPolicy.NONE, made(MAKERS[form], key=other)) is Check.R_ATTSTMT


@pytest.mark.parametrize(
    "certified",
    [
        lambda info: b"\0" + info[1:],  # nothing that a TPM made
        lambda info: info[:5] + b"\x18" + info[6:],  # a quote and not a certification
        lambda info: info[:8] + bytes(4) + info[12:],  # of other data
        lambda info: info[:-5] + bytes(3) + info[-2:],  # of another key's name
        lambda info: info + b"\0",
        lambda info: info[:60],
    ],
)
def test_what_a_tpm_signed_must_be_this_very_credential(certified: Any):
    maker = SoftMaker("tpm", certified=certified)
    assert refused(trusting(maker), made(maker)) is Check.R_ATTSTMT


@pytest.mark.parametrize("algorithm", [-7, -257])
@pytest.mark.parametrize(
    "area",
    [
        lambda area: area + b"\0",
        lambda area: area + area[-34:],  # another point after it
        lambda area: area[:-1],
        lambda area: area[:8],
        lambda area: area[:2],
        lambda _: b"",
    ],
)
def test_a_tpm_s_public_area_is_read_to_its_last_byte(area: Any, algorithm: int):
    """It certified just these bytes: only their form is wrong."""
    maker = SoftMaker("tpm", public_area=area)
    assert refused(trusting(maker), made(maker, algorithm=algorithm)) is Check.R_ATTSTMT
    changed = SoftMaker("tpm", public_area=lambda area: area[:4] + b"\0\0\0\0" + area[8:])
    assert attest(trusting(changed), made(changed, algorithm=algorithm))  # it may certify other attributes


def test_a_tpm_s_certificate_may_name_a_make_which_is_then_the_one():
    for aaguid, holds in ((UUID(SOFT_AAGUID).bytes, True), (bytes(16), False)):
        maker = SoftMaker("tpm", change=custom(AAGUID, b"\x04\x10" + aaguid))
        if holds:
            assert attest(trusting(maker), made(maker))
        else:
            assert refused(trusting(maker), made(maker)) is Check.R_ATTSTMT


def test_an_android_key_s_description_is_of_this_registration():
    def change(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        (value,) = (each.value.value for each in builder._extensions if each.oid.dotted_string == ANDROID)
        at = value.index(b"\x04\x20") + 2
        return custom(ANDROID, value[:at] + bytes(32) + value[at + 32 :])(builder)

    maker = SoftMaker("android-key", change=change)
    assert refused(trusting(maker), made(maker)) is Check.R_ATTSTMT


def test_a_u2f_key_proves_no_make_of_its_own():
    """Its signature has no AAGUID in it (section 8.6): one in the authenticator data is the sender's own word."""
    maker = MAKERS["fido-u2f"]
    wanted = trusting(maker, aaguids=frozenset({SOFT_AAGUID}))
    assert refused(wanted, made(maker)) is Check.R_TRUST
    assert attest(trusting(maker, aaguids=frozenset({str(UUID(int=0))})), made(maker))
    s = Setting(attestation=trusting(maker))
    passkey = s.register(SoftAuthenticator(attestation=maker))
    assert (passkey.attested, passkey.aaguid) == (True, str(UUID(int=0)))


def test_fido_u2f_has_one_certificate():
    assert refused(AttestationPolicy.NONE, made(SoftMaker("fido-u2f", depth=1))) is Check.R_ATTSTMT


def replacing(kind: type[x509.ExtensionType], value: x509.ExtensionType, *, critical: bool = True):
    def change(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        builder._extensions = [each for each in builder._extensions if not isinstance(each.value, kind)]
        return builder.add_extension(value, critical=critical)

    return change


def dropping(*kinds: type[x509.ExtensionType]):
    def change(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        builder._extensions = [each for each in builder._extensions if not isinstance(each.value, kinds)]
        return builder

    return change


def renamed(**names: str):
    def change(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        oids = {"OU": x509.NameOID.ORGANIZATIONAL_UNIT_NAME, "C": x509.NameOID.COUNTRY_NAME}
        changed = {oids[key]: value for key, value in names.items()}
        builder._subject_name = x509.Name(
            [
                x509.NameAttribute(each.oid, changed.get(each.oid, str(each.value)))
                for each in builder._subject_name
                if changed.get(each.oid, True)
            ]
        )
        return builder

    return change


def custom(oid: str, value: bytes, *, critical: bool = False):
    return replacing(
        x509.UnrecognizedExtension,
        x509.UnrecognizedExtension(ObjectIdentifier(oid), value),
        critical=critical,
    )


AAGUID, APPLE, ANDROID = "1.3.6.1.4.1.45724.1.1.4", "1.2.840.113635.100.8.2", "1.3.6.1.4.1.11129.2.1.17"
MISMADE = {
    "packed: issues others": ("packed", replacing(x509.BasicConstraints, x509.BasicConstraints(True, None))),
    "packed: no constraints": ("packed", dropping(x509.BasicConstraints)),
    "packed: another unit": ("packed", renamed(OU="Marketing")),
    "packed: no country": ("packed", renamed(C="")),
    "packed: another make": ("packed", custom(AAGUID, b"\x04\x10" + bytes(16))),
    "packed: a make that is no octets": ("packed", custom(AAGUID, bytes(16))),
    "packed: critical make": ("packed", custom(AAGUID, b"\x04\x10" + UUID(SOFT_AAGUID).bytes, critical=True)),
    "tpm: a subject": ("tpm", lambda it: setattr(it, "_subject_name", x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])) or it),
    "tpm: no use": ("tpm", dropping(x509.ExtendedKeyUsage)),
    "tpm: another use": ("tpm", replacing(x509.ExtendedKeyUsage, x509.ExtendedKeyUsage([ObjectIdentifier("1.3.6.1.5.5.7.3.1")]))),
    "tpm: no alternative name": ("tpm", dropping(x509.SubjectAlternativeName)),
    "tpm: a host name": ("tpm", replacing(x509.SubjectAlternativeName, x509.SubjectAlternativeName([x509.DNSName("a.example")]))),
    "tpm: no constraints": ("tpm", dropping(x509.BasicConstraints)),
    "apple: no nonce": ("apple", dropping(x509.UnrecognizedExtension)),
    "apple: another nonce": ("apple", custom(APPLE, b"\x30\x24\xa1\x22\x04\x20" + bytes(32))),
    "apple: a nonce and more": ("apple", custom(APPLE, b"\x30\x26\xa1\x22\x04\x20" + bytes(32) + b"\x05\x00")),
    "apple: rubbish": ("apple", custom(APPLE, b"\x30\x84\xff\xff\xff\xff")),
    "android: no description": ("android-key", dropping(x509.UnrecognizedExtension)),
    "android: an empty one": ("android-key", custom(ANDROID, b"\x30\x00")),
    "android: rubbish": ("android-key", custom(ANDROID, b"\x30")),
    "android: critical": ("android-key", custom(ANDROID, b"\x30\x00", critical=True)),
}  # fmt: skip


@pytest.mark.parametrize("name", MISMADE)
def test_a_certificate_that_no_maker_should_make_is_refused(name: str):
    form, change = MISMADE[name]
    maker = SoftMaker(form, change=change)
    assert refused(trusting(maker), made(maker)) is Check.R_ATTSTMT


def tagged(where: bytes, instead: bytes) -> Any:
    """The Android maker, with a few bytes of its key description replaced by as many others."""

    def change(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        (value,) = (each.value.value for each in builder._extensions if each.oid.dotted_string == ANDROID)
        assert value.count(where) == 1 and len(where) == len(instead)
        return custom(ANDROID, value.replace(where, instead))(builder)

    return change


@pytest.mark.parametrize(
    ("where", "instead"),
    [
        (
            b"\xbf\x85\x3e\x03\x02\x01\x00",
            b"\xbf\x85\x3e\x03\x02\x01\x02",
        ),  # imported, not made on the device
        (b"\xbf\x85\x3e\x03\x02\x01\x00", b"\xbf\x84\x58\x03\x02\x01\x00"),  # for all applications
        (b"\xa1\x05\x31\x03\x02\x01\x02", b"\xa1\x05\x31\x03\x02\x01\x03"),  # for something else than signing
    ],
)
def test_an_android_key_that_was_imported_or_is_for_anything_else_is_refused(where: bytes, instead: bytes):
    maker = SoftMaker("android-key", change=tagged(where, instead))
    assert refused(trusting(maker, software=True), made(maker)) is Check.R_ATTSTMT


@pytest.mark.parametrize(
    ("where", "instead"),
    [
        (
            b"\xbf\x85\x3e\x03\x02\x01\x00",
            b"\xbf\x85\x3f\x03\x02\x01\x00",
        ),  # hardware does not say where from
        (b"\x02\x01\x03\x0a\x01\x01", b"\x02\x01\x03\x0a\x01\x00"),  # attested by software
    ],
)
def test_an_android_key_of_software_proves_nothing_but_where_the_policy_says_so(where: bytes, instead: bytes):
    maker = SoftMaker("android-key", change=tagged(where, instead))
    response = made(maker)
    assert refused(trusting(maker), response) is Check.R_TRUST
    assert not attest(AttestationPolicy(roots=(maker.root,)), response)
    assert attest(trusting(maker, software=True), response)


def test_a_chain_counts_while_every_part_is_valid():
    late, early = datetime(2027, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
    maker = SoftMaker("packed", valid_from=early, valid_until=late)
    response = made(maker)
    for now, valid in (
        (early, True),
        (late, True),
        (late + timedelta(seconds=1), False),
        (early - timedelta(seconds=1), False),
    ):
        if valid:
            assert attest(trusting(maker), response, now=now)
        else:
            assert refused(trusting(maker), response, now=now) is Check.R_TRUST


def chain_of(response: tuple[bytes, bytes]) -> list[bytes]:
    return read(response[0])["attStmt"]["x5c"]


def with_chain(response: tuple[bytes, bytes], x5c: list[bytes]) -> tuple[bytes, bytes]:
    whole = read(response[0])
    return encode(whole | {"attStmt": whole["attStmt"] | {"x5c": x5c}}), response[1]


def test_a_chain_is_in_order_without_gaps_and_may_hold_its_root():
    maker, stranger = SoftMaker("packed", depth=2), SoftMaker("packed", depth=2)
    response = made(maker)
    leaf, lower, upper = chain_of(response)
    root = x509.load_pem_x509_certificate(maker.root).public_bytes(Encoding.DER)
    for x5c in ([leaf, lower, upper], [leaf, lower, upper, root]):
        assert attest(trusting(maker), with_chain(response, x5c))
    others = chain_of(made(stranger))
    for x5c in (
        [leaf],
        [leaf, upper],
        [leaf, upper, lower],
        [leaf, lower],
        [leaf, lower, upper, lower],
        [leaf, *others[1:]],  # of the same names, by other keys
        [leaf, leaf, lower, upper],
    ):
        assert refused(trusting(maker), with_chain(response, x5c)) is Check.R_TRUST
    # A leaf that FIDO's metadata lists itself is its own root, and vouches for nothing below.
    assert attest(AttestationPolicy(required=True, roots=(leaf,)), with_chain(response, [leaf]))


def test_an_authenticator_s_own_certificate_issues_no_other():
    """The oldest hole of certificate chains: what lacks CA:TRUE signs, and the signature is right."""
    maker = SoftMaker("packed")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.load_der_x509_certificate(chain_of(made(maker))[0]).subject
    middle = maker.chain(subject, key.public_key())[0]
    below = SoftMaker("packed")
    below._keys, below._authorities = [key], [x509.load_der_x509_certificate(middle)]
    response = made(below)
    (leaf,) = chain_of(response)
    assert refused(trusting(maker), with_chain(response, [leaf, middle])) is Check.R_TRUST


def authority(maker: SoftMaker, *extensions: x509.ExtensionType) -> bytes:
    """Another certificate for the maker's own authority below its root."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(maker._authorities[1].subject)
        .issuer_name(maker._authorities[0].subject)
        .public_key(maker._keys[1].public_key())
        .serial_number(7)
        .not_valid_before(datetime(2020, 1, 1))
        .not_valid_after(datetime(2050, 1, 1))
    )
    for each in extensions:
        builder = builder.add_extension(each, critical=True)
    return builder.sign(maker._keys[0], hashes.SHA256()).public_bytes(Encoding.DER)


def usage(**uses: bool) -> x509.KeyUsage:
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**dict.fromkeys(names, False) | uses)


@pytest.mark.parametrize(
    ("depth", "extensions", "proven"),
    [
        (1, [x509.BasicConstraints(True, 0)], True),
        (1, [], False),
        (1, [x509.BasicConstraints(False, None)], False),
        (1, [x509.BasicConstraints(True, None), usage(key_cert_sign=True)], True),
        (1, [x509.BasicConstraints(True, None), usage(digital_signature=True)], False),
        (
            1,
            [x509.BasicConstraints(True, None), x509.NameConstraints([x509.DNSName("a.example")], None)],
            False,
        ),
        (2, [x509.BasicConstraints(True, 1)], True),
        (2, [x509.BasicConstraints(True, 0)], False),  # it may not issue the authority below it
    ],
)
def test_an_authority_keeps_to_its_constraints(depth: int, extensions: list[Any], proven: bool):
    maker = SoftMaker("packed", depth=depth)
    response = made(maker)
    x5c = [*chain_of(response)[:-1], authority(maker, *extensions)]
    assert attest(AttestationPolicy(roots=(maker.root,)), with_chain(response, x5c)) is proven


def test_only_listed_makes():
    response = made(MAKERS["packed"])
    assert attest(trusting(MAKERS["packed"], aaguids=frozenset({SOFT_AAGUID})), response)
    other = trusting(MAKERS["packed"], aaguids=frozenset({"00000000-0000-0000-0000-000000000001"}))
    assert refused(other, response) is Check.R_TRUST


@pytest.mark.parametrize("maker", ["none", "packed-self"])
def test_what_proves_nothing_is_refused_where_proof_is_required_and_taken_where_not(maker: str):
    response = made(maker)
    assert refused(trusting(MAKERS["packed"]), response) is Check.R_TRUST
    assert not attest(AttestationPolicy.NONE, response)
    assert not attest(AttestationPolicy(roots=(MAKERS["packed"].root,)), response)


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it | {"sig": b"no"},
        lambda it: it | {"sig": 5},
        lambda it: it | {"alg": -257},
        lambda it: it | {"more": 1},
        without("sig"),
        without("alg"),
    ],
)
def test_self_attestation_is_checked_though_it_proves_nothing(change: Any):
    assert refused(AttestationPolicy.NONE, made("packed-self", statement=change)) is Check.R_ATTSTMT


@pytest.mark.parametrize("form", ["android-safetynet", "compound", "", "NONE", "packed "])
def test_unknown_formats_are_refused(form: str):
    whole = lambda it: it | {"fmt": form}  # noqa: E731
    assert refused(AttestationPolicy.NONE, made("none", attestation_object=whole)) is Check.R_FMT


def test_none_has_an_empty_statement():
    assert refused(AttestationPolicy.NONE, made("none", statement=lambda it: {"sig": b""})) is Check.R_FMT
    with pytest.raises(Refusal, match=Check.R_ATTSTMT):
        attest(AttestationPolicy.NONE, made("none", statement=lambda it: []))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"required": True}, "no make can be proven"),
        ({"roots": (b"rubbish",)}, "no certificate"),
        ({"roots": (b"-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n",)}, "no certificate"),
        ({"aaguids": frozenset()}, r"without attestation\.required"),
        ({"required": True, "roots": (MAKERS["packed"].root,), "aaguids": frozenset({"YubiKey"})}, "UUID"),
        (
            {
                "required": True,
                "roots": (MAKERS["packed"].root,),
                "aaguids": frozenset({SOFT_AAGUID.upper()}),
            },
            "UUID",
        ),
    ],
)
def test_a_policy_that_could_not_hold_is_not_built(arguments: dict[str, Any], words: str):
    with pytest.raises(ConfigurationError, match=words):
        AttestationPolicy(**arguments)


def test_a_browser_is_asked_for_attestation_only_where_it_is_of_use():
    assert AttestationPolicy.NONE.conveyance == "none"
    assert AttestationPolicy(roots=(MAKERS["packed"].root,)).conveyance == "direct"
