"""`Pkcs11Aead`: an AES key in a token (an HSM, a smart card, SoftHSM) as an `Aead`, through PKCS #11.

AES-256-GCM as ``nonce[12] || ciphertext || tag[16]``: what Tink's AES-GCM writes with a RAW prefix, so that where the
key may leave its token (a test's may) any AES-GCM opens it.

**Threads.** python-pkcs11 initialises the vendor's library without locking functions, which tells it that calls never
come at once; with SoftHSM 2.6 eight threads end in a segmentation fault. So one lock a library, and one session a
thread. A key-encryption key is asked once a start, where the lock costs nothing.

**Fork.** A child must initialise the library anew (PKCS #11 2.40, 2.5 of the usage guide); it does so at its first
call, logs in again and opens sessions of its own. A fork waits until no thread is inside the library.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portalsec.crypto._hidden import Hidden
from portalsec.crypto.kms._arguments import ciphertext_bytes, require_bytes
from portalsec.crypto.kms._failure import unavailable
from portalsec.crypto.kms.pkcs11_uri import Pkcs11Uri
from portalsec.errors import ConfigurationError, DecryptionError, MissingExtra, PortalsecError
from portalsec.secret import Secret

__all__ = ["Pkcs11Aead"]

_NONCE = 12
_TAG = 16

# Sessions and handles that the token forgot (it was reset, pulled out, or somebody logged out): opened anew, once.
_STALE = frozenset(
    {
        "SessionHandleInvalid",
        "SessionClosed",
        "KeyHandleInvalid",
        "ObjectHandleInvalid",
        "UserNotLoggedIn",
        "DeviceRemoved",
        "TokenNotPresent",
    }
)
_WRONG = frozenset({"EncryptedDataInvalid", "EncryptedDataLenRange", "DataInvalid", "DataLenRange"})
_MAYBE_WRONG = frozenset({"GeneralError", "FunctionFailed", "DeviceError", "ArgumentsBad"})


class Pkcs11Aead(Hidden):
    """Asks the token for every call. Safe to share between threads and across a fork.

    The key must be an AES key that encrypts and decrypts. Keep it unextractable: then nobody has it but the token.
    """

    __slots__ = ("_login", "_module", "_opened", "_pin", "_uri", "_where")

    def __init__(self, uri: Pkcs11Uri, *, pin: Callable[[], Secret[str]] | None = None) -> None:
        """
        Args:
            uri: library, token and key. Nothing is opened before the first call.
            pin: gives the user's PIN, asked at each login; None where the key needs none.

        Raises:
            MissingExtra: python-pkcs11 is not installed.
        """
        try:
            import pkcs11  # noqa: F401
        except ModuleNotFoundError as error:
            raise MissingExtra("pkcs11", package="python-pkcs11") from error
        self._uri = uri
        self._pin = pin
        self._module = _module(uri.module)
        self._opened: dict[threading.Thread, _Opened] = {}
        self._login: tuple[int, Any] | None = None
        self._where = f"the key {uri.object or '(by id)'} of the token {uri.token or uri.serial}"

    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Wrap. Raises `KeyServiceUnavailable` where the token is not there, or refuses."""
        require_bytes(plaintext=plaintext, associated_data=associated_data)
        nonce = os.urandom(_NONCE)
        with self._module.lock:
            sealed, failure = self._run("encrypt", plaintext, nonce, associated_data)
        del plaintext
        if failure is not None:
            raise failure
        return nonce + sealed

    def decrypt(self, ciphertext: bytes, associated_data: bytes) -> bytes:
        """Raises `DecryptionError` for what this key did not wrap, `KeyServiceUnavailable` for all else."""
        require_bytes(associated_data=associated_data)
        data = ciphertext_bytes(ciphertext)
        if len(data) < _NONCE + _TAG:
            raise DecryptionError("too_short")
        with self._module.lock:
            opened, failure = self._run("decrypt", data[_NONCE:], data[:_NONCE], associated_data)
        if failure is not None:
            raise failure
        return opened

    # -- the token --------------------------------------------------------------------------------------------

    def _run(
        self, verb: str, data: bytes, nonce: bytes, associated_data: bytes
    ) -> tuple[bytes, PortalsecError | None]:
        """The result, or the error to raise: not from here, where the plaintext is."""
        import pkcs11

        for last in (False, True):
            try:
                return self._call(verb, data, nonce, associated_data), None
            except pkcs11.PKCS11Error as error:
                cause, kind = error, type(error).__name__
            except ConfigurationError as error:  # of the PIN's reference
                return b"", error.with_traceback(None)
            if kind not in _STALE or last:
                break
            self._opened.clear()
            self._login = None
        if verb == "decrypt" and (kind in _WRONG or (kind in _MAYBE_WRONG and self._works())):
            return b"", DecryptionError("not_authentic")
        return b"", unavailable(
            f"{self._where} did not {verb} ({kind}): see that the token is there, that the PIN is right, and that the "
            "key may encrypt and decrypt",
            cause,
        )

    def _call(self, verb: str, data: bytes, nonce: bytes, associated_data: bytes) -> bytes:
        from pkcs11 import FunctionNotSupported, GCMParams, Mechanism

        method = getattr(self._key(), verb, None)
        if method is None:  # what the key may not do, its handle has not
            raise FunctionNotSupported
        return bytes(
            method(
                data, mechanism=Mechanism.AES_GCM, mechanism_param=GCMParams(nonce, associated_data, 8 * _TAG)
            )
        )

    def _works(self) -> bool:
        """Whether the key opens what it wraps: some tokens, SoftHSM among them, call a bad tag a general error."""
        import pkcs11

        nonce, probe = os.urandom(_NONCE), os.urandom(16)
        try:
            return self._call("decrypt", self._call("encrypt", probe, nonce, b""), nonce, b"") == probe
        except pkcs11.PKCS11Error:
            return False

    def _key(self) -> Any:
        """This thread's handle of the key; opens what is missing."""
        from pkcs11 import KeyType, ObjectClass

        thread = threading.current_thread()
        library, generation = self._module.library()
        opened = self._opened.get(thread)
        if opened is not None and opened.generation == generation:
            return opened.key
        self._close_of_ended_threads(generation)
        token = self._token(library)
        if self._login is None or self._login[0] != generation:
            # The login is the process's, and lasts as long as one of its sessions: this one stays open for it.
            self._login = (generation, self._logged_in(token))
        session = token.open()
        key = session.get_key(
            object_class=ObjectClass.SECRET_KEY, key_type=KeyType.AES, label=self._uri.object, id=self._uri.id
        )
        self._opened[thread] = _Opened(generation, session, key)
        return key

    def _token(self, library: Any) -> Any:
        serial = self._uri.serial
        return library.get_token(
            token_label=self._uri.token, token_serial=None if serial is None else serial.encode()
        )

    def _logged_in(self, token: Any) -> Any:
        import pkcs11

        if self._pin is None:
            return token.open()
        try:
            return token.open(user_pin=self._pin().reveal().strip())
        except pkcs11.UserAlreadyLoggedIn:
            return token.open()  # by another part of this process

    def _close_of_ended_threads(self, generation: int) -> None:
        import pkcs11

        for thread in [thread for thread in self._opened if not thread.is_alive()]:
            ended = self._opened.pop(thread)
            if ended.generation == generation:
                try:
                    ended.session.close()
                except pkcs11.PKCS11Error:
                    continue


@dataclass(frozen=True, slots=True)
class _Opened:
    generation: int
    session: Any
    key: Any


# -- the libraries ----------------------------------------------------------------------------------------------
# The vendor's library is one a process, whoever asks for it: its lock and its state have to be so too.


class _Module:
    """A vendor's library, initialised once a process."""

    def __init__(self, path: Path) -> None:
        self.lock = threading.RLock()
        self._path = path
        self._pid = 0
        self._generation = 0

    def library(self) -> tuple[Any, int]:
        """The library, and a number that changes where its sessions are gone. Under the lock."""
        import pkcs11

        library = pkcs11.lib(str(self._path))
        if self._pid != os.getpid():
            if self._pid:
                with contextlib.suppress(pkcs11.PKCS11Error):  # some notice the fork by themselves
                    library.finalize()
                library.initialize()
            self._pid = os.getpid()
            self._generation += 1
        return library, self._generation


_modules: dict[Path, _Module] = {}
_modules_lock = threading.Lock()


def _module(path: Path) -> _Module:
    with _modules_lock:
        return _modules.setdefault(path, _Module(path))


def _before_fork() -> None:
    _modules_lock.acquire()
    for module in _modules.values():
        module.lock.acquire()


def _after_fork() -> None:
    for module in reversed(_modules.values()):
        module.lock.release()
    _modules_lock.release()


# A child that was forked while another thread was inside the library would get its memory half changed.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
