"""The audit log over the ORM: append first, order later, in one table.

An entry is inserted without an index by whoever has it, in no order; `integrate` alone gives indexes, under the
lock of one row. Bytes are never moved or copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.db import connections
from django.db.models import Max, QuerySet

from portalsec.audit.catalogue import CATALOGUES, foreign
from portalsec.audit.ports import Entry, StoredCheckpoint, StoredEntry
from portalsec.django.models import AuditCheckpoint, AuditEntry, AuditLock, AuditSubject
from portalsec.django.stores._connection import own_transaction, reading
from portalsec.errors import StoreError

__all__ = ["DjangoAudit"]

_LOCK = 1
_BATCH = 500


class DjangoAudit:
    """`portalsec.audit.ports.AuditStore`, durable. ``using`` is a database alias.

    Durability is the database's: on SQLite, Django's default (rollback journal, ``synchronous=FULL``) or WAL with
    ``PRAGMA synchronous=FULL``.
    """

    def __init__(self, using: str) -> None:
        self._using = using

    def append(self, entries: Sequence[Entry]) -> None:
        rows = [
            AuditEntry(
                entry_id=entry.id,
                body=entry.body,
                leaf=entry.leaf,
                subjects=sorted(set(entry.subjects)),
            )
            for entry in entries
        ]
        if not rows:
            return
        ids = {entry.id for entry in entries}
        with own_transaction(self._using):
            known = AuditEntry.objects.using(self._using)
            known.bulk_create(rows, ignore_conflicts=True)
            # Whatever swallowed an entry: an event that is not there must not be acknowledged.
            if sum(known.filter(entry_id__in=some).count() for some in _batches(sorted(ids))) != len(ids):
                raise StoreError(f"the database {self._using!r} did not keep an audit entry")

    def integrate(self) -> int:
        with own_transaction(self._using):
            self._alone()
            size = self._size()
            staged = list(
                AuditEntry.objects.using(self._using).filter(index=None).order_by("seq").defer("body", "leaf")
            )
            about = []
            for index, entry in enumerate(staged, size):
                entry.index = index
                about += [AuditSubject(subject=subject, index=index) for subject in entry.subjects]
            if staged:
                AuditEntry.objects.using(self._using).bulk_update(staged, ["index"], batch_size=_BATCH)
                AuditSubject.objects.using(self._using).bulk_create(about, batch_size=_BATCH)
        return size + len(staged)

    def size(self) -> int:
        with reading(self._using):
            return self._size()

    def read(self, start: int, stop: int) -> Sequence[StoredEntry]:
        with reading(self._using):
            rows = AuditEntry.objects.using(self._using).filter(index__gte=start, index__lt=stop)
            return _stored(rows.order_by("index"))

    def staged(self) -> Sequence[Entry]:
        with reading(self._using):
            rows = list(AuditEntry.objects.using(self._using).filter(index=None).order_by("seq"))
        return tuple(
            Entry(id=row.entry_id, body=bytes(row.body), leaf=bytes(row.leaf), subjects=tuple(row.subjects))
            for row in rows
        )

    def newest(self, *, limit: int, before: int | None = None) -> Sequence[StoredEntry]:
        with reading(self._using):
            rows = AuditEntry.objects.using(self._using).filter(index__isnull=False)
            if before is not None:
                rows = rows.filter(index__lt=before)
            return _stored(rows.order_by("-index")[: max(0, limit)])

    def of_subject(self, subject: str, *, limit: int, before: int | None = None) -> Sequence[StoredEntry]:
        with reading(self._using):
            about = AuditSubject.objects.using(self._using).filter(subject=subject)
            if before is not None:
                about = about.filter(index__lt=before)
            places = about.order_by("-index").values_list("index", flat=True)[: max(0, limit)]
            rows = AuditEntry.objects.using(self._using).filter(index__in=list(places))
            return _stored(rows.order_by("-index"))

    def subject_index(self, start: int, stop: int) -> Iterable[tuple[int, str]]:
        with reading(self._using):
            return list(
                AuditSubject.objects.using(self._using)
                .filter(index__gte=start, index__lt=stop)
                .order_by("index", "subject")
                .values_list("index", "subject")
            )

    def save_checkpoint(self, checkpoint: StoredCheckpoint) -> bool:
        with own_transaction(self._using):
            self._alone()
            rows = AuditCheckpoint.objects.using(self._using)
            if rows.filter(size__gte=checkpoint.size).exists():
                return False
            rows.create(size=checkpoint.size, note=checkpoint.note)
        return True

    def checkpoints(self) -> Sequence[StoredCheckpoint]:
        with reading(self._using):
            rows = list(AuditCheckpoint.objects.using(self._using).order_by("size"))
        return tuple(StoredCheckpoint(size=row.size, note=row.note) for row in rows)

    def intrusions(self) -> Sequence[str]:
        catalogue = CATALOGUES.get(connections[self._using].vendor)
        if catalogue is None:
            return ()
        with reading(self._using), connections[self._using].cursor() as cursor:
            cursor.execute(catalogue)
            rows = cursor.fetchall()
        tables = [model._meta.db_table for model in (AuditEntry, AuditSubject, AuditCheckpoint, AuditLock)]
        return foreign(rows, tables)

    def _alone(self) -> None:
        # A write comes first: it takes the lock, and whoever waited reads what the winner placed.
        locks = AuditLock.objects.using(self._using)
        locks.bulk_create([AuditLock(id=_LOCK)], ignore_conflicts=True)
        locks.filter(id=_LOCK).update(holds=0)

    def _size(self) -> int:
        highest = AuditEntry.objects.using(self._using).aggregate(highest=Max("index"))["highest"]
        return 0 if highest is None else max(0, highest + 1)


def _batches(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[start : start + _BATCH] for start in range(0, len(ids), _BATCH))


def _stored(rows: QuerySet[AuditEntry]) -> Sequence[StoredEntry]:
    return tuple(
        StoredEntry(index=row.index, body=bytes(row.body), leaf=bytes(row.leaf), id=row.entry_id)
        for row in rows.only("index", "entry_id", "body", "leaf")
        if row.index is not None
    )
