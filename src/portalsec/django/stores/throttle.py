"""Attempt counters over the ORM."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import connections
from django.db.models import BigIntegerField, Case, ExpressionWrapper, F, Q, Value, When

from portalsec.auth.ports import Take
from portalsec.clock import from_unix_microseconds, unix_microseconds
from portalsec.django.models import Throttle
from portalsec.django.stores._connection import own_transaction, reading
from portalsec.django.stores._throttle_statement import take_in_one, takes_in_one
from portalsec.errors import StoreError

__all__ = ["DjangoThrottle"]

_TRIES = 8
_MICROSECOND = timedelta(microseconds=1)
_SEEN = ("started_at", "ends_at", "used", "level")


def _micros(moment: int) -> Value:
    return Value(moment, output_field=BigIntegerField())


class DjangoThrottle:
    """`portalsec.auth.ports.ThrottleStore`, durable. ``using`` is a database alias."""

    def __init__(self, using: str) -> None:
        self._using = using

    def take(
        self,
        key: str,
        *,
        limit: int,
        window: timedelta,
        now: datetime,
        longest: timedelta | None = None,
        heals: timedelta | None = None,
    ) -> Take:
        moment = unix_microseconds(now)
        fresh = moment + window // _MICROSECOND
        if limit < 1:
            return self._as_it_is(key, moment, fresh)
        if takes_in_one(connections[self._using]):
            with own_transaction(self._using):
                seen = take_in_one(
                    connections[self._using],  # the verb's own
                    key,
                    limit=limit,
                    moment=moment,
                    fresh=fresh,
                    longest=None if longest is None else longest // _MICROSECOND,
                    memory=_memory(longest, heals),
                )
            return self._as_it_is(key, moment, fresh) if seen is None else _take(seen, ok=True)
        return self._in_two(key, limit=limit, moment=moment, fresh=fresh, longest=longest, heals=heals)

    def _in_two(
        self,
        key: str,
        *,
        limit: int,
        moment: int,
        fresh: int,
        longest: timedelta | None,
        heals: timedelta | None,
    ) -> Take:
        """Another database: the row is there first, and one conditional UPDATE decides."""
        changes, memory = _changes(limit, moment, fresh, longest, heals)
        ended = Q(ends_at__lte=moment)
        new = Throttle(key=key, started_at=moment, ends_at=fresh, used=0, level=0, kept_until=fresh + memory)
        for _ in range(_TRIES):
            with own_transaction(self._using):
                rows = Throttle.objects.using(self._using)
                # The first statement writes, so that SQLite waits for the lock here and not with a stale snapshot.
                rows.bulk_create([new], ignore_conflicts=True)
                # The one statement that decides: the database re-checks the condition after any wait.
                taken = rows.filter(key=key).filter(ended | Q(used__lt=limit)).update(**changes)
                row = rows.filter(key=key).values(*_SEEN).first()
            if row is not None:
                return _take(row, ok=taken == 1)
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
        """Remove counters that no decision needs any more; the number removed. Housekeeping only."""
        moment = unix_microseconds(now)
        with own_transaction(self._using):
            rows = Throttle.objects.using(self._using).filter(ends_at__lte=moment, kept_until__lte=moment)
            return rows.delete()[0]

    def _as_it_is(self, key: str, moment: int, fresh: int) -> Take:
        with reading(self._using):
            rows = Throttle.objects.using(self._using).filter(key=key, ends_at__gt=moment)
            row = rows.values(*_SEEN).first()
        if row is None:
            return Take(ok=False, window=moment, used=0, resets_at=from_unix_microseconds(fresh))
        return _take(row, ok=False)


def _take(row: Any, *, ok: bool) -> Take:
    return Take(
        ok=ok,
        window=row["started_at"],
        used=row["used"],
        resets_at=from_unix_microseconds(row["ends_at"]),
        level=row["level"],
    )


def _memory(longest: timedelta | None, heals: timedelta | None) -> int:
    if longest is None:
        return 0
    return (longest if heals is None else heals) // _MICROSECOND


def _changes(
    limit: int, moment: int, fresh: int, longest: timedelta | None, heals: timedelta | None
) -> tuple[dict[str, Any], int]:
    """What a take writes, and for how long after its end a window is remembered."""
    ended = Q(ends_at__lte=moment)
    end: Any = _micros(fresh)
    level: Any = Value(0)
    memory = _memory(longest, heals)
    if longest is not None:
        at_most = max(longest // _MICROSECOND, fresh - moment)
        again = Q(used__gte=limit, ends_at__gte=moment - memory)
        end = Case(
            # Half of each, since a condition has a bare column on its left: twice the window past the limit?
            When(
                again & Q(ends_at__gte=F("started_at") + _micros((at_most + 1) // 2)),
                then=_micros(moment + at_most),
            ),
            When(
                again & Q(ends_at__gt=F("started_at") + _micros((fresh - moment) // 2)),
                then=_sum(_micros(moment), _micros(2) * (F("ends_at") - F("started_at"))),
            ),
            default=_micros(fresh),
            output_field=BigIntegerField(),
        )
        level = _case(again, F("level") + 1, Value(0))
    changes = {
        "used": _case(ended, Value(1), F("used") + 1),
        "started_at": _case(ended, _micros(moment), F("started_at")),
        "ends_at": _case(ended, end, F("ends_at")),
        "level": _case(ended, level, F("level")),
        "kept_until": _case(ended, _sum(end, _micros(memory)), F("kept_until")),
    }
    return changes, memory


def _case(condition: Q, then: Any, otherwise: Any) -> Case:
    return Case(When(condition, then=then), default=otherwise, output_field=BigIntegerField())


def _sum(left: Any, right: Any) -> ExpressionWrapper[Any]:
    return ExpressionWrapper(left + right, output_field=BigIntegerField())
