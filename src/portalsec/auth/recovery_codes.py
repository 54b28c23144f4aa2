"""`RecoveryCodes`: a sheet of codes for the day the phone is gone (look-up secrets, SP 800-63B-4 section 3.1.2).

A code is 120 random bits: 24 characters of Crockford's base32, which has no I, L, O and U, in six groups of four. So much
that guessing is out of the question at any speed, and that a keyed hash may keep them (a code of fewer than 112 bits
would need a slow one, section 3.1.2.2). The store holds ``HMAC(key, "psrc1" || account || code)`` with the id of its key:
a stolen table gives no code, and one copied into another account's row opens nothing.

A code is spent by one conditional write of the store: of any number of equal ones at once, one is accepted.
"""

from __future__ import annotations

import base64
import secrets
import unicodedata
from dataclasses import dataclass
from datetime import datetime

from portalsec._encoding import length_prefixed
from portalsec.auth.evidence import Evidence, Factor, mint
from portalsec.auth.ports import Pepper, RecoveryCode, RecoveryCodeStore
from portalsec.auth.proof import Proof
from portalsec.clock import Clock
from portalsec.errors import Denied, Reason, StoreError
from portalsec.events import Actor, Event, ResourceRef, SecurityEvent, Source
from portalsec.secret import Secret
from portalsec.typing import Emit

__all__ = ["FEW_LEFT", "RECOVERY_CODES", "RecoveryCodeSet", "RecoveryCodes", "normalise_recovery_code"]

CODES = 10
RECOVERY_CODES = "recovery codes"
"""What reports about a key call those that are under it."""

FEW_LEFT = 3
"""At this many unspent codes or fewer the owner should make a new set."""

_BYTES = 15  # 120 bits
_CHARACTERS = 24
_GROUP = 4
_MAX_TYPED = 128
_LABEL = b"psrc1"  # beside "psh1" of `portalsec.crypto.prf`: under one key, the two never hash the same input
_RFC_4648, _CROCKFORD = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_WRITTEN = str.maketrans(_RFC_4648, _CROCKFORD)
_LOOK_ALIKES = str.maketrans("OIL", "011")
_ALPHABET = frozenset(_CROCKFORD)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryCodeSet:
    """New codes, shown once (to print, to download) and never readable again.

    Attributes:
        codes: as they are shown, "7H2K-9QRT-...".
        created_at: when the set was made, for its owner to tell sheets apart.
    """

    codes: tuple[Secret[str], ...]
    created_at: datetime

    def sheet(self) -> Secret[str]:
        """The codes as plain text, one a line, to print or download."""
        return Secret("".join(f"{code.reveal()}\n" for code in self.codes))


def normalise_recovery_code(typed: object) -> str:
    """The 24 characters of a typed code: in either case, with any spaces and dashes, O as 0, I and L as 1.

    Raises:
        Denied: MALFORMED where it is not text, over 128 characters, or no such code.
    """
    if not isinstance(typed, str) or len(typed) > _MAX_TYPED:
        raise Denied(Reason.MALFORMED)
    kept = [
        char
        for char in unicodedata.normalize("NFKC", typed)
        if not char.isspace() and unicodedata.category(char) != "Pd"
    ]
    code = "".join(kept)
    # Only ASCII is folded: upper() makes one letter of another in some scripts (a dotless i, say).
    code = code.upper().translate(_LOOK_ALIKES) if code.isascii() else ""
    if len(code) != _CHARACTERS or not _ALPHABET.issuperset(code):
        raise Denied(Reason.MALFORMED)
    return code


class RecoveryCodes:
    """Makes, verifies and removes an account's one set of recovery codes. Safe for concurrent use.

    Which account it is, and that a first factor was proven, is the caller's to know. Every account costs a verification
    the same reads and writes, whether it has codes or not.

    Args:
        store: durable.
        mac: a keyed hash with ids of keys, newest writes, all read; `portalsec.crypto.prf.KeysetPepper` of the portal's
            ``mac`` keys. Codes under a key that is disabled are void.
        emit: the audit log. What it cannot record does not happen: a code is spent only with its record.
    """

    def __init__(self, *, store: RecoveryCodeStore, mac: Pepper, clock: Clock, emit: Emit) -> None:
        self._store = store
        self._mac = mac
        self._clock = clock
        self._emit = emit

    def make(
        self, account_id: str, *, source: Source | None = None, session: str | None = None
    ) -> RecoveryCodeSet:
        """Ten new codes in the place of all that the account had. Show them once, in the answer to a POST.

        Emits ``auth.recovery_codes_made``.

        Raises:
            StoreError: the codes before may be void, and no new ones were made that anybody knows: make them again.
        """
        now, key_id = self._clock(), self._mac.primary_id
        plain = [_written(secrets.token_bytes(_BYTES)) for _ in range(CODES)]
        codes = [
            RecoveryCode(
                account_id=account_id,
                digest=self._digest(key_id, account_id, code) or self._gone(),
                key_id=key_id,
                created_at=now,
            )
            for code in plain
        ]
        before = self._store.replace(account_id, codes)
        self._record(
            Event.AUTH_RECOVERY_CODES_MADE, account_id, source, session, {"made": CODES, "before": before}
        )
        return RecoveryCodeSet(codes=tuple(Secret(_grouped(code)) for code in plain), created_at=now)

    def verify(
        self,
        account_id: str,
        typed: object,
        *,
        source: Source | None = None,
        session: str | None = None,
    ) -> Evidence:
        """Spend a code. Emits ``auth.recovery_code_used`` with how many are left.

        Raises:
            Denied: MALFORMED; WRONG_CODE (none of this account's, or spent already).
            StoreError: it could not be recorded, and is not spent; or the store failed.
        """
        code = normalise_recovery_code(typed)
        now, held = self._clock(), self._store.of_account(account_id)
        # Under every key that one of the account's codes is under; the primary's, so that an account without codes
        # costs the same.
        key_ids = {each.key_id for each in held} | {self._mac.primary_id}
        digests = [digest for key_id in sorted(key_ids) if (digest := self._digest(key_id, account_id, code))]
        spent = self._store.spend(account_id, digests, at=now)
        if spent is None:
            raise Denied(Reason.WRONG_CODE)
        left = sum(each.used_at is None and each.digest != spent.digest for each in held)
        try:
            self._record(Event.AUTH_RECOVERY_CODE_USED, account_id, source, session, {"left": left})
        except BaseException:
            self._store.unspend(account_id, spent.digest)
            raise
        return mint(Proof(factor=Factor.RECOVERY_CODE, at=now), account_id)

    def unspend(self, account_id: str, typed: object) -> None:
        """Make a code good again that `verify` accepted, where what it was spent for could not be done.

        For whoever holds the `Evidence` alone: a code that nobody accepted, or that is not spent, stays as it is.

        Raises:
            Denied: MALFORMED.
        """
        code = normalise_recovery_code(typed)
        for key_id in {each.key_id for each in self._store.of_account(account_id)}:
            digest = self._digest(key_id, account_id, code)
            if digest is not None and self._store.unspend(account_id, digest):
                return

    def left(self, account_id: str) -> int:
        """How many codes are unspent and under a key that is enabled; see `FEW_LEFT`."""
        held = [each for each in self._store.of_account(account_id) if each.used_at is None]
        enabled = {
            key_id for key_id in {each.key_id for each in held} if self._mac.tag(key_id, b"") is not None
        }
        return sum(each.key_id in enabled for each in held)

    def made_at(self, account_id: str) -> datetime | None:
        """When the account's set was made; None where it has none."""
        return next((each.created_at for each in self._store.of_account(account_id)), None)

    def remove(self, account_id: str) -> int:
        """Delete the set, as with the last factor; how many codes were there, spent or not."""
        return self._store.remove(account_id)

    def _digest(self, key_id: int, account_id: str, code: str) -> bytes | None:
        """None where the key is not enabled."""
        return self._mac.tag(
            key_id, _LABEL + length_prefixed(account_id.encode("utf-8"), code.encode("ascii"))
        )

    def _gone(self) -> bytes:
        raise StoreError("the keys of recovery codes changed while a set was made: try again")

    def _record(
        self,
        name: Event,
        account_id: str,
        source: Source | None,
        session: str | None,
        details: dict[str, str | int | bool | None],
    ) -> None:
        self._emit(
            SecurityEvent(
                name=name,
                actor=Actor(type="user", id=account_id),
                resource=ResourceRef(type="account", id=account_id),
                source=source or Source(),
                session=session,
                details=details,
            )
        )


def _written(data: bytes) -> str:
    """15 bytes as 24 characters of Crockford's alphabet."""
    return base64.b32encode(data).decode("ascii").translate(_WRITTEN)


def _grouped(code: str) -> str:
    return "-".join(code[at : at + _GROUP] for at in range(0, len(code), _GROUP))
