"""KMS envelopes beside the real tink, with a keyset in the place of the key service."""

from __future__ import annotations

import pytest
import tink
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st
from tink import aead
from tink.proto import tink_pb2

from portalsec.crypto import Keyset
from portalsec.crypto._keys import AesGcmKey
from portalsec.crypto.envelope import KmsEnvelopeAead
from portalsec.errors import ConfigurationError, DecryptionError, StoreError
from portalsec.secret import Secret
from tests.crypto.keysets import keysets, of_tink

KEK_KEYS = Keyset.generate("AES256_GCM")
KEK, TINK_KEK = KEK_KEYS.aead(), of_tink(KEK_KEYS).primitive(aead.Aead)
TEMPLATES = {
    "AES256_GCM": aead.aead_key_templates.AES256_GCM,
    "AES128_GCM": aead.aead_key_templates.AES128_GCM,
    "AES256_GCM_SIV": aead.aead_key_templates.AES256_GCM_SIV,
}


@given(st.sampled_from(sorted(TEMPLATES)), keysets("aead"), st.binary(max_size=300), st.binary(max_size=40))
def test_both_open_what_the_other_writes(template, kek, plaintext, place):
    ours = KmsEnvelopeAead(kek.aead(), template)
    theirs = aead.KmsEnvelopeAead(TEMPLATES[template], of_tink(kek).primitive(aead.Aead))
    assert theirs.decrypt(ours.encrypt(plaintext, place), place) == plaintext
    assert ours.decrypt(theirs.encrypt(plaintext, place), place) == plaintext
    assert ours.decrypt(ours.encrypt(plaintext, place), place) == plaintext


def test_either_size_of_the_kind_opens():
    sealed = KmsEnvelopeAead(KEK, "AES128_GCM").encrypt(b"m", b"a")
    assert KmsEnvelopeAead(KEK, "AES256_GCM").decrypt(sealed, b"a") == b"m"
    assert aead.KmsEnvelopeAead(TEMPLATES["AES256_GCM"], TINK_KEK).decrypt(sealed, b"a") == b"m"


def test_each_message_has_a_key_of_its_own_and_the_size_of_tink_s():
    cipher = KmsEnvelopeAead(KEK)
    first, second = cipher.encrypt(b"message", b""), cipher.encrypt(b"message", b"")
    assert first[:9] == second[:9] and first[9:71] != second[9:71] and first[-23:] != second[-23:]
    assert len(first) == len(aead.KmsEnvelopeAead(TEMPLATES["AES256_GCM"], TINK_KEK).encrypt(b"message", b""))


@pytest.mark.parametrize(
    "template",
    ["XAES_256_GCM", "XAES_256_GCM_192_BIT_NONCE", "AES256_SIV", "HMAC_SHA256_PRF", "", None, ["x"]],
)
def test_other_kinds_are_refused(template):
    with pytest.raises(ConfigurationError, match="choose one of AES256_GCM, AES128_GCM, AES256_GCM_SIV"):
        KmsEnvelopeAead(KEK, template)
    with pytest.raises(tink.TinkError):
        aead.KmsEnvelopeAead(aead.aead_key_templates.XAES_256_GCM_192_BIT_NONCE, TINK_KEK)


@pytest.mark.parametrize("remote", [None, KEK_KEYS, b"key"])
def test_what_is_no_key_service_is_named(remote):
    with pytest.raises(ConfigurationError, match=r"pass a key service, or keyset\.aead\(\)"):
        KmsEnvelopeAead(remote)


SEALED = KmsEnvelopeAead(KEK).encrypt(b"message", b"place")


@settings(max_examples=400)
@given(
    st.one_of(
        st.binary(max_size=120),
        st.integers(0, len(SEALED) - 1).map(lambda size: SEALED[:size]),
        st.builds(
            lambda at, bit: SEALED[:at] + bytes([SEALED[at] ^ 1 << bit]) + SEALED[at + 1 :],
            st.integers(0, len(SEALED) - 1),
            st.integers(0, 7),
        ),
        st.integers(0, 2**32 - 1).map(lambda size: size.to_bytes(4, "big") + SEALED[4:]),
        st.just(SEALED),
    )
)
def test_whatever_is_changed_does_not_open(data):
    cipher = KmsEnvelopeAead(KEK)
    if data == SEALED:
        assert cipher.decrypt(data, b"place") == b"message"
        return
    with pytest.raises(DecryptionError, match=r"^Decryption failed\.$") as refused:
        cipher.decrypt(data, b"place")
    assert refused.value.__context__ is None


def test_another_place_key_service_or_kind_does_not_open_it():
    for cipher, place in [
        (KmsEnvelopeAead(KEK), b"other"),
        (KmsEnvelopeAead(Keyset.generate("AES256_GCM").aead()), b"place"),
        (KmsEnvelopeAead(KEK, "AES256_GCM_SIV"), b"place"),
    ]:
        with pytest.raises(DecryptionError):
            cipher.decrypt(SEALED, place)


@pytest.mark.parametrize("ciphertext", [None, "text", 5])
def test_what_is_not_bytes_does_not_open(ciphertext):
    with pytest.raises(DecryptionError) as refused:
        KmsEnvelopeAead(KEK).decrypt(ciphertext, b"place")
    assert refused.value.reason == "not_bytes"


@pytest.mark.parametrize("buffer", [bytearray, memoryview])
def test_buffers_of_drivers_open(buffer):
    assert KmsEnvelopeAead(KEK).decrypt(buffer(SEALED), b"place") == b"message"


def test_what_is_not_bytes_is_a_mistake_of_the_caller():
    cipher = KmsEnvelopeAead(KEK)
    for call in (
        lambda: cipher.encrypt("text", b""),
        lambda: cipher.encrypt(b"", None),
        lambda: cipher.decrypt(SEALED, None),
    ):
        with pytest.raises(TypeError, match="bytes, not"):
            call()


class Remote:
    """A key service that wraps into as many bytes as it is told, and opens into anything."""

    def __init__(self, wrapped: bytes = b"", opened: bytes | Exception = b""):
        self.wrapped, self.opened = wrapped, opened

    def encrypt(self, plaintext, associated_data):
        assert associated_data == b""
        return self.wrapped

    def decrypt(self, ciphertext, associated_data):
        assert associated_data == b""
        if isinstance(self.opened, Exception):
            raise self.opened
        return self.opened


def test_the_longest_wrapped_key():
    assert len(KmsEnvelopeAead(Remote(bytes(4096))).encrypt(b"", b"")) == 4 + 4096 + 28
    with pytest.raises(ConfigurationError, match="into 4097 bytes"):
        KmsEnvelopeAead(Remote(bytes(4097))).encrypt(b"", b"")


def test_a_longer_wrapped_key_is_not_sent_to_the_key_service():
    dek = AesGcmKey(Secret(bytes(32)))
    sealed = bytes(12) + AESGCM(bytes(32)).encrypt(bytes(12), b"message", b"")
    cipher = KmsEnvelopeAead(Remote(opened=dek.to_proto()))
    assert cipher.decrypt((4096).to_bytes(4, "big") + bytes(4096) + sealed, b"") == b"message"
    with pytest.raises(DecryptionError):
        cipher.decrypt((4097).to_bytes(4, "big") + bytes(4097) + sealed, b"")


@settings(max_examples=100)
@given(st.binary(max_size=50))
def test_a_wrapped_key_that_is_no_key_does_not_open(opened):
    with pytest.raises(DecryptionError):
        KmsEnvelopeAead(Remote(opened=opened)).decrypt(bytes(4) + bytes(40), b"")


def test_the_errors_of_a_key_service_pass_through():
    failure = StoreError("the key service does not answer")
    with pytest.raises(StoreError) as raised:
        KmsEnvelopeAead(Remote(opened=failure)).decrypt(SEALED, b"place")
    assert raised.value is failure


def test_tink_has_no_other_kinds_that_we_have():
    for url, allowed in {
        "AesGcmKey": True,
        "AesGcmSivKey": True,
        "XAesGcmKey": False,
        "AesSivKey": False,
    }.items():
        template = tink_pb2.KeyTemplate(type_url="type.googleapis.com/google.crypto.tink." + url)
        assert aead._kms_envelope_aead.is_supported_dek_key_type(template.type_url) is allowed
