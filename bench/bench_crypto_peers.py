"""Row-bound encryption of a field beside what other libraries do for one: each as it comes, nothing of it repeated.

None of the peers binds a value to its row. Keys are expanded and looked up beforehand wherever the peer can keep them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from cryptography.fernet import Fernet

from bench.harness import Row
from portalsec.crypto import EncryptedField, Keyset

__all__ = ["rows"]

_TEXT = "Ada Lovelace, 12 St James's Square, London SW1Y 4JH, 1 Dec 1815."  # 64 characters
_PLAIN = _TEXT.encode()
_ROW = "0192f0c1-7e7a-7cc2-9d4e-6b1f9f1c2ab3"


def rows() -> list[Row]:
    return [
        _row("crypto.encrypt.vs_fernet", _fernet(), "Fernet.encrypt"),
        _row(
            "crypto.encrypt.vs_sqlalchemy_utils",
            _sqlalchemy_utils_engine(),
            "AesGcmEngine.encrypt, its key set",
        ),
        _row(
            "crypto.encrypt.vs_sqlalchemy_utils.column",
            _sqlalchemy_utils_column(),
            "process_bind_param of its column type",
        ),
        _row(
            "crypto.encrypt.vs_django_cryptography",
            _django_cryptography(),
            "FernetBytes.encrypt of its field",
        ),
        _row(
            "crypto.encrypt.vs_django_fernet_fields", _django_fernet_fields(), "get_prep_value of its field"
        ),
        _row(
            "crypto.encrypt.vs_pymongocrypt",
            _pymongocrypt(),
            "explicit encryption, its key in the cache",
            turns=20,
        ),
        _row(
            "crypto.encrypt.vs_aws_encryption_sdk",
            _aws_encryption_sdk(),
            "a raw key, data keys cached",
            turns=2,
        ),
    ]


def _row(row_id: str, theirs: Callable[[], object], note: str, turns: int = 100) -> Row:
    field = EncryptedField[bytes](
        Keyset.generate("AES256_GCM"), table="patients", column="address", type=bytes
    )

    def subject() -> None:
        encrypt = field.encrypt
        for _ in range(1000):
            encrypt(_PLAIN, row=_ROW)

    def baseline() -> None:
        for _ in range(turns):
            theirs()

    return Row(
        id=row_id,
        subject=subject,
        baseline=baseline,
        number=1,
        subject_does=1000,
        baseline_does=turns,
        note=f"64 bytes, beside {note}",
    )


def _fernet() -> Callable[[], object]:
    peer = Fernet(Fernet.generate_key())
    return lambda: peer.encrypt(_PLAIN)


def _sqlalchemy_utils_engine() -> Callable[[], object]:
    from sqlalchemy_utils.types.encrypted.encrypted_type import AesGcmEngine

    peer = AesGcmEngine()
    peer._update_key("a secret of the application")
    return lambda: peer.encrypt(_TEXT)


def _sqlalchemy_utils_column() -> Callable[[], object]:
    from sqlalchemy import Unicode
    from sqlalchemy.dialects.sqlite import dialect
    from sqlalchemy_utils import StringEncryptedType
    from sqlalchemy_utils.types.encrypted.encrypted_type import AesGcmEngine

    peer, there = StringEncryptedType(Unicode, "a secret of the application", AesGcmEngine), dialect()
    return lambda: peer.process_bind_param(_TEXT, there)


def _django_settings() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bench.django_settings")


def _django_cryptography() -> Callable[[], object]:
    _django_settings()
    from django_cryptography.utils.crypto import FernetBytes

    peer: Any = FernetBytes(os.urandom(32))
    return lambda: peer.encrypt(_PLAIN)


def _django_fernet_fields() -> Callable[[], object]:
    _django_settings()
    from encrypted_fields.fields import EncryptedTextField

    peer = EncryptedTextField()
    peer.__dict__["keys"] = [Fernet.generate_key()]  # derived once and kept, as the field does
    return lambda: peer.get_prep_value(_TEXT)


def _pymongocrypt() -> Callable[[], object]:
    import bson
    from pymongocrypt.mongocrypt import MongoCrypt, MongoCryptOptions
    from pymongocrypt.synchronous.explicit_encrypter import ExplicitEncrypter
    from pymongocrypt.synchronous.state_machine import MongoCryptCallback

    class Vault(MongoCryptCallback):  # type: ignore[misc]
        """A key vault in memory."""

        def __init__(self) -> None:
            self.key = b""

        def fetch_keys(self, filter: bytes) -> list[bytes]:
            return [self.key]

        def insert_data_key(self, data_key: bytes) -> Any:
            self.key = bytes(data_key)
            return bson.decode(self.key)["_id"]

        def bson_encode(self, doc: Any) -> bytes:
            return bson.encode(doc)

        def kms_request(self, kms_context: Any) -> None: ...
        def collection_info(self, database: str, filter: bytes) -> None: ...
        def mark_command(self, database: str, cmd: bytes) -> None: ...
        def rewrap_many_data_key(self, *given: Any) -> None: ...
        def close(self) -> None: ...

    options = MongoCryptOptions({"local": {"key": os.urandom(96)}})
    peer = ExplicitEncrypter(Vault(), options)
    key = peer.create_data_key("local")
    value = bson.encode({"v": _TEXT})
    algorithm = "AEAD_AES_256_CBC_HMAC_SHA_512-Random"
    assert MongoCrypt is not None
    return lambda: peer.encrypt(value, algorithm, key_id=key)


def _aws_encryption_sdk() -> Callable[[], object]:
    import aws_encryption_sdk as sdk
    from aws_encryption_sdk.identifiers import EncryptionKeyType, WrappingAlgorithm
    from aws_encryption_sdk.internal.crypto.wrapping_keys import WrappingKey
    from aws_encryption_sdk.key_providers.raw import RawMasterKeyProvider

    class Provider(RawMasterKeyProvider):  # type: ignore[misc]
        provider_id = "bench"

        def _get_raw_key(self, key_id: bytes) -> Any:
            return WrappingKey(
                wrapping_algorithm=WrappingAlgorithm.AES_256_GCM_IV12_TAG16_NO_PADDING,
                wrapping_key=bytes(32),
                wrapping_key_type=EncryptionKeyType.SYMMETRIC,
            )

    provider = Provider()
    provider.add_master_key("bench")
    client = sdk.EncryptionSDKClient(commitment_policy=sdk.CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT)
    manager = sdk.CachingCryptoMaterialsManager(
        master_key_provider=provider, cache=sdk.LocalCryptoMaterialsCache(10), max_age=3600.0
    )
    # The length is given so that data keys are cached.
    return lambda: client.encrypt(source=_PLAIN, materials_manager=manager, source_length=len(_PLAIN))
