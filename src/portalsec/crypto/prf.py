"""Pseudo-random functions of a keyset: `KeysetPrf`, which is Tink's, and `KeyedHash`, one unrelated function a purpose.

The input of a keyed hash is ``"psh1" || length of purpose, 4 bytes big-endian || purpose || data``: injective, so that
no pair of purpose and data meets another (purpose "ab" with data "c" is not purpose "a" with data "bc").
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from portalsec._encoding import length_prefixed
from portalsec.crypto._hidden import Hidden
from portalsec.crypto._keys import HkdfPrfKey, HmacPrfKey, Key
from portalsec.crypto.keyset import Keyset
from portalsec.errors import ConfigurationError

if TYPE_CHECKING:
    from portalsec.crypto.keyring import AnyKeyset

__all__ = ["Fed", "KeyedHash", "KeysetPepper", "KeysetPrf", "OfPrfKeys", "PrfFunction"]

_MAGIC = b"psh1"
_HASH = 32
_MOST_PURPOSES = 256


class PrfFunction(Hidden):
    """One key as a function from bytes to bytes: HMAC (RFC 2104), or HKDF (RFC 5869) with the input as its info.

    HKDF's first half happens here, once. What is left of it for an output of one block is one HMAC over the input and
    the byte 1, so that both kinds are a keyed HMAC that is copied: setting up a key costs more than hashing
    something small.
    """

    __slots__ = ("_counted", "_keyed", "_size", "id", "name")

    def __init__(self, key: Key) -> None:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.hmac import HMAC

        material = cast("HmacPrfKey | HkdfPrfKey", key.material)
        algorithm: hashes.HashAlgorithm = getattr(hashes, material.hash)()
        secret = material.value.reveal()
        self._counted = isinstance(material, HkdfPrfKey)
        if isinstance(material, HkdfPrfKey):
            extract = HMAC(material.salt or bytes(algorithm.digest_size), algorithm)
            extract.update(secret)
            secret = extract.finalize()
        self._keyed = HMAC(secret, algorithm)
        self._size = algorithm.digest_size
        self.id = key.id
        self.name = material.name

    @property
    def block(self) -> int:
        """Bytes of an output that cost one hash."""
        return self._size

    def compute(self, data: bytes, length: int) -> bytes:
        """The first ``length`` bytes. Raises `ValueError` for more than the key gives."""
        most = 255 * self._size if self._counted else self._size
        if not 1 <= length <= most:
            raise ValueError(f"{self.name} gives 1 to {most} bytes, not {length}")
        output = block = b""
        counter = 0
        while len(output) < length:
            counter += 1
            mac = self._keyed.copy()
            mac.update(block + data + bytes([counter]) if self._counted else data)
            block = mac.finalize()
            output += block
        return output[:length]

    def fed(self, prefix: bytes) -> Fed:
        """The function over ``prefix || data``, with the prefix hashed in beforehand."""
        keyed = self._keyed.copy()
        keyed.update(prefix)
        return Fed(keyed, b"\x01" if self._counted else b"")


class Fed(Hidden):
    """A function whose input began already. One block of output. Safe to share: each use is a copy."""

    __slots__ = ("copy", "tail")

    def __init__(self, keyed: Any, tail: bytes) -> None:
        self.copy = keyed.copy
        self.tail = tail  # to be hashed after the data

    def __call__(self, data: bytes) -> bytes:
        mac = self.copy()
        mac.update(data + self.tail if self.tail else data)
        return cast("bytes", mac.finalize())


class OfPrfKeys(Hidden):
    """What hashes under a keyset, or under a name of a keyring, which it follows; the primary's function comes first.

    A reload is two steps (see `LiveKeyset.follow`). After the first, the new keys are read and the old primary still
    writes, also where it is gone from the new keyset; after the second the new primary writes.
    """

    __slots__ = ("__weakref__", "_functions", "_keys")

    def __init__(self, keys: AnyKeyset) -> None:
        """Raises `ConfigurationError` where the keys are there and not for hashing."""
        self._functions: tuple[PrfFunction, ...] = ()
        self._keys = keys
        if isinstance(keys, Keyset):
            self._write(keys)
        else:
            keys.follow(self._read, self._write, self._forget)

    def _read(self, keyset: Keyset) -> None:
        functions = self._of(keyset)
        writing = self._functions[:1]
        self._take((*writing, *(one for one in functions if not writing or one.id != writing[0].id)))

    def _write(self, keyset: Keyset) -> None:
        self._take(self._of(keyset))

    def _forget(self) -> None:
        self._take(())

    def _of(self, keyset: Keyset) -> tuple[PrfFunction, ...]:
        functions = tuple(PrfFunction(key) for key in keyset._enabled("prf"))
        for function in functions:
            self._check(function)
        return functions

    def _take(self, functions: tuple[PrfFunction, ...]) -> None:
        self._use(functions)
        self._functions = functions

    def _check(self, function: PrfFunction) -> None:
        """Raises `ConfigurationError` for a key that does not serve here."""

    @abstractmethod
    def _use(self, functions: tuple[PrfFunction, ...]) -> None:
        """These from now on, taken over in one assignment: other threads are hashing. None: no keys are loaded."""

    def _loaded(self) -> None:
        """Raises `ConfigurationError`, saying how to load, where the keyring was not loaded yet."""
        if not self._functions:
            assert not isinstance(self._keys, Keyset)  # noqa: S101
            _ = self._keys.keyset


class KeysetPrf(OfPrfKeys):
    """Tink's PrfSet over a keyset; made by `Keyset.prf`. Safe to share between threads and across a fork."""

    __slots__ = ("_by_id",)

    _by_id: dict[int, PrfFunction]

    def _use(self, functions: tuple[PrfFunction, ...]) -> None:
        self._by_id = {function.id: function for function in functions}

    @property
    def primary_id(self) -> int:
        """The id of the key that `compute` takes where none is named."""
        self._loaded()
        return self._functions[0].id

    def compute(self, data: bytes, length: int = _HASH, *, key_id: int | None = None) -> bytes:
        """The first ``length`` bytes of the function of the primary key, or of another enabled key.

        An output of fewer bytes is the beginning of one of more. An HMAC key gives as many bytes as its hash has, an
        HKDF key 255 times as many.

        Raises:
            TypeError: data that are not bytes.
            ValueError: a length that the key does not give.
            ConfigurationError: ``key_id`` names no enabled key.
        """
        self._loaded()
        if not isinstance(data, bytes):
            raise TypeError(f"data are bytes, not {type(data).__name__}")
        function = self._functions[0] if key_id is None else self._by_id.get(key_id)
        if function is None:
            raise ConfigurationError(
                f"the keyset has no enabled key {key_id!r}: it has {', '.join(map(str, self._by_id))}"
            )
        return function.compute(data, length)

    def all(self, data: bytes, length: int = _HASH) -> Mapping[int, bytes]:
        """`compute` under every enabled key, by key id; the primary's comes first."""
        self._loaded()
        return {key_id: self.compute(data, length, key_id=key_id) for key_id in tuple(self._by_id)}


class KeysetPepper(KeysetPrf):
    """Satisfies `portalsec.auth.ports.Pepper`. Safe to share between threads and across a fork."""

    __slots__ = ()

    def _check(self, function: PrfFunction) -> None:
        if function.block < _HASH:
            raise ConfigurationError(
                f"a pepper gives 32 bytes, and key {function.id} ({function.name}) gives {function.block}: disable it"
            )

    def tag(self, key_id: int, data: bytes) -> bytes | None:
        """32 bytes under one key, or None where no enabled key has this id."""
        self._loaded()
        function = self._by_id.get(key_id)
        return None if function is None else function.compute(data, _HASH)


class KeyedHash(OfPrfKeys):
    """Satisfies `portalsec.auth.ports.Mac`. Safe to share between threads and across a fork.

    Newest writes, all read: a call hashes under the primary key, which is what to store; `all` hashes under every
    enabled key, which is what to look for.
    """

    __slots__ = ("_purposes",)

    _purposes: dict[str, tuple[Fed, ...]]

    def __init__(self, keys: AnyKeyset) -> None:
        """
        Args:
            keys: of HMAC-PRF or HKDF-PRF keys, or a name of a keyring.

        Raises:
            ConfigurationError: the keys are not for hashing, or one of them gives fewer than 32 bytes.
        """
        self._purposes = {}
        super().__init__(keys)

    def _check(self, function: PrfFunction) -> None:
        if function.block < _HASH:
            raise ConfigurationError(
                f"a keyed hash has 32 bytes, and key {function.id} ({function.name}) gives {function.block}: disable it"
            )

    def _use(self, functions: tuple[PrfFunction, ...]) -> None:
        # The functions of a purpose are kept with those of all others, so that one assignment changes all of them.
        self._purposes = _Purposes(functions)

    def __call__(self, purpose: str, data: bytes) -> bytes:
        """32 bytes under the primary key; different purposes are unrelated.

        Raises:
            TypeError: data that are not bytes.
            ConfigurationError: a purpose that is empty, no text or not encodable; a keyring that is not loaded.
        """
        fed = (self._purposes.get(purpose) or self._for(purpose))[0]
        mac = fed.copy()
        mac.update(data)
        if fed.tail:
            mac.update(fed.tail)
        return mac.finalize()[:_HASH]  # type: ignore[no-any-return]

    def all(self, purpose: str, data: bytes) -> tuple[bytes, ...]:
        """The hash under every enabled key, the primary's first: what was stored under any of them is among these."""
        return tuple([fed(data)[:_HASH] for fed in self._purposes.get(purpose) or self._for(purpose)])

    def _for(self, purpose: object) -> tuple[Fed, ...]:
        """The functions with the purpose hashed in, kept; purposes are a handful of constants."""
        self._loaded()
        if not isinstance(purpose, str) or not purpose or not purpose.isprintable():
            raise ConfigurationError("the purpose of a keyed hash is a printable text that is not empty")
        purposes = cast("_Purposes", self._purposes)
        prefix = _MAGIC + length_prefixed(purpose.encode())
        fed = tuple(function.fed(prefix) for function in purposes.functions)
        if len(purposes) < _MOST_PURPOSES:
            purposes[purpose] = fed
        return fed


class _Purposes(dict[str, tuple[Fed, ...]]):
    """Functions that began with a purpose, by purpose, of one set of keys."""

    __slots__ = ("functions",)

    def __init__(self, functions: tuple[PrfFunction, ...]) -> None:
        super().__init__()
        self.functions = functions
