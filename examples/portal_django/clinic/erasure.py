"""Erases one patient: the patient's own key first, and with it every copy of the cells; then the account and the rows.

What stays is the audit log: who has seen the record, and this erasure. What backups mean for it is in
docs/explanation/shredding.md.
"""

from __future__ import annotations

from uuid import UUID

from clinic.models import Patient
from portalsec.crypto.subjects import ShredReceipt
from portalsec.django.conf import get_portal
from portalsec.django.models import AccountLink
from portalsec.events import Actor, Source

__all__ = ["erase", "receipt_of"]


def erase(patient_id: UUID, *, actor: Actor, source: Source | None = None) -> ShredReceipt:
    """Final. Where it failed half-way, the same call again does the rest. Not for inside of a transaction.

    Raises:
        Patient.DoesNotExist: nobody has this id, and nobody who had it was erased.
        AuditUnavailable, StoreError: see `portalsec.crypto.SubjectKeys.shred`.
    """
    if not Patient.objects.filter(pk=patient_id).exists() and receipt_of(patient_id) is None:
        raise Patient.DoesNotExist  # a mistyped id gets no tombstone
    portal, subject, source = get_portal(), str(patient_id), source or Source()
    receipt = portal.subjects.shred(subject, actor=actor, source=source)
    for link in AccountLink.objects.filter(reference=subject):
        portal.accounts.disable(link.account_id, actor=actor, source=source)
    # Entries, care team and guardians go along, and so does the tag by which the phone number was found.
    Patient.objects.filter(pk=patient_id).delete()
    return receipt


def receipt_of(patient_id: UUID | str) -> ShredReceipt | None:
    """Of a patient whose key is destroyed; None for everybody else."""
    return get_portal().subjects.receipt(str(patient_id))
