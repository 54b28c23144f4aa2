"""`Keyring`: the keysets of an application by name, loaded once and swapped while it serves.

An application names its keysets where it declares its fields, at import, and loads them where it starts::

    ring = Keyring()
    ssn = EncryptedField(ring["phi"], table="patients", column="ssn")
    ...
    ring.load(lambda: {"phi": Keyset.from_json(...)})      # at start
    ring.reload()                                          # on a signal, a timer, an administrator's word

What was built on ``ring["phi"]`` uses the new keys from then on. Until the ring is loaded, every use is a
`ConfigurationError`: nothing is ever written without a key.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import Lock, RLock
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from weakref import WeakMethod, ref

from portalsec.crypto._hidden import Hidden
from portalsec.crypto.keyset import Keyset
from portalsec.errors import ConfigurationError

if TYPE_CHECKING:
    from portalsec.crypto.aead import KeysetAead

__all__ = ["AnyKeyset", "Keyring", "LiveKeyset", "Source"]

Source: TypeAlias = Callable[[], Mapping[str, Keyset]]
"""Where keys come from: called at each load, it returns every keyset by name."""

_Take: TypeAlias = Callable[[Keyset], None]
_Forget: TypeAlias = Callable[[], None]


class LiveKeyset(Hidden):
    """One name of a keyring; stays valid across reloads. Made by ``ring[name]``; safe to share between threads."""

    __slots__ = ("_aeads", "_followers", "_keyset", "_lock", "_name")

    def __init__(self, name: str, lock: Any) -> None:
        """For this module; applications ask their ring."""
        self._name = name
        self._lock = lock
        self._keyset: Keyset | None = None
        self._followers: list[tuple[WeakMethod[_Take], WeakMethod[_Take], WeakMethod[_Forget] | None]] = []
        self._aeads: dict[str, KeysetAead] = {}

    def __repr__(self) -> str:
        return f"<LiveKeyset {self._name!r}, {'keys hidden' if self._keyset else 'not loaded'}>"

    @property
    def name(self) -> str:
        """As in ``ring[name]``."""
        return self._name

    @property
    def keyset(self) -> Keyset:
        """The keys as they are now. Raises `ConfigurationError` until the ring is loaded."""
        if self._keyset is None:
            raise ConfigurationError(
                f"the keyset {self._name!r} is not loaded: call load() of its keyring before the first use"
            )
        return self._keyset

    def aead(self, *, nonce: Literal["session", "message"] = "session") -> KeysetAead:
        """The keys as one cipher that follows reloads; one object for all who ask.

        Raises:
            ConfigurationError: the keys are loaded and not for encryption.
        """
        from portalsec.crypto.aead import KeysetAead

        with self._lock:
            if nonce not in self._aeads:
                self._aeads[nonce] = KeysetAead(self, nonce=nonce)
            return self._aeads[nonce]

    def follow(self, read: _Take, write: _Take, forget: _Forget | None = None) -> None:
        """Be told of the keys: at once where they are loaded, and at every load and reload.

        First ``read`` is called of all followers of all names of the ring, then ``write`` of all, so that nobody
        writes under a key that somebody else here cannot read yet. What either raises undoes the whole load.

        Args:
            read: a bound method that takes the keys to read with. Held weakly, like ``write``: whoever follows is
                not kept alive by it.
            write: the same for the keys to write with.
            forget: the same, without keys: called where the first load failed after ``read`` was, so that nobody
                holds keys of a ring that is not loaded.
        """
        told = (WeakMethod(read), WeakMethod(write), None if forget is None else WeakMethod(forget))
        with self._lock:
            if self._keyset is not None:
                read(self._keyset)
                write(self._keyset)
            self._followers = [old for old in self._followers if old[0]() is not None]
            self._followers.append(told)


AnyKeyset: TypeAlias = Keyset | LiveKeyset
"""Keys that stay as they are, or a name of a keyring."""


class Keyring(Hidden):
    """Keysets by name, from one source.

    Loading is all or nothing. Every keyset is read and checked before the first is swapped: a source that raises, a
    name that is missing or a keyset of another purpose leaves the old keys in use, and raises. Threads that encrypt
    and decrypt meanwhile go on, each value wholly under the old keys or wholly under the new.
    """

    def __init__(self, source: Source | None = None) -> None:
        """Without a source the ring is empty until `load`. With one it is loaded at once."""
        self._source: Source | None = None
        self._live: dict[str, LiveKeyset] = {}
        self._loaded = False
        self._loading = Lock()  # one load at a time: an older answer never replaces a newer one
        self._lock = RLock()  # the keys and their followers; never held while a source is asked
        _mind_forks(self)
        if source is not None:
            self.load(source)

    def __repr__(self) -> str:
        names = ", ".join(self._live) or "no names"
        return f"<Keyring of {names}, {'keys hidden' if self._loaded else 'not loaded'}>"

    def __getitem__(self, name: str) -> LiveKeyset:
        """The keyset of this name; may be asked before the ring is loaded.

        Raises:
            ConfigurationError: the ring is loaded and has no such name.
        """
        if not _is_name(name):
            raise ConfigurationError("the name of a keyset is a text that is not empty")
        with self._lock:
            if name not in self._live:
                if self._loaded:
                    raise ConfigurationError(
                        f"the keyring has no keyset {name!r}: it has {_list(self._live)}"
                    )
                self._live[name] = LiveKeyset(name, self._lock)
            return self._live[name]

    @property
    def names(self) -> tuple[str, ...]:
        """The names that were asked for or loaded."""
        return tuple(self._live)

    def load(self, source: Source) -> None:
        """Take the keys from here, now and at every `reload`.

        Raises:
            ConfigurationError: a keyset that was asked for is missing, an entry is no keyset, or a keyset is not of
                the purpose that it was of, or that its users need.
            Exception: whatever the source raises.
        """
        with self._loading:
            self._swap(source())
            self._source = source

    def reload(self) -> None:
        """Ask the source again and swap the keys. Raises as `load` does, and then the old keys stay in use."""
        with self._loading:
            if self._source is None:
                raise ConfigurationError("the keyring was not loaded: call load() with a source first")
            self._swap(self._source())

    def _swap(self, found: Mapping[str, Keyset]) -> None:
        fresh = dict(found)
        with self._lock:
            self._check(fresh)
            undo: list[_Forget] = []
            try:
                for verb in (0, 1):  # all read, before the first writes
                    for name, live in self._live.items():
                        for *takes, forget in list(live._followers):
                            take = takes[verb]()
                            if take is not None:
                                undo.append(_undoing(take, live._keyset, forget))
                                take(fresh[name])
            except BaseException:
                for back in reversed(undo):  # the writers go back first, for the same reason
                    with suppress(
                        Exception
                    ):  # one that refuses its old keys does not keep the rest on the new
                        back()
                raise
            for name, keyset in fresh.items():
                self._live.setdefault(name, LiveKeyset(name, self._lock))._keyset = keyset
            self._loaded = True

    def _check(self, fresh: Mapping[str, Keyset]) -> None:
        for name, keyset in fresh.items():
            if not _is_name(name) or not _is_keyset(keyset):
                raise ConfigurationError(
                    f"the source of a keyring gives a Keyset for each name, and for {name!r} it gave "
                    f"a {type(keyset).__name__}: read it with Keyset.from_json or its like"
                )
        for name, live in self._live.items():
            if name not in fresh:
                raise ConfigurationError(
                    f"the source has no keyset {name!r}, which is in use: it has {_list(fresh)}"
                )
            old = live._keyset
            if old is not None and old.primitive != fresh[name].primitive:
                raise ConfigurationError(
                    f"the keyset {name!r} was for {old.primitive} and the source now gives one for "
                    f"{fresh[name].primitive}: give it a name of its own"
                )


def _undoing(take: _Take, old: Keyset | None, forget: WeakMethod[_Forget] | None) -> _Forget:
    """Back to the keys that there were; to none where there were none."""
    if old is not None:
        return lambda: take(old)
    without = None if forget is None else forget()
    return without or (lambda: None)


def _mind_forks(ring: Keyring) -> None:
    """A child that was forked while another thread loaded keys would wait for that thread for ever."""
    weak = ref(ring)

    def unlock() -> None:
        if (forked := weak()) is not None:
            forked._loading = Lock()
            forked._lock = RLock()
            for live in forked._live.values():
                live._lock = forked._lock

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=unlock)


def _is_name(name: object) -> bool:
    return isinstance(name, str) and name != ""


def _is_keyset(keyset: object) -> bool:
    return isinstance(keyset, Keyset)


def _list(names: Mapping[str, object]) -> str:
    return ", ".join(map(repr, names)) or "none"
