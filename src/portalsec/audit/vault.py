"""Pseudonyms: what the log holds in place of a person's id."""

from __future__ import annotations

from typing import Protocol

from portalsec.errors import ConfigurationError

__all__ = ["KeyedVault", "Mac"]


_PURPOSE = "audit.subject"


class Mac(Protocol):
    """A keyed hash: (purpose, data) to at least 16 bytes, and the same under every key that is read, the newest first."""

    def __call__(self, purpose: str, data: bytes) -> bytes: ...

    def all(self, purpose: str, data: bytes) -> tuple[bytes, ...]: ...


class KeyedVault:
    """A `portalsec.audit.ports.SubjectVault` without storage: the pseudonym is a keyed hash of the id.

    Whoever has the log but not the key cannot tell whose record a line is about, nor test a guess. Whoever has the
    key can; so this vault pseudonymises and does not yet erase.

    Under another primary key the same person has another pseudonym. The log is never rewritten, so the old key is what
    finds the older entries: keep it enabled for as long as the log is asked about people.
    """

    __slots__ = ("_mac",)

    def __init__(self, mac: Mac) -> None:
        self._mac = mac

    def pseudonym(self, subject_id: str) -> str:
        """32 hexadecimal digits, the same each time for one id. `ConfigurationError` for an empty id."""
        return self._mac(_PURPOSE, _encoded(subject_id))[:16].hex()

    def pseudonyms(self, subject_id: str) -> tuple[str, ...]:
        """`pseudonym` under every enabled key, the one that is written now first. Raises as it does."""
        return tuple(mac[:16].hex() for mac in self._mac.all(_PURPOSE, _encoded(subject_id)))

    def __repr__(self) -> str:
        return "KeyedVault(key hidden)"


def _encoded(subject_id: str) -> bytes:
    if not subject_id:
        raise ConfigurationError("a subject's id is text of at least one character")
    return subject_id.encode("utf-8", "surrogatepass")
