"""A log of every security event and every access to a record, which shows when it was tampered with."""

from portalsec.audit.log import AuditLog, Receipt
from portalsec.audit.record import AddressPolicy
from portalsec.audit.reports import AccessLine, recent, who_has_seen
from portalsec.audit.vault import KeyedVault
from portalsec.audit.writer import AuditWriter

__all__ = [
    "AccessLine",
    "AddressPolicy",
    "AuditLog",
    "AuditWriter",
    "KeyedVault",
    "Receipt",
    "recent",
    "who_has_seen",
]
