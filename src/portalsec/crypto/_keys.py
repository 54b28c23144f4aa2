"""The kinds of key: their sizes, their parameters and their encoding as Tink's key protos.

A further kind is one class here and one entry in `MATERIALS` and `TEMPLATES`; the keyset knows none by name. What a
kind accepts (sizes, hashes, salts, prefixes) is what Tink accepts; a test asks the real tink.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar, Literal, TypeAlias, cast, get_args

from portalsec.crypto._proto import Message, bytes_field, uint_field
from portalsec.secret import Secret

__all__ = [
    "MATERIALS",
    "PREFIX_NUMBERS",
    "STATUS_NUMBERS",
    "TEMPLATES",
    "AesGcmKey",
    "AesGcmSivKey",
    "AesSivKey",
    "Hash",
    "HkdfPrfKey",
    "HmacPrfKey",
    "Key",
    "KeyProblem",
    "Material",
    "Prefix",
    "Primitive",
    "Status",
    "XAesGcmKey",
    "read_key",
    "template_named",
]

Status: TypeAlias = Literal["ENABLED", "DISABLED", "DESTROYED"]
Prefix: TypeAlias = Literal["TINK", "RAW", "CRUNCHY", "LEGACY"]
Primitive: TypeAlias = Literal["aead", "daead", "prf"]
Hash: TypeAlias = Literal["SHA1", "SHA224", "SHA256", "SHA384", "SHA512"]

_HASHES: Mapping[int, Hash] = MappingProxyType(
    {1: "SHA1", 2: "SHA384", 3: "SHA256", 4: "SHA512", 5: "SHA224"}  # google.crypto.tink.HashType
)
_HASH_NUMBERS: Mapping[Hash, int] = MappingProxyType({name: number for number, name in _HASHES.items()})

STATUS_NUMBERS: Mapping[Status, int] = MappingProxyType({"ENABLED": 1, "DISABLED": 2, "DESTROYED": 3})
PREFIX_NUMBERS: Mapping[Prefix, int] = MappingProxyType({"TINK": 1, "LEGACY": 2, "RAW": 3, "CRUNCHY": 4})
_STATUS = {number: name for name, number in STATUS_NUMBERS.items()}
_PREFIXES = {number: name for name, number in PREFIX_NUMBERS.items()}

_ALL_PREFIXES = frozenset(get_args(Prefix))
_START_BYTE: Mapping[Prefix, bytes] = MappingProxyType(
    {"TINK": b"\x01", "CRUNCHY": b"\x00", "LEGACY": b"\x00"}
)


class KeyProblem(ValueError):
    """What is wrong with a key, in words that hold none of it."""


@dataclass(frozen=True, slots=True, eq=False)
class AesGcmKey:
    """AES-GCM with 12-byte nonces and 16-byte tags (NIST SP 800-38D). 16 or 32 bytes: Tink has no AES-192."""

    value: Secret[bytes]

    type_url: ClassVar[str] = "type.googleapis.com/google.crypto.tink.AesGcmKey"
    primitive: ClassVar[Primitive] = "aead"
    prefixes: ClassVar[frozenset[str]] = _ALL_PREFIXES

    def __post_init__(self) -> None:
        _check_size(self.value, "an AES-GCM key", 16, 32)

    @property
    def name(self) -> str:
        return f"AES{8 * len(self.value.reveal())}_GCM"

    def to_proto(self) -> bytes:
        return bytes_field(3, self.value.reveal())

    @classmethod
    def from_proto(cls, data: bytes) -> AesGcmKey:
        return cls(_secret(_versioned(data), 3))


@dataclass(frozen=True, slots=True, eq=False)
class AesGcmSivKey:
    """AES-GCM-SIV (RFC 8452): a repeated nonce shows that two messages are equal and nothing more. 16 or 32 bytes."""

    value: Secret[bytes]

    type_url: ClassVar[str] = "type.googleapis.com/google.crypto.tink.AesGcmSivKey"
    primitive: ClassVar[Primitive] = "aead"
    prefixes: ClassVar[frozenset[str]] = _ALL_PREFIXES

    def __post_init__(self) -> None:
        _check_size(self.value, "an AES-GCM-SIV key", 16, 32)

    @property
    def name(self) -> str:
        return f"AES{8 * len(self.value.reveal())}_GCM_SIV"

    def to_proto(self) -> bytes:
        return bytes_field(3, self.value.reveal())

    @classmethod
    def from_proto(cls, data: bytes) -> AesGcmSivKey:
        return cls(_secret(_versioned(data), 3))


@dataclass(frozen=True, slots=True, eq=False)
class XAesGcmKey:
    """XAES-256-GCM (C2SP): AES-256-GCM under a key that is derived from 32 bytes and a salt of 8 to 12 bytes.

    Ours are made with 12, which is C2SP's nonce of 192 bits; Tink reads the shorter ones too.
    """

    value: Secret[bytes]
    salt_size: int = 12

    type_url: ClassVar[str] = "type.googleapis.com/google.crypto.tink.XAesGcmKey"
    primitive: ClassVar[Primitive] = "aead"
    prefixes: ClassVar[frozenset[str]] = frozenset({"TINK", "RAW"})

    def __post_init__(self) -> None:
        _check_size(self.value, "an XAES-256-GCM key", 32)
        if not 8 <= self.salt_size <= 12:
            raise KeyProblem("an XAES-256-GCM key has a salt of 8 to 12 bytes")

    @property
    def name(self) -> str:
        return (
            "XAES_256_GCM" if self.salt_size == 12 else f"XAES_256_GCM_{8 * (self.salt_size + 12)}_BIT_NONCE"
        )

    def to_proto(self) -> bytes:
        return bytes_field(2, uint_field(1, self.salt_size)) + bytes_field(3, self.value.reveal())

    @classmethod
    def from_proto(cls, data: bytes) -> XAesGcmKey:
        message = _versioned(data)
        return cls(_secret(message, 3), message.message(2).uint(1))


@dataclass(frozen=True, slots=True, eq=False)
class AesSivKey:
    """AES-SIV (RFC 5297), deterministic. 64 bytes, half of them for each of its two AES-256 keys."""

    value: Secret[bytes]

    type_url: ClassVar[str] = "type.googleapis.com/google.crypto.tink.AesSivKey"
    primitive: ClassVar[Primitive] = "daead"
    prefixes: ClassVar[frozenset[str]] = _ALL_PREFIXES

    def __post_init__(self) -> None:
        _check_size(self.value, "an AES-SIV key", 64)

    @property
    def name(self) -> str:
        return "AES256_SIV"

    def to_proto(self) -> bytes:
        return bytes_field(2, self.value.reveal())

    @classmethod
    def from_proto(cls, data: bytes) -> AesSivKey:
        return cls(_secret(_versioned(data), 2))


@dataclass(frozen=True, slots=True, eq=False)
class HmacPrfKey:
    """HMAC as a pseudo-random function (RFC 2104). At least 16 bytes; ours are made with SHA256."""

    value: Secret[bytes]
    hash: Hash = "SHA256"

    type_url: ClassVar[str] = "type.googleapis.com/google.crypto.tink.HmacPrfKey"
    primitive: ClassVar[Primitive] = "prf"
    # An output of a length that was asked for has no room for a prefix.
    prefixes: ClassVar[frozenset[str]] = frozenset({"RAW"})

    def __post_init__(self) -> None:
        _check_least(self.value, "an HMAC key", 16)
        if self.hash not in _HASH_NUMBERS:
            raise KeyProblem(f"an HMAC key has one of the hashes {', '.join(sorted(_HASH_NUMBERS))}")

    @property
    def name(self) -> str:
        return f"HMAC_{self.hash}_PRF"

    def to_proto(self) -> bytes:
        return bytes_field(2, uint_field(1, _HASH_NUMBERS[self.hash])) + bytes_field(3, self.value.reveal())

    @classmethod
    def from_proto(cls, data: bytes) -> HmacPrfKey:
        message = _versioned(data)
        return cls(_secret(message, 3), _hash(message.message(2)))


@dataclass(frozen=True, slots=True, eq=False)
class HkdfPrfKey:
    """HKDF as a pseudo-random function (RFC 5869): the input is its info. At least 32 bytes; SHA256 or SHA512."""

    value: Secret[bytes]
    hash: Hash = "SHA256"
    salt: bytes = field(default=b"", repr=False)

    type_url: ClassVar[str] = "type.googleapis.com/google.crypto.tink.HkdfPrfKey"
    primitive: ClassVar[Primitive] = "prf"
    prefixes: ClassVar[frozenset[str]] = frozenset({"RAW"})

    def __post_init__(self) -> None:
        _check_least(self.value, "an HKDF key", 32)
        if self.hash not in ("SHA256", "SHA512"):
            raise KeyProblem("an HKDF key has SHA256 or SHA512 as its hash")

    @property
    def name(self) -> str:
        return f"HKDF_{self.hash}_PRF"

    def to_proto(self) -> bytes:
        params = uint_field(1, _HASH_NUMBERS[self.hash])
        if self.salt:
            params += bytes_field(2, self.salt)
        return bytes_field(2, params) + bytes_field(3, self.value.reveal())

    @classmethod
    def from_proto(cls, data: bytes) -> HkdfPrfKey:
        message = _versioned(data)
        params = message.message(2)
        return cls(_secret(message, 3), _hash(params), params.octets(2))


Material: TypeAlias = AesGcmKey | AesGcmSivKey | XAesGcmKey | AesSivKey | HmacPrfKey | HkdfPrfKey

MATERIALS: Mapping[str, type[Material]] = MappingProxyType(
    {
        kind.type_url: kind
        for kind in cast("tuple[type[Material], ...]", (AesGcmKey, AesGcmSivKey, XAesGcmKey, AesSivKey))
        + cast("tuple[type[Material], ...]", (HmacPrfKey, HkdfPrfKey))
    }
)


def _random(size: int) -> Secret[bytes]:
    return Secret(os.urandom(size))


TEMPLATES: Mapping[str, tuple[Callable[[], Material], Prefix]] = MappingProxyType(
    {
        "XAES_256_GCM": (lambda: XAesGcmKey(_random(32)), "TINK"),
        "AES256_GCM": (lambda: AesGcmKey(_random(32)), "TINK"),
        "AES128_GCM": (lambda: AesGcmKey(_random(16)), "TINK"),
        "AES256_GCM_SIV": (lambda: AesGcmSivKey(_random(32)), "TINK"),
        "AES256_SIV": (lambda: AesSivKey(_random(64)), "TINK"),
        "HMAC_SHA256_PRF": (lambda: HmacPrfKey(_random(32)), "RAW"),
        "HKDF_SHA256_PRF": (lambda: HkdfPrfKey(_random(32)), "RAW"),
    }
)
"""What `Keyset.generate` makes."""

_OTHER_NAMES = MappingProxyType({"XAES_256_GCM_192_BIT_NONCE": "XAES_256_GCM"})


def template_named(name: str) -> tuple[Callable[[], Material], Prefix] | None:
    """The template of this name, or of Tink's other name for it."""
    return TEMPLATES.get(_OTHER_NAMES.get(name, name))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Key:
    """One entry of a keyset; only a destroyed one has no material (and may have no prefix)."""

    id: int
    status: Status
    prefix: Prefix | None
    material: Material | None

    def __post_init__(self) -> None:
        if not 0 < self.id < 2**32:
            raise KeyProblem("a key id is a number from 1 to 4294967295")
        if self.status == "DESTROYED":
            if self.material is not None:
                raise KeyProblem(f"key {self.id} is DESTROYED and still has its key")
            return
        if self.material is None:
            raise KeyProblem(f"key {self.id} is {self.status} and has no key data")
        if self.prefix not in self.material.prefixes:
            raise KeyProblem(
                f"key {self.id} has output prefix {self.prefix}, and {self.material.name} is read with "
                f"{' or '.join(sorted(self.material.prefixes))} only"
            )

    @property
    def output_prefix(self) -> bytes:
        """What outputs of this key begin with: five bytes, or none for a RAW key. A hint, not authenticated."""
        if self.prefix is None or self.prefix == "RAW":
            return b""
        return _START_BYTE[self.prefix] + self.id.to_bytes(4, "big")


def read_key(*, key_id: int, status: int, prefix: int, data: tuple[str, bytes] | None) -> Key:
    """An entry as the JSON and the binary reader find it.

    Args:
        key_id: as stored.
        status: its number in Tink's enum.
        prefix: its number in Tink's enum.
        data: type URL and key proto; None where there is no key data at all.

    Raises:
        ValueError: `KeyProblem` or `ProtoError`: not a key that Tink uses, or not one of ours.
    """
    state = _STATUS.get(status)
    if state is None:
        raise KeyProblem(f"key {key_id} has an unknown status")
    material: Material | None = None
    if state != "DESTROYED":  # destroyed is destroyed, even where a tool left the bytes behind
        if data is None:
            raise KeyProblem(f"key {key_id} is {state} and has no key data")
        if prefix not in _PREFIXES:
            raise KeyProblem(f"key {key_id} has an output prefix that is not known")
        kind = MATERIALS.get(data[0])
        if kind is None:
            known = ", ".join(sorted(url.rpartition(".")[2] for url in MATERIALS))
            raise KeyProblem(f"key {key_id} is of a type that is not known (known: {known})")
        material = kind.from_proto(data[1])
    return Key(id=key_id, status=state, prefix=_PREFIXES.get(prefix), material=material)


def _versioned(data: bytes) -> Message:
    message = Message(data, wide=True)
    if message.uint(1) != 0:
        raise KeyProblem("only version 0 of a key is known")
    return message


def _secret(message: Message, number: int) -> Secret[bytes]:
    return Secret(message.octets(number))


def _hash(params: Message) -> Hash:
    name = _HASHES.get(params.uint(1))
    if name is None:
        raise KeyProblem("a key of a hash function has a hash that is not known")
    return name


def _check_size(value: Secret[bytes], what: str, *sizes: int) -> None:
    size = len(value.reveal())
    if size not in sizes:
        raise KeyProblem(f"{what} has {' or '.join(map(str, sizes))} bytes, not {size}")


def _check_least(value: Secret[bytes], what: str, least: int) -> None:
    size = len(value.reveal())
    if size < least:
        raise KeyProblem(f"{what} has {least} bytes or more, not {size}")
