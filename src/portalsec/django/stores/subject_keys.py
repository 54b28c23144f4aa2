"""Subject keys over the ORM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime

from django.db import connections

from portalsec.clock import from_unix_microseconds, unix_microseconds
from portalsec.crypto.ports import Erased, Rewrap, SubjectKey
from portalsec.django import models
from portalsec.django.stores._connection import own_transaction, reading
from portalsec.errors import StoreError

__all__ = ["DjangoSubjectKeys"]

_AT_ONCE = 500  # below SQLite's oldest limit of 999 parameters


class DjangoSubjectKeys:
    """`portalsec.crypto.ports.SubjectKeyStore`, durable. ``using`` is a database alias.

    On SQLite an erased or replaced key is overwritten in the file and in its write-ahead log; after rows changed their
    size, an unused part of a page may keep a copy until a VACUUM. PostgreSQL keeps the old row until a vacuum, and its
    log as long as it is archived.
    """

    def __init__(self, using: str) -> None:
        self._using = using

    def get(self, purpose: str, subject: str) -> SubjectKey | None:
        with reading(self._using):
            return self._read(purpose, subject)

    def get_many(self, purpose: str, subjects: Sequence[str]) -> Mapping[str, SubjectKey]:
        found: dict[str, SubjectKey] = {}
        asked = list(dict.fromkeys(subjects))
        of_purpose = models.SubjectKey.objects.using(self._using).filter(purpose=purpose)
        for start in range(0, len(asked), _AT_ONCE):
            with reading(self._using):
                rows = list(of_purpose.filter(subject__in=asked[start : start + _AT_ONCE]))
            found.update((row.subject, _key(row)) for row in rows)
        return found

    def get_or_create(self, key: SubjectKey) -> SubjectKey:
        row = models.SubjectKey(
            purpose=key.purpose,
            subject=key.subject,
            key_id=key.key_id,
            commitment=key.commitment,
            wrapped=key.wrapped,
            created_at=unix_microseconds(key.created_at),
        )
        with own_transaction(self._using):
            self._overwrite()  # a page that is split leaves copies of keys too
            # A tombstone is a row like any other here, so that it cannot be replaced by a key.
            models.SubjectKey.objects.using(self._using).bulk_create([row], ignore_conflicts=True)
            return _there(self._read(key.purpose, key.subject))

    def erase(self, purpose: str, subject: str, *, now: datetime) -> Erased:
        moment = unix_microseconds(now)
        rows = models.SubjectKey.objects.using(self._using)
        with own_transaction(self._using):
            self._overwrite()
            # A row first, where there is none, so that the UPDATE below decides in each case: an empty key, which
            # nobody can read, since it is erased before this transaction ends.
            empty = models.SubjectKey(purpose=purpose, subject=subject, wrapped=b"", created_at=moment)
            rows.bulk_create([empty], ignore_conflicts=True)
            living = rows.filter(purpose=purpose, subject=subject, erased_at__isnull=True)
            won = living.update(wrapped=None, erased_at=moment) == 1
            key = _there(self._read(purpose, subject))
        if won:
            self._empty_log()
        return Erased(key=key, won=won)

    def rewrap(self, purpose: str, changes: Sequence[Rewrap]) -> Sequence[bool]:
        done = [False] * len(changes)
        with own_transaction(self._using):
            self._overwrite()
            # In one order whoever calls, so that two who rewrap the same keys at once do not wait for each other.
            for at in sorted(range(len(changes)), key=lambda at: changes[at].subject):
                change = changes[at]
                standing = models.SubjectKey.objects.using(self._using).filter(
                    purpose=purpose, subject=change.subject, wrapped=change.expected
                )
                done[at] = standing.update(wrapped=change.wrapped) == 1
        return tuple(done)

    def page(self, purpose: str, *, after: str | None, limit: int) -> Sequence[SubjectKey]:
        living = models.SubjectKey.objects.using(self._using).filter(purpose=purpose, erased_at__isnull=True)
        if after is not None:
            living = living.filter(subject__gt=after)
        with reading(self._using):
            return tuple(map(_key, living.order_by("subject")[:limit]))

    def count(self, purpose: str) -> int:
        with reading(self._using):
            return (
                models.SubjectKey.objects.using(self._using)
                .filter(purpose=purpose, erased_at__isnull=True)
                .count()
            )

    def purposes(self) -> Sequence[str]:
        living = models.SubjectKey.objects.using(self._using).filter(erased_at__isnull=True)
        with reading(self._using):
            return list(living.order_by("purpose").values_list("purpose", flat=True).distinct())

    def _read(self, purpose: str, subject: str) -> SubjectKey | None:
        row = models.SubjectKey.objects.using(self._using).filter(purpose=purpose, subject=subject).first()
        return None if row is None else _key(row)

    def _overwrite(self) -> None:
        """On SQLite: what this connection deletes is overwritten with zeros, not only let go of."""
        self._pragma("PRAGMA secure_delete = ON")

    def _empty_log(self) -> None:
        """On SQLite: the write-ahead log still has the page with the key as it was before.

        Where a reader is in the way, or it fails, it is done by the next checkpoint. The key is erased already.
        """
        with suppress(StoreError), reading(self._using):
            self._pragma("PRAGMA wal_checkpoint(TRUNCATE)")

    def _pragma(self, statement: str) -> None:
        connection = connections[self._using]
        if connection.vendor == "sqlite":
            with connection.cursor() as cursor:
                cursor.execute(statement)
                cursor.fetchall()


def _there(key: SubjectKey | None) -> SubjectKey:
    if key is None:
        raise StoreError(
            "a subject's key was not there after it was written: something removes rows of its table"
        )
    return key


def _key(row: models.SubjectKey) -> SubjectKey:
    return SubjectKey(
        purpose=row.purpose,
        subject=row.subject,
        key_id=row.key_id,
        commitment=None if row.commitment is None else bytes(row.commitment),
        wrapped=None if row.wrapped is None else bytes(row.wrapped),
        created_at=from_unix_microseconds(row.created_at),
        erased_at=None if row.erased_at is None else from_unix_microseconds(row.erased_at),
    )
