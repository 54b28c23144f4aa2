"""What crypto's fields ask of others: of keys, of keys for each subject, of readers of older formats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from portalsec.crypto.aead import KeysetAead

__all__ = ["Aead", "LegacyReader", "SubjectAeads"]


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
