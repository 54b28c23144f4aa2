from __future__ import annotations

import uuid

from django.db import models

from portalsec.crypto.normalise import digits, name, parts, prefix, year
from portalsec.django.fields import (
    BlindIndexField,
    EncryptedBinaryField,
    EncryptedBooleanField,
    EncryptedCharField,
    EncryptedDateField,
    EncryptedDateTimeField,
    EncryptedDecimalField,
    EncryptedIntegerField,
    EncryptedJSONField,
    EncryptedTextField,
)
from portalsec.django.queries import EncryptedQuerySet


class Patient(models.Model):
    """Every kind of field; `ward` is in the clear."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    ward = models.CharField(max_length=20, default="", blank=True)
    # The index before its field: the order must not matter.
    ssn_index = BlindIndexField("ssn", bits=128, normalise=digits)
    ssn = EncryptedTextField(table="patients", column="ssn", null=True, blank=True)
    surname = EncryptedCharField(table="patients", column="surname", max_length=40)
    surname_index = BlindIndexField("surname", bits=4, normalise=name)
    surname_begins = BlindIndexField("surname", bits=16, normalise=prefix(name, 3))
    born = EncryptedDateField(table="patients", column="born", null=True, blank=True)
    who = BlindIndexField(("surname", "born"), bits=64, normalise=parts(name, year))
    seen = EncryptedDateTimeField(table="patients", column="seen", null=True, blank=True)
    weight = EncryptedDecimalField(
        table="patients", column="weight", max_digits=5, decimal_places=2, null=True, blank=True
    )
    children = EncryptedIntegerField(table="patients", column="children", default=0)
    smoker = EncryptedBooleanField(table="patients", column="smoker", null=True, blank=True)
    history = EncryptedJSONField(table="patients", column="history", default=dict, blank=True)
    scan = EncryptedBinaryField(table="patients", column="scan", null=True)

    objects = models.Manager()
    exact = EncryptedQuerySet.as_manager()

    def __str__(self) -> str:
        return f"patient {self.pk}"


class Visit(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="visits")
    note = EncryptedTextField(table="visits", column="note", pad="padme")

    objects = EncryptedQuerySet.as_manager()


class Sample(models.Model):
    """The database assigns the primary key: the row is ``uid``."""

    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    result = EncryptedTextField(table="samples", column="result", row="uid", null=True)
    result_index = BlindIndexField("result", bits=128)

    objects = EncryptedQuerySet.as_manager()


class Letter(models.Model):
    """Bound to a tenant, searched within it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    site = models.CharField(max_length=20)
    title = models.CharField(max_length=20, default="")
    text = EncryptedTextField(table="letters", column="text", tenant="site")
    text_index = BlindIndexField("text", bits=64)

    objects = EncryptedQuerySet.as_manager()


class Finding(models.Model):
    """Under the patient's own key."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    patient = models.ForeignKey(Patient, on_delete=models.CASCADE)
    text = EncryptedTextField(table="findings", column="text", subject="patient")

    objects = EncryptedQuerySet.as_manager()

    class Meta:
        base_manager_name = "objects"  # of a patient's `finding_set`, too


class Setting(models.Model):
    """The weaker choice: bound to the column."""

    value = EncryptedTextField(table="settings", column="value", context="column")


class Person(models.Model):
    """A parent of another table, with a key that the application writes."""

    code = models.CharField(max_length=10, primary_key=True)
    phone = EncryptedTextField(table="persons", column="phone", null=True)
    phone_index = BlindIndexField("phone", bits=128, normalise=digits)


class Doctor(Person):
    licence = EncryptedTextField(table="doctors", column="licence")


class OnCall(Doctor):
    class Meta:
        proxy = True


class Box(models.Model):
    """What the contract of a cell source asks for: a key of text, a cell and its tag."""

    code = models.CharField(max_length=10, primary_key=True)
    cell = EncryptedTextField(table="boxes", column="cell", null=True)
    tag = BlindIndexField("cell", bits=128)


class Placement(models.Model):
    """Two columns are the key."""

    pk = models.CompositePrimaryKey("ward", "bed")
    ward = models.CharField(max_length=10)
    bed = models.IntegerField()
    reason = EncryptedTextField(table="placements", column="reason")


class Badge(models.Model):
    """What nobody else has, in two of Django's ways to say so."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    number = EncryptedTextField(table="badges", column="number", null=True, blank=True)
    number_index = BlindIndexField("number", bits=128, normalise=digits, unique=True)
    chip = EncryptedTextField(table="badges", column="chip", null=True, blank=True)
    chip_index = BlindIndexField("chip", bits=128)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["chip_index"], name="one_chip")]
