"""Tink's JSON form of a keyset (proto3 JSON of `google.crypto.tink.Keyset`).

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

from portalsec.crypto._keys import MATERIALS, Key, KeyProblem, Material, Prefix, Status

__all__ = ["parse", "write"]

_STATUS: Mapping[int, Status | None] = {0: None, 1: "ENABLED", 2: "DISABLED", 3: "DESTROYED"}
_STATUS_NAMES = {"UNKNOWN_STATUS": 0, "ENABLED": 1, "DISABLED": 2, "DESTROYED": 3}
_PREFIX_NAMES = {
    "UNKNOWN_PREFIX": 0,
    "TINK": 1,
    "LEGACY": 2,
    "RAW": 3,
    "CRUNCHY": 4,
    "WITH_ID_REQUIREMENT": 5,
}
_PREFIXES: Mapping[int, Prefix] = {1: "TINK", 2: "LEGACY", 3: "RAW", 4: "CRUNCHY"}
_MATERIAL_NAMES = {
    "UNKNOWN_KEYMATERIAL": 0,
    "SYMMETRIC": 1,
    "ASYMMETRIC_PRIVATE": 2,
    "ASYMMETRIC_PUBLIC": 3,
    "REMOTE": 4,
}

_MAX_CHARACTERS = 4 * 1024 * 1024
_NUMBER = re.compile(r"[0-9]{1,32}(\.[0-9]{1,32})?([eE][+-]?[0-9]{1,4})?", re.ASCII)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,4}", re.ASCII)
_WHITESPACE = re.compile(r"[ \t\r\n]+")
_SNAKE = re.compile(r"_([a-z])")

_KEYSET_FIELDS = frozenset({"primaryKeyId", "key"})
_KEY_FIELDS = frozenset({"keyData", "status", "keyId", "outputPrefixType"})
_KEY_DATA_FIELDS = frozenset({"typeUrl", "value", "keyMaterialType"})


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
    if len(text) > _MAX_CHARACTERS:
        raise KeyProblem("it is longer than 4 MiB")
    document = _fields(_load(text), _KEYSET_FIELDS, "the keyset")
    primary_id = _uint32(document.get("primaryKeyId"), "primaryKeyId")
    entries = document.get("key")
    if entries is not None and not isinstance(entries, list):
        raise KeyProblem("key is not a list")
    return tuple(_key_from_json(entry) for entry in entries or ()), primary_id


def _key_to_json(key: Key) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    if key.material is not None:
        entry["keyData"] = {
            "typeUrl": key.material.type_url,
            "value": base64.b64encode(key.material.to_proto()).decode("ascii"),
            "keyMaterialType": "SYMMETRIC",
        }
    entry["status"] = key.status
    entry["keyId"] = key.id
    if key.prefix is not None:
        entry["outputPrefixType"] = key.prefix
    return entry


def _key_from_json(entry: object) -> Key:
    fields = _fields(entry, _KEY_FIELDS, "a key")
    key_id = _uint32(fields.get("keyId"), "keyId")
    status = _STATUS.get(_enum(fields.get("status"), _STATUS_NAMES, "status"))
    if status is None:
        raise KeyProblem(f"key {key_id} has an unknown status")
    prefix = _PREFIXES.get(_enum(fields.get("outputPrefixType"), _PREFIX_NAMES, "outputPrefixType"))
    data = fields.get("keyData")
    material = None if data is None else _material(data, key_id, wanted=status != "DESTROYED")
    if prefix is None and status != "DESTROYED":
        raise KeyProblem(f"key {key_id} has an output prefix that is not known")
    return Key(id=key_id, status=status, prefix=prefix, material=material)


def _material(data: object, key_id: int, *, wanted: bool) -> Material | None:
    fields = _fields(data, _KEY_DATA_FIELDS, "keyData")
    _enum(
        fields.get("keyMaterialType"), _MATERIAL_NAMES, "keyMaterialType"
    )  # Tink does not look at it either
    type_url = fields.get("typeUrl") or ""
    value = _base64(fields.get("value"))
    if not isinstance(type_url, str):
        raise KeyProblem("typeUrl is not text")
    if not wanted:
        return None  # destroyed is destroyed, even where a tool left the bytes behind
    kind = MATERIALS.get(type_url)
    if kind is None:
        known = ", ".join(sorted(url.rpartition(".")[2] for url in MATERIALS))
        raise KeyProblem(f"key {key_id} is of a type that is not known (known: {known})")
    return kind.from_proto(value)


# -- proto3 JSON ------------------------------------------------------------------------------------------------


def _load(text: str) -> object:
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
        name = _SNAKE.sub(lambda match: match[1].upper(), spelled)
        if name not in known:
            # The name itself is not repeated: in a damaged file it could be anything, also a key.
            raise KeyProblem(f"{what} has a field that is not one of {', '.join(sorted(known))}")
        if name in fields:
            raise KeyProblem(f"{what} has {name} in two spellings")
        fields[name] = member
    return fields


def _uint32(value: object, what: str) -> int:
    number = _integer(value)
    if number is None or not 0 <= number < 2**32:
        raise KeyProblem(f"{what} is not a number from 0 to 4294967295")
    return number


def _enum(value: object, names: Mapping[str, int], what: str) -> int:
    number = names.get(value) if isinstance(value, str) else None
    if number is None:
        number = _integer(value)
    if number is None or number not in names.values():
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


def _base64(value: object) -> bytes:
    if value is None:
        return b""
    if isinstance(value, str):
        compact = _WHITESPACE.sub("", value)
        digits = compact.rstrip("=")
        if _BASE64.fullmatch(compact) and len(digits) % 4 != 1:
            return base64.urlsafe_b64decode(
                digits.replace("+", "-").replace("/", "_") + "=" * (-len(digits) % 4)
            )
    raise KeyProblem("value is not base64")
