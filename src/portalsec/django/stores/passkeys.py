"""Passkeys over the ORM: one conditional UPDATE decides whether a signature counter is new."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import Q, Value
from django.db.models.functions import Coalesce

from portalsec.auth.ports import Passkey
from portalsec.clock import from_unix_microseconds, microseconds_or_none, moment_or_none, unix_microseconds
from portalsec.django import models
from portalsec.django.stores._account_lock import alone_with_account
from portalsec.django.stores._connection import Conflict, own_transaction, reading
from portalsec.errors import Tampered

__all__ = ["DjangoPasskeys"]


class DjangoPasskeys:
    """`portalsec.auth.ports.PasskeyStore`, durable. ``using`` is a database alias."""

    def __init__(self, using: str) -> None:
        self._using = using

    def add(self, passkey: Passkey, *, at_most: int) -> bool:
        try:
            with own_transaction(self._using):
                # Two that register at once would each count without the other's.
                alone_with_account(self._using, passkey.account_id)
                own = self._rows().filter(account_id=passkey.account_id, removed_at=None)
                if own.count() >= at_most:
                    return False
                self._rows().create(
                    id=passkey.id,
                    account_id=passkey.account_id,
                    credential_id=passkey.credential_id,
                    user_handle=passkey.user_handle,
                    public_key=passkey.public_key,
                    algorithm=passkey.algorithm,
                    sign_count=passkey.sign_count,
                    label=passkey.label,
                    aaguid=passkey.aaguid,
                    transports=list(passkey.transports),
                    backup_eligible=passkey.backup_eligible,
                    backed_up=passkey.backed_up,
                    user_verified=passkey.user_verified,
                    attested=passkey.attested,
                    discoverable=passkey.discoverable,
                    created_at=unix_microseconds(passkey.created_at),
                    used_at=microseconds_or_none(passkey.used_at),
                    suspect_at=microseconds_or_none(passkey.suspect_at),
                    disabled_at=microseconds_or_none(passkey.disabled_at),
                    removed_at=microseconds_or_none(passkey.removed_at),
                    seal=passkey.seal,
                )
        except Conflict:
            return False
        return True

    def of_account(self, account_id: str) -> Sequence[Passkey]:
        return self._of(account_id, removed=False)

    def by_credential_id(self, credential_id: bytes) -> Passkey | None:
        with reading(self._using):
            row = self._rows().filter(credential_id=credential_id, removed_at=None).first()
        return None if row is None else _passkey(row)

    def advance(
        self,
        account_id: str,
        passkey_id: str,
        *,
        expected: int,
        sign_count: int,
        backed_up: bool,
        user_verified: bool,
        at: datetime,
    ) -> bool:
        if sign_count <= expected and not sign_count == expected == 0:
            return False
        return self._set(
            _held(account_id, passkey_id) & Q(disabled_at=None, sign_count=expected),
            sign_count=sign_count,
            backed_up=backed_up,
            used_at=unix_microseconds(at),
            **({"user_verified": True} if user_verified else {}),
        )

    def suspect(self, account_id: str, passkey_id: str, *, at: datetime, disable: bool) -> bool:
        held, now = _held(account_id, passkey_id), unix_microseconds(at)
        if disable:
            first = Coalesce("suspect_at", Value(now))
            return self._set(held & Q(disabled_at=None), suspect_at=first, disabled_at=now)
        return self._set(held & Q(suspect_at=None), suspect_at=now)

    def rename(self, account_id: str, passkey_id: str, label: str) -> bool:
        return self._set(_held(account_id, passkey_id), label=label)

    def remove(self, account_id: str, passkey_id: str, *, at: datetime | None = None) -> bool:
        held = _held(account_id, passkey_id)
        return self._delete(held) == 1 if at is None else self._set(held, removed_at=unix_microseconds(at))

    def removed(self, account_id: str) -> Sequence[Passkey]:
        return self._of(account_id, removed=True)

    def restore(self, account_id: str, passkey_id: str, *, since: datetime) -> bool:
        late = Q(id=passkey_id, account_id=account_id, removed_at__gt=unix_microseconds(since))
        return self._set(late, removed_at=None)

    def purge_removed(self, *, until: datetime) -> int:
        return self._delete(Q(removed_at__lte=unix_microseconds(until)))

    def _rows(self) -> Any:
        return models.Passkey.objects.using(self._using)

    def _of(self, account_id: str, *, removed: bool) -> Sequence[Passkey]:
        with reading(self._using):
            rows = self._rows().filter(account_id=account_id, removed_at__isnull=not removed)
            return tuple(map(_passkey, rows.order_by("created_at", "id")))

    def _set(self, which: Q, **values: Any) -> bool:
        """One conditional UPDATE of one row; whether it was."""
        with own_transaction(self._using):
            return bool(self._rows().filter(which).update(**values) == 1)

    def _delete(self, which: Q) -> int:
        with own_transaction(self._using):
            return int(self._rows().filter(which).delete()[0])


def _held(account_id: str, passkey_id: str) -> Q:
    return Q(id=passkey_id, account_id=account_id, removed_at=None)


def _passkey(row: models.Passkey) -> Passkey:
    transports = row.transports
    if not isinstance(transports, list) or not all(isinstance(each, str) for each in transports):
        raise Tampered("a stored passkey's list of transports is not what portalsec wrote")
    return Passkey(
        id=row.id,
        account_id=row.account_id,
        credential_id=bytes(row.credential_id),
        user_handle=bytes(row.user_handle),
        public_key=bytes(row.public_key),
        algorithm=row.algorithm,
        sign_count=row.sign_count,
        label=row.label,
        aaguid=row.aaguid,
        transports=tuple(transports),
        backup_eligible=row.backup_eligible,
        backed_up=row.backed_up,
        user_verified=row.user_verified,
        attested=row.attested,
        discoverable=row.discoverable,
        created_at=from_unix_microseconds(row.created_at),
        used_at=moment_or_none(row.used_at),
        suspect_at=moment_or_none(row.suspect_at),
        disabled_at=moment_or_none(row.disabled_at),
        removed_at=moment_or_none(row.removed_at),
        seal=None if row.seal is None else bytes(row.seal),
    )
