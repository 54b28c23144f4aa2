"""Keysets as JSON, made by hand, and the real tink beside them."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import tink
from tink import aead, json_proto_keyset_format, prf, secret_key_access

from portalsec.crypto import Keyset
from portalsec.crypto.insecure import keyset_to_json

aead.register()
prf.register()

URL = "type.googleapis.com/google.crypto.tink."
KEY = bytes(range(0x80, 0xA0))


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def gcm_key(
    key_id: Any = 42, value: bytes = KEY, *, prefix: str = "TINK", status: str = "ENABLED"
) -> dict[str, Any]:
    proto = b"\x1a" + bytes([len(value)]) + value
    return _entry("AesGcmKey", proto, key_id, prefix, status)


def siv_key(
    key_id: Any = 42, value: bytes = KEY, *, prefix: str = "TINK", status: str = "ENABLED"
) -> dict[str, Any]:
    proto = b"\x1a" + bytes([len(value)]) + value
    return _entry("AesGcmSivKey", proto, key_id, prefix, status)


def xaes_key(
    key_id: Any = 42,
    value: bytes = KEY,
    *,
    salt_size: int = 12,
    prefix: str = "TINK",
    status: str = "ENABLED",
) -> dict[str, Any]:
    proto = b"\x12\x02\x08" + bytes([salt_size]) + b"\x1a" + bytes([len(value)]) + value
    return _entry("XAesGcmKey", proto, key_id, prefix, status)


def prf_key(
    key_id: Any = 42, value: bytes = KEY, *, prefix: str = "RAW", status: str = "ENABLED"
) -> dict[str, Any]:
    proto = b"\x12\x02\x08\x03\x1a" + bytes([len(value)]) + value
    return _entry("HmacPrfKey", proto, key_id, prefix, status)


def _entry(kind: str, proto: bytes, key_id: Any, prefix: str, status: str) -> dict[str, Any]:
    return {
        "keyData": {"typeUrl": URL + kind, "value": b64(proto), "keyMaterialType": "SYMMETRIC"},
        "status": status,
        "keyId": key_id,
        "outputPrefixType": prefix,
    }


def document(*keys: dict[str, Any], primary: Any = 42) -> dict[str, Any]:
    return {"primaryKeyId": primary, "key": copy.deepcopy(list(keys))}


def keyset(*keys: dict[str, Any], primary: Any = 42) -> Keyset:
    return Keyset.from_json(json.dumps(document(*keys, primary=primary)))


def tink_handle(text: str | Keyset) -> tink.KeysetHandle:
    if isinstance(text, Keyset):
        text = keyset_to_json(text)
    return json_proto_keyset_format.parse(text, secret_key_access.TOKEN)


def tink_aead(text: str | Keyset) -> aead.Aead:
    return tink_handle(text).primitive(aead.Aead)


def tink_prf(text: str | Keyset) -> prf.Prf:
    return tink_handle(text).primitive(prf.PrfSet).primary()
