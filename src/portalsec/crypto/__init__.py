"""Field encryption in Tink's formats: every cell bound to its place, every key in a keyset.

The way in is a keyset and a field::

    keys = Keyset.generate()                                    # in a portal: portal.keys.fields
    phone = EncryptedField[str](keys, table="patients", column="phone")
    cell = phone.encrypt("+1 212 555 0142", row="patient-7")    # bytes for the database
    phone.decrypt(cell, row="patient-7")                        # and in any other row: DecryptionError

A `BlindIndex` beside the field finds equal values, `SubjectKeys` in place of the keyset let one person be erased, a
`Keyring` loads keysets anew while the application serves, and `Reencryption` puts what is stored under the newest key.
Columns of an ORM are `portalsec.sqlalchemy.fields` and `portalsec.django.fields`; readers of what another library left
are in `portalsec.crypto.legacy`, key services in `portalsec.crypto.kms`. Errors are in `portalsec.errors`.

`cryptography` is loaded by the first cipher or hash that is built, not by this import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portalsec.crypto import normalise
from portalsec.crypto.blind_index import BlindIndex
from portalsec.crypto.codec import JSON
from portalsec.crypto.context import RowId
from portalsec.crypto.fields import EncryptedField
from portalsec.crypto.index_plan import IndexPlan
from portalsec.crypto.keyring import AnyKeyset, Keyring, LiveKeyset
from portalsec.crypto.keyset import KeyInfo, Keyset
from portalsec.crypto.ports import Aead, LegacyReader, SubjectKeyStore
from portalsec.crypto.prf import KeyedHash
from portalsec.crypto.rotation import Encrypt, RebuildCompound, RebuildIndex, Reencrypt, Reencryption, Reseal
from portalsec.crypto.seal import FieldSealer
from portalsec.crypto.stretch import Argon2Cost
from portalsec.crypto.subjects import ShredReceipt, SubjectKeys

if TYPE_CHECKING:
    from portalsec.crypto.envelope import KmsEnvelopeAead

__all__ = [
    "JSON",
    "Aead",
    "AnyKeyset",
    "Argon2Cost",
    "BlindIndex",
    "Encrypt",
    "EncryptedField",
    "FieldSealer",
    "IndexPlan",
    "KeyInfo",
    "KeyedHash",
    "Keyring",
    "Keyset",
    "KmsEnvelopeAead",
    "LegacyReader",
    "LiveKeyset",
    "RebuildCompound",
    "RebuildIndex",
    "Reencrypt",
    "Reencryption",
    "Reseal",
    "RowId",
    "ShredReceipt",
    "SubjectKeyStore",
    "SubjectKeys",
    "normalise",
]


def __getattr__(name: str) -> Any:
    if name == "KmsEnvelopeAead":  # the one that `cryptography` comes with
        from portalsec.crypto.envelope import KmsEnvelopeAead

        return KmsEnvelopeAead
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
