"""Authenticators that exist already: ``otpauth`` URIs, and the payloads by which Google Authenticator moves accounts.

::

    otpauth://totp/Label?secret=BASE32&issuer=...&algorithm=SHA1&digits=6&period=30
    otpauth-migration://offline?data=<base64 of a protobuf message>

Both come out of QR codes that anybody can print, so both are read with bounds: 4096 characters, no member twice, nothing
but TOTP, seeds of 160 to 1024 bits (RFC 4226 section 4 R6 recommends 160; many services hand out 80, which are refused).
Names in them are for display only; nothing here decides whose account a seed belongs to.

The seed of an imported authenticator is also known to whoever made it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from portalsec.auth.totp_codes import TotpParameters
from portalsec.errors import ConfigurationError, Denied, Reason
from portalsec.secret import Secret

__all__ = ["ImportProblem", "ImportRefused", "ImportedSeed", "one_of", "read"]

_MAX_URI = 4096  # more than any QR code holds (2953 bytes)
_MAX_NAME = 254
_MIN_SEED, _MAX_SEED = 20, 128
_MAX_FIELDS = 32
_MAX_ENTRIES = 64


class ImportProblem(StrEnum):
    """Why nothing could be taken over: a closed list, each with a sentence for whoever tried."""

    NOT_TEXT = "not_text"
    TOO_LONG = "too_long"
    NOT_OTPAUTH = "not_otpauth"
    NOT_TOTP = "not_totp"
    TWICE = "twice"
    NO_SECRET = "no_secret"  # noqa: S105
    BAD_SECRET = "bad_secret"  # noqa: S105
    SHORT_SECRET = "short_secret"  # noqa: S105
    LONG_SECRET = "long_secret"  # noqa: S105
    ALGORITHM = "algorithm"
    DIGITS = "digits"
    PERIOD = "period"
    DAMAGED = "damaged"
    EMPTY = "empty"
    SEVERAL = "several"
    NO_ENTRY = "no_entry"


SENTENCES: Final[Mapping[ImportProblem, str]] = MappingProxyType(
    {
        ImportProblem.NOT_TEXT: "Paste the address from the QR code; it begins with otpauth:// or otpauth-migration://.",
        ImportProblem.TOO_LONG: "This is longer than any QR code: export fewer accounts at once.",
        ImportProblem.NOT_OTPAUTH: "This is no authenticator's address: it begins with otpauth:// or otpauth-migration://.",
        ImportProblem.NOT_TOTP: "This authenticator counts presses instead of time (HOTP): add one that goes by time.",
        ImportProblem.TWICE: "This address says one thing twice: export it again.",
        ImportProblem.NO_SECRET: "There is no secret in this address: export it again.",
        ImportProblem.BAD_SECRET: "The secret in this address is not base32: export it again.",
        ImportProblem.SHORT_SECRET: "The secret has fewer than 160 bits, which is too few: set up a new authenticator.",
        ImportProblem.LONG_SECRET: "The secret has more than 1024 bits: set up a new authenticator.",
        ImportProblem.ALGORITHM: "This authenticator uses an algorithm other than SHA-1, SHA-256 and SHA-512: set up a new one.",
        ImportProblem.DIGITS: "This authenticator's codes have fewer than 6 or more than 8 digits: set up a new one.",
        ImportProblem.PERIOD: "This authenticator's codes change more often than every 15 s or less often than every 120 s: set up a new one.",
        ImportProblem.DAMAGED: "This export cannot be read: make it again.",
        ImportProblem.EMPTY: "There is no authenticator in this export: make it again.",
        ImportProblem.SEVERAL: "This export holds several authenticators: choose one.",
        ImportProblem.NO_ENTRY: "This export has no such authenticator: choose one of those it holds.",
    }
)
"""What to say of each problem, in English."""


class ImportRefused(Denied):
    """Nothing was taken over. ``problem`` and its ``sentence`` may be shown to whoever tried; neither quotes the input."""

    def __init__(self, problem: ImportProblem) -> None:
        super().__init__(Reason.MALFORMED)
        self.problem = problem

    def __reduce__(self) -> tuple[type[ImportRefused], tuple[ImportProblem]]:
        return type(self), (self.problem,)

    @property
    def sentence(self) -> str:
        """One English sentence that says what to do."""
        return SENTENCES[self.problem]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedSeed:
    """One authenticator of an import.

    Attributes:
        seed: 20 to 128 bytes.
        name: the account's name as the app shows it, at most 254 characters; may be empty. Display only.
        issuer: the other system's name; may be empty. Display only.
    """

    seed: Secret[bytes]
    parameters: TotpParameters
    name: str
    issuer: str


def read(uri: object) -> tuple[ImportedSeed, ...]:
    """What an ``otpauth`` URI (one authenticator) or a migration payload (one or more) holds. Pure, bounded.

    Authenticators in a payload that could not be taken over refuse the whole of it only where there is no other.

    Raises:
        ImportRefused: with one `ImportProblem`.
    """
    if not isinstance(uri, str):
        raise ImportRefused(ImportProblem.NOT_TEXT)
    if len(uri) > _MAX_URI:
        raise ImportRefused(ImportProblem.TOO_LONG)
    text = uri.strip()
    # urlsplit drops tabs and newlines in silence.
    if not text or not text.isprintable() or any("\ud800" <= char <= "\udfff" for char in text):
        raise ImportRefused(ImportProblem.NOT_OTPAUTH)
    parts = None
    try:
        parts = urlsplit(text)
        fields = parse_qsl(parts.query, keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
    except ValueError:  # what it quotes is the input: it is nobody's context
        fields = None
    if parts is None or parts.scheme.lower() not in {"otpauth", "otpauth-migration"}:
        raise ImportRefused(ImportProblem.NOT_OTPAUTH)
    if fields is None:
        raise ImportRefused(ImportProblem.DAMAGED)
    members = {name.lower(): value for name, value in fields}
    if len(members) != len(fields):
        raise ImportRefused(ImportProblem.TWICE)
    if parts.scheme.lower() == "otpauth-migration":
        return _migration(members.get("data", ""))
    if parts.netloc.lower() != "totp":
        raise ImportRefused(
            ImportProblem.NOT_TOTP if parts.netloc.lower() == "hotp" else ImportProblem.NOT_OTPAUTH
        )
    return (_plain(parts.path, members),)


def one_of(uri: object, entry: object = None) -> ImportedSeed:
    """The one authenticator of an import, or the one of several that was chosen, from 0.

    Raises:
        ImportRefused: as `read`, and SEVERAL (none was chosen) and NO_ENTRY.
    """
    found = read(uri)
    if entry is None:
        if len(found) > 1:
            raise ImportRefused(ImportProblem.SEVERAL)
        return found[0]
    if not isinstance(entry, int) or isinstance(entry, bool) or not 0 <= entry < len(found):
        raise ImportRefused(ImportProblem.NO_ENTRY)
    return found[entry]


# -- otpauth:// -------------------------------------------------------------------------------------------------------


def _plain(path: str, members: Mapping[str, str]) -> ImportedSeed:
    label = unquote(path.removeprefix("/"), errors="replace")
    prefix, colon, name = label.partition(":")
    if "secret" not in members:
        raise ImportRefused(ImportProblem.NO_SECRET)
    return ImportedSeed(
        seed=_seed(_base32(members["secret"])),
        parameters=_parameters(
            algorithm=members.get("algorithm", "SHA1").upper().replace("-", ""),
            digits=_number(members.get("digits", "6"), ImportProblem.DIGITS),
            period=_number(members.get("period", "30"), ImportProblem.PERIOD),
        ),
        name=_shown(name if colon else label),
        issuer=_shown(members.get("issuer") or (prefix if colon else "")),
    )


def _base32(text: str) -> bytes:
    """Either case, padded or not, in groups or not (RFC 4648 section 6)."""
    compact = text.replace(" ", "").replace("-", "").rstrip("=").upper()
    decoded = b""
    try:
        decoded = base64.b32decode(compact + "=" * (-len(compact) % 8))
    except (binascii.Error, ValueError):
        compact = ""
    if not compact:
        raise ImportRefused(ImportProblem.BAD_SECRET)
    return decoded


def _seed(seed: bytes) -> Secret[bytes]:
    if len(seed) < _MIN_SEED:
        raise ImportRefused(ImportProblem.SHORT_SECRET)
    if len(seed) > _MAX_SEED:
        raise ImportRefused(ImportProblem.LONG_SECRET)
    return Secret(seed)


def _number(text: str, problem: ImportProblem) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4):
        raise ImportRefused(problem)
    return int(text)


def _parameters(*, algorithm: str, digits: int, period: int) -> TotpParameters:
    for problem, made in (
        (ImportProblem.ALGORITHM, {"algorithm": algorithm}),
        (ImportProblem.DIGITS, {"digits": digits}),
        (ImportProblem.PERIOD, {"period": period}),
    ):
        if not _possible(made):
            raise ImportRefused(problem)
    return TotpParameters(algorithm=algorithm, digits=digits, period=period)


def _possible(made: Mapping[str, object]) -> bool:
    try:
        TotpParameters(**made)  # type: ignore[arg-type]
    except ConfigurationError:
        return False
    return True


def _shown(text: str) -> str:
    """A name on one line, without what could steer a terminal or a page's direction."""
    return "".join(char for char in text if char.isprintable()).strip()[:_MAX_NAME]


# -- otpauth-migration:// ---------------------------------------------------------------------------------------------
#
# message MigrationPayload { repeated OtpParameters otp_parameters = 1; int32 version = 2; batch_size = 3; ... }
# message OtpParameters { bytes secret = 1; string name = 2; string issuer = 3; Algorithm algorithm = 4;
#                         DigitCount digits = 5; OtpType type = 6; int64 counter = 7; }

_ENTRIES = 1
_SECRET, _NAME, _ISSUER, _ALGORITHM, _DIGITS, _TYPE = 1, 2, 3, 4, 5, 6
_ALGORITHMS = {0: "SHA1", 1: "SHA1", 2: "SHA256", 3: "SHA512"}  # 4 is MD5
_DIGIT_COUNTS = {0: 6, 1: 6, 2: 8, 3: 7}
_TOTP = 2


def _migration(data: str) -> tuple[ImportedSeed, ...]:
    message: bytes | None = None
    try:
        # A plus sign that nobody escaped comes out of the query as a space.
        compact = data.replace(" ", "+").replace("-", "+").replace("_", "/").rstrip("=")
        message = base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except (binascii.Error, ValueError):
        message = None
    if not message:
        raise ImportRefused(ImportProblem.DAMAGED)
    raw = [value for number, value in _fields(message) if number == _ENTRIES]
    if not raw:
        raise ImportRefused(ImportProblem.EMPTY)
    if len(raw) > _MAX_ENTRIES:
        raise ImportRefused(ImportProblem.TOO_LONG)
    found: list[ImportedSeed] = []
    problems: list[ImportProblem] = []
    for value in raw:
        try:
            found.append(_entry(value))
        except ImportRefused as refused:
            problems.append(refused.problem)
    if not found:
        raise ImportRefused(problems[0])
    return tuple(found)


def _entry(value: int | bytes) -> ImportedSeed:
    if not isinstance(value, bytes):
        raise ImportRefused(ImportProblem.DAMAGED)
    fields: dict[int, int | bytes] = {}
    for number, each in _fields(value):
        if number in fields:
            raise ImportRefused(ImportProblem.TWICE)
        fields[number] = each
    if _integer(fields, _TYPE) != _TOTP:
        raise ImportRefused(ImportProblem.NOT_TOTP)
    algorithm = _ALGORITHMS.get(_integer(fields, _ALGORITHM))
    digits = _DIGIT_COUNTS.get(_integer(fields, _DIGITS))
    if algorithm is None:
        raise ImportRefused(ImportProblem.ALGORITHM)
    if digits is None:
        raise ImportRefused(ImportProblem.DIGITS)
    secret = fields.get(_SECRET)
    if not isinstance(secret, bytes) or not secret:
        raise ImportRefused(ImportProblem.NO_SECRET)
    name, issuer = _text(fields, _NAME), _text(fields, _ISSUER)
    return ImportedSeed(
        seed=_seed(secret),
        parameters=_parameters(algorithm=algorithm, digits=digits, period=30),
        name=_shown(name.removeprefix(f"{issuer}:")),
        issuer=_shown(issuer),
    )


def _integer(fields: Mapping[int, int | bytes], number: int) -> int:
    value = fields.get(number, 0)
    return value if isinstance(value, int) else -1


def _text(fields: Mapping[int, int | bytes], number: int) -> str:
    value = fields.get(number, b"")
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a protobuf message, one level deep; fixed-size values are skipped.

    Bounded by the message: every turn takes at least a byte.

    Raises:
        ImportRefused: DAMAGED.
    """
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == 2:
            size, at = _varint(message, at)
        elif kind in {1, 5}:
            size = 8 if kind == 1 else 4
        else:
            raise ImportRefused(ImportProblem.DAMAGED)  # groups, which nobody writes any more
        if number == 0 or size > len(message) - at:
            raise ImportRefused(ImportProblem.DAMAGED)
        if kind == 2:
            yield number, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ImportRefused(ImportProblem.DAMAGED)
