"""The text of a stored password hash, written and read; nothing is computed here.

::

    $ps1$nfc,1a2b3c4d,b$argon2id$v=19$m=65536,t=3,p=4$<salt>$<tag>               as portalsec writes it
    $ps1$raw,1a2b3c4d,b,w$pbkdf2_sha256:i=870000$<salt>$argon2id$v=19$...        around a hash of another system

The marks after ``$ps1$``: the Unicode form of the password (``nfc``; for a wrapped hash what the other system took); the
pepper's key, 8 hexadecimal digits, where there is one; ``b``, bound to the account; ``w``, wrapped: the inner hash's cost
and its salt in base64url stand before the argon2id, its digest stands nowhere. The rest is a PHC string.

A PHC string without marks is another system's hash, whatever its parameters: it is bound to nobody, has no pepper, and
may cost anything. It verifies only once it is wrapped.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field

from portalsec._encoding import b64url, length_prefixed, unb64url
from portalsec.auth.legacy_hashes import LegacyCost, unpadded
from portalsec.errors import ConfigurationError, Tampered

__all__ = [
    "FORMS",
    "MAX_LANES",
    "MAX_MEMORY_KIB",
    "MAX_TIME",
    "Inner",
    "Outer",
    "StoredHash",
    "message",
    "parse",
]

FORMS = ("nfc", "raw", "nfkc")
# A hash at rest that asks for more than this was not written by us and would stall the process.
MAX_MEMORY_KIB, MAX_TIME, MAX_LANES = 4 * 1024 * 1024, 64, 64
_PHC = (
    r"\$argon2id\$v=19\$m=([1-9][0-9]{0,9}),t=([1-9][0-9]{0,5}),p=([1-9][0-9]{0,5})"
    r"\$([A-Za-z0-9+/]{11,128})\$([A-Za-z0-9+/]{16,128})"
)
_MARKED = re.compile(
    r"\$ps1\$(nfc|raw|nfkc)(?:,([0-9a-f]{8}))?,b(?:,w\$([a-z0-9_:=,]{1,120})\$([A-Za-z0-9_-]{0,700}))?" + _PHC
)


@dataclass(frozen=True, slots=True)
class Outer:
    """What argon2id costs: equal ones cost the same."""

    memory_kib: int
    time_cost: int
    lanes: int


@dataclass(frozen=True, slots=True)
class Inner:
    """What is left of another system's hash: all but its digest."""

    cost: LegacyCost
    salt: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredHash:
    """A stored hash, taken apart.

    Attributes:
        form: Unicode form of the password that the (inner) hash takes.
        pepper: id of the pepper's key, or None.
        inner: of a wrapped hash.
    """

    outer: Outer
    salt: bytes = field(repr=False)
    tag: bytes = field(repr=False)
    form: str = "nfc"
    pepper: int | None = None
    inner: Inner | None = None

    def text(self) -> str:
        """As it is stored; the inverse of `parse`."""
        outer = self.outer
        phc = (
            f"$argon2id$v=19$m={outer.memory_kib},t={outer.time_cost},p={outer.lanes}"
            f"${_b64(self.salt)}${_b64(self.tag)}"
        )
        key = "" if self.pepper is None else f",{self.pepper:08x}"
        inner = "" if self.inner is None else f",w${self.inner.cost}${b64url(self.inner.salt)}"
        return f"$ps1${self.form}{key},b{inner}{phc}"


def parse(stored: str) -> StoredHash:
    """Take a stored hash apart. Refuses what would be unsafe to hand to argon2.

    Raises:
        Tampered: portalsec did not write this. A blank text too: an empty column must never verify.
    """
    match = _MARKED.fullmatch(stored)
    found: StoredHash | None = None
    if match is not None:
        form, key, cost, salt = match.groups()[:4]
        *numbers, outer_salt, tag = match.groups()[-5:]
        outer = Outer(*map(int, numbers))
        if outer.memory_kib > MAX_MEMORY_KIB or outer.time_cost > MAX_TIME or outer.lanes > MAX_LANES:
            raise Tampered("a stored password hash asks for more work than portalsec ever does")
        try:
            found = StoredHash(
                outer=outer,
                salt=unpadded(outer_salt),
                tag=unpadded(tag),
                form=form,
                pepper=None if key is None else int(key, 16),
                inner=None if cost is None else Inner(LegacyCost.from_text(cost), unb64url(salt or "")),
            )
        except (ValueError, ConfigurationError):
            found = None
    if (
        found is None
        or found.outer.memory_kib < 8 * found.outer.lanes
        or (found.form != "nfc" and not found.inner)
    ):
        raise Tampered("a stored password hash is damaged")
    return found


def message(label: bytes, account_id: str, *parts: bytes) -> bytes:
    """What is hashed: injective, so that no password of one account, or inner digest, is another's."""
    return length_prefixed(label, account_id.encode("utf-8"), *parts)


def _b64(data: bytes) -> str:
    return base64.b64encode(data).rstrip(b"=").decode("ascii")
