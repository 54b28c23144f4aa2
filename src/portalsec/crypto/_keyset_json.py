"""Tink's JSON forms: a keyset in the clear (proto3 JSON of `google.crypto.tink.Keyset`) and an encrypted one.

Written in one canonical form; read in every spelling that proto3 JSON allows: camelCase or snake_case names,
standard base64 or base64url with or without padding, enums by name or number, ids as numbers or strings, null
for absent. Refused besides what Tink refuses: a name twice (also in two spellings), characters that are not
base64, and what `portalsec.crypto.keyset` refuses of the whole.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from portalsec.crypto._keys import PREFIX_NUMBERS, STATUS_NUMBERS, Key, KeyProblem, read_key

__all__ = ["parse", "parse_encrypted", "write", "write_encrypted"]

_STATUS_NAMES = {"UNKNOWN_STATUS": 0} | {str(name): number for name, number in STATUS_NUMBERS.items()}
_PREFIX_NAMES = {"UNKNOWN_PREFIX": 0, "WITH_ID_REQUIREMENT": 5} | {
    str(name): number for name, number in PREFIX_NUMBERS.items()
}
_MATERIAL_NAMES = {
    "UNKNOWN_KEYMATERIAL": 0,
    "SYMMETRIC": 1,
    "ASYMMETRIC_PRIVATE": 2,
    "ASYMMETRIC_PUBLIC": 3,
    "REMOTE": 4,
}

_MAX_CHARACTERS = 256 * 1024  # more than 500 keys
_NUMBER = re.compile(r"[0-9]{1,32}(\.[0-9]{1,32})?([eE][+-]?[0-9]{1,4})?", re.ASCII)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,4}", re.ASCII)
_WHITESPACE = re.compile(r"[ \t\r\n]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SNAKE = re.compile(r"_([a-z])")

_KEYSET_FIELDS = frozenset({"primaryKeyId", "key"})
_KEY_FIELDS = frozenset({"keyData", "status", "keyId", "outputPrefixType"})
_KEY_DATA_FIELDS = frozenset({"typeUrl", "value", "keyMaterialType"})
_ENCRYPTED_FIELDS = frozenset({"encryptedKeyset", "keysetInfo"})
_INFO_FIELDS = frozenset({"primaryKeyId", "keyInfo"})
_KEY_INFO_FIELDS = frozenset({"typeUrl", "status", "keyId", "outputPrefixType"})


def write(keys: Iterable[Key], primary_id: int) -> str:
    """The canonical form, indented by two, ending in a newline. Holds the keys."""
    return (
        json.dumps({"primaryKeyId": primary_id, "key": [_key_to_json(key) for key in keys]}, indent=2) + "\n"
    )


def parse(text: str) -> tuple[tuple[Key, ...], int]:
    """The keys in their order and the primary id.

    Raises `KeyProblem`, `ProtoError` (both `ValueError`) with a text that holds nothing of the input besides key
    ids and field names.
    """
    document = _load(text)
    if isinstance(document, dict) and ("encryptedKeyset" in document or "encrypted_keyset" in document):
        raise KeyProblem("it is an encrypted keyset, which Keyset.from_encrypted_json reads")
    fields = _fields(document, _KEYSET_FIELDS, "the keyset")
    primary_id = _uint32(fields.get("primaryKeyId"), "primaryKeyId")
    return tuple(_key_from_json(entry) for entry in _list(fields.get("key"), "key")), primary_id


def write_encrypted(encrypted: bytes, keys: Iterable[Key], primary_id: int) -> str:
    """Tink's `EncryptedKeyset`: the bytes, and what may be shown of the keys (``keysetInfo``)."""
    info = [_key_info_to_json(key) for key in keys]
    document = {
        "encryptedKeyset": base64.b64encode(encrypted).decode("ascii"),
        "keysetInfo": {"primaryKeyId": primary_id, "keyInfo": info},
    }
    return json.dumps(document, indent=2) + "\n"


def parse_encrypted(text: str) -> bytes:
    """The encrypted bytes. ``keysetInfo`` must be well-formed and is not looked at: nothing authenticates it."""
    document = _load(text)
    if isinstance(document, dict) and ("primaryKeyId" in document or "primary_key_id" in document):
        raise KeyProblem("it is a keyset in the clear, which Keyset.from_json reads")
    fields = _fields(document, _ENCRYPTED_FIELDS, "the encrypted keyset")
    if fields.get("keysetInfo") is not None:
        info = _fields(fields["keysetInfo"], _INFO_FIELDS, "keysetInfo")
        _uint32(info.get("primaryKeyId"), "primaryKeyId")
        for entry in _list(info.get("keyInfo"), "keyInfo"):
            key = _fields(entry, _KEY_INFO_FIELDS, "keyInfo")
            _text(key.get("typeUrl"), "typeUrl")
            _enum(key.get("status"), _STATUS_NAMES, "status")
            _uint32(key.get("keyId"), "keyId")
            _enum(key.get("outputPrefixType"), _PREFIX_NAMES, "outputPrefixType")
    encrypted = _base64(fields.get("encryptedKeyset"), "encryptedKeyset")
    if not encrypted:
        raise KeyProblem("it is empty")
    return encrypted


def _key_to_json(key: Key) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    if key.material is not None:
        entry["keyData"] = {
            "typeUrl": key.material.type_url,
            "value": base64.b64encode(key.material.to_proto()).decode("ascii"),
            "keyMaterialType": "SYMMETRIC",
        }
    return entry | _state_to_json(key)


def _key_info_to_json(key: Key) -> dict[str, Any]:
    return ({"typeUrl": key.material.type_url} if key.material else {}) | _state_to_json(key)


def _state_to_json(key: Key) -> dict[str, Any]:
    state: dict[str, Any] = {"status": key.status, "keyId": key.id}
    if key.prefix is not None:
        state["outputPrefixType"] = key.prefix
    return state


def _key_from_json(entry: object) -> Key:
    fields = _fields(entry, _KEY_FIELDS, "a key")
    data = fields.get("keyData")
    return read_key(
        key_id=_uint32(fields.get("keyId"), "keyId"),
        status=_enum(fields.get("status"), _STATUS_NAMES, "status"),
        prefix=_enum(fields.get("outputPrefixType"), _PREFIX_NAMES, "outputPrefixType"),
        data=None if data is None else _key_data(data),
    )


def _key_data(data: object) -> tuple[str, bytes]:
    fields = _fields(data, _KEY_DATA_FIELDS, "keyData")
    # Tink does not look at the material type either, beyond its spelling.
    _enum(fields.get("keyMaterialType"), _MATERIAL_NAMES, "keyMaterialType")
    return _text(fields.get("typeUrl"), "typeUrl"), _base64(fields.get("value"), "value")


# -- proto3 JSON ------------------------------------------------------------------------------------------------


def _load(text: str) -> object:
    if len(text) > _MAX_CHARACTERS:
        raise KeyProblem("it is longer than 256 KiB")
    problem = "it is not JSON"
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except KeyProblem:
        raise
    except RecursionError:
        problem = "it is nested too deeply"
    except ValueError:
        pass
    # Raised out here, so that the decoder's error, which holds the whole text, is not its context.
    raise KeyProblem(problem)


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise KeyProblem("a name comes twice in one object")
    return members


def _no_constant(_: str) -> NoReturn:
    raise KeyProblem("it is not JSON")


def _fields(value: object, known: frozenset[str], what: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise KeyProblem(f"{what} is not an object")
    fields: dict[str, object] = {}
    for spelled, member in value.items():
        name = spelled if spelled in known else _SNAKE.sub(lambda match: match[1].upper(), spelled)
        if name not in known:
            # The name itself is not repeated: in a damaged file it could be anything, also a key.
            raise KeyProblem(f"{what} has a field that is not one of {', '.join(sorted(known))}")
        if name in fields:
            raise KeyProblem(f"{what} has {name} in two spellings")
        fields[name] = member
    return fields


def _list(value: object, what: str) -> list[object]:
    if value is not None and not isinstance(value, list):
        raise KeyProblem(f"{what} is not a list")
    return value or []


def _text(value: object, what: str) -> str:
    if value is not None and not (isinstance(value, str) and not _SURROGATE.search(value)):
        raise KeyProblem(f"{what} is not text")
    return value or ""


def _uint32(value: object, what: str) -> int:
    number = _integer(value)
    if number is None or not 0 <= number < 2**32:
        raise KeyProblem(f"{what} is not a number from 0 to 4294967295")
    return number


def _enum(value: object, names: Mapping[str, int], what: str) -> int:
    number = names.get(value) if isinstance(value, str) else None
    if number is None:
        number = _integer(value)
    if number is None or not -(2**31) <= number < 2**31:  # proto3's enums are open: any number that fits
        raise KeyProblem(f"{what} has a value that is not known")
    return number


def _integer(value: object) -> int | None:
    """A number as proto3 JSON writes one; None for what is not one."""
    if value is None:
        return 0
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        if value.isdigit():
            return int(value)
        value = float(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return None


def _base64(value: object, what: str) -> bytes:
    if value is None:
        return b""
    if isinstance(value, str):
        compact = _WHITESPACE.sub("", value)
        digits = compact.rstrip("=")
        if _BASE64.fullmatch(compact) and len(digits) % 4 != 1:
            return base64.urlsafe_b64decode(
                digits.replace("+", "-").replace("/", "_") + "=" * (-len(digits) % 4)
            )
    raise KeyProblem(f"{what} is not base64")
