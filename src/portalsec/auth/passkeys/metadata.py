"""`Metadata`: what FIDO's metadata service says of each make of authenticator, from a file.

The file is the BLOB of https://mds3.fidoalliance.org (FIDO Metadata Service v3.1): a signed JWT of some megabytes, which the
operator fetches once a month. portalsec fetches nothing. Its signature must chain to a root that the operator names (GlobalSign
Root CA - R3 for FIDO's own), and its certificate must be FIDO's by name, since that root vouches for half the web.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from cryptography import x509
from cryptography.x509 import Certificate

from portalsec._encoding import unb64url
from portalsec.auth.passkeys import certificates
from portalsec.errors import ConfigurationError

__all__ = ["REFUSED_STATUSES", "Make", "Metadata", "load_metadata"]

REFUSED_STATUSES: Final = frozenset(
    {
        "REVOKED",
        "USER_VERIFICATION_BYPASS",
        "ATTESTATION_KEY_COMPROMISE",
        "USER_KEY_REMOTE_COMPROMISE",
        "USER_KEY_PHYSICAL_COMPROMISE",
    }
)
"""Statuses after which a make is refused for good (section 3.1.4). An update that mends it comes as another make."""

_LARGEST: Final = 64 * 1024 * 1024
_HOST: Final = "mds.fidoalliance.org"
_ALGORITHMS: Final = {"RS256": -257, "RS384": -258, "RS512": -259, "ES256": -7, "ES384": -35, "ES512": -36}
_STALE: Final = timedelta(days=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Make:
    """One make of authenticator.

    Attributes:
        name: for people ("YubiKey 5 Series with NFC"), at most 200 characters.
        statuses: every status that FIDO has reported of it.
        roots: which certificates vouch for it.
    """

    name: str
    statuses: frozenset[str]
    roots: tuple[Certificate, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """A verified BLOB. Immutable; safe for concurrent use.

    Attributes:
        number: its serial number, which only rises.
        next_update: when FIDO promises a newer one.
        makes: by AAGUID, as a UUID in lower case; those that have none (U2F) by each key identifier of their certificates.
    """

    number: int
    next_update: date
    makes: Mapping[str, Make] = field(repr=False)

    def roots_of(self, aaguid: str, *, now: datetime) -> tuple[Certificate, ...]:
        """The roots of one make; none where it is unknown, or this BLOB is 60 days overdue: it may have been revoked since."""
        make = self.makes.get(aaguid)
        return make.roots if make is not None and not self.stale(now) else ()

    def warns_of(self, aaguid: str) -> bool:
        """Whether a status of `REFUSED_STATUSES` was ever reported."""
        make = self.makes.get(aaguid)
        return make is not None and not make.statuses.isdisjoint(REFUSED_STATUSES)

    def key_of(self, chain: Sequence[Certificate]) -> str | None:
        """Under which key identifier it has the make of an authenticator without AAGUID (Metadata Statement section 4,
        attestationCertificateKeyIdentifiers); None where it has none."""
        keys = (certificates.key_identifier(each) for each in chain)
        return next((key for key in keys if key in self.makes), None)

    def name_of(self, aaguid: str) -> str | None:
        """The name of a make."""
        make = self.makes.get(aaguid)
        return None if make is None else make.name

    def stale(self, now: datetime) -> bool:
        """Whether a newer one is more than 60 days overdue."""
        return now > datetime.combine(self.next_update, time(), tzinfo=UTC) + _STALE


def load_metadata(
    path: Path, *, roots: tuple[bytes, ...], now: datetime, host: str = _HOST, at_least: int = 0
) -> Metadata:
    """Read and verify a BLOB. Some 100 ms for FIDO's own; at start only.

    Args:
        path: the file, at most 64 MiB.
        roots: PEM or DER of the root that the BLOB's certificate must chain to.
        now: aware UTC.
        host: whose certificate it must be.
        at_least: the smallest serial number that is taken, so that nobody puts an older file back.

    Raises:
        ConfigurationError: in one sentence; nothing of an unverified file is used.
    """

    def wrong(what: str) -> ConfigurationError:
        return ConfigurationError(f"attestation.metadata: {path}: {what}")

    raw = b""
    try:
        if path.stat().st_size <= _LARGEST:
            raw = path.read_bytes()
    except OSError as error:
        raise wrong(f"cannot be read ({error.strerror})") from None
    if not raw:
        raise wrong("is empty or larger than 64 MiB: fetch it from https://mds3.fidoalliance.org")
    trusted: tuple[Certificate, ...] = ()
    with contextlib.suppress(certificates.UnsoundCertificate):
        trusted = certificates.load_roots(roots)
    if not trusted:
        raise wrong("needs the root certificate that its signature chains to, in PEM or DER")
    payload = _verified(raw.strip(), trusted, now=now, host=host)
    if payload is None:
        raise wrong(f"is not signed by {host} under the given root: fetch it anew, and check the root")
    metadata = _read(payload)
    if metadata is None:
        raise wrong("is signed, but has not the form of FIDO Metadata Service v3")
    if metadata.number < at_least:
        raise wrong(f"is number {metadata.number}, older than {at_least}: fetch it anew")
    return metadata


def _verified(raw: bytes, roots: tuple[Certificate, ...], *, now: datetime, host: str) -> bytes | None:
    """The payload of a JWS in compact form (RFC 7515 section 5.2) whose header has its chain, or None."""
    signed, _, signature = raw.rpartition(b".")
    first, dot, body = signed.partition(b".")
    if not dot or b"." in body:
        return None
    try:
        header = json.loads(unb64url(first.decode("ascii")))
        algorithm = _ALGORITHMS[header["alg"]]
        chain = tuple(certificates.load(base64.b64decode(each, validate=True)) for each in header["x5c"])
        if (
            "crit" in header
            or not _is_of(chain[0], host)
            or not certificates.chains_to(chain, roots, now=now)
        ):
            return None
        if not certificates.verifies(chain[0], algorithm, unb64url(signature.decode("ascii")), signed):
            return None
        return unb64url(body.decode("ascii"))
    except (ValueError, KeyError, TypeError, IndexError, RecursionError, certificates.UnsoundCertificate):
        return None


def _is_of(leaf: Certificate, host: str) -> bool:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    return host in names.get_values_for_type(x509.DNSName)


def _read(payload: bytes) -> Metadata | None:
    try:
        parsed = json.loads(payload)
        makes = {}
        for entry in parsed["entries"]:
            if "aaguid" in entry:  # entries of UAF have another name, which no passkey has
                makes[str(UUID(entry["aaguid"]))] = _make(entry)
            for key in entry.get("attestationCertificateKeyIdentifiers", ()):
                makes[bytes.fromhex(key).hex()] = _make(entry)
        number = parsed["no"]
        if type(number) is not int:
            return None
        return Metadata(number=number, next_update=date.fromisoformat(parsed["nextUpdate"]), makes=makes)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _make(entry: Mapping[str, Any]) -> Make:
    statement = entry.get("metadataStatement", {})
    roots = []
    for text in statement.get("attestationRootCertificates", ()):
        try:
            roots.append(certificates.load_root(base64.b64decode("".join(text.split()))))
        except (ValueError, certificates.UnsoundCertificate):
            continue  # one maker's unreadable certificate vouches for nothing; the others stay
    return Make(
        name=str(statement.get("description", ""))[:200],
        statuses=frozenset(str(report["status"]) for report in entry["statusReports"]),
        roots=tuple(roots),
    )
