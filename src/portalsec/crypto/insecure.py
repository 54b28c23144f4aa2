"""Keys in the clear.

The import line is spelled ``portalsec.crypto.insecure`` so that a reviewer sees it and ``grep -r crypto.insecure``
lists every place where raw keys leave the library. What comes out is for the one file of mode 0600, the
secret manager or the wrapping key that it is written to, and for nothing else: whoever reads it reads every cell,
the old backups included.
"""

from __future__ import annotations

from portalsec.crypto import _keyset_binary, _keyset_json
from portalsec.crypto.keyset import Keyset

__all__ = ["keyset_to_bytes", "keyset_to_json"]


def keyset_to_json(keyset: Keyset) -> str:
    """Tink's JSON form of the keyset with its keys in the clear, canonical, as `Keyset.from_json` reads it."""
    return _keyset_json.write(keyset._keys, keyset.primary_id)


def keyset_to_bytes(keyset: Keyset) -> bytes:
    """Tink's binary form of the keyset with its keys in the clear, byte for byte Tink's own, as `Keyset.from_bytes`
    reads it."""
    return _keyset_binary.write(keyset._keys, keyset.primary_id)
