"""`SoftMaker`: a maker of authenticators in software, with a root certificate and statements of every format.

maker = SoftMaker("packed")
authenticator = SoftAuthenticator(attestation=maker)
policy = AttestationPolicy(required=True, roots=(maker.root,))
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, ObjectIdentifier

from portalsec.testing.authenticator import ToAttest

__all__ = ["FORMATS", "SoftMaker"]

_FROM, _UNTIL = datetime(2020, 1, 1, tzinfo=UTC), datetime(2050, 1, 1, tzinfo=UTC)
_AAGUID: Final = "1.3.6.1.4.1.45724.1.1.4"
Build = x509.CertificateBuilder


class SoftMaker:
    """Attests authenticators; for `portalsec.testing.SoftAuthenticator`. Keys are in memory and nobody's.

    Args:
        form: "packed", "fido-u2f", "apple", "android-key" or "tpm".
        depth: certificates between the root and an authenticator's.
        valid_from, valid_until: of the authenticators' certificates.
        change: the builder of an authenticator's certificate -> the one that is signed; for what a maker must not do.
        certified: what a TPM is about to sign (certInfo) -> what it signs.
        public_area: a TPM's key as it is (pubArea) -> what it certifies and sends.

    Attributes:
        root: its root certificate in PEM.
        certified, public_area: as given.
    """

    def __init__(
        self,
        form: str = "packed",
        *,
        depth: int = 0,
        valid_from: datetime = _FROM,
        valid_until: datetime = _UNTIL,
        change: Callable[[Build], Build] = lambda builder: builder,
        certified: Callable[[bytes], bytes] = lambda info: info,
        public_area: Callable[[bytes], bytes] = lambda area: area,
    ) -> None:
        self._statement = FORMATS[form]
        self._form = form
        self._valid = (valid_from, valid_until)
        self._change = change
        self.certified = certified
        self.public_area = public_area
        self._keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(depth + 1)]
        self._authorities: list[x509.Certificate] = []
        for level, key in enumerate(self._keys):
            builder = _builder(
                _name(f"Soft Authority {level}"), self._issuer(level), key.public_key(), _FROM, _UNTIL
            )
            builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            self._authorities.append(builder.sign(self._keys[max(level - 1, 0)], hashes.SHA256()))
        self.root = self._authorities[0].public_bytes(Encoding.PEM)

    @property
    def format(self) -> str:
        """As it stands in the attestation object."""
        return self._form

    def statement(self, about: ToAttest) -> dict[str, Any]:
        """An honest statement."""
        return self._statement(self, about)

    def _issuer(self, level: int) -> x509.Name:
        return self._authorities[level - 1].subject if level else _name("Soft Authority 0")

    def chain(
        self, subject: x509.Name, public_key: Any, *extensions: tuple[x509.ExtensionType, bool]
    ) -> list[bytes]:
        """A new certificate and those between it and the root, as DER."""
        builder = _builder(subject, self._authorities[-1].subject, public_key, *self._valid)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        for value, critical in extensions:
            builder = builder.add_extension(value, critical=critical)
        leaf = self._change(builder).sign(self._keys[-1], hashes.SHA256())
        return [each.public_bytes(Encoding.DER) for each in (leaf, *reversed(self._authorities[1:]))]


def _name(common: str, **more: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "AA"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Soft"),
            x509.NameAttribute(
                NameOID.ORGANIZATIONAL_UNIT_NAME, more.get("unit", "Authenticator Attestation")
            ),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _builder(subject: x509.Name, issuer: x509.Name, key: Any, start: datetime, end: datetime) -> Build:
    return (
        Build()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )


def _custom(oid: str, value: bytes) -> tuple[x509.ExtensionType, bool]:
    return x509.UnrecognizedExtension(ObjectIdentifier(oid), value), False


def _tlv(tag: int, content: bytes) -> bytes:
    """DER; a context-specific tag above 30 comes as ``0xBF`` and two bytes."""
    head = tag.to_bytes((tag.bit_length() + 7) // 8, "big")
    size = bytes([len(content)]) if len(content) < 0x80 else b"\x82" + len(content).to_bytes(2, "big")
    return head + size + content


# -- formats ----------------------------------------------------------------------------------------------------


def _packed(maker: SoftMaker, about: ToAttest) -> dict[str, Any]:
    key = ec.generate_private_key(ec.SECP256R1())
    make = _custom(_AAGUID, _tlv(0x04, about.aaguid))
    return {
        "alg": -7,
        "sig": key.sign(about.signed, ec.ECDSA(hashes.SHA256())),
        "x5c": maker.chain(_name("Soft Authenticator"), key.public_key(), make),
    }


def _fido_u2f(maker: SoftMaker, about: ToAttest) -> dict[str, Any]:
    key, cose = ec.generate_private_key(ec.SECP256R1()), about.credential.key.cose
    point = b"\x04" + bytes(cose[-2]) + bytes(cose[-3])
    message = b"\0" + about.rp_id_hash + about.client_data_hash + about.credential.id + point
    return {
        "sig": key.sign(message, ec.ECDSA(hashes.SHA256())),
        "x5c": maker.chain(_name("Soft U2F"), key.public_key()),
    }


def _apple(maker: SoftMaker, about: ToAttest) -> dict[str, Any]:
    nonce = _tlv(0x30, _tlv(0xA1, _tlv(0x04, hashlib.sha256(about.signed).digest())))
    key = about.credential.key.private.public_key()
    return {"x5c": maker.chain(_name("Soft Fruit"), key, _custom("1.2.840.113635.100.8.2", nonce))}


def _android_key(maker: SoftMaker, about: ToAttest) -> dict[str, Any]:
    sign_only = _tlv(0xA1, _tlv(0x31, _tlv(0x02, b"\x02")))
    generated = _tlv(0xBF853E, _tlv(0x02, b"\0"))  # [702]
    description = _tlv(
        0x30,
        _tlv(0x02, b"\x03") + _tlv(0x0A, b"\x01") + _tlv(0x02, b"\x04") + _tlv(0x0A, b"\x01")
        + _tlv(0x04, about.client_data_hash) + _tlv(0x04, b"") + _tlv(0x30, b"")
        + _tlv(0x30, sign_only + generated),
    )  # fmt: skip
    key = about.credential.key
    extension = _custom("1.3.6.1.4.1.11129.2.1.17", description)
    return {
        "alg": key.algorithm,
        "sig": key.sign(about.signed),
        "x5c": maker.chain(_name("Soft Keystore Key"), key.private.public_key(), extension),
    }


def _tpm(maker: SoftMaker, about: ToAttest) -> dict[str, Any]:
    def sized(data: bytes) -> bytes:
        return len(data).to_bytes(2, "big") + data

    def numbers(*items: int) -> bytes:
        return b"".join(item.to_bytes(2, "big") for item in items)

    cose = about.credential.key.cose
    if cose[1] == 3:
        unique = numbers(0x10, 0x10, 2048) + b"\0\0\0\0" + sized(bytes(cose[-1]))
    else:
        unique = numbers(0x10, 0x10, 3, 0x10) + sized(bytes(cose[-2])) + sized(bytes(cose[-3]))
    kind = 0x0001 if cose[1] == 3 else 0x0023
    pub_area = maker.public_area(numbers(kind, 0x0B) + b"\0\x06\0\x72" + sized(b"") + unique)
    name = numbers(0x0B) + hashlib.sha256(pub_area).digest()
    extra = hashlib.sha256(about.signed).digest()
    cert_info = b"\xff\x54\x43\x47\x80\x17" + sized(b"") + sized(extra) + bytes(25) + sized(name) + sized(b"")
    cert_info = maker.certified(cert_info)
    key = ec.generate_private_key(ec.SECP256R1())
    tcg = x509.Name(
        [
            x509.NameAttribute(ObjectIdentifier("2.23.133.2.1"), "id:534F4654"),
            x509.NameAttribute(ObjectIdentifier("2.23.133.2.2"), "Soft"),
            x509.NameAttribute(ObjectIdentifier("2.23.133.2.3"), "id:1"),
        ]
    )
    chain = maker.chain(
        x509.Name([]),
        key.public_key(),
        (x509.SubjectAlternativeName([x509.DirectoryName(tcg)]), True),
        (x509.ExtendedKeyUsage([ObjectIdentifier("2.23.133.8.3")]), False),
    )
    return {
        "ver": "2.0",
        "alg": -7,
        "x5c": chain,
        "sig": key.sign(cert_info, ec.ECDSA(hashes.SHA256())),
        "certInfo": cert_info,
        "pubArea": pub_area,
    }


FORMATS: Final[dict[str, Callable[[SoftMaker, ToAttest], dict[str, Any]]]] = {
    "packed": _packed,
    "fido-u2f": _fido_u2f,
    "apple": _apple,
    "android-key": _android_key,
    "tpm": _tpm,
}
"""Format -> what makes a statement of it. All take ES256 credentials; packed takes any, tpm and android-key RS256 too, android-key ES384 and ES512."""
