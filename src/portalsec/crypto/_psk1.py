"""A subject's key at rest, ``psk1``: a Tink keyset of one key, encrypted under a wrapping key for one subject.

Pure: no store, no clock. Written down with vectors in ``docs/reference/crypto-formats.md``.

::

    key        = a Tink keyset of one AES256_GCM key with the TINK prefix, primary and enabled
    commitment = HMAC-SHA256(the key's 32 bytes, "portalsec commit" || "psk1" || key id, 4 bytes big-endian
                             || text(purpose) || text(subject))
    wrapped    = a Tink EncryptedKeyset in binary form, with the associated data
                 "psk1" || text(purpose) || text(subject) || commitment
    text(s)    = length of s in UTF-8, 4 bytes big-endian || s in UTF-8

AES-GCM does not commit to a key: whoever knows two keys can make one ciphertext that opens under both. The commitment,
checked once at each unwrapping, settles which key a row holds at no cost for the values sealed under it.
"""

from __future__ import annotations

import hmac
from datetime import datetime

from portalsec._encoding import length_prefixed
from portalsec.crypto._keys import AesGcmKey, Key
from portalsec.crypto._keyset_binary import parse, parse_encrypted, write, write_encrypted
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.ports import Aead, SubjectKey
from portalsec.errors import ConfigurationError, DecryptionError

__all__ = ["TEMPLATE", "check_purpose", "check_subject", "names_key", "new_key", "rewrap", "unwrap"]

TEMPLATE = "AES256_GCM"
_MAGIC = b"psk1"
_COMMIT = b"portalsec commit"
_MOST_PURPOSE = 64
_MOST_SUBJECT = 255  # what the narrowest store's column holds


def check_purpose(purpose: object) -> str:
    """The purpose, if it can be one; else `ConfigurationError`."""
    if not isinstance(purpose, str) or not 0 < len(purpose) <= _MOST_PURPOSE or not purpose.isprintable():
        raise ConfigurationError(
            f"the purpose of subject keys is a printable text of 1 to {_MOST_PURPOSE} characters"
        )
    return purpose


def check_subject(subject: object) -> str:
    """The subject's id, if it can be one.

    Raises:
        TypeError: it is no text.
        ValueError: it is empty, longer than 255 characters, or holds what no database keeps as text.
    """
    if not isinstance(subject, str):
        raise TypeError(f"a subject's id is text, not {type(subject).__name__}: pass str(id)")
    if not 0 < len(subject) <= _MOST_SUBJECT:
        # An empty id is one that was not set yet: every person would share its key, and be erased with it.
        raise ValueError(f"a subject's id has 1 to {_MOST_SUBJECT} characters")
    if "\x00" in subject or any("\ud800" <= character <= "\udfff" for character in subject):
        raise ValueError("a subject's id has a character that cannot be stored")
    return subject


def new_key(purpose: str, subject: str, wrapping: Aead, *, now: datetime) -> SubjectKey:
    """A fresh key, wrapped. Whatever the wrapping key raises passes through."""
    keyset = Keyset.generate(TEMPLATE)
    (key,) = keyset._keys
    commitment = _commitment(key, purpose, subject)
    return SubjectKey(
        purpose=purpose,
        subject=subject,
        key_id=key.id,
        commitment=commitment,
        wrapped=_wrapped(keyset, purpose, subject, commitment, wrapping),
        created_at=now,
    )


def unwrap(stored: SubjectKey, purpose: str, subject: str, wrapping: Aead) -> Keyset:
    """The keyset of a stored key, if it is this subject's for this purpose.

    What the row says of purpose and subject is not believed: whoever can write to the store can write that too.

    Raises:
        DecryptionError: "not_a_subject_key", "wrong_commitment", or the wrapping key's reason.
    """
    commitment = stored.commitment
    if stored.wrapped is None or commitment is None or len(commitment) != 32:
        raise DecryptionError("not_a_subject_key")
    encrypted = _encrypted(stored.wrapped)
    if encrypted is None:
        raise DecryptionError("not_a_subject_key")
    keyset = _keyset(wrapping.decrypt(encrypted, _associated_data(purpose, subject, commitment)))
    key = None if keyset is None else _only(keyset)
    if keyset is None or key is None or key.id != stored.key_id:
        raise DecryptionError("not_a_subject_key")
    if not hmac.compare_digest(commitment, _commitment(key, purpose, subject)):
        raise DecryptionError("wrong_commitment")
    return keyset


def rewrap(stored: SubjectKey, purpose: str, subject: str, wrapping: Aead) -> bytes:
    """The same key under the wrapping key that writes now. Raises `DecryptionError` as `unwrap` does."""
    keyset = unwrap(stored, purpose, subject, wrapping)
    assert stored.commitment is not None  # noqa: S101  (`unwrap` checked it)
    return _wrapped(keyset, purpose, subject, stored.commitment, wrapping)


def names_key(wrapped: bytes, prefix: bytes) -> bool:
    """Whether the key was wrapped under the wrapping key of this output prefix, as far as its first bytes say."""
    encrypted = _encrypted(wrapped)
    return encrypted is not None and encrypted.startswith(prefix)


def _wrapped(keyset: Keyset, purpose: str, subject: str, commitment: bytes, wrapping: Aead) -> bytes:
    place = _associated_data(purpose, subject, commitment)
    # Not by way of a name: a frame of this function that ends up in a report holds no key.
    return write_encrypted(wrapping.encrypt(write(keyset._keys, keyset.primary_id), place))


def _encrypted(wrapped: bytes) -> bytes | None:
    try:
        return parse_encrypted(wrapped)
    except (ValueError, TypeError):
        return None


def _keyset(clear: bytes) -> Keyset | None:
    try:
        return Keyset(*parse(clear))
    except ValueError:
        return None


def _only(keyset: Keyset) -> Key | None:
    """The one key, if it is of the one kind that subject keys are made of."""
    if len(keyset._keys) != 1:
        return None
    (key,) = keyset._keys
    right = isinstance(key.material, AesGcmKey) and key.material.name == TEMPLATE and key.prefix == "TINK"
    return key if right else None


def _commitment(key: Key, purpose: str, subject: str) -> bytes:
    assert isinstance(key.material, AesGcmKey)  # noqa: S101  (made or checked here)
    place = _COMMIT + _MAGIC + key.id.to_bytes(4, "big") + length_prefixed(purpose.encode(), subject.encode())
    return hmac.digest(key.material.value.reveal(), place, "sha256")


def _associated_data(purpose: str, subject: str, commitment: bytes) -> bytes:
    return _MAGIC + length_prefixed(purpose.encode(), subject.encode()) + commitment
