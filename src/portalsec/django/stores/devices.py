"""Known devices over the ORM: one conditional UPDATE decides who rotates a device's secret."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db.models import Q
from django.db.models.functions import Greatest

from portalsec.auth.ports import KnownDevice
from portalsec.clock import from_unix_microseconds, microseconds_or_none, moment_or_none, unix_microseconds
from portalsec.django import models
from portalsec.django.stores._connection import Conflict, own_transaction, reading

__all__ = ["DjangoDevices"]


class DjangoDevices:
    """`portalsec.auth.ports.DeviceStore`, durable. ``using`` is a database alias."""

    def __init__(self, using: str) -> None:
        self._using = using

    def add(self, device: KnownDevice) -> bool:
        try:
            with own_transaction(self._using):
                models.KnownDevice.objects.using(self._using).create(
                    id=device.id,
                    account_id=device.account_id,
                    digest=device.digest.hex(),
                    previous=None if device.previous is None else device.previous.hex(),
                    label=device.label,
                    created_at=unix_microseconds(device.created_at),
                    used_at=unix_microseconds(device.used_at),
                    address=device.address,
                    trusted_until=microseconds_or_none(device.trusted_until),
                    trusted_setup=device.trusted_setup,
                )
        except Conflict:
            return False
        return True

    def find(self, digest: bytes) -> KnownDevice | None:
        text = digest.hex()
        with reading(self._using):
            rows = models.KnownDevice.objects.using(self._using)
            found = list(rows.filter(Q(digest=text) | Q(previous=text))[:2])
        found.sort(key=lambda row: row.digest != text)
        return _device(found[0]) if found else None

    def rotate(
        self, device_id: str, *, expected: bytes, digest: bytes, at: datetime, address: str | None
    ) -> bool:
        try:
            with own_transaction(self._using):
                rows = models.KnownDevice.objects.using(self._using)
                return (
                    rows.filter(id=device_id, digest=expected.hex()).update(
                        digest=digest.hex(),
                        previous=expected.hex(),
                        used_at=Greatest("used_at", unix_microseconds(at)),
                        address=address,
                    )
                    == 1
                )
        except Conflict:  # somebody has that digest
            return False

    def trust(self, account_id: str, device_id: str, *, until: datetime | None, setup: bytes | None) -> bool:
        with own_transaction(self._using):
            return (
                models.KnownDevice.objects.using(self._using)
                .filter(id=device_id, account_id=account_id)
                .update(trusted_until=microseconds_or_none(until), trusted_setup=setup)
                == 1
            )

    def of_account(self, account_id: str) -> Sequence[KnownDevice]:
        with reading(self._using):
            rows = list(
                models.KnownDevice.objects.using(self._using)
                .filter(account_id=account_id)
                .order_by("-used_at", "-id")
            )
        return tuple(map(_device, rows))

    def revoke(self, account_id: str, device_id: str) -> bool:
        return self._delete(Q(id=device_id, account_id=account_id)) == 1

    def revoke_all(self, account_id: str) -> int:
        return self._delete(Q(account_id=account_id))

    def purge(self, *, used_until: datetime) -> int:
        return self._delete(Q(used_at__lte=unix_microseconds(used_until)))

    def _delete(self, condition: Q) -> int:
        with own_transaction(self._using):
            return models.KnownDevice.objects.using(self._using).filter(condition).delete()[0]


def _device(row: models.KnownDevice) -> KnownDevice:
    return KnownDevice(
        id=row.id,
        account_id=row.account_id,
        digest=bytes.fromhex(row.digest),
        previous=None if row.previous is None else bytes.fromhex(row.previous),
        label=row.label,
        created_at=from_unix_microseconds(row.created_at),
        used_at=from_unix_microseconds(row.used_at),
        address=row.address,
        trusted_until=moment_or_none(row.trusted_until),
        trusted_setup=None if row.trusted_setup is None else bytes(row.trusted_setup),
    )
