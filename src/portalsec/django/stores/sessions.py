"""Sessions and account epochs over the ORM."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db.models import F

from portalsec.auth.ports import LoadedSession, SessionRecord
from portalsec.clock import nearest_moment, unix_microseconds
from portalsec.django.models import AccountEpoch, Session
from portalsec.django.stores._connection import Conflict, own_transaction, reading

__all__ = ["DjangoSessions"]


class DjangoSessions:
    """`portalsec.auth.ports.SessionStore`, durable. ``using`` is a database alias.

    Every session points at its account's row of epochs, so one SELECT gives both, and a sign-in and an `end_all`
    that meet are put in order by that row's lock.
    """

    def __init__(self, using: str) -> None:
        self._using = using

    def epoch(self, account_id: str) -> int:
        with reading(self._using):
            row = AccountEpoch.objects.using(self._using).filter(account_id=account_id).first()
        return 0 if row is None else row.epoch

    def create(self, record: SessionRecord) -> bool:
        try:
            with own_transaction(self._using):
                self._ensure(record.account_id)
                same = AccountEpoch.objects.using(self._using).filter(
                    account_id=record.account_id, epoch=record.epoch
                )
                if not same.update(epoch=F("epoch")):
                    return False
                Session.objects.using(self._using).create(
                    digest=record.digest.hex(),
                    account_id=record.account_id,
                    epoch=record.epoch,
                    created_at=unix_microseconds(record.created_at),
                    last_seen_at=unix_microseconds(record.last_seen_at),
                    factors=",".join(record.factors),
                    proven_at=unix_microseconds(record.proven_at),
                    address=record.address,
                    user_agent=record.user_agent,
                )
        except Conflict:
            return False
        return True

    def load(self, digest: bytes) -> LoadedSession | None:
        with reading(self._using):
            row = (
                Session.objects.using(self._using)
                .select_related("account")
                .filter(digest=digest.hex())
                .first()
            )
        return None if row is None else LoadedSession(record=_record(row), current_epoch=row.account.epoch)

    def touch(self, digest: bytes, *, last_seen_at: datetime) -> bool:
        moment = unix_microseconds(last_seen_at)
        with own_transaction(self._using):
            return (
                Session.objects.using(self._using)
                .filter(digest=digest.hex(), last_seen_at__lt=moment)
                .update(last_seen_at=moment)
                == 1
            )

    def end(self, digest: bytes) -> bool:
        with own_transaction(self._using):
            return Session.objects.using(self._using).filter(digest=digest.hex()).delete()[0] == 1

    def end_all(self, account_id: str) -> int:
        with own_transaction(self._using):
            self._ensure(account_id)
            row = AccountEpoch.objects.using(self._using).filter(account_id=account_id)
            row.update(epoch=F("epoch") + 1)
            epoch = row.get().epoch
            Session.objects.using(self._using).filter(account_id=account_id).delete()
        return epoch

    def of_account(self, account_id: str) -> Sequence[SessionRecord]:
        with reading(self._using):
            rows = list(
                Session.objects.using(self._using)
                .filter(account_id=account_id, epoch=F("account__epoch"))
                .order_by("-created_at", "-digest")
            )
        return tuple(_record(row) for row in rows)

    def purge(self, *, created_until: datetime) -> int:
        moment = unix_microseconds(created_until)
        with own_transaction(self._using):
            return Session.objects.using(self._using).filter(created_at__lte=moment).delete()[0]

    def _ensure(self, account_id: str) -> None:
        AccountEpoch.objects.using(self._using).bulk_create(
            [AccountEpoch(account_id=account_id, epoch=0)], ignore_conflicts=True
        )


def _record(row: Session) -> SessionRecord:
    return SessionRecord(
        digest=bytes.fromhex(row.digest),
        account_id=row.account_id,
        epoch=row.epoch,
        created_at=nearest_moment(row.created_at),
        last_seen_at=nearest_moment(row.last_seen_at),
        factors=tuple(row.factors.split(",")) if row.factors else (),
        proven_at=nearest_moment(row.proven_at),
        address=row.address,
        user_agent=row.user_agent,
    )
