"""`SqlalchemyUtilsReader`: columns of sqlalchemy-utils' ``StringEncryptedType`` and ``EncryptedType``.

The key of every engine is SHA-256 of the secret.

==============  ==================================================================================================
AesGcmEngine    base64 of ``iv[12] || tag[16] || ciphertext``, AES-256-GCM without associated data
FernetEngine    a Fernet token
AesEngine       base64 of AES-256-CBC, whose IV is the first half of the key. **Nothing authenticates it**: a value that
                somebody edited may open as another value. Migrate these first, and as fast as you can.
==============  ==================================================================================================

Values that are no text went through ``repr()`` there: see `ReprText`.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Literal

from portalsec.crypto._hidden import Hidden
from portalsec.crypto.legacy._secrets import AnySecret, standard_base64, to_bytes
from portalsec.crypto.legacy.convert import ReprText
from portalsec.crypto.legacy.fernet import FernetReader
from portalsec.errors import ConfigurationError, DecryptionError

__all__ = ["SqlalchemyUtilsReader"]

_ENGINES = ("AesEngine", "AesGcmEngine", "FernetEngine")
_PADDINGS = ("naive", "pkcs5", "oneandzeroes", "zeroes")
_BLOCK = 16


class SqlalchemyUtilsReader(Hidden):
    """Cells of one engine under one secret. Safe to share between threads."""

    def __init__(
        self,
        secret: AnySecret,
        engine: Literal["AesEngine", "AesGcmEngine", "FernetEngine"] = "AesEngine",
        *,
        padding: Literal["naive", "pkcs5", "oneandzeroes", "zeroes"] = "naive",
        name: str | None = None,
    ) -> None:
        """
        Args:
            secret: the column's key.
            engine: the column's engine; that library's default is AesEngine.
            padding: the column's padding, for AesEngine; that library's default is "naive".
            name: in the counts; "sqlalchemy-utils AesEngine" and so on by default.

        Raises:
            ConfigurationError: an engine, padding or secret that is none.
        """
        if engine not in _ENGINES or padding not in _PADDINGS:
            raise ConfigurationError(
                f"SqlalchemyUtilsReader reads the engines {', '.join(_ENGINES)} with the paddings {', '.join(_PADDINGS)}"
            )
        key = hashlib.sha256(to_bytes(secret, "the key of a sqlalchemy-utils column")).digest()
        self._engine = engine
        self._padding = padding
        self._fernet = FernetReader(base64.urlsafe_b64encode(key)) if engine == "FernetEngine" else None
        self._key = key
        self.name = name or f"sqlalchemy-utils {engine}"

    def read(self, data: bytes | str) -> object | None:
        """The text. Raises `DecryptionError` for what has the engine's form and does not open."""
        if self._fernet is not None:
            opened = self._fernet.read(data)
            plaintext = opened if isinstance(opened, bytes) else None
        else:
            raw = standard_base64(data)
            plaintext = None
            if raw is not None:
                plaintext = self._gcm(raw) if self._engine == "AesGcmEngine" else self._cbc(raw)
        if plaintext is None:
            return None
        try:
            return ReprText(plaintext.decode("utf-8"))
        except UnicodeDecodeError:
            pass  # outside the handler: the error holds the plaintext
        raise DecryptionError("not_authentic")

    def _gcm(self, raw: bytes) -> bytes | None:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if len(raw) < 28:
            return None
        try:
            return AESGCM(self._key).decrypt(raw[:12], raw[28:] + raw[12:28], None)
        except InvalidTag:
            pass
        raise DecryptionError("not_authentic")

    def _cbc(self, raw: bytes) -> bytes | None:
        from cryptography.hazmat.primitives.ciphers import Cipher
        from cryptography.hazmat.primitives.ciphers.algorithms import AES256
        from cryptography.hazmat.primitives.ciphers.modes import CBC

        if not raw or len(raw) % _BLOCK:
            return None
        decryptor = Cipher(AES256(self._key), CBC(self._key[:_BLOCK])).decryptor()
        value = _unpadded(decryptor.update(raw) + decryptor.finalize(), self._padding)
        if value is None:
            raise DecryptionError("not_authentic")
        return value


def _unpadded(padded: bytes, padding: str) -> bytes | None:
    """The value; None where the padding is wrong. Stricter than that library, which takes more than it writes."""
    if padding == "naive":
        value = padded.rstrip(b"*")
        # At least one star is written; a value that ended in stars has lost them in that library.
        return value if len(padded) - len(value) >= 1 else None
    if padding == "oneandzeroes":
        value = padded.rstrip(b"\x00")
        count = len(padded) - len(value) + 1
        return value[:-1] if value.endswith(b"\x80") and count <= _BLOCK else None
    count = padded[-1]
    if not 1 <= count <= _BLOCK:
        return None
    filling = bytes([count]) * count if padding == "pkcs5" else bytes(count - 1) + padded[-1:]
    return padded[:-count] if padded.endswith(filling) else None
