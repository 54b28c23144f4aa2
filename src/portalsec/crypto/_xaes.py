"""XAES-256-GCM: AES-256-GCM under a key derived from a salt, so that salt and nonce together have 192 bits.

Wire-identical to Tink's XAesGcm: ``salt || nonce[12] || ciphertext || tag[16]``. The derivation is C2SP's
(https://c2sp.org/XAES-256-GCM), which is NIST SP 800-108r1 in counter mode with AES-CMAC; a salt shorter than 12 bytes
is filled with zeros, as Tink does. It is tested against C2SP's vectors, the accumulated ones among them.

Deriving a key and expanding it costs twice a small encryption, so both sides keep what they derived. Writing, one
random salt serves a *session*: one key, in one process, until it forks or has sealed 2^20 messages; each message still
has 12 random bytes of its own. A nonce is used twice where two messages of one session draw the same 12 bytes: 2^-57 a
session, and so 2^-32 for all of 2^45 messages. (Two sessions with the same salt, 2^-47 among 2^25 of them, would only be
one longer session.)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from threading import local
from typing import TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from portalsec.crypto._hidden import Hidden
from portalsec.secret import Secret

__all__ = ["NONCE", "TAG", "Subkeys", "Transform", "XAes", "XAesReader"]

Transform: TypeAlias = Callable[[bytes, bytes, bytes], bytes]
"""``encrypt`` or ``decrypt`` of a cipher object: nonce, data, associated data."""

Session: TypeAlias = "tuple[bytes, Transform, Iterator[int] | None]"
"""What is written before the nonce, the cipher, and how many messages it may still seal (None: no limit)."""

NONCE = 12
TAG = 16
_MASK = 2**128 - 1
_COUNTERS = (b"\x00\x01X\x00", b"\x00\x02X\x00")  # SP 800-108 counter, label "X", end of label
_KEPT = 4096  # salts; 2.5 KiB each


class XAes(Hidden):
    """One key. Safe to share between threads and across a fork."""

    __slots__ = ("_key", "_local", "_whitening", "salt_size")

    def __init__(self, key: Secret[bytes], salt_size: int) -> None:
        self._key = key
        self.salt_size = salt_size
        self._local = local()  # an encryptor for each thread: the object is not made to be shared
        first = int.from_bytes(self._blocks(bytes(16)), "big")
        k1 = (first << 1 & _MASK) ^ (0x87 if first >> 127 else 0)  # CMAC's doubling (SP 800-38B 6.1)
        self._whitening = k1 << 128 | k1

    def _blocks(self, data: bytes) -> bytes:
        try:
            update = self._local.update
        except AttributeError:
            # Single blocks of a key derivation, not a mode of encryption.
            ecb = modes.ECB()  # noqa: S305
            update = self._local.update = Cipher(algorithms.AES(self._key.reveal()), ecb).encryptor().update
        return update(data)  # type: ignore[no-any-return]

    def subkey(self, salt: bytes) -> Secret[bytes]:
        """The 32 bytes for messages under this salt."""
        padded = salt.ljust(12, b"\x00")
        message = b"".join(counter + padded for counter in _COUNTERS)
        return Secret(self._blocks((int.from_bytes(message, "big") ^ self._whitening).to_bytes(32, "big")))

    def session(self, prefix: bytes, salt: bytes, messages: int) -> Session:
        """For writing: ``messages`` is how many may be sealed under this salt."""
        # A range iterator hands out each number once, whatever the number of threads, without a lock.
        return prefix + salt, AESGCM(self.subkey(salt).reveal()).encrypt, iter(range(messages))


class Subkeys(Hidden):
    """Openers by what their cells begin with, of which the last 4096 salts are kept; the others are derived anew.

    Without a lock, which a fork could leave locked: each step is one operation of a dict or a deque, and what two
    threads do at once is at worst done twice.
    """

    __slots__ = ("_order", "openers")

    def __init__(self, openers: dict[bytes, Transform]) -> None:
        self.openers = openers
        self._order: deque[bytes] = deque()

    def keep(self, start: bytes, opener: Transform) -> None:
        """Only after it opened something: what a stranger writes into a cell must not push out what is in use."""
        if start in self.openers:
            return
        self.openers[start] = opener
        self._order.append(start)
        if len(self._order) > _KEPT:
            self.openers.pop(self._order.popleft(), None)


class XAesReader(Hidden):
    """Opens the ciphertexts of one key behind one output prefix."""

    __slots__ = ("_from", "_subkeys", "_until", "_xaes", "shortest")

    def __init__(self, xaes: XAes, prefix: bytes, subkeys: Subkeys) -> None:
        self._xaes = xaes
        self._subkeys = subkeys
        self._from = len(prefix)
        self._until = self._from + xaes.salt_size
        self.shortest = self._until + NONCE + TAG

    def open(self, ciphertext: bytes, associated_data: bytes) -> bytes:
        """Raises `InvalidTag` for whatever does not open."""
        if len(ciphertext) < self.shortest:
            raise InvalidTag
        start, after = ciphertext[: self._until], self._until + NONCE
        nonce, sealed = ciphertext[self._until : after], ciphertext[after:]
        known = self._subkeys.openers.get(start)
        if known is not None:
            return known(nonce, sealed, associated_data)
        opener = AESGCM(self._xaes.subkey(start[self._from :]).reveal()).decrypt
        plaintext = opener(nonce, sealed, associated_data)
        self._subkeys.keep(start, opener)
        return plaintext
