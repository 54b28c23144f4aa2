"""Reading and writing Tink's JSON, beside the real tink."""

from __future__ import annotations

import base64
import copy
import json
import re
from typing import Any

import pytest
import tink
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st
from tink import aead, json_proto_keyset_format, prf, proto_keyset_format, secret_key_access
from tink.proto import tink_pb2

from portalsec.crypto import Keyset
from portalsec.crypto.insecure import keyset_to_bytes, keyset_to_json
from portalsec.errors import ConfigurationError
from portalsec.secret import Secret
from tests.crypto.keysets import any_keyset, of_tink, tink_reads
from tests.crypto.support import KEY, URL, b64, document, gcm_key, keyset, prf_key, tink_aead, tink_handle
from tests.crypto.test_keyset_binary import ours_alone, same_keys

PLAIN = b"\x1a\x20" + KEY
HIGH = b"\x1a\x20" + b"\xff\xfb" * 16  # its base64 has + and /


# -- writing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "keys",
    [
        [gcm_key()],
        [gcm_key(), gcm_key(7, KEY[:16], prefix="RAW", status="DISABLED")],
        [prf_key(), prf_key(2**32 - 1, KEY * 2)],
    ],
)
def test_the_canonical_form_is_kept_and_is_tink_s(keys):
    text = json.dumps(document(*keys), indent=2) + "\n"
    assert keyset_to_json(Keyset.from_json(text)) == text
    rewritten = json_proto_keyset_format.serialize(tink_handle(text), secret_key_access.TOKEN)
    assert json.loads(rewritten) == json.loads(text)


@pytest.mark.parametrize("template", [aead.aead_key_templates.AES256_GCM, aead.aead_key_templates.AES128_GCM])
def test_keysets_that_tink_makes_are_read(template):
    handle = tink.new_keyset_handle(template)
    text = json_proto_keyset_format.serialize(handle, secret_key_access.TOKEN)
    sealed = handle.primitive(aead.Aead).encrypt(b"message", b"place")
    assert Keyset.from_json(text).aead().decrypt(sealed, b"place") == b"message"


def test_a_secret_text_is_read():
    assert Keyset.from_json(Secret(json.dumps(document(gcm_key())))).primary_id == 42


# -- every spelling ---------------------------------------------------------------------------------------------


def _spelled(change: Any) -> str:
    doc = document(gcm_key(value=HIGH[2:]))
    return change(doc) if callable(change) else json.dumps(doc)


def _with(path: str, value: Any) -> Any:
    def change(doc: dict[str, Any]) -> str:
        *way, last = path.split(".")
        target: Any = doc
        for step in way:
            target = target[int(step)] if step.isdigit() else target[step]
        target[last] = value
        return json.dumps(doc)

    return change


def _without(path: str) -> Any:
    def change(doc: dict[str, Any]) -> str:
        *way, last = path.split(".")
        target: Any = doc
        for step in way:
            target = target[int(step)] if step.isdigit() else target[step]
        del target[last]
        return json.dumps(doc)

    return change


def _snake(doc: dict[str, Any]) -> str:
    return re.sub(
        r'"([a-z]+(?:[A-Z][a-z]+)+)":', lambda m: re.sub("([A-Z])", r"_\1", m[0]).lower(), json.dumps(doc)
    )


SPELLINGS = {
    "canonical": None,
    "snake_case": _snake,
    "base64url": _with("key.0.keyData.value", base64.urlsafe_b64encode(HIGH).decode()),
    "base64url without padding": _with(
        "key.0.keyData.value", base64.urlsafe_b64encode(HIGH).decode().rstrip("=")
    ),
    "base64 without padding": _with("key.0.keyData.value", b64(HIGH).rstrip("=")),
    "both alphabets": _with("key.0.keyData.value", b64(HIGH).replace("/", "_")),
    "broken lines": _with("key.0.keyData.value", b64(HIGH)[:20] + "\n" + b64(HIGH)[20:]),
    "numeric status": _with("key.0.status", 1),
    "numeric prefix": _with("key.0.outputPrefixType", 1),
    "numeric material type": _with("key.0.keyData.keyMaterialType", 1),
    "enum as numeric text": _with("key.0.status", "1"),
    "enum as float": _with("key.0.status", 1.0),
    "material type left out": _without("key.0.keyData.keyMaterialType"),
    "material type null": _with("key.0.keyData.keyMaterialType", None),
    "primary id as text": _with("primaryKeyId", "42"),
    "key id as text": _with("key.0.keyId", "42"),
    "id as float": _with("key.0.keyId", 42.0),
    "id as text with exponent": _with("key.0.keyId", "4.2e1"),
    "id with leading zero": _with("key.0.keyId", "042"),
    "version written out": _with("key.0.keyData.value", b64(b"\x08\x00" + HIGH)),
    "fields in another order": _with("key.0.keyData.value", b64(HIGH + b"\x08\x00")),
    "no spaces": lambda doc: json.dumps(doc, separators=(",", ":")),
    "unknown field of the proto": _with("key.0.keyData.value", b64(HIGH + b"\x20\x01")),
    "field of the proto twice": _with("key.0.keyData.value", b64(PLAIN + HIGH)),
    "overlong number": _with("key.0.keyData.value", b64(b"\x08\x80\x00" + HIGH)),
    "destroyed key without data": lambda doc: json.dumps(
        {**doc, "key": [*doc["key"], {"status": "DESTROYED", "keyId": 7}]}
    ),
    "destroyed key with its data": lambda doc: json.dumps(
        {**doc, "key": [*doc["key"], gcm_key(7, status="DESTROYED")]}
    ),
    "null for absent": lambda doc: json.dumps(
        {**doc, "key": [*doc["key"], {"keyData": None, "status": 3, "keyId": 7, "outputPrefixType": None}]}
    ),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_that_tink_reads_is_read(spelling):
    text = _spelled(SPELLINGS[spelling])
    theirs = tink_aead(text)  # tink reads it, so it belongs here
    ours = Keyset.from_json(text)
    assert ours.aead().decrypt(theirs.encrypt(b"m", b"a"), b"a") == b"m"
    assert theirs.decrypt(ours.aead().encrypt(b"m", b"a"), b"a") == b"m"
    canonical = keyset_to_json(ours)
    assert tink_aead(canonical).decrypt(ours.aead().encrypt(b"m", b"a"), b"a") == b"m"
    assert keyset_to_json(Keyset.from_json(canonical)) == canonical


def test_the_data_of_a_destroyed_key_is_dropped():
    read = keyset(gcm_key(), gcm_key(7, b"\x55" * 32, status="DESTROYED"))
    assert b64(b"\x1a\x20" + b"\x55" * 32) not in keyset_to_json(read)


# -- refusals ---------------------------------------------------------------------------------------------------


def _raw(proto: bytes, kind: str = "AesGcmKey", prefix: str = "TINK") -> str:
    entry = gcm_key(prefix=prefix)
    entry["keyData"] |= {"value": b64(proto), "typeUrl": URL + kind}
    return json.dumps(document(entry))


_ONE = json.dumps(document(gcm_key()))

TINK_REFUSES_TOO = {
    "no text": "",
    "no JSON": "{",
    "text after it": _ONE + " x",
    "byte order mark": "\ufeff" + _ONE,
    "comment": "//\n" + _ONE,
    "single quotes": _ONE.replace('"', "'"),
    "list": "[]",
    "number": "5",
    "null": "null",
    "empty object": "{}",
    "NaN": '{"primaryKeyId": NaN, "key": []}',
    "infinite id": _ONE.replace("42", "1e999"),
    "nested without end": '{"key":' + "[" * 100_000,
    "number without end": '{"primaryKeyId":' + "9" * 10_000 + "}",
    "name twice": '{"primaryKeyId": 42, ' + _ONE[1:],
    "unknown field": json.dumps({**document(gcm_key()), "foo": 1}),
    "unknown null field": json.dumps({**document(gcm_key()), "foo": None}),
    "unknown field of a key": json.dumps(document({**gcm_key(), "name": "x"})),
    "keyset info": json.dumps({**document(gcm_key()), "keysetInfo": {}}),
    "no keys": json.dumps(document()),
    "keys null": json.dumps({"primaryKeyId": 42, "key": None}),
    "key null": json.dumps({"primaryKeyId": 42, "key": [None]}),
    "keys as object": json.dumps({"primaryKeyId": 42, "key": gcm_key()}),
    "key as text": json.dumps({"primaryKeyId": 42, "key": ["x"]}),
    "key data as text": json.dumps(document({**gcm_key(), "keyData": "x"})),
    "empty key": json.dumps({"primaryKeyId": 42, "key": [gcm_key(), {}]}),
    "no primary": json.dumps({"key": [gcm_key()]}),
    "primary missing": json.dumps(document(gcm_key(), primary=41)),
    "primary disabled": json.dumps(document(gcm_key(status="DISABLED"))),
    "primary destroyed": json.dumps(document(gcm_key(status="DESTROYED"))),
    "primary twice": json.dumps(document(gcm_key(), gcm_key())),
    "status unknown": json.dumps(document(gcm_key(status="UNKNOWN_STATUS"))),
    "status misspelled": json.dumps(document(gcm_key(status="enabled"))),
    "status null": json.dumps(document({**gcm_key(), "status": None})),
    "status number": json.dumps(document({**gcm_key(), "status": 9})),
    "prefix null": json.dumps(document({**gcm_key(), "outputPrefixType": None})),
    "prefix for signatures": json.dumps(document(gcm_key(prefix="WITH_ID_REQUIREMENT"))),
    "prefix of a PRF": json.dumps(document(prf_key(prefix="TINK"))),
    "id as bool": json.dumps(document(gcm_key(True), primary=1)),
    "id negative": json.dumps(document(gcm_key(-1), primary=-1)),
    "id too large": json.dumps(document(gcm_key(2**32), primary=2**32)),
    "id with a fraction": json.dumps(document(gcm_key(42.5))),
    "id as list": json.dumps(document(gcm_key([42]))),
    "id with a space": json.dumps(document(gcm_key(" 42"), primary="42")),
    "disabled key without data": json.dumps(
        document(gcm_key(), {"status": "DISABLED", "keyId": 7, "outputPrefixType": "TINK"})
    ),
    "value null": json.dumps(
        document({**gcm_key(), "keyData": {"typeUrl": URL + "AesGcmKey", "value": None}})
    ),
    "value number": json.dumps(
        document({**gcm_key(), "keyData": {"typeUrl": URL + "AesGcmKey", "value": 5}})
    ),
    "type number": json.dumps(document({**gcm_key(), "keyData": {"typeUrl": 5, "value": b64(PLAIN)}})),
    "type without host": json.dumps(
        document({**gcm_key(), "keyData": {"typeUrl": "google.crypto.tink.AesGcmKey", "value": b64(PLAIN)}})
    ),
    "AES-192": _raw(b"\x1a\x18" + bytes(24)),
    "no key bytes": _raw(b""),
    "short key": _raw(b"\x1a\x0f" + bytes(15)),
    "long key": _raw(b"\x1a\x21" + bytes(33)),
    "version 1": _raw(b"\x08\x01" + PLAIN),
    "cut proto": _raw(PLAIN[:-1]),
    "short PRF key": _raw(b"\x12\x02\x08\x03\x1a\x0f" + bytes(15), "HmacPrfKey", "RAW"),
    "PRF without hash": _raw(PLAIN, "HmacPrfKey", "RAW"),
    "PRF version 1": _raw(b"\x08\x01\x12\x02\x08\x03" + PLAIN, "HmacPrfKey", "RAW"),
    "mixed purposes": json.dumps(document(gcm_key(), prf_key(7))),
}

ONLY_WE_REFUSE = {
    "id twice": json.dumps(document(gcm_key(), gcm_key(7), gcm_key(7, bytes(32)))),
    "id 0": json.dumps(document(gcm_key(), gcm_key(0))),
    "primary id 0": json.dumps(document(gcm_key(0), primary=0)),
    "one field in two spellings": json.dumps({**document(gcm_key()), "primary_key_id": 42}),
    "base64 with junk": _ONE.replace(b64(PLAIN), b64(PLAIN)[:8] + "!*" + b64(PLAIN)[8:]),
    "padding inside": _ONE.replace(b64(PLAIN), b64(PLAIN)[:8] + "=" + b64(PLAIN)[8:]),
    "AES-192 while disabled": json.dumps(document(gcm_key(), gcm_key(7, bytes(24), status="DISABLED"))),
}


def _tink_uses(text: str) -> bool:
    try:
        handle = json_proto_keyset_format.parse(text, secret_key_access.TOKEN)
        if "HmacPrfKey" in text:
            handle.primitive(prf.PrfSet).primary().compute(b"", 16)
        else:
            handle.primitive(aead.Aead).encrypt(b"", b"")
    except (tink.TinkError, RecursionError, ValueError):
        return False
    return True


@pytest.mark.parametrize("case", [*TINK_REFUSES_TOO, *ONLY_WE_REFUSE])
def test_what_is_no_keyset_is_refused_in_one_sentence(case):
    text = TINK_REFUSES_TOO.get(case, ONLY_WE_REFUSE.get(case))
    assert _tink_uses(text) is (case in ONLY_WE_REFUSE)
    with pytest.raises(ConfigurationError) as refused:
        Keyset.from_json(text)
    said = str(refused.value)
    assert said.startswith("this is not a usable keyset: ")
    assert "\n" not in said and len(said) < 250
    assert refused.value.__cause__ is None and refused.value.__context__ is None


@pytest.mark.parametrize("other", [None, 5, b"{}", ["x"]])
def test_what_is_not_text_is_refused(other):
    with pytest.raises(ConfigurationError, match="text is needed"):
        Keyset.from_json(other)


def test_a_text_of_megabytes_is_refused_unread():
    with pytest.raises(ConfigurationError, match="longer than 256 KiB"):
        Keyset.from_json(_ONE + " " * 2**18)
    with pytest.raises(ConfigurationError, match="longer than 256 KiB"):
        Keyset.from_encrypted_json("{}" + " " * 2**18, None)
    with pytest.raises(ConfigurationError, match="longer than 64 KiB"):
        Keyset.from_bytes(bytes(2**16 + 1))
    with pytest.raises(ConfigurationError, match="longer than 64 KiB"):
        Keyset.from_encrypted_bytes(bytes(2**16 + 1), None)


def test_keysets_of_hundreds_of_keys_are_read():
    keys = Keyset.generate("XAES_256_GCM")
    for _ in range(299):
        keys = keys.add("XAES_256_GCM")
    kek = Keyset.generate("AES256_GCM").aead()
    for again in (
        Keyset.from_json(keyset_to_json(keys)),
        Keyset.from_bytes(keyset_to_bytes(keys)),
        Keyset.from_encrypted_json(keys.to_encrypted_json(kek), kek),
        Keyset.from_encrypted_bytes(keys.to_encrypted_bytes(kek), kek),
    ):
        assert again.info() == keys.info()


# -- every kind --------------------------------------------------------------------------------------------------


@given(any_keyset)
def test_keysets_of_every_kind_are_written_as_tink_writes_them(keys):
    text = keyset_to_json(keys)
    assert json.loads(
        json_proto_keyset_format.serialize(of_tink(keys), secret_key_access.TOKEN)
    ) == json.loads(text)
    again = Keyset.from_json(text)
    assert again.info() == keys.info() and keyset_to_bytes(again) == keyset_to_bytes(keys)


# -- fuzzing ----------------------------------------------------------------------------------------------------

IDS = [
    42,
    7,
    0,
    "42",
    "042",
    "4.2e1",
    42.0,
    42.5,
    "7 ",
    "+7",
    "4_2",
    True,
    -1,
    2**32,
    2**32 - 1,
    1e400,
    "x",
    [],
    None,
]
STATUS = [
    "ENABLED",
    "DISABLED",
    "DESTROYED",
    "UNKNOWN_STATUS",
    "enabled",
    0,
    1,
    2,
    3,
    4,
    "1",
    1.0,
    1.5,
    True,
    None,
    {},
]
PREFIX = [
    "TINK",
    "RAW",
    "CRUNCHY",
    "LEGACY",
    "WITH_ID_REQUIREMENT",
    "tink",
    0,
    1,
    2,
    3,
    4,
    5,
    9,
    "3",
    None,
    [],
]
KINDS = [
    "AesGcmKey",
    "AesGcmSivKey",
    "XAesGcmKey",
    "AesSivKey",
    "HmacPrfKey",
    "XChaCha20Poly1305Key",
    "\ud800",
    "",
]
PARAMS = b"\x12\x02\x08\x0c"  # XAES with a salt of 12
VALUES = [
    b64(HIGH), b64(HIGH).rstrip("="), b64(HIGH).replace("/", "_").replace("+", "-"), b64(PARAMS + PLAIN),
    b64(PLAIN)[:9] + "\n" + b64(PLAIN)[9:], b64(PLAIN)[:9] + "!" + b64(PLAIN)[9:], b64(PLAIN)[:-3], "=", "", None, 5, "é",
    b64(b"\x1a\x10" + bytes(16)), b64(b"\x1a\x18" + bytes(24)), b64(b"\x12\x02\x08\x03" + PLAIN),
]  # fmt: skip
MATERIAL = ["SYMMETRIC", "REMOTE", 1, 9, "9", "x", None, 1.5, []]
FIELDS = {
    "primaryKeyId": IDS,
    "keyId": IDS,
    "status": STATUS,
    "outputPrefixType": PREFIX,
    "typeUrl": [URL + kind for kind in KINDS] + [None, 5],
    "value": VALUES,
    "keyMaterialType": MATERIAL,
    "keyData": [None, {}, [], "", "x"],
    "key": [None, [], {}, [None], [{}], [[]]],
}
OTHER_NAMES = [re.sub("([A-Z])", r"_\1", name).lower() for name in FIELDS] + ["extra", "key_Id", "KeyId"]

anything = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2**32) | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*FIELDS, *OTHER_NAMES]) | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


def _objects(node: Any) -> list[dict[str, Any]]:
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return [node, *_nested(inner)] if isinstance(node, dict) else _nested(inner)


def _nested(nodes: Any) -> list[dict[str, Any]]:
    return [found for node in nodes for found in _objects(node)]


NEW = {name: st.sampled_from(values) for name, values in FIELDS.items()}
CHANGE = st.sampled_from(["known", "known", "known", "drop", "rename", "any"])
NAMES = st.sampled_from([*FIELDS, *OTHER_NAMES])
NUMBER = st.integers(0, 59)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A keyset with one to three members replaced, renamed, removed or added anywhere."""
    if draw(st.booleans()):
        doc: Any = json.loads(keyset_to_json(draw(any_keyset)))
    else:
        doc = document(gcm_key(), gcm_key(7, KEY[:16], prefix="RAW"), gcm_key(8, status="DISABLED"))
    for _ in range(draw(NUMBER) % 3 + 1):
        objects = _objects(doc)
        target = objects[draw(NUMBER) % len(objects)]
        names = [*target, "extra"]
        name = names[draw(NUMBER) % len(names)]
        change = draw(CHANGE)
        if change == "known" and name in FIELDS:
            target[name] = copy.deepcopy(draw(NEW[name]))  # the next change may be inside of it
        elif change == "rename" and name in target:
            target[draw(NAMES)] = target.pop(name)
        elif change == "drop":
            target.pop(name, None)
        else:
            target[name] = draw(anything)
    return json.dumps(doc)


def _read(text: str) -> tuple[Keyset | None, str]:
    try:
        return Keyset.from_json(text), ""
    except ConfigurationError as error:
        assert error.__context__ is None and error.__cause__ is None
        return None, str(error)


def _tink_reads(text: str) -> tink_pb2.Keyset | None:
    try:
        handle = json_proto_keyset_format.parse(text, secret_key_access.TOKEN)
    except (tink.TinkError, RecursionError):
        return None
    return tink_reads(proto_keyset_format.serialize(handle, secret_key_access.TOKEN))


# What the Python of protobuf reads by accident and no reader of proto3 JSON in another language need read.
ACCIDENTS = re.compile(
    r"is not base64$|in two spellings$|is not a number from|has a value that is not known$|is not an object$"
)


def _compare(text: str) -> None:
    """Tink reads it: so do we, the same keys, but for what `ours_alone` and `ACCIDENTS` name. Tink refuses it: so do we."""
    (ours, said), theirs = _read(text), _tink_reads(text)
    if theirs is None or ours_alone(theirs):
        assert ours is None
    elif ours is None:
        assert ACCIDENTS.search(said)
        same_keys(Keyset.from_json(json_format.MessageToJson(theirs)), theirs)  # spelled properly it is read
    else:
        same_keys(ours, theirs)
        assert keyset_to_json(Keyset.from_json(keyset_to_json(ours))) == keyset_to_json(ours)


@settings(max_examples=600)
@given(st.one_of(mutated(), mutated(), mutated(), anything.map(json.dumps), st.text(max_size=200)))
def test_a_changed_keyset_is_read_as_tink_reads_it_or_refused(text):
    _compare(text)


@settings(max_examples=300)
@given(st.integers(0, len(_ONE) - 1), st.characters() | st.sampled_from('"{}[]:,0123'))
def test_any_character_of_a_keyset_may_change(at, character):
    _compare(_ONE[:at] + character + _ONE[at + 1 :])


@pytest.mark.parametrize("name", FIELDS)
def test_every_value_of_every_field_is_read_as_tink_reads_it_or_refused(name):
    for value in FIELDS[name]:
        for at in range(2):
            doc = document(gcm_key(), gcm_key(7, KEY[:16], prefix="RAW"))
            for target in [found for found in _objects(doc) if name in found][at : at + 1]:
                target[name] = value
            _compare(json.dumps(doc))
