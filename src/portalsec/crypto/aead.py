"""Encryption under a keyset, in Tink's frames: ``0x01 || key id || ...``, found by the first five bytes.

The key of a ciphertext is found by its prefix in a dict: no trial of one key after another, so neither the number of
keys nor the age of a cell costs time, and nobody can craft a ciphertext that opens under two keys of the set. RAW
keys, whose outputs have no prefix, are tried last and only where the keyset has them.

::

    AES-GCM, AES-GCM-SIV   prefix || nonce[12] || ciphertext || tag[16]
    XAES-256-GCM           prefix || salt[8..12] || nonce[12] || ciphertext || tag[16]

Nonces are fresh bytes of the operating system for each message and are never an argument: one repetition under one
GCM key gives away the key that authenticates. NIST SP 800-38D 8.3 bounds random nonces at 2^32 messages a key; how
XAES goes beyond that is told in `portalsec.crypto._xaes`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from itertools import islice
from threading import Lock
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NoReturn, TypeAlias
from weakref import WeakSet

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV

from portalsec.crypto._hidden import Hidden
from portalsec.crypto._keys import AesGcmKey, AesGcmSivKey, Key, XAesGcmKey
from portalsec.crypto._xaes import NONCE, TAG, Session, Subkeys, Transform, XAes, XAesReader
from portalsec.crypto.keyring import LiveKeyset
from portalsec.errors import ConfigurationError, DecryptionError

if TYPE_CHECKING:
    from portalsec.crypto.keyset import Keyset

__all__ = ["KeysetAead"]

_PREFIX = 5
_SESSION = 2**20  # messages under one XAES salt

Layout: TypeAlias = tuple[slice, slice, slice]
"""What a ciphertext's opener is found by, its nonce, the rest."""


def _layout(start: int) -> Layout:
    # Slices that are made once: a slice that is written out is built anew in each call.
    return slice(0, start), slice(start, start + NONCE), slice(start + NONCE, None)


_PLAIN = _layout(_PREFIX)  # of AES-GCM and AES-GCM-SIV
_NONE: Mapping[bytes, Transform] = MappingProxyType({})

_REFUSALS = (InvalidTag, ValueError, OverflowError)


def _random_bytes() -> Callable[[int], bytes]:
    """The operating system's generator; where Linux has it, without `os.urandom`'s detour by the interpreter's lock.

    The same system call is behind both. Up to 256 bytes it gives all or nothing (getrandom(2)); more is left to
    `os.urandom`. A sandbox that forbids the call shows it here.
    """
    try:
        os.getrandom(1)
        return os.getrandom
    except (AttributeError, OSError):
        return os.urandom


urandom = _random_bytes()
"""At most 256 bytes at a time."""


class _Reading:
    """What opens ciphertexts; never changed, but for the salts that are remembered."""

    __slots__ = ("layout", "named", "openers", "raw", "readers")

    def __init__(self, keyset: Keyset) -> None:
        # Bound methods are taken once here: looking them up for each value costs a tenth of a small encryption.
        self.openers: dict[bytes, Transform] = {}
        self.readers: dict[bytes, XAesReader] = {}
        salts = Subkeys(self.openers)
        raw: list[Callable[[bytes, bytes], bytes]] = []
        layouts: list[Layout] = []
        for key in keyset._enabled("aead"):
            prefix = key.output_prefix
            if isinstance(key.material, XAesGcmKey):
                xaes = XAes(key.material.value, key.material.salt_size)
                reader = XAesReader(xaes, prefix, salts if prefix else Subkeys({}))
                if prefix:
                    self.readers[prefix] = reader
                else:
                    raw.append(reader.open)
                start = len(prefix) + xaes.salt_size
                layouts.append(_layout(start))
            else:
                decrypt = _cipher(key).decrypt
                if prefix:
                    self.openers[prefix] = decrypt
                else:
                    raw.append(_framed(decrypt, 0))
                layouts.append(_PLAIN)
        self.raw = tuple(raw)
        # Also what is disabled or destroyed: its cells are ours, and no other reader is to be asked about them.
        self.named = frozenset(start for key in keyset._keys for start in _starts(key))
        # The primary, whose cells are most, comes first: what they begin with, their nonce, the rest.
        self.layout = layouts[0]


class _Writing:
    """What seals: the primary key."""

    __slots__ = ("_cipher", "_messages", "_xaes", "prefix", "session")

    def __init__(self, keyset: Keyset, *, message: bool) -> None:
        key = keyset._enabled("aead")[0]  # the primary comes first
        self.prefix = key.output_prefix
        self._xaes: XAes | None = None
        self._messages = 1 if message else _SESSION
        self.session: Session
        if isinstance(key.material, XAesGcmKey):
            self._xaes = XAes(key.material.value, key.material.salt_size)
            self.session = self.begin()
        else:
            self.session = (self.prefix, _cipher(key).encrypt, None)

    def begin(self) -> Session:
        """A session with a salt of its own."""
        if self._xaes is None:
            return self.session
        return self._xaes.session(self.prefix, urandom(self._xaes.salt_size), self._messages)


class KeysetAead(Hidden):
    """Tink's Aead over a keyset; made by `Keyset.aead`, or by `LiveKeyset.aead`, and then it follows the keyring.

    Safe to share between threads and across a fork.
    """

    __slots__ = (
        "__weakref__",
        "_layout",
        "_live",
        "_lock",
        "_message",
        "_openers",
        "_reading",
        "_session",
        "_writing",
    )

    def __init__(
        self, keys: Keyset | LiveKeyset, *, nonce: Literal["session", "message"] = "session"
    ) -> None:
        if nonce not in ("session", "message"):
            raise ConfigurationError(f'nonce={nonce!r}: choose "session" or "message"')
        self._message = nonce == "message"
        self._lock = Lock()  # the sealing side's changes: new keys, a new session
        self._reading: _Reading | None = None
        self._writing: _Writing | None = None
        # What `portalsec.crypto._hot` takes. The session is one piece, so that no value is sealed by one key under the
        # prefix of another; openers that meet the layout of another key find nothing, or what is not authentic.
        self._openers: Mapping[bytes, Transform] = _NONE
        self._layout: Layout = _PLAIN
        self._session: Session | None = None
        self._live: LiveKeyset | None = None
        _OPEN.add(self)
        if isinstance(keys, LiveKeyset):
            self._live = keys
            keys.follow(self._read, self._write, self._forget)
        else:
            self._read(keys)
            self._write(keys)

    def _read(self, keyset: Keyset) -> None:
        reading = _Reading(keyset)
        self._reading, self._openers, self._layout = reading, reading.openers, reading.layout

    def _write(self, keyset: Keyset) -> None:
        writing = _Writing(keyset, message=self._message)
        with self._lock:
            self._writing, self._session = writing, writing.session

    def _forget(self) -> None:
        """No keys, as before the first load."""
        with self._lock:
            self._writing = self._session = None
        self._reading, self._openers, self._layout = None, _NONE, _PLAIN

    def _renew(self, spent: Session | None) -> Session:
        """The session after this one; raises `ConfigurationError` where no keys are loaded."""
        with self._lock:
            # Another thread may have begun one, or a reload have changed the key: that one is used.
            if self._session is spent:
                if self._writing is None:
                    self._session = None
                else:
                    self._session = self._writing.begin()
            session = self._session
        return session if session is not None else self._not_loaded()

    def _after_fork(self) -> None:
        """In the child: a salt of its own, and a lock that no thread of the parent holds."""
        self._lock = Lock()
        if self._writing is not None:
            self._session = self._writing.begin()

    def _not_loaded(self) -> NoReturn:
        assert self._live is not None  # noqa: S101  (without a keyring there are keys from the beginning)
        _ = self._live.keyset  # says how to load them
        raise ConfigurationError("the keys of this cipher are being loaded: use it when that is done")

    # -- what may be asked of the keys --------------------------------------------------------------------------

    @property
    def prefix(self) -> bytes:
        """What ciphertexts of the primary key begin with: five bytes, or none under a RAW key."""
        return (self._writing or self._not_loaded()).prefix

    def names(self, ciphertext: bytes) -> bool:
        """Whether the first five bytes are those of a key of the set, one that is disabled or destroyed among them."""
        return bytes(ciphertext[:_PREFIX]) in (self._reading or self._not_loaded()).named

    # -- use ----------------------------------------------------------------------------------------------------

    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Encrypt under the primary key; ``associated_data`` is authenticated and not stored."""
        if associated_data is None:
            _no_bytes(None)  # the cipher would take it for empty, and the value would be bound to nothing
        start, encrypt = self._take(1)
        nonce = urandom(NONCE)
        return start + nonce + encrypt(nonce, plaintext, associated_data)

    def _take(self, messages: int) -> tuple[bytes, Transform]:
        """What is written before the nonce and the cipher, for so many messages (one session's at most)."""
        session = self._session
        while True:
            if session is None:
                session = self._renew(None)
            start, encrypt, left = session
            if left is None or sum(1 for _ in islice(left, messages)) == messages:
                return start, encrypt
            session = self._renew(session)  # a rest that is too small is given up

    @property
    def _batch(self) -> int:
        """How many messages one `_take` may ask for."""
        return 1 if self._message else min(4096, _SESSION)

    def decrypt(self, ciphertext: bytes, associated_data: bytes) -> bytes:
        """The plaintext. Raises `DecryptionError`, one error for every cause."""
        if associated_data is None:
            _no_bytes(None)
        reading = self._reading or self._not_loaded()
        start, nonce, sealed = reading.layout
        opener: Transform | None = None
        try:
            # No length is checked here: what is cut short has no whole tag, and so is never authentic.
            opener = reading.openers[ciphertext[start]]
            return opener(ciphertext[nonce], ciphertext[sealed], associated_data)
        except (KeyError, TypeError, *_REFUSALS):
            pass  # outside the handler, so that the error below has no context
        return self._open_rest(reading, ciphertext, associated_data, tried=opener is not None)

    def _open_rest(
        self, reading: _Reading, ciphertext: object, associated_data: bytes, *, tried: bool
    ) -> bytes:
        """All that is rarer: keys unlike the primary, new salts, buffers, RAW keys, and the refusal."""
        if not isinstance(associated_data, bytes):
            _no_bytes(associated_data)
        if isinstance(ciphertext, (bytearray, memoryview)):
            return self.decrypt(bytes(ciphertext), associated_data)  # some drivers hand out buffers
        if not isinstance(ciphertext, bytes):
            raise DecryptionError("not_bytes")  # a column that holds text or a number was not written here
        prefix = ciphertext[:_PREFIX]
        reader, opener = reading.readers.get(prefix), reading.openers.get(prefix)
        attempts = list(reading.raw)
        if not tried and reader is not None:
            attempts.insert(0, reader.open)
        elif not tried and opener is not None:
            attempts.insert(0, _framed(opener, _PREFIX))
        for attempt in attempts:
            try:
                return attempt(ciphertext, associated_data)
            except _REFUSALS:
                continue
        shortest = reader.shortest if reader else NONCE + TAG + (0 if reading.raw else _PREFIX)
        if len(ciphertext) < shortest:
            raise DecryptionError("too_short")
        raise DecryptionError("not_authentic" if reading.raw or reader or opener else "unknown_key")


_OPEN: WeakSet[KeysetAead] = WeakSet()


def _after_fork() -> None:
    """Whoever forks has two processes with one salt: the child draws its own."""
    for aead in list(_OPEN):
        aead._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _cipher(key: Key) -> AESGCM | AESGCMSIV:
    assert isinstance(key.material, (AesGcmKey, AesGcmSivKey))  # noqa: S101  (the others were asked before)
    kind = AESGCM if isinstance(key.material, AesGcmKey) else AESGCMSIV
    try:
        return kind(key.material.value.reveal())
    except UnsupportedAlgorithm:
        pass
    raise ConfigurationError(
        f"key {key.id} is an {key.material.name} key, and the OpenSSL that `cryptography` was built with has no such "
        "cipher: use a wheel of `cryptography`, or OpenSSL 3.2 or newer"
    )


def _framed(opener: Transform, prefix: int) -> Callable[[bytes, bytes], bytes]:
    """An opener that takes a whole ciphertext."""
    _, nonce, sealed = _layout(prefix)
    return lambda ciphertext, associated_data: opener(ciphertext[nonce], ciphertext[sealed], associated_data)


def _starts(key: Key) -> tuple[bytes, ...]:
    """What a key's ciphertexts begin with; of a destroyed one whose prefix is forgotten, what they may begin with."""
    if key.prefix is None:
        number = key.id.to_bytes(4, "big")
        return (b"\x01" + number, b"\x00" + number)
    return (key.output_prefix,) if key.output_prefix else ()


def _no_bytes(associated_data: object) -> NoReturn:
    raise TypeError(f"associated data are bytes, not {type(associated_data).__name__}")
