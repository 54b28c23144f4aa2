"""What vouches for a stored passkey: whoever can write to the database swaps in no key of their own.

A public key is no secret, so nothing else would tell (SP 800-63B-4 section 3.1.6.2 asks that it be protected against
modification). Each record carries a seal: the SHA-256 of whose it is, its credential, key, user handle, make and the flags
that never change, encrypted and authenticated under the portal's ``fields`` keys and bound to the record's id. It is opened at each use; a record whose seal is missing, is another record's, or is of other
contents signs nobody in. Rotation of the keys reaches it as it reaches every cell, and makes no seal where none was right.

What it does not tell: that a whole record was taken away, or one that was once there put back as it was.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace

from portalsec.auth.ports import Passkey, Sealer
from portalsec.errors import DecryptionError

__all__ = ["Records", "seal_place"]


def seal_place(passkey_id: str) -> dict[str, str]:
    """What a seal is bound to: the arguments of `Sealer.seal`. For this package: rotation binds it anew."""
    return {"table": "passkey", "column": "seal", "row": passkey_id}


class Records:
    """Seals records, and says whether a seal holds. Safe for concurrent use."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def sealed(self, passkey: Passkey) -> Passkey:
        """The record with its seal. Only for one that was just verified: it is believed from here on."""
        return replace(passkey, seal=self._sealer.seal(_digest(passkey), **seal_place(passkey.id)))

    def holds(self, passkey: Passkey) -> bool:
        """Whether the seal is there, and of this record as it stands."""
        if passkey.seal is None:
            return False
        try:
            held = self._sealer.open(passkey.seal, **seal_place(passkey.id))
        except DecryptionError:
            return False
        return hmac.compare_digest(held, _digest(passkey))


def _digest(passkey: Passkey) -> bytes:
    """Unambiguous: the lengths of all that follows come first. (`length_prefixed` takes as long as the whole of this.)"""
    whose, make = passkey.account_id, passkey.aaguid
    credential, handle, key = passkey.credential_id, passkey.user_handle, passkey.public_key
    head = (
        f"pspk1 {passkey.algorithm} {passkey.backup_eligible:d}{passkey.attested:d} {len(whose)} {len(make)} "
        f"{len(credential)} {len(handle)} {len(key)} {whose}{make}"
    )
    return hashlib.sha256(b"".join((head.encode("utf-8"), credential, handle, key))).digest()
