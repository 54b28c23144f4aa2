"""`Keyset`: keys with ids and states, one of them primary, in Tink's format.

Newest writes, all read: the primary key encrypts, every enabled key decrypts. A rotation is `add`, wait until every
process has loaded the new keyset, `promote`, re-encrypt, `disable`, and at last `destroy`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NoReturn, TypeVar

from portalsec.crypto import _keyset_binary, _keyset_json
from portalsec.crypto._hidden import Hidden
from portalsec.crypto._keys import (
    TEMPLATES,
    Key,
    KeyProblem,
    Material,
    Prefix,
    Primitive,
    Status,
    template_named,
)
from portalsec.errors import ConfigurationError, DecryptionError
from portalsec.secret import Secret

if TYPE_CHECKING:
    from portalsec.crypto.aead import KeysetAead
    from portalsec.crypto.daead import KeysetDaead
    from portalsec.crypto.ports import Aead
    from portalsec.crypto.prf import KeysetPrf

__all__ = ["KeyInfo", "Keyset"]

A = TypeVar("A")
T = TypeVar("T")

_WANTED: dict[Primitive, tuple[str, str]] = {
    "aead": ("encryption", "XAES_256_GCM"),
    "daead": ("deterministic encryption", "AES256_SIV"),
    "prf": ("a keyed hash", "HMAC_SHA256_PRF"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInfo:
    """What may be shown of a key.

    Attributes:
        id: 1 to 2^32 - 1, unique in its keyset.
        type: what it is, named as its template ("XAES_256_GCM", "HMAC_SHA256_PRF"); None for a destroyed key.
        status: "ENABLED", "DISABLED" or "DESTROYED".
        prefix: "TINK", "CRUNCHY", "LEGACY" (outputs begin with the key's id) or "RAW" (they do not); None where a
            destroyed key has none.
        primary: whether this key writes.
    """

    id: int
    type: str | None
    status: Status
    prefix: Prefix | None
    primary: bool


class Keyset(Hidden):
    """An immutable set of keys of one purpose, made by `generate` or read by one of the ``from_`` methods.

    Every change returns a new keyset. It never shows a key: not in ``repr``, not in an error, not by pickle or copy;
    the one way out is `portalsec.crypto.insecure`.
    """

    __slots__ = ("_aeads", "_keys", "_primary_id")

    _aeads: dict[str, KeysetAead]
    _keys: tuple[Key, ...]
    _primary_id: int

    def __init__(self, keys: Sequence[Key], primary_id: int) -> None:
        """For this package; applications call `generate` or read one."""
        _check(keys, primary_id)
        object.__setattr__(self, "_keys", tuple(keys))
        object.__setattr__(self, "_primary_id", primary_id)
        object.__setattr__(self, "_aeads", {})

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(
            "a Keyset is immutable; add, promote, disable, enable and destroy return a new one"
        )

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a Keyset is immutable; disable and destroy return a new one")

    @classmethod
    def generate(cls, template: str = "XAES_256_GCM") -> Keyset:
        """A keyset of one new key, which is primary.

        Args:
            template: "XAES_256_GCM" (fields and everything else that is encrypted), "AES256_GCM" (cells that are 12
                bytes shorter, for at most 2^32 of them a key), "AES128_GCM", "AES256_GCM_SIV", "AES256_SIV"
                (deterministic), "HMAC_SHA256_PRF" (blind indexes and `KeyedHash`) or "HKDF_SHA256_PRF".

        Raises:
            ConfigurationError: another template.
        """
        key = _new_key(template, taken=frozenset())
        return cls((key,), key.id)

    @classmethod
    def from_json(cls, text: str | Secret[str]) -> Keyset:
        """Read Tink's JSON form, in any spelling that proto3 JSON has.

        Raises:
            ConfigurationError: for everything that is not a usable keyset, in one sentence that holds no key: text
                that is not JSON, unknown or repeated fields, no key, a primary that is missing or not enabled, an id
                that is 0 or comes twice, keys of two purposes, an unknown type, prefix or status, a version other
                than 0, a wrong size (AES-192 among them).
        """
        keyset, problem = _attempt(_keyset_json.parse, text, str)
        del text  # raised without it: neither the context nor the frame of this error holds a key
        return _usable(keyset, problem)

    @classmethod
    def from_bytes(cls, data: bytes | Secret[bytes]) -> Keyset:
        """Read Tink's binary form. Raises `ConfigurationError` as `from_json` does."""
        keyset, problem = _attempt(_keyset_binary.parse, data, bytes)
        del data
        return _usable(keyset, problem)

    @classmethod
    def from_encrypted_json(cls, text: str, kek: Aead, associated_data: bytes = b"") -> Keyset:
        """Read Tink's encrypted keyset in JSON, under a key-encryption key of any provider: one call of its ``decrypt``.

        The ``keysetInfo`` beside the encrypted bytes is never used: nothing authenticates it.

        Args:
            text: as `to_encrypted_json` or ``tinkey`` wrote it.
            kek: the key-encryption key: `portalsec.crypto.kms`, or another keyset's ``aead()``.
            associated_data: the bytes with which it was encrypted.

        Raises:
            ConfigurationError: no encrypted keyset, or its content is not a usable keyset.
            DecryptionError: it does not open: another key, other associated data, or the bytes were changed.
        """
        encrypted, problem = _attempt(_keyset_json.parse_encrypted, text, str)
        if encrypted is None:
            raise ConfigurationError(f"this is not an encrypted keyset: {problem}")
        return _opened(encrypted, kek, associated_data)

    @classmethod
    def from_encrypted_bytes(cls, data: bytes, kek: Aead, associated_data: bytes = b"") -> Keyset:
        """Read Tink's encrypted keyset in binary; otherwise as `from_encrypted_json`."""
        encrypted, problem = _attempt(_keyset_binary.parse_encrypted, data, bytes)
        if encrypted is None:
            raise ConfigurationError(f"this is not an encrypted keyset: {problem}")
        return _opened(encrypted, kek, associated_data)

    def to_encrypted_json(self, kek: Aead, associated_data: bytes = b"") -> str:
        """Tink's encrypted keyset in JSON: safe to store, with ids, types and states of the keys readable beside it.

        It is opened again before it is returned, so that no keyset is stored that its own key service cannot open.

        Args:
            kek: the key-encryption key.
            associated_data: bytes that must be given again to open it: what it is and where it is used.

        Raises:
            ConfigurationError: the key-encryption key does not open what it encrypted.
        """
        sealed = self._sealed(kek, associated_data)
        return _keyset_json.write_encrypted(sealed, self._keys, self._primary_id)

    def to_encrypted_bytes(self, kek: Aead, associated_data: bytes = b"") -> bytes:
        """Tink's encrypted keyset in binary, which tells nothing of its keys; otherwise as `to_encrypted_json`."""
        return _keyset_binary.write_encrypted(self._sealed(kek, associated_data))

    def _sealed(self, kek: Aead, associated_data: bytes) -> bytes:
        _check_kek(kek, associated_data)
        # The keys in the clear are never a local of this frame: a crash report of a failing key service sends locals.
        sealed = kek.encrypt(_keyset_binary.write(self._keys, self._primary_id), associated_data)
        if kek.decrypt(sealed, associated_data) != _keyset_binary.write(self._keys, self._primary_id):
            del sealed  # from a key service that does not encrypt it could be anything
            raise ConfigurationError(
                "the key-encryption key does not open what it encrypted: the keyset was not written"
            )
        if associated_data and _ignores(kek, sealed, associated_data + b"\x00"):
            # An old key service may drop what it does not know: then one keyset's file would open as another's.
            raise ConfigurationError(
                "the key-encryption key does not look at associated data: the keyset was not written; use a key "
                "service that binds them"
            )
        return sealed

    @property
    def primary_id(self) -> int:
        """The id of the key that writes."""
        return self._primary_id

    @property
    def primitive(self) -> Primitive:
        """What the keys are for: "aead" or "prf"."""
        material = self._entry(self._primary_id).material
        assert material is not None  # noqa: S101  (the constructor refuses a primary that is not enabled)
        return material.primitive

    def info(self) -> tuple[KeyInfo, ...]:
        """What may be shown of the keys, in their order; `add` appends, so that the last is the newest."""
        return tuple(
            KeyInfo(
                id=key.id,
                type=key.material.name if key.material else None,
                status=key.status,
                prefix=key.prefix,
                primary=key.id == self._primary_id,
            )
            for key in self._keys
        )

    def __repr__(self) -> str:
        return f"<Keyset of {len(self._keys)}, primary {self._primary_id}, keys hidden>"

    # -- changes, each a new keyset ---------------------------------------------------------------------------

    def add(self, template: str) -> Keyset:
        """With one more enabled key (``info()[-1]``), which reads from now on and writes once it is promoted."""
        key = _new_key(template, taken=frozenset(self._ids()))
        if key.material is not None and key.material.primitive != self.primitive:
            raise ConfigurationError(
                f"{template} is for {_WANTED[key.material.primitive][0]} and this keyset for {_WANTED[self.primitive][0]}: "
                f'make a keyset of its own with Keyset.generate("{template}")'
            )
        return Keyset((*self._keys, key), self._primary_id)

    def promote(self, key_id: int) -> Keyset:
        """With an enabled key as the primary. Load the keyset that has it everywhere first: others must read it."""
        if self._entry(key_id).status != "ENABLED":
            raise ConfigurationError(f"key {key_id} is not enabled: enable it before it is promoted")
        return Keyset(self._keys, key_id)

    def disable(self, key_id: int) -> Keyset:
        """With a key that no longer reads; `enable` undoes it."""
        return self._with_status(key_id, "DISABLED")

    def enable(self, key_id: int) -> Keyset:
        """With a disabled key reading again."""
        return self._with_status(key_id, "ENABLED")

    def destroy(self, key_id: int) -> Keyset:
        """With the key gone for good; its id stays, so that it is never given out again."""
        return self._with_status(key_id, "DESTROYED")

    def _with_status(self, key_id: int, status: Status) -> Keyset:
        old = self._entry(key_id)
        if key_id == self._primary_id and status != "ENABLED":
            raise ConfigurationError(f"key {key_id} is the primary: promote another key first")
        if old.status == "DESTROYED" and status != "DESTROYED":
            raise ConfigurationError(f"key {key_id} was destroyed, and destroyed is final")
        material: Material | None = None if status == "DESTROYED" else old.material
        new = Key(id=old.id, status=status, prefix=old.prefix, material=material)
        return Keyset([new if key is old else key for key in self._keys], self._primary_id)

    # -- use --------------------------------------------------------------------------------------------------

    def aead(self, *, nonce: Literal["session", "message"] = "session") -> KeysetAead:
        """The keys as one cipher; one object for all who ask.

        Args:
            nonce: how an XAES key draws its 24 bytes: "session" draws a salt once for many messages and 12 bytes
                for each, which is as fast as AES-GCM; "message" draws all of them for each message.

        Raises:
            ConfigurationError: the keys are not for encryption.
        """
        from portalsec.crypto.aead import KeysetAead

        # One for all, so that a key has one salt at a time, however many fields there are.
        return self._aeads.get(nonce) or self._aeads.setdefault(nonce, KeysetAead(self, nonce=nonce))

    def deterministic_aead(self) -> KeysetDaead:
        """The keys as one deterministic cipher: equal values under equal associated data give equal bytes.

        Raises:
            ConfigurationError: the keys are not for deterministic encryption.
        """
        from portalsec.crypto.daead import KeysetDaead

        return KeysetDaead(self)

    def prf(self) -> KeysetPrf:
        """The keys as one set of pseudo-random functions.

        Raises:
            ConfigurationError: the keys are not for hashing.
        """
        from portalsec.crypto.prf import KeysetPrf

        return KeysetPrf(self)

    def _enabled(self, primitive: Primitive) -> tuple[Key, ...]:
        """The enabled keys, the primary first, if they are for ``primitive``."""
        if self.primitive != primitive:
            what, template = _WANTED[primitive]
            raise ConfigurationError(
                f"{what} was given a keyset of {self._entry(self._primary_id).material.name} keys: "  # type: ignore[union-attr]
                f'it needs one of the kind that Keyset.generate("{template}") makes'
            )
        enabled = [key for key in self._keys if key.status == "ENABLED"]
        return tuple(sorted(enabled, key=lambda key: key.id != self._primary_id))

    def _ids(self) -> Sequence[int]:
        return [key.id for key in self._keys]

    def _entry(self, key_id: int) -> Key:
        for key in self._keys:
            if key.id == key_id:
                return key
        raise ConfigurationError(
            f"the keyset has no key {key_id!r}: it has {', '.join(map(str, self._ids()))}"
        )


def _ignores(kek: Aead, sealed: bytes, other: bytes) -> bool:
    """Whether the key-encryption key opens this under associated data that it was not encrypted with."""
    try:
        kek.decrypt(sealed, other)
    except DecryptionError:
        return False
    return True


def _check(keys: Sequence[Key], primary_id: int) -> None:
    ids = [key.id for key in keys]
    if not keys:
        raise KeyProblem("it has no key")
    if len(set(ids)) != len(ids):
        raise KeyProblem("an id comes twice")
    if primary_id not in ids:
        raise KeyProblem("its primary key is missing")
    if keys[ids.index(primary_id)].status != "ENABLED":
        raise KeyProblem(f"its primary key {primary_id} is not enabled")
    if len({key.material.primitive for key in keys if key.material}) > 1:
        raise KeyProblem("it mixes keys of several purposes")


def _new_key(template: str, *, taken: frozenset[int]) -> Key:
    found = template_named(template)
    if found is None:
        raise ConfigurationError(
            f"there is no key template {template!r}: choose one of {', '.join(TEMPLATES)}"
        )
    make, prefix = found
    while (key_id := secrets.randbelow(2**32 - 1) + 1) in taken:
        pass
    return Key(id=key_id, status="ENABLED", prefix=prefix, material=make())


def _attempt(parser: Callable[[A], T], data: object, kind: type[A]) -> tuple[T | None, str]:
    """What a parser makes of the data, or the problem in words: an error raised in here would hold the data."""
    if isinstance(data, Secret):
        data = data.reveal()
    if not isinstance(data, kind):
        wanted = "text is" if kind is str else "bytes are"
        return None, f"{wanted} needed, not {type(data).__name__}"
    try:
        return parser(data), ""
    except ValueError as error:
        return None, str(error)


def _usable(parsed: tuple[Sequence[Key], int] | None, problem: str) -> Keyset:
    if parsed is not None:
        try:
            return Keyset(*parsed)
        except KeyProblem as error:
            problem = str(error)
    raise ConfigurationError(f"this is not a usable keyset: {problem}")


def _opened(encrypted: bytes, kek: Aead, associated_data: bytes) -> Keyset:
    _check_kek(kek, associated_data)
    keyset, problem = _attempt(_keyset_binary.parse, kek.decrypt(encrypted, associated_data), bytes)
    return _usable(keyset, problem)


def _check_kek(kek: object, associated_data: object) -> None:
    if not (callable(getattr(kek, "encrypt", None)) and callable(getattr(kek, "decrypt", None))):
        raise ConfigurationError(
            f"a key-encryption key has encrypt and decrypt, which a {type(kek).__name__} has not: pass a key service, "
            "or keyset.aead() of a keyset"
        )
    if not isinstance(associated_data, bytes):
        raise TypeError(f"associated data are bytes, not {type(associated_data).__name__}")
