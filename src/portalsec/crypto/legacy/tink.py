"""`TinkReader`: ciphertexts of another Tink keyset, with other associated data than a cell's."""

from __future__ import annotations

from portalsec._encoding import unb64url
from portalsec.crypto._hidden import Hidden
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.legacy._secrets import standard_base64
from portalsec.errors import ConfigurationError, DecryptionError
from portalsec.secret import Secret

__all__ = ["TinkReader"]

_FIRST = {"TINK": b"\x01", "CRUNCHY": b"\x00", "LEGACY": b"\x00"}


class TinkReader(Hidden):
    """Ciphertexts of Tink's Aead or DeterministicAead under another keyset. Safe to share between threads.

    The keyset must be another than the field's: what one of the field's own keys wrote is a cell and nothing else. To
    go on with the same keys, give the field a keyset with a new key, and this reader the old one.
    """

    def __init__(
        self, keyset: Keyset | str | Secret[str], *, associated_data: bytes = b"", name: str = "tink"
    ) -> None:
        """
        Args:
            keyset: the old keyset, or its JSON.
            associated_data: with which the old values were encrypted.

        Raises:
            ConfigurationError: no usable keyset, or one that does not encrypt.
        """
        if not isinstance(associated_data, bytes):
            raise ConfigurationError("the associated data of a TinkReader are bytes")
        keys = keyset if isinstance(keyset, Keyset) else Keyset.from_json(keyset)
        if keys.primitive == "daead":
            self._decrypt = keys.deterministic_aead().decrypt_deterministically
        else:
            self._decrypt = keys.aead().decrypt
        live = [key for key in keys.info() if key.status != "DESTROYED"]
        self._prefixes = {
            _FIRST[key.prefix] + key.id.to_bytes(4, "big") for key in live if key.prefix in _FIRST
        }
        self._raw = any(key.prefix == "RAW" and key.status == "ENABLED" for key in live)
        self._associated_data = associated_data
        self.name = name

    def read(self, data: bytes | str) -> object | None:
        """The plaintext's bytes; a text is base64, standard or base64url without padding.

        Raises:
            DecryptionError: its first bytes name one of these keys, or one of them is RAW, and it does not open.
        """
        raw = _decoded(data) if isinstance(data, str) else data
        if raw is None or not (self._raw or raw[:5] in self._prefixes):
            return None
        try:
            return self._decrypt(raw, self._associated_data)
        except DecryptionError as error:
            reason = error.reason
        raise DecryptionError(reason)


def _decoded(text: str) -> bytes | None:
    try:
        return unb64url(text)
    except ValueError:
        return standard_base64(text)
