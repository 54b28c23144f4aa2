"""The kinds of key: their sizes, their parameters and their encoding as Tink's key protos.

A further kind is one class here and one entry in `MATERIALS` and `TEMPLATES`; the keyset knows none by name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal, TypeAlias

from portalsec.crypto._proto import bytes_field, read_message, uint_field
from portalsec.secret import Secret

__all__ = [
    "MATERIALS",
    "TEMPLATES",
    "AesGcmKey",
    "HmacPrfKey",
    "Key",
    "KeyProblem",
    "Material",
    "Prefix",
    "Primitive",
    "Status",
]

Status: TypeAlias = Literal["ENABLED", "DISABLED", "DESTROYED"]
Prefix: TypeAlias = Literal["TINK", "RAW"]
Primitive: TypeAlias = Literal["aead", "prf"]

_SHA256 = 3  # google.crypto.tink.HashType


class KeyProblem(ValueError):
    """What is wrong with a key, in words that hold none of it."""


@dataclass(frozen=True, slots=True, eq=False)
class AesGcmKey:
    """AES-GCM with 12-byte nonces and 16-byte tags (NIST SP 800-38D). 16 or 32 bytes: Tink has no AES-192."""

    value: Secret[bytes]

    type_url: ClassVar[str] = "type.googleapis.com/google.crypto.tink.AesGcmKey"
    primitive: ClassVar[Primitive] = "aead"
    prefixes: ClassVar[frozenset[str]] = frozenset({"TINK", "RAW"})

    def __post_init__(self) -> None:
        if len(self.value.reveal()) not in (16, 32):
            raise KeyProblem(f"an AES-GCM key has 16 or 32 bytes, not {len(self.value.reveal())}")

    @property
    def name(self) -> str:
        return f"AES{8 * len(self.value.reveal())}_GCM"

    def to_proto(self) -> bytes:
        return bytes_field(3, self.value.reveal())

    @classmethod
    def from_proto(cls, data: bytes) -> AesGcmKey:
        fields = read_message(data, {1: "uint", 3: "bytes"})
        _check_version(fields)
        return cls(_secret(fields))


@dataclass(frozen=True, slots=True, eq=False)
class HmacPrfKey:
    """HMAC-SHA256 as a pseudo-random function (RFC 2104). At least 16 bytes, as Tink demands."""

    value: Secret[bytes]

    type_url: ClassVar[str] = "type.googleapis.com/google.crypto.tink.HmacPrfKey"
    primitive: ClassVar[Primitive] = "prf"
    prefixes: ClassVar[frozenset[str]] = frozenset(
        {"RAW"}
    )  # an output that must be 32 bytes has no room for one

    def __post_init__(self) -> None:
        if len(self.value.reveal()) < 16:
            raise KeyProblem(f"an HMAC key has 16 bytes or more, not {len(self.value.reveal())}")

    @property
    def name(self) -> str:
        return "HMAC_SHA256_PRF"

    def to_proto(self) -> bytes:
        return bytes_field(2, uint_field(1, _SHA256)) + bytes_field(3, self.value.reveal())

    @classmethod
    def from_proto(cls, data: bytes) -> HmacPrfKey:
        fields = read_message(data, {1: "uint", 2: "bytes", 3: "bytes"})
        _check_version(fields)
        params = fields.get(2, b"")
        if not isinstance(params, bytes) or read_message(params, {1: "uint"}).get(1) != _SHA256:
            raise KeyProblem("an HMAC key is read with SHA256 as its hash only")
        return cls(_secret(fields))


Material: TypeAlias = AesGcmKey | HmacPrfKey

MATERIALS: Mapping[str, type[AesGcmKey] | type[HmacPrfKey]] = MappingProxyType(
    {kind.type_url: kind for kind in (AesGcmKey, HmacPrfKey)}
)

TEMPLATES: Mapping[str, tuple[Callable[[], Material], Prefix]] = MappingProxyType(
    {
        "AES256_GCM": (lambda: AesGcmKey(Secret(os.urandom(32))), "TINK"),
        "HMAC_SHA256_PRF": (lambda: HmacPrfKey(Secret(os.urandom(32))), "RAW"),
    }
)
"""What `Keyset.generate` makes, under Tink's template names."""


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


def _check_version(fields: Mapping[int, int | bytes]) -> None:
    if fields.get(1, 0) != 0:
        raise KeyProblem("only version 0 of a key is known")


def _secret(fields: Mapping[int, int | bytes]) -> Secret[bytes]:
    value = fields.get(3, b"")
    return Secret(value if isinstance(value, bytes) else b"")
