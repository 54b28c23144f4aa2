"""Field encryption in Tink's formats: every cell bound to its place, every key in a keyset.

`cryptography` is loaded by the first cipher or hash that is built, not by this import.
"""

from portalsec.crypto.blind_index import BlindIndex
from portalsec.crypto.codec import JSON
from portalsec.crypto.context import RowId
from portalsec.crypto.fields import EncryptedField
from portalsec.crypto.index_plan import IndexPlan
from portalsec.crypto.keyring import AnyKeyset, Keyring, LiveKeyset
from portalsec.crypto.keyset import KeyInfo, Keyset
from portalsec.crypto.ports import Aead, SubjectKeyStore
from portalsec.crypto.prf import KeyedHash
from portalsec.crypto.seal import FieldSealer
from portalsec.crypto.subjects import ShredReceipt, SubjectKeys

__all__ = [
    "JSON",
    "Aead",
    "AnyKeyset",
    "BlindIndex",
    "EncryptedField",
    "FieldSealer",
    "IndexPlan",
    "KeyInfo",
    "KeyedHash",
    "Keyring",
    "Keyset",
    "LiveKeyset",
    "RowId",
    "ShredReceipt",
    "SubjectKeyStore",
    "SubjectKeys",
]
