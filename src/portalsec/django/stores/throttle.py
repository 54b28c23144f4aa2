"""Attempt counters over the ORM."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import BigIntegerField, Case, F, Q, Value, When

from portalsec.auth.ports import Take
from portalsec.clock import from_unix_microseconds, unix_microseconds
from portalsec.django.models import Throttle
from portalsec.django.stores._connection import own_transaction
from portalsec.errors import StoreError

__all__ = ["DjangoThrottle"]

_TRIES = 8


def _micros(moment: int) -> Value:
    return Value(moment, output_field=BigIntegerField())


class DjangoThrottle:
    """`portalsec.auth.ports.ThrottleStore`, durable. ``using`` is a database alias."""

    def __init__(self, using: str) -> None:
        self._using = using

    def take(self, key: str, *, limit: int, window: timedelta, now: datetime) -> Take:
        moment = unix_microseconds(now)
        fresh = Throttle(key=key, started_at=moment, ends_at=unix_microseconds(now + window), used=0)
        ended = Q(ends_at__lte=moment)
        if limit < 1:
            return Take(ok=False, window=moment, used=0, resets_at=now + window)
        for _ in range(_TRIES):
            with own_transaction(self._using):
                rows = Throttle.objects.using(self._using)
                # The first statement writes, so that SQLite waits for the lock here and not with a stale snapshot.
                rows.bulk_create([fresh], ignore_conflicts=True)
                # The one statement that decides: the database re-checks the condition after any wait.
                taken = (
                    rows.filter(key=key)
                    .filter(ended | Q(used__lt=limit))
                    .update(
                        used=Case(When(ended, then=Value(1)), default=F("used") + 1),
                        started_at=Case(When(ended, then=_micros(moment)), default=F("started_at")),
                        ends_at=Case(When(ended, then=_micros(fresh.ends_at)), default=F("ends_at")),
                    )
                )
                row = rows.filter(key=key).values("started_at", "ends_at", "used").first()
            if row is not None:
                return Take(
                    ok=taken == 1,
                    window=row["started_at"],
                    used=row["used"],
                    resets_at=from_unix_microseconds(row["ends_at"]),
                )
            # Another worker cleared the counter between the two statements: it is as new, so start again.
        raise StoreError("a throttle counter was cleared faster than it could be taken")

    def give_back(self, key: str, *, window: int) -> None:
        with own_transaction(self._using):
            Throttle.objects.using(self._using).filter(key=key, started_at=window, used__gt=0).update(
                used=F("used") - 1
            )

    def clear(self, key: str) -> None:
        with own_transaction(self._using):
            Throttle.objects.using(self._using).filter(key=key).delete()

    def purge(self, *, now: datetime) -> int:
        """Remove counters whose window has ended; the number removed. Housekeeping only."""
        with own_transaction(self._using):
            return Throttle.objects.using(self._using).filter(ends_at__lte=unix_microseconds(now)).delete()[0]
