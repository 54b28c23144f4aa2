"""Tink's binary forms: a keyset in the clear (the protocol buffer `google.crypto.tink.Keyset`) and an encrypted one.

Written byte for byte as Tink writes them; read by protobuf's own rules, as Tink reads them::

    Keyset          {1 primary_key_id, 2 repeated Key}
    Key             {1 KeyData {1 type_url, 2 value, 3 key_material_type}, 2 status, 3 key_id, 4 output_prefix_type}
    EncryptedKeyset {2 encrypted_keyset, 3 KeysetInfo {1 primary_key_id, 2 repeated KeyInfo}}
"""

from __future__ import annotations

from collections.abc import Iterable

from portalsec.crypto._keys import PREFIX_NUMBERS, STATUS_NUMBERS, Key, KeyProblem, read_key
from portalsec.crypto._proto import Message, bytes_field, uint_field

__all__ = ["parse", "parse_encrypted", "write", "write_encrypted"]

_SYMMETRIC = 1
_MAX_BYTES = 64 * 1024  # more than 500 keys; reading any more would take seconds for what nobody has


def write(keys: Iterable[Key], primary_id: int) -> bytes:
    """The canonical form. Holds the keys."""
    return uint_field(1, primary_id) + b"".join(bytes_field(2, _key_to_proto(key)) for key in keys)


def parse(data: bytes) -> tuple[tuple[Key, ...], int]:
    """The keys in their order and the primary id.

    Raises `KeyProblem`, `ProtoError` (both `ValueError`) with a text that holds nothing of the input besides key
    ids and field numbers.
    """
    keyset = _message(data)
    return tuple(_key_from_proto(keyset.nested(entry)) for entry in keyset.all(2)), keyset.uint(1)


def write_encrypted(encrypted: bytes) -> bytes:
    """Tink's `EncryptedKeyset`, without its info, as Tink's own binary writers do."""
    return bytes_field(2, encrypted)


def parse_encrypted(data: bytes) -> bytes:
    """The encrypted bytes. The info must be well-formed and is not looked at: nothing authenticates it."""
    message = _message(data)
    info = message.message(3)
    for entry in info.all(2):
        info.nested(entry).text(1)
    encrypted = message.octets(2)
    if not encrypted:
        raise KeyProblem("it is empty")
    return encrypted


def _message(data: bytes) -> Message:
    if len(data) > _MAX_BYTES:
        raise KeyProblem("it is longer than 64 KiB")
    return Message(data)


def _key_to_proto(key: Key) -> bytes:
    data = b""
    if key.material is not None:
        type_url = bytes_field(1, key.material.type_url.encode("ascii"))
        data = bytes_field(1, type_url + bytes_field(2, key.material.to_proto()) + uint_field(3, _SYMMETRIC))
    prefix = uint_field(4, PREFIX_NUMBERS[key.prefix]) if key.prefix else b""
    return data + uint_field(2, STATUS_NUMBERS[key.status]) + uint_field(3, key.id) + prefix


def _key_from_proto(key: Message) -> Key:
    data = key.message(1)
    type_url = data.text(1)
    return read_key(
        key_id=key.uint(3),
        status=key.uint(2),
        prefix=key.uint(4),
        data=(type_url, data.octets(2)) if key.all(1) else None,
    )
