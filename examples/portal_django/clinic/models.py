"""The clinic's own tables. What identifies a person, and what is written about them, is ciphertext in the file."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from clinic.sealed import Sealed
from portalsec.rbac.model import Resource


class Patient(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name_sealed = models.BinaryField(default=b"")
    born_sealed = models.BinaryField(default=b"")
    phone_sealed = models.BinaryField(default=b"")
    email_sealed = models.BinaryField(default=b"")
    ssn_sealed = models.BinaryField(default=b"")
    address_sealed = models.BinaryField(default=b"")
    sealed = models.BooleanField(default=False)  # for the patient alone

    name = Sealed()
    born = Sealed()
    phone = Sealed()
    email = Sealed()
    ssn = Sealed()
    address = Sealed()

    def __str__(self) -> str:
        return str(self.pk)  # never the name: this is what logs and error pages print

    def portalsec_resource(self) -> Resource:
        """What ``user.has_perm("record:read", patient)`` asks the policy about."""
        key = str(self.pk)
        return Resource(type="record", id=key, attributes={"patient_id": key, "sealed": self.sealed})


class Entry(models.Model):
    """One line of a record."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="entries")
    kind = models.CharField(max_length=32)
    on = models.CharField(max_length=32, blank=True)
    title_sealed = models.BinaryField(default=b"")
    detail_sealed = models.BinaryField(default=b"")

    title = Sealed()
    detail = Sealed()

    class Meta:
        ordering = ("kind", "-on")

    def __str__(self) -> str:
        return str(self.pk)


class _Stands(models.Model):
    """Somebody's account stands in a relation to a patient."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return str(self.pk)


class CareTeam(_Stands):
    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="care_team")

    class Meta:
        unique_together = (("patient", "user"),)


class Guardian(_Stands):
    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="guardians")

    class Meta:
        unique_together = (("patient", "user"),)
