"""Encrypted keysets, JSON and binary: what we write tink opens, what tink writes we open, the rest is refused."""

from __future__ import annotations

import base64
import json

import pytest
import tink
from hypothesis import given, settings
from hypothesis import strategies as st
from tink import aead, json_proto_keyset_format, proto_keyset_format, secret_key_access
from tink.proto import tink_pb2

from portalsec.crypto import Keyset
from portalsec.crypto._proto import bytes_field, uint_field
from portalsec.crypto.insecure import keyset_to_bytes
from portalsec.errors import ConfigurationError, DecryptionError
from tests.crypto.keysets import any_keyset, of_tink
from tests.crypto.support import b64, gcm_key, keyset
from tests.crypto.test_proto import TOKENS

KEK_KEYS = Keyset.generate("AES256_GCM")
KEK, TINK_KEK = KEK_KEYS.aead(), of_tink(KEK_KEYS).primitive(aead.Aead)
KEYS = keyset(gcm_key())
PLACE = b"env=test"


def cleartext(handle: tink.KeysetHandle) -> bytes:
    return proto_keyset_format.serialize(handle, secret_key_access.TOKEN)


@given(any_keyset, st.binary(max_size=30))
def test_tink_opens_what_we_write(keys, place):
    from_json = json_proto_keyset_format.parse_encrypted(keys.to_encrypted_json(KEK, place), TINK_KEK, place)
    from_bytes = proto_keyset_format.parse_encrypted(keys.to_encrypted_bytes(KEK, place), TINK_KEK, place)
    assert cleartext(from_json) == cleartext(from_bytes) == keyset_to_bytes(keys)


@given(any_keyset, st.binary(max_size=30))
def test_we_open_what_tink_writes(keys, place):
    theirs = of_tink(keys)
    text = json_proto_keyset_format.serialize_encrypted(theirs, TINK_KEK, place)
    data = proto_keyset_format.serialize_encrypted(theirs, TINK_KEK, place)
    for ours in (
        Keyset.from_encrypted_json(text, KEK, place),
        Keyset.from_encrypted_bytes(data, KEK, place),
    ):
        assert keyset_to_bytes(ours) == keyset_to_bytes(keys)


class Still:
    """A key-encryption key that changes nothing, so that two encryptions can be compared."""

    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes:
        return b"sealed" + plaintext

    def decrypt(self, ciphertext: bytes, associated_data: bytes) -> bytes:
        return ciphertext.removeprefix(b"sealed")


class TinkStill(Still, aead.Aead):
    pass


@given(any_keyset)
def test_what_is_written_is_tink_s_to_the_byte(keys):
    theirs = of_tink(keys)
    assert keys.to_encrypted_bytes(Still()) == proto_keyset_format.serialize_encrypted(
        theirs, TinkStill(), b""
    )
    ours = keys.to_encrypted_json(Still())
    assert ours == json.dumps(json.loads(ours), indent=2) + "\n"
    assert json.loads(ours) == json.loads(
        json_proto_keyset_format.serialize_encrypted(theirs, TinkStill(), b"")
    )


def test_the_info_is_canonical_and_holds_no_key():
    keys = Keyset.generate("AES256_GCM").add("XAES_256_GCM").add("AES256_GCM_SIV")
    first, second, third = (key.id for key in keys.info())
    document = json.loads(keys.disable(second).destroy(third).to_encrypted_json(KEK))
    url = "type.googleapis.com/google.crypto.tink."
    assert document["keysetInfo"] == {
        "primaryKeyId": first,
        "keyInfo": [
            {"typeUrl": url + "AesGcmKey", "status": "ENABLED", "keyId": first, "outputPrefixType": "TINK"},
            {
                "typeUrl": url + "XAesGcmKey",
                "status": "DISABLED",
                "keyId": second,
                "outputPrefixType": "TINK",
            },
            {"status": "DESTROYED", "keyId": third, "outputPrefixType": "TINK"},
        ],
    }


@pytest.mark.parametrize(
    "info",
    [
        None,
        {},
        {"primaryKeyId": 7, "keyInfo": [{"keyId": 7, "status": "DESTROYED", "typeUrl": "x"}]},
        {"primary_key_id": "7", "key_info": None},
        {"keyInfo": [{"outputPrefixType": 3, "status": 2}]},
    ],
)
def test_the_info_is_never_trusted(info):
    document = json.loads(KEYS.to_encrypted_json(KEK, PLACE))
    document["keysetInfo"] = info
    opened = Keyset.from_encrypted_json(json.dumps(document), KEK, PLACE)
    assert keyset_to_bytes(opened) == keyset_to_bytes(KEYS)
    del document["keysetInfo"]
    assert Keyset.from_encrypted_json(json.dumps(document), KEK, PLACE).info() == KEYS.info()
    data = KEYS.to_encrypted_bytes(KEK, PLACE)
    other = uint_field(1, 7) + bytes_field(2, uint_field(2, 3) + uint_field(3, 7))
    assert Keyset.from_encrypted_bytes(data + bytes_field(3, other), KEK, PLACE).info() == KEYS.info()


# -- refusals ---------------------------------------------------------------------------------------------------


def tink_opens(data: str | bytes, place: bytes = PLACE) -> bytes | None:
    """The cleartext that tink finds, which is the whole keyset or nothing: what is inside is never changed here."""
    parse = json_proto_keyset_format if isinstance(data, str) else proto_keyset_format
    try:
        return cleartext(parse.parse_encrypted(data, TINK_KEK, place))
    except (tink.TinkError, RecursionError):
        return None


def we_open(data: str | bytes, place: bytes = PLACE) -> bytes | None:
    read = Keyset.from_encrypted_json if isinstance(data, str) else Keyset.from_encrypted_bytes
    try:
        return keyset_to_bytes(read(data, KEK, place))
    except ConfigurationError as error:
        assert error.__context__ is None and error.__cause__ is None
        assert str(error).startswith("this is not a")
        return None
    except DecryptionError as error:
        assert error.__context__ is None and str(error) == "Decryption failed."
        return None


TEXT = KEYS.to_encrypted_json(KEK, PLACE)
DATA = KEYS.to_encrypted_bytes(KEK, PLACE)
SEALED = base64.b64decode(json.loads(TEXT)["encryptedKeyset"])


def changed(**members: object) -> str:
    return json.dumps(json.loads(TEXT) | members)


REFUSED = {
    "nothing": "",
    "no JSON": "{",
    "empty object": "{}",
    "no bytes": changed(encryptedKeyset=""),
    "null": changed(encryptedKeyset=None),
    "bytes changed": changed(encryptedKeyset=b64(SEALED[:-1] + bytes([SEALED[-1] ^ 1]))),
    "bytes cut": changed(encryptedKeyset=b64(SEALED[:-1])),
    "no base64": changed(encryptedKeyset=5),
    "unknown field": changed(extra=None),
    "info as text": changed(keysetInfo="x"),
    "info with an unknown field": changed(keysetInfo={"key": []}),
    "info of a key with its data": changed(keysetInfo={"keyInfo": [{"keyData": {}}]}),
    "info with null": changed(keysetInfo={"keyInfo": [None]}),
    "info with half a character": changed(keysetInfo={"keyInfo": [{"typeUrl": "\ud800"}]}),
    "info with a status that is none": changed(keysetInfo={"keyInfo": [{"status": "enabled"}]}),
    "info with an id that is none": changed(keysetInfo={"primaryKeyId": -1}),
    "in the clear": json.dumps({"primaryKeyId": 42, "key": [gcm_key()]}),
    "binary nothing": b"",
    "binary no bytes": bytes_field(2, b""),
    "binary no field": uint_field(9, 1),
    "binary cut": DATA[:-1],
    "binary changed": DATA[:-1] + bytes([DATA[-1] ^ 1]),
    "binary twice, the last one wins": DATA + bytes_field(2, b"x"),
    "binary with an info that is none": DATA + bytes_field(3, b"\x08"),
    "binary with an info of no text": DATA + bytes_field(3, bytes_field(2, bytes_field(1, b"\xff"))),
    "binary in the clear": keyset_to_bytes(KEYS),
    "binary of JSON": TEXT.encode(),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_encrypted_keyset_is_refused(case):
    assert tink_opens(REFUSED[case]) is None
    assert we_open(REFUSED[case]) is None


def test_an_info_that_is_no_object_is_refused_though_empty():
    assert tink_opens(changed(keysetInfo=[])) is not None  # an accident of Python's protobuf
    assert we_open(changed(keysetInfo=[])) is None


@pytest.mark.parametrize("data", [TEXT, DATA])
def test_another_place_or_key_does_not_open_it(data):
    read = Keyset.from_encrypted_json if isinstance(data, str) else Keyset.from_encrypted_bytes
    for kek, place in [(KEK, b""), (KEK, PLACE + b"x"), (Keyset.generate("AES256_GCM").aead(), PLACE)]:
        with pytest.raises(DecryptionError) as refused:
            read(data, kek, place)
        assert refused.value.__context__ is None


def test_each_form_names_the_other():
    with pytest.raises(
        ConfigurationError, match=r"encrypted keyset, which Keyset\.from_encrypted_json reads"
    ):
        Keyset.from_json(TEXT)
    with pytest.raises(ConfigurationError, match=r"in the clear, which Keyset\.from_json reads"):
        Keyset.from_encrypted_json(REFUSED["in the clear"], KEK)


@pytest.mark.parametrize("inside", [b"", b"junk", uint_field(1, 42), b"\xff" * 40])
def test_what_opens_and_is_no_keyset_is_refused(inside):
    sealed = KEK.encrypt(inside, PLACE)
    for data in (json.dumps({"encryptedKeyset": b64(sealed)}), bytes_field(2, sealed)):
        assert tink_opens(data) is None
        assert we_open(data) is None


class Broken(Still):
    def decrypt(self, ciphertext, associated_data):
        return None if associated_data == b"none" else b"other"


def test_a_key_service_that_does_not_open_what_it_wrote_is_refused():
    with pytest.raises(ConfigurationError, match="the keyset was not written"):
        KEYS.to_encrypted_json(Broken())
    with pytest.raises(ConfigurationError, match="bytes are needed, not NoneType"):
        Keyset.from_encrypted_bytes(DATA, Broken(), b"none")


def test_a_key_service_that_drops_associated_data_is_refused():
    """Under it, the file of one keyset would open as another's."""
    with pytest.raises(ConfigurationError, match="does not look at associated data"):
        KEYS.to_encrypted_json(Still(), b"fields")
    with pytest.raises(ConfigurationError, match="does not look at associated data"):
        KEYS.to_encrypted_bytes(Still(), b"fields")


@pytest.mark.parametrize("kek", [None, KEYS, b"key", Still.encrypt])
def test_what_is_no_key_encryption_key_is_named(kek):
    for call in (
        lambda: KEYS.to_encrypted_json(kek),
        lambda: KEYS.to_encrypted_bytes(kek),
        lambda: Keyset.from_encrypted_json(TEXT, kek),
        lambda: Keyset.from_encrypted_bytes(DATA, kek),
    ):
        with pytest.raises(ConfigurationError, match=r"pass a key service, or keyset\.aead\(\)"):
            call()


@pytest.mark.parametrize("place", [None, "text"])
def test_associated_data_are_bytes(place):
    for call in (
        lambda: KEYS.to_encrypted_json(KEK, place),
        lambda: KEYS.to_encrypted_bytes(KEK, place),
        lambda: Keyset.from_encrypted_json(TEXT, KEK, place),
        lambda: Keyset.from_encrypted_bytes(DATA, KEK, place),
    ):
        with pytest.raises(TypeError, match="associated data are bytes"):
            call()


# -- fuzzing ----------------------------------------------------------------------------------------------------

infos = st.one_of(
    TOKENS, st.builds(bytes_field, st.sampled_from([1, 2, 3]), TOKENS), st.just(bytes_field(1, b"\xff"))
)


@settings(max_examples=500)
@given(
    st.one_of(
        st.builds(
            lambda at, piece, cut: DATA[:at] + piece + DATA[at + cut :],
            st.sampled_from([0, 1, 2, 3, 9, len(DATA)]) | st.integers(0, len(DATA)),
            TOKENS | st.binary(max_size=3),
            st.integers(0, 2),
        ),
        st.builds(
            lambda info, entry: DATA + bytes_field(3, info) + bytes_field(3, bytes_field(2, entry)),
            infos,
            infos,
        ),
        st.binary(max_size=60),
    )
)
def test_changed_bytes_open_as_tink_opens_them_or_not_at_all(data):
    assert we_open(data) == tink_opens(data)


@settings(max_examples=400)
@given(st.integers(0, len(TEXT) - 1), st.characters() | st.sampled_from('"{}[]:,0'), st.integers(0, 2))
def test_changed_text_opens_as_tink_opens_it_or_not_at_all(at, character, cut):
    text = TEXT[:at] + character + TEXT[at + cut :]
    opened = we_open(text)
    assert opened in (None, keyset_to_bytes(KEYS))
    if opened is not None:
        assert tink_opens(text) == opened


def test_the_protos_are_tink_s():
    message = tink_pb2.EncryptedKeyset.FromString(DATA)
    assert message.encrypted_keyset and not message.HasField("keyset_info")
