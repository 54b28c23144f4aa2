"""Pseudonyms: what the log holds in place of a person's id."""

from __future__ import annotations

from typing import Protocol

from portalsec.errors import ConfigurationError

__all__ = ["KeyedVault", "Mac"]


class Mac(Protocol):
    """A keyed hash: (purpose, data) to at least 16 bytes."""

    def __call__(self, purpose: str, data: bytes) -> bytes: ...


class KeyedVault:
    """A `portalsec.audit.ports.SubjectVault` without storage: the pseudonym is a keyed hash of the id.

    Whoever has the log but not the key cannot tell whose record a line is about, nor test a guess. Whoever has the
    key can; so this vault pseudonymises and does not yet erase.
    """

    __slots__ = ("_mac",)

    def __init__(self, mac: Mac) -> None:
        self._mac = mac

    def pseudonym(self, subject_id: str) -> str:
        """32 hexadecimal digits, the same each time for one id. `ConfigurationError` for an empty id."""
        if not subject_id:
            raise ConfigurationError("a subject's id is text of at least one character")
        return self._mac("audit.subject", subject_id.encode("utf-8", "surrogatepass"))[:16].hex()

    def __repr__(self) -> str:
        return "KeyedVault(key hidden)"
