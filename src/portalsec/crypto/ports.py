"""What crypto's fields ask of others: of keys, of keys for each subject, of readers of older formats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from portalsec.crypto.aead import KeysetAead

__all__ = ["Aead", "Erased", "LegacyReader", "Rewrap", "SubjectAeads", "SubjectKey", "SubjectKeyStore"]


class Aead(Protocol):
    """Tink's Aead: authenticated encryption with associated data. Nonces are never an argument."""

    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes: ...

    def decrypt(self, ciphertext: bytes, associated_data: bytes) -> bytes:
        """Raises `portalsec.errors.DecryptionError`, one error for every cause."""
        ...


class SubjectAeads(Protocol):
    """A key for each subject (a patient, an account): erase the key, and all that it sealed is gone.

    Both verbs are called for every value, from many threads: a key that is in use is remembered, not fetched anew.
    A subject is a text that is not empty; two texts are two subjects. An erased subject stays erased.
    """

    def writing(self, subject: str) -> KeysetAead:
        """The subject's cipher, its key made where there is none. Raises `portalsec.errors.SubjectErased`."""
        ...

    def reading(self, subject: str) -> KeysetAead:
        """The subject's cipher; makes nothing.

        Raises:
            DecryptionError: "unknown_key": there is no key for this subject, and never was.
            SubjectErased: its key was erased.
        """
        ...


class LegacyReader(Protocol):
    """Reads what another library, or none, left in a column. Asked only for what is no cell of the keyset."""

    @property
    def name(self) -> str:
        """For the counts (`EncryptedField.legacy_counts`) and the log: short, the same in every process."""
        ...

    def read(self, data: bytes | str) -> object | None:
        """The plaintext value, as bytes or str; None where the data are not of this reader's format.

        The answer is converted to the field's type afterwards. Data that are of the format and do not open are
        never handed on to the next reader.

        Raises:
            DecryptionError: the data are of this format and do not open.
        """
        ...


# -- subject keys -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectKey:
    """A subject's data key at rest, or the tombstone of one.

    Attributes:
        purpose: what the key is for; one subject has one key for each purpose.
        subject: whose it is: an opaque id, compared code point by code point.
        key_id: of the key inside, or None where an erased subject never had one.
        commitment: 32 bytes that only this key has (an HMAC under it), or None likewise. No secret.
        wrapped: the key under a wrapping key; None once it is erased.
        created_at: when the row was made.
        erased_at: when it was erased, or None while it lives.
    """

    purpose: str
    subject: str
    key_id: int | None
    commitment: bytes | None = field(repr=False)
    wrapped: bytes | None = field(repr=False)
    created_at: datetime
    erased_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """The answer to `SubjectKeyStore.erase`: the tombstone, and whether this call is the one that made it."""

    key: SubjectKey
    won: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrap:
    """One key under another wrapping key: ``wrapped`` takes the place of ``expected``."""

    subject: str
    expected: bytes = field(repr=False)
    wrapped: bytes = field(repr=False)


class SubjectKeyStore(Protocol):
    """Wrapped data keys by purpose and subject; erased is final.

    * **Consistency.** Each verb is one atomic step, and what it returned is seen by every later call of any process.
      `get` reads what is committed, never a snapshot or a replica that lags: a key that somebody erased must not be
      handed out afterwards.
    * **Durability.** What a verb returned survives a crash of the process and of the machine. A key that was handed
      out and then lost makes whatever was written under it unreadable; an erasure that was lost brings the data back.
    * **Concurrency.** Of any number of concurrent `get_or_create` of one subject, one inserts and all get that key.
      `erase` wins against everything: neither `get_or_create` nor `rewrap`, whenever they began, brings a key back.
    * **Own transaction.** A verb commits before it returns and takes no part in a transaction that the caller holds
      open: a request that rolls back must not take the key of what it wrote elsewhere with it.
    * **Loss.** There is no second copy of a key. The row of an erased subject is never deleted: it is what keeps the
      subject from getting a new key. A backup of the store holds keys that are erased later; see
      ``docs/explanation/shredding.md`` for what follows from that.
    * **No clock.** Time is an argument.
    * **Failure.** `portalsec.errors.StoreError` when the store cannot answer, with the driver's error as cause.
    """

    def get(self, purpose: str, subject: str) -> SubjectKey | None:
        """The key or its tombstone; None where there never was either."""
        ...

    def get_many(self, purpose: str, subjects: Sequence[str]) -> Mapping[str, SubjectKey]:
        """`get` of each that has a key or a tombstone, by subject, in as few questions as the backend allows.

        Each answer is as fresh as one of `get` that is asked now. The order and how often one is named do not matter.
        """
        ...

    def get_or_create(self, key: SubjectKey) -> SubjectKey:
        """Insert where the subject has neither key nor tombstone; what the store has then: it, another, a tombstone."""
        ...

    def erase(self, purpose: str, subject: str, *, now: datetime) -> Erased:
        """Remove ``wrapped`` for good and leave a tombstone, also of a subject that never had a key.

        Exactly one of any number of calls wins; the others get the winner's tombstone. As far as its backend allows,
        the store overwrites the bytes and does not only let go of them.
        """
        ...

    def rewrap(self, purpose: str, changes: Sequence[Rewrap]) -> Sequence[bool]:
        """In one transaction, replace each ``wrapped`` that still is its ``expected``; which of them were, in order."""
        ...

    def page(self, purpose: str, *, after: str | None, limit: int) -> Sequence[SubjectKey]:
        """The next keys that live, behind the subject ``after``, in an order of the store's own that never changes."""
        ...

    def count(self, purpose: str) -> int:
        """How many keys live."""
        ...

    def purposes(self) -> Sequence[str]:
        """Every purpose of which a key lives, each once; for whoever rotates the wrapping keys of all."""
        ...
