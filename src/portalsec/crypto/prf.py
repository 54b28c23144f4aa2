"""`KeyedHash`: HMAC-SHA256 under a keyset's primary key, one unrelated function a purpose.

The input of the HMAC is ``"psh1" || length of purpose, 4 bytes big-endian || purpose || data``: injective, so that no
pair of purpose and data meets another (purpose "ab" with data "c" is not purpose "a" with data "bc").
"""

from __future__ import annotations

from typing import Any

from portalsec._encoding import length_prefixed
from portalsec.crypto._hidden import Hidden
from portalsec.crypto.keyset import Keyset
from portalsec.errors import ConfigurationError

__all__ = ["KeyedHash"]

_MAGIC = b"psh1"
_MOST_PURPOSES = 256


class KeyedHash(Hidden):
    """Satisfies `portalsec.auth.ports.Mac`. Safe to share between threads and across a fork.

    Only the primary key hashes: a stored hash is compared with a fresh one, so promoting another key forgets what was
    stored under the old one (throttle counters, references in logs).
    """

    __slots__ = ("_keyed", "_purposes")

    def __init__(self, keyset: Keyset) -> None:
        """Raises `ConfigurationError` where the keyset is not of HMAC-PRF keys."""
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.hmac import HMAC

        primary = keyset._enabled("prf")[0].material
        assert primary is not None  # noqa: S101  (an enabled key has its material)
        # Keyed once and copied for each hash: setting up the key costs more than hashing something small.
        self._keyed = HMAC(primary.value.reveal(), SHA256())
        self._purposes: dict[str, Any] = {}

    def __call__(self, purpose: str, data: bytes) -> bytes:
        """32 bytes; different purposes are unrelated.

        Raises:
            TypeError: data that are not bytes.
            ConfigurationError: a purpose that is empty, no text or not encodable.
        """
        keyed = self._purposes.get(purpose) or self._for(purpose)
        mac = keyed.copy()
        mac.update(data)
        return mac.finalize()  # type: ignore[no-any-return]

    def _for(self, purpose: object) -> Any:
        """The HMAC with its purpose hashed in, kept; purposes are a handful of constants."""
        if not isinstance(purpose, str) or not purpose or not purpose.isprintable():
            raise ConfigurationError("the purpose of a keyed hash is a printable text that is not empty")
        keyed = self._keyed.copy()
        keyed.update(_MAGIC + length_prefixed(purpose.encode()))
        if len(self._purposes) < _MOST_PURPOSES:
            self._purposes[purpose] = keyed
        return keyed
