"""Sessions and account epochs over the ORM."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from django.db import connections
from django.db.models import F, QuerySet

from portalsec.auth.ports import Created, LoadedSession, SessionRecord
from portalsec.auth.posture import posture_of, posture_text
from portalsec.auth.proof_text import duration_or_none, old_proofs, proofs_of, proofs_text
from portalsec.clock import microseconds_or_none, nearest_moment, unix_microseconds
from portalsec.django.models import AccountEpoch, Session
from portalsec.django.stores._connection import Conflict, own_transaction, reading
from portalsec.django.stores._prepared import row_of
from portalsec.errors import Tampered

__all__ = ["DjangoSessions"]

_MICROSECOND = timedelta(microseconds=1)


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

    def create(self, record: SessionRecord, *, cap: int | None = None, end_oldest: bool = True) -> Created:
        ended: tuple[SessionRecord, ...] = ()
        try:
            with own_transaction(self._using):
                if not self._locked(record):
                    return Created(opened=False)
                if cap is not None:
                    if self._rows.filter(digest=record.digest.hex()).exists():
                        return Created(opened=False)
                    own = list(
                        self._rows.filter(account_id=record.account_id, impersonator=None).order_by(
                            "last_seen_at", "digest"
                        )
                    )
                    if len(own) >= cap and not end_oldest:
                        return Created(opened=False, full=True)
                    oldest = own[: max(len(own) - cap + 1, 0)]
                    self._rows.filter(digest__in=[row.digest for row in oldest]).delete()
                    ended = _readable(oldest)
                self._rows.create(**_columns(record))
        except Conflict:
            return Created(opened=False)
        return Created(opened=True, ended=ended)

    def replace(self, old: bytes, record: SessionRecord) -> bool:
        try:
            with own_transaction(self._using):
                if not self._locked(record) or self._rows.filter(digest=record.digest.hex()).exists():
                    return False
                before = self._rows.filter(digest=old.hex(), account_id=record.account_id, epoch=record.epoch)
                if before.delete()[0] != 1:
                    return False
                self._rows.create(**_columns(record))
        except Conflict:
            return False
        return True

    def load(self, digest: bytes) -> LoadedSession | None:
        with reading(self._using):
            found = row_of(_with_epoch, self._using, digest.hex())
        if found is None:
            return None
        *row, epoch = found
        return LoadedSession(record=_record(_Row._make(row)), current_epoch=epoch)

    def touch(self, digest: bytes, *, last_seen_at: datetime) -> bool:
        moment = unix_microseconds(last_seen_at)
        with own_transaction(self._using), connections[self._using].cursor() as cursor:
            cursor.execute(_TOUCH, (moment, digest.hex(), moment))
            return bool(cursor.rowcount == 1)

    def rest(self, digest: bytes, *, at: datetime) -> bool:
        with own_transaction(self._using):
            waking = self._rows.filter(digest=digest.hex(), rested_at=None)
            return waking.update(rested_at=unix_microseconds(at)) == 1

    def flag(self, digest: bytes, anomaly: str, *, expected: str | None) -> bool:
        if anomaly == expected:
            return False
        with own_transaction(self._using):
            return self._rows.filter(digest=digest.hex(), anomaly=expected).update(anomaly=anomaly) == 1

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
        return _readable(rows)

    def purge(self, *, created_until: datetime) -> int:
        moment = unix_microseconds(created_until)
        with own_transaction(self._using):
            return Session.objects.using(self._using).filter(created_at__lte=moment).delete()[0]

    @property
    def _rows(self) -> QuerySet[Session]:
        return Session.objects.using(self._using)

    def _locked(self, record: SessionRecord) -> bool:
        """Whether the record's epoch is the account's, whose row is held until the transaction ends."""
        self._ensure(record.account_id)
        same = AccountEpoch.objects.using(self._using).filter(
            account_id=record.account_id, epoch=record.epoch
        )
        return same.update(epoch=F("epoch")) == 1

    def _ensure(self, account_id: str) -> None:
        AccountEpoch.objects.using(self._using).bulk_create(
            [AccountEpoch(account_id=account_id, epoch=0)], ignore_conflicts=True
        )


# What `_read` reads of a `Session`, without the object.
_COLUMNS = tuple(field.attname for field in Session._meta.concrete_fields)
_Row = namedtuple("_Row", _COLUMNS)  # type: ignore[misc]


# As text, as the SELECT: a session is touched once a second.
_TOUCH = (
    f"UPDATE {Session._meta.db_table} SET last_seen_at = %s"  # noqa: S608 - no value is in it
    " WHERE digest = %s AND last_seen_at < %s AND rested_at IS NULL"
)


def _with_epoch(using: str, digest: str) -> QuerySet[Any, Any]:
    return Session.objects.using(using).filter(digest=digest).values_list(*_COLUMNS, "account__epoch")


def _columns(record: SessionRecord) -> dict[str, Any]:
    return {
        "digest": record.digest.hex(),
        "account_id": record.account_id,
        "epoch": record.epoch,
        "created_at": unix_microseconds(record.created_at),
        "last_seen_at": unix_microseconds(record.last_seen_at),
        "factors": ",".join(record.factors),  # with `proven_at`, what a worker of the version before reads
        "proven_at": unix_microseconds(record.proven_at),
        "proofs": proofs_text(record.proofs),
        "level": record.level,
        "phishing_resistant": record.phishing_resistant,
        "idle": None if record.idle is None else record.idle // _MICROSECOND,
        "absolute": None if record.absolute is None else record.absolute // _MICROSECOND,
        "shared": record.shared,
        "rested_at": microseconds_or_none(record.rested_at),
        "anomaly": record.anomaly,
        "impersonator": record.impersonator,
        "behind": None if record.behind is None else record.behind.hex(),
        "posture": posture_text(record.posture),
        "jkt": record.jkt,
        "place": record.place,
        "address": record.address,
        "networks": " ".join(record.networks) or None,
        "user_agent": record.user_agent,
    }


def _record(row: Any) -> SessionRecord:
    try:
        record = _read(row)
        if type(record.level) is int:
            return record
    except (ValueError, TypeError, AttributeError):
        pass
    raise Tampered("a stored session is not what portalsec wrote")


def _read(row: Any) -> SessionRecord:
    if row.proofs is None:
        proofs = old_proofs(row.factors.split(",") if row.factors else [], row.proven_at)
    else:
        proofs = proofs_of(row.proofs)
    return SessionRecord(
        digest=bytes.fromhex(row.digest),
        account_id=row.account_id,
        epoch=row.epoch,
        created_at=nearest_moment(row.created_at),
        last_seen_at=nearest_moment(row.last_seen_at),
        proofs=proofs,
        # Of a session without the column, a worker of the version before opened it: a password, or that and a code.
        level=min(len(proofs), 2) if row.level is None else row.level,
        phishing_resistant=bool(row.phishing_resistant),
        idle=duration_or_none(row.idle),
        absolute=duration_or_none(row.absolute),
        shared=bool(row.shared),
        rested_at=None if row.rested_at is None else nearest_moment(row.rested_at),
        anomaly=row.anomaly,
        impersonator=row.impersonator,
        behind=None if row.behind is None else bytes.fromhex(row.behind),
        posture=posture_of(row.posture),
        jkt=row.jkt,
        place=row.place,
        address=row.address,
        networks=tuple((row.networks or "").split()),
        user_agent=row.user_agent,
    )


def _readable(rows: Iterable[Session]) -> tuple[SessionRecord, ...]:
    """Without rows that somebody wrote over: they open nothing, and must keep nobody from ending the others."""
    records = []
    for row in rows:
        with suppress(Tampered):
            records.append(_record(row))
    return tuple(records)
