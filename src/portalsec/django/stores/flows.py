"""Pending sign-ins and invitations over the ORM."""

from __future__ import annotations

from datetime import datetime

from django.db.models import F, Q

from portalsec.auth.ports import Flow
from portalsec.clock import from_unix_microseconds, unix_microseconds
from portalsec.django import models
from portalsec.django.stores._connection import Conflict, own_transaction

__all__ = ["DjangoFlows"]


class DjangoFlows:
    """`portalsec.auth.ports.FlowStore`, durable. ``using`` is a database alias."""

    def __init__(self, using: str) -> None:
        self._using = using

    def put(self, flow: Flow) -> bool:
        try:
            with own_transaction(self._using):
                models.Flow.objects.using(self._using).create(
                    digest=flow.digest.hex(),
                    purpose=flow.purpose,
                    account_id=flow.account_id,
                    data=flow.data,
                    expires_at=unix_microseconds(flow.expires_at),
                    attempts=flow.attempts,
                )
        except Conflict:
            return False
        return True

    def attempt(self, digest: bytes, purpose: str, *, limit: int, now: datetime) -> Flow | None:
        moment = unix_microseconds(now)
        with own_transaction(self._using):
            found = models.Flow.objects.using(self._using).filter(digest=digest.hex(), purpose=purpose)
            counted = found.filter(expires_at__gt=moment, attempts__lt=limit).update(
                attempts=F("attempts") + 1
            )
            if counted:
                return _flow(found.get())  # our own update holds the row
            found.filter(Q(expires_at__lte=moment) | Q(attempts__gte=limit)).delete()
        return None

    def consume(self, digest: bytes, purpose: str, *, now: datetime) -> Flow | None:
        moment = unix_microseconds(now)
        with own_transaction(self._using):
            found = models.Flow.objects.using(self._using).filter(digest=digest.hex(), purpose=purpose)
            # An update that changes nothing takes the row's lock on every database; who waited finds no row after.
            if not found.filter(expires_at__gt=moment).update(attempts=F("attempts")):
                found.filter(expires_at__lte=moment).delete()
                return None
            flow = _flow(found.get())
            found.delete()
        return flow

    def drop_account(self, account_id: str) -> int:
        with own_transaction(self._using):
            return models.Flow.objects.using(self._using).filter(account_id=account_id).delete()[0]

    def purge(self, *, now: datetime) -> int:
        with own_transaction(self._using):
            return (
                models.Flow.objects.using(self._using)
                .filter(expires_at__lte=unix_microseconds(now))
                .delete()[0]
            )


def _flow(row: models.Flow) -> Flow:
    return Flow(
        digest=bytes.fromhex(row.digest),
        purpose=row.purpose,
        account_id=row.account_id,
        data=bytes(row.data),
        expires_at=from_unix_microseconds(row.expires_at),
        attempts=row.attempts,
    )
