"""How readers take the old library's secrets, and the text that columns hold."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from portalsec.errors import ConfigurationError
from portalsec.secret import Secret

__all__ = ["AnySecret", "as_ascii", "several", "standard_base64", "to_bytes"]

AnySecret = str | bytes | Secret[str] | Secret[bytes]


def to_bytes(secret: AnySecret, what: str) -> bytes:
    """The secret's bytes, UTF-8 where it is text. Raises `ConfigurationError` for what is none, or is empty."""
    value: object = secret.reveal() if isinstance(secret, Secret) else secret
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogatepass")
    if not isinstance(value, bytes) or not value:
        raise ConfigurationError(f"{what} is text, bytes or a Secret, and not empty")
    return value


def several(secrets: AnySecret | Sequence[AnySecret], what: str) -> list[bytes]:
    """One or more secrets, in their order. Raises `ConfigurationError` where there is none."""
    listed = [secrets] if isinstance(secrets, (str, bytes, Secret)) else list(secrets)
    if not listed:
        raise ConfigurationError(f"{what}: name at least one")
    return [to_bytes(secret, what) for secret in listed]


def as_ascii(data: bytes | str) -> bytes | None:
    """What a text or binary column holds of a text format; None for anything outside ASCII."""
    try:
        encoded = data.encode("ascii") if isinstance(data, str) else bytes(data)
    except UnicodeEncodeError:
        return None
    return encoded if encoded.isascii() else None


def standard_base64(data: bytes | str) -> bytes | None:
    """Canonical standard base64 with its padding; None for anything else."""
    text = as_ascii(data)
    if text is None:
        return None
    try:
        decoded = base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
    return decoded if base64.b64encode(decoded) == text else None
