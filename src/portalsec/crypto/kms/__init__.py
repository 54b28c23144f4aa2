"""Key-encryption keys that live elsewhere: each is an `Aead`, asked once a start, to open the keysets.

A keyset in a local file needs nothing of this: ``Keyset.from_json(...).aead()`` is such a key too.
"""

from portalsec.crypto.kms.aws import AwsKmsAead
from portalsec.crypto.kms.pkcs11 import Pkcs11Aead
from portalsec.crypto.kms.pkcs11_uri import Pkcs11Uri
from portalsec.crypto.kms.vault import VaultTransitAead

__all__ = ["AwsKmsAead", "Pkcs11Aead", "Pkcs11Uri", "VaultTransitAead"]
