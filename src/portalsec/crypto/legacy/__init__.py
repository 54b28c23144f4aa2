"""Readers of what other libraries, or none, left in a column: `EncryptedField(..., legacy=[...])`.

For the time of a migration. Such values are not bound to their row: while a reader is on, whoever writes to the
database can plant a value of the old format in any row, or put an old one back, and it opens. So re-encrypt, look at
`EncryptedField.legacy_counts`, and take the reader out of the list.
"""

from portalsec.crypto.legacy.convert import ReprText, convert
from portalsec.crypto.legacy.django_cryptography import DjangoCryptographyReader
from portalsec.crypto.legacy.fernet import DjangoFernetFieldsReader, FernetReader
from portalsec.crypto.legacy.plaintext import Plaintext
from portalsec.crypto.legacy.sqlalchemy_utils import SqlalchemyUtilsReader
from portalsec.crypto.legacy.tink import TinkReader
from portalsec.crypto.legacy.zoned import Zoned

__all__ = [
    "DjangoCryptographyReader",
    "DjangoFernetFieldsReader",
    "FernetReader",
    "Plaintext",
    "ReprText",
    "SqlalchemyUtilsReader",
    "TinkReader",
    "Zoned",
    "convert",
]
