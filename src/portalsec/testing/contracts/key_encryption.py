"""The contract of a key-encryption key: an `portalsec.crypto.ports.Aead` that wraps keysets, wherever its key lives."""

from __future__ import annotations

import copy
import pickle
import traceback
from base64 import b64encode
from collections.abc import Iterator
from functools import partial

import pytest

from portalsec.crypto.keyset import Keyset
from portalsec.crypto.ports import Aead
from portalsec.errors import DecryptionError, KeyServiceUnavailable
from portalsec.testing.contracts.base import StoreContract

__all__ = ["KeyEncryptionContract"]

_CONTEXT = b"pse1\x00\x00\x00\x06portal\x00\x00\x00\x06fields"
_KEYSET = bytes(range(256))


class KeyEncryptionContract(StoreContract):
    """Inherit it and provide ``kek``; ``other_kek`` (another key of the service) and ``unavailable_kek`` too.

    ``secrets`` returns what must never be shown: the token, the PIN, the key where a test has it.
    """

    @pytest.fixture
    def kek(self) -> Aead:
        raise NotImplementedError("provide a fixture `kek` that returns an Aead")

    @pytest.fixture
    def other_kek(self) -> Aead:
        raise NotImplementedError("provide a fixture `other_kek`: an Aead of another key")

    @pytest.fixture
    def unavailable_kek(self) -> Aead:
        """The same class where nobody answers."""
        pytest.skip("this key is in the process's own memory and cannot be away")

    def secrets(self) -> list[str]:
        return []

    def refused(self, kek: Aead, ciphertext: object, associated_data: bytes = _CONTEXT) -> None:
        with pytest.raises(DecryptionError) as caught:
            kek.decrypt(ciphertext, associated_data)  # type: ignore[arg-type]
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None

    # -- what is wrapped is unwrapped ----------------------------------------------------------------------------

    @pytest.mark.parametrize("size", [1, 15, 16, 17, 70, 1000, 4096])
    def test_what_is_wrapped_is_unwrapped(self, kek: Aead, size: int) -> None:
        plaintext = (_KEYSET * 16)[:size]
        wrapped = kek.encrypt(plaintext, _CONTEXT)
        assert type(wrapped) is bytes
        assert size < 16 or plaintext not in wrapped
        assert kek.decrypt(wrapped, _CONTEXT) == plaintext
        assert kek.decrypt(memoryview(wrapped), _CONTEXT) == plaintext  # type: ignore[arg-type]

    def test_wrapping_twice_gives_two_ciphertexts(self, kek: Aead) -> None:
        assert kek.encrypt(_KEYSET, _CONTEXT) != kek.encrypt(_KEYSET, _CONTEXT)

    def test_a_keyset_is_kept_under_it(self, kek: Aead) -> None:
        keyset = Keyset.generate("XAES_256_GCM")
        cell = keyset.aead().encrypt(b"value", b"place")
        text = keyset.to_encrypted_json(kek, _CONTEXT)
        read = Keyset.from_encrypted_json(text, kek, _CONTEXT)
        assert read.aead().decrypt(cell, b"place") == b"value"
        with pytest.raises(DecryptionError):
            Keyset.from_encrypted_json(text, kek, _CONTEXT + b"x")

    # -- whatever is not exactly that, is refused ----------------------------------------------------------------

    def test_other_associated_data_do_not_open(self, kek: Aead) -> None:
        wrapped = kek.encrypt(_KEYSET, _CONTEXT)
        for other in (b"", _CONTEXT[:-1], _CONTEXT + b"\x00", _CONTEXT.upper(), b"x"):
            self.refused(kek, wrapped, other)
        bare = kek.encrypt(_KEYSET, b"")
        assert kek.decrypt(bare, b"") == _KEYSET
        self.refused(kek, bare, b"x")

    def test_what_is_cut_short_does_not_open(self, kek: Aead) -> None:
        wrapped = kek.encrypt(_KEYSET, _CONTEXT)
        for size in (*range(0, len(wrapped), 7), len(wrapped) - 1):
            self.refused(kek, wrapped[:size])
        self.refused(kek, wrapped + b"\x00")
        self.refused(kek, wrapped[1:])

    def test_a_bit_anywhere_that_is_turned_does_not_open(self, kek: Aead) -> None:
        wrapped = kek.encrypt(b"k", _CONTEXT)
        for at in range(len(wrapped)):
            damaged = bytearray(wrapped)
            damaged[at] ^= 1 << at % 8
            self.refused(kek, bytes(damaged))

    def test_what_another_key_wrapped_does_not_open(self, kek: Aead, other_kek: Aead) -> None:
        self.refused(kek, other_kek.encrypt(_KEYSET, _CONTEXT))

    def test_what_is_not_bytes_is_told_without_being_shown(self, kek: Aead) -> None:
        self.refused(kek, "text")
        self.refused(kek, None)
        for call in (kek.encrypt, kek.decrypt):
            with pytest.raises(TypeError) as caught:
                call(b"x" * 64, "hunter2")  # type: ignore[arg-type]
            assert "hunter2" not in str(caught.value)
            with pytest.raises(TypeError):
                call(b"x" * 64, None)  # type: ignore[arg-type]
        with pytest.raises(TypeError) as caught:
            kek.encrypt("hunter2", _CONTEXT)  # type: ignore[arg-type]
        assert "hunter2" not in str(caught.value)

    # -- use -----------------------------------------------------------------------------------------------------

    def test_eight_threads_use_it_at_once(self, kek: Aead) -> None:
        def work(number: int) -> bool:
            plaintext = bytes([number]) * 64
            for _ in self.rounds(5, soak=100):
                wrapped = kek.encrypt(plaintext, _CONTEXT)
                assert kek.decrypt(wrapped, _CONTEXT) == plaintext
                self.refused(kek, wrapped, b"other")
            return True

        for _ in range(2):  # twice: threads that ended leave nothing that the next would stumble over
            assert all(self.race(*(partial(work, number) for number in range(8))))

    def test_it_shows_nothing_and_is_not_copied(self, kek: Aead) -> None:
        shown = repr(kek) + str(kek) + f"{kek}"
        assert not [secret for secret in self.secrets() if secret in shown]
        for carry in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError):
                carry(kek)

    def test_a_service_that_does_not_answer_is_unavailable_and_never_a_wrong_ciphertext(
        self, kek: Aead, unavailable_kek: Aead, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        wrapped = kek.encrypt(_KEYSET, _CONTEXT)

        for call in (
            partial(unavailable_kek.encrypt, _KEYSET, _CONTEXT),
            partial(unavailable_kek.decrypt, wrapped, _CONTEXT),
        ):
            with pytest.raises(KeyServiceUnavailable) as caught:
                call()
            said = f"{caught.value} {caught.value!r} {caught.value.__cause__} {caplog.text}"
            assert "\n" not in str(caught.value)
            assert not [secret for secret in self.secrets() if secret in said]
            held = "".join(map(repr, _locals_of(caught.value)))
            for secret in (*self.secrets(), repr(_KEYSET)[2:-1], b64encode(_KEYSET).decode()):
                assert secret not in held, "a crash report would have it: a frame of the error holds it"


def _locals_of(error: BaseException) -> Iterator[object]:
    """What the frames of an error and of all that led to it hold, besides this file's."""
    waiting, seen = [error], set()
    while waiting:
        each = waiting.pop()
        seen.add(id(each))
        for frame, _ in traceback.walk_tb(each.__traceback__):
            if frame.f_code.co_filename != __file__:
                yield from frame.f_locals.values()
        waiting += [
            one for one in (each.__cause__, each.__context__) if one is not None and id(one) not in seen
        ]
