"""E-mail addresses in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from portalsec.auth.ports import Contact

__all__ = ["MemoryContacts"]


class MemoryContacts:
    """`portalsec.auth.ports.ContactStore`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._contacts: dict[str, Contact] = {}

    def add(self, contact: Contact) -> bool:
        with self._lock:
            if contact.id in self._contacts or any(
                held.account_id == contact.account_id and held.address == contact.address
                for held in self._contacts.values()
            ):
                return False
            self._contacts[contact.id] = contact
            return True

    def of_account(self, account_id: str) -> Sequence[Contact]:
        return self._oldest_first(lambda contact: contact.account_id == account_id)

    def by_address(self, address: str) -> Sequence[Contact]:
        return self._oldest_first(lambda contact: contact.address == address)

    def verify(self, account_id: str, contact_id: str, *, at: datetime) -> bool:
        with self._lock:
            contact = self._contacts.get(contact_id)
            if contact is None or contact.account_id != account_id or contact.verified_at is not None:
                return False
            self._contacts[contact_id] = replace(contact, verified_at=at)
            return True

    def remove(self, account_id: str, contact_id: str) -> bool:
        with self._lock:
            contact = self._contacts.get(contact_id)
            if contact is None or contact.account_id != account_id:
                return False
            del self._contacts[contact_id]
            return True

    def _oldest_first(self, wanted: Callable[[Contact], bool]) -> Sequence[Contact]:
        with self._lock:
            found = [contact for contact in self._contacts.values() if wanted(contact)]
        return tuple(sorted(found, key=lambda contact: (contact.created_at, contact.id)))
