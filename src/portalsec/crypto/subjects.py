"""`SubjectKeys`: a data key for each person, so that destroying one key erases one person, everywhere at once.

A person's fields are sealed under the person's own key. The key lies in a store, wrapped under the keyset of the
application (`portalsec.crypto._psk1` has the format). To erase the person, `SubjectKeys.shred` removes the wrapped key
for good: cells, exports and backups of the cells are noise from then on. What that does not reach is said in
``docs/explanation/shredding.md``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING, TypeAlias
from weakref import ref

from portalsec.clock import Clock
from portalsec.crypto._hidden import Hidden
from portalsec.crypto._keys import AesGcmKey
from portalsec.crypto._psk1 import check_purpose, check_subject, names_key, new_key, rewrap, unwrap
from portalsec.crypto.keyring import AnyKeyset, LiveKeyset
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.ports import Aead, SubjectKey, SubjectKeyStore
from portalsec.errors import ConfigurationError, DecryptionError, SubjectErased
from portalsec.events import Actor, Event, ResourceRef, SecurityEvent, Source
from portalsec.typing import Emit

if TYPE_CHECKING:
    from portalsec.crypto.aead import KeysetAead

__all__ = ["ShredReceipt", "SubjectKeys"]

_NOWHERE = Source()

_Cipher: TypeAlias = Callable[[bytes, bytes, bytes], bytes]
_Held: TypeAlias = "tuple[float, KeysetAead, bytes, _Cipher, _Cipher]"
"""Good until when; the cipher; and of its one key the prefix, the sealing and the opening."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShredReceipt:
    """What was destroyed, and when; nothing in it is secret.

    Attributes:
        purpose: of the keys (`SubjectKeys`).
        subject: whose key it was.
        erased_at: when it was erased first; later calls do not move it.
        key_id: the id of the key, which the subject's cells begin with; None for a subject that never had a key.
        fingerprint: the key's commitment in hexadecimal, or None likewise. Whoever finds the key in an old backup can
            compute it and so knows that this is the one; nobody can compute the key from it.
        already_erased: whether it was erased before this call.
    """

    purpose: str
    subject: str
    erased_at: datetime
    key_id: int | None
    fingerprint: str | None
    already_erased: bool


class SubjectKeys(Hidden):
    """Satisfies `portalsec.crypto.ports.SubjectAeads`. Safe to share between threads and across a fork.

    A key that was used is remembered, so that most values cost no look at the store:

    * This object forgets a key at once when it shreds it. A thread that already holds the cipher at that moment may
      finish the value that it is working on.
    * Every other one, of another process or a second one over the same store in this process, forgets within
      ``remember``. What it writes under the dead key until then is lost, and what it reads until then it reads: do not call
      somebody erased before ``remember`` has passed. Have one object for each purpose, as a portal has.

    The wrapping keys may be a name of a keyring, and follow its reloads.
    """

    __slots__ = (
        "__weakref__",
        "_clock",
        "_cold",
        "_elapsed",
        "_emit",
        "_erasures",
        "_half",
        "_hot",
        "_lock",
        "_opening",
        "_purpose",
        "_remember",
        "_sealing",
        "_store",
        "_wrapping",
    )

    def __init__(
        self,
        store: SubjectKeyStore,
        *,
        keys: AnyKeyset | Aead,
        clock: Clock,
        emit: Emit,
        purpose: str = "subject",
        cached: int = 4096,
        remember: timedelta = timedelta(minutes=1),
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            store: where the wrapped keys lie.
            keys: what wraps them: a keyset, a name of a keyring, or the `Aead` of a key service, which is then asked
                for every key that is not remembered.
            clock: for the moments that are recorded.
            emit: the audit log.
            purpose: what these keys are for; keys of another purpose are unrelated, and shredded apart.
            cached: how many keys are remembered at most, about 9 KiB each; at least half as many of the last used are.
            remember: for how long; within it, an erasure by another process is noticed here.
            elapsed: seconds that only go forward, for ``remember``. The wall clock would not do: set back, it would
                keep erased keys alive.

        Raises:
            ConfigurationError: a purpose, size or time that is none; keys that are not for encryption.
        """
        if cached < 2:
            raise ConfigurationError(f"cached={cached}: at least 2 subject keys are remembered")
        if not timedelta(0) <= remember <= timedelta(hours=1):
            raise ConfigurationError(
                f"remember={remember}: an erased key may be remembered for an hour at most (0 remembers none)"
            )
        self._purpose = check_purpose(purpose)
        self._store = store
        self._wrapping: Aead = keys.aead() if isinstance(keys, (Keyset, LiveKeyset)) else keys
        self._clock = clock
        self._emit = emit
        self._elapsed = elapsed
        self._remember = remember.total_seconds()
        # Two generations: when the young one is full it becomes the old one, and the old one is forgotten. So a hit
        # changes nothing and takes no lock, and what is used again stays.
        self._half = cached // 2
        self._hot: dict[str, _Held] = {}
        self._cold: dict[str, _Held] = {}
        # The young ones taken apart, for `portalsec.crypto._hot_subjects`: until when, the prefix, the function.
        self._sealing: dict[str, tuple[float, bytes, _Cipher]] = {}
        self._opening: dict[str, tuple[float, bytes, _Cipher]] = {}
        self._erasures = 0
        self._lock = Lock()
        _mind_forks(self)

    @property
    def purpose(self) -> str:
        """What these keys are for."""
        return self._purpose

    # -- use --------------------------------------------------------------------------------------------------

    def writing(self, subject: str) -> KeysetAead:
        """The subject's cipher; its key is made where there is none.

        Raises:
            SubjectErased: its key was erased, and erased is final.
            DecryptionError: the stored key does not open here: another subject's, edited, or under an unknown key.
            TypeError, ValueError: an id that is none.
            StoreError: the store does not answer.
        """
        held = self._hot.get(subject)
        if held is not None and held[0] > self._elapsed():
            return held[1]
        return self._fetch(subject, make=True)

    def reading(self, subject: str) -> KeysetAead:
        """The subject's cipher. Makes nothing: `DecryptionError` ("unknown_key") where there is no key.

        Otherwise raises what `writing` raises.
        """
        held = self._hot.get(subject)
        if held is not None and held[0] > self._elapsed():
            return held[1]
        return self._fetch(subject, make=False)

    def preload(self, subjects: Iterable[str]) -> None:
        """Remember the keys of several people by one look at the store, before a list of them is shown.

        Saves what `reading` and `writing` would ask one by one, and changes nothing else: makes no key, and leaves
        it to them to say who has none, was erased, or has one that does not open. Of more people than half of
        ``cached``, the first so many; without effect where ``remember`` is zero.

        Raises:
            TypeError, ValueError: an id that is none.
            StoreError: the store does not answer.
        """
        if isinstance(subjects, str):
            raise TypeError("several subjects are a list of their ids, not one text")
        wanted = [check_subject(subject) for subject in dict.fromkeys(subjects)][: self._half]
        now = self._elapsed()
        with self._lock:
            for subject in wanted:
                cold = self._cold.pop(subject, None)
                if cold is not None and cold[0] > now and subject not in self._hot:
                    self._keep(subject, cold)  # so that what comes now does not push it out
            missing = [subject for subject in wanted if (self._hot.get(subject) or (now,))[0] <= now]
            seen = self._erasures
        if not missing or not self._remember:
            return
        fresh: list[tuple[str, _Held]] = []
        for subject, stored in self._store.get_many(self._purpose, missing).items():
            if stored.erased_at is not None:
                continue
            with suppress(DecryptionError):  # whoever uses it is told
                keyset = unwrap(stored, self._purpose, subject, self._wrapping)
                fresh.append((subject, _held(keyset, now + self._remember)))
        with self._lock:
            # As in `_fetch`: after a shredding these answers may be out of date. Then each is asked for at its use.
            if self._erasures == seen:
                for subject, held in fresh:
                    self._keep(subject, held)

    def _fetch(self, subject: str, *, make: bool) -> KeysetAead:
        check_subject(subject)
        while True:
            with self._lock:
                held = self._cold.pop(subject, None)
                if held is not None and held[0] > self._elapsed():
                    self._keep(subject, held)
                    return held[1]
                seen = self._erasures
            asked = self._elapsed()  # before the store answers: from here on its answer grows old
            stored = self._store.get(self._purpose, subject)
            if stored is None:
                if not make:
                    raise DecryptionError("unknown_key")
                # Another process may make one at the same moment: the store says whose it is.
                stored = self._store.get_or_create(
                    new_key(self._purpose, subject, self._wrapping, now=self._clock())
                )
            if stored.erased_at is not None:
                raise SubjectErased("The data of this subject was erased on purpose.")
            keyset = unwrap(stored, self._purpose, subject, self._wrapping)
            held = _held(keyset, asked + self._remember)
            with self._lock:
                # A shredding that ended since may have been of this very subject: then the answer is out of date.
                if self._erasures == seen:
                    self._keep(subject, held)
                    return held[1]

    def _keep(self, subject: str, held: _Held) -> None:
        """With the lock held."""
        if len(self._hot) >= self._half and subject not in self._hot:
            self._cold = self._hot.copy()
            self._hot.clear()
            self._sealing.clear()
            self._opening.clear()
        until, _, start, encrypt, decrypt = held
        self._hot[subject] = held
        self._sealing[subject] = (until, start, encrypt)
        self._opening[subject] = (until, start, decrypt)

    # -- rotation of the wrapping keys; `portalsec.crypto.subject_cells` does all of them ------------------------

    @property
    def store(self) -> SubjectKeyStore:
        """Where the wrapped keys lie."""
        return self._store

    @property
    def wrapping_prefix(self) -> bytes:
        """What the wrapping key that writes begins its outputs with; none where that does not tell keys apart."""
        prefix: bytes = getattr(self._wrapping, "prefix", b"")
        return prefix

    def wrapped_here(self, wrapped: bytes) -> bool:
        """Whether one of these wrapping keys, by its first bytes, wrapped a stored key: False is another keyset's."""
        named: frozenset[bytes] = getattr(getattr(self._wrapping, "_reading", None), "named", frozenset())
        return any(names_key(wrapped, prefix) for prefix in named)

    @property
    def wraps_unmarked(self) -> bool:
        """Whether what an enabled wrapping key wrapped may bear no mark (RAW), so that only trying tells whose it is."""
        return bool(getattr(getattr(self._wrapping, "_reading", None), "raw", ()))

    def of_purpose(self, purpose: str) -> SubjectKeys:
        """Keys of another purpose in the same store, under the same wrapping keys; with a memory of their own."""
        return SubjectKeys(
            self._store,
            keys=self._wrapping,
            clock=self._clock,
            emit=self._emit,
            purpose=purpose,
            cached=2 * self._half,
            remember=timedelta(seconds=self._remember),
            elapsed=self._elapsed,
        )

    def needs_rewrap(self, wrapped: bytes) -> bool:
        """Whether a stored key is under another wrapping key than the one that writes; a look at its first bytes.

        Always under a RAW wrapping key or a key service's, whose outputs do not tell.
        """
        prefix = self.wrapping_prefix
        return not (prefix and names_key(wrapped, prefix))

    def rewrapped(self, stored: SubjectKey) -> bytes:
        """The same key under the wrapping key that writes now. The subject's cells do not change.

        Raises:
            DecryptionError: the stored key does not open here.
        """
        return rewrap(stored, self._purpose, stored.subject, self._wrapping)

    # -- erasure ----------------------------------------------------------------------------------------------

    def shred(self, subject: str, *, actor: Actor, source: Source = _NOWHERE) -> ShredReceipt:
        """Destroy the subject's key for good; what was sealed under it never opens again.

        The audit log is told twice: that an erasure begins (``subject.erasure_begun``), and that it was done
        (``subject.erased``, with the receipt). So:

        * A log that does not acknowledge the first is `AuditUnavailable`, and nothing was erased.
        * A log that does not acknowledge the second is `AuditUnavailable` too, and the key *is* erased. Call again: the
          receipt is the first one's, and the log is told then.
        * A process that dies in between leaves a beginning without an end in the log. Call again.

        A subject that never had a key is erased as well: it will not get one. A second call changes nothing, is
        recorded, and returns the first one's receipt with ``already_erased``.

        Args:
            subject: whose key.
            actor: on whose word.
            source: where the request came from.

        Raises:
            AuditUnavailable: see above.
            StoreError: the store does not answer; whether the key is erased is not known. Call again.
            TypeError, ValueError: an id that is none.
        """
        check_subject(subject)
        stored = self._store.get(self._purpose, subject)
        if stored is None or stored.erased_at is None:
            self._tell(Event.SUBJECT_ERASURE_BEGUN, key=stored, subject=subject, by=(actor, source), facts={})
        try:
            erased = self._store.erase(self._purpose, subject, now=self._clock())
        finally:
            self._forget(subject)  # also where the store's answer was lost: the next use asks it again
        receipt = self._receipt(erased.key, subject, already_erased=not erased.won)
        facts: dict[str, str | bool] = {
            "erased_at": receipt.erased_at.isoformat(),
            "already_erased": receipt.already_erased,
        }
        self._tell(Event.SUBJECT_ERASED, key=erased.key, subject=subject, by=(actor, source), facts=facts)
        return receipt

    def receipt(self, subject: str) -> ShredReceipt | None:
        """The receipt of a subject that was erased; None for one that was not. Asks the store each time."""
        stored = self._store.get(self._purpose, check_subject(subject))
        if stored is None or stored.erased_at is None:
            return None
        return self._receipt(stored, subject, already_erased=True)

    def _receipt(self, tombstone: SubjectKey, subject: str, *, already_erased: bool) -> ShredReceipt:
        assert tombstone.erased_at is not None  # noqa: S101  (the store's contract)
        return ShredReceipt(
            purpose=self._purpose,
            subject=subject,
            erased_at=tombstone.erased_at,
            key_id=tombstone.key_id,
            fingerprint=_hex(tombstone),
            already_erased=already_erased,
        )

    def _tell(
        self,
        event: Event,
        *,
        key: SubjectKey | None,
        subject: str,
        by: tuple[Actor, Source],
        facts: dict[str, str | bool],
    ) -> None:
        self._emit(
            SecurityEvent(
                name=event,
                actor=by[0],
                subjects=(subject,),
                resource=ResourceRef(type="subject_key", id=subject),
                source=by[1],
                details={
                    "purpose": self._purpose,
                    "key_id": None if key is None else key.key_id,
                    "fingerprint": None if key is None else _hex(key),
                    **facts,
                },
            )
        )

    def _forget(self, subject: str) -> None:
        with self._lock:
            self._erasures += 1
            self._hot.pop(subject, None)
            self._cold.pop(subject, None)
            self._sealing.pop(subject, None)
            self._opening.pop(subject, None)


def _held(keyset: Keyset, until: float) -> _Held:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    (key,) = keyset._keys  # `unwrap` checked that it is one AES-GCM key with a prefix
    assert isinstance(key.material, AesGcmKey)  # noqa: S101
    cipher = AESGCM(key.material.value.reveal())
    return until, keyset.aead(), key.output_prefix, cipher.encrypt, cipher.decrypt


def _hex(key: SubjectKey) -> str | None:
    return None if key.commitment is None else key.commitment.hex()


def _mind_forks(keys: SubjectKeys) -> None:
    """A child that was forked while another thread held the lock would wait for that thread for ever."""
    weak = ref(keys)

    def unlock() -> None:
        if (forked := weak()) is not None:
            forked._lock = Lock()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=unlock)
