"""Accounts, and the passwords they had before, in memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from portalsec.auth.ports import Account

__all__ = ["MemoryAccounts", "MemoryPasswordHistory"]


class MemoryAccounts:
    """`portalsec.auth.ports.AccountStore`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_id: dict[str, Account] = {}
        self._ids: dict[str, str] = {}

    def create(self, account: Account, *, now: datetime) -> bool:
        with self._lock:
            if account.id in self._by_id or account.login in self._ids:
                return False
            self._by_id[account.id] = replace(account, created_at=account.created_at or now)
            self._ids[account.login] = account.id
            return True

    def get(self, account_id: str) -> Account | None:
        with self._lock:
            return self._by_id.get(account_id)

    def by_login(self, login: str) -> Account | None:
        with self._lock:
            account_id = self._ids.get(login)
            return None if account_id is None else self._by_id[account_id]

    def set_password(
        self,
        account_id: str,
        new_hash: str | None,
        *,
        expected: str | None,
        changed_at: datetime | None = None,
        mailed: bool = False,
    ) -> bool:
        with self._lock:
            account = self._by_id.get(account_id)
            if account is None or account.password_hash != expected:
                return False
            changed = replace(account, password_hash=new_hash)
            if changed_at is not None:
                changed = replace(
                    changed, password_changed_at=changed_at, must_change=None, password_mailed=mailed
                )
            self._by_id[account_id] = changed
            return True

    def password_proven(self, account_id: str, *, expected: str) -> bool:
        with self._lock:
            account = self._by_id.get(account_id)
            if account is None or not account.password_mailed or account.password_hash != expected:
                return False
            self._by_id[account_id] = replace(account, password_mailed=False)
            return True

    def require_change(self, account_id: str, reason: str) -> bool:
        with self._lock:
            account = self._by_id.get(account_id)
            if account is None:
                return False
            self._by_id[account_id] = replace(account, must_change=reason)
            return True

    def signed_in(self, account_id: str, *, at: datetime) -> bool:
        with self._lock:
            account = self._by_id.get(account_id)
            if account is None or (account.signed_in_at is not None and account.signed_in_at >= at):
                return False
            self._by_id[account_id] = replace(account, signed_in_at=at)
            return True

    def page(self, *, after: str | None, limit: int) -> Sequence[Account]:
        with self._lock:
            ids = sorted(key for key in self._by_id if after is None or key > after)
            return tuple(self._by_id[key] for key in ids[:limit])

    def set_disabled(self, account_id: str, disabled: bool) -> bool:
        with self._lock:
            account = self._by_id.get(account_id)
            if account is None or account.disabled == disabled:
                return False
            self._by_id[account_id] = replace(account, disabled=disabled)
            return True


class _Former(NamedTuple):
    at: datetime
    text: str
    compromised: bool


class MemoryPasswordHistory:
    """`portalsec.auth.ports.PasswordHistoryStore`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hashes: dict[str, list[_Former]] = {}

    def add(
        self, account_id: str, password_hash: str, *, at: datetime, keep: int, compromised: bool = False
    ) -> None:
        with self._lock:
            held = self._hashes.get(account_id, [])
            marked = compromised or any(one.compromised for one in held if one.text == password_hash)
            # Newest first; of two at one moment, the one that came later.
            newest = sorted(
                [
                    _Former(at, password_hash, marked),
                    *(one for one in held if one.text != password_hash),
                ],
                key=lambda one: one.at,
                reverse=True,
            )
            kept = [one for one in newest if one.compromised is compromised][:keep]
            self._hashes[account_id] = [
                one for one in newest if one.compromised is not compromised or one in kept
            ]

    def of_account(self, account_id: str) -> Sequence[str]:
        with self._lock:
            return tuple(one.text for one in self._hashes.get(account_id, []))

    def forget(self, account_id: str) -> int:
        with self._lock:
            return len(self._hashes.pop(account_id, []))
