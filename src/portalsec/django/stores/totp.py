"""TOTP devices over the ORM."""

from __future__ import annotations

from collections.abc import Sequence

from portalsec.auth.ports import TotpDevice
from portalsec.clock import from_unix_microseconds, unix_microseconds
from portalsec.django import models
from portalsec.django.stores._connection import Conflict, own_transaction, reading
from portalsec.errors import StoreError

__all__ = ["DjangoTotp"]

_TRIES = 8


class DjangoTotp:
    """`portalsec.auth.ports.TotpStore`, durable. ``using`` is a database alias."""

    def __init__(self, using: str) -> None:
        self._using = using

    def add(self, device: TotpDevice) -> None:
        for _ in range(_TRIES):
            try:
                with own_transaction(self._using):
                    rows = models.TotpDevice.objects.using(self._using)
                    rows.filter(account_id=device.account_id, confirmed=False).delete()
                    rows.create(
                        id=device.id,
                        account_id=device.account_id,
                        label=device.label,
                        sealed_secret=device.sealed_secret,
                        confirmed=device.confirmed,
                        last_step=device.last_step,
                        created_at=unix_microseconds(device.created_at),
                    )
            except Conflict as error:
                # Either the id is taken, or another enrolment slipped in between: then it is its turn to go.
                with reading(self._using):
                    taken = models.TotpDevice.objects.using(self._using).filter(id=device.id).exists()
                if taken:
                    raise StoreError(f"a TOTP device with the id {device.id!r} exists already") from error
            else:
                return
        raise StoreError("a TOTP device could not be added: too many enrolments of one account at once")

    def devices(self, account_id: str) -> Sequence[TotpDevice]:
        with reading(self._using):
            rows = list(
                models.TotpDevice.objects.using(self._using)
                .filter(account_id=account_id)
                .order_by("created_at", "id")
            )
        return tuple(
            TotpDevice(
                id=row.id,
                account_id=row.account_id,
                label=row.label,
                sealed_secret=bytes(row.sealed_secret),
                confirmed=row.confirmed,
                last_step=row.last_step,
                created_at=from_unix_microseconds(row.created_at),
            )
            for row in rows
        )

    def confirm(self, account_id: str, device_id: str, step: int) -> bool:
        with own_transaction(self._using):
            return (
                models.TotpDevice.objects.using(self._using)
                .filter(id=device_id, account_id=account_id, confirmed=False)
                .update(confirmed=True, last_step=step)
                == 1
            )

    def advance(self, account_id: str, device_id: str, step: int) -> bool:
        with own_transaction(self._using):
            return (
                models.TotpDevice.objects.using(self._using)
                .filter(id=device_id, account_id=account_id, confirmed=True, last_step__lt=step)
                .update(last_step=step)
                == 1
            )

    def remove(self, account_id: str, device_id: str) -> bool:
        with own_transaction(self._using):
            return (
                models.TotpDevice.objects.using(self._using)
                .filter(id=device_id, account_id=account_id)
                .delete()[0]
                == 1
            )
