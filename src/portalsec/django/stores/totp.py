"""TOTP devices over the ORM: one conditional UPDATE decides whether a code is new, and one whether it is tested at all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import F, Q
from django.db.models.functions import Greatest

from portalsec.auth.ports import TotpDevice
from portalsec.clock import from_unix_microseconds, microseconds_or_none, moment_or_none, unix_microseconds
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
                    self._rows().filter(account_id=device.account_id, confirmed=False).delete()
                    self._rows().create(
                        id=device.id,
                        account_id=device.account_id,
                        label=device.label,
                        sealed_secret=device.sealed_secret,
                        confirmed=device.confirmed,
                        last_step=device.last_step,
                        created_at=unix_microseconds(device.created_at),
                        algorithm=device.algorithm,
                        digits=device.digits,
                        period=device.period,
                        drift=device.drift,
                        failures=device.failures,
                        used_at=microseconds_or_none(device.used_at),
                        removed_at=microseconds_or_none(device.removed_at),
                    )
            except Conflict as error:
                # Either the id is taken, or another enrolment slipped in between: then it is its turn to go.
                with reading(self._using):
                    taken = self._rows().filter(id=device.id).exists()
                if taken:
                    raise StoreError(f"a TOTP device with the id {device.id!r} exists already") from error
            else:
                return
        raise StoreError("a TOTP device could not be added: too many enrolments of one account at once")

    def devices(self, account_id: str) -> Sequence[TotpDevice]:
        return self._of(account_id, removed=False)

    def confirm(self, account_id: str, device_id: str, step: int) -> bool:
        held = _held(account_id, device_id)
        return self._set(held & Q(confirmed=False), confirmed=True, last_step=step, failures=0)

    def try_(self, account_id: str, device_id: str, *, cap: int, weight: int = 1) -> bool:
        # SP 800-63B-4 section 3.2.2: counted before the code is tested, so that guesses made at once are counted too.
        return self._set(_held(account_id, device_id) & Q(failures__lt=cap), failures=F("failures") + weight)

    def untry(self, account_id: str, device_id: str, *, weight: int = 1) -> None:
        self._set(
            _held(account_id, device_id) & Q(failures__gt=0), failures=Greatest(F("failures") - weight, 0)
        )

    def advance(
        self, account_id: str, device_id: str, step: int, *, drift: int = 0, at: datetime | None = None
    ) -> bool:
        # RFC 6238 section 5.2: a step is accepted once, by the condition of the write itself.
        new = _held(account_id, device_id) & Q(confirmed=True, last_step__lt=step)
        used = {} if at is None else {"used_at": unix_microseconds(at)}
        return self._set(new, last_step=step, failures=0, drift=drift, **used)

    def rename(self, account_id: str, device_id: str, label: str) -> bool:
        return self._set(_held(account_id, device_id), label=label)

    def remove(self, account_id: str, device_id: str, *, at: datetime | None = None) -> bool:
        held = _held(account_id, device_id)
        with own_transaction(self._using):
            # In this order nothing slips through where somebody confirms it meanwhile.
            if self._rows().filter(held if at is None else held & Q(confirmed=False)).delete()[0] == 1:
                return True
            return at is not None and self._rows().filter(held).update(removed_at=unix_microseconds(at)) == 1

    def removed(self, account_id: str) -> Sequence[TotpDevice]:
        return self._of(account_id, removed=True)

    def restore(self, account_id: str, device_id: str, *, since: datetime) -> bool:
        late = Q(id=device_id, account_id=account_id, removed_at__gt=unix_microseconds(since))
        return self._set(late, removed_at=None)

    def purge_removed(self, *, until: datetime) -> int:
        with own_transaction(self._using):
            return int(self._rows().filter(removed_at__lte=unix_microseconds(until)).delete()[0])

    def _rows(self) -> Any:
        return models.TotpDevice.objects.using(self._using)

    def _set(self, which: Q, **values: Any) -> bool:
        """One conditional UPDATE of one row; whether it was."""
        with own_transaction(self._using):
            return bool(self._rows().filter(which).update(**values) == 1)

    def _of(self, account_id: str, *, removed: bool) -> Sequence[TotpDevice]:
        with reading(self._using):
            rows = self._rows().filter(account_id=account_id, removed_at__isnull=not removed)
            return tuple(map(_device, rows.order_by("created_at", "id")))


def _held(account_id: str, device_id: str) -> Q:
    return Q(id=device_id, account_id=account_id, removed_at=None)


def _device(row: models.TotpDevice) -> TotpDevice:
    return TotpDevice(
        id=row.id,
        account_id=row.account_id,
        label=row.label,
        sealed_secret=bytes(row.sealed_secret),
        confirmed=row.confirmed,
        last_step=row.last_step,
        created_at=from_unix_microseconds(row.created_at),
        algorithm=row.algorithm,
        digits=row.digits,
        period=row.period,
        drift=row.drift,
        failures=row.failures,
        used_at=moment_or_none(row.used_at),
        removed_at=moment_or_none(row.removed_at),
    )
