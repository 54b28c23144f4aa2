"""Recovery codes over the ORM: one conditional UPDATE decides who spends a code."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from portalsec.auth.ports import RecoveryCode
from portalsec.clock import from_unix_microseconds, microseconds_or_none, moment_or_none, unix_microseconds
from portalsec.django import models
from portalsec.django.stores._account_lock import alone_with_account
from portalsec.django.stores._connection import own_transaction, reading

__all__ = ["DjangoRecoveryCodes"]


class DjangoRecoveryCodes:
    """`portalsec.auth.ports.RecoveryCodeStore`, durable. ``using`` is a database alias."""

    def __init__(self, using: str) -> None:
        self._using = using

    def replace(self, account_id: str, codes: Sequence[RecoveryCode]) -> int:
        rows = [
            models.RecoveryCode(
                account_id=account_id,
                digest=code.digest.hex(),
                key_id=code.key_id,
                created_at=unix_microseconds(code.created_at),
                used_at=microseconds_or_none(code.used_at),
            )
            for code in codes
        ]
        with own_transaction(self._using):
            # Two that make a set at once would each delete the old one, and leave both new ones.
            alone_with_account(self._using, account_id)
            before: int = self._of(account_id).delete()[0]
            models.RecoveryCode.objects.using(self._using).bulk_create(rows)
        return before

    def of_account(self, account_id: str) -> Sequence[RecoveryCode]:
        with reading(self._using):
            return tuple(map(_code, self._of(account_id)))

    def spend(self, account_id: str, digests: Sequence[bytes], *, at: datetime) -> RecoveryCode | None:
        moment = unix_microseconds(at)
        with own_transaction(self._using):
            for digest in digests:
                row = self._of(account_id).filter(digest=digest.hex())
                if row.filter(used_at=None).update(used_at=moment) == 1:
                    return _code(row.get())
        return None

    def unspend(self, account_id: str, digest: bytes) -> bool:
        with own_transaction(self._using):
            spent = self._of(account_id).filter(digest=digest.hex(), used_at__isnull=False)
            return bool(spent.update(used_at=None) == 1)

    def under(self, key_id: int) -> int:
        """How many unspent codes are under a key: without it they are void."""
        with reading(self._using):
            rows = models.RecoveryCode.objects.using(self._using)
            return rows.filter(key_id=key_id, used_at=None).count()

    def remove(self, account_id: str) -> int:
        return self.replace(account_id, ())

    def _of(self, account_id: str) -> Any:
        return models.RecoveryCode.objects.using(self._using).filter(account_id=account_id)


def _code(row: models.RecoveryCode) -> RecoveryCode:
    return RecoveryCode(
        account_id=row.account_id,
        digest=bytes.fromhex(row.digest),
        key_id=row.key_id,
        created_at=from_unix_microseconds(row.created_at),
        used_at=moment_or_none(row.used_at),
    )
