"""`FernetReader`: Fernet and MultiFernet tokens, and the fields of django-fernet-encrypted-fields.

A token is base64url of ``0x80 || time, 8 bytes || iv[16] || AES-128-CBC, PKCS #7 || HMAC-SHA256``
(github.com/fernet/spec). Its time is not looked at: a column has no time to live.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Sequence
from threading import Lock
from typing import TYPE_CHECKING

from portalsec.crypto._hidden import Hidden
from portalsec.crypto.legacy._secrets import AnySecret, as_ascii, several
from portalsec.errors import ConfigurationError, DecryptionError

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

__all__ = ["DjangoFernetFieldsReader", "FernetReader"]

# Version 0x80, and a time before the year 2106: the first bytes of every token that was written so far.
_FORM = re.compile(rb"gAAAA[A-Za-z0-9_-]{15,}={0,2}")
_DEEPEST = 64


class FernetReader(Hidden):
    """Tokens under one of the keys. Safe to share between threads."""

    def __init__(self, keys: AnySecret | Sequence[AnySecret], *, name: str = "fernet") -> None:
        """
        Args:
            keys: as `Fernet.generate_key` makes them: one, or all of a MultiFernet.
            name: in the counts; give two readers of one field two names.

        Raises:
            ConfigurationError: something that is no key.
        """
        from cryptography.fernet import Fernet, MultiFernet

        listed = several(keys, "a Fernet key")
        try:
            self._fernet = MultiFernet([Fernet(key) for key in listed])
        except (ValueError, binascii.Error):
            self._fernet = None  # type: ignore[assignment]
        if self._fernet is None:  # out here: the error of the library may hold the key
            raise ConfigurationError(
                "a Fernet key is 32 bytes as base64url, as Fernet.generate_key() makes it"
            )
        self.name = name

    def read(self, data: bytes | str) -> object | None:
        """The plaintext's bytes. Raises `DecryptionError` for a token that none of the keys opens."""
        token = _token(data)
        return None if token is None else _opened(self._fernet, token)


class DjangoFernetFieldsReader(Hidden):
    """The fields of django-fernet-encrypted-fields, its JSON field among them. Safe to share between threads.

    Its keys are PBKDF2-HMAC-SHA256 of the project's secret key, with the salt key and 100 000 rounds; they are made
    at the first value.
    """

    def __init__(
        self,
        secret_keys: AnySecret | Sequence[AnySecret],
        salt_keys: AnySecret | Sequence[AnySecret],
        *,
        name: str = "django-fernet-encrypted-fields",
    ) -> None:
        """
        Args:
            secret_keys: ``SECRET_KEY``, and after it ``SECRET_KEY_FALLBACKS``.
            salt_keys: ``SALT_KEY``.

        Raises:
            ConfigurationError: something that is no text, or is empty.
        """
        self._secrets = several(secret_keys, "SECRET_KEY")
        self._salts = several(salt_keys, "SALT_KEY")
        self._made: MultiFernet | None = None
        self._lock = Lock()
        self.name = name

    def read(self, data: bytes | str) -> object | None:
        """The plaintext's bytes, or the document of a JSON field, whose leaves that library makes text.

        Raises:
            DecryptionError: a token that does not open.
        """
        token = _token(data)
        if token is not None:
            return _opened(self._keys(), token)
        text = as_ascii(data)
        if text is None or text[:1] not in (b"{", b"[", b'"'):
            return None
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            return None
        if not _all_tokens(document, _DEEPEST):
            return None
        return _leaves_opened(document, self._keys)

    def _keys(self) -> MultiFernet:
        with self._lock:
            if self._made is None:
                self._made = self._derived()
            return self._made

    def _derived(self) -> MultiFernet:
        from cryptography.fernet import Fernet, MultiFernet
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

        keys = [
            PBKDF2HMAC(algorithm=SHA256(), length=32, salt=salt, iterations=100_000).derive(secret)
            for secret in self._secrets
            for salt in self._salts
        ]
        return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in keys])


def _token(data: bytes | str) -> bytes | None:
    """The token where the data have a token's form. Whether it is whole and authentic is another matter.

    One that was cut has its form too: it is refused, and never handed on to a reader that takes anything. So has one with
    white space around it, or as ``str(token)`` writes bytes: the token inside is read.
    """
    text = (as_ascii(data) or b"").strip()
    if text[:2] in (b"b'", b'b"'):
        text = text[2:-1]
    return text if _FORM.fullmatch(text) else None


def _opened(fernet: MultiFernet, token: bytes) -> bytes:
    from cryptography.fernet import InvalidToken

    try:
        return fernet.decrypt(token)
    except InvalidToken:
        pass  # outside the handler, so that the error has no context
    raise DecryptionError("not_authentic")


def _all_tokens(document: object, depth: int) -> bool:
    """Whether every leaf is a token, and there is one: no other JSON is that library's."""
    if depth == 0:
        return False
    if isinstance(document, str):
        return _token(document) is not None
    items = list(document.values()) if isinstance(document, dict) else document
    return isinstance(items, list) and bool(items) and all(_all_tokens(item, depth - 1) for item in items)


def _leaves_opened(document: object, keys: Callable[[], MultiFernet]) -> object:
    if isinstance(document, dict):
        return {key: _leaves_opened(item, keys) for key, item in document.items()}
    if isinstance(document, list):
        return [_leaves_opened(item, keys) for item in document]
    opened = _opened(keys(), str(document).encode())
    try:
        return opened.decode("utf-8")
    except UnicodeDecodeError:
        pass
    raise DecryptionError("not_canonical")
