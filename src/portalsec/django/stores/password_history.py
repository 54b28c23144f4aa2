"""Hashes of former passwords over the ORM."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from portalsec.clock import unix_microseconds
from portalsec.django.models import PasswordHistory
from portalsec.django.stores._account_lock import alone_with_account
from portalsec.django.stores._connection import own_transaction, reading

__all__ = ["DjangoPasswordHistory"]


class DjangoPasswordHistory:
    """`portalsec.auth.ports.PasswordHistoryStore`, durable. ``using`` is a database alias."""

    def __init__(self, using: str) -> None:
        self._using = using

    def add(
        self, account_id: str, password_hash: str, *, at: datetime, keep: int, compromised: bool = False
    ) -> None:
        with own_transaction(self._using):
            alone_with_account(self._using, account_id)
            rows = PasswordHistory.objects.using(self._using)
            mine = rows.filter(account_id=account_id)
            same = mine.filter(password_hash=password_hash)
            marked = compromised or same.filter(compromised=True).exists()
            same.delete()
            rows.create(
                account_id=account_id,
                password_hash=password_hash,
                retired_at=unix_microseconds(at),
                compromised=marked,
            )
            kind = mine.filter(compromised=compromised)
            newest = kind.order_by("-retired_at", "-n").values_list("n", flat=True)[:keep]
            kind.exclude(n__in=list(newest)).delete()

    def of_account(self, account_id: str) -> Sequence[str]:
        with reading(self._using):
            rows = PasswordHistory.objects.using(self._using).filter(account_id=account_id)
            return tuple(rows.order_by("-retired_at", "-n").values_list("password_hash", flat=True))

    def forget(self, account_id: str) -> int:
        with own_transaction(self._using):
            return PasswordHistory.objects.using(self._using).filter(account_id=account_id).delete()[0]
