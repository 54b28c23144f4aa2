"""E-mail addresses over the ORM, sealed; found by a keyed hash."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db.models import QuerySet

from portalsec.auth.ports import Contact, Mac, Sealer
from portalsec.clock import (
    from_unix_microseconds,
    microseconds_or_none,
    moment_or_none,
    unix_microseconds,
)
from portalsec.django import models
from portalsec.django.stores._account_lock import alone_with_account
from portalsec.django.stores._connection import Conflict, own_transaction, reading

__all__ = ["ADDRESS", "PLACE", "DjangoContacts"]

ADDRESS = "contact.address"
"""The purpose of the hash by which an address is found."""

PLACE = {"table": "portalsec_contact", "column": "address_sealed"}
"""What an address is bound to besides its row."""


class DjangoContacts:
    """`portalsec.auth.ports.ContactStore`, durable.

    Args:
        using: a database alias.
        mac: keys the hash by which an address is found; newest writes, all read. Before a key is disabled, write the
            hashes that are left of it anew: ``manage.py portalsec_reencrypt``.
        sealer: seals the address, bound to its row. Verbs that return contacts raise its
            `portalsec.errors.DecryptionError` where the stored bytes do not open.
    """

    def __init__(self, using: str, *, mac: Mac, sealer: Sealer) -> None:
        self._using = using
        self._mac = mac
        self._sealer = sealer

    def add(self, contact: Contact) -> bool:
        current, *older = self._macs(contact.address)
        try:
            with own_transaction(self._using):
                if older:
                    # While keys are being swapped, two workers may write one address under different keys, which the
                    # unique constraint does not see: the one that comes second has to see the row of the first.
                    alone_with_account(self._using, contact.account_id)
                    if self._rows.filter(account_id=contact.account_id, address_mac__in=older).exists():
                        return False
                self._rows.create(
                    id=contact.id,
                    account_id=contact.account_id,
                    address_mac=current,
                    address_sealed=self._sealer.seal(contact.address.encode(), **PLACE, row=contact.id),
                    verified_at=microseconds_or_none(contact.verified_at),
                    created_at=unix_microseconds(contact.created_at),
                )
        except Conflict:
            return False
        return True

    def of_account(self, account_id: str) -> Sequence[Contact]:
        return self._oldest_first(self._rows.filter(account_id=account_id))

    def by_address(self, address: str) -> Sequence[Contact]:
        macs = self._macs(address)
        return self._oldest_first(self._rows.filter(address_mac__in=macs))

    def verify(self, account_id: str, contact_id: str, *, at: datetime) -> bool:
        with own_transaction(self._using):
            rows = self._rows.filter(id=contact_id, account_id=account_id)
            return rows.filter(verified_at=None).update(verified_at=unix_microseconds(at)) == 1

    def remove(self, account_id: str, contact_id: str) -> bool:
        with own_transaction(self._using):
            rows = self._rows.filter(id=contact_id, account_id=account_id)
            return rows.delete()[0] == 1

    @property
    def _rows(self) -> QuerySet[models.Contact]:
        return models.Contact.objects.using(self._using).all()

    def _macs(self, address: str) -> tuple[bytes, ...]:
        return self._mac.all(ADDRESS, address.encode("utf-8", "surrogatepass"))

    def _oldest_first(self, query: QuerySet[models.Contact]) -> Sequence[Contact]:
        with reading(self._using):
            rows = list(query.order_by("created_at", "id"))
        return tuple(self._contact(row) for row in rows)

    def _contact(self, row: models.Contact) -> Contact:
        address = self._sealer.open(bytes(row.address_sealed), **PLACE, row=row.id)
        return Contact(
            id=row.id,
            account_id=row.account_id,
            address=address.decode(),
            verified_at=moment_or_none(row.verified_at),
            created_at=from_unix_microseconds(row.created_at),
        )
