"""`DjangoCryptographyReader`: columns of django-cryptography's ``encrypt(field)``.

A cell is ``0x80 || time, 8 bytes || iv[16] || AES-CBC, PKCS #7 || HMAC-SHA256``. The HMAC's key is the project's
``SECRET_KEY``; the cipher's is PBKDF2-HMAC-SHA256 of ``CRYPTOGRAPHY_KEY`` (or of ``SECRET_KEY``) with 30 000 rounds, or
the key that was given to the field. The plaintext is a *pickle*, which runs whatever its author wrote where it is
unpickled. It is not unpickled here: see `portalsec.crypto.legacy.pickled`.
"""

from __future__ import annotations

import hmac
from threading import Lock

from portalsec.crypto._hidden import Hidden
from portalsec.crypto.legacy._secrets import AnySecret, to_bytes
from portalsec.crypto.legacy.pickled import PickleRefused, scalar
from portalsec.errors import ConfigurationError, DecryptionError

__all__ = ["DjangoCryptographyReader"]

_HEAD = 1 + 8
_IV = 16
_SIGNATURE = 32


class DjangoCryptographyReader(Hidden):
    """Cells under one project's keys. Safe to share between threads. A time to live (``ttl=``) is not looked at."""

    def __init__(
        self,
        secret_key: AnySecret,
        *,
        key: AnySecret | None = None,
        field_key: AnySecret | None = None,
        salt: AnySecret = "django-cryptography",
        name: str = "django-cryptography",
    ) -> None:
        """
        Args:
            secret_key: ``SECRET_KEY``.
            key: ``CRYPTOGRAPHY_KEY``, where the project has set it.
            field_key: the ``key=`` that was given to ``encrypt(field, key=...)``, of 16, 24 or 32 bytes.
            salt: ``CRYPTOGRAPHY_SALT``.

        Raises:
            ConfigurationError: something that is no secret; a field's key of another size.
        """
        self._secret_key = to_bytes(secret_key, "SECRET_KEY")
        self._key = self._secret_key if key is None else to_bytes(key, "CRYPTOGRAPHY_KEY")
        self._salt = to_bytes(salt, "CRYPTOGRAPHY_SALT")
        self._cipher_key = None if field_key is None else to_bytes(field_key, "the field's key")
        if self._cipher_key is not None and len(self._cipher_key) not in (16, 24, 32):
            raise ConfigurationError("the field's key has 16, 24 or 32 bytes")
        self._lock = Lock()
        self.name = name

    def read(self, data: bytes | str) -> object | None:
        """The value: text, bytes, a number, bool, date, datetime, Decimal or UUID.

        Raises:
            DecryptionError: it does not open; or its pickle holds anything else ("pickle_refused").
        """
        if not isinstance(data, bytes) or data[:1] != b"\x80" or len(data) < _HEAD + _SIGNATURE:
            return None  # what is longer and was cut has the form too, and is refused below
        signed, signature = data[:-_SIGNATURE], data[-_SIGNATURE:]
        if not hmac.compare_digest(hmac.digest(self._secret_key, signed, "sha256"), signature):
            raise DecryptionError("not_authentic")
        plaintext = self._decrypted(signed[_HEAD : _HEAD + _IV], signed[_HEAD + _IV :])
        try:
            return scalar(plaintext)
        except PickleRefused:
            pass  # outside the handler: the context may hold the value
        raise DecryptionError("pickle_refused")

    def _decrypted(self, iv: bytes, ciphertext: bytes) -> bytes:
        from cryptography.hazmat.primitives.ciphers import Cipher
        from cryptography.hazmat.primitives.ciphers.algorithms import AES
        from cryptography.hazmat.primitives.ciphers.modes import CBC
        from cryptography.hazmat.primitives.padding import PKCS7

        unpadder = PKCS7(128).unpadder()
        try:
            decryptor = Cipher(AES(self._derived()), CBC(iv)).decryptor()
            padded = decryptor.update(ciphertext) + decryptor.finalize()
            return unpadder.update(padded) + unpadder.finalize()
        except ValueError:
            pass
        raise DecryptionError("not_authentic")

    def _derived(self) -> bytes:
        with self._lock:
            if self._cipher_key is None:
                from cryptography.hazmat.primitives.hashes import SHA256
                from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

                kdf = PBKDF2HMAC(algorithm=SHA256(), length=32, salt=self._salt, iterations=30_000)
                self._cipher_key = kdf.derive(self._key)
            return self._cipher_key
