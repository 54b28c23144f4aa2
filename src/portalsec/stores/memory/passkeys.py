"""Passkeys in memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from portalsec.auth.ports import Passkey

__all__ = ["MemoryPasskeys"]


class MemoryPasskeys:
    """`portalsec.auth.ports.PasskeyStore`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._passkeys: dict[str, Passkey] = {}

    def add(self, passkey: Passkey, *, at_most: int) -> bool:
        with self._lock:
            held = self._passkeys.values()
            own = sum(1 for each in held if each.account_id == passkey.account_id and each.removed_at is None)
            if (
                own >= at_most
                or passkey.id in self._passkeys
                or any(each.credential_id == passkey.credential_id for each in held)
            ):
                return False
            self._passkeys[passkey.id] = passkey
            return True

    def of_account(self, account_id: str) -> Sequence[Passkey]:
        return self._of(account_id, removed=False)

    def by_credential_id(self, credential_id: bytes) -> Passkey | None:
        with self._lock:
            held = [each for each in self._passkeys.values() if each.credential_id == credential_id]
        return next((each for each in held if each.removed_at is None), None)

    def advance(
        self,
        account_id: str,
        passkey_id: str,
        *,
        expected: int,
        sign_count: int,
        backed_up: bool,
        user_verified: bool,
        at: datetime,
    ) -> bool:
        with self._lock:
            held = self._held(account_id, passkey_id)
            if held is None or held.disabled_at is not None or held.sign_count != expected:
                return False
            if sign_count <= expected and not sign_count == expected == 0:
                return False
            self._passkeys[passkey_id] = replace(
                held,
                sign_count=sign_count,
                backed_up=backed_up,
                user_verified=held.user_verified or user_verified,
                used_at=at,
            )
            return True

    def suspect(self, account_id: str, passkey_id: str, *, at: datetime, disable: bool) -> bool:
        with self._lock:
            held = self._held(account_id, passkey_id)
            if held is None or (held.disabled_at if disable else held.suspect_at) is not None:
                return False
            self._passkeys[passkey_id] = replace(
                held, suspect_at=held.suspect_at or at, disabled_at=at if disable else held.disabled_at
            )
            return True

    def rename(self, account_id: str, passkey_id: str, label: str) -> bool:
        with self._lock:
            held = self._held(account_id, passkey_id)
            if held is None:
                return False
            self._passkeys[passkey_id] = replace(held, label=label)
            return True

    def remove(self, account_id: str, passkey_id: str, *, at: datetime | None = None) -> bool:
        with self._lock:
            held = self._held(account_id, passkey_id)
            if held is None:
                return False
            if at is None:
                del self._passkeys[passkey_id]
            else:
                self._passkeys[passkey_id] = replace(held, removed_at=at)
            return True

    def removed(self, account_id: str) -> Sequence[Passkey]:
        return self._of(account_id, removed=True)

    def restore(self, account_id: str, passkey_id: str, *, since: datetime) -> bool:
        with self._lock:
            held = self._passkeys.get(passkey_id)
            if (
                held is None
                or held.account_id != account_id
                or held.removed_at is None
                or held.removed_at <= since
            ):
                return False
            self._passkeys[passkey_id] = replace(held, removed_at=None)
            return True

    def purge_removed(self, *, until: datetime) -> int:
        with self._lock:
            kept = {
                key: each
                for key, each in self._passkeys.items()
                if each.removed_at is None or each.removed_at > until
            }
            purged = len(self._passkeys) - len(kept)
            self._passkeys = kept
            return purged

    def _held(self, account_id: str, passkey_id: str) -> Passkey | None:
        """Where it is this account's and not removed. The caller holds the lock."""
        held = self._passkeys.get(passkey_id)
        if held is None or held.account_id != account_id or held.removed_at is not None:
            return None
        return held

    def _of(self, account_id: str, *, removed: bool) -> Sequence[Passkey]:
        with self._lock:
            own = [
                each
                for each in self._passkeys.values()
                if each.account_id == account_id and (each.removed_at is not None) == removed
            ]
        return tuple(sorted(own, key=lambda each: (each.created_at, each.id)))
