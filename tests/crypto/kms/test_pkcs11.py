"""PKCS #11: on a real SoftHSM token."""

from __future__ import annotations

import os
import threading
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from portalsec.crypto.keyset import Keyset
from portalsec.crypto.kms import Pkcs11Aead, Pkcs11Uri
from portalsec.crypto.ports import Aead
from portalsec.errors import DecryptionError, KeyServiceUnavailable
from portalsec.secret import Secret
from portalsec.testing.contracts import KeyEncryptionContract
from tests.keyservices import Token

pytest.importorskip("pkcs11", reason="wants softhsm: the package python-pkcs11 is not installed")


def aead(softhsm: Token, key: str = "kek", **changes: object) -> Pkcs11Aead:
    uri = replace(Pkcs11Uri.parse(softhsm.uri(key)), **changes)  # type: ignore[arg-type]
    return Pkcs11Aead(uri, pin=lambda: Secret(softhsm.pin))


class TestSoftHsm(KeyEncryptionContract):
    @pytest.fixture
    def kek(self, softhsm: Token) -> Aead:
        return aead(softhsm)

    @pytest.fixture
    def other_kek(self, softhsm: Token) -> Aead:
        return aead(softhsm, "other")

    @pytest.fixture
    def unavailable_kek(self, softhsm: Token) -> Aead:
        return aead(softhsm, token="another token")

    def secrets(self) -> list[str]:
        return ["4711-0815"]


def test_what_the_token_wraps_cryptography_opens_and_the_reverse(softhsm: Token) -> None:
    key = softhsm.make_key("extractable", extractable=True)
    from pkcs11 import Attribute

    ours, theirs = aead(softhsm, "extractable"), AESGCM(key[Attribute.VALUE])
    for size in (1, 16, 100, 5000):
        plaintext = os.urandom(size)
        wrapped = ours.encrypt(plaintext, b"place")
        assert theirs.decrypt(wrapped[:12], wrapped[12:], b"place") == plaintext
        nonce = os.urandom(12)
        assert ours.decrypt(nonce + theirs.encrypt(nonce, plaintext, b"place"), b"place") == plaintext


def test_a_tink_keyset_of_the_same_key_opens_it(softhsm: Token) -> None:
    from pkcs11 import Attribute

    from portalsec.crypto._keys import AesGcmKey, Key

    value = softhsm.make_key("for tink", extractable=True)[Attribute.VALUE]
    raw = Key(id=1, status="ENABLED", prefix="RAW", material=AesGcmKey(Secret(value)))
    keyset = Keyset((raw,), 1).aead()
    assert keyset.decrypt(aead(softhsm, "for tink").encrypt(b"keyset", b"place"), b"place") == b"keyset"
    assert aead(softhsm, "for tink").decrypt(keyset.encrypt(b"keyset", b"place"), b"place") == b"keyset"


def in_child(work: object) -> int:
    """Fork, run, and give the child's exit code: 0 where ``work`` returned True."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # Python 3.12: other tests' threads may be running
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if work() else 2  # type: ignore[operator]
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_opens_sessions_of_its_own(softhsm: Token) -> None:
    kek = aead(softhsm)
    wrapped = kek.encrypt(b"keyset", b"place")

    def grandchild() -> bool:
        return kek.decrypt(wrapped, b"place") == b"keyset"

    def child() -> bool:
        handles = set(kek._opened)
        opens = kek.decrypt(wrapped, b"place") == b"keyset"
        if kek._login is None or kek._login[0] == generation:
            return False  # the parent's library, login and session would be used by two processes
        fresh = aead(softhsm).decrypt(kek.encrypt(b"more", b""), b"") == b"more"
        return opens and fresh and bool(handles) and in_child(grandchild) == 0

    generation = kek._login and kek._login[0]
    assert in_child(child) == 0
    assert kek.decrypt(wrapped, b"place") == b"keyset"  # the parent's own still stand
    assert kek._login is not None
    assert kek._login[0] == generation


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_while_threads_are_inside_the_library_is_whole(softhsm: Token) -> None:
    kek = aead(softhsm)
    wrapped = kek.encrypt(b"keyset", b"place")
    enough = threading.Event()
    failures: list[BaseException] = []

    def busy() -> None:
        try:
            while not enough.is_set():
                assert kek.decrypt(wrapped, b"place") == b"keyset"
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=busy) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        codes = [in_child(lambda: kek.decrypt(wrapped, b"place") == b"keyset") for _ in range(10)]
    finally:
        enough.set()
        for thread in threads:
            thread.join()
    assert codes == [0] * 10
    assert failures == []


def test_each_thread_has_a_session_and_those_of_ended_threads_are_closed(softhsm: Token) -> None:
    kek = aead(softhsm)
    sessions = []

    def work() -> None:
        kek.encrypt(b"keyset", b"")
        sessions.append(kek._opened[threading.current_thread()].session)

    for _ in range(3):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    kek.encrypt(b"keyset", b"")
    assert len({id(session) for session in sessions}) == 3
    assert list(kek._opened) == [threading.current_thread()]


def test_sessions_that_the_token_forgot_are_opened_anew(softhsm: Token) -> None:
    kek, beside = aead(softhsm), aead(softhsm, "other")
    wrapped, other = kek.encrypt(b"keyset", b""), beside.encrypt(b"keyset", b"")
    import pkcs11

    pkcs11.lib(str(softhsm.module)).reinitialize()  # all sessions are gone, as when a token was reset
    assert kek.decrypt(wrapped, b"") == b"keyset"
    assert beside.decrypt(other, b"") == b"keyset"


def test_a_wrong_pin_is_unavailable_and_is_not_tried_twice(softhsm: Token) -> None:
    tried = []

    def pin() -> Secret[str]:
        tried.append(1)
        return Secret("0000-wrong")

    logged_out(softhsm)
    kek = Pkcs11Aead(Pkcs11Uri.parse(softhsm.uri()), pin=pin)
    with pytest.raises(KeyServiceUnavailable, match="PinIncorrect") as caught:
        kek.encrypt(b"keyset", b"")
    assert "0000-wrong" not in f"{caught.value} {caught.value.__cause__}"
    assert tried == [1]  # a token locks itself after a few


def logged_out(token: Token) -> None:
    """Log this process out of the token, whoever logged in."""
    from portalsec.crypto.kms import pkcs11 as module

    shared = module._module(token.module)
    shared.library()[0].reinitialize()
    shared._generation += 1


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"object": "no such key"}, "NoSuchKey"),
        ({"token": "no such token"}, "NoSuchToken"),
        ({"serial": "0000"}, "NoSuchToken"),
        ({"id": b"\x07"}, "NoSuchKey"),
        ({"module": Path("no such library.so")}, "PKCS11Error"),
    ],
)
def test_what_is_not_there_is_unavailable(softhsm: Token, changes: dict[str, object], kind: str) -> None:
    with pytest.raises(KeyServiceUnavailable, match=kind):
        aead(softhsm, **changes).encrypt(b"keyset", b"")


def test_a_key_that_may_not_decrypt_is_unavailable(softhsm: Token) -> None:
    softhsm.make_key("one way", decrypt=False)
    kek = aead(softhsm, "one way")
    wrapped = kek.encrypt(b"keyset", b"")
    with pytest.raises(KeyServiceUnavailable):
        kek.decrypt(wrapped, b"")


class Broken(Pkcs11Aead):
    """A token that calls everything a general error, as SoftHSM does a bad tag."""

    def _call(self, verb: str, data: bytes, nonce: bytes, associated_data: bytes) -> bytes:
        import pkcs11

        raise pkcs11.GeneralError


def test_a_token_that_fails_is_unavailable_and_not_a_wrong_ciphertext(softhsm: Token) -> None:
    wrapped = aead(softhsm).encrypt(b"keyset", b"")
    with pytest.raises(KeyServiceUnavailable, match="GeneralError"):
        Broken(Pkcs11Uri.parse(softhsm.uri())).decrypt(wrapped, b"")


def test_two_keys_of_one_name_are_refused(softhsm: Token) -> None:
    softhsm.make_key("twice")
    softhsm.make_key("twice")
    with pytest.raises(KeyServiceUnavailable, match="MultipleObjects"):
        aead(softhsm, "twice").encrypt(b"keyset", b"")


def test_a_wrong_ciphertext_does_not_close_what_is_open(softhsm: Token) -> None:
    kek = aead(softhsm)
    wrapped = kek.encrypt(b"keyset", b"")
    session = kek._opened[threading.current_thread()].session
    for size in range(len(wrapped)):
        with pytest.raises(DecryptionError):
            kek.decrypt(wrapped[:size], b"")
    assert kek._opened[threading.current_thread()].session is session
    assert kek.decrypt(wrapped, b"") == b"keyset"
