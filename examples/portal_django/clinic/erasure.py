"""Erases one patient: the patient's own key first, and with it every copy of the cells; then the rows.

What stays is the audit log (who has seen the record, and this erasure) and the patient's account, which can still ask
for that. What backups mean for it is in docs/explanation/shredding.md.
"""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from clinic.models import Patient
from portalsec.crypto.subjects import ShredReceipt
from portalsec.django.conf import get_portal
from portalsec.events import Actor, Source

__all__ = ["erase"]


def erase(patient_id: UUID, *, actor: Actor, source: Source | None = None) -> ShredReceipt:
    """Final. Where it failed half-way, the same call again does the rest.

    Raises:
        Patient.DoesNotExist: nobody has this id, and nobody who had it was erased.
        AuditUnavailable, StoreError: see `portalsec.crypto.SubjectKeys.shred`.
    """
    subjects, subject = get_portal().subjects, str(patient_id)
    if not Patient.objects.filter(pk=patient_id).exists() and subjects.receipt(subject) is None:
        raise Patient.DoesNotExist  # a mistyped id gets no tombstone
    receipt = subjects.shred(subject, actor=actor, source=source or Source())
    with transaction.atomic():
        # Entries, care team and guardians go along, and so does the tag by which the phone number was found.
        Patient.objects.filter(pk=patient_id).delete()
    return receipt
