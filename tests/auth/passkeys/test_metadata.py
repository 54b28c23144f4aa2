"""FIDO's metadata from a file: whose signature, which statuses, how old."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from fido2.mds3 import parse_blob

from portalsec._encoding import b64url
from portalsec.auth.passkeys.attestation import AttestationPolicy
from portalsec.auth.passkeys.cbor import read
from portalsec.auth.passkeys.checks import Check
from portalsec.auth.passkeys.metadata import REFUSED_STATUSES, Metadata, load_metadata
from portalsec.errors import ConfigurationError
from portalsec.testing.attestation import SoftMaker
from portalsec.testing.authenticator import SOFT_AAGUID
from tests.auth.passkeys.test_attestation import attest, made, refused
from tests.docs.pages import module

NOW = datetime(2026, 3, 2, tzinfo=UTC)
HOST = "mds.fidoalliance.org"
OTHER = "11111111-2222-3333-4444-555555555555"


@dataclass
class Service:
    """Signs BLOBs as FIDO does: a certificate for its host under an authority that many have certificates of."""

    authority: SoftMaker
    key: Any
    x5c: list[bytes]

    def blob(self, payload: Any, *, header: Callable[[dict], dict] = lambda it: it) -> bytes:
        algorithm = "ES256" if isinstance(self.key, ec.EllipticCurvePrivateKey) else "RS256"
        head = {"alg": algorithm, "typ": "JWT", "x5c": [base64.b64encode(each).decode() for each in self.x5c]}
        signed = (
            f"{b64url(json.dumps(header(head)).encode())}.{b64url(json.dumps(payload).encode())}".encode()
        )
        if algorithm == "ES256":
            signature = self.key.sign(signed, ec.ECDSA(hashes.SHA256()))
        else:
            signature = self.key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        return signed + b"." + b64url(signature).encode()


def service(*, host: str = HOST, key: Any = None, **maker: Any) -> Service:
    authority = SoftMaker("packed", depth=1, **maker)
    key = key or rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    alternative = x509.SubjectAlternativeName([x509.DNSName(host)])
    return Service(authority, key, authority.chain(name, key.public_key(), (alternative, False)))


SERVICE = service()
MAKER = SoftMaker("packed")


def entry(
    aaguid: str = SOFT_AAGUID, *statuses: str, maker: SoftMaker = MAKER, name: str = "Soft Key"
) -> dict:
    root = x509.load_pem_x509_certificate(maker.root).public_bytes(Encoding.DER)
    return {
        "aaguid": aaguid,
        "metadataStatement": {
            "description": name,
            "attestationRootCertificates": [base64.b64encode(root).decode()],
        },
        "statusReports": [
            {"status": each, "effectiveDate": "2024-01-01"} for each in statuses or ("FIDO_CERTIFIED_L1",)
        ],
        "timeOfLastStatusChange": "2024-01-01",
    }


def payload(*entries: dict, **more: Any) -> dict:
    return {"legalHeader": "-", "no": 70, "nextUpdate": "2026-04-01", "entries": list(entries)} | more


def written(folder: Path, blob: bytes) -> Path:
    path = folder / "blob.jwt"
    path.write_bytes(blob)
    return path


def loaded(folder: Path, body: Any, *, by: Service = SERVICE, **arguments: Any) -> Metadata:
    arguments = {"roots": (SERVICE.authority.root,), "now": NOW} | arguments
    return load_metadata(written(folder, by.blob(body)), **arguments)


def test_a_make_is_proven_by_its_own_roots_and_named(tmp_path: Path):
    metadata = loaded(tmp_path, payload(entry(), entry(OTHER, name="Other Key", maker=SoftMaker("packed"))))
    policy = AttestationPolicy(required=True, metadata=metadata)
    assert policy.conveyance == "direct"
    assert attest(policy, made(MAKER))
    assert refused(policy, made(SoftMaker("packed"))) is Check.R_TRUST
    assert (metadata.number, metadata.name_of(SOFT_AAGUID), metadata.name_of(OTHER)) == (
        70,
        "Soft Key",
        "Other Key",
    )
    assert metadata.name_of("00000000-0000-0000-0000-000000000000") is None
    assert repr(metadata).count("Soft") == 0


def test_the_roots_of_one_make_vouch_for_no_other(tmp_path: Path):
    """Else whoever makes one listed authenticator could speak for all."""
    metadata = loaded(tmp_path, payload(entry(OTHER)))
    assert refused(AttestationPolicy(required=True, metadata=metadata), made(MAKER)) is Check.R_TRUST


def u2f(maker: SoftMaker, *statuses: str) -> tuple[tuple[bytes, bytes], dict]:
    """A response of a key that attests as U2F does, and the entry that knows it by its certificate."""
    response = made(maker)
    leaf = x509.load_der_x509_certificate(read(response[0])["attStmt"]["x5c"][0])
    known = x509.SubjectKeyIdentifier.from_public_key(leaf.public_key()).digest.hex()
    found = entry("", *statuses, maker=maker) | {"attestationCertificateKeyIdentifiers": [known]}
    del found["aaguid"]
    return response, found


def test_a_u2f_key_is_known_by_its_certificate_and_by_no_other(tmp_path: Path):
    maker = SoftMaker("fido-u2f")
    response, known = u2f(maker)
    policy = AttestationPolicy(required=True, metadata=loaded(tmp_path, payload(known)))
    assert attest(policy, response)
    assert refused(policy, made(maker)) is Check.R_TRUST, "another certificate, of the same maker"
    assert refused(policy, made(SoftMaker("fido-u2f"))) is Check.R_TRUST


@pytest.mark.parametrize("status", sorted(REFUSED_STATUSES))
def test_a_u2f_key_that_fido_warns_of_is_refused(status: str, tmp_path: Path):
    response, known = u2f(SoftMaker("fido-u2f"), status)
    metadata = loaded(tmp_path, payload(known))
    for policy in (AttestationPolicy(metadata=metadata), AttestationPolicy(metadata=metadata, required=True)):
        assert refused(policy, response) is Check.R_TRUST


def test_the_other_reader_of_blobs_takes_the_same_file(tmp_path: Path):
    root = x509.load_pem_x509_certificate(SERVICE.authority.root).public_bytes(Encoding.DER)
    body = payload(entry())
    body["entries"][0] |= {"metadataStatement": None}  # whose statement it wants whole
    assert parse_blob(SERVICE.blob(body), root).no == loaded(tmp_path, payload(entry())).number


@pytest.mark.parametrize("status", sorted(REFUSED_STATUSES))
def test_a_make_that_fido_warns_of_is_refused_under_every_policy_that_has_the_metadata(
    status: str, tmp_path: Path
):
    metadata = loaded(tmp_path, payload(entry(SOFT_AAGUID, "FIDO_CERTIFIED_L1", status, "UPDATE_AVAILABLE")))
    for policy in (
        AttestationPolicy(metadata=metadata),
        AttestationPolicy(metadata=metadata, roots=(MAKER.root,)),
        AttestationPolicy(metadata=metadata, required=True),
    ):
        for response in (made(MAKER), made("none")):  # it says itself that it is of that make
            assert refused(policy, response) is Check.R_TRUST


def test_an_overdue_blob_proves_nothing_and_still_warns(tmp_path: Path):
    metadata = loaded(tmp_path, payload(entry(), entry(OTHER, "REVOKED")))
    policy = AttestationPolicy(metadata=metadata)
    late = datetime(2026, 4, 1, tzinfo=UTC) + timedelta(days=60)
    assert attest(policy, made(MAKER), now=late)
    assert not attest(policy, made(MAKER), now=late + timedelta(seconds=1))
    assert metadata.warns_of(OTHER)


def test_entries_of_older_protocols_and_unreadable_roots_do_no_harm(tmp_path: Path):
    broken = entry(OTHER)
    broken["metadataStatement"]["attestationRootCertificates"] = ["AAAA", "!"]
    metadata = loaded(tmp_path, payload({"aaid": "4e4e#4005", "statusReports": []}, broken, entry()))
    assert set(metadata.makes) == {SOFT_AAGUID, OTHER}
    assert metadata.roots_of(OTHER, now=NOW) == ()


def fails(path: Path, words: str, **arguments: Any) -> None:
    arguments = {"roots": (SERVICE.authority.root,), "now": NOW} | arguments
    with pytest.raises(ConfigurationError, match=words) as error:
        load_metadata(path, **arguments)
    assert str(error.value).startswith(f"attestation.metadata: {path}: ")
    assert (error.value.__cause__ is None and error.value.__context__ is None) or words == "cannot be read"


@pytest.mark.parametrize(
    "by",
    [
        service(),  # another authority of the same name
        service(host="evil.example"),
        service(host="mds.fidoalliance.org.evil.example"),
    ],
)
def test_a_blob_that_is_not_fido_s_is_refused(by: Service, tmp_path: Path):
    path = written(tmp_path, by.blob(payload(entry())))
    fails(path, "is not signed by mds")
    if by.x5c[0] and HOST != "mds":  # the control: its own root and name are what is missing
        name = x509.load_der_x509_certificate(by.x5c[0]).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
        (host,) = name.value.get_values_for_type(x509.DNSName)
        assert load_metadata(path, roots=(by.authority.root,), now=NOW, host=host)


def test_a_certificate_of_the_same_authority_for_another_name_is_not_fido_s(tmp_path: Path):
    """GlobalSign's root vouches for half the web: whoever has any certificate under it must not write metadata."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    alternative = x509.SubjectAlternativeName([x509.DNSName("shop.example")])
    chain = SERVICE.authority.chain(name, key.public_key(), (alternative, False))
    fails(
        written(tmp_path, Service(SERVICE.authority, key, chain).blob(payload(entry()))),
        "is not signed by mds",
    )


HEADERS = {
    "none": lambda it: it | {"alg": "none"},
    "a keyed hash": lambda it: it | {"alg": "HS256"},
    "another algorithm": lambda it: it | {"alg": "ES256"},
    "no algorithm": lambda it: {"x5c": it["x5c"]},
    "no chain": lambda it: {"alg": it["alg"]},
    "an empty chain": lambda it: it | {"x5c": []},
    "a chain of numbers": lambda it: it | {"x5c": [1, 2]},
    "rubbish": lambda it: it | {"x5c": ["AAAA"]},
    "no list": lambda it: it | {"x5c": None},
    "critical": lambda it: it | {"crit": ["b64"], "b64": False},
    "the leaf alone": lambda it: it | {"x5c": it["x5c"][:1]},
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_does_not_lead_to_the_root_is_refused(name: str, tmp_path: Path):
    fails(written(tmp_path, SERVICE.blob(payload(entry()), header=HEADERS[name])), "is not signed")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda it: it[:-4] + b"AAAA",
        lambda it: it.replace(b".", b".A", 1),
        lambda it: it.rpartition(b".")[0],
        lambda it: it.rpartition(b".")[0] + b".",
        lambda it: it + b".AAAA",
        lambda it: b"..",
        lambda it: b"\xff" * 100,
        lambda it: b"[" * 100_000 + b"." + b".",
        lambda it: b64url(b"[" * 100_000).encode() + b".AAAA.AAAA",
        lambda it: b"{}" * 10,
    ],
)
def test_a_file_that_was_changed_is_refused(spoil: Callable[[bytes], bytes], tmp_path: Path):
    fails(written(tmp_path, spoil(SERVICE.blob(payload(entry())))), "is not signed")


@pytest.mark.parametrize(
    "body",
    [
        [], {}, 5, None, payload(no="70"), payload(nextUpdate="soon"), payload(entries=None), payload({"aaguid": "x"}),
        payload({"aaguid": SOFT_AAGUID}), payload(entry() | {"statusReports": [5]}), payload(entry() | {"metadataStatement": 5}),
        payload(no=True), payload(entry() | {"aaguid": 5}),
    ],
)  # fmt: skip
def test_a_signed_payload_of_another_form_is_an_error(body: Any, tmp_path: Path):
    fails(written(tmp_path, SERVICE.blob(body)), "has not the form")


def test_an_older_file_cannot_be_put_back(tmp_path: Path):
    path = written(tmp_path, SERVICE.blob(payload(entry())))
    assert load_metadata(path, roots=(SERVICE.authority.root,), now=NOW, at_least=70).number == 70
    fails(path, "older than 71", at_least=71)


def test_an_expired_signer_is_refused(tmp_path: Path):
    old = service(valid_until=datetime(2026, 3, 1, tzinfo=UTC))
    path = written(tmp_path, old.blob(payload(entry())))
    fails(path, "is not signed", roots=(old.authority.root,))
    assert load_metadata(path, roots=(old.authority.root,), now=NOW - timedelta(days=2))


def test_files_that_cannot_be(tmp_path: Path):
    fails(tmp_path / "none.jwt", "cannot be read")
    (tmp_path / "empty").touch()
    fails(tmp_path / "empty", "is empty")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(64 * 1024 * 1024 + 1)
    fails(tmp_path / "large", "larger than 64 MiB")
    path = written(tmp_path, SERVICE.blob(payload(entry())))
    fails(path, "needs the root", roots=())
    fails(path, "needs the root", roots=(b"rubbish",))


def test_signed_by_an_elliptic_key(tmp_path: Path):
    by = service(key=ec.generate_private_key(ec.SECP256R1()))
    assert loaded(tmp_path, payload(entry()), by=by, roots=(by.authority.root,)).number == 70


def test_the_how_to_s_block_reads_fidos_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    now = datetime.now(UTC)
    body = payload(entry(), no=150) | {"nextUpdate": f"{now + timedelta(days=30):%Y-%m-%d}"}
    written(tmp_path, SERVICE.blob(body))
    (tmp_path / "globalsign-r3.pem").write_bytes(SERVICE.authority.root)
    monkeypatch.chdir(tmp_path)
    page = module("require-certain-authenticators", "from datetime import UTC, datetime")
    assert attest(page.attestation, made(MAKER))
    assert refused(page.attestation, made(SoftMaker("packed"))) is Check.R_TRUST
