"""`Pkcs11Uri`: where a key of a token is, as RFC 7512 writes it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

from portalsec.errors import ConfigurationError

__all__ = ["Pkcs11Uri"]

_ENCODED = re.compile(r"(?:[A-Za-z0-9\-._~:\[\]@!$'()*+,=/&|]|%[0-9A-Fa-f]{2})*")
_PATH = frozenset({"token", "serial", "object", "id", "type"})
_QUERY = frozenset({"module-path", "pin-source"})
_EXAMPLE = 'write it as "pkcs11:token=portal;object=kek?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:keys/pin"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Pkcs11Uri:
    """The parts of a PKCS #11 URI that name a secret key. It holds no secret: ``pin-value`` is refused.

    Attributes:
        module: the vendor's library.
        token, serial: which token; at least one is given.
        object, id: which key (its label, its CKA_ID); at least one is given.
        pin_source: the reference ``file:PATH`` or ``env:NAME`` of the user's PIN; None where the key needs no login.
    """

    module: Path
    token: str | None = None
    serial: str | None = None
    object: str | None = None
    id: bytes | None = None
    pin_source: str | None = None

    def __post_init__(self) -> None:
        if self.token is None and self.serial is None:
            raise ConfigurationError(f"a PKCS #11 URI names its token by token= or serial=: {_EXAMPLE}")
        if self.object is None and self.id is None:
            raise ConfigurationError(f"a PKCS #11 URI names its key by object= or id=: {_EXAMPLE}")

    @classmethod
    def parse(cls, text: str) -> Pkcs11Uri:
        """Read a URI (RFC 7512 section 2.3).

        Raises:
            ConfigurationError: not such a URI; an attribute that is not used here, since one that is overlooked
                could have named another key; a PIN in the URI itself.
        """
        scheme, colon, rest = text.partition(":")
        if scheme != "pkcs11" or not colon:
            raise ConfigurationError(f"this is not a PKCS #11 URI: {_EXAMPLE}")
        path, _, query = rest.partition("?")
        attributes = _attributes(path, ";", _PATH)
        options = _attributes(query, "&", _QUERY)
        if attributes.get("type", b"secret-key") != b"secret-key":
            raise ConfigurationError("a key-encryption key in a token has type=secret-key")
        if "module-path" not in options:
            raise ConfigurationError(f"a PKCS #11 URI names the vendor's library by module-path=: {_EXAMPLE}")
        texts = {name: _text(value) for name, value in {**attributes, **options}.items() if name != "id"}
        return cls(
            module=Path(texts["module-path"]),
            token=texts.get("token"),
            serial=texts.get("serial"),
            object=texts.get("object"),
            id=attributes.get("id"),
            pin_source=texts.get("pin-source"),
        )


def _attributes(text: str, separator: str, known: frozenset[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in text.split(separator) if text else ():
        name, equals, value = part.partition("=")
        if name == "pin-value":  # checked first, and not printed
            raise ConfigurationError(
                "a PIN has no place in a PKCS #11 URI: write pin-source=file:PATH or pin-source=env:NAME"
            )
        if name not in known or not equals:
            raise ConfigurationError(
                f"a PKCS #11 URI has an attribute that is not used here: known are {', '.join(sorted(known))}"
            )
        if name in found or not value or not _ENCODED.fullmatch(value):
            raise ConfigurationError(
                f"{name}= of a PKCS #11 URI is given twice, empty or not percent-encoded"
            )
        found[name] = unquote_to_bytes(value)
    return found


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigurationError("a PKCS #11 URI has an attribute that is not UTF-8") from None
