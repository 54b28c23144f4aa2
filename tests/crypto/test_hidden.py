"""No key is ever shown: not by repr, str, format, pickle, copy, nor in any traceback, its locals included."""

from __future__ import annotations

import base64
import copy
import json
import logging
import pickle
import traceback
from pathlib import Path

import pytest

import portalsec
from portalsec.crypto import BlindIndex, EncryptedField, FieldSealer, KeyedHash, Keyring, Keyset
from portalsec.crypto._keys import AesSivKey, Key
from portalsec.crypto._proto import bytes_field, uint_field
from portalsec.crypto.envelope import KmsEnvelopeAead
from portalsec.crypto.insecure import keyset_to_bytes, keyset_to_json
from portalsec.errors import PortalsecError, StoreError
from portalsec.secret import Secret
from tests.crypto import test_keyset_binary
from tests.crypto.support import gcm_key, keyset, prf_key, siv_key, xaes_key
from tests.crypto.test_keyset_json import ONLY_WE_REFUSE, TINK_REFUSES_TOO

SECRET = bytes.fromhex("a35f0c9d17e8b264c1fe3a5b7790d4826e1c48f7b95d20ae63f81b7c05d9e24f")


def faces(key: bytes) -> list[str]:
    """How bytes could look in a text."""
    inner = base64.b64encode(b"\x1a\x20" + key).decode()  # as in a keyset
    numbers = ", ".join(map(str, key))
    return [
        key.hex(),
        key.hex().upper(),
        base64.b64encode(key).decode().rstrip("="),
        base64.urlsafe_b64encode(key).decode().rstrip("="),
        inner.rstrip("=")[4:],
        inner.replace("+", "-").replace("/", "_").rstrip("=")[4:],
        repr(key)[2:-1],
        key.decode("latin-1"),
        numbers,
        key.hex(" "),
        key.hex(":"),
        str(int.from_bytes(key, "big")),
    ]


def shows(text: str, key: bytes = SECRET) -> bool:
    """Whether any quarter of the key is in the text, in any of its faces."""
    pieces = {
        face[at : at + len(face) // 4] for face in faces(key) for at in range(0, len(face), len(face) // 4)
    }
    return any(piece in text for piece in pieces if len(piece) >= 7)


def test_the_search_itself_finds_a_key():
    text = keyset_to_json(keyset(gcm_key(value=SECRET)))
    assert shows(text)
    assert shows(repr(SECRET)) and shows(SECRET.hex()) and shows(str(list(SECRET)))
    assert not shows("a usual sentence about key 42")


def holders():
    gcm = keyset(gcm_key(value=SECRET), gcm_key(7, SECRET[:16], status="DISABLED"))
    prf = keyset(prf_key(value=SECRET))
    siv = Keyset([Key(id=1, status="ENABLED", prefix="TINK", material=AesSivKey(Secret(SECRET * 2)))], 1)
    xaes = keyset(xaes_key(value=SECRET), siv_key(7, SECRET))
    ring = Keyring(lambda: {"phi": xaes})
    return {
        "keyset": gcm,
        "prf keyset": prf,
        "key": gcm._keys[0],
        "material": gcm._keys[0].material,
        "info": gcm.info(),
        "aead": gcm.aead(),
        "xaes keyset": xaes,
        "xaes aead": xaes.aead(),
        "xaes parts": xaes.aead()._writing._xaes,
        "ring": ring,
        "live keyset": ring["phi"],
        "live aead": ring["phi"].aead(),
        "live field": EncryptedField[str](ring["phi"], table="t", column="c", text=True, pad=16),
        "field": EncryptedField[str](gcm, table="t", column="c"),
        "sealer": FieldSealer(gcm),
        "hash": KeyedHash(prf),
        "prf": prf.prf(),
        "deterministic keyset": siv,
        "deterministic aead": siv.deterministic_aead(),
        "envelope": KmsEnvelopeAead(gcm.aead()),
        "index": BlindIndex[str](prf, table="t", column="c", bits=20),
    }


@pytest.mark.parametrize("name", holders())
def test_no_text_of_a_holder_shows_its_key(name, caplog):
    holder = holders()[name]
    texts = [
        repr(holder),
        str(holder),
        f"{holder}",
        f"{holder!r:>10}",
        str([holder]),
    ]
    with caplog.at_level(logging.INFO):
        logging.getLogger("test").info("holder %s %r", holder, {"holder": holder})
    texts.append(caplog.text)
    if hasattr(holder, "__dict__"):
        texts.append(repr(vars(holder)))
    assert not any(map(shows, texts))


@pytest.mark.parametrize("name", [name for name in holders() if name != "info"])
def test_a_holder_is_neither_pickled_nor_copied(name):
    holder = holders()[name]
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError):
            pickle.dumps(holder, protocol)
    with pytest.raises(TypeError):
        copy.deepcopy(holder)
    if name not in ("key", "material"):  # frozen parts of a keyset, private to the package
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            copy.copy(holder)
    with pytest.raises(TypeError):
        json.dumps(holder)


def told(error: BaseException) -> str:
    """All that a crash reporter would send of our frames: messages, chain, and the locals of every frame."""
    ours = str(Path(portalsec.__file__).parent)
    frames = error.__traceback__
    while frames is not None and not frames.tb_frame.f_code.co_filename.startswith(ours):
        frames = frames.tb_next  # the caller's own locals are the caller's
    assert frames is not None
    parts = traceback.TracebackException(type(error), error, frames, capture_locals=True, compact=False)
    chain = [repr(error), repr(error.args), repr(error.__cause__), repr(error.__context__), repr(vars(error))]
    return "".join(parts.format()) + "".join(chain)


def test_the_search_sees_the_locals_of_our_frames():
    holder = holders()["field"]
    try:
        holder.encrypt(SECRET, row=1)  # a value, which is a local of ours by its nature
    except TypeError as error:
        assert shows(told(error))


def _other_key(text: str) -> str:
    """The case with the key that is searched for in the place of its own."""
    own = base64.b64encode(b"\x1a\x20" + bytes(range(0x80, 0xA0))).decode()
    return text.replace(own, base64.b64encode(b"\x1a\x20" + SECRET).decode())


REFUSED = {name: _other_key(text) for name, text in {**TINK_REFUSES_TOO, **ONLY_WE_REFUSE}.items()}
REFUSED |= {
    "key as a name": json.dumps({SECRET.hex(): 1}),
    "key as a status": json.dumps({"primaryKeyId": 42, "key": [gcm_key(status=SECRET.hex())]}),
    "key as an id": json.dumps({"primaryKeyId": int(SECRET.hex(), 16), "key": []}),
    "key as text around": SECRET.hex(),
    "key as a type": json.dumps(
        {"primaryKeyId": 1, "key": [{"keyData": {"typeUrl": SECRET.hex()}, "keyId": 1}]}
    ),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("wrapped", [False, True])
def test_no_refused_keyset_is_shown_by_its_error(case, wrapped):
    try:
        Keyset.from_json(Secret(REFUSED[case]) if wrapped else REFUSED[case])
    except PortalsecError as error:
        assert not shows(told(error))
    else:
        pytest.fail("accepted")


def _other_bytes(data: bytes) -> bytes:
    return data.replace(bytes(range(0x80, 0xA0)), SECRET)


BINARY = {**test_keyset_binary.REFUSED, **test_keyset_binary.ONLY_WE_REFUSE}
BINARY = {name: _other_bytes(data) for name, data in BINARY.items()}
BINARY |= {
    "key alone": SECRET,
    "key as a field": bytes_field(9, SECRET) + b"\x4c",
    "key as text": bytes_field(2, bytes_field(1, bytes_field(1, SECRET))),
    "key as a version": uint_field(1, 42)
    + test_keyset_binary.key(proto=uint_field(1, int.from_bytes(SECRET[:4], "big")) + bytes_field(3, SECRET)),
}


@pytest.mark.parametrize("case", BINARY)
def test_no_refused_bytes_are_shown_by_their_error(case):
    for read in (
        Keyset.from_bytes,
        lambda data: Keyset.from_encrypted_bytes(bytes_field(2, bytes(reversed(data)) or b"x"), Reverses()),
        lambda data: Keyset.from_encrypted_json(
            json.dumps({"encryptedKeyset": base64.b64encode(bytes(reversed(data)) or b"x").decode()}),
            Reverses(),
        ),
    ):
        try:
            read(BINARY[case])
        except PortalsecError as error:
            assert not shows(told(error))
        else:
            pytest.fail("accepted")


class Opens:
    """A key-encryption key that changes nothing: what it opens is what was stored."""

    def encrypt(self, plaintext, associated_data):
        return plaintext

    def decrypt(self, ciphertext, associated_data):
        return ciphertext


class Reverses(Opens):
    """What it opens is nowhere in what was stored."""

    def decrypt(self, ciphertext, associated_data):
        return bytes(reversed(ciphertext))


class Fails(Opens):
    """A key service that fails in the one call or the other."""

    def __init__(self, *, late):
        self.late = late

    def encrypt(self, plaintext, associated_data):
        if self.late:
            return bytes(reversed(plaintext))
        del plaintext  # a local of the key service's frame, which is not ours
        raise StoreError("the key service does not answer")

    def decrypt(self, ciphertext, associated_data):
        raise StoreError("the key service does not answer")


@pytest.mark.parametrize("late", [False, True])
def test_no_frame_of_ours_shows_a_keyset_when_a_key_service_fails(late):
    keys = holders()["keyset"]
    for call in (
        lambda: keys.to_encrypted_json(Fails(late=late)),
        lambda: keys.to_encrypted_bytes(Fails(late=late)),
        lambda: KmsEnvelopeAead(Fails(late=late)).decrypt(bytes(4) + SECRET, b""),
    ):
        with pytest.raises(StoreError) as raised:
            call()
        assert SECRET not in _locals(raised.value)


def _locals(error: BaseException) -> list[object]:
    """The values of the locals of our frames, but for an envelope's own argument."""
    frames, found = error.__traceback__, []
    while frames is not None:
        if frames.tb_frame.f_code.co_filename.startswith(str(Path(portalsec.__file__).parent)):
            found += list(frames.tb_frame.f_locals.values())
        frames = frames.tb_next
    assert found
    assert not any(
        isinstance(value, bytes) and keyset_to_bytes(holders()["keyset"]) in value for value in found
    )
    return found


def test_no_other_error_shows_a_key():
    made = holders()
    field, cipher = made["field"], made["aead"]
    calls = [
        lambda: made["keyset"].promote(9),
        lambda: made["keyset"].promote(7),
        lambda: made["keyset"].disable(42),
        lambda: made["keyset"].add("HMAC_SHA256_PRF"),
        lambda: made["prf keyset"].aead(),
        lambda: KeyedHash(made["keyset"]),
        lambda: cipher.decrypt(b"junk", b""),
        lambda: cipher.decrypt(b"\x01\x00\x00\x00\x2a" + bytes(40), b""),
        lambda: cipher.encrypt("text", b""),
        lambda: field.encrypt(5, row=1),
        lambda: field.encrypt("x"),
        lambda: field.decrypt(b"\x01\x00\x00\x00\x2a" + bytes(40), row=1),
        lambda: made["sealer"].open(b"junk", table="t", column="c", row="r"),
        lambda: made["hash"]("", b""),
        lambda: made["hash"]("purpose", "text"),
        lambda: made["prf"].compute("text"),
        lambda: made["deterministic keyset"].aead(),
        lambda: made["deterministic keyset"].add("AES256_GCM"),
        lambda: made["deterministic aead"].decrypt_deterministically(
            b"\x01\x00\x00\x00\x01" + bytes(40), b""
        ),
        lambda: made["deterministic aead"].encrypt_deterministically("text", b""),
        lambda: made["envelope"].decrypt(b"junk", b""),
        lambda: made["envelope"].decrypt(made["envelope"].encrypt(b"m", b"") + b"x", b""),
        lambda: made["keyset"].to_encrypted_json(Reverses()),
    ]
    for call in calls:
        with pytest.raises((PortalsecError, TypeError)) as error:
            call()
        assert not shows(told(error.value))
