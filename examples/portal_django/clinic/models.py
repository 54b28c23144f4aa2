"""The clinic's own tables. What identifies a person, and what is written about them, is ciphertext in the file.

Each patient's cells are under a key of that patient alone (``subject=``), so that `clinic.erasure` can erase one.
"""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from portalsec.crypto import normalise
from portalsec.django.fields import (
    BlindIndexField,
    EncryptedCharField,
    EncryptedDateField,
    EncryptedTextField,
)
from portalsec.django.queries import EncryptedQuerySet
from portalsec.rbac.model import Resource

PHONE = normalise.phone(default_country=1)


class Patient(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = EncryptedCharField(table="clinic.patient", column="name", subject="id", max_length=200)
    born = EncryptedDateField(table="clinic.patient", column="born", subject="id", null=True, blank=True)
    phone = EncryptedCharField(
        table="clinic.patient", column="phone", subject="id", max_length=40, blank=True, pad=16
    )
    # What BlindIndex.plan(rows=20_000, distinct=18_000, top_share=5 / 20_000) recommends: about nine other patients
    # share a tag, and fall away when the number is opened.
    phone_index = BlindIndexField("phone", bits=11, normalise=PHONE)
    email = EncryptedCharField(
        table="clinic.patient", column="email", subject="id", max_length=254, blank=True
    )
    ssn = EncryptedCharField(table="clinic.patient", column="ssn", subject="id", max_length=40, blank=True)
    address = EncryptedTextField(
        table="clinic.patient", column="address", subject="id", blank=True, pad="padme"
    )
    sealed = models.BooleanField(default=False)  # for the patient alone

    objects = EncryptedQuerySet.as_manager()

    def __str__(self) -> str:
        return str(self.pk)  # never the name: this is what logs and error pages print

    def portalsec_resource(self) -> Resource:
        """What ``user.has_perm("record:read", patient)`` asks the policy about."""
        key = str(self.pk)
        return Resource(type="record", id=key, attributes={"patient_id": key, "sealed": self.sealed})


class Entry(models.Model):
    """One line of a record. The day of it is encrypted too, since it tells who was where: so Python sorts."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="entries")
    kind = models.CharField(max_length=32)
    on = EncryptedCharField(
        table="clinic.entry", column="on", subject="patient", max_length=10, blank=True, pad=16
    )
    title = EncryptedTextField(table="clinic.entry", column="title", subject="patient", pad="padme")
    detail = EncryptedTextField(
        table="clinic.entry", column="detail", subject="patient", blank=True, pad="padme"
    )

    objects = EncryptedQuerySet.as_manager()

    class Meta:
        base_manager_name = "objects"  # of a patient's entries too: an entry never moves without its cells

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
